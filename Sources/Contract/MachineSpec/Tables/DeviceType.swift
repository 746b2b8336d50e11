// SPDX-License-Identifier: Apache-2.0

/// A property of a device as -device takes it.
public struct DeviceProperty: Equatable, Sendable {
    /// The name as typed after `-device` or before `=`.
    public var name: String
    /// "bool", "uint32", "str", "OnOffAuto", "size"...
    public var type: String
    /// One line for the help; empty where the name says it all.
    public var summary: String
    /// As shown; nil for none.
    public var defaultValue: String?
    /// A row of the table: a property, its type as the help prints it, its default.
    public init(_ name: String, _ type: String, _ defaultValue: String? = nil, _ summary: String = "") {
        self.name = name
        self.type = type
        self.defaultValue = defaultValue
        self.summary = summary
    }
}

/// A device that `-device` can make. One table for the parser, `-device help` and `device-list-properties`.
public struct DeviceType: Equatable, Sendable {
    enum Family: Equatable, Sendable {
        case block, network, serial, random, balloon
        case console, serialPort
        case isaSerial, isaDebugExit, isaDebugConsole, pcTest, pciTest, panicISA, panicPCI, rootPort
        case pc(PCDeviceFamily)
    }
    /// The name as typed after `-device` or before `=`.
    public var name: String
    /// Another name that means the same.
    public var alias: String?
    /// "PCI", "ISA", "virtio-bus", "virtio-serial-bus".
    public var bus: String
    /// The heading in `-device help`.
    public var category: String
    /// One line for the help; empty where the name says it all.
    public var summary: String?
    var family: Family
    var generation: VirtioTransportSpec.Generation?

    /// The properties, common ones of the bus included, by name.
    public var properties: [DeviceProperty] {
        var list = Self.own(family)
        if bus == "PCI" { list += Self.pci }
        if isVirtio { list += bus == "PCI" ? Self.virtio + Self.virtioPCI : Self.virtio }
        // The name of a fixed generation says what these two would.
        if generation != nil { list.removeAll { $0.name == "disable-legacy" || $0.name == "disable-modern" } }
        return list.sorted { $0.name < $1.name }
    }

    var isVirtio: Bool {
        switch family {
        case .block, .network, .serial, .random, .balloon: true
        default: false
        }
    }

    /// The device of this name or alias.
    public static func named(_ name: String) -> DeviceType? { all.first { $0.name == name || $0.alias == name } }

    /// All, in the order of `-device help`.
    public static let all: [DeviceType] =
        [
            DeviceType(
                name: "pcie-root-port", bus: "PCI", category: "Controller/Bridge/Hub devices",
                summary: "PCI Express Root Port", family: .rootPort)
        ] + virtio("virtio-blk", "Storage devices", .block) + virtio("virtio-net", "Network devices", .network)
        + [
            DeviceType(name: "isa-serial", bus: "ISA", category: "Input devices", family: .isaSerial),
            DeviceType(name: "virtconsole", bus: "virtio-serial-bus", category: "Input devices", family: .console),
        ] + virtio("virtio-serial", "Input devices", .serial)
        + [
            DeviceType(
                name: "virtserialport", bus: "virtio-serial-bus", category: "Input devices", family: .serialPort),
            DeviceType(name: "isa-debug-exit", bus: "ISA", category: "Misc devices", family: .isaDebugExit),
            DeviceType(name: "isa-debugcon", bus: "ISA", category: "Misc devices", family: .isaDebugConsole),
            DeviceType(name: "pc-testdev", bus: "ISA", category: "Misc devices", family: .pcTest),
            DeviceType(
                name: "pci-testdev", bus: "PCI", category: "Misc devices", summary: "PCI Test Device",
                family: .pciTest),
            DeviceType(name: "pvpanic", bus: "ISA", category: "Misc devices", family: .panicISA),
            DeviceType(name: "pvpanic-pci", bus: "PCI", category: "Misc devices", family: .panicPCI),
        ] + virtio("virtio-balloon", "Misc devices", .balloon) + virtio("virtio-rng", "Misc devices", .random)
        + PCDeviceReader.types

    private static func virtio(_ stem: String, _ category: String, _ family: Family) -> [DeviceType] {
        [
            DeviceType(name: stem + "-device", bus: "virtio-bus", category: category, family: family),
            DeviceType(name: stem + "-pci", alias: stem, bus: "PCI", category: category, family: family),
            DeviceType(
                name: stem + "-pci-non-transitional", bus: "PCI", category: category, family: family,
                generation: .modernOnly),
            DeviceType(
                name: stem + "-pci-transitional", bus: "PCI", category: category, family: family,
                generation: .transitional),
        ]
    }

    private static let pci = [
        DeviceProperty("addr", "int32", "-1", "Slot and optional function number, example: 06.0 or 06"),
        DeviceProperty("multifunction", "bool", "false", "on/off"),
        DeviceProperty("romfile", "str"), DeviceProperty("rombar", "uint32", "1"),
    ]
    private static let virtio = [
        DeviceProperty("event_idx", "bool", "true", "on/off"),
        DeviceProperty("indirect_desc", "bool", "true", "on/off"),
        DeviceProperty("iommu_platform", "bool", "false", "only off"),
        DeviceProperty("packed", "bool", "false", "on/off"),
    ]
    private static let virtioPCI = [
        DeviceProperty("disable-legacy", "OnOffAuto", "\"auto\"", "on/off/auto"),
        DeviceProperty("disable-modern", "bool", "false"),
        DeviceProperty("ioeventfd", "bool", "true", "on/off"),
        DeviceProperty("vectors", "uint32"),
        DeviceProperty("page-per-vq", "bool", "false", "only off"),
        DeviceProperty("ats", "bool", "false", "only off"),
    ]

    private static func own(_ family: Family) -> [DeviceProperty] {
        switch family {
        case .block:
            [
                DeviceProperty("drive", "str", nil, "Node name or ID of a block device to use as a backend"),
                DeviceProperty("serial", "str"), DeviceProperty("bootindex", "int32"),
                DeviceProperty("num-queues", "uint16", "65535"), DeviceProperty("queue-size", "uint16", "256"),
                DeviceProperty("logical_block_size", "size", "0", "A power of two between 512 B and 2 MiB"),
                DeviceProperty("physical_block_size", "size", "0", "A power of two between 512 B and 2 MiB"),
                DeviceProperty("min_io_size", "size", "0"), DeviceProperty("opt_io_size", "size", "0"),
                DeviceProperty("discard", "bool", "true", "on/off"),
                DeviceProperty("write-zeroes", "bool", "true", "on/off"),
                DeviceProperty("config-wce", "bool", "true", "on/off"),
                DeviceProperty("write-cache", "OnOffAuto", "\"auto\"", "on/off/auto"),
                DeviceProperty("share-rw", "bool", "false"), DeviceProperty("iothread", "link<iothread>"),
                DeviceProperty("werror", "BlockdevOnError", "\"auto\"", "report/ignore/enospc/stop/auto"),
                DeviceProperty("rerror", "BlockdevOnError", "\"auto\"", "report/ignore/stop/auto"),
                DeviceProperty("scsi", "bool", "false", "only off"),
            ]
        case .network:
            [
                DeviceProperty("netdev", "str", nil, "ID of a netdev to use as a backend"),
                DeviceProperty("mac", "str", nil, "Ethernet 6-byte MAC Address, example: 52:54:00:12:34:56"),
                DeviceProperty("bootindex", "int32"), DeviceProperty("host_mtu", "uint16", "0"),
                DeviceProperty("rx_queue_size", "uint16", "256"), DeviceProperty("tx_queue_size", "uint16", "256"),
                DeviceProperty("mq", "bool", "false", "only off"),
            ] + DeviceReader.networkFeatures.map { DeviceProperty($0, "bool", "true", "on/off") }
        case .pc(let family): PCDeviceReader.properties(family)
        case .serial: [DeviceProperty("max_ports", "uint32", "31")]
        case .random:
            [
                DeviceProperty("rng", "link<rng-backend>"),
                DeviceProperty("max-bytes", "uint64", "9223372036854775807"),
                DeviceProperty("period", "uint32", "65536"),
            ]
        case .balloon:
            [
                DeviceProperty("deflate-on-oom", "bool", "false", "on/off"),
                DeviceProperty("free-page-reporting", "bool", "false", "on/off"),
            ]
        case .console, .serialPort:
            [
                DeviceProperty("chardev", "str", nil, "ID of a chardev to use as a backend"),
                DeviceProperty("name", "str"), DeviceProperty("nr", "uint32", "4294967295"),
            ]
        case .isaSerial:
            [
                DeviceProperty("chardev", "str", nil, "ID of a chardev to use as a backend"),
                DeviceProperty("index", "uint32", "4294967295"), DeviceProperty("iobase", "uint32", "4294967295"),
                DeviceProperty("irq", "uint32", "4294967295"),
            ]
        case .isaDebugExit: [DeviceProperty("iobase", "uint32", "1281"), DeviceProperty("iosize", "uint32", "2")]
        case .isaDebugConsole:
            [
                DeviceProperty("chardev", "str", nil, "ID of a chardev to use as a backend"),
                DeviceProperty("iobase", "uint32", "233"), DeviceProperty("readback", "uint32", "233"),
            ]
        case .pcTest, .pciTest: []
        case .panicISA: [DeviceProperty("ioport", "uint16", "1285"), DeviceProperty("events", "uint8", "3")]
        case .panicPCI: [DeviceProperty("events", "uint8", "3")]
        case .rootPort:
            [
                DeviceProperty("port", "uint8", "0"), DeviceProperty("chassis", "uint8", "0"),
                DeviceProperty("slot", "uint16", "0"),
                DeviceProperty("hotplug", "bool", "true"),
            ]
        }
    }
}

extension DeviceType {
    /// What `-device help` prints.
    public static var help: String {
        var text = ""
        var categories: [String] = []
        for type in all where !categories.contains(type.category) { categories.append(type.category) }
        for category in categories {
            text += (text.isEmpty ? "" : "\n") + category + ":\n"
            for type in all.filter({ $0.category == category }).sorted(by: { $0.name < $1.name }) {
                text += "name \"\(type.name)\", bus \(type.bus)"
                if let alias = type.alias { text += ", alias \"\(alias)\"" }
                if let summary = type.summary { text += ", desc \"\(summary)\"" }
                text += "\n"
            }
        }
        return text
    }

    /// What `-device NAME,help` prints.
    public var help: String {
        guard !properties.isEmpty else { return "There are no options for \(name).\n" }
        var text = "\(name) options:\n"
        for property in properties {
            var line = "  \(property.name)=<\(property.type)>"
            if !property.summary.isEmpty || property.defaultValue != nil {
                line += String(repeating: " ", count: max(0, 24 - line.utf8.count)) + " - \(property.summary)"
            }
            if let value = property.defaultValue { line += " (default: \(value))" }
            text += line + "\n"
        }
        return text
    }
}
