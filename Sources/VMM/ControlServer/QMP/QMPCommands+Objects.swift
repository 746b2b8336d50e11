// SPDX-License-Identifier: Apache-2.0

internal import MachineRuntime
internal import ControlProtocol
internal import CPUInterface
internal import JSONCoding
internal import MachineSpec

extension QMPCommandTable {
    static let objectCommands = [
        QMPCommandDefinition("qom-list", [QMPParameter("path", .string)]) { (context, arguments) throws(QMPError) in
            let node = try ObjectTree(context.machine).node(arguments.string("path"))
            return .array(node.entries.map { ["name": .string($0.name), "type": .string($0.type)] })
        },
        QMPCommandDefinition("qom-get", [QMPParameter("path", .string), QMPParameter("property", .string)]) {
            (context, arguments) throws(QMPError) in
            let node = try ObjectTree(context.machine).node(arguments.string("path"))
            let name = arguments.string("property")
            if node.isBalloon, name == "guest-stats" { return try BalloonAnswers.statistics(context.machine) }
            guard let entry = node.entries.first(where: { $0.name == name }) else {
                throw QMPError("Property '\(node.type).\(name)' not found")
            }
            return entry.value
        },
        QMPCommandDefinition(
            "qom-set", [QMPParameter("path", .string), QMPParameter("property", .string), QMPParameter("value", .any)]
        ) { (context, arguments) throws(QMPError) in
            let node = try ObjectTree(context.machine).node(arguments.string("path"))
            let name = arguments.string("property")
            guard node.isBalloon, name == BalloonAnswers.interval else {
                throw QMPError(
                    node.entries.contains { $0.name == name }
                        ? "Property '\(node.type).\(name)' is not writable"
                        : "Property '\(node.type).\(name)' not found")
            }
            guard let seconds = arguments.integer("value"), (0...Int64(UInt32.max)).contains(seconds) else {
                throw QMPError("timer value must be greater than zero")
            }
            (context.machine as? any BalloonStatisticsKeeping)?.balloonStatisticsInterval = Int(seconds)
            return [:]
        },
        QMPCommandDefinition(
            "qom-list-types",
            [QMPParameter("implements", .string, optional: true), QMPParameter("abstract", .boolean, optional: true)]
        ) { _, arguments in
            let wanted = arguments["implements"]?.string ?? "object"
            return .array(
                ObjectTree.types.filter { ObjectTree.isType($0, a: wanted) }.map {
                    ["name": .string($0.name), "parent": .string($0.parent)]
                })
        },
        QMPCommandDefinition("device-list-properties", [QMPParameter("typename", .string)]) {
            (_, arguments) throws(QMPError) in
            let name = arguments.string("typename")
            if let chip = MachineArguments.chipProperties[name] {
                return .array(chip.map { ["name": .string($0.name), "type": .string($0.type)] })
            }
            guard let type = DeviceType.named(name) else {
                throw QMPError("Device '\(name)' not found", class: .deviceNotFound)
            }
            return .array(type.properties.map(ObjectTree.description))
        },
        QMPCommandDefinition("qom-list-properties", [QMPParameter("typename", .string)]) {
            (_, arguments) throws(QMPError) in
            let name = arguments.string("typename")
            if let type = DeviceType.named(name) { return .array(type.properties.map(ObjectTree.description)) }
            if name.hasSuffix("-x86_64-cpu") {
                return .array(ProcessorFeature.all.map { ["name": .string($0.name), "type": "bool"] })
            }
            if let list = ObjectTree.properties(ofType: name) {
                return .array(list.map { ["name": .string($0.name), "type": .string($0.type)] })
            }
            throw QMPError("Class '\(name)' not found", class: .deviceNotFound)
        },
    ]
}

/// The part of QOM that clients look into: the machine, its named and unnamed devices, its processors.
struct ObjectTree {
    struct Entry {
        var name: String
        var type: String
        var value: JSONValue
    }
    struct Node {
        var type: String
        var entries: [Entry]
        var isBalloon: Bool { type.hasPrefix("virtio-balloon") }
    }
    private let machine: any ControlledMachine

    init(_ machine: any ControlledMachine) { self.machine = machine }

    /// Properties of types that are no devices: machines and -object's; nil for unknown ones.
    static func properties(ofType name: String) -> [(name: String, type: String)]? {
        let machines = [
            "pc-q35-7.2-machine", "pc-i440fx-7.2-machine", "microvm-machine", "none-machine", "generic-pc-machine",
        ]
        let type = [(name: "type", type: "string")]
        if machines.contains(name) {
            return type + MachineArguments.machineOptions.map { ($0.name, $0.type == "boolean" ? "bool" : $0.type) }
        }
        let memory = [("share", "bool"), ("size", "int"), ("prealloc", "bool")]
        switch name {
        case "memory-backend-ram", "memory-backend-memfd": return type + memory
        case "memory-backend-file": return type + memory + [("mem-path", "string"), ("readonly", "bool")]
        case "rng-random": return type + [("filename", "string")]
        case "rng-builtin", "iothread": return type
        case "secret":
            return type + ["data", "file", "format", "keyid", "iv"].map { ($0, "string") }
        case "tls-creds-x509":
            return type + [
                ("dir", "string"), ("endpoint", "QCryptoTLSCredsEndpoint"), ("verify-peer", "bool"),
                ("priority", "string"), ("passwordid", "string"), ("sanity-check", "bool"),
            ]
        default: return nil
        }
    }

    private static let objects = [
        ("rng-random", "rng-backend"), ("rng-builtin", "rng-backend"), ("memory-backend-ram", "memory-backend"),
        ("memory-backend-file", "memory-backend"), ("memory-backend-memfd", "memory-backend"), ("iothread", "object"),
        ("secret", "secret_common"), ("tls-creds-x509", "tls-creds"),
    ]
    private static let boards = [
        ("pc-q35-7.2-machine", "generic-pc-machine"), ("pc-i440fx-7.2-machine", "generic-pc-machine"),
        ("microvm-machine", "x86-machine"), ("none-machine", "machine"),
    ]

    /// What -device and -object can make, the boards and the processors, with their parents in the tree of types.
    static var types: [(name: String, parent: String)] {
        let devices = DeviceType.all.map { type in
            (type.name, type.bus == "PCI" ? "pci-device" : type.bus == "ISA" ? "isa-device" : "device")
        }
        let chips = MachineArguments.chipProperties.keys.sorted().map { ($0, "device") }
        let accelerators = [("tcg-accel", "accel"), ("kvm-accel", "accel")]
        return devices + chips + accelerators + objects + boards
            + CPUModel.definitions.map { ("\($0.name)-x86_64-cpu", "x86_64-cpu") }
    }

    private static let parents = [
        "pci-device": "device", "isa-device": "device", "x86_64-cpu": "cpu", "cpu": "device", "device": "object",
        "generic-pc-machine": "x86-machine", "x86-machine": "machine", "machine": "object",
        "accel": "object", "memory-backend": "object", "rng-backend": "object", "secret_common": "object",
        "tls-creds": "object",
    ]

    /// Whether a type is another, or stands somewhere below it.
    static func isType(_ type: (name: String, parent: String), a wanted: String) -> Bool {
        if type.name == wanted { return true }
        var ancestor: String? = type.parent
        while let name = ancestor {
            if name == wanted { return true }
            ancestor = parents[name]
        }
        return false
    }

    static func description(_ property: DeviceProperty) -> JSONValue {
        var object: JSONObject = ["name": .string(property.name), "type": .string(property.type)]
        if !property.summary.isEmpty { object["description"] = .string(property.summary) }
        if let text = property.defaultValue, let value = try? JSONValue(parsing: text) {
            object["default-value"] = value
        }
        return .object(object)
    }

    func node(_ path: String) throws(QMPError) -> Node {
        let parts = path.split(separator: "/").map(String.init)
        switch parts.count {
        case 0 where path.hasPrefix("/"):
            return Node(type: "container", entries: [typed("container"), child("machine", machineType)])
        case 1 where parts[0] == "machine": return root
        case 2 where parts[0] == "machine": if let node = container(parts[1]) { return node }
        case 3 where parts[0] == "machine": if let node = device(in: parts[1], named: parts[2]) { return node }
        default: break
        }
        throw QMPError("Device '\(path)' not found", class: .deviceNotFound)
    }

    private var machineType: String { machine.facts.machineType + "-machine" }

    private func typed(_ type: String) -> Entry { Entry(name: "type", type: "string", value: .string(type)) }

    private func child(_ name: String, _ type: String) -> Entry {
        Entry(name: name, type: "child<\(type)>", value: .string("/machine/\(name)"))
    }

    private var root: Node {
        Node(
            type: machineType,
            entries: [
                typed(machineType),
                Entry(
                    name: "smp", type: "SMPConfiguration", value: ["cpus": JSONValue(machine.runner.processors.count)]),
                child("unattached", "container"), child("peripheral", "container"),
                child("peripheral-anon", "container"),
            ])
    }

    private var named: [(name: String, report: DeviceReport)] {
        machine.deviceReports().compactMap { report in report.identifier.map { ($0, report) } }
    }

    private var anonymous: [(name: String, report: DeviceReport)] {
        machine.deviceReports().filter { $0.identifier == nil }.enumerated().map { ("device[\($0)]", $1) }
    }

    private func container(_ name: String) -> Node? {
        let entries: [Entry]
        switch name {
        case "peripheral": entries = named.map { child($0.name, $0.report.typeName) }
        case "peripheral-anon": entries = anonymous.map { child($0.name, $0.report.typeName) }
        case "unattached": entries = []
        default: return nil
        }
        let processors = processors.filter { $0.path.hasPrefix("/machine/\(name)/") }.map { path, _ in
            child(String(path.split(separator: "/")[2]), machine.facts.processorType)
        }
        let all = entries + processors
        return Node(type: "container", entries: [typed("container")] + all)
    }

    private func device(in container: String, named name: String) -> Node? {
        if let processor = processor("/machine/\(container)/\(name)") { return processor }
        let list = container == "peripheral" ? named : container == "peripheral-anon" ? anonymous : []
        guard let report = list.first(where: { $0.name == name })?.report else { return nil }
        var properties = report.properties.map { Entry(name: $0.name, type: "str", value: .string($0.value)) }
        if report.typeName.hasPrefix("virtio-balloon"), let keeper = machine as? any BalloonStatisticsKeeping {
            properties.append(
                Entry(name: BalloonAnswers.interval, type: "int", value: JSONValue(keeper.balloonStatisticsInterval)))
            properties.append(Entry(name: "guest-stats", type: "guest statistics", value: [:]))
        }
        return Node(
            type: report.typeName,
            entries: [typed(report.typeName), Entry(name: "realized", type: "bool", value: true)] + properties)
    }

    private var processors: [(path: String, processor: any VirtualCPU)] {
        let facts = machine.facts
        return machine.runner.processors.map { (facts.processorPath($0.index), $0) }
    }

    private func processor(_ path: String) -> Node? {
        guard let found = processors.first(where: { $0.path == path })?.processor else { return nil }
        var entries = [
            typed(machine.facts.processorType), Entry(name: "realized", type: "bool", value: true),
            Entry(name: "apic-id", type: "uint32", value: JSONValue(found.index)),
        ]
        if let model = (machine as? any ProcessorReporting)?.processorModel {
            entries += ProcessorFeature.all.map { feature in
                Entry(name: feature.name, type: "bool", value: .bool(model.features.contains(feature)))
            }
        }
        return Node(type: machine.facts.processorType, entries: entries)
    }
}
