// SPDX-License-Identifier: Apache-2.0

internal import CommandLineKit
internal import Diagnostics

// Drives, and the disks that those of -drive if= bring along.
extension ArgumentReader {
    mutating func resolveDrives() throws(UserError) {
        var counts: [DriveSpec.Interface: Int] = [:]
        for entry in drives {
            do throws(UserError) {
                var options = entry.value
                // A microvm has no controller of its own that drives would go to.
                if spec.board.kind == .microvm, options.peek("if") == nil {
                    options = OptionList(options.entries + [OptionList.Entry(key: "if", value: "none")])
                }
                let interface = DriveSpec.Interface(rawValue: options.peek("if") ?? "ide") ?? .none
                let units = spec.board.kind == .q35 ? 1 : 2
                var number = counts[interface, default: 0]
                if interface == .ide {
                    let taken = spec.drives.filter { $0.interface == .ide }.map { $0.bus * units + $0.unit }
                    number = (0...taken.count).first { !taken.contains($0) } ?? 0
                }
                let drive = try DriveReader.drive(options, number: number, unitsPerBus: units)
                counts[interface, default: 0] += 1
                guard !spec.drives.contains(where: { $0.identifier == drive.identifier }) else {
                    throw UserError("Duplicate ID '\(drive.identifier)' for drive")
                }
                spec.drives.append(drive)
                if drive.interface == .virtio { addDisk(drive) }
                if drive.interface == .ide { try addIDEDrive(drive) }
            } catch { throw error.at(entry.place) }
        }
        try addDefaultCDROM()
    }

    private mutating func addIDEDrive(_ drive: DriveSpec) throws(UserError) {
        guard spec.board.kind != .microvm else {
            throw UserError(
                "machine 'microvm' has no IDE controller",
                remedy: "use if=virtio, or if=none,id=ID with -device virtio-blk-device,drive=ID")
        }
        var device = DriveDeviceSpec(isCDROM: drive.isCDROM)
        device.drive = drive.identifier
        device.bus = drive.bus
        device.unit = drive.unit
        device.serial = drive.serial
        device.writeError = drive.writeError
        device.readError = drive.readError
        let isTaken = spec.devices.contains {
            if case .pc(.drive(let other)) = $0.model { return other.bus == device.bus && other.unit == device.unit }
            return false
        }
        guard !isTaken else { throw UserError("drive with bus=\(drive.bus), unit=\(drive.unit) exists") }
        spec.devices.append(
            DeviceSpec(typeName: drive.isCDROM ? "ide-cd" : "ide-hd", identifier: nil, model: .pc(.drive(device))))
    }

    /// Boards with an IDE or SATA controller have an empty CD-ROM drive as third drive.
    private mutating func addDefaultCDROM() throws(UserError) {
        guard hasDefaults, spec.board.kind == .pc || spec.board.kind == .q35 else { return }
        let names = ["ide-cd", "ide-hd", "ide-drive", "scsi-cd"]
        let hasOwn = devices.contains { names.contains($0.value.peek("driver") ?? "") }
        let place = spec.board.kind == .q35 ? (2, 0) : (1, 0)
        let isTaken = spec.drives.contains { $0.interface == .ide && ($0.isCDROM || ($0.bus, $0.unit) == place) }
        guard !hasOwn, !isTaken else { return }
        var drive = DriveSpec(identifier: "ide\(place.0)-cd0")
        drive.interface = .ide
        drive.isCDROM = true
        drive.isReadOnly = true
        (drive.bus, drive.unit) = place
        spec.drives.append(drive)
        try addIDEDrive(drive)
    }

    private mutating func addDisk(_ drive: DriveSpec) {
        let isMMIO = spec.board.kind == .microvm
        var block = VirtioBlockSpec(drive: drive.identifier)
        block.serial = drive.serial
        block.writeError = drive.writeError
        block.readError = drive.readError
        spec.devices.append(
            DeviceSpec(
                typeName: isMMIO ? "virtio-blk-device" : "virtio-blk-pci", identifier: nil,
                model: .virtioBlock(VirtioTransportSpec(bus: isMMIO ? .mmio : .pci), block)))
    }
}
