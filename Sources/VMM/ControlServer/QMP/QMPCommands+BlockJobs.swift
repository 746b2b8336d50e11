// SPDX-License-Identifier: Apache-2.0

internal import BlockJobs
internal import BlockLayer
internal import ControlProtocol
internal import JSONCoding

extension QMPCommandTable {
    static let common = [
        QMPParameter("job-id", .string, optional: true), QMPParameter("speed", .integer, optional: true),
        QMPParameter("auto-finalize", .boolean, optional: true),
        QMPParameter("auto-dismiss", .boolean, optional: true),
    ]
    static let errors = JobErrorPolicy.allCases.map(\.rawValue)

    static func options(_ arguments: QMPArguments) throws(BlockError) -> JobOptions {
        var options = JobOptions(arguments["job-id"]?.string ?? arguments.string("device"))
        options.speed = arguments.integer("speed") ?? 0
        guard options.speed >= 0 else {
            throw BlockError(.invalidArgument, "Parameter 'speed' expects a non-negative value")
        }
        options.finalizesItself = arguments.bool("auto-finalize") ?? true
        options.dismissesItself = arguments.bool("auto-dismiss") ?? true
        func policy(_ name: String) -> JobErrorPolicy? {
            arguments[name]?.string.flatMap { JobErrorPolicy(rawValue: $0) }
        }
        options.onSourceError = policy("on-source-error") ?? policy("on-error") ?? .report
        options.onTargetError = policy("on-target-error") ?? policy("on-error") ?? .report
        return options
    }

    private static func choice(
        _ arguments: QMPArguments, node: String, file: String
    ) throws(BlockError) -> BlockDevices.ImageChoice? {
        switch (arguments[node]?.string, arguments[file]?.string) {
        case (_?, _?):
            throw BlockError(.invalidArgument, "'\(node)' and '\(file)' are mutually exclusive")
        case (let name?, nil): return .node(name)
        case (nil, let path?): return .file(path)
        case (nil, nil): return nil
        }
    }

    /// Jobs that copy between images.
    static let blockJobCommands = [
        QMPCommandDefinition(
            "block-commit",
            [
                QMPParameter("device", .string), QMPParameter("base-node", .string, optional: true),
                QMPParameter("base", .string, optional: true), QMPParameter("top-node", .string, optional: true),
                QMPParameter("top", .string, optional: true), QMPParameter("backing-file", .string, optional: true),
                QMPParameter("on-error", .string, optional: true, words: errors),
                QMPParameter("filter-node-name", .string, optional: true),
            ] + common
        ) { (context, arguments) throws(QMPError) in
            let disks = try JobAnswers.disks(context)
            return try JobAnswers.perform { () throws(BlockError) in
                try disks.commit(
                    arguments.string("device"), top: try choice(arguments, node: "top-node", file: "top"),
                    base: try choice(arguments, node: "base-node", file: "base"),
                    backingName: arguments["backing-file"]?.string, options: try options(arguments))
            }
        },
        QMPCommandDefinition(
            "block-stream",
            [
                QMPParameter("device", .string), QMPParameter("base", .string, optional: true),
                QMPParameter("base-node", .string, optional: true), QMPParameter("bottom", .string, optional: true),
                QMPParameter("backing-file", .string, optional: true),
                QMPParameter("on-error", .string, optional: true, words: errors),
                QMPParameter("filter-node-name", .string, optional: true),
            ] + common
        ) { (context, arguments) throws(QMPError) in
            let disks = try JobAnswers.disks(context)
            return try JobAnswers.perform { () throws(BlockError) in
                var base = try choice(arguments, node: "base-node", file: "base")
                if let bottom = arguments["bottom"]?.string {
                    guard base == nil else {
                        throw BlockError(.invalidArgument, "'bottom' and 'base' or 'base-node' are mutually exclusive")
                    }
                    // The lowest image that is copied: what stands below it is the base.
                    let below = try disks.node(bottom).backingNode
                    base = below.map { .node(disks.name(of: $0)) }
                }
                try disks.stream(
                    arguments.string("device"), base: base, backingName: arguments["backing-file"]?.string,
                    options: try options(arguments))
            }
        },
        QMPCommandDefinition("drive-mirror", mirrorParameters) { (context, arguments) throws(QMPError) in
            let disks = try JobAnswers.disks(context)
            return try JobAnswers.perform { () throws(BlockError) in try driveMirror(disks, arguments) }
        },
        QMPCommandDefinition(
            "blockdev-mirror",
            [
                QMPParameter("device", .string), QMPParameter("target", .string),
                QMPParameter("sync", .string, words: ["full", "top", "none"]),
                QMPParameter("replaces", .string, optional: true),
                QMPParameter("granularity", .integer, optional: true),
                QMPParameter("buf-size", .integer, optional: true),
                QMPParameter("on-source-error", .string, optional: true, words: errors),
                QMPParameter("on-target-error", .string, optional: true, words: errors),
                QMPParameter("filter-node-name", .string, optional: true),
                QMPParameter("copy-mode", .string, optional: true, words: ["background"]),
            ] + common
        ) { (context, arguments) throws(QMPError) in
            let disks = try JobAnswers.disks(context)
            return try JobAnswers.perform { () throws(BlockError) in
                try refuseReplacing(arguments)
                try disks.mirror(
                    arguments.string("device"), to: try disks.node(arguments.string("target")),
                    scope: BlockDevices.MirrorScope(rawValue: arguments.string("sync")) ?? .full, isBlank: false,
                    ownsTarget: false, options: try options(arguments))
            }
        },
    ]

    private static let mirrorParameters =
        [
            QMPParameter("device", .string), QMPParameter("target", .string),
            QMPParameter("sync", .string, words: ["full", "top", "none"]),
            QMPParameter("format", .string, optional: true),
            QMPParameter("mode", .string, optional: true, words: ["existing", "absolute-paths"]),
            QMPParameter("node-name", .string, optional: true), QMPParameter("replaces", .string, optional: true),
            QMPParameter("granularity", .integer, optional: true), QMPParameter("buf-size", .integer, optional: true),
            QMPParameter("on-source-error", .string, optional: true, words: errors),
            QMPParameter("on-target-error", .string, optional: true, words: errors),
            QMPParameter("unmap", .boolean, optional: true),
            QMPParameter("copy-mode", .string, optional: true, words: ["background"]),
        ] + common

    private static func refuseReplacing(_ arguments: QMPArguments) throws(BlockError) {
        if arguments["replaces"] != nil { throw BlockError(.notSupported, "'replaces' is not supported") }
    }

    private static func driveMirror(_ disks: BlockDevices, _ arguments: QMPArguments) throws(BlockError) {
        try refuseReplacing(arguments)
        let device = arguments.string("device")
        guard let backend = disks.backend(of: device) else {
            throw BlockError(.notFound, "Cannot find device='\(device)' nor node-name='\(device)'")
        }
        let options = try options(arguments)
        var scope = BlockDevices.MirrorScope(rawValue: arguments.string("sync")) ?? .full
        // Without a backing image, the top is everything.
        if scope == .top, backend.backingNode == nil { scope = .full }
        let exists = arguments["mode"]?.string == "existing"
        let target = try disks.mirrorTarget(
            arguments.string("target"), format: arguments["format"]?.string, exists: exists,
            nodeName: arguments["node-name"]?.string, like: device, scope: scope)
        try disks.mirror(device, to: target, scope: scope, isBlank: !exists, ownsTarget: true, options: options)
    }
}
