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
        var cacheText: String?
        var sourceCacheText: String?
    }

    func convert(_ arguments: [String]) throws -> Int32 {
        var arguments = try parseConvert(arguments)
        try checkConvert(arguments)
        if asksForHelp(arguments.options) {
            if arguments.targetIsOptions, arguments.outputFormat == nil {
                throw fail("Option help requires a format be specified")
            }
            return try listCreateOptions(
                arguments.outputFormat ?? "raw", arguments.files.count > 1 ? arguments.files.last : nil)
        }
        guard arguments.files.count >= 2, let target = arguments.files.last else {
            throw fail("Must specify image file name")
        }
        if let text = arguments.cacheText { arguments.cache = try cacheMode(text, message: "Invalid cache option") }
        if let text = arguments.sourceCacheText {
            arguments.sourceCache = try cacheMode(text, message: "Invalid source cache option")
        }
        let progress = Progress(self, isAsked: arguments.showsProgress, isQuiet: arguments.isQuiet)
        // Once the last line is there, this says nothing more.
        defer { progress.end() }
        var sources: [any BlockNode] = []
        defer { for source in sources { closeQuietly(source) } }
        for filename in arguments.files.dropLast() {
            var flags = OpenFlags()
            flags.cache = arguments.sourceCache
            flags.forceShare = arguments.isShared
            // Nobody writes to what is being copied, least of all this program where both names are one file's.
            flags.isExclusive = !arguments.isShared
            sources.append(
                try open(filename, format: arguments.format, isOptions: arguments.sourceIsOptions, flags: flags))
        }
        var views = sources
        if let snapshot = arguments.snapshot {
            guard sources.count == 1 else { throw fail("No support for concatenating multiple snapshot") }
            views = [try view(of: sources[0], snapshot: snapshot)]
        }
        progress.total = views.reduce(0) { $0 + $1.length }
        return try convert(views, to: target, arguments, progress)
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
            .init("r", "rate-limit", value: true), .init(nil, "object", value: true),
            .init(nil, "image-opts"), .init(nil, "target-image-opts"), .init(nil, "target-is-zero"),
            .init(nil, "bitmaps"), .init(nil, "skip-broken-bitmaps"), .init(nil, "salvage"),
        ]).parse(arguments) { key, value in try apply(key, value, &result) }
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
        case "o": result.options.append(try optionList(value))
        case "l": result.snapshot = try snapshotParameter(value)
        case "S": result.sparse = try parseSparse(value)
        case "p": result.showsProgress = true
        case "q": result.isQuiet = true
        case "n": result.skipsCreation = true
        case "t": result.cacheText = value
        case "T": result.sourceCacheText = value
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
        if arguments.skipsBrokenBitmaps, !arguments.copiesBitmaps {
            throw fail("Use of --skip-broken-bitmaps requires --bitmaps")
        }
        if arguments.isCompressed, arguments.usesCopyOffload {
            throw fail("Cannot enable copy offloading when -c is used")
        }
        if arguments.usesCopyOffload, arguments.sparse != nil {
            throw fail("Cannot enable copy offloading when -S is used")
        }
        if arguments.usesCopyOffload, arguments.isSalvaging {
            throw fail("Cannot use copy offloading in salvaging mode")
        }
        if arguments.targetIsOptions, !arguments.skipsCreation {
            throw fail("--target-image-opts requires use of -n flag")
        }
        if arguments.skipsCreation, !arguments.options.isEmpty {
            throw fail("-o has no effect when skipping image creation")
        }
        if arguments.targetIsZero, !arguments.skipsCreation { throw fail("--target-is-zero requires use of -n flag") }
    }

    // MARK: Target

    /// What is known of the target before it is opened.
    private struct TargetPlan {
        var hasBacking = false
        /// Options that the new image must be opened with: the secrets of its encryption.
        var openOptions = BlockOptions()
    }

    private func convert(
        _ sources: [any BlockNode], to target: String, _ arguments: ConvertArguments, _ progress: Progress
    ) throws -> Int32 {
        var plan = TargetPlan()
        if arguments.skipsCreation {
            plan.hasBacking = arguments.backing != nil
            try checkTarget(plan, sources, arguments, options: nil)
        } else {
            plan = try createTarget(target, sources, progress.total, arguments)
        }
        let node = try openTarget(target, plan, arguments)
        try closing(node) {
            try copy(sources, node, plan, arguments, progress)
            if arguments.copiesBitmaps { try copyBitmaps(from: sources[0], to: node) }
        }
        progress.finish()
        return 0
    }

    private func createTarget(
        _ target: String, _ sources: [any BlockNode], _ total: Int64, _ arguments: ConvertArguments
    ) throws -> TargetPlan {
        let format = arguments.outputFormat ?? "raw"
        noteFormat(of: target, given: arguments.outputFormat, option: "-O")
        guard let driver = graph.driver(format) else { throw unknownFormat(format) }
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
        var plan = TargetPlan()
        plan.hasBacking = options.isSet("backing_file")
        try checkTarget(plan, sources, arguments, options: options)
        for name in options.setNames where name.hasSuffix("key-secret") {
            plan.openOptions[name] = options.string(name).map { .string($0) }
        }
        do throws(BlockError) {
            try creating.create(CreateRequest(filename: target, options: options, graph: graph))
        } catch {
            throw fail("\(target): error while converting \(format): ", error)
        }
        return plan
    }

    private func checkTarget(
        _ plan: TargetPlan, _ sources: [any BlockNode], _ arguments: ConvertArguments, options: CreateOptions?
    ) throws {
        if plan.hasBacking, arguments.targetIsZero {
            throw fail("Cannot use --target-is-zero when the destination image has a backing file")
        }
        if plan.hasBacking, sources.count > 1 {
            throw fail("Having a backing file for the target makes no sense when concatenating multiple input images")
        }
        if plan.hasBacking, let options, !options.isSet("backing_fmt") {
            throw fail("Use of backing file requires explicit backing format")
        }
        if arguments.isCompressed, let options {
            guard ["qcow2", "vmdk", "qcow"].contains(arguments.outputFormat ?? "raw") else {
                throw fail("Compression not supported for this file format")
            }
            if options.bool("encryption") || options.string("encrypt.format") != nil {
                throw fail("Compression and encryption not supported at the same time")
            }
            if let mode = options.string("preallocation"), mode != "off" {
                throw fail("Compression and preallocation not supported at the same time")
            }
        }
        if arguments.copiesBitmaps { try checkBitmaps(sources, arguments) }
    }

    private func checkBitmaps(_ sources: [any BlockNode], _ arguments: ConvertArguments) throws {
        guard sources.count == 1 else { throw fail("Copying bitmaps only possible with single source") }
        guard let store = sources[0] as? any BitmapStore else { throw fail("Source lacks bitmap support") }
        for bitmap in store.bitmaps.reversed() where bitmap.isInconsistent && !arguments.skipsBrokenBitmaps {
            var exit = fail("Cannot copy inconsistent bitmap '\(bitmap.name)'")
            exit.lines.append(
                "Try --skip-broken-bitmaps, or use '\(name) bitmap --remove' to delete it\n")
            throw exit
        }
    }

    private func openTarget(
        _ target: String, _ plan: TargetPlan, _ arguments: ConvertArguments
    ) throws -> any BlockNode {
        var flags = OpenFlags.writable
        flags.cache = arguments.cache
        flags.mayResize = true
        flags.unmaps = arguments.sparse != 0
        let node =
            arguments.targetIsOptions
            ? try open(target, format: arguments.outputFormat, isOptions: true, flags: flags)
            : try open(target, format: arguments.outputFormat ?? "raw", flags: flags, extra: plan.openOptions)
        if arguments.copiesBitmaps, !((node as? any BitmapStore)?.storesBitmaps ?? false) {
            closeQuietly(node)
            throw fail("Format driver '\(node.driverName)' does not support bitmaps")
        }
        // A VMDK whose grains are not compressed takes the writes as they are.
        if arguments.isCompressed, !(node is any CompressedWriting), node.driverName != "vmdk" {
            closeQuietly(node)
            throw fail("Compression not supported for this file format")
        }
        return node
    }

    private func copy(
        _ sources: [any BlockNode], _ target: any BlockNode, _ made: TargetPlan, _ arguments: ConvertArguments,
        _ progress: Progress
    ) throws {
        let total = sources.reduce(0) { $0 + $1.length }
        if arguments.skipsCreation, target.length < total { throw fail("output file is smaller than input file") }
        let source = sources.count == 1 ? sources[0] : ConcatenatedNode(sources)
        var plan = CopyJob.Plan(source: source, target: target)
        plan.targetHasBacking = made.hasBacking
        if made.hasBacking {
            plan.sharedBase = sources[0].backingNode
            if !arguments.skipsCreation { plan.targetBackingLength = target.backingNode?.length }
        }
        plan.sparseSize = arguments.sparse ?? 4096
        plan.targetIsZero =
            arguments.targetIsZero
            || (!arguments.skipsCreation && plan.sparseSize > 0 && !made.hasBacking && target.isZeroWhenNew)
        let sectors = max(plan.sparseSize / 512, 1)
        plan.alignment = max(
            (1 << (Int.bitWidth - 1 - sectors.leadingZeroBitCount)) * 512, target.limits.requestAlignment)
        plan.isCompressed = arguments.isCompressed || target.needsCompressedWrites
        plan.isOrdered = arguments.isOrdered && !(target.driverName == "raw")
        plan.workers = arguments.isSalvaging ? 1 : max(1, min(arguments.workers, Self.usefulWorkers))
        plan.rate = arguments.rate
        plan.isSalvaging = arguments.isSalvaging
        plan.isQuiet = arguments.isQuiet
        plan.isSurveyed = arguments.isSalvaging || ((arguments.showsProgress || hasProgressBar) && !arguments.isQuiet)
        plan.offloads = arguments.usesCopyOffload
        let (name, errors) = (name, errors)
        let job = CopyJob(plan) { errors("\(name): \($0)\n") }
        do {
            try job.run { progress.show($0) }
        } catch {
            throw fail("", error)
        }
    }

    /// More than this many threads wait for one another.
    private static var usefulWorkers: Int { 3 }

    func copyBitmaps(from source: any BlockNode, to target: any BlockNode) throws {
        guard let from = source as? any BitmapStore, let to = target as? any BitmapStore else { return }
        for bitmap in from.bitmaps.reversed() where bitmap.isInconsistent {
            warning("Skipping inconsistent bitmap '\(bitmap.name)'")
        }
        for bitmap in from.bitmaps where !bitmap.isInconsistent {
            try attempt("Failed to create bitmap \(bitmap.name): ") { () throws(BlockError) in
                try to.addBitmap(bitmap)
            }
            try attempt("Failed to populate bitmap \(bitmap.name): ") { () throws(BlockError) in
                try to.markDirty(try from.dirtyRanges(of: bitmap.name), in: bitmap.name)
            }
        }
    }
}
