// SPDX-License-Identifier: Apache-2.0

public import BlockLayer

/// Opening named nodes again with other options.
extension BlockDevices {
    /// Options that every node has; one that is not given again is what it is by default.
    private static let common = [
        "read-only", "auto-read-only", "force-share", "discard", "detect-zeroes", "cache.direct", "cache.no-flush",
    ]

    /// Opens a node again as its options say, where it stands and while the guest goes on (`blockdev-reopen`). The driver
    /// and what the node is made of stay; the image below may be another one.
    /// - Parameter options: all of them, as for `blockdev-add`; children by name.
    public func reopen(_ name: String, _ options: BlockOptions) throws(BlockError) {
        guard let node = graph.node(named: name) else {
            throw BlockError(.notFound, "Failed to find node with node-name='\(name)'")
        }
        try checkFree(node)
        let backing = try newBacking(of: node, name, options)
        let wanted = try newOptions(of: node, options)
        let backend = roots.first { $0.backend.filtered.chain.contains { $0 === node } }?.backend
        try checkUsers(of: node, name, backend, isReadOnly: options["read-only"] == .boolean(true))
        let parents = allNodes.compactMap { $0 as? any BackedNode }.filter { $0.backing === node }
        var flags = openedWith[name] ?? .writable
        flags.isWritable = true
        guard let backend else { return try exchange(node, name, wanted, flags, backing, below: parents, nil) }
        if backend.filtered !== node { flags.isExclusive = false }
        try backend.hold(.all) { (_) throws(BlockError) in
            try exchange(node, name, wanted, flags, backing, below: parents, backend)
        }
    }

    /// The image that is to stand below a node.
    private func newBacking(
        of node: any BlockNode, _ name: String, _ options: BlockOptions
    ) throws(BlockError) -> (any BlockNode)? {
        guard let image = node as? any BackedNode else { return nil }
        guard let value = options["backing"] else {
            guard image.backing == nil, image.backingName?.isEmpty ?? true else {
                throw BlockError(.invalidArgument, "backing is missing for '\(name)'")
            }
            return nil
        }
        guard value != .null else { return nil }
        guard let below = graph.node(named: value.text) else {
            throw BlockError(.notFound, "Cannot find device='' nor node-name='\(value.text)'")
        }
        guard !tree(below).contains(where: { $0 === node }) else {
            throw BlockError(
                .invalidArgument, "Making '\(value.text)' a backing child of '\(name)' would create a cycle")
        }
        return below
    }

    /// What the node is opened with: as before, but for what every node has and what the driver lets be changed.
    private func newOptions(of node: any BlockNode, _ options: BlockOptions) throws(BlockError) -> BlockOptions {
        let old = node.location.options
        var wanted = old
        for key in Self.common { wanted[key] = options[key] }
        for key in options.keys where !Self.common.contains(key) && key != "node-name" && !key.hasPrefix("backing") {
            let value = options[key]
            let child = node.child(key)
            let isSame = child.map { graph.name(of: $0) == value?.text } ?? (old[key]?.text == value?.text)
            let isDriver = key == "driver" && value?.text == node.driverName
            let isFixed = key == "driver" || key == "filename" || child != nil || key.contains(".")
            guard isSame || isDriver || !isFixed else {
                throw BlockError(.invalidArgument, "Cannot change the option '\(key)'")
            }
            if child == nil, !isDriver { wanted[key] = value }
        }
        return wanted
    }

    private func checkUsers(
        of node: any BlockNode, _ name: String, _ backend: BlockBackend?, isReadOnly: Bool
    ) throws(BlockError) {
        if let export = exported.first(where: { $0.value === node })?.key {
            throw BlockError(.locked, "Node '\(name)' is busy: it is in use by export '\(export)'")
        }
        for parent in allNodes {
            let isPart = parent.children.contains { $0.node === node && $0.role != "backing" }
            guard !isPart else {
                throw BlockError(
                    .locked,
                    "Node '\(name)' is a part of '\(self.name(of: parent))', which is to be opened again instead")
            }
        }
        if isReadOnly, let backend, backend.filtered === node, !backend.isReadOnly {
            throw BlockError(.readOnly, "Read-only block node '\(name)' cannot support read-write users")
        }
    }

    /// Puts the node that was opened again in the old one's place, whether or not that went as wished.
    private func exchange(
        _ node: any BlockNode, _ name: String, _ options: BlockOptions, _ flags: OpenFlags,
        _ backing: (any BlockNode)?, below parents: [any BackedNode], _ backend: BlockBackend?
    ) throws(BlockError) {
        let isTop = backend?.filtered === node
        for parent in parents { try parent.replaceBacking(nil) }
        var problem: BlockError?
        do throws(BlockError) { _ = try renew(node, options, flags, above: backing) } catch { problem = error }
        if let new = graph.node(named: name) {
            for parent in parents { try parent.replaceBacking(new) }
            if isTop, let backend { show(new, in: backend) }
        }
        if let problem { throw problem }
    }
}
