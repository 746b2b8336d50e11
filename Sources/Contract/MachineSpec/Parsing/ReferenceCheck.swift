// SPDX-License-Identifier: Apache-2.0

internal import CommandLineKit
internal import Diagnostics

/// Checks what a machine's parts say of each other: that names exist, are used once, and fit the board.
struct ReferenceCheck {
    let spec: MachineSpec
    private var identifiers: Set<String> = []
    private var usedDrives: Set<String> = []
    private var usedNetworks: Set<String> = []
    private var frontends: [String: String] = [:]
    private var serialBuses: [String] = []
    private var bridges: Set<String> = []
    /// Chassis and slot numbers of root ports.
    private var slots: Set<[UInt16]> = []
    private var usbBuses: [String] = []

    private let nodes: [String]

    /// - Parameter nodes: block nodes that came while the machine ran.
    init(spec: MachineSpec, nodes: [String] = []) { (self.spec, self.nodes) = (spec, nodes) }

    mutating func run() throws(UserError) {
        try checkMemory()
        try checkFlash()
        for monitor in spec.monitors { try use(monitor.characterDevice, by: "a monitor") }
        if let debugger = spec.debugger { try use(debugger, by: "the debugger") }
        for processor in spec.topology.plugged { try checkIdentifier(processor.identifier) }
        for device in spec.devices {
            do { try check(device) } catch {
                let name = device.identifier.map { ",id=\($0)" } ?? ""
                throw error.at("-device \(device.typeName)\(name)")
            }
        }
        for server in spec.display.vncServers { try check(server) }
        for object in spec.objects {
            if case .secret(let secret) = object.kind, let key = secret.key, !hasObject(key.identifier) {
                throw UserError(
                    "No secret with id '\(key.identifier)'", place: "-object secret,id=\(object.identifier)")
            }
        }
    }

    private func hasObject(_ identifier: String) -> Bool { spec.objects.contains { $0.identifier == identifier } }

    private func check(_ server: VNCServerSpec) throws(UserError) {
        let place = "-vnc"
        if let name = server.passwordSecret {
            guard let found = spec.objects.first(where: { $0.identifier == name }), case .secret = found.kind else {
                throw UserError(
                    "No secret with id '\(name)'", remedy: "add -object secret,id=\(name),data=...", place: place)
            }
        }
        if let name = server.credentials {
            guard let found = spec.objects.first(where: { $0.identifier == name }),
                case .certificates(let certificates) = found.kind
            else {
                throw UserError(
                    "No TLS credentials with id '\(name)'", remedy: "add -object tls-creds-x509,id=\(name),dir=...",
                    place: place)
            }
            guard certificates.isServer else {
                throw UserError("Expecting TLS credentials with a server endpoint", place: place)
            }
        }
        if let name = server.display, !spec.devices.contains(where: { $0.identifier == name }) {
            throw UserError("Device '\(name)' not found", place: place)
        }
    }

    private mutating func checkFlash() throws(UserError) {
        let drives = spec.drives.filter { $0.interface == .pflash }.map(\.unit)
        for (number, node) in spec.board.flash.sorted(by: { $0.key < $1.key }) {
            let place = "-machine pflash\(number)=\(node)"
            guard !drives.contains(number) else {
                throw UserError(
                    "there is a -drive if=pflash,unit=\(number) already", remedy: "use one of them", place: place)
            }
            guard (spec.drives.map(\.identifier) + spec.blockNodes.map(\.name)).contains(node) else {
                throw UserError(
                    "Property '\(spec.board.name)-machine.pflash\(number)' can't find value '\(node)'",
                    remedy: "add -blockdev ...,node-name=\(node)", place: place)
            }
            guard usedDrives.insert(node).inserted else {
                throw UserError("Drive '\(node)' is already in use by another block device", place: place)
            }
        }
        guard spec.board.flash[1] == nil || spec.board.flash[0] != nil || drives.contains(0) else {
            throw UserError("pflash1 requires pflash0")
        }
    }

    private func checkMemory() throws(UserError) {
        guard let backend = spec.memory.backend else { return }
        guard let object = spec.objects.first(where: { $0.identifier == backend }) else {
            throw UserError(
                "memory-backend '\(backend)' not found", remedy: "add -object memory-backend-ram,id=\(backend)")
        }
        let bytes: UInt64
        switch object.kind {
        case .memory(let size, _, _), .memoryFile(let size, _, _, _, _), .memoryDescriptor(let size, _, _): bytes = size
        default: throw UserError("memory-backend '\(backend)' is not a memory object")
        }
        guard bytes == spec.memory.bytes else {
            throw UserError(
                "Size specified by -m option must match size of explicitly specified 'memory-backend' property")
        }
    }

    /// A stream has one front end, unless it is multiplexed.
    private mutating func use(_ device: String, by user: String) throws(UserError) {
        guard let found = spec.characterDevices.first(where: { $0.identifier == device }) else {
            throw UserError("character device '\(device)' does not exist", remedy: "add -chardev ...,id=\(device)")
        }
        if let other = frontends[device], !found.isMultiplexed {
            throw UserError(
                "character device '\(device)' is already in use by \(other)", remedy: "add mux=on to share it")
        }
        frontends[device] = user
    }

    private mutating func checkIdentifier(_ identifier: String?) throws(UserError) {
        guard let identifier, !identifiers.insert(identifier).inserted else { return }
        throw UserError("Duplicate ID '\(identifier)' for device")
    }

    private mutating func check(_ device: DeviceSpec) throws(UserError) {
        try checkIdentifier(device.identifier)
        try checkBus(device)
        switch device.model {
        case .virtioBlock(_, let block): try check(block, device)
        case .virtioNetwork(_, let network): try check(network: network.network, device)
        case .pc(.networkCard(let card)): try check(network: card.network, device)
        case .virtioSerial:
            serialBuses.append(device.identifier.map { $0 + ".0" } ?? "virtio-serial-bus.\(serialBuses.count)")
        case .virtioPort(let port):
            if let stream = port.characterDevice { try use(stream, by: device.typeName) }
            guard !serialBuses.isEmpty else {
                throw UserError(
                    "No 'virtio-serial-bus' bus found for device '\(device.typeName)'",
                    remedy: "add -device virtio-serial-pci before it")
            }
            if let bus = port.bus, !serialBuses.contains(bus) { throw UserError("Bus '\(bus)' not found") }
        case .virtioRandom(_, let random):
            if let object = random.object {
                guard let found = spec.objects.first(where: { $0.identifier == object }) else {
                    throw UserError("Device '\(object)' not found", remedy: "add -object rng-random,id=\(object)")
                }
                switch found.kind {
                case .hostRandom, .builtinRandom: break
                default: throw UserError("Invalid parameter type for 'rng', expected: rng-backend")
                }
            }
        case .isaSerial(let serial):
            if let stream = serial.characterDevice { try use(stream, by: "a serial port") }
        case .pc(.drive(let drive)): try check(drive, device)
        case .pc(.usbController):
            usbBuses.append(device.identifier.map { $0 + ".0" } ?? "usb-bus.\(usbBuses.count)")
        case .pc(.usbDevice(let usb)): try check(usb, device)
        case .pcieRootPort(let port):
            guard slots.insert([UInt16(port.chassis), port.slot]).inserted else {
                throw UserError(
                    "another port has slot \(port.slot) of chassis \(port.chassis)",
                    remedy: "give each port a chassis= or slot= of its own")
            }
        case .isaDebugConsole(_, _, let stream): try use(stream, by: device.typeName)
        default: break
        }
    }

    private mutating func check(network name: String?, _ device: DeviceSpec) throws(UserError) {
        guard let name else { return }
        guard spec.networks.contains(where: { $0.identifier == name }) else {
            throw notFound(device, "netdev", name, spec.networks.map(\.identifier))
        }
        guard usedNetworks.insert(name).inserted else {
            throw UserError("Property '\(device.typeName).netdev' can't take value '\(name)', it's in use")
        }
    }

    private mutating func check(_ block: VirtioBlockSpec, _ device: DeviceSpec) throws(UserError) {
        let names = spec.drives.map(\.identifier) + spec.blockNodes.map(\.name) + nodes
        guard names.contains(block.drive) else { throw notFound(device, "drive", block.drive, names) }
        guard usedDrives.insert(block.drive).inserted || block.shareReadWrite else {
            throw UserError(
                "Drive '\(block.drive)' is already in use by another block device",
                remedy: spec.drives.contains { $0.identifier == block.drive && $0.interface == .virtio }
                    ? "add if=none to the drive" : "")
        }
        if let thread = block.ioThread {
            guard spec.objects.contains(where: { $0.identifier == thread && $0.kind == .ioThread }) else {
                throw UserError("Device '\(thread)' not found", remedy: "add -object iothread,id=\(thread)")
            }
        }
    }

    private mutating func check(_ drive: DriveDeviceSpec, _ device: DeviceSpec) throws(UserError) {
        let kind = spec.board.kind
        guard kind == .pc || kind == .q35 else { throw UserError("No 'IDE' bus found for device '\(device.typeName)'") }
        let buses = kind == .pc ? 2 : 6
        if let bus = drive.bus, bus >= buses { throw UserError("Bus 'ide.\(bus)' not found") }
        guard let name = drive.drive else { return }
        let names = spec.drives.map(\.identifier) + spec.blockNodes.map(\.name) + nodes
        guard names.contains(name) else { throw notFound(device, "drive", name, names) }
        guard usedDrives.insert(name).inserted || drive.shareReadWrite else {
            throw UserError("Drive '\(name)' is already in use by another block device")
        }
    }

    private mutating func check(_ usb: USBDeviceSpec, _ device: DeviceSpec) throws(UserError) {
        guard !usbBuses.isEmpty else {
            throw UserError(
                "No 'usb-bus' bus found for device '\(device.typeName)'", remedy: "add -device qemu-xhci before it")
        }
        if let bus = usb.bus, !usbBuses.contains(bus) {
            throw UserError("Bus '\(bus)' not found", remedy: "use bus=\(usbBuses[0])")
        }
        guard case .storage(let storage) = usb.kind else { return }
        let names = spec.drives.map(\.identifier) + spec.blockNodes.map(\.name) + nodes
        guard names.contains(storage.drive) else { throw notFound(device, "drive", storage.drive, names) }
        guard usedDrives.insert(storage.drive).inserted || storage.shareReadWrite else {
            throw UserError("Drive '\(storage.drive)' is already in use by another block device")
        }
    }

    private func notFound(_ device: DeviceSpec, _ key: String, _ name: String, _ names: [String]) -> UserError {
        UserError(
            "Property '\(device.typeName).\(key)' can't find value '\(name)'",
            remedy: Suggestion.nearest(to: name, among: names).map { "did you mean '\($0)'?" }
                ?? "add -\(key == "drive" ? "drive if=none,file=NAME" : "netdev user"),id=\(name)")
    }

    private mutating func checkBus(_ device: DeviceSpec) throws(UserError) {
        guard let type = DeviceType.named(device.typeName) else { return }
        let kind = spec.board.kind
        let hasPCI = kind == .pc || kind == .q35 || (kind == .microvm && spec.board.pcie == .on)
        switch type.bus {
        case "PCI":
            guard hasPCI else {
                throw UserError(
                    "No 'PCI' bus found for device '\(device.typeName)'",
                    remedy: type.isVirtio && kind == .microvm
                        ? "use \(type.name.split(separator: "-").prefix(2).joined(separator: "-"))-device" : "")
            }
            let root = kind == .pc ? "pci.0" : "pcie.0"
            if let bus = device.placement.bus, bus != root, !bridges.contains(bus) {
                throw UserError("Bus '\(bus)' not found", remedy: "use bus=\(root)")
            }
        case "ISA":
            guard kind != .none else { throw UserError("No 'ISA' bus found for device '\(device.typeName)'") }
            if let bus = device.placement.bus, bus != "isa.0" { throw UserError("Bus '\(bus)' not found") }
        case "virtio-bus":
            guard kind == .microvm else {
                throw UserError(
                    "No 'virtio-bus' bus found for device '\(device.typeName)'",
                    remedy: "use \(type.name.split(separator: "-").prefix(2).joined(separator: "-"))-pci")
            }
        default: break
        }
        if case .pcieRootPort = device.model {
            guard kind != .pc else {
                throw UserError("Device 'pcie-root-port' needs a PCI Express bus", remedy: "use -M q35")
            }
            if let identifier = device.identifier { bridges.insert(identifier) }
        }
    }
}
