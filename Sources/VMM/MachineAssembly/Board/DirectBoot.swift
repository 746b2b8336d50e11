// SPDX-License-Identifier: Apache-2.0

internal import Diagnostics
internal import BootLoading
internal import CPUInterface
internal import FirmwareTables
internal import GuestMemory

/// Starts a kernel without firmware: tables in memory, the kernel loaded, the first processor's registers set. Done
/// anew at each reset, because the guest has changed all of it.
final class DirectBoot {
    /// ACPI and SMBIOS of the machine, or none. What is changed is in memory after the next reset.
    var acpi: ACPITables?
    let smbios: SMBIOSTables?
    /// Processors and interrupts for a system without ACPI.
    private let processors: MultiprocessorTable?
    private var request: BootRequest
    private let memory: GuestMemory
    /// What `prepare` put into memory, for the first start.
    private var prepared: LoadedKernel?

    init(
        request: BootRequest, acpi: ACPITables?, smbios: SMBIOSTables?, processors: MultiprocessorTable? = nil,
        memory: GuestMemory
    ) {
        self.request = request
        self.acpi = acpi
        self.smbios = smbios
        self.processors = processors
        self.memory = memory
    }

    /// Puts everything in place for the first start, so that a kernel that cannot be loaded is reported before that.
    func prepare() throws(UserError) { prepared = try load() }

    /// Puts everything in place.
    /// - Returns: what was loaded; its registers are for the first processor.
    func load() throws(UserError) -> LoadedKernel {
        if let kernel = prepared {
            prepared = nil
            return kernel
        }
        do throws(GuestMemoryError) {
            let placement = try FirmwareTablePlacement(
                acpi: acpi, smbios: smbios, processors: processors, into: memory)
            request.rsdpAddress = placement.rsdpAddress
        } catch {
            throw UserError(
                "the machine's memory is too small for its firmware tables; give it at least 2 MiB (-m)")
        }
        do throws(BootError) { return try KernelLoader.load(request, into: memory) } catch {
            throw UserError(error.description)
        }
    }
}
