// SPDX-License-Identifier: Apache-2.0

public import BlockLayer

/// The disks of a running machine: nodes by name, and the backends that devices use. It changes what stands behind a
/// backend while the guest goes on.
///
/// Everything is called on the loop's thread; only the nodes and backends themselves are used by others.
public final class BlockDevices: @unchecked Sendable {
    /// What a device can be given.
    public struct Root: Sendable {
        /// The identifier of -drive; empty for a node of -blockdev.
        public let drive: String
        /// What devices read and write; what stands behind it may change at any time.
        public let backend: BlockBackend
        /// How its images are opened.
        public internal(set) var flags: OpenFlags
        /// Nobody else can open it: its file has no name any more.
        var isPrivate = false
        /// Another process has it for the time being.
        var isInactive = false
    }

    /// Opens images and knows their names.
    public let graph: BlockGraph
    /// Jobs that copy.
    public let jobs: JobList
    /// What others can use over the network.
    public private(set) lazy var exports = BlockExports(self)
    /// Drives and nodes that devices use, in the order in which they came.
    public internal(set) var roots: [Root] = []
    /// Nodes that a person has added and can take away.
    var added: [String] = []
    /// Jobs' nodes, which nobody else may take away, by the job's name.
    var claims: [String: [any BlockNode]] = [:]
    /// Dirty bitmaps that are not kept in images, and those that jobs have.
    var transientBitmaps: [TransientBitmap] = []
    var busyBitmaps: [(node: String, name: String)] = []
    /// Backends have bitmaps to note writes in.
    var hasFollowedBitmaps = false
    /// Limits that disks share, by the group's name.
    var throttles: [String: IOThrottle] = [:]
    /// Nodes that are served to others, by the export's name.
    var exported: [String: any BlockNode] = [:]
    /// Where reads are counted that a job may have to wait for.
    var gates: [WeakGate] = []
    private var nextNumber = 100

    /// No disks yet.
    public init(graph: BlockGraph, jobs: JobList) {
        self.graph = graph
        self.jobs = jobs
    }

    // MARK: names

    /// A node's name; one that has none is given a number, as QEMU does.
    public func name(of node: any BlockNode) -> String {
        if let name = graph.name(of: node) { return name }
        while true {
            let name = "#block\(nextNumber)"
            nextNumber += 1
            do throws(BlockError) {
                try graph.register(node, as: name)
                return name
            } catch { continue }
        }
    }

    /// The backend of a drive, or of a node that a device uses.
    public func backend(of name: String) -> BlockBackend? {
        if let root = roots.first(where: { !$0.drive.isEmpty && $0.drive == name }) { return root.backend }
        guard let node = graph.node(named: name) else { return nil }
        return roots.first { $0.backend.filtered === node }?.backend
    }

    func rootIndex(of backend: BlockBackend) -> Int? { roots.firstIndex { $0.backend === backend } }

    /// The node that a drive shows now, or that has a name.
    /// - Throws: there is neither.
    public func node(device: String?, name: String?) throws(BlockError) -> any BlockNode {
        if let device, !device.isEmpty, let root = roots.first(where: { $0.drive == device }) {
            return root.backend.filtered
        }
        if let wanted = name, !wanted.isEmpty, let node = graph.node(named: wanted) { return node }
        throw BlockError(.notFound, "Cannot find device='\(device ?? "")' nor node-name='\(name ?? "")'")
    }

    /// As above, where one word can be either.
    public func node(_ either: String) throws(BlockError) -> any BlockNode {
        try node(device: either, name: either)
    }

    /// The nodes at and below one, without what is reached twice.
    public func tree(_ top: any BlockNode) -> [any BlockNode] {
        var found: [any BlockNode] = []
        func visit(_ node: any BlockNode) {
            guard !found.contains(where: { $0 === node }) else { return }
            found.append(node)
            for child in node.children { visit(child.node) }
        }
        visit(top)
        return found
    }

    /// All nodes: those of the roots and those that have names.
    public var allNodes: [any BlockNode] {
        var found: [any BlockNode] = []
        for top in roots.map(\.backend.filtered) + graph.namedNodes.map(\.node) {
            for node in tree(top) where !found.contains(where: { $0 === node }) { found.append(node) }
        }
        return found
    }

    /// The backend whose chain has a node, and the image directly above the node there.
    func user(of node: any BlockNode) -> (backend: BlockBackend, overlay: (any BlockNode)?)? {
        for root in roots {
            let chain = root.backend.filtered.chain
            if let place = chain.firstIndex(where: { $0 === node }) {
                return (root.backend, place > 0 ? chain[place - 1] : nil)
            }
        }
        return nil
    }

    // MARK: opening

    /// Opens a node with a name (`-blockdev`, `blockdev-add`).
    public func add(_ options: BlockOptions, flags: OpenFlags) throws(BlockError) {
        guard let name = options.string("node-name"), !name.isEmpty else {
            throw BlockError(.invalidArgument, "'node-name' must be specified for the root node")
        }
        try checkNodeName(name)
        _ = try graph.open(nil, options: options, flags: flags)
        added.append(name)
        openedWith[name] = flags
    }
    /// How nodes of -blockdev were opened, for when a device takes them.
    var openedWith: [String: OpenFlags] = [:]

    /// A drive of -drive, or the medium of one.
    public func addDrive(_ name: String, _ node: any BlockNode, flags: OpenFlags, isPrivate: Bool = false) {
        var root = Root(
            drive: name, backend: BlockBackend(node, isReadOnly: flags.isWritable ? nil : true), flags: flags)
        root.isPrivate = isPrivate
        roots.append(root)
    }

    /// Another medium for a drive.
    /// - Returns: what the drive had, which the caller closes once nobody uses it.
    public func replaceDrive(_ name: String, _ node: any BlockNode, flags: OpenFlags) -> BlockBackend? {
        let old = roots.first { $0.drive == name }?.backend
        roots.removeAll { $0.drive == name }
        addDrive(name, node, flags: flags)
        return old
    }

    /// A backend that is opened later (`activate`), of which only the length and the like are looked at until then.
    public func addInactive(_ name: String, _ node: any BlockNode, flags: OpenFlags) {
        var root = Root(
            drive: name, backend: BlockBackend(node, isReadOnly: !flags.isWritable), flags: flags)
        root.isInactive = true
        roots.append(root)
    }

    /// What a device gets for `drive=`; nil for a name that nobody has.
    public func attach(_ name: String) -> BlockBackend? {
        if let backend = backend(of: name) { return backend }
        guard let node = graph.node(named: name) else { return nil }
        var root = Root(drive: "", backend: BlockBackend(node), flags: openedWith[name] ?? .writable)
        if inactiveNodes.contains(name) {
            root = Root(
                drive: "", backend: BlockBackend(node, isReadOnly: !root.flags.isWritable), flags: root.flags)
            root.isInactive = true
        }
        // A backup may copy into it.
        root.backend.gate = gates.lazy.compactMap(\.gate).first { $0.node === node }
        roots.append(root)
        followBitmaps()
        return root.backend
    }
    /// Nodes of -blockdev that were opened for a look only.
    var inactiveNodes: Set<String> = []

    /// As `add`, for a machine that waits for its state: another process may have the images open until then.
    public func addInactive(_ options: BlockOptions, flags: OpenFlags) throws(BlockError) {
        guard let name = options.string("node-name"), !name.isEmpty else {
            throw BlockError(.invalidArgument, "'node-name' must be specified for the root node")
        }
        var wanted = flags
        if options["read-only"] == .boolean(true) { wanted.isWritable = false }
        guard wanted.isWritable else { return try add(options, flags: flags) }
        var look = flags
        look.isWritable = false
        look.isExclusive = false
        look.forceShare = true
        _ = try graph.open(nil, options: options, flags: look)
        added.append(name)
        openedWith[name] = wanted
        inactiveNodes.insert(name)
    }

    /// Takes a backend away, as when a device is unplugged; its node stays where it has a name of its own.
    public func detach(_ backend: BlockBackend) { roots.removeAll { $0.backend === backend && $0.drive.isEmpty } }

    /// Takes a node away that a person added.
    public func remove(_ name: String) throws(BlockError) {
        guard let node = graph.node(named: name) else {
            throw BlockError(.notFound, "Failed to find node with node-name='\(name)'")
        }
        guard added.contains(name) else {
            throw BlockError(.invalidArgument, "Node \(name) is not owned by the monitor")
        }
        let others = graph.namedNodes.filter { $0.name != name && !$0.name.hasPrefix("#") }.map(\.node)
        let isBelow = (roots.map(\.backend.filtered) + others + claims.values.joined() + exported.values).contains {
            top in
            tree(top).contains { $0 === node } && !(top !== node && tree(node).contains { $0 === top })
        }
        guard !isBelow else { throw BlockError(.locked, "Node \(name) is in use") }
        added.removeAll { $0 == name }
        openedWith[name] = nil
        transientBitmaps.removeAll { $0.node == name }
        try discard(node)
    }

    func checkNodeName(_ name: String) throws(BlockError) {
        guard JobList.isName(name), name.utf8.count < 32 else {
            throw BlockError(.invalidArgument, "Invalid node-name: '\(name)'")
        }
        guard graph.node(named: name) == nil, !roots.contains(where: { $0.drive == name }) else {
            throw BlockError(.exists, "Duplicate nodes with node-name='\(name)'")
        }
    }

    /// Forgets and closes a node and what only it uses; nodes that a person has added stay open.
    func discard(_ node: any BlockNode) throws(BlockError) {
        let kept = added.compactMap { graph.node(named: $0) }
        for child in node.children where kept.contains(where: { $0 === child.node }) {
            if child.role == "backing" { try (node as? any BackedNode)?.replaceBacking(nil) }
        }
        for part in tree(node) where !kept.contains(where: { $0 === part }) {
            if let name = graph.name(of: part) { graph.unregister(name) }
        }
        if let name = graph.name(of: node) { graph.unregister(name) }
        try node.close()
    }

    /// Ends exports and jobs, flushes and closes everything.
    /// - Parameter report: told what could not be written.
    public func closeAll(_ report: (String, BlockError) -> Void) {
        exports.end()
        jobs.endAll()
        for root in roots where !root.isInactive {
            do throws(BlockError) { try root.backend.close() } catch {
                report(root.drive.isEmpty ? root.backend.location.filename : root.drive, error)
            }
        }
        for name in added {
            guard let node = graph.node(named: name), !roots.contains(where: { $0.backend.filtered === node }) else {
                continue
            }
            do throws(BlockError) { try node.close() } catch { report(name, error) }
        }
    }
}
