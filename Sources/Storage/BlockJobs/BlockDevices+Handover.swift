// SPDX-License-Identifier: Apache-2.0

public import BlockLayer

/// Giving the images to another process and taking them back: one of the two that know a machine has them open for
/// writing at a time.
extension BlockDevices {
    /// Whether a job keeps the images from being handed over.
    public var isHandoverPossible: Bool { !jobs.isBusy }

    /// Writes everything out and closes the images that the guest can write to. The guest stands still.
    public func deactivate() throws(BlockError) {
        for index in roots.indices where !roots[index].isInactive && !roots[index].isPrivate {
            let backend = roots[index].backend
            guard !backend.isReadOnly else { continue }
            try backend.hold(.all) { (node) throws(BlockError) in
                try node.flush()
                try closeForHandover(node.chain)
            }
            roots[index].isInactive = true
        }
    }

    private func closeForHandover(_ chain: [any BlockNode]) throws(BlockError) {
        // What is below was opened by this chain alone or has a name; each image is closed by itself.
        for image in chain where !image.isReadOnly { try image.flush() }
        try chain[0].close()
    }

    /// Opens all images that were given away or never opened for writing. The guest stands still.
    public func activate() throws(BlockError) {
        for index in roots.indices where roots[index].isInactive { try activate(index) }
        inactiveNodes = []
    }

    /// Opens the images of a disk that shows this node, where that has not been done.
    func activate(_ node: any BlockNode) throws(BlockError) {
        guard let index = roots.firstIndex(where: { $0.backend.filtered === node }), roots[index].isInactive else {
            return
        }
        try activate(index)
    }

    /// Whether a node stays as read-only as it is: one of a machine that waits for its state may be opened for writing.
    public func isReadOnlyForGood(_ node: any BlockNode) -> Bool {
        guard let root = roots.first(where: { $0.backend.filtered === node }), root.isInactive else {
            return node.isReadOnly
        }
        return root.backend.isReadOnly
    }

    private func activate(_ index: Int) throws(BlockError) {
        let root = roots[index]
        try root.backend.hold(.all) { (top) throws(BlockError) in
            var below: (any BlockNode)?
            for image in top.chain.reversed() {
                var flags = root.flags
                if image !== top {
                    flags.isWritable = false
                    flags.isExclusive = false
                }
                let next = below
                below = try renewed(image, flags, above: next)
            }
            if let below { show(below, in: root.backend) }
        }
        roots[index].isInactive = false
    }

    /// Opens an image anew that was closed, or that was opened for a look.
    private func renewed(
        _ image: any BlockNode, _ flags: OpenFlags, above below: (any BlockNode)?
    ) throws(BlockError) -> any BlockNode {
        var options = image.location.options
        if image is any BackedNode { options["backing"] = .null }
        let names = names(below: image)
        try (image as? any BackedNode)?.replaceBacking(nil)
        do throws(BlockError) {
            try image.close()
            return try opened(options, flags, names, below)
        } catch {
            // As it was, for another attempt.
            try (image as? any BackedNode)?.replaceBacking(below)
            throw error
        }
    }
}
