// SPDX-License-Identifier: Apache-2.0

internal import BlockLayer
internal import HostSystem

extension ImageTool {
    private struct Comparison {
        let nodes: (any BlockNode, any BlockNode)
        let names: (String, String)
        let isStrict: Bool
        let buffers = (AlignedBuffer(count: 2 << 20), AlignedBuffer(count: 2 << 20))
    }

    func compare(_ arguments: [String]) throws -> Int32 {
        var formats: (String?, String?) = (nil, nil)
        var isStrict = false
        var isQuiet = false
        var showsProgress = false
        var isOptions = false
        var flags = OpenFlags()
        var cache: String?
        let operands = try OptionParser([
            .init("h", "help"), .init("f", value: true), .init("F", value: true), .init("T", value: true), .init("p"),
            .init("q"), .init("s"), .init("U", "force-share"), .init(nil, "object", value: true),
            .init(nil, "image-opts"),
        ]).parse(arguments) { key, value in
            switch key {
            case "help": throw Exit(status: help(), lines: [])
            case "f": formats.0 = value
            case "F": formats.1 = value
            case "T": cache = value
            case "p": showsProgress = true
            case "q": isQuiet = true
            case "s": isStrict = true
            case "force-share": flags.forceShare = true
            case "image-opts": isOptions = true
            default: try addSecret(value, status: 2)
            }
        }
        guard operands.count == 2 else { throw usage("Expecting two image file names") }
        if let cache {
            flags.cache = try cacheMode(cache, message: "Invalid source cache option", status: 2)
        }
        let first = try open(operands[0], format: formats.0, isOptions: isOptions, flags: flags, status: 2)
        return try closing(first) {
            let second = try open(operands[1], format: formats.1, isOptions: isOptions, flags: flags, status: 2)
            return try closing(second) {
                let comparison = Comparison(
                    nodes: (first, second), names: (operands[0], operands[1]), isStrict: isStrict)
                let progress = Progress(self, isAsked: showsProgress, isQuiet: isQuiet, total: first.length)
                // The line of the progress ends behind the answer: that is how qemu-img has it.
                defer { progress.end() }
                let difference = try difference(comparison, progress, isQuiet: isQuiet)
                progress.endBar()
                if !isQuiet { output((difference ?? "Images are identical.") + "\n") }
                return difference == nil ? 0 : 1
            }
        }
    }

    private func difference(_ comparison: Comparison, _ progress: Progress, isQuiet: Bool) throws -> String? {
        let (first, second) = comparison.nodes
        let common = min(first.length, second.length)
        let total = max(first.length, second.length)
        if comparison.isStrict, first.length != second.length { return "Strict mode: Image size mismatch!" }
        var offset: Int64 = 0
        while offset < common {
            let a = try status(first, offset, first.length - offset, comparison.names.0)
            let b = try status(second, offset, second.length - offset, comparison.names.1)
            if comparison.isStrict, !a.looksLike(b) {
                return "Strict mode: Offset \(offset) block status mismatch!"
            }
            var count = min(min(a.count, b.count), common - offset)
            if a.isZero && b.isZero {
                // Nothing to read.
            } else {
                count = min(count, Int64(comparison.buffers.0.region.count))
                if let place = try mismatch(comparison, a, b, offset, Int(count)) {
                    return "Content mismatch at offset \(place)!"
                }
            }
            offset += count
            progress.show(Double(offset) / Double(max(total, 1)))
        }
        if first.length != second.length {
            if !isQuiet { output("Warning: Image size mismatch!\n") }
            let isFirst = first.length > second.length
            if let place = try nonZero(comparison, isFirst: isFirst, from: common, progress) {
                return "Content mismatch at offset \(place)!"
            }
        }
        if common == 0 { progress.show(1) }
        return nil
    }

    private func status(
        _ node: any BlockNode, _ offset: Int64, _ count: Int64, _ filename: String
    ) throws -> BlockStatus {
        do {
            var status = try node.chainStatus(at: offset, count: count).status
            if !status.isAllocated { status.isZero = true }
            return status
        } catch {
            throw fail("Sector allocation test failed for \(filename): \(error)", status: 3)
        }
    }

    private func read(_ node: any BlockNode, _ region: ByteRegion, _ offset: Int64, _ filename: String) throws {
        do {
            try node.read(region, at: offset)
        } catch {
            throw fail("Error while reading offset \(offset) of \(filename): \(error.errno)", status: 4)
        }
    }

    private func mismatch(
        _ comparison: Comparison, _ a: BlockStatus, _ b: BlockStatus, _ offset: Int64, _ count: Int
    ) throws -> Int64? {
        let (one, two) = (comparison.buffers.0.region.slice(0, count), comparison.buffers.1.region.slice(0, count))
        if a.isZero { one.fill(0) } else { try read(comparison.nodes.0, one, offset, comparison.names.0) }
        if b.isZero { two.fill(0) } else { try read(comparison.nodes.1, two, offset, comparison.names.1) }
        if one.isEqual(to: two) { return nil }
        // qemu-img names the sector in which the difference lies.
        for sector in stride(from: 0, to: count, by: 512) {
            let length = min(512, count - sector)
            if !one.slice(sector, length).isEqual(to: two.slice(sector, length)) { return offset + Int64(sector) }
        }
        return nil
    }

    private func nonZero(
        _ comparison: Comparison, isFirst: Bool, from start: Int64, _ progress: Progress
    ) throws -> Int64? {
        let node = isFirst ? comparison.nodes.0 : comparison.nodes.1
        let filename = isFirst ? comparison.names.0 : comparison.names.1
        var offset = start
        while offset < node.length {
            let status = try status(node, offset, node.length - offset, filename)
            var count = status.count
            if !status.isZero {
                count = min(count, Int64(comparison.buffers.0.region.count))
                let region = comparison.buffers.0.region.slice(0, Int(count))
                try read(node, region, offset, filename)
                if !region.isZero {
                    for sector in stride(from: 0, to: Int(count), by: 512)
                    where !region.slice(sector, min(512, Int(count) - sector)).isZero { return offset + Int64(sector) }
                }
            }
            offset += count
            progress.show(Double(offset) / Double(node.length))
        }
        return nil
    }
}

extension BlockStatus {
    /// Whether two images store their content in the same way here, as far as anybody can tell.
    fileprivate func looksLike(_ other: BlockStatus) -> Bool {
        isAllocated == other.isAllocated && isZero == other.isZero && isData == other.isData && isEnd == other.isEnd
            && (offset == nil) == (other.offset == nil)
    }
}
