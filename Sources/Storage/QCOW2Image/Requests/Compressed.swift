// SPDX-License-Identifier: Apache-2.0

public import BlockLayer
internal import HostSystem

extension QCOW2Node: CompressedWriting {
    /// By the image's compression type.
    public var compressor: ClusterCompressor {
        let codec = codec
        return ClusterCompressor(clusterSize: geometry.clusterSize) { (cluster, output) throws(BlockError) in
            try codec.compress(cluster, into: output)
        }
    }

    /// Stores a compressed cluster behind the one before, many to a host cluster.
    public func writeCompressed(_ compressed: ByteRegion, at offset: Int64, count: Int64) throws(BlockError) {
        try checkWritable()
        guard !geometry.hasDataFile else {
            throw BlockError(.notSupported, "Compressed clusters cannot be stored with an external data file")
        }
        guard offset & geometry.clusterMask == 0 else {
            throw BlockError(.invalidArgument, "Compressed writes start at a cluster's beginning")
        }
        let range = offset..<offset + Int64(geometry.clusterSize)
        lock.lock()
        var host: Int64 = 0
        var ticket: UInt64 = 0
        do {
            try checkRequest(offset, count)
            try relieve()
            while tracker.conflicts(range, isExclusive: true) { tracker.wait() }
            try makeL2Writable(offset)
            if let old = try l2Entry(offset), old.entry != 0 || old.bitmap != 0 {
                // A cluster is compressed once; what has content already is replaced by it all the same.
            }
            host = try allocateBytes(compressed.count)
            try noteDirty(offset, count)
            ticket = tracker.begin(range, isExclusive: true)
            lock.unlock()
        } catch {
            lock.unlock()
            throw error
        }
        do {
            try file.write(compressed, at: host)
        } catch {
            lock.withLock { tracker.end(ticket) }
            throw error
        }
        try lock.withLock { () throws(BlockError) in
            defer { tracker.end(ticket) }
            isUnflushed = true
            let old = try l2Entry(offset) ?? (0, 0)
            try setL2Entry(offset, geometry.compressedEntry(offset: host, count: compressed.count))
            try freeOld(old.entry, discards: false)
        }
    }

    /// Compresses cluster by cluster; what does not get smaller is stored as it is.
    public func writeCompressing(_ region: ByteRegion, at offset: Int64) throws(BlockError) {
        let size = geometry.clusterSize
        let output = AlignedBuffer(count: size)
        var done = 0
        while done < region.count {
            let count = min(size, region.count - done)
            var cluster = region.slice(done, count)
            var padded: AlignedBuffer?
            if count < size {
                let whole = AlignedBuffer(zeroed: size)
                whole.region.copy(from: cluster)
                cluster = whole.region
                padded = whole
            }
            try withExtendedLifetime(padded) { () throws(BlockError) in
                let position = offset + Int64(done)
                if let packed = try codec.compress(cluster, into: output.region) {
                    try writeCompressed(output.region.slice(0, packed), at: position, count: Int64(count))
                } else {
                    try write(region.slice(done, count), at: position, flags: [])
                }
            }
            done += count
        }
    }

    /// Host bytes for a compressed cluster: where the last one ended, if that cluster has room or the next one is free.
    /// Called with the lock held.
    private func allocateBytes(_ count: Int) throws(BlockError) -> Int64 {
        let size = Int64(geometry.clusterSize)
        let needed = Int64(count)
        let within = compressedEnd & geometry.clusterMask
        if compressedEnd != 0, within != 0 {
            let cluster = compressedEnd >> Int64(geometry.clusterBits)
            let uses = try refcounts.count(of: cluster)
            let room = size - within
            if uses > 0, uses < geometry.maximumRefcount {
                if needed <= room {
                    try refcounts.add(1, offset: compressedEnd, count: 1)
                    return takeBytes(needed)
                }
                if try refcounts.allocate(at: (cluster + 1) << Int64(geometry.clusterBits), clusters: 1) {
                    try refcounts.add(1, offset: compressedEnd, count: 1)
                    return takeBytes(needed)
                }
            }
        }
        compressedEnd = try refcounts.allocateRow(1, for: .compressed)
        return takeBytes(needed)
    }

    private func takeBytes(_ count: Int64) -> Int64 {
        defer { compressedEnd += count }
        return compressedEnd
    }
}
