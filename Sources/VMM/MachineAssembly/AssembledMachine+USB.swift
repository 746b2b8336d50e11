// SPDX-License-Identifier: Apache-2.0

internal import BlockLayer
internal import ControlServer
internal import Diagnostics
internal import DiskControllers
internal import DisplaySurfaces
internal import HostIO
internal import HostSystem
internal import JSONCoding
internal import MachineSpec
internal import PCIBus
internal import USBDevices
internal import VNCServer

// USB controllers and what hangs on their cables.

extension AssembledMachine {
    /// Makes a controller with empty ports.
    func addUSBController(_ spec: USBControllerSpec, _ device: DeviceSpec, _ board: PCBoard) throws(UserError) {
        let name = device.identifier.map { $0 + ".0" } ?? "usb-bus.\(usbControllers.count)"
        if let model = XHCIController.Model(rawValue: spec.model) {
            let controller = XHCIController(
                model, busName: name, usb2Ports: spec.usb2Ports, usb3Ports: spec.usb3Ports, memory: guestMemory,
                clock: clock)
            try add(controller, device, board)
            usbControllers.append(controller)
        } else if let model = UHCIController.Model(rawValue: spec.model) {
            let controller = UHCIController(model, busName: name, memory: guestMemory, clock: clock)
            try add(controller, device, board)
            guard let master = spec.masterBus else {
                usbControllers.append(controller)
                return
            }
            guard let owner = usbControllers.first(where: { $0.busName == master }) as? EHCIController else {
                throw UserError("USB bus '\(master)' not found")
            }
            guard owner.add(controller, firstPort: spec.firstPort + 1) else {
                throw UserError(
                    "firstport must be between 0 and \(owner.portCount - controller.portCount), where no other companion is"
                )
            }
        } else if let model = EHCIController.Model(rawValue: spec.model) {
            let controller = EHCIController(model, busName: name, memory: guestMemory, clock: clock)
            try add(controller, device, board)
            usbControllers.append(controller)
        } else {
            throw UserError("'\(spec.model)' is no USB controller")
        }
    }

    /// Makes a device and plugs it in. The machine lock is held, or the machine does not run yet.
    func addUSBDevice(_ spec: USBDeviceSpec, _ device: DeviceSpec) throws(UserError) {
        let (controller, place) = try usbPlace(spec, device)
        let made: USBDevice
        var options = USBHumanInterface.Options()
        options.isFullSpeedOnly = spec.version == 1
        if let serial = spec.serial { options.serial = serial }
        switch spec.kind {
        case .tablet, .mouse:
            let pointer = USBPointer(isAbsolute: spec.kind == .tablet, options: options, clock: clock)
            input.addIdle(pointer)
            pointer.activated = { [unowned self, unowned pointer] in input.activate(pointer) }
            pointer.deactivated = { [unowned self, unowned pointer] in input.deactivate(pointer) }
            made = pointer
        case .keyboard:
            let keyboard = USBKeyboard(options: options, clock: clock)
            input.addIdle(keyboard)
            keyboard.activated = { [unowned self, unowned keyboard] in input.activate(keyboard) }
            keyboard.deactivated = { [unowned self, unowned keyboard] in input.deactivate(keyboard) }
            keyboard.lightsChanged = { [weak self] lights in self?.showLights(usb: lights) }
            made = keyboard
        case .storage(let storage): made = try makeUSBStorage(storage, device, controller, place.path)
        case .hub(let ports): made = USBHub(ports: ports)
        }
        made.identifier = device.identifier
        if let high = place.owner as? EHCIController, !high.takes(made, at: place.port) {
            throw UserError(
                "speed mismatch trying to attach usb device \"\(made.product)\" (full speed) to bus \"\(high.busName)\", port \"\(place.path)\" (high speed)"
            )
        }
        place.owner.attach(made, at: place.port)
    }

    /// Scroll, num and caps lock are the lowest bits on a PS/2 keyboard; num, caps and scroll lock on USB.
    private func showLights(usb lights: UInt8) {
        let scroll = lights >> 2 & 1
        for server in screenServers { server.setIndicators(scroll | (lights & 3) << 1) }
    }

    /// A port of a controller or of a hub.
    private typealias USBPort = (path: String, owner: any USBPortOwner, port: Int)

    private func usbPlace(
        _ spec: USBDeviceSpec, _ device: DeviceSpec
    ) throws(UserError) -> (controller: any USBController, place: USBPort) {
        let buses = usbControllers.filter { spec.bus == nil || $0.busName == spec.bus }
        guard let first = buses.first else {
            throw UserError(
                spec.bus.map { "Bus '\($0)' not found" } ?? "No 'usb-bus' bus found for device '\(device.typeName)'")
        }
        guard let wanted = spec.port else {
            for controller in buses {
                let free = controller.freePorts()
                guard let place = free.first else { continue }
                guard free.count == 1, !spec.kind.isHub else { return (controller, place) }
                // The last port is for a hub, so that more can come.
                let hub = USBHub()
                if let high = place.owner as? EHCIController, !high.takes(hub, at: place.port) {
                    return (controller, place)
                }
                place.owner.attach(hub, at: place.port)
                return (controller, (place.path + ".1", hub, 1))
            }
            throw UserError(
                "tried to attach usb device to a bus with no free ports", because: "'\(first.busName)' is full")
        }
        guard let place = first.freePorts().first(where: { $0.path == wanted }) else {
            let isTaken = first.places().contains { $0.path == wanted }
            throw UserError("usb port \(wanted) (bus \(first.busName)) not found\(isTaken ? " (in use?)" : "")")
        }
        return (first, place)
    }

    private func makeUSBStorage(
        _ spec: USBStorageSpec, _ device: DeviceSpec, _ controller: any USBController, _ port: String
    ) throws(UserError) -> USBStorage {
        let drive = self.spec.drives.first { $0.identifier == spec.drive }
        var like = DriveDeviceSpec(isCDROM: drive?.isCDROM ?? false)
        (like.drive, like.writeError, like.readError) = (spec.drive, spec.writeError, spec.readError)
        let medium = try makeMedium(like)
        let function = controller as? PCIDevice
        let address = function?.address ?? PCIAddress(packed: 0)
        let serial = spec.serial ?? drive?.serial ?? "1-0000:00:\(address)-\(port)"
        let target: any SCSITarget
        var disc: CDROMCommands?
        if like.isCDROM {
            let commands = CDROMCommands(medium: medium, product: "QEMU CD-ROM")
            (target, disc) = (commands, commands)
        } else {
            guard medium.node != nil else { throw UserError("Device needs media, but drive is empty") }
            var identity = SCSIDisk.Identity()
            identity.serial = spec.serial ?? drive?.serial ?? ""
            identity.isRemovable = spec.isRemovable
            if let size = spec.logicalBlockSize { identity.blockSize = size }
            target = SCSIDisk(medium: medium, identity: identity, hasWriteCache: spec.writeCache.resolved(true))
        }
        note(
            AssembledDrive(
                name: device.identifier ?? "usb-storage-\(controller.busName)-\(port)", backend: spec.drive,
                medium: medium, disc: disc))
        if let index = spec.bootIndex, let function {
            let path = Self.firmwarePath("usb", function)
            bootEntries.append((index, path + "/storage@\(port)/channel@0/disk@0,0"))
        }
        return USBStorage(target: target, serial: serial)
    }

    // MARK: leaving

    /// Pulls the plug of a device; a guest has no say in it.
    /// - Returns: false where no USB device has that name.
    func removeUSBDevice(_ name: String) throws(UserError) -> Bool {
        for controller in usbControllers {
            let places = controller.places()
            guard let place = places.first(where: { $0.device.identifier == name }) else { continue }
            // A hub takes along what hangs on it.
            let gone = places.filter { $0.path == place.path || $0.path.hasPrefix(place.path + ".") }.map(\.device)
            lock.withLock {
                place.owner.detach(place.device)
                for device in gone { input.remove(device) }
            }
            for device in gone.reversed() { forget(device) }
            return true
        }
        return false
    }

    private func forget(_ device: USBDevice) {
        if let storage = device as? USBStorage { drives.removeAll { $0.medium === storage.target.medium } }
        guard let name = device.identifier else { return }
        spec.devices.removeAll { $0.identifier == name }
        loop.post { [weak self] in
            self?.control?.emit(
                "DEVICE_DELETED", data: ["device": .string(name), "path": .string("/machine/peripheral/\(name)")])
        }
    }

    // MARK: state

    /// Devices by the sections of a saved machine.
    var usbParts: [(name: String, device: USBDevice)] {
        usbControllers.flatMap { controller in
            controller.places().map { ("usb \(controller.busName) \($0.path) \($0.device.name)", $0.device) }
        }
    }
}

extension AssembledMachine: USBReporting {
    /// What hangs on the cables.
    var usbReports: [USBReport]? {
        guard !usbControllers.isEmpty else { return nil }
        return lock.withLock {
            usbControllers.enumerated().flatMap { number, controller in
                controller.places().map { place in
                    USBReport(
                        bus: number, address: Int(place.device.common.address), port: place.path,
                        speed: place.device.speed.megabits, product: place.device.product,
                        identifier: place.device.identifier)
                }
            }
        }
    }
}

extension USBDeviceSpec.Kind {
    fileprivate var isHub: Bool {
        if case .hub = self { true } else { false }
    }
}
