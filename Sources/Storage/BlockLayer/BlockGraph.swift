// SPDX-License-Identifier: Apache-2.0

internal import HostSystem

/// Opens nodes and chains of nodes from names and options, with the drivers that it was given.
///
/// There is no global list of drivers: a program makes a graph with those that it wants to serve (see `DiskImages`).
/// Guarded by its own lock; opening from several threads is fine.
public final class BlockGraph: @unchecked Sendable {
    /// The bytes at the beginning of a file that probing looks at.
    public static let probeLength = 2048

    /// The drivers, in the order in which they are probed.
    public let drivers: [any BlockDriver]
    /// Passwords and keys by identifier (`--object secret,id=...`).
    public let secrets: any SecretProvider
    /// Gets warnings: one or several lines for people.
    public let warn: @Sendable (String) -> Void

    private let lock = Lock()
    private var named: [String: any BlockNode] = [:]

    /// A graph without nodes.
    public init(
        drivers: [any BlockDriver], secrets: any SecretProvider = NoSecrets(),
        warn: @escaping @Sendable (String) -> Void = { _ in }
    ) {
        self.drivers = drivers
        self.secrets = secrets
        self.warn = warn
    }

    /// The driver with a name.
    public func driver(_ name: String) -> (any BlockDriver)? { drivers.first { $0.name == name } }

    /// A node that was opened with `node-name=`, or registered.
    public func node(named name: String) -> (any BlockNode)? { lock.withLock { named[name] } }

    /// Gives a node a name that other nodes' options can refer to.
    public func register(_ node: any BlockNode, as name: String) throws(BlockError) {
        try Self.checkName(name)
        let isNew = lock.withLock {
            if named[name] != nil { return false }
            named[name] = node
            return true
        }
        guard isNew else { throw BlockError(.exists, "Duplicate nodes with node-name='\(name)'") }
    }

    /// Refuses what cannot be a node's name: a letter, then letters, digits, "-", "." and "_". What begins with "#" is this
    /// program's own.
    private static func checkName(_ name: String) throws(BlockError) {
        if name.hasPrefix("#") { return }
        let others = Array("-._".utf8)
        let isLetter = { (byte: UInt8) in UInt8(ascii: "a")...UInt8(ascii: "z") ~= byte | 0x20 }
        let isDigit = { (byte: UInt8) in UInt8(ascii: "0")...UInt8(ascii: "9") ~= byte }
        let isGood = name.utf8.first.map(isLetter) ?? false
        guard isGood, name.utf8.count <= longestNodeName,
            name.utf8.dropFirst().allSatisfy({ isLetter($0) || isDigit($0) || others.contains($0) })
        else { throw BlockError(.invalidArgument, "Invalid node-name: '\(name)'") }
    }

    private static let longestNodeName = 31

    /// The name that a node was given; nil for none.
    public func name(of node: any BlockNode) -> String? {
        lock.withLock { named.first { $0.value === node }?.key }
    }

    /// All named nodes, in the order of their names.
    public var namedNodes: [(name: String, node: any BlockNode)] {
        lock.withLock { named.sorted { $0.key < $1.key }.map { ($0.key, $0.value) } }
    }

    /// Takes a name back; the node lives on while it is used.
    public func unregister(_ name: String) { lock.withLock { named[name] = nil } }

    /// Opens an image by name.
    /// - Parameters:
    ///   - filename: a path, `file:path`, `json:{...}` or a URL of a protocol driver; nil when the options say it all.
    ///   - format: a driver's name; nil to look at the content.
    public func open(
        _ filename: String?, format: String? = nil, options: BlockOptions = BlockOptions(),
        flags: OpenFlags = OpenFlags()
    ) throws(BlockError) -> any BlockNode {
        var options = options
        if let format { options["driver"] = .string(format) }
        return try open(filename, options: options, flags: flags, ancestors: [])
    }

    func open(
        _ filename: String?, options given: BlockOptions, flags: OpenFlags, ancestors: [FileIdentity]
    ) throws(BlockError) -> any BlockNode {
        var options = given
        var filename = filename
        if let name = filename, name.hasPrefix("json:") {
            let parsed = try JSONOptions.parse(name)
            filename = nil
            for key in parsed.keys where options[key] == nil { options[key] = parsed[key] }
        }
        if flags.forceShare, flags.isWritable {
            throw BlockError(.invalidArgument, "force-share=on can only be used with read-only images")
        }
        let nodeName = options.take("node-name")
        try applyCommonOptions(&options)
        var request = OpenRequest(
            graph: self, filename: filename, options: options, flags: flags, ancestors: ancestors)
        try request.takeFlags()
        let node = try openFormat(&request)
        if let nodeName { try register(node, as: nodeName) }
        return node
    }

    /// Options that every node takes and that hold for the whole process here.
    private func applyCommonOptions(_ options: inout BlockOptions) throws(BlockError) {
        if let zeroes = options.take("detect-zeroes"), zeroes != "off" {
            guard ["on", "unmap"].contains(zeroes) else {
                throw BlockError(.invalidArgument, "invalid parameter value: \(zeroes)")
            }
            throw BlockError(.notSupported, "detect-zeroes=\(zeroes) is not supported; leave it off")
        }
    }

    private func unknownDriver(_ name: String) -> BlockError {
        BlockError(.invalidArgument, "Unknown driver '\(name)'").about(.format(name))
    }

    private func openFormat(_ request: inout OpenRequest) throws(BlockError) -> any BlockNode {
        if let name = request.options.take("driver") {
            guard let driver = driver(name) else { throw unknownDriver(name) }
            return try open(driver, &request)
        }
        if request.filename == nil, !request.options.hasSubtree("file") {
            guard request.options["filename"] != nil else {
                throw BlockError(.invalidArgument, "Must specify either driver or file")
            }
            return try openProtocol(&request)
        }
        // Look at the content before the format's driver sees it.
        let file = try request.openFile(access: .probe)
        let driver = try probe(file, filename: request.filename ?? file.location.filename)
        request.adopt(file: file)
        request.isProbed = true
        return try open(driver, &request)
    }

    /// Opens the node at the bottom that a request's name or options select.
    func openProtocol(_ request: inout OpenRequest) throws(BlockError) -> any BlockNode {
        if let name = request.options.take("driver") {
            guard let driver = driver(name) else { throw unknownDriver(name) }
            return try open(driver, &request)
        }
        let filename = request.filename ?? request.options.string("filename")
        guard let filename else { throw BlockError(.invalidArgument, "Must specify either driver or file") }
        let driver = try protocolDriver(for: filename)
        if request.filename != nil {
            request.filename = nil
            request.options.add(try driver.parse(filename: filename))
        }
        return try open(driver, &request)
    }

    private func open(_ driver: any BlockDriver, _ request: inout OpenRequest) throws(BlockError) -> any BlockNode {
        if let proto = driver.asProtocol, let filename = request.filename {
            request.filename = nil
            let parsed = try proto.parse(filename: filename)
            for key in parsed.keys where request.options[key] == nil { request.options[key] = parsed[key] }
        }
        let node = try driver.open(&request)
        guard let unknown = request.options.keys.first else { return node }
        try? node.close()
        throw BlockError(
            .invalidArgument,
            driver.asProtocol != nil
                ? "Block protocol '\(driver.name)' doesn't support the option '\(unknown)'"
                : "Block format '\(driver.name)' does not support the option '\(unknown)'")
    }

    /// The driver for a name: by its prefix, and for anything else the host's files.
    public func protocolDriver(for filename: String) throws(BlockError) -> any ProtocolDriver {
        let scheme = ImageName.scheme(of: filename) ?? "file"
        for case let driver? in drivers.lazy.map(\.asProtocol) where driver.schemes.contains(scheme) {
            return driver
        }
        throw BlockError(.invalidArgument, "Unknown protocol '\(scheme)'").about(.scheme(scheme))
    }

    /// The driver that recognises a file's content; raw when none does.
    public func probe(_ file: any BlockNode, filename: String) throws(BlockError) -> any BlockDriver {
        let count = Int(min(Int64(Self.probeLength), file.length))
        let head: [UInt8]
        do {
            head = try file.readBytes(at: 0, count: count)
        } catch {
            throw BlockError(system: error.errno, "Could not read image for determining its format")
        }
        guard let best = bestMatch(head: head, filename: filename) else {
            throw BlockError(.invalidArgument, "Could not determine image format: No compatible driver found")
        }
        return best
    }

    /// The driver that is most sure about these first bytes.
    public func bestMatch(head: [UInt8], filename: String) -> (any BlockDriver)? {
        var best: (driver: any BlockDriver, score: Int)?
        for case let driver? in drivers.lazy.map(\.asProbing) {
            let score = driver.probe(head: head, filename: filename)
            if score > best?.score ?? 0 { best = (driver, score) }
        }
        return best?.driver
    }
}

/// Finds the secrets that options name.
public protocol SecretProvider: Sendable {
    /// The bytes of a secret.
    func secret(_ identifier: String) throws(BlockError) -> [UInt8]
}

/// Knows no secrets.
public struct NoSecrets: SecretProvider {
    /// Knows no secrets.
    public init() {}

    /// Always fails.
    public func secret(_ identifier: String) throws(BlockError) -> [UInt8] {
        throw BlockError(.notFound, "No secret with id '\(identifier)'")
    }
}

/// Which file of the host a node is: for finding loops.
public struct FileIdentity: Hashable, Sendable {
    /// The device's number.
    public let device: UInt64
    /// The inode's number on it.
    public let inode: UInt64

    /// Both parts.
    public init(device: UInt64, inode: UInt64) {
        self.device = device
        self.inode = inode
    }
}

/// A node that is one file of the host.
public protocol IdentifiedNode: BlockNode {
    /// Which one.
    var identity: FileIdentity { get }
}
