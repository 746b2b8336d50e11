// SPDX-License-Identifier: Apache-2.0

internal import BlockLayer
internal import HostSystem

extension ImageTool {
    private struct CommitArguments {
        var format: String?
        var base: String?
        var keepsData = false
        var showsProgress = false
        var isQuiet = false
        var isOptions = false
        var rate: Int64 = 0
        var flags = OpenFlags.writable
    }

    func commit(_ arguments: [String]) throws -> Int32 {
        var result = CommitArguments()
        let operands = try OptionParser([
            .init("h", "help"), .init("f", value: true), .init("t", value: true), .init("b", value: true), .init("d"),
            .init("p"), .init("q"), .init("r", "rate-limit", value: true), .init(nil, "object", value: true),
            .init(nil, "image-opts"),
        ]).parse(arguments) { key, value in
            switch key {
            case "help": throw Exit(status: help(), lines: [])
            case "f": result.format = value
            case "t": result.flags.cache = try cacheMode(value, message: "Invalid cache option")
            case "b":
                result.base = value
                // Images between the two would be left without what they share.
                result.keepsData = true
            case "d": result.keepsData = true
            case "p": result.showsProgress = true
            case "q": result.isQuiet = true
            case "rate-limit": result.rate = try size(value, what: "rate limit")
            case "image-opts": result.isOptions = true
            default: try addSecret(value)
            }
        }
        guard operands.count == 1 else { throw usage("Expecting one image file name") }
        var depth = 1
        if let base = result.base { depth = try findDepth(of: base, operands[0], result) }
        result.flags.writableBacking = depth
        let node = try open(operands[0], format: result.format, isOptions: result.isOptions, flags: result.flags)
        return try closing(node) {
            let chain = node.chain
            guard chain.count > depth else { throw fail("Image does not have a backing file") }
            try commit(node, into: chain[depth], result, isDirect: depth == 1)
            if !result.isQuiet { output("Image committed.\n") }
            return 0
        }
    }

    /// How many images below the top `base` is.
    private func findDepth(of base: String, _ filename: String, _ arguments: CommitArguments) throws -> Int {
        var flags = OpenFlags()
        flags.cache = arguments.flags.cache
        let node = try open(filename, format: arguments.format, isOptions: arguments.isOptions, flags: flags)
        return try closing(node) {
            let chain = node.chain
            for (index, image) in chain.enumerated() where index > 0 {
                let stored = (chain[index - 1] as? any BackedNode)?.backingName
                if image.location.filename == base || stored == base { return index }
            }
            throw fail("Did not find '\(base)' in the backing chain of '\(filename)'")
        }
    }

    private func commit(
        _ node: any BlockNode, into base: any BlockNode, _ arguments: CommitArguments, isDirect: Bool
    ) throws {
        let length = node.length
        if base.length < length {
            guard let resizable = base as? any ResizableNode else {
                throw fail("The backing file is shorter than the image and cannot be made longer")
            }
            try attempt { () throws(BlockError) in
                try resizable.resize(to: length, preallocation: .off, exact: true)
            }
        }
        let progress = Progress(self, isShown: arguments.showsProgress && !arguments.isQuiet, total: length)
        let buffer = AlignedBuffer(count: 2 << 20)
        let started = monotonicNanoseconds()
        var offset: Int64 = 0
        while offset < length {
            let found = try attempt { () throws(BlockError) in
                try node.chainStatus(at: offset, count: length - offset, above: base, detail: .zeroes)
            }
            var count = max(found.status.count, 1)
            if found.status.isAllocated || found.status.isData {
                if found.status.isZero {
                    try attempt { () throws(BlockError) in
                        try base.writeZeroes(at: offset, count: count, flags: .mayUnmap)
                    }
                } else {
                    count = min(count, Int64(buffer.region.count))
                    let region = buffer.region.slice(0, Int(count))
                    try attempt { () throws(BlockError) in
                        try node.read(region, at: offset)
                        try base.write(region, at: offset)
                    }
                }
            }
            offset += count
            progress.show(Double(offset) / Double(length))
            pace(offset, arguments.rate, since: started)
        }
        // The data must be in the base before the image lets go of it.
        try attempt { () throws(BlockError) in try base.flush() }
        if isDirect, !arguments.keepsData, let emptyable = node as? any EmptyableNode {
            do throws(BlockError) {
                try emptyable.makeEmpty()
            } catch {
                throw fail("Could not empty \(node.location.filename): ", error)
            }
        }
        progress.finish()
    }

    func pace(_ done: Int64, _ rate: Int64, since started: UInt64) {
        guard rate > 0 else { return }
        let due = started &+ UInt64(Double(done) / Double(rate) * 1e9)
        let timer = Lock()
        timer.withLock { while monotonicNanoseconds() < due { _ = timer.wait(until: due) } }
    }
}
