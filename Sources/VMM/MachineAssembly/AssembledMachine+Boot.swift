// SPDX-License-Identifier: Apache-2.0

internal import BootLoading
internal import CPUInterface
internal import Diagnostics
internal import FirmwareTables
internal import MachineSpec
internal import PCIBus

extension AssembledMachine {
    /// How the machine starts: a kernel of -kernel; nil where firmware is to start it.
    func makeBoot(_ board: PCBoard) throws(UserError) -> DirectBoot? {
        guard let path = spec.boot.kernel else { return nil }
        let kernel: BootFile
        do throws(BootError) { kernel = try BootFile(path: path) } catch { throw UserError(error.description) }
        let layout = board.options.memory
        let map = MemoryMapEntry.standardPC(
            lowMemoryEnd: layout.low, highMemoryCount: layout.high, reserved: board.reservedRanges)
        let request = BootRequest(
            kernel: kernel, initrd: spec.boot.initrd, commandLine: kernelCommandLine(board), memoryMap: map)
        let hasACPI = spec.board.acpi.resolved(true)
        return DirectBoot(
            request: request, acpi: hasACPI ? ACPITables(description(board)) : nil,
            smbios: smbios(board, forFirmware: false),
            processors: !hasACPI && board.transports != nil ? MultiprocessorTable(description(board)) : nil,
            memory: guestMemory)
    }

    /// Without ACPI, the command line is what tells a kernel of a microvm's devices.
    private func kernelCommandLine(_ board: PCBoard) -> String {
        let line = spec.boot.commandLine ?? ""
        guard let transports = board.transports, !spec.board.acpi.resolved(true), spec.board.autoKernelCommandLine
        else { return line }
        return line + transports.kernelWords
    }

    private var kind: MachineDescription.Board {
        switch spec.board.kind {
        case .q35: .q35
        case .microvm: .microvm
        case .pc, .none: .pc
        }
    }

    func description(_ board: PCBoard) -> MachineDescription {
        let topology = spec.topology
        let hasPlaces = board.processorHotPlug != nil
        var machine = MachineDescription(
            board: kind, processors: (0..<(hasPlaces ? topology.maximum : topology.count)).map { UInt32($0) },
            lowMemoryEnd: board.options.memory.low, highMemoryEnd: board.options.memory.highEnd)
        machine.absentProcessors = Set(0..<machine.processors.count).subtracting(topology.present)
        machine.hasVGA = spec.devices.contains { if case .pc(.vga) = $0.model { true } else { false } }
        machine.hasHPET = board.options.hasHPET
        machine.hasKeyboardController = board.options.hasKeyboardController
        machine.hasRealTimeClock = board.options.hasRealTimeClock
        machine.hasIntervalTimer = board.options.hasIntervalTimer
        machine.hasInterruptControllers = spec.board.pic.resolved(true)
        machine.timerPort = board.timerPort
        machine.hotPlugSlots = board.hotPlug?.slots ?? []
        machine.virtioDevices = board.transports?.descriptions ?? []
        machine.firmwareConfigPort = 0x510
        machine.serialPorts = serialPlaces.map {
            MachineDescription.SerialPort(port: $0.port, interrupt: UInt8($0.interrupt))
        }
        return machine
    }

    func smbios(_ board: PCBoard, forFirmware: Bool) -> SMBIOSTables {
        let layout = board.options.memory
        let fourGiB: UInt64 = 1 << 32
        var ranges: [Range<UInt64>] = [0..<layout.low]
        if layout.high > 0 { ranges.append(fourGiB..<layout.highEnd) }
        var description = SMBIOSDescription(
            board: kind, sockets: spec.topology.sockets, coresPerSocket: spec.topology.cores * spec.topology.dies,
            threadsPerCore: spec.topology.threads, processorSignature: 0, processorFeatures: 0, memory: ranges)
        // Without firmware there is nobody else to write the table of the firmware itself.
        if !forFirmware { description.firmware = SMBIOSDescription.Firmware(vendor: "Roost", version: "1") }
        if !spec.identity.uuid.isNull { description.uuid = spec.identity.uuid.bytes }
        let system = spec.firmware.smbios[1] ?? [:]
        if let value = system["manufacturer"] { description.manufacturer = value }
        if let value = system["product"] { description.product = value }
        if let value = system["version"] { description.version = value }
        if let value = system["serial"] { description.serial = value }
        if let value = system["sku"] { description.sku = value }
        if let value = system["family"] { description.family = value }
        description.fields = spec.firmware.smbios
        description.oemStrings = spec.firmware.oemStrings
        if let uuid = system["uuid"].flatMap({ GuestUUID($0) }) { description.uuid = uuid.bytes }
        if let given = spec.firmware.smbios[0] {
            var firmware = SMBIOSDescription.Firmware(
                vendor: given["vendor"] ?? "", version: given["version"] ?? "", date: given["date"] ?? "04/01/2014")
            let release = (given["release"] ?? "0.0").split(separator: ".").compactMap { UInt8($0) }
            if release.count == 2 { firmware.release = (release[0], release[1]) }
            firmware.isUEFI = ["on", "yes", "true", "y"].contains(given["uefi"] ?? "off")
            description.firmware = firmware
        }
        return SMBIOSTables(description)
    }
}
