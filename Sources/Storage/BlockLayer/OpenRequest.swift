// SPDX-License-Identifier: Apache-2.0

internal import HostSystem

/// How the host's page cache is used, by the names of `-t` and `cache=`.
public enum CacheMode: String, Sendable, CaseIterable {
    /// O_DIRECT, flushed when asked.
    case none
    /// Page cache, flushed when asked.
    case writeback
    /// Page cache, flushed after every write.
    case writethrough
    /// O_DIRECT, flushed after every write.
    case directsync
    /// Page cache, never flushed: fast, and lost when the host crashes.
    case unsafe

    /// Past the page cache.
    public var isDirect: Bool { self == .none || self == .directsync }
    /// Every write is flushed.
    public var isWriteThrough: Bool { self == .writethrough || self == .directsync }
}

/// How an image is opened.
public struct OpenFlags: Sendable, Equatable {
    /// For writing too.
    public var isWritable = false
    /// A file that the host does not let be written is opened for reading (`auto-read-only`).
    public var fallsBackToReading = false
    /// The page cache.
    public var cache = CacheMode.writeback
    /// Leave the backing file closed.
    public var withoutBacking = false
    /// For check and repair: a dirty image is not repaired and a corrupt one is not refused.
    public var forChecking = false
    /// Only the metadata is looked at (`info`): other programs may have the image open for reading.
    public var metadataOnly = false
    /// Share with every other program, also with one that writes (`-U`).
    public var forceShare = false
    /// Keep other writers of a raw image out, as a machine's disk does.
    public var isExclusive = false
    /// Guest discards free space in the host's file (`discard=unmap`).
    public var unmaps = true
    /// How many images down the chain the backing file is that is opened for writing as well (`commit`); 0 for none.
    public var writableBacking = 0
    /// The length may be changed.
    public var mayResize = false

    /// Reading, through the page cache.
    public init() {}

    /// Writing as well, through the page cache.
    public static var writable: OpenFlags {
        var flags = OpenFlags()
        flags.isWritable = true
        return flags
    }
}

/// Shared and held permissions on a file, as bits of the byte-range locks that QEMU takes.
public struct FilePermissions: OptionSet, Sendable {
    /// Bit n is lock byte n after the base.
    public let rawValue: UInt8
    /// From the bits.
    public init(rawValue: UInt8) { self.rawValue = rawValue }
    /// Reading content that does not change underneath.
    public static let consistentRead = FilePermissions(rawValue: 1)
    /// Writing.
    public static let write = FilePermissions(rawValue: 2)
    /// Writing what is there already.
    public static let writeUnchanged = FilePermissions(rawValue: 4)
    /// Changing the length.
    public static let resize = FilePermissions(rawValue: 8)
    /// Everything.
    public static let all: FilePermissions = [.consistentRead, .write, .writeUnchanged, .resize]
}

/// What a node does with a child, from which the locks on the host's file follow.
public enum ChildAccess: Sendable {
    /// Metadata and data of an image format: nobody else may write.
    case format
    /// The same bytes are passed through: others may do what the node above allows.
    case passThrough
    /// A look at the first bytes; the same node then serves the format.
    case probe
}

/// What a driver is asked to open.
public struct OpenRequest: Sendable {
    /// The graph that opens children.
    public let graph: BlockGraph
    /// The name that the image was opened by; nil when options say where it is.
    public var filename: String?
    /// What has not been taken yet.
    public var options: BlockOptions
    /// How to open.
    public var flags: OpenFlags
    /// The format was guessed from the content.
    public var isProbed = false
    /// What the node's user does with it and lets others do; a protocol node opened alone locks itself by it.
    public var permissions: (holds: FilePermissions, shares: FilePermissions) = ([], .all)

    private let ancestors: [FileIdentity]
    private var openedFile: (any BlockNode)?

    init(
        graph: BlockGraph, filename: String?, options: BlockOptions, flags: OpenFlags, ancestors: [FileIdentity]
    ) {
        self.graph = graph
        self.filename = filename
        self.options = options
        self.flags = flags
        self.ancestors = ancestors
        permissions = Self.topPermissions(flags)
    }

    /// The longest chain of backing files.
    static let longestChain = 200

    mutating func adopt(file: any BlockNode) { openedFile = file }

    /// Options that set flags, which every node takes.
    mutating func takeFlags() throws(BlockError) {
        if let readOnly = try options.takeBool("read-only") { flags.isWritable = flags.isWritable && !readOnly }
        if let share = try options.takeBool("force-share") {
            if share, flags.isWritable {
                throw BlockError(.invalidArgument, "force-share=on can only be used with read-only images")
            }
            flags.forceShare = share
        }
        if let discard = options.take("discard") {
            switch discard {
            case "unmap", "on": flags.unmaps = true
            case "ignore", "off": flags.unmaps = false
            default: throw BlockError(.invalidArgument, "Invalid discard option")
            }
        }
        if let falls = try options.takeBool("auto-read-only") { flags.fallsBackToReading = falls }
        let direct = try options.takeBool("cache.direct")
        let noFlush = try options.takeBool("cache.no-flush")
        if let noFlush, noFlush { flags.cache = .unsafe }
        if let direct {
            switch (direct, flags.cache) {
            case (true, .writeback): flags.cache = .none
            case (true, .writethrough): flags.cache = .directsync
            case (false, .none): flags.cache = .writeback
            case (false, .directsync): flags.cache = .writethrough
            default: break
            }
        }
        permissions = Self.topPermissions(flags)
    }

    private static func topPermissions(_ flags: OpenFlags) -> (holds: FilePermissions, shares: FilePermissions) {
        var holds: FilePermissions = flags.metadataOnly ? [] : .consistentRead
        if flags.isWritable { holds.insert(.write) }
        if flags.mayResize { holds.insert(.resize) }
        let shares: FilePermissions = flags.isExclusive ? [.consistentRead, .writeUnchanged, .resize] : .all
        return (holds, flags.forceShare ? .all : shares)
    }

    private func permissions(for access: ChildAccess) -> (holds: FilePermissions, shares: FilePermissions) {
        switch access {
        case .passThrough: return permissions
        case .format, .probe:
            var holds: FilePermissions = flags.metadataOnly ? [] : .consistentRead
            if flags.isWritable { holds.formUnion([.write, .resize]) }
            return (holds, flags.forceShare ? .all : [.consistentRead, .writeUnchanged])
        }
    }

    /// Opens the node that a format sits on: from `file=NODE`, `file.*` options or the file name.
    public mutating func openFile(
        _ role: String = "file", access: ChildAccess = .format
    ) throws(BlockError) -> any BlockNode {
        if role == "file", let file = openedFile {
            openedFile = nil
            try lock(file, access)
            return file
        }
        if let reference = options.take(role) {
            let node = try existing(reference)
            guard !flags.isWritable || !node.isReadOnly else { throw BlockError(.readOnly, "Block node is read-only") }
            return node
        }
        let below = options.takeSubtree(role)
        var request = OpenRequest(
            graph: graph, filename: role == "file" ? filename : nil, options: below, flags: flags,
            ancestors: ancestors)
        if request.filename == nil, below.isEmpty {
            throw BlockError(.invalidArgument, "A block device must be specified for \"\(role)\"")
        }
        let nodeName = request.options.take("node-name")
        try request.takeFlags()
        let node = try graph.openProtocol(&request)
        if let identity = (node as? any IdentifiedNode)?.identity, ancestors.contains(identity) {
            throw BlockError(
                .corrupt, "Backing file '\(node.location.filename)' creates an infinite loop.", errno: .invalidArgument)
        }
        if access != .probe { try lock(node, access) }
        if let nodeName { try graph.register(node, as: nodeName) }
        return node
    }

    /// Opens a node of any kind that a filter shows: a protocol's without locks of its own, which the filter passes on.
    /// - Parameter name: the name of the image when the options say nothing.
    public mutating func openAny(_ role: String, name: String? = nil) throws(BlockError) -> any BlockNode {
        if let reference = options.take(role) {
            return try existing(reference)
        }
        let below = options.takeSubtree(role)
        guard name != nil || !below.isEmpty else {
            throw BlockError(.invalidArgument, "A block device must be specified for \"\(role)\"")
        }
        if let driver = below.string("driver"), graph.driver(driver)?.asProtocol == nil {
            return try graph.open(name, options: below, flags: flags, ancestors: ancestors)
        }
        var request = OpenRequest(graph: graph, filename: name, options: below, flags: flags, ancestors: ancestors)
        let nodeName = request.options.take("node-name")
        try request.takeFlags()
        let node = try graph.openProtocol(&request)
        if let nodeName { try graph.register(node, as: nodeName) }
        return node
    }

    /// The node that an option names.
    private func existing(_ name: String) throws(BlockError) -> any BlockNode {
        guard let node = graph.node(named: name) else {
            throw BlockError(.notFound, "Cannot find device='\(name)' nor node-name='\(name)'")
        }
        return node
    }

    private func lock(_ node: any BlockNode, _ access: ChildAccess) throws(BlockError) {
        guard let node = node as? any LockableNode else { return }
        let wanted = permissions(for: access)
        try node.lock(holds: wanted.holds, shares: wanted.shares)
    }

    /// Opens the backing node that the image names, or the one that the options name instead.
    /// - Parameters:
    ///   - name: as stored in the image: absolute, relative to `parent`, a URL or `json:`.
    ///   - format: as stored in the image; nil to look at the content.
    ///   - parent: the location of the node below the format, for relative names, and its identity, for loops.
    /// - Returns: nil when there is none, or the flags say to leave it closed.
    public mutating func openBacking(
        name: String?, format: String?, parent: any BlockNode
    ) throws(BlockError) -> (any BlockNode)? {
        let reference = options["backing"]
        options["backing"] = nil
        var below = options.takeSubtree("backing")
        if let reference {
            if reference == .null { return nil }
            if reference.text.isEmpty {
                graph.warn("warning: Use of \"backing\": \"\" is deprecated; use \"backing\": null instead")
                return nil
            }
            return try existing(reference.text)
        }
        if flags.withoutBacking { return nil }
        guard name?.isEmpty == false || !below.isEmpty else { return nil }
        var resolved: String?
        do {
            let isRedirected = below.hasSubtree("file") || below["filename"] != nil
            if !isRedirected, let name { resolved = try ImageName.resolve(name, against: parent.location) }
            if let format, below["driver"] == nil { below["driver"] = .string(format) }
            return try openNext(resolved, below, parent)
        } catch {
            var failure = error.prefixed("Could not open backing file: ")
            if let name, let resolved, failure.advice == nil, failure.kind == .notFound {
                failure.advice =
                    "'\(parent.location.filename)' names '\(name)' as its backing file; it was looked for at '\(resolved)'. If it has moved: roost-img rebase -u -b NEW_PLACE -F \(format ?? "FORMAT") \(parent.location.filename)"
            }
            throw failure
        }
    }

    private func openNext(
        _ name: String?, _ options: BlockOptions, _ parent: any BlockNode
    ) throws(BlockError) -> any BlockNode {
        var chain = ancestors
        if let identity = (parent as? any IdentifiedNode)?.identity { chain.append(identity) }
        guard chain.count <= Self.longestChain else {
            throw BlockError(.corrupt, "The chain of backing files is longer than \(Self.longestChain) images")
        }
        var lower = flags
        lower.isWritable = flags.writableBacking == 1
        lower.writableBacking = max(flags.writableBacking - 1, 0)
        lower.isExclusive = false
        lower.forChecking = false
        return try graph.open(name, options: options, flags: lower, ancestors: chain)
    }
}

/// A node that keeps other processes out.
public protocol LockableNode: BlockNode {
    /// Takes the locks for what is held and what is shared, or fails when another process holds what conflicts.
    func lock(holds: FilePermissions, shares: FilePermissions) throws(BlockError)
}
