// SPDX-License-Identifier: Apache-2.0

internal import BlockLayer
internal import HostSystem

extension ImageTool {
    private struct RebaseArguments {
        var format: String?
        var backing: String?
        var backingFormat: String?
        var isUnsafe = false
        var showsProgress = false
        var isQuiet = false
        var isOptions = false
        /// Backing files may be in use; the image itself is written.
        var sharesBacking = false
        var flags = OpenFlags.writable
        var sourceCache = CacheMode.writeback
    }

    func rebase(_ arguments: [String]) throws -> Int32 {
        var result = RebaseArguments()
        var cache: String?
        var sourceCache: String?
        let operands = try OptionParser([
            .init("h", "help"), .init("f", value: true), .init("F", value: true), .init("b", value: true), .init("u"),
            .init("p"), .init("t", value: true), .init("T", value: true), .init("q"), .init("U", "force-share"),
            .init("c", "compress"), .init(nil, "object", value: true), .init(nil, "image-opts"),
        ]).parse(arguments) { key, value in
            switch key {
            case "help": throw Exit(status: help(), lines: [])
            case "f": result.format = value
            case "F": result.backingFormat = value
            case "b": result.backing = value
            case "u": result.isUnsafe = true
            case "p": result.showsProgress = true
            case "t": cache = value
            case "T": sourceCache = value
            case "q": result.isQuiet = true
            case "force-share": result.sharesBacking = true
            case "image-opts": result.isOptions = true
            case "compress": throw OptionParser.Failure.unknown("-c")
            default: try addSecret(value)
            }
        }
        guard operands.count == 1 else { throw oneImage(operands) }
        guard result.isUnsafe || result.backing != nil else {
            throw usage("Must specify backing file (-b) or use unsafe mode (-u)")
        }
        if let cache { result.flags.cache = try cacheMode(cache, message: "Invalid cache option") }
        if let sourceCache { result.sourceCache = try cacheMode(sourceCache, message: "Invalid source cache option") }
        result.flags.withoutBacking = result.isUnsafe
        let node = try open(operands[0], format: result.format, isOptions: result.isOptions, flags: result.flags)
        return try closing(node) {
            try rebase(node, result)
            return 0
        }
    }

    private func rebase(_ node: any BlockNode, _ arguments: RebaseArguments) throws {
        if let format = arguments.backingFormat, graph.driver(format) == nil {
            throw fail("Invalid format name: '\(format)'")
        }
        let backing = arguments.backing ?? ""
        var new: (any BlockNode)?
        if !arguments.isUnsafe {
            if !backing.isEmpty { new = try openNewBacking(backing, node, arguments) }
            try copyDifferences(node, new, arguments)
        }
        defer { new.map(closeQuietly) }
        try changeReference(node, backing, arguments.backingFormat)
    }

    private func openNewBacking(
        _ backing: String, _ node: any BlockNode, _ arguments: RebaseArguments
    ) throws -> any BlockNode {
        var flags = OpenFlags()
        flags.cache = arguments.sourceCache
        flags.forceShare = arguments.sharesBacking
        do throws(BlockError) {
            let full = try ImageName.resolve(backing, against: node.location)
            return try graph.open(full, format: arguments.backingFormat, flags: flags)
        } catch {
            throw fail("Could not open new backing file '\(backing)': ", error)
        }
    }

    private func changeReference(_ node: any BlockNode, _ backing: String, _ format: String?) throws {
        guard backing.isEmpty || format != nil else {
            throw fail("Could not change the backing file to '\(backing)': backing format must be specified")
        }
        guard let backed = node as? any BackedNode else {
            throw fail("Could not change the backing file to '\(backing)': Operation not supported")
        }
        do throws(BlockError) {
            try backed.changeBackingReference(name: backing.isEmpty ? nil : backing, format: format)
        } catch {
            if error.kind == .noSpace {
                throw fail("Could not change the backing file to '\(backing)': No space left in the file header")
            }
            throw fail("Could not change the backing file to '\(backing)': ", error)
        }
    }

    /// Copies into the image what it would otherwise read differently from the new backing file.
    private func copyDifferences(
        _ node: any BlockNode, _ new: (any BlockNode)?, _ arguments: RebaseArguments
    ) throws {
        let old = node.backingNode
        let size = 2 << 20
        let buffers = (AlignedBuffer(count: size), AlignedBuffer(count: size))
        let progress = Progress(
            self, isAsked: arguments.showsProgress, isQuiet: arguments.isQuiet, total: node.length)
        var offset: Int64 = 0
        while offset < node.length {
            let status = try attempt("error while reading image metadata: ") { () throws(BlockError) in
                try node.status(at: offset, count: node.length - offset, detail: .allocation)
            }
            var count = max(status.count, 1)
            if !status.isAllocated {
                count = min(count, Int64(size))
                try compareAndWrite(node, old, new, offset, Int(count), buffers)
            }
            offset += count
            progress.show(Double(offset) / Double(node.length))
        }
        if node.length == 0 { progress.show(1) }
        progress.end()
    }

    private func compareAndWrite(
        _ node: any BlockNode, _ old: (any BlockNode)?, _ new: (any BlockNode)?, _ offset: Int64, _ count: Int,
        _ buffers: (AlignedBuffer, AlignedBuffer)
    ) throws {
        let (before, after) = (buffers.0.region.slice(0, count), buffers.1.region.slice(0, count))
        if let old {
            try attempt("error while reading from old backing file: ") { () throws(BlockError) in
                try old.readWithin(before, at: offset)
            }
        } else {
            before.fill(0)
        }
        if let new {
            try attempt("error while reading from new backing file: ") { () throws(BlockError) in
                try new.readWithin(after, at: offset)
            }
        } else {
            after.fill(0)
        }
        var start = 0
        while start < count {
            let length = min(512, count - start)
            if before.slice(start, length).isEqual(to: after.slice(start, length)) {
                start += length
                continue
            }
            var end = start + length
            while end < count {
                let next = min(512, count - end)
                if before.slice(end, next).isEqual(to: after.slice(end, next)) { break }
                end += next
            }
            let run = before.slice(start, end - start)
            try attempt("Error while writing to COW image: ") { () throws(BlockError) in
                if run.isZero, run.count >= 4096 {
                    try node.writeZeroes(at: offset + Int64(start), count: Int64(run.count), flags: [])
                } else {
                    try node.write(run, at: offset + Int64(start))
                }
            }
            start = end
        }
    }
}

extension BlockNode {
    /// Reads, with zeroes past the end.
    func readWithin(_ region: ByteRegion, at offset: Int64) throws(BlockError) {
        let inside = Int(max(min(Int64(region.count), length - offset), 0))
        if inside > 0 { try read(region.slice(0, inside), at: offset) }
        if inside < region.count { region.from(inside).fill(0) }
    }
}
