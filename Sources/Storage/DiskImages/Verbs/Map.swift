// SPDX-License-Identifier: Apache-2.0

internal import BlockLayer
internal import HostSystem

/// One line of `map`.
private struct MapEntry {
    var start: Int64
    var count: Int64
    var depth: Int
    var isData: Bool
    var isZero: Bool
    var isPresent: Bool
    var offset: Int64?
    var filename: String?

    /// Whether `next` goes on where this one ends, in every respect.
    func continues(with next: MapEntry) -> Bool {
        guard isData == next.isData, isZero == next.isZero, isPresent == next.isPresent, depth == next.depth,
            filename == next.filename, (offset == nil) == (next.offset == nil)
        else { return false }
        return offset.map { $0 + count == next.offset } ?? true
    }
}

extension ImageTool {
    func map(_ arguments: [String]) throws -> Int32 {
        var format: String?
        var json = false
        var isOptions = false
        var start: Int64 = 0
        var longest: Int64?
        var flags = OpenFlags()
        let operands = try OptionParser([
            .init("h", "help"), .init("f", "format", value: true), .init(nil, "output", value: true),
            .init(nil, "object", value: true), .init(nil, "image-opts"), .init("U", "force-share"),
            .init("s", "start-offset", value: true), .init("l", "max-length", value: true),
        ]).parse(arguments) { key, value in
            switch key {
            case "help": throw Exit(status: help(), lines: [])
            case "format": format = value
            case "output": json = try isJSON(value)
            case "image-opts": isOptions = true
            case "force-share": flags.forceShare = true
            case "start-offset": start = try size(value, what: "start offset")
            case "max-length": longest = try size(value, what: "max length")
            default: try addSecret(value)
            }
        }
        guard operands.count == 1 else { throw oneImage(operands) }
        let node = try open(operands[0], format: format, isOptions: isOptions, flags: flags)
        return try closing(node) {
            try map(node, from: start, to: longest.map { min(start &+ $0, node.length) } ?? node.length, json: json)
            return 0
        }
    }

    private func map(_ node: any BlockNode, from start: Int64, to end: Int64, json: Bool) throws {
        if !json { output("Offset          Length          Mapped to       File\n") }
        var text = json ? "[" : ""
        var current: MapEntry?
        var position = start
        while position < end {
            let found = try attempt { () throws(BlockError) in
                try MapEntry(of: node, at: position, count: min(end - position, 1 << 30))
            }
            var entry = found
            entry.count = max(entry.count, 1)
            position += entry.count
            if let last = current {
                if last.continues(with: entry) {
                    current?.count += entry.count
                    continue
                }
                try append(last, next: entry, json, &text)
            }
            current = entry
        }
        // As the original says it of nothing.
        if current == nil, json {
            current = MapEntry(
                start: start, count: 0, depth: 0, isData: false, isZero: false, isPresent: false, offset: nil,
                filename: nil)
        }
        if let current { try append(current, next: nil, json, &text) }
        if json { text += "]\n" }
        output(text)
    }

    private func append(_ entry: MapEntry, next: MapEntry?, _ json: Bool, _ text: inout String) throws {
        if json {
            text += "{ \"start\": \(entry.start), \"length\": \(entry.count), \"depth\": \(entry.depth), "
            text += "\"present\": \(entry.isPresent), \"zero\": \(entry.isZero), \"data\": \(entry.isData)"
            if let offset = entry.offset { text += ", \"offset\": \(offset)" }
            text += next == nil ? "}" : "},\n"
        } else {
            if entry.isData, entry.offset == nil {
                output(text)
                throw fail("File contains external, encrypted or compressed clusters.")
            }
            if entry.isData, !entry.isZero {
                text += Self.column(entry.start) + Self.column(entry.count) + Self.column(entry.offset ?? 0)
                text += (entry.filename ?? "") + "\n"
            }
        }
        if text.utf8.count > 1 << 16 {
            output(text)
            text = ""
        }
    }

    private static func column(_ value: Int64) -> String {
        let text = value == 0 ? "0" : "0x" + String(value, radix: 16)
        return text + String(repeating: " ", count: max(0, 16 - text.utf8.count))
    }
}

extension MapEntry {
    /// Formats of which QEMU does not tell what is where.
    private static func isOpaque(_ node: any BlockNode) -> Bool {
        ["vhdx", "luks", "bochs", "cloop", "dmg"].contains(node.driverName)
    }

    /// Asks the layers from the top down until one has data or zeroes.
    fileprivate init(of top: any BlockNode, at start: Int64, count: Int64) throws(BlockError) {
        var node = top
        var count = count
        var depth = 0
        while true {
            while let filter = node as? any FilterNode { node = filter.filtered }
            var status =
                Self.isOpaque(node)
                ? BlockStatus(count: count, isData: true)
                : try node.status(at: start, count: count, detail: .mapping)
            count = min(count, max(status.count, 1))
            // The rest of the last sector is no data of the file's, where the file is not read by sectors.
            if status.isData, let file = status.file, file.limits.requestAlignment == 1, let offset = status.offset,
                offset < file.length
            {
                count = min(count, file.length - offset)
            }
            let below = node.backingNode
            if let below, !status.isData, start >= below.length { status.isZero = true }
            if status.isData || status.isZero || below == nil {
                let isKnown = status.isData || status.isZero
                self.init(
                    start: start, count: count, depth: depth, isData: status.isData, isZero: status.isZero,
                    isPresent: isKnown && status.isAllocated, offset: isKnown ? status.offset : nil,
                    filename: isKnown && status.offset != nil ? status.file?.location.filename : nil)
                return
            }
            node = below ?? node
            depth += 1
        }
    }
}
