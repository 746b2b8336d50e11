// SPDX-License-Identifier: Apache-2.0

internal import BlockLayer
internal import HostSystem

extension ImageTool {
    struct ConvertArguments {
        var format: String?
        var outputFormat: String?
        var options: [String] = []
        var backing: String?
        var backingFormat: String?
        var snapshot: String?
        var cache = CacheMode.unsafe
        var sourceCache = CacheMode.writeback
        var isCompressed = false
        var skipsCreation = false
        var showsProgress = false
        var isQuiet = false
        var sparse: Int?
        var workers = 8
        var isOrdered = true
        var isShared = false
        var sourceIsOptions = false
        var targetIsOptions = false
        var targetIsZero = false
        var copiesBitmaps = false
        var skipsBrokenBitmaps = false
        var isSalvaging = false
        var usesCopyOffload = false
        var rate: Int64 = 0
        var files: [String] = []
    }

    func convert(_ arguments: [String]) throws -> Int32 {
        let arguments = try parseConvert(arguments)
        if asksForHelp(arguments.options) {
            return try listCreateOptions(
                arguments.outputFormat ?? "raw", arguments.files.count > 1 ? arguments.files.last : nil)
        }
        guard arguments.files.count >= 2, let target = arguments.files.last else {
            throw fail("Must specify image file name")
        }
        try checkConvert(arguments)
        var sources: [any BlockNode] = []
        defer { for source in sources { closeQuietly(source) } }
        for filename in arguments.files.dropLast() {
            var flags = OpenFlags()
            flags.cache = arguments.sourceCache
            flags.forceShare = arguments.isShared
            sources.append(
                try open(filename, format: arguments.format, isOptions: arguments.sourceIsOptions, flags: flags))
        }
        var views = sources
        if let snapshot = arguments.snapshot {
            guard sources.count == 1 else { throw fail("No support for concatenating multiple snapshot") }
            views = [try view(of: sources[0], snapshot: snapshot)]
        }
        return try convert(views, to: target, arguments)
    }

    func closeQuietly(_ node: any BlockNode) {
        do { try node.close() } catch { report("\(node.location.filename): \(error)") }
    }

    private func parseConvert(_ arguments: [String]) throws -> ConvertArguments {
        var result = ConvertArguments()
        result.files = try OptionParser([
            .init("h", "help"), .init("f", value: true), .init("O", value: true), .init("B", value: true),
            .init("F", value: true), .init("c"), .init("C"), .init("o", value: true), .init("l", value: true),
            .init("S", value: true), .init("p"), .init("q"), .init("n"), .init("t", value: true),
            .init("T", value: true), .init("m", value: true), .init("W"), .init("U", "force-share"),
            .init("r", "rate-limit", value: true), .init("e"), .init("6"), .init(nil, "object", value: true),
            .init(nil, "image-opts"), .init(nil, "target-image-opts"), .init(nil, "target-is-zero"),
            .init(nil, "bitmaps"), .init(nil, "skip-broken-bitmaps"), .init(nil, "salvage"),
        ]).parse(arguments) { key, value in try apply(key, value, &result) }
        if result.skipsBrokenBitmaps, !result.copiesBitmaps {
            throw fail("Use of --skip-broken-bitmaps requires --bitmaps")
        }
        return result
    }

    private func apply(_ key: String, _ value: String, _ result: inout ConvertArguments) throws {
        switch key {
        case "help": throw Exit(status: help(), lines: [])
        case "f": result.format = value
        case "O": result.outputFormat = value
        case "B": result.backing = value
        case "F": result.backingFormat = value
        case "c": result.isCompressed = true
        case "C": result.usesCopyOffload = true
        case "o": result.options.append(value)
        case "l": result.snapshot = value
        case "S": result.sparse = try parseSparse(value)
        case "p": result.showsProgress = true
        case "q": result.isQuiet = true
        case "n": result.skipsCreation = true
        case "t": result.cache = try cacheMode(value, message: "Invalid cache option")
        case "T": result.sourceCache = try cacheMode(value, message: "Invalid source cache option")
        case "m":
            guard let number = Int(value), (1...16).contains(number) else {
                throw fail("Invalid number of coroutines. Allowed number of coroutines is between 1 and 16")
            }
            result.workers = number
        case "W": result.isOrdered = false
        case "force-share": result.isShared = true
        case "rate-limit": result.rate = try size(value, what: "rate limit")
        case "image-opts": result.sourceIsOptions = true
        case "target-image-opts": result.targetIsOptions = true
        case "target-is-zero": result.targetIsZero = true
        case "bitmaps": result.copiesBitmaps = true
        case "skip-broken-bitmaps": result.skipsBrokenBitmaps = true
        case "salvage": result.isSalvaging = true
        case "e": throw fail("option -e is deprecated, please use '-o encryption=on' instead!")
        case "6": throw fail("option -6 is deprecated, please use '-o compat6' instead!")
        default: try addSecret(value)
        }
    }

    private func parseSparse(_ text: String) throws -> Int {
        let value = try size(text, what: "buffer size for sparse output")
        guard value % 512 == 0, value <= 16 << 20 else {
            throw fail(
                "Invalid buffer size for sparse output specified. Valid sizes are multiples of 512 up to 16777216. Select 0 to disable sparse detection (fully allocates output)."
            )
        }
        return Int(value)
    }

    private func checkConvert(_ arguments: ConvertArguments) throws {
        if arguments.targetIsOptions, !arguments.skipsCreation {
            throw fail("--target-image-opts requires use of -n flag")
        }
        if arguments.targetIsZero, !arguments.skipsCreation { throw fail("--target-is-zero requires use of -n flag") }
        if arguments.usesCopyOffload, arguments.sparse != nil {
            throw fail("Cannot enable copy offloading when -S is used")
        }
        if arguments.isCompressed, arguments.usesCopyOffload {
            throw fail("Cannot enable copy offloading when -c is used")
        }
        if arguments.sourceIsOptions, arguments.format != nil {
            throw fail("--image-opts and --format are mutually exclusive")
        }
        if arguments.skipsCreation, !arguments.options.isEmpty, !arguments.isQuiet {
            warning("-o has no effect when skipping image creation")
        }
    }

    // MARK: Target

    private func convert(_ sources: [any BlockNode], to target: String, _ arguments: ConvertArguments) throws -> Int32 {
        let format = arguments.outputFormat ?? "raw"
        let total = sources.reduce(0) { $0 + $1.length }
        var sharedBase: (any BlockNode)?
        var hasBacking = arguments.backing != nil
        if !arguments.skipsCreation {
            hasBacking = try createTarget(target, format, sources, total, arguments) || hasBacking
        } else if arguments.isCompressed, let driver = arguments.outputFormat.flatMap(graph.driver),
            driver.name == "raw"
        {
            throw fail("Compression not supported for this file format")
        }
        let node = try openTarget(target, format, arguments)
        return try closing(node) {
            if arguments.skipsCreation {
                guard node.length >= total else { throw fail("output file is smaller than input file") }
            }
            if hasBacking, arguments.backing == nil || !arguments.skipsCreation {
                sharedBase = try findBase(sources, arguments, target)
            }
            try copy(sources, node, sharedBase: sharedBase, hasBacking: hasBacking, arguments)
            if arguments.copiesBitmaps {
                try copyBitmaps(from: sources[0], to: node, skipsBroken: arguments.skipsBrokenBitmaps)
            }
            return 0
        }
    }

    private func createTarget(
        _ target: String, _ format: String, _ sources: [any BlockNode], _ total: Int64, _ arguments: ConvertArguments
    ) throws -> Bool {
        guard let driver = graph.driver(format) else { throw fail("Unknown file format '\(format)'") }
        _ = try attempt { () throws(BlockError) in try graph.protocolDriver(for: target) }
        guard let creating = driver as? any CreatingDriver else {
            throw fail("Format driver '\(format)' does not support image creation")
        }
        var options = CreateOptions(try attempt { () throws(BlockError) in try allOptions(creating, target) })
        try attempt { () throws(BlockError) in
            for text in arguments.options { try options.parse(text) }
            try options.set("size", String(total))
        }
        if let backing = arguments.backing {
            guard options.accepts("backing_file") else {
                throw fail("Backing file not supported for file format '\(format)'")
            }
            try attempt { () throws(BlockError) in try options.set("backing_file", backing) }
        }
        if let backingFormat = arguments.backingFormat {
            guard options.accepts("backing_fmt") else {
                throw fail("Backing file format not supported for file format '\(format)'")
            }
            try attempt { () throws(BlockError) in try options.set("backing_fmt", backingFormat) }
        }
        let hasBacking = options.isSet("backing_file")
        if hasBacking, !options.isSet("backing_fmt") {
            throw fail("Use of backing file requires explicit backing format")
        }
        if arguments.isCompressed {
            guard format == "qcow2" || format == "vmdk" || format == "qcow" else {
                throw fail("Compression not supported for this file format")
            }
            if options.bool("encryption") || options.string("encrypt.format") != nil {
                throw fail("Compression and encryption not supported at the same time")
            }
            if let mode = options.string("preallocation"), mode != "off" {
                throw fail("Compression and preallocation not supported at the same time")
            }
        }
        if arguments.copiesBitmaps {
            guard sources.count == 1 else { throw fail("Copying bitmaps only possible with single source") }
            guard sources[0] is any BitmapStore else {
                throw fail("This will continue to be invalid; the source does not support bitmaps")
            }
            guard format == "qcow2" else { throw fail("Format driver '\(format)' does not support bitmaps") }
        }
        do throws(BlockError) {
            try creating.create(CreateRequest(filename: target, options: options, graph: graph))
        } catch {
            throw fail("\(target): error while converting \(format): ", error)
        }
        return hasBacking
    }

    private func openTarget(_ target: String, _ format: String, _ arguments: ConvertArguments) throws -> any BlockNode {
        var flags = OpenFlags.writable
        flags.cache = arguments.cache
        flags.mayResize = true
        if arguments.targetIsOptions {
            return try open(target, isOptions: true, flags: flags)
        }
        return try open(
            target, format: arguments.skipsCreation ? arguments.outputFormat ?? "raw" : format, flags: flags)
    }

    /// The image of the source's chain that is also the target's backing file.
    private func findBase(
        _ sources: [any BlockNode], _ arguments: ConvertArguments, _ target: String
    ) throws -> (any BlockNode)? {
        guard sources.count == 1 else { return nil }
        guard let backing = arguments.backing else { return nil }
        var node = sources[0].backingNode
        while let current = node {
            if current.location.filename == backing { return current }
            node = current.backingNode
        }
        return nil
    }

    private func copy(
        _ sources: [any BlockNode], _ target: any BlockNode, sharedBase: (any BlockNode)?, hasBacking: Bool,
        _ arguments: ConvertArguments
    ) throws {
        if arguments.isCompressed, !(target is any CompressedWriting) {
            throw fail("Compression not supported for this file format")
        }
        var plan = CopyJob.Plan(target: target)
        plan.sources = sources
        plan.sharedBase = sharedBase
        plan.targetHasBacking = hasBacking
        plan.targetIsZero = !arguments.skipsCreation || arguments.targetIsZero
        if !plan.targetIsZero, !hasBacking, arguments.sparse != 0 {
            // One big request is cheap where the storage can do it, and then zeroes need no further ones.
            let range = target.length
            if (try? target.writeZeroes(at: 0, count: range, flags: [.mayUnmap, .noFallback])) != nil {
                plan.targetIsZero = true
            }
        }
        plan.sparseSize = arguments.sparse ?? 4096
        plan.isCompressed = arguments.isCompressed
        plan.isOrdered = arguments.isOrdered && !(target.driverName == "raw")
        plan.workers = max(1, min(arguments.workers, Self.usefulWorkers))
        plan.rate = arguments.rate
        plan.isSalvaging = arguments.isSalvaging
        let total = sources.reduce(0) { $0 + $1.length }
        let progress = Progress(self, isShown: arguments.showsProgress && !arguments.isQuiet, total: total)
        let (name, errors) = (name, errors)
        let job = CopyJob(plan) { errors("\(name): \($0)\n") }
        do {
            try job.run { progress.show($0) }
        } catch {
            throw fail("", error)
        }
        progress.finish()
    }

    /// More than this many threads wait for one another.
    private static var usefulWorkers: Int { 3 }

    func copyBitmaps(from source: any BlockNode, to target: any BlockNode, skipsBroken: Bool) throws {
        guard let from = source as? any BitmapStore, let to = target as? any BitmapStore else { return }
        for bitmap in from.bitmaps {
            if bitmap.isInconsistent {
                guard skipsBroken else {
                    throw fail("Cannot copy inconsistent bitmap '\(bitmap.name)'", status: 1)
                }
                warning("Skipping inconsistent bitmap '\(bitmap.name)'")
                continue
            }
            try attempt("Failed to populate bitmap \(bitmap.name): ") { () throws(BlockError) in
                let ranges = try from.dirtyRanges(of: bitmap.name)
                try to.addBitmap(bitmap)
                try to.markDirty(ranges, in: bitmap.name)
            }
        }
    }
}
