// SPDX-License-Identifier: Apache-2.0

/// What a range of a chain of images holds, seen from the top.
public struct ChainStatus: Sendable, Equatable {
    /// The answer of the layer that decides; its `isAllocated` is false when none does.
    public var status: BlockStatus
    /// How many layers below the top that one is.
    public var depth: Int
}

/// A node whose reads somebody may wait for before what lies below it changes.
public protocol ReadWatchingNode: BlockNode {
    /// Counts `body`, which looks at several layers in turn, as one read.
    func watchingRead<Result>(
        at offset: Int64, count: Int64, _ body: () throws(BlockError) -> Result
    ) throws(BlockError) -> Result
}

extension ResizableNode {
    /// Resizes so that a new part reads as zeroes even where the backing node has content.
    public func resizeOverBacking(
        to length: Int64, preallocation: Preallocation = .off, exact: Bool = true
    ) throws(BlockError) {
        let old = self.length
        try resize(to: length, preallocation: preallocation, exact: exact)
        let isReserved = preallocation == .falloc || preallocation == .full
        if length > old, !isReserved, let below = backingNode, below.length > old {
            try writeZeroes(at: old, count: length - old, flags: [])
        }
    }
}

extension BlockNode {
    /// The next image down: the backing node of a format, the node below a filter.
    public var backingNode: (any BlockNode)? {
        if let filter = self as? any FilterNode { return filter.filtered.backingNode }
        return (self as? any BackedNode)?.backing
    }

    /// The images of the chain, this one first.
    public var chain: [any BlockNode] {
        var nodes: [any BlockNode] = [self]
        while let next = nodes[nodes.count - 1].backingNode { nodes.append(next) }
        return nodes
    }

    /// What a range holds, through the backing nodes down to (not including) `base`.
    ///
    /// The bytes past the end of a shorter backing image read as zeroes and count as allocated in the layer above it.
    public func chainStatus(
        at offset: Int64, count: Int64, above base: (any BlockNode)? = nil, detail: StatusDetail = .mapping
    ) throws(BlockError) -> ChainStatus {
        guard let watched = self as? any ReadWatchingNode else {
            return try layerStatus(at: offset, count: count, above: base, detail: detail)
        }
        return try watched.watchingRead(at: offset, count: count) { () throws(BlockError) in
            try layerStatus(at: offset, count: count, above: base, detail: detail)
        }
    }

    private func layerStatus(
        at offset: Int64, count: Int64, above base: (any BlockNode)?, detail: StatusDetail
    ) throws(BlockError) -> ChainStatus {
        var node: any BlockNode = self
        var limit = min(count, length - offset)
        var depth = 0
        if limit <= 0 { return ChainStatus(status: BlockStatus(count: 0, isZero: true, isEnd: true), depth: 0) }
        while true {
            var status = try node.status(at: offset, count: limit, detail: detail)
            limit = min(limit, max(status.count, 1))
            status.count = limit
            if status.isAllocated || status.isData {
                status.isEnd = offset + limit == length
                return ChainStatus(status: status, depth: depth)
            }
            guard let next = node.backingNode, next !== base else {
                status.isZero = status.isZero || node.backingNode == nil
                status.isEnd = offset + limit == length
                return ChainStatus(status: status, depth: depth)
            }
            if offset >= next.length {
                // Nothing is there to read from: zeroes, which the layer above provides.
                return ChainStatus(
                    status: BlockStatus(count: limit, isZero: true, isEnd: offset + limit == length), depth: depth)
            }
            limit = min(limit, next.length - offset)
            node = next
            depth += 1
        }
    }
}
