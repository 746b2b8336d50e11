// SPDX-License-Identifier: Apache-2.0

internal import BlockLayer
internal import CharacterStreams
internal import Diagnostics
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
        var serialBus: VirtioSerialDevice?
        var places = serialPlaces[...]
        // Serial buses first, since a port may be named before its bus.
        for device in spec.devices {
            do throws(UserError) {
                switch device.model {
                case .isaSerial(let serial):
                    if let place = places.popFirst() { try addSerial(serial, place, board) }
                case .virtioPort(let port):
                    guard let bus = serialBus else {
                        throw UserError("No 'virtio-serial-bus' bus found for device '\(device.typeName)'")
                    }
                    let backend = try port.characterDevice.map { name throws(UserError) in try characters.frontEnd(name)
                    }
                    try bus.add(
                        VirtioSerialPort(
                            isConsole: port.isConsole, name: port.name ?? "", number: port.number, backend: backend))
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
                        identifier: device.identifier, port: port.port, chassis: port.chassis, upstream: board.bus)
                    try add(function, device, board)
                case .pc(let part): try addPart(part, device, board)
                case .virtioBlock, .virtioNetwork, .virtioSerial, .virtioRandom, .virtioBalloon:
                    let (model, transport) = try makeVirtio(device)
                    if let serial = model as? VirtioSerialDevice { serialBus = serial }
                    try add(model, transport, device, board)
                }
            } catch { throw error.at("-device \(device.typeName)") }
        }
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
        function.identifier = device.identifier
        function.isMultifunction = device.placement.isMultifunction
        let place = device.placement.slot.flatMap { PCIAddress(slot: $0, function: device.placement.function) }
        let bus = try pciBus(device.placement.bus, board)
        do throws(PCIBusError) { try bus.add(function, at: place) } catch { throw UserError(error.description) }
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
            throw UserError("No 'virtio-bus' bus found for device '\(device.typeName)'")
        }
        if transport.packedRings { throw UserError("packed=on is not supported yet", remedy: "leave it out") }
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
        options.usesEventFiles = transport.ioEventDescriptors
        let function = VirtioPCIDevice(
            model, name: device.typeName, identifier: device.identifier, memory: guestMemory, executor: executor,
            options: options)
        if case .virtioNetwork = device.model, spec.boot.kernel == nil,
            let file = device.placement.romFile, let rom = try optionROM(file, device)
        {
            function.addROM(rom)
        }
        try add(function, device, board)
        noteBootIndex(of: device, at: function.address)
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
            if let name = random.object,
                case .hostRandom(let path)? = self.spec.objects.first(where: {
                    $0.identifier == name
                })?.kind, path != "/dev/urandom", path != "/dev/random"
            {
                throw UserError(
                    "-object rng-random,filename=\(path) is not available",
                    because: "the kernel's random bytes are used",
                    remedy: "write /dev/urandom")
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
        // QEMU's own prefix; the last byte counts the cards.
        let number = UInt8(truncatingIfNeeded: networkCards.count)
        let address = spec.address ?? [0x52, 0x54, 0x00, 0x12, 0x34, 0x56 &+ number]
        var options = VirtioNetworkOptions(address: address)
        options.mtu = spec.hostMTU
        options.receiveQueueSize = UInt16(clamping: spec.receiveQueueSize)
        options.transmitQueueSize = UInt16(clamping: spec.transmitQueueSize)
        for feature in spec.disabledFeatures.sorted() where !options.disable(feature) {
            throw UserError("\(feature)=off is not supported", remedy: "leave it out")
        }
        let model = VirtioNetworkDevice(options, port: try networks.port(spec.network), loop: loop)
        let peers = networkCards.filter { $0.typeName == device.typeName }.count
        networkCards.append(
            NetworkCard(
                name: device.identifier ?? "\(device.typeName).\(peers)", typeName: device.typeName, address: address,
                device: model, network: spec.network))
        return model
    }
}
