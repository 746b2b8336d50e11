// SPDX-License-Identifier: Apache-2.0

internal import BlockLayer
internal import HostSystem
internal import JSONCoding

extension ImageTool {
    func measure(_ arguments: [String]) throws -> Int32 {
        do {
            return try measureChecked(arguments)
        } catch let failure as OptionParser.Failure where isDropIn {
            // Here alone a mistake shows the help, and is none.
            errors("measure: \(failure.getoptText)\n")
            return help()
        }
    }

    private func measureChecked(_ arguments: [String]) throws -> Int32 {
        var format: String?
        var outputFormat = "raw"
        var json = false
        var optionTexts: [String] = []
        var size: Int64?
        var snapshot: String?
        var isOptions = false
        var flags = OpenFlags()
        let operands = try OptionParser([
            .init("h", "help"), .init("f", value: true), .init("O", value: true), .init("o", value: true),
            .init("l", value: true), .init(nil, "object", value: true), .init(nil, "image-opts"),
            .init("U", "force-share"), .init(nil, "output", value: true), .init(nil, "size", value: true),
        ]).parse(arguments) { key, value in
            switch key {
            case "help": throw Exit(status: help(), lines: [])
            case "f": format = value
            case "O": outputFormat = value
            case "o": optionTexts.append(try optionList(value))
            case "l": snapshot = try snapshotParameter(value)
            case "image-opts": isOptions = true
            case "force-share": flags.forceShare = true
            case "output": json = try isJSON(value)
            case "size": size = try self.size(value, what: "image size")
            default: try addSecret(value)
            }
        }
        if operands.count > 1 { throw fail("At most one filename argument is allowed.") }
        if operands.isEmpty, isOptions || format != nil || snapshot != nil {
            throw fail("--image-opts, -f, and -l require a filename argument.")
        }
        if operands.isEmpty, size == nil { throw fail("Either --size N or one filename must be specified.") }
        if !operands.isEmpty, size != nil { throw fail("--size N cannot be used together with a filename.") }
        var source: (any BlockNode)?
        if let filename = operands.first {
            let node = try open(filename, format: format, isOptions: isOptions, flags: flags)
            source = node
            if let snapshot { source = try view(of: node, snapshot: snapshot) }
        }
        let result = try measure(outputFormat, optionTexts, size, source)
        if json {
            var object = JSONObject([
                ("required", .integer(result.required)), ("fully-allocated", .integer(result.fullyAllocated)),
            ])
            if let bitmaps = result.bitmaps { object["bitmaps"] = .integer(bitmaps) }
            output(JSONValue.object(object).inQEMUOrder().printed(pretty: true) + "\n")
        } else {
            output("required size: \(result.required)\nfully allocated size: \(result.fullyAllocated)\n")
            if let bitmaps = result.bitmaps { output("bitmaps size: \(bitmaps)\n") }
        }
        return 0
    }

    private func measure(
        _ format: String, _ texts: [String], _ size: Int64?, _ source: (any BlockNode)?
    ) throws -> ImageMeasure {
        guard let driver = graph.driver(format) else { throw unknownFormat(format) }
        guard let creating = driver as? any CreatingDriver else {
            throw fail("Format driver '\(format)' does not support image creation")
        }
        var options = CreateOptions(
            creating.createOptions
                + FileDriver.file.createOptions.filter { option in
                    !creating.createOptions.contains { $0.name == option.name }
                })
        for text in texts {
            do {
                try options.parse(text)
            } catch {
                let exit = fail("", error)
                throw Exit(status: 1, lines: exit.lines + ["\(name): Invalid options for file format '\(format)'\n"])
            }
        }
        if let size { try attempt { () throws(BlockError) in try options.set("size", String(size)) } }
        guard let measuring = driver as? any MeasuringDriver else {
            throw fail("Block driver '\(format)' does not support size measurement")
        }
        return try attempt { () throws(BlockError) in try measuring.measure(options, source: source) }
    }

    /// Checks the form of a snapshot's description.
    func snapshotParameter(_ text: String) throws -> String {
        guard text.hasPrefix("snapshot.") else { return text }
        let options = try attempt { () throws(BlockError) in try BlockOptions.parse(text) }
        if let unknown = options.keys.first(where: { $0 != "snapshot.id" && $0 != "snapshot.name" }) {
            var exit = fail("Invalid parameter '\(unknown)'")
            exit.lines += fail("Failed in parsing snapshot param '\(text)'").lines
            throw exit
        }
        return text
    }

    /// The disk of a snapshot: `snapshot.id=...,snapshot.name=...` or an identifier or name.
    func view(of node: any BlockNode, snapshot text: String) throws -> any BlockNode {
        guard let store = node as? any SnapshotStore else {
            let format = "Block format '\(node.driverName)' used by device ''"
            throw fail("Failed to load snapshot: \(format) does not support temporarily loading internal snapshots")
        }
        var identifier: String?
        var tag: String?
        if text.hasPrefix("snapshot.") {
            var options = try attempt { () throws(BlockError) in try BlockOptions.parse(text) }
            identifier = options.take("snapshot.id")
            tag = options.take("snapshot.name")
            guard options.isEmpty else { throw fail("Failed in parsing snapshot param '\(text)'") }
        }
        let list = store.snapshots
        let found =
            identifier == nil && tag == nil
            ? list.first { $0.identifier == text } ?? list.first { $0.name == text }
            : list.first { (identifier == nil || $0.identifier == identifier) && (tag == nil || $0.name == tag) }
        guard let found else { throw fail("Failed to load snapshot: Can't find snapshot") }
        return try attempt("Failed to load snapshot: ") { () throws(BlockError) in
            try store.openSnapshot(identifier: found.identifier)
        }
    }
}
