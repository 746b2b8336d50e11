// SPDX-License-Identifier: Apache-2.0

internal import BlockLayer
internal import Diagnostics
internal import DiskControllers
internal import HostIO
internal import HostSystem
internal import MachineRuntime
internal import MachineSpec
internal import PCIBus
internal import Virtio

/// A drive on an IDE channel, a SATA port or a USB cable.
final class AssembledDrive {
    /// What the person calls the device, or its place: "ide1-cd0".
    let name: String
    /// "ide0-hd0" or the identifier of its -drive or node.
    let backend: String
    let medium: DriveMedium
    /// Of a CD-ROM drive.
    let disc: CDROMCommands?

    init(name: String, backend: String, medium: DriveMedium, disc: CDROMCommands?) {
        (self.name, self.backend, self.medium, self.disc) = (name, backend, medium, disc)
    }
}

extension AssembledMachine {
    private static let workerCount = 4

    /// Makes a device of a PC.
    func addPart(_ part: PCDeviceSpec, _ device: DeviceSpec, _ board: PCBoard) throws(UserError) {
        switch part {
        case .drive(let drive): try addDrive(drive, device, board)
        case .vga(let vga): try addVGA(vga, device, board)
        case .ramFramebuffer: addRAMFramebuffer(board)
        case .networkCard(let card): try addNetworkCard(card, device, board)
        case .usbController(let controller): try addUSBController(controller, device, board)
        case .usbDevice(let usb): try addUSBDevice(usb, device)
        }
    }

    /// Plugs a drive into the board's IDE or SATA controller.
    func addDrive(_ spec: DriveDeviceSpec, _ device: DeviceSpec, _ board: PCBoard) throws(UserError) {
        let place = try drivePlace(spec, board)
        let medium = try makeMedium(spec)
        var identity = DriveIdentity(
            model: spec.isCDROM ? "QEMU DVD-ROM" : "QEMU HARDDISK", number: drives.count + 1)
        if let serial = spec.serial ?? self.spec.drives.first(where: { $0.identifier == spec.drive })?.serial {
            identity.serial = serial
        }
        if let model = spec.modelName { identity.model = model }
        if let version = spec.version { identity.firmware = version }
        identity.worldWideName = spec.worldWideName
        identity.rotationRate = spec.rotationRate
        if let size = spec.physicalBlockSize { identity.physicalSectorSize = size }
        identity.hasWriteCache = spec.writeCache.resolved(true)
        let drive =
            spec.isCDROM
            ? ATADrive(cdrom: CDROMCommands(medium: medium), identity: identity)
            : ATADrive(disk: medium, identity: identity)
        board.ide?.channels[place.bus].attach(drive, at: place.unit)
        board.sata?.attach(drive, at: place.bus)
        let name = device.identifier ?? "ide\(place.bus)-\(spec.isCDROM ? "cd" : "hd")\(place.unit)"
        note(AssembledDrive(name: name, backend: spec.drive ?? name, medium: medium, disc: drive.packetCommands))
        if let index = spec.bootIndex {
            let controller = board.ide == nil ? "pci8086,2922@1f,2" : "ide@1,1"
            bootEntries.append((index, "/pci@i0cf8/\(controller)/drive@\(place.bus)/disk@\(place.unit)"))
        }
    }

    /// A drive that monitors know of.
    func note(_ drive: AssembledDrive) {
        drives.append(drive)
        watchTray(of: drive)
    }

    private func drivePlace(_ spec: DriveDeviceSpec, _ board: PCBoard) throws(UserError) -> (bus: Int, unit: Int) {
        if let ide = board.ide {
            for bus in ide.channels.indices where spec.bus == nil || spec.bus == bus {
                for unit in 0..<2 where spec.unit == nil || spec.unit == unit {
                    if ide.channels[bus].drives[unit] == nil { return (bus, unit) }
                }
            }
        } else if let sata = board.sata, spec.unit ?? 0 == 0 {
            for bus in 0..<AHCIController.portCount where spec.bus == nil || spec.bus == bus {
                if sata.drive(at: bus) == nil { return (bus, 0) }
            }
        }
        throw UserError(
            spec.bus.map { "ide.\($0) has no place left for the drive" } ?? "no IDE or SATA place is left")
    }

    func makeMedium(_ spec: DriveDeviceSpec) throws(UserError) -> DriveMedium {
        var node: (any BlockNode)?
        let drive = self.spec.drives.first { $0.identifier == spec.drive }
        if let name = spec.drive, drive == nil || drive?.file != nil { node = try storage.node(name) }
        if !spec.isCDROM, node?.isReadOnly == true {
            throw UserError("Block node is read-only")
        }
        if diskWorkers == nil {
            do throws(Errno) { diskWorkers = try WorkerPool(name: "disk-io", count: Self.workerCount) } catch {
                throw UserError("cannot start threads for disks", because: error)
            }
        }
        let executor = executor
        let medium = DriveMedium(node, memory: guestMemory, pool: diskWorkers) { work in
            executor.run(machineLockHeld: false, work)
        }
        let writeErrors = spec.writeError ?? drive?.writeError ?? .noSpace
        let readErrors = spec.readError ?? drive?.readError ?? .report
        let name = spec.drive ?? "cdrom", isDrive = drive != nil
        medium.onError = { [messages, runner] error, isWrite in
            messages.warning("disk '\(name)': \(error)")
            let policy = isWrite ? writeErrors : readErrors
            let action: DriveErrorAction =
                switch policy {
                case .stop: .stop
                case .noSpace: error.kind == .noSpace ? .stop : .report
                case .ignore: .ignore
                case .report: .report
                }
            let event = MachineEvent.blockError(
                MachineEvent.BlockFailure(
                    device: isDrive ? name : "", nodeName: isDrive ? "" : name, isWrite: isWrite,
                    action: action.rawValue, isNoSpace: error.kind == .noSpace, reason: error.message))
            if action == .stop { runner.requestStop(.ioError, event: event) } else { runner.announce(event) }
            return action
        }
        return medium
    }
}
