// SPDX-License-Identifier: Apache-2.0

public import BlockLayer

/// An open node under a file's name, so that a format can be made on it: `roost-node:NAME`.
struct NodeViewDriver: ProtocolDriver, CreatingDriver {
    /// The scheme, which no file's name begins with by chance.
    static let scheme = "roost-node"
    let name = "node-view"
    let schemes = [Self.scheme]
    let graph: BlockGraph
    let createOptions: [CreateOption] = []
    let supportsBacking = false

    /// The name that stands for a node.
    static func filename(_ node: String) -> String { "\(scheme):\(node)" }

    private func node(_ name: String) throws(BlockError) -> any BlockNode {
        guard let node = graph.node(named: name) else {
            throw BlockError(.notFound, "Cannot find device='' nor node-name='\(name)'")
        }
        return node
    }

    func parse(filename: String) throws(BlockError) -> BlockOptions {
        BlockOptions([("node", .string(String(filename.dropFirst(Self.scheme.count + 1))))])
    }

    func open(_ request: inout OpenRequest) throws(BlockError) -> any BlockNode {
        guard let name = request.options.take("node") else {
            throw BlockError(.invalidArgument, "A node name is needed")
        }
        return NodeView(try node(name))
    }

    /// Nothing is left of what the node had.
    func create(_ request: CreateRequest) throws(BlockError) {
        let options = try parse(filename: request.filename)
        let node = try node(options.string("node") ?? "")
        if let resizable = node as? any ResizableNode {
            try resizable.resize(to: 0, preallocation: .off, exact: false)
        } else {
            try node.writeZeroes(at: 0, count: node.length, flags: .mayUnmap)
        }
    }
}

/// A node whose end is not the end of what it shows.
final class NodeView: FilterNode, ResizableNode {
    let filtered: any BlockNode
    init(_ node: any BlockNode) { filtered = node }

    let driverName = "node-view"
    var length: Int64 { filtered.length }
    var isReadOnly: Bool { filtered.isReadOnly }
    var limits: BlockLimits { filtered.limits }
    var location: NodeLocation { filtered.location }
    var children: [NodeChild] { [] }
    func read(_ region: ByteRegion, at offset: Int64) throws(BlockError) { try filtered.read(region, at: offset) }
    func write(_ region: ByteRegion, at offset: Int64, flags: WriteFlags) throws(BlockError) {
        try filtered.write(region, at: offset, flags: flags)
    }
    func writeZeroes(at offset: Int64, count: Int64, flags: ZeroFlags) throws(BlockError) {
        try filtered.writeZeroes(at: offset, count: count, flags: flags)
    }
    func discard(at offset: Int64, count: Int64) throws(BlockError) { try filtered.discard(at: offset, count: count) }
    func flush() throws(BlockError) { try filtered.flush() }
    func status(at offset: Int64, count: Int64, detail: StatusDetail) throws(BlockError) -> BlockStatus {
        try filtered.status(at: offset, count: count, detail: detail)
    }
    func close() throws(BlockError) { try filtered.flush() }

    func resize(to length: Int64, preallocation: Preallocation, exact: Bool) throws(BlockError) {
        guard let resizable = filtered as? any ResizableNode else {
            guard length <= filtered.length, !exact else {
                throw BlockError(.notSupported, "Image format driver does not support resize")
            }
            return
        }
        try resizable.resize(to: length, preallocation: preallocation, exact: exact)
    }
}

/// Makes an image on a thread of its own.
final class CreationWork: JobWork, @unchecked Sendable {
    private let make: @Sendable () throws(BlockError) -> Void
    private let done: () -> Void

    init(_ make: @escaping @Sendable () throws(BlockError) -> Void, done: @escaping () -> Void) {
        (self.make, self.done) = (make, done)
    }

    func run(_ job: Job) throws(BlockError) {
        job.setLength(1)
        try make()
        job.note(1)
    }

    func settle(_ job: Job) {}
    func clean(_ job: Job) { done() }
}

extension BlockDevices {
    /// Makes an image (`blockdev-create`): a file, or a format on an open node.
    /// - Parameters:
    ///   - filename: where a protocol's driver makes a file; nil for a format.
    ///   - node: what a format is made on.
    ///   - options: as the driver's `createOptions` name them.
    public func createImage(
        _ driverName: String, filename: String?, node: String?, options wanted: [(name: String, value: String)],
        job: String
    ) throws(BlockError) {
        guard let driver = graph.driver(driverName) as? any CreatingDriver else {
            throw BlockError(.notSupported, "Driver '\(driverName)' does not support blockdev-create")
        }
        var options = CreateOptions(driver.createOptions)
        for (name, value) in wanted {
            guard options.accepts(name) else {
                throw BlockError(.invalidArgument, "Parameter 'options.\(name)' is unexpected")
            }
            try options.set(name, value)
        }
        let place: String
        var claimed: [any BlockNode] = []
        if let filename {
            place = filename
        } else {
            let target = try self.node(device: nil, name: node)
            try checkFree(target)
            guard user(of: target) == nil else { throw BlockError(.locked, "Node '\(name(of: target))' is in use") }
            claimed = [target]
            place = NodeViewDriver.filename(name(of: target))
        }
        let outer = graph
        let making = BlockGraph(
            drivers: graph.drivers + [NodeViewDriver(graph: graph)], secrets: graph.secrets, warn: { outer.warn($0) })
        let request = CreateRequest(filename: place, options: options, graph: making)
        var asked = JobOptions(job)
        // Somebody must see how it ended.
        asked.dismissesItself = false
        let work = CreationWork({ () throws(BlockError) in try driver.create(request) }) { [self] in claims[job] = nil }
        try start(.create, asked, claiming: claimed, work)
    }

    /// Stores another backing file's name in an image (`change-backing-file`); the open images stay as they are.
    public func changeBacking(of device: String, image: String, to name: String) throws(BlockError) {
        let top = try node(device)
        let wanted = try node(device: nil, name: image)
        guard let user = user(of: top), top.chain.contains(where: { $0 === wanted }) else {
            throw BlockError(.invalidArgument, "'\(device)' and image file are not in the same chain")
        }
        try checkFree(wanted)
        let wasReadOnly = wanted.isReadOnly
        let writable = try makeWritable(wanted, in: user.backend)
        defer { restore(writable, in: user.backend, wasReadOnly) }
        guard let changed = writable as? any BackedNode, let below = changed.backing else {
            throw BlockError(.invalidArgument, "not allowing backing file change on an image without a backing file")
        }
        try changed.changeBackingReference(name: name, format: below.driverName)
        try changed.flush()
    }
}
