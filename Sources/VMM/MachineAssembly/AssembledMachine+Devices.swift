// SPDX-License-Identifier: Apache-2.0

internal import BlockLayer
internal import CharacterStreams
internal import Diagnostics
internal import HostIO
internal import InterruptControllers
internal import MachineModel
internal import MachineRuntime
internal import MachineSpec
internal import PCChipset
internal import PCIBus
internal import Virtio
internal import VirtioDevices

/// Ports and interrupts of the four serial ports that a PC has places for.
struct SerialPlace: Equatable {
    var port: UInt16
    var interrupt: Int

    static let usual = [
        SerialPlace(port: 0x3F8, interrupt: 4), SerialPlace(port: 0x2F8, interrupt: 3),
        SerialPlace(port: 0x3E8, interrupt: 4), SerialPlace(port: 0x2E8, interrupt: 3),
    ]
}

extension AssembledMachine {
    /// Where the serial ports of the description are, in order.
    var serialPlaces: [SerialPlace] {
        var next = 0
        return spec.devices.compactMap { device in
            guard case .isaSerial(let serial) = device.model else { return nil }
            let index = min(serial.index ?? next, SerialPlace.usual.count - 1)
            next = index + 1
            let usual = SerialPlace.usual[index]
            return SerialPlace(port: serial.port ?? usual.port, interrupt: serial.interrupt ?? usual.interrupt)
        }
    }

    /// Makes every device of the description and puts it in its place.
    func plugIn(_ board: PCBoard, requests: any MachineRequests) throws(UserError) {
        var places = serialPlaces[...]
        for device in spec.devices {
            do throws(UserError) {
                if case .isaSerial(let serial) = device.model {
                    if let place = places.popFirst() { try addSerial(serial, place, board) }
                } else {
                    try make(device, board)
                }
            } catch { throw error.at("-device \(device.typeName)") }
        }
    }

    /// Makes one device. The machine lock is held, or the machine does not run yet.
    func make(_ device: DeviceSpec, _ board: PCBoard) throws(UserError) {
        guard let requests else { throw UserError("the machine is not made yet") }
        switch device.model {
        // Made with their places, in order.
        case .isaSerial: break
        case .virtioPort(let port): try addPort(port, device)
        case .isaDebugExit(let port, let size):
            DebugExit(port: UInt64(port), count: UInt64(size), requests: requests).map(in: portSpace)
        case .isaDebugConsole(let port, let readback, let name):
            let stream = try characters.frontEnd(name)
            DebugConsole(port: UInt64(port), readback: readback) { byte in _ = stream.send([byte]) }
                .map(in: portSpace)
        case .pcTestDevice:
            let lines = (0..<GSIRouting.count).map { board.routing.interruptLine(gsi: $0) }
            let test = TestDevice(lines: lines)
            test.map(ports: portSpace, memory: space)
            kept.append(test)
        case .pciTestDevice: try add(PCITestDevice(), device, board)
        case .panicNotifier(let port, let events):
            PanicPort(port: UInt64(port), events: events, requests: requests).map(in: portSpace)
        case .panicNotifierPCI(let events):
            try add(PCIPanicDevice(events: events, requests: requests), device, board)
        case .pcieRootPort(let port):
            let function = PCIExpressRootPort(
                identifier: device.identifier, port: port.port, slot: port.slot,
                isHotPluggable: port.isHotpluggable, upstream: board.bus)
            try add(function, device, board)
        case .pc(let part): try addPart(part, device, board)
        case .virtioBlock, .virtioNetwork, .virtioSerial, .virtioRandom, .virtioBalloon:
            let (model, transport) = try makeVirtio(device)
            if let serial = model as? VirtioSerialDevice { serialBus = serial }
            try add(model, transport, device, board)
        }
    }

    private func addPort(_ port: VirtioPortSpec, _ device: DeviceSpec) throws(UserError) {
        guard let bus = serialBus else {
            throw UserError("No 'virtio-serial-bus' bus found for device '\(device.typeName)'")
        }
        let backend = try port.characterDevice.map { name throws(UserError) in try characters.frontEnd(name) }
        let made = VirtioSerialPort(
            isConsole: port.isConsole, name: port.name ?? "", number: port.number, backend: backend)
        if let name = device.identifier, !port.isConsole {
            made.guestOpened = { [runner, loop] isOpen in
                // Said with the machine lock held.
                loop.post { runner.announce(.serialPortChanged(identifier: name, isOpen: isOpen)) }
            }
        }
        try bus.add(made)
    }

    private func addSerial(_ serial: ISASerialSpec, _ place: SerialPlace, _ board: PCBoard) throws(UserError) {
        let port = UART16550(clock: clock, interrupt: board.routing.interruptLine(gsi: place.interrupt))
        portSpace.map(port, at: UInt64(place.port), count: 8, name: "serial")
        serialPorts.append(port)
        if let name = serial.characterDevice {
            let stream = try characters.frontEnd(name)
            kept.append(CharacterSerialPort(port: port, stream: stream, machineLock: lock))
        }
    }

    func add(_ function: PCIDevice, _ device: DeviceSpec, _ board: PCBoard) throws(UserError) {
        guard board.transports == nil else {
            throw UserError(
                "No 'PCI' bus found for device '\(device.typeName)'", remedy: "a microvm has virtio-mmio devices")
        }
        function.identifier = device.identifier
        function.isMultifunction = device.placement.isMultifunction
        let place = device.placement.slot.flatMap { PCIAddress(slot: $0, function: device.placement.function) }
        let bus = try pciBus(device.placement.bus, board)
        do throws(PCIBusError) {
            if let hotPlugPort {
                try hotPlugPort.plug(function)
            } else if let hotPlugSlots {
                try hotPlugSlots.plug(function, at: place)
            } else {
                try bus.add(function, at: place)
            }
        } catch { throw UserError(error.description) }
        pciDevices.append(function)
    }

    /// The root bus, or the one behind a port.
    private func pciBus(_ name: String?, _ board: PCBoard) throws(UserError) -> PCIBus {
        guard let name, name != board.bus.name, name != "pci.0", name != "pcie.0" else { return board.bus }
        guard let port = board.bus.rootPorts.first(where: { $0.identifier == name }) else {
            throw UserError("Bus '\(name)' not found")
        }
        return port.secondaryBus
    }

    private func add(
        _ model: any VirtioDevice, _ transport: VirtioTransportSpec, _ device: DeviceSpec, _ board: PCBoard
    ) throws(UserError) {
        guard transport.bus == .pci else {
            guard let transports = board.transports else {
                throw UserError(
                    "No 'virtio-bus' bus found for device '\(device.typeName)'",
                    remedy: "use its -pci sibling, or -M microvm")
            }
            return try transports.add(
                model, bus: device.placement.bus, isLegacy: spec.board.hasLegacyTransports, memory: guestMemory,
                executor: executor, hasPackedRings: transport.packedRings)
        }
        if transport.accessPlatform { throw UserError("iommu_platform=on is not supported", remedy: "leave it out") }
        // Behind a PCI Express port there are no legacy devices unless somebody asks for them.
        let isBehindPort = try pciBus(device.placement.bus, board) !== board.bus
        let automatic: VirtioTransportSpec.Generation = isBehindPort ? .modernOnly : .transitional
        var options = VirtioPCIOptions(
            disableLegacy: (transport.generation ?? automatic) == .modernOnly,
            disableModern: transport.generation == .legacyOnly,
            vectors: transport.vectors)
        options.hasEventIndex = transport.eventIndex
        options.hasIndirectDescriptors = transport.indirectDescriptors
        options.hasPackedRings = transport.packedRings
        options.usesEventFiles = transport.ioEventDescriptors
        let function = VirtioPCIDevice(
            model, name: device.typeName, identifier: device.identifier, memory: guestMemory, executor: executor,
            options: options)
        if case .virtioNetwork = device.model { try addBootROM("efi-virtio.rom", to: function, device) }
        try add(function, device, board)
        noteBootIndex(of: device, at: function)
    }

    private func makeVirtio(_ device: DeviceSpec) throws(UserError) -> (any VirtioDevice, VirtioTransportSpec) {
        switch device.model {
        case .virtioBlock(let transport, let block): return (try makeBlock(block), transport)
        case .virtioNetwork(let transport, let card): return (try makeNetwork(card, device), transport)
        case .virtioSerial(let transport, let count):
            return (VirtioSerialDevice(machineLock: lock, maximumPorts: count), transport)
        case .virtioRandom(let transport, let random):
            let limit = random.maximumBytes.map {
                VirtioEntropyDevice.Limit(bytes: max($0, 1), milliseconds: max(random.period, 1), clock: clock)
            }
            return (VirtioEntropyDevice(limit: limit), transport)
        case .virtioBalloon(let transport, let balloon):
            let model = VirtioBalloonDevice(
                deflateOnOOM: balloon.deflateOnOutOfMemory, freePageReporting: balloon.freePageReporting)
            try adopt(model)
            return (model, transport)
        default: throw UserError("'\(device.typeName)' is no virtio device")
        }
    }

    private func makeBlock(_ spec: VirtioBlockSpec) throws(UserError) -> any VirtioDevice {
        let node = try storage.node(spec.drive)
        var options = VirtioBlockOptions()
        options.serial = spec.serial ?? ""
        options.queueCount = spec.queueCount ?? min(self.spec.topology.count, 64)
        options.queueSize = UInt16(clamping: spec.queueSize)
        if let size = spec.logicalBlockSize { options.logicalBlockSize = size }
        if let size = spec.physicalBlockSize { options.physicalBlockSize = size }
        options.minimumIOSize = spec.minimumIOSize
        options.optimalIOSize = spec.optimalIOSize
        options.hasDiscard = spec.discard
        options.hasWriteZeroes = spec.writeZeroes
        options.canSwitchCache = spec.configurableWriteCache
        options.hasWriteCache = spec.writeCache.resolved(true)
        let drive = self.spec.drives.first { $0.identifier == spec.drive }
        options.writeErrors = Self.policy(spec.writeError ?? drive?.writeError ?? .noSpace)
        options.readErrors = Self.policy(spec.readError ?? drive?.readError ?? .report)
        let isDrive = drive != nil
        options.onError = { [runner, messages] failure in
            messages.warning("disk '\(spec.drive)': \(failure.message)")
            let event = MachineEvent.blockError(
                MachineEvent.BlockFailure(
                    device: isDrive ? spec.drive : "", nodeName: isDrive ? "" : spec.drive, isWrite: failure.isWrite,
                    action: failure.action == .enospc ? "stop" : failure.action.rawValue,
                    isNoSpace: failure.isNoSpace, reason: failure.message))
            if failure.action == .stop { runner.requestStop(.ioError, event: event) } else { runner.announce(event) }
        }
        let device = try VirtioBlockDevice(node, options: options)
        disks.append((spec.drive, spec.ioThread, device))
        return device
    }

    private static func policy(_ action: DriveSpec.ErrorAction) -> BlockErrorPolicy {
        switch action {
        case .ignore: .ignore
        case .report: .report
        case .stop: .stop
        case .noSpace: .enospc
        }
    }

    private func makeNetwork(
        _ spec: VirtioNetworkSpec, _ device: DeviceSpec
    ) throws(UserError) -> any VirtioDevice {
        let address = spec.address ?? nextAddress
        var options = VirtioNetworkOptions(address: address)
        options.mtu = spec.hostMTU
        options.receiveQueueSize = UInt16(clamping: spec.receiveQueueSize)
        options.transmitQueueSize = UInt16(clamping: spec.transmitQueueSize)
        for feature in spec.disabledFeatures.sorted() where !options.disable(feature) {
            throw UserError("\(feature)=off is not supported", remedy: "leave it out")
        }
        let model = VirtioNetworkDevice(options, port: try networks.port(spec.network), loop: loop)
        note(
            device, address, network: spec.network,
            announce: { [unowned model] in model.requestAnnouncement(machineLockHeld: false) },
            setLink: { [unowned model] isUp in model.setLink(isUp: isUp, machineLockHeld: false) })
        return model
    }

    /// The host's random numbers have one source.
    func checkRandomSources() throws(UserError) {
        for object in spec.objects {
            guard case .hostRandom(let path) = object.kind, !["/dev/urandom", "/dev/random"].contains(path) else {
                continue
            }
            throw UserError(
                "-object rng-random,filename=\(path) is not available", because: "the kernel's random bytes are used",
                remedy: "write /dev/urandom")
        }
    }
}
