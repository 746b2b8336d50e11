// SPDX-License-Identifier: Apache-2.0

internal import CommandLineKit
internal import Diagnostics

/// Reads one -device into a `DeviceSpec`. References are checked later, when all back ends are known.
struct DeviceReader {
    let type: DeviceType
    private var list: OptionList

    /// Offloads of virtio-net that can be switched off by name.
    static let networkFeatures = [
        "csum", "guest_csum", "gso", "guest_tso4", "guest_tso6", "guest_ecn", "guest_ufo", "host_tso4", "host_tso6",
        "host_ecn", "host_ufo", "mrg_rxbuf", "status", "ctrl_vq", "ctrl_rx", "ctrl_vlan", "ctrl_rx_extra",
        "ctrl_mac_addr", "ctrl_guest_offloads", "guest_announce",
    ]

    /// - Parameter list: with `driver`, and the defaults of -global in front.
    static func read(_ list: OptionList, of type: DeviceType) throws(UserError) -> DeviceSpec {
        var reader = DeviceReader(type: type, list: list)
        return try reader.read()
    }

    private mutating func read() throws(UserError) -> DeviceSpec {
        let typed = list.take("driver") ?? type.name
        let identifier = try list.take("id").map { text throws(UserError) in try OptionValue.identifier(text) }
        let placement = try placement()
        let model = try model(bus: placement.bus)
        do { try list.finish() } catch {
            let words = error.what.split(separator: "'", omittingEmptySubsequences: false)
            let name = words.count > 1 ? String(words[1]) : ""
            throw UserError("Property '\(type.name).\(name)' not found", remedy: error.remedy)
        }
        var spec = DeviceSpec(typeName: typed == type.alias ? type.name : typed, identifier: identifier, model: model)
        spec.placement = placement
        return spec
    }

    private mutating func placement() throws(UserError) -> DeviceSpec.Placement {
        var placement = DeviceSpec.Placement()
        placement.bus = list.take("bus")
        guard type.bus == "PCI" else { return placement }
        placement.isMultifunction = try list.takeBool("multifunction") ?? false
        placement.romFile = list.take("romfile")
        placement.hasROM = try list.takeInteger("rombar", in: 0...1) != 0
        guard let text = list.take("addr"), text != "-1" else { return placement }
        let parts = text.split(separator: ".", omittingEmptySubsequences: false).map { part in
            Int(part.hasPrefix("0x") || part.hasPrefix("0X") ? part.dropFirst(2) : part, radix: 16)
        }
        let limits = [31, 7]
        guard (1...2).contains(parts.count), zip(parts, limits).allSatisfy({ (0...$1).contains($0 ?? -1) }) else {
            throw UserError("Property '\(type.name).addr' doesn't take value '\(text)'")
        }
        placement.slot = parts[0]
        placement.function = parts.count == 2 ? parts[1] ?? 0 : 0
        return placement
    }

    private mutating func model(bus: String?) throws(UserError) -> DeviceSpec.Model {
        switch type.family {
        case .block:
            let transport = try transport()
            return .virtioBlock(transport, try block())
        case .network:
            let transport = try transport()
            return .virtioNetwork(transport, try network())
        case .serial:
            let transport = try transport()
            return .virtioSerial(transport, maximumPorts: try list.takeInteger("max_ports", in: 1...511) ?? 31)
        case .random:
            let transport = try transport()
            return .virtioRandom(transport, try random())
        case .balloon:
            let transport = try transport()
            var balloon = VirtioBalloonSpec()
            balloon.deflateOnOutOfMemory = try list.takeBool("deflate-on-oom") ?? false
            balloon.freePageReporting = try list.takeBool("free-page-reporting") ?? false
            return .virtioBalloon(transport, balloon)
        case .console, .serialPort: return .virtioPort(try port(bus: bus))
        case .isaSerial: return .isaSerial(try isaSerial())
        case .isaDebugExit:
            let size = try list.takeInteger("iosize", in: 1...4) ?? 2
            return .isaDebugExit(port: try ioPort("iobase", or: 0x501), size: UInt16(size))
        case .isaDebugConsole:
            let readback = try list.takeInteger("readback", in: 0...0xFF) ?? 0xE9
            guard let device = list.take("chardev") else {
                throw UserError("Can't create serial device, empty char device", remedy: "give chardev=ID")
            }
            return .isaDebugConsole(
                port: try ioPort("iobase", or: 0xE9), readback: UInt8(readback), characterDevice: device)
        case .pcTest: return .pcTestDevice
        case .pciTest:
            try list.refuse("membar", except: ["0"], because: "the test device has only its own two regions")
            return .pciTestDevice
        case .panicISA:
            let events = try list.takeInteger("events", in: 0...3) ?? 3
            return .panicNotifier(port: try ioPort("ioport", or: 0x505), events: UInt8(events))
        case .panicPCI: return .panicNotifierPCI(events: UInt8(try list.takeInteger("events", in: 0...3) ?? 3))
        case .rootPort: return .pcieRootPort(try rootPort())
        case .pc(let family):
            return .pc(try PCDeviceReader(family: family, typeName: type.name).read(&list, bus: bus))
        }
    }

    private mutating func ioPort(_ key: String, or standard: UInt16) throws(UserError) -> UInt16 {
        UInt16(truncatingIfNeeded: try list.takeInteger(key, in: 0...0xFFFF) ?? Int(standard))
    }

    // MARK: virtio

    private mutating func transport() throws(UserError) -> VirtioTransportSpec {
        var transport = VirtioTransportSpec(bus: type.bus == "PCI" ? .pci : .mmio)
        transport.eventIndex = try list.takeBool("event_idx") ?? true
        transport.indirectDescriptors = try list.takeBool("indirect_desc") ?? true
        let off = ["off", "no", "false", "n"]
        transport.packedRings = try list.takeBool("packed") ?? false
        try list.refuse("iommu_platform", except: off, because: "there is no IOMMU")
        guard transport.bus == .pci else { return transport }
        try list.refuse("page-per-vq", except: off, because: "all queues share one notification page")
        try list.refuse("ats", except: off, because: "there is no IOMMU")
        try list.refuse("aer", except: off, because: "PCI Express error reporting is not available")
        transport.ioEventDescriptors = try list.takeBool("ioeventfd") ?? true
        if let vectors = list.take("vectors") {
            let count = try OptionValue.integer(vectors, for: "vectors", in: 0...0xFFFF_FFFF)
            // All ones is QEMU's way to say "the device's own number".
            transport.vectors = count == 0xFFFF_FFFF ? nil : min(count, 2048)
        }
        transport.generation = try generation()
        return transport
    }

    private mutating func generation() throws(UserError) -> VirtioTransportSpec.Generation? {
        if let fixed = type.generation { return fixed }
        var legacy = OnOffAuto.auto
        if let text = list.take("disable-legacy") {
            if text == "auto" {
                legacy = .auto
            } else {
                legacy = try OptionValue.bool(text, for: "disable-legacy") ? .on : .off
            }
        }
        let noModern = try list.takeBool("disable-modern") ?? false
        switch (legacy, noModern) {
        case (.on, true):
            throw UserError(
                "device cannot work as neither modern nor legacy mode is enabled",
                remedy: "Set either disable-modern or disable-legacy to off")
        case (.on, false): return .modernOnly
        case (_, true): return .legacyOnly
        case (.off, false): return .transitional
        case (.auto, false): return nil
        }
    }

    private mutating func block() throws(UserError) -> VirtioBlockSpec {
        guard let drive = list.take("drive") else { throw UserError("drive property not set") }
        var block = VirtioBlockSpec(drive: drive)
        block.serial = list.take("serial")
        block.bootIndex = try bootIndex()
        if let queues = try list.takeInteger("num-queues", in: 1...0xFFFF), queues != 0xFFFF {
            guard queues <= 1024 else {
                throw UserError("num-queues property must be less than or equal to 1024")
            }
            block.queueCount = queues
        }
        block.queueSize = try queueSize("queue-size")
        block.logicalBlockSize = try blockSize("logical_block_size")
        block.physicalBlockSize = try blockSize("physical_block_size")
        block.minimumIOSize = Int(clamping: try list.takeSize("min_io_size") ?? 0)
        block.optimalIOSize = Int(clamping: try list.takeSize("opt_io_size") ?? 0)
        block.discard = try list.takeBool("discard") ?? true
        block.writeZeroes = try list.takeBool("write-zeroes") ?? true
        block.configurableWriteCache = try list.takeBool("config-wce") ?? true
        block.writeCache = try onOffAuto("write-cache")
        block.shareReadWrite = try list.takeBool("share-rw") ?? false
        block.ioThread = list.take("iothread")
        block.writeError = try errorAction("werror", of: ["report", "ignore", "enospc", "stop"])
        block.readError = try errorAction("rerror", of: ["report", "ignore", "stop"])
        try list.refuse("scsi", except: ["off", "false", "no"], because: "SCSI passthrough is not available")
        return block
    }

    private mutating func queueSize(_ key: String) throws(UserError) -> Int {
        guard let size = try list.takeInteger(key, in: 4...1024) else { return 256 }
        guard size & (size - 1) == 0 else {
            throw UserError("Parameter '\(key)' must be a power of two", because: "not '\(size)'")
        }
        return size
    }

    private mutating func blockSize(_ key: String) throws(UserError) -> Int? {
        guard let size = try list.takeSize(key), size != 0 else { return nil }
        guard (512...2 << 20).contains(size), size & (size - 1) == 0 else {
            throw UserError("Parameter '\(key)' must be a power of two between 512 B and 2 MiB", because: "not \(size)")
        }
        return Int(size)
    }

    private mutating func bootIndex() throws(UserError) -> Int? {
        try list.takeInteger("bootindex", in: -1...Int(Int32.max)).flatMap { $0 < 0 ? nil : $0 }
    }

    private mutating func onOffAuto(_ key: String) throws(UserError) -> OnOffAuto {
        guard let text = list.take(key) else { return .auto }
        if text == "auto" { return .auto }
        return try OptionValue.bool(text, for: key) ? .on : .off
    }

    private mutating func errorAction(
        _ key: String, of words: [String]
    ) throws(UserError) -> DriveSpec.ErrorAction? {
        guard let text = list.take(key), text != "auto" else { return nil }
        guard words.contains(text), let action = DriveSpec.ErrorAction(rawValue: text) else {
            throw OptionValue.refusal(of: text, for: key, among: words + ["auto"])
        }
        return action
    }

    private mutating func network() throws(UserError) -> VirtioNetworkSpec {
        var network = VirtioNetworkSpec()
        network.network = list.take("netdev")
        if let text = list.take("mac") {
            guard let address = Self.macAddress(text) else {
                throw UserError("Property '\(type.name).mac' doesn't take value '\(text)'")
            }
            network.address = address
        }
        network.bootIndex = try bootIndex()
        if let mtu = try list.takeInteger("host_mtu", in: 0...0xFFFF), mtu > 0 { network.hostMTU = UInt16(mtu) }
        network.receiveQueueSize = try queueSize("rx_queue_size")
        network.transmitQueueSize = try queueSize("tx_queue_size")
        for feature in Self.networkFeatures {
            if try list.takeBool(feature) == false { network.disabledFeatures.insert(feature) }
        }
        let off = ["off", "no", "false"]
        try list.refuse("mq", except: off, because: "the card has one pair of queues")
        try list.refuse("rss", except: off, because: "the card has one pair of queues")
        try list.refuse("failover", except: off, because: "there is no migration")
        return network
    }

    /// Six bytes in hexadecimal, with colons or hyphens.
    static func macAddress(_ text: String) -> [UInt8]? {
        let parts = text.split(omittingEmptySubsequences: false) { $0 == ":" || $0 == "-" }
        let bytes = parts.compactMap { $0.utf8.count == 2 ? UInt8($0, radix: 16) : nil }
        return parts.count == 6 && bytes.count == 6 && !parts.contains { $0.hasPrefix("+") } ? bytes : nil
    }

    private mutating func random() throws(UserError) -> VirtioRandomSpec {
        var random = VirtioRandomSpec()
        random.object = list.take("rng")
        if let text = list.take("max-bytes") {
            let bytes = try OptionValue.size(text, for: "max-bytes")
            random.maximumBytes = bytes >= UInt64(Int64.max) ? nil : bytes
        }
        random.period = UInt32(try list.takeInteger("period", in: 1...Int(UInt32.max)) ?? 65536)
        return random
    }

    private mutating func port(bus: String?) throws(UserError) -> VirtioPortSpec {
        var port = VirtioPortSpec(isConsole: type.family == .console)
        port.characterDevice = list.take("chardev")
        port.name = list.take("name")
        if let number = try list.takeInteger("nr", in: 0...0xFFFF_FFFF), number != 0xFFFF_FFFF { port.number = number }
        port.bus = bus
        return port
    }

    // MARK: the rest

    private mutating func isaSerial() throws(UserError) -> ISASerialSpec {
        var serial = ISASerialSpec()
        let none = 0xFFFF_FFFF
        if let index = try list.takeInteger("index", in: 0...none), index != none {
            guard index < 4 else {
                throw UserError("Max. supported number of ISA serial ports is 4.", remedy: "use index=0 to 3")
            }
            serial.index = index
        }
        if let base = try list.takeInteger("iobase", in: 0...none), base != none {
            serial.port = UInt16(try OptionValue.integer(String(base), for: "iobase", in: 0...0xFFF8))
        }
        if let interrupt = try list.takeInteger("irq", in: 0...none), interrupt != none {
            serial.interrupt = try OptionValue.integer(String(interrupt), for: "irq", in: 0...15)
        }
        guard let device = list.take("chardev") else {
            throw UserError("Can't create serial device, empty char device", remedy: "give chardev=ID")
        }
        serial.characterDevice = device
        return serial
    }

    private mutating func rootPort() throws(UserError) -> PCIeRootPortSpec {
        var port = PCIeRootPortSpec()
        port.port = UInt8(try list.takeInteger("port", in: 0...255) ?? 0)
        port.chassis = UInt8(try list.takeInteger("chassis", in: 0...255) ?? 0)
        port.slot = UInt16(try list.takeInteger("slot", in: 0...0x1FFF) ?? 0)
        port.isHotpluggable = try list.takeBool("hotplug") ?? true
        return port
    }
}
