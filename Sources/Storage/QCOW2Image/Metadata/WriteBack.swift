// SPDX-License-Identifier: Apache-2.0

public import BlockLayer
internal import HostSystem

extension QCOW2Node {
    /// Writes all changed tables so that those on disk never refer to what is not durable. Called with the lock held.
    func writeMetadata() throws(BlockError) {
        // Which cluster of refcounts is written first does not matter: nothing refers to a count.
        try refcounts.cache.writeBack()
        if refcounts.isTableDirty {
            try file.flush()
            try refcounts.writeTable()
        }
        if l2.dirtyCount > 0 || !changedL1.isEmpty {
            try barrier()
            try l2.writeBack()
        }
        if !changedL1.isEmpty {
            try file.flush()
            try writeL1()
        }
    }

    /// Data and counts become durable.
    private func barrier() throws(BlockError) {
        if geometry.hasDataFile { try data.flush() }
        try file.flush()
    }

    private func writeL1() throws(BlockError) {
        let perSector = 64
        for sector in Set(changedL1.map { $0 / perSector }).sorted() {
            let entries = l1[sector * perSector..<min(l1.count, (sector + 1) * perSector)]
            let buffer = AlignedBuffer(count: entries.count * 8)
            for (position, entry) in entries.enumerated() { buffer.region.storeBigEndian(entry, at: position * 8) }
            try file.write(buffer.region, at: header.l1Offset + Int64(sector * perSector * 8))
        }
        changedL1 = []
    }

    /// Makes everything durable, then lowers the counts of what was freed. Called with the lock held.
    func flushMetadata() throws(BlockError) {
        if isUnflushed || l2.dirtyCount > 0 || !changedL1.isEmpty || refcounts.isTableDirty {
            try writeMetadata()
            isUnflushed = false
            do throws(BlockError) {
                try barrier()
            } catch {
                isUnflushed = true
                throw error
            }
        } else {
            try refcounts.cache.writeBack()
        }
        try releaseFreed()
    }

    private func releaseFreed() throws(BlockError) {
        guard !freeList.isEmpty else { return }
        var unused: [Range<Int64>] = []
        for item in freeList.takeReleasable() { try release(item, &unused) }
        // The host is told of neighbours at once.
        unused.sort { $0.lowerBound < $1.lowerBound }
        var next = 0
        while next < unused.count {
            var range = unused[next]
            next += 1
            while next < unused.count, unused[next].lowerBound <= range.upperBound {
                range = range.lowerBound..<max(range.upperBound, unused[next].upperBound)
                next += 1
            }
            try file.discard(at: range.lowerBound, count: Int64(range.count))
        }
    }

    /// Lowers counts, and adds what nobody uses any more and may be given back to the host.
    private func release(_ item: FreeList.Item, _ unused: inout [Range<Int64>]) throws(BlockError) {
        let bits = Int64(geometry.clusterBits)
        for cluster in item.offset >> bits...(item.offset + item.count - 1) >> bits {
            let count = try refcounts.count(of: cluster)
            guard count > 0 else {
                warn("qcow2: cluster \(cluster) was freed but is not counted as used; check the image")
                continue
            }
            try refcounts.setCount(count - 1, of: cluster)
            guard count == 1 else { continue }
            reserved.remove(cluster: cluster)
            l2.forget(cluster << bits, count: Int64(geometry.clusterSize))
            if compressedEnd >> bits == cluster { compressedEnd = 0 }
            if item.discards { unused.append(cluster << bits..<(cluster + 1) << bits) }
        }
    }

    /// Writes back when the caches are full of changes, so that they stay bounded. Called with the lock held.
    func relieve() throws(BlockError) {
        if l2.isPressed || refcounts.cache.isPressed { try writeMetadata() }
    }

    /// Makes completed writes durable.
    public func flush() throws(BlockError) {
        if isReadOnly { return }
        try lock.withLock { () throws(BlockError) in
            try checkUsable()
            try flushMetadata()
        }
    }

    /// Writes everything back, releases what was freed, stores the bitmaps.
    public func close() throws(BlockError) {
        let isFirst = lock.withLock {
            defer { isClosed = true }
            return !isClosed
        }
        guard isFirst else { return }
        if !isReadOnly, !isBroken {
            try exclusively { () throws(BlockError) in
                try storeBitmaps()
                try settle()
            }
        }
        try closeChildren()
    }

    /// Writes everything back and releases everything freed. Called with the lock held and no request under way.
    func settle() throws(BlockError) {
        try checkUsable()
        try flushMetadata()
        // The second time is for what rested while reads were under way; the third for tables freed by the second.
        for _ in 0..<3 where !freeList.isEmpty || refcounts.isDirty { try flushMetadata() }
    }

    private func closeChildren() throws(BlockError) {
        try file.close()
        if geometry.hasDataFile { try data.close() }
        try backingNode?.close()
    }
}
