// SPDX-License-Identifier: Apache-2.0

internal import BlockLayer
internal import Glibc
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
        guard operands.count == 1 else { throw oneImage(operands) }
        var depth = 1
        if let base = result.base { depth = try findDepth(of: base, operands[0], result) }
        result.flags.writableBacking = depth
        let node = try open(operands[0], format: result.format, isOptions: result.isOptions, flags: result.flags)
        return try closing(node) {
            let chain = node.chain
            guard chain.count > depth else {
                Progress(self, isAsked: result.showsProgress, isQuiet: result.isQuiet, total: 0).end()
                throw fail("Image does not have a backing file")
            }
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
                if names(base, image, below: chain[index - 1]) { return index }
            }
            throw fail("Did not find '\(base)' in the backing chain of '\(filename)'")
        }
    }

    /// Whether people mean `image` by `name`: by the name that the image above stores, or as a path of the same file.
    private func names(_ name: String, _ image: any BlockNode, below overlay: any BlockNode) -> Bool {
        guard let stored = (overlay as? any BackedNode)?.backingName else { return image.location.filename == name }
        let full = try? ImageName.resolve(stored, against: overlay.location)
        if ImageName.scheme(of: name) != nil || ImageName.scheme(of: stored) != nil {
            return name == stored || name == full || name == image.location.filename
        }
        guard let full, let meant = try? ImageName.resolve(name, against: overlay.location) else { return false }
        guard let meant = Self.canonical(meant) else { return false }
        return meant == Self.canonical(full)
    }

    private static func canonical(_ path: String) -> String? {
        // realpath allocates the result, which is freed here.
        guard let text = unsafe realpath(path, nil) else { return nil }
        defer { unsafe free(text) }
        return unsafe String(cString: text)
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
                try resizable.resizeOverBacking(to: length)
            }
        }
        let progress = Progress(
            self, isAsked: arguments.showsProgress, isQuiet: arguments.isQuiet, total: length)
        let started = monotonicNanoseconds()
        let job = CommitJob(top: node, base: base)
        do {
            try job.copy { done in
                progress.show(Double(done) / Double(length))
                pace(done, arguments.rate, since: started)
            }
        } catch {
            progress.end()
            throw fail("Block job failed: \(isDropIn ? "\(error.errno)" : error.message)")
        }
        if isDirect, !arguments.keepsData {
            do {
                try job.emptyTop()
            } catch {
                throw fail("Failed to empty \(node.location.filename): \(error.errno)")
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
