// SPDX-License-Identifier: Apache-2.0

internal import BlockLayer
internal import HostSystem

extension ImageTool {
    private struct BitmapArguments {
        var actions: [(kind: String, source: String)] = []
        var format: String?
        var sourceFile: String?
        var sourceFormat: String?
        var granularity: Int64?
        var isOptions = false
    }

    func bitmap(_ arguments: [String]) throws -> Int32 {
        var result = BitmapArguments()
        let operands = try OptionParser([
            .init("h", "help"), .init("b", "source-file", value: true), .init("f", value: true),
            .init("F", "source-format", value: true), .init("g", "granularity", value: true),
            .init(nil, "object", value: true), .init(nil, "image-opts"), .init(nil, "add"),
            .init(nil, "clear"), .init(nil, "disable"), .init(nil, "enable"), .init(nil, "merge", value: true),
            .init(nil, "remove"),
        ]).parse(arguments) { key, value in
            switch key {
            case "help": throw Exit(status: help(), lines: [])
            case "source-file": result.sourceFile = value
            case "f": result.format = value
            case "source-format": result.sourceFormat = value
            case "granularity": result.granularity = try size(value, what: "granularity")
            case "image-opts": result.isOptions = true
            case "object": try addSecret(value)
            default: result.actions.append((key, value))
            }
        }
        guard operands.count == 2 else {
            if result.actions.isEmpty { throw fail(Self.needsAction) }
            throw fail("Expecting filename and bitmap name")
        }
        guard !result.actions.isEmpty else { throw fail(Self.needsAction) }
        let adds = result.actions.contains { $0.kind == "add" }
        if result.granularity != nil, !adds { throw fail("granularity only supported with --add") }
        if result.sourceFile != nil, !result.actions.contains(where: { $0.kind == "merge" }) {
            throw fail("Merge bitmap source file only supported with --merge")
        }
        if result.sourceFormat != nil, result.sourceFile == nil { throw fail("-F only supported with -b") }
        var flags = OpenFlags.writable
        flags.withoutBacking = true
        let node = try open(operands[0], format: result.format, isOptions: result.isOptions, flags: flags)
        return try closing(node) {
            try apply(result, to: node, operands[1])
            return 0
        }
    }

    private static let needsAction = "Need at least one of --add, --remove, --clear, --enable, --disable, or --merge"

    private func apply(_ arguments: BitmapArguments, to node: any BlockNode, _ bitmap: String) throws {
        var source: any BlockNode = node
        if let file = arguments.sourceFile {
            var flags = OpenFlags()
            flags.withoutBacking = true
            source = try open(file, format: arguments.sourceFormat, flags: flags)
        }
        defer { if source !== node { closeQuietly(source) } }
        for action in arguments.actions {
            let prefix = "Operation \(action.kind) on bitmap \(bitmap) failed: "
            guard let store = node as? any BitmapStore else {
                throw fail(
                    prefix
                        + (action.kind == "add"
                            ? "Can't store persistent bitmaps to \(node.location.filename): Operation not supported"
                            : "Dirty bitmap '\(bitmap)' not found"))
            }
            try attempt(prefix) { () throws(BlockError) in
                try perform(action, store, source, bitmap, arguments)
            }
        }
    }

    private func perform(
        _ action: (kind: String, source: String), _ store: any BitmapStore, _ source: any BlockNode, _ bitmap: String,
        _ arguments: BitmapArguments
    ) throws(BlockError) {
        switch action.kind {
        case "add":
            let granularity = arguments.granularity ?? Self.defaultGranularity(store)
            guard granularity >= 512, granularity & (granularity - 1) == 0 else {
                throw BlockError(.invalidArgument, "Granularity must be power of 2 and at least 512")
            }
            // A bitmap added and disabled in one call is made disabled.
            try store.addBitmap(BitmapInformation(name: bitmap, granularity: granularity, isEnabled: true))
        case "remove": try store.removeBitmap(bitmap)
        case "clear": try store.clearBitmap(bitmap)
        case "enable": try store.setBitmap(bitmap, enabled: true)
        case "disable": try store.setBitmap(bitmap, enabled: false)
        default:
            guard let from = source as? any BitmapStore else {
                throw BlockError(.notFound, "Dirty bitmap '\(action.source)' not found")
            }
            try store.markDirty(try from.dirtyRanges(of: action.source), in: bitmap)
        }
    }

    /// As QEMU chooses: the cluster size, from 4 KiB to 64 KiB.
    private static func defaultGranularity(_ node: any BlockNode) -> Int64 {
        let cluster = (node as? any DescribedNode)?.clusterSize ?? 65536
        return Int64(max(4096, min(65536, cluster)))
    }
}
