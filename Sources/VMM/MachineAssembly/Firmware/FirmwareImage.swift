// SPDX-License-Identifier: Apache-2.0

internal import Diagnostics
internal import GuestMemory
internal import HostSystem
internal import MachineSpec

/// The board's ROM: below 4 GiB, where the processor starts, with its end again below 1 MiB.
struct FirmwareImage {
    private let bytes: [UInt8]
    private static let fourGiB: UInt64 = 1 << 32, oneMiB: UInt64 = 1 << 20
    private static let unit = 65536
    /// As much of the ROM's end as real mode reaches.
    private static let shadowCount = 128 << 10
    /// What -bios stands for on these boards, and the place of ROM below the I/O APIC that bounds it.
    static func standardName(_ board: BoardSpec) -> String {
        guard board.kind == .microvm else { return "bios-256k.bin" }
        return board.acpi.resolved(true) ? "bios-microvm.bin" : "qboot.rom"
    }
    private static let largest = 16 << 20

    /// Reads the file.
    /// - Parameter name: of -bios; nil for the board's own.
    init(name: String?, board: BoardSpec, files: FirmwareFiles) throws(UserError) {
        let wanted = name ?? Self.standardName(board)
        guard let path = files.path(of: wanted) else {
            throw UserError(
                "could not load PC BIOS '\(wanted)'", because: "no such file",
                remedy: name == nil
                    ? "install the packages seabios and qemu-system-data, or start a kernel with -kernel" : "")
        }
        bytes = try files.read(path)
        guard bytes.count % Self.unit == 0, bytes.count <= Self.largest else {
            throw UserError(
                "could not load PC BIOS '\(wanted)'",
                because: "its \(bytes.count) bytes are no multiple of 64 KiB up to 16 MiB")
        }
    }

    /// Maps the ROM below 4 GiB.
    func add(to memory: GuestMemory) throws(UserError) {
        let count = UInt64(bytes.count)
        do throws(Errno) {
            try memory.addRegion(name: "pc.bios", start: Self.fourGiB - count, count: count, isReadOnly: true)
        } catch { throw UserError("cannot map the firmware", because: error) }
        do throws(GuestMemoryError) { try memory.write(bytes, at: Self.fourGiB - count, force: true) } catch {
            throw UserError("cannot place the firmware")
        }
    }

    /// Puts the ROM's end below 1 MiB, as it is seen there after a reset.
    func shadow(into memory: GuestMemory) throws(UserError) {
        let count = min(bytes.count, Self.shadowCount)
        do throws(GuestMemoryError) {
            try memory.write(Array(bytes.suffix(count)), at: Self.oneMiB - UInt64(count), force: true)
        } catch {
            throw UserError("the machine's memory is too small for its firmware; give it at least 2 MiB (-m)")
        }
    }
}
