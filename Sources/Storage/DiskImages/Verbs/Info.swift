// SPDX-License-Identifier: Apache-2.0

internal import BlockLayer
internal import HostSystem
internal import JSONCoding

/// What `info` tells of one image.
struct ImageFacts {
    var filename: String
    var format: String
    var virtualSize: Int64
    var actualSize: Int64?
    var clusterSize: Int?
    var isEncrypted = false
    var isDirty = false
    var backingName: String?
    var fullBackingName: String?
    var backingFormat: String?
    var snapshots: [SnapshotInformation] = []
    var specific: SpecificInformation?

    init(_ node: any BlockNode) throws(BlockError) {
        filename = node.location.filename
        format = node.driverName
        virtualSize = node.length
        actualSize = (node as? any HostStorageNode)?.allocatedBytes()
        if let described = node as? any DescribedNode {
            clusterSize = described.clusterSize
            isEncrypted = described.isEncrypted
            isDirty = described.isDirty
            specific = try described.specificInformation()
        }
        if let backed = node as? any BackedNode, let name = backed.backingName {
            backingName = name
            backingFormat = backed.backingFormat
            fullBackingName = try? ImageName.resolve(name, against: node.location)
        }
        snapshots = (node as? any SnapshotStore)?.snapshots ?? []
    }
}

extension ImageTool {
    func info(_ arguments: [String]) throws -> Int32 {
        var format: String?
        var json = false
        var isChain = false
        var isOptions = false
        var isShared = false
        let operands = try OptionParser([
            .init("h", "help"), .init("f", "format", value: true), .init(nil, "output", value: true),
            .init(nil, "backing-chain"), .init(nil, "object", value: true), .init(nil, "image-opts"),
            .init("U", "force-share"),
        ]).parse(arguments) { key, value in
            switch key {
            case "help": throw Exit(status: help(), lines: [])
            case "format": format = value
            case "output": json = try isJSON(value)
            case "backing-chain": isChain = true
            case "image-opts": isOptions = true
            case "force-share": isShared = true
            default: try addSecret(value)
            }
        }
        guard operands.count == 1 else { throw oneImage(operands) }
        var known: [ImageFacts] = []
        do {
            try collect(
                operands[0], format, isOptions: isOptions, isChain: isChain, isShared: isShared, into: &known)
        } catch {
            // What is there of a broken chain is worth seeing.
            if !isDropIn, !json { output(known.map(\.text).joined(separator: "\n")) }
            throw error
        }
        let facts = known
        if json {
            let values = facts.map(\.json)
            output((isChain ? JSONValue.array(values) : values[0]).inQEMUOrder().printed(pretty: true) + "\n")
        } else {
            output(facts.map(\.text).joined(separator: "\n"))
            if !isChain, !isDropIn { noteBrokenChain(facts[0], isShared: isShared) }
        }
        return 0
    }

    private func collect(
        _ first: String, _ format: String?, isOptions: Bool, isChain: Bool, isShared: Bool,
        into list: inout [ImageFacts]
    ) throws {
        var next: String? = first
        var nextFormat = format
        var options = isOptions
        var seen: Set<String> = []
        while let filename = next {
            guard seen.insert(filename).inserted else {
                throw fail("Backing file '\(filename)' creates an infinite loop.")
            }
            var flags = OpenFlags()
            flags.withoutBacking = true
            flags.metadataOnly = true
            flags.forceShare = isShared
            let node: any BlockNode
            do {
                node = try open(filename, format: nextFormat, isOptions: options, flags: flags)
            } catch let exit as Exit where !isDropIn && !list.isEmpty {
                throw broken(list[list.count - 1], filename, exit)
            }
            let facts = try closing(node) { try attempt { () throws(BlockError) in try ImageFacts(node) } }
            list.append(facts)
            guard isChain else { break }
            next = facts.fullBackingName
            nextFormat = facts.backingFormat
            options = false
        }
    }

    /// One image was asked for, and it is fine: that it cannot be used, for what is below it, is still told.
    private func noteBrokenChain(_ top: ImageFacts, isShared: Bool) {
        guard let below = top.fullBackingName else { return }
        var list = [top]
        do {
            try collect(
                below, top.backingFormat, isOptions: false, isChain: true, isShared: isShared, into: &list)
        } catch let exit as Exit {
            settle()
            for line in exit.lines { errors(line) }
        } catch {
            report("\(error)")
        }
    }

    private func broken(_ overlay: ImageFacts, _ filename: String, _ exit: Exit) -> Exit {
        let stored = overlay.backingName ?? filename
        return Exit(
            status: exit.status,
            lines: exit.lines + [
                "The chain is broken below '\(overlay.filename)', which names '\(stored)' as its backing file; looked for at '\(filename)'.\n",
                "If it has moved: \(name) rebase -u -b NEW_PLACE -F \(overlay.backingFormat ?? "FORMAT") \(overlay.filename)\n",
            ])
    }
}

extension ImageFacts {
    var json: JSONValue {
        var object = JSONObject()
        object["filename"] = .string(filename)
        object["format"] = .string(format)
        object["dirty-flag"] = .bool(isDirty)
        object["virtual-size"] = .integer(virtualSize)
        if let actualSize { object["actual-size"] = .integer(actualSize) }
        if let clusterSize { object["cluster-size"] = .integer(Int64(clusterSize)) }
        if isEncrypted { object["encrypted"] = .bool(true) }
        if let backingName { object["backing-filename"] = .string(backingName) }
        if let fullBackingName { object["full-backing-filename"] = .string(fullBackingName) }
        if let backingFormat { object["backing-filename-format"] = .string(backingFormat) }
        if !snapshots.isEmpty { object["snapshots"] = .array(snapshots.map(Self.json)) }
        if let specific {
            object["format-specific"] = .object(
                JSONObject([("type", .string(specific.type)), ("data", Self.json(.group(specific.facts)))]))
        }
        return .object(object)
    }

    static func json(_ snapshot: SnapshotInformation) -> JSONValue {
        var object = JSONObject([
            ("id", .string(snapshot.identifier)), ("name", .string(snapshot.name)),
            ("vm-state-size", .integer(snapshot.vmStateSize)), ("date-sec", .integer(snapshot.dateSeconds)),
            ("date-nsec", .integer(snapshot.dateNanoseconds)),
            ("vm-clock-sec", .integer(Int64(snapshot.vmClock / 1_000_000_000))),
            ("vm-clock-nsec", .integer(Int64(snapshot.vmClock % 1_000_000_000))),
        ])
        if let count = snapshot.instructionCount { object["icount"] = JSONValue(count) }
        return .object(object)
    }

    static func json(_ fact: SpecificInformation.Fact) -> JSONValue {
        switch fact {
        case .text(let text): .string(text)
        case .number(let number): .integer(number)
        case .flag(let flag): .bool(flag)
        case .group(let members): .object(JSONObject(members.map { ($0.0, json($0.1)) }))
        case .list(let elements): .array(elements.map(json))
        }
    }

    var text: String {
        var lines = ["image: \(filename)", "file format: \(format)"]
        lines.append("virtual size: \(ByteSize.text(virtualSize)) (\(virtualSize) bytes)")
        lines.append("disk size: \(actualSize.map(ByteSize.text) ?? "unavailable")")
        if isEncrypted { lines.append("encrypted: yes") }
        if let clusterSize { lines.append("cluster_size: \(clusterSize)") }
        if isDirty { lines.append("cleanly shut down: no") }
        if let backingName {
            var line = "backing file: \(backingName)"
            if fullBackingName == nil {
                line += " (cannot determine actual path)"
            } else if let full = fullBackingName, full != backingName {
                line += " (actual path: \(full))"
            }
            lines.append(line)
            if let backingFormat { lines.append("backing file format: \(backingFormat)") }
        }
        if !snapshots.isEmpty {
            lines.append("Snapshot list:")
            lines.append(contentsOf: SnapshotText.table(snapshots))
        }
        if let specific {
            lines.append("Format specific information:")
            Self.dump(Self.json(.group(specific.facts)).inQEMUOrder(), indent: 1, into: &lines)
        }
        return lines.joined(separator: "\n") + "\n"
    }

    private static func dump(_ value: JSONValue, indent: Int, into lines: inout [String]) {
        let space = String(repeating: "    ", count: indent)
        func entry(_ head: String, _ value: JSONValue) {
            switch value {
            case .object, .array:
                lines.append("\(space)\(head):")
                dump(value, indent: indent + 1, into: &lines)
            default: lines.append("\(space)\(head): \(leaf(value))")
            }
        }
        switch value {
        case .object(let object):
            for member in object.members {
                entry(String(member.name.map { $0 == "-" ? " " : $0 }), member.value)
            }
        case .array(let elements): for (index, element) in elements.enumerated() { entry("[\(index)]", element) }
        default: lines.append(space + leaf(value))
        }
    }

    private static func leaf(_ value: JSONValue) -> String {
        switch value {
        case .string(let text): text
        case .bool(let flag): flag ? "true" : "false"
        case .integer(let number): String(number)
        case .unsigned(let number): String(number)
        default: value.printed()
        }
    }
}
