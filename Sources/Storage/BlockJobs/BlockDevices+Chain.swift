// SPDX-License-Identifier: Apache-2.0

public import BlockLayer

/// Images above images: snapshots, and opening again what was opened for reading.
extension BlockDevices {
    /// What `blockdev-snapshot-sync` asks for.
    public struct OverlayRequest: Sendable {
        /// The new image's name, as `-drive file=` takes it.
        public var file: String
        /// The new image's format.
        public var format = "qcow2"
        /// Name of the new node; nil for a generated one.
        public var nodeName: String?
        /// The file exists already, and names its backing file or none (`mode=existing`).
        public var exists = false

        /// An overlay in that file.
        public init(file: String) { self.file = file }
    }

    /// A snapshot that is ready and not made yet.
    public struct PreparedSnapshot {
        let backend: BlockBackend
        let node: any BlockNode
        let overlay: any BlockNode
        let isOwn: Bool
    }

    /// The backend that shows a node, for what only the topmost image can do.
    func backend(showing node: any BlockNode) throws(BlockError) -> BlockBackend {
        guard let root = roots.first(where: { $0.backend.filtered === node }) else {
            throw BlockError(.notSupported, "Node '\(name(of: node))' is no device's disk")
        }
        try checkFree(node)
        return root.backend
    }

    /// Fails for a node that a job has.
    public func checkFree(_ node: any BlockNode) throws(BlockError) {
        guard let (job, _) = claims.first(where: { $0.value.contains { $0 === node } }) else { return }
        throw BlockError(.locked, "Node '\(name(of: node))' is busy: block device is in use by block job: \(job)")
    }

    /// Makes and opens a new image above a disk; `take` puts it there.
    public func prepare(_ request: OverlayRequest, over node: any BlockNode) throws(BlockError) -> PreparedSnapshot {
        let backend = try backend(showing: node)
        guard let index = rootIndex(of: backend) else { throw BlockError(.notFound, "the disk is gone") }
        if let name = request.nodeName { try checkNodeName(name) }
        if !request.exists { try create(request, over: node) }
        var options = BlockOptions([("driver", .string(request.format)), ("backing", .null)])
        if let name = request.nodeName { options["node-name"] = .string(name) }
        let overlay = try graph.open(request.file, options: options, flags: roots[index].flags)
        guard overlay is any BackedNode else {
            try discard(overlay)
            throw BlockError(.notSupported, "The overlay does not support backing images")
        }
        return PreparedSnapshot(backend: backend, node: node, overlay: overlay, isOwn: true)
    }

    private func create(_ request: OverlayRequest, over node: any BlockNode) throws(BlockError) {
        guard let driver = graph.driver(request.format) as? any CreatingDriver else {
            throw BlockError(.notSupported, "Format driver '\(request.format)' does not support image creation")
        }
        var options = CreateOptions(driver.createOptions)
        guard options.accepts("backing_file") else {
            throw BlockError(.notSupported, "Backing file not supported for file format '\(request.format)'")
        }
        try options.set("size", String(node.length))
        try options.set("backing_file", node.location.filename)
        if options.accepts("backing_fmt") { try options.set("backing_fmt", node.driverName) }
        try driver.create(CreateRequest(filename: request.file, options: options, graph: graph))
    }

    /// An overlay that was added before (`blockdev-snapshot`).
    public func prepare(overlay name: String, over node: any BlockNode) throws(BlockError) -> PreparedSnapshot {
        let backend = try backend(showing: node)
        guard let overlay = graph.node(named: name) else {
            throw BlockError(.notFound, "Cannot find device='\(name)' nor node-name='\(name)'")
        }
        guard let backed = overlay as? any BackedNode else {
            throw BlockError(.notSupported, "The overlay does not support backing images")
        }
        guard backed.backing == nil else {
            throw BlockError(.invalidArgument, "The overlay already has a backing image")
        }
        guard user(of: overlay) == nil else { throw BlockError(.locked, "The overlay is already in use") }
        return PreparedSnapshot(backend: backend, node: node, overlay: overlay, isOwn: false)
    }

    /// Puts overlays above their disks, all at the same moment, or none.
    public func take(_ snapshots: [PreparedSnapshot]) throws(BlockError) {
        try perform([], snapshots: snapshots, backups: [])
    }

    /// Puts overlays above their disks, which are held.
    func exchange(_ snapshots: [PreparedSnapshot]) throws(BlockError) {
        // What was written before belongs to the snapshot. The new image must be there after a loss of power as well,
        // whether or not the guest writes to it.
        for snapshot in snapshots {
            try snapshot.node.flush()
            try snapshot.overlay.flush()
            // An image that has not changed since it was opened has nothing to write out; its file may have.
            for child in snapshot.overlay.children where child.role != "backing" { try child.node.flush() }
        }
        for snapshot in snapshots {
            try (snapshot.overlay as? any BackedNode)?.replaceBacking(snapshot.node)
        }
        for snapshot in snapshots {
            show(snapshot.overlay, in: snapshot.backend)
            lockForReading(snapshot)
        }
    }

    /// What lies below a snapshot is not written any more, and other programs may read it.
    private func lockForReading(_ snapshot: PreparedSnapshot) {
        guard let index = rootIndex(of: snapshot.backend), !roots[index].isPrivate,
            let overlay = snapshot.overlay as? any BackedNode
        else { return }
        var flags = roots[index].flags
        flags.isWritable = false
        flags.isExclusive = false
        do throws(BlockError) { try overlay.replaceBacking(try reopen(snapshot.node, flags: flags)) } catch {
            graph.warn("cannot open '\(snapshot.node.location.filename)' again for reading: \(error)")
        }
    }

    func holding(
        _ backends: ArraySlice<BlockBackend>, _ body: () throws(BlockError) -> Void
    ) throws(BlockError) {
        guard let first = backends.first else { return try body() }
        try first.hold(.all) { (_) throws(BlockError) in try holding(backends.dropFirst(), body) }
    }

    /// Gives prepared snapshots up.
    public func drop(_ snapshots: [PreparedSnapshot]) {
        for snapshot in snapshots where snapshot.isOwn {
            // Closing a new image that holds nothing can lose nothing.
            try? discard(snapshot.overlay)
        }
    }

    // MARK: opening again

    /// Names of nodes by their place below a node, but for what is behind it.
    func names(below node: any BlockNode) -> [(path: [String], name: String)] {
        var found: [(path: [String], name: String)] = []
        func visit(_ node: any BlockNode, _ path: [String]) {
            if let name = graph.name(of: node) { found.append((path, name)) }
            for child in node.children where child.role != "backing" { visit(child.node, path + [child.role]) }
        }
        visit(node, [])
        return found
    }

    private func register(_ names: [(path: [String], name: String)], from node: any BlockNode) throws(BlockError) {
        for entry in names {
            var place: (any BlockNode)? = node
            for role in entry.path { place = place?.child(role) }
            graph.unregister(entry.name)
            if let place { try graph.register(place, as: entry.name) }
        }
    }

    /// Closes a node and opens it again with other flags, above the same backing node. Nobody uses it meanwhile.
    /// - Returns: the node that took its place, under its names. Where it cannot be opened so, it is opened as it was.
    func reopen(_ node: any BlockNode, flags: OpenFlags) throws(BlockError) -> any BlockNode {
        try renew(node, node.location.options, flags, above: (node as? any BackedNode)?.backing)
    }

    /// As `reopen`, with other options and above another image.
    func renew(
        _ node: any BlockNode, _ options: BlockOptions, _ flags: OpenFlags, above below: (any BlockNode)?
    ) throws(BlockError) -> any BlockNode {
        let names = names(below: node)
        let backing = (node as? any BackedNode)?.backing
        try (node as? any BackedNode)?.replaceBacking(nil)
        var options = options, before = node.location.options
        if node is any BackedNode { (options["backing"], before["backing"]) = (.null, .null) }
        let wasReadOnly = node.isReadOnly
        try node.close()
        for entry in names { graph.unregister(entry.name) }
        do throws(BlockError) {
            return try opened(options, flags, names, below)
        } catch {
            var old = flags
            old.isWritable = !wasReadOnly
            _ = try opened(before, old, names, backing)
            throw error
        }
    }

    /// Opens what `deactivate` closed.
    func opened(
        _ options: BlockOptions, _ flags: OpenFlags, _ names: [(path: [String], name: String)],
        _ backing: (any BlockNode)?
    ) throws(BlockError) -> any BlockNode {
        let node = try graph.open(nil, options: options, flags: flags)
        if let backing { try (node as? any BackedNode)?.replaceBacking(backing) }
        try register(names, from: node)
        return node
    }

    /// Opens an image of a backend's chain for writing, if it is not already, without the guest's noticing.
    /// - Returns: the node that is there now.
    func makeWritable(_ node: any BlockNode, in backend: BlockBackend) throws(BlockError) -> any BlockNode {
        guard node.isReadOnly else { return node }
        guard let index = rootIndex(of: backend),
            let overlay = backend.filtered.chain.first(where: { $0.backingNode === node }) as? any BackedNode
        else { throw BlockError(.readOnly, "Block node is read-only") }
        var flags = roots[index].flags
        flags.isWritable = true
        flags.isExclusive = false
        return try backend.hold(.all) { (_) throws(BlockError) in
            try overlay.replaceBacking(nil)
            let name = name(of: node)
            do throws(BlockError) {
                let new = try reopen(node, flags: flags)
                try overlay.replaceBacking(new)
                return new
            } catch {
                // Opened again for reading, under the same name.
                if let old = graph.node(named: name) { try overlay.replaceBacking(old) }
                throw error
            }
        }
    }
}
