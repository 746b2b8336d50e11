// SPDX-License-Identifier: Apache-2.0

internal import BlockLayer
internal import HostSystem

extension QCOW2Node {
    /// Finds or takes host clusters for a write that is not in place. Called with the lock held; the guest range lies
    /// in one L2 slice.
    func planAllocation(_ offset: Int64, _ count: Int64) throws(BlockError) -> AllocatingWrite {
        try makeL2Writable(offset)
        let guest = geometry.clusterStart(offset)
        let old = try oldEntries(guest, count: Int(geometry.clusters(offset + count - guest)))
        if let host = reusableHost(old[0]) {
            try refuseMetadata(host, Int64(geometry.clusterSize))
            return makePlan(offset, count, guest, host, Array(old.prefix(1)), isNew: false, isFresh: false)
        }
        let wanted = old.prefix { reusableHost($0) == nil && !isInPlace($0) }.count
        if geometry.hasDataFile {
            return makePlan(
                offset, count, guest, guest, Array(old.prefix(wanted)), isNew: false, isFresh: guest >= data.length)
        }
        let host = try refcounts.allocateRow(wanted, for: .data)
        let isFresh = host >= file.length && cipher == nil
        return makePlan(offset, count, guest, host, Array(old.prefix(wanted)), isNew: true, isFresh: isFresh)
    }

    private func oldEntries(_ guest: Int64, count: Int) throws(BlockError) -> [(entry: UInt64, bitmap: UInt64)] {
        var result: [(entry: UInt64, bitmap: UInt64)] = []
        result.reserveCapacity(count)
        for index in 0..<count {
            result.append(try l2Entry(guest + Int64(index * geometry.clusterSize)) ?? (0, 0))
        }
        return result
    }

    /// The entry's own cluster, when it belongs to this disk alone but some of it is not in use yet.
    private func reusableHost(_ old: (entry: UInt64, bitmap: UInt64)) -> Int64? {
        guard old.entry & L2Entry.compressed == 0, old.entry & L2Entry.copied != 0 else { return nil }
        let host = Int64(old.entry & L2Entry.offsetMask)
        if geometry.hasExtendedL2 {
            return old.bitmap & 0xffff_ffff == 0xffff_ffff || (host == 0 && !geometry.hasDataFile) ? nil : host
        }
        return kind(of: old.entry) == .zeroAllocated ? host : nil
    }

    private func isInPlace(_ old: (entry: UInt64, bitmap: UInt64)) -> Bool {
        guard old.entry & L2Entry.compressed == 0, old.entry & L2Entry.copied != 0 else { return false }
        return geometry.hasExtendedL2 ? old.bitmap & 0xffff_ffff != 0 : kind(of: old.entry) == .normal
    }

    private func makePlan(
        _ offset: Int64, _ count: Int64, _ guest: Int64, _ host: Int64,
        _ old: [(entry: UInt64, bitmap: UInt64)], isNew: Bool, isFresh: Bool
    ) -> AllocatingWrite {
        let end = guest + Int64(old.count) * Int64(geometry.clusterSize)
        let written = offset..<min(offset + count, end)
        let readsZero = old.allSatisfy { self.readsZero($0) }
        var filled = guest..<end
        if geometry.hasExtendedL2 {
            let sub = Int64(geometry.subclusterSize)
            let first = writesWholeSubclusters(old[0], isNew: isNew)
            let last = writesWholeSubclusters(old[old.count - 1], isNew: isNew)
            let start = first ? written.lowerBound & ~(sub - 1) : guest
            filled = start..<(last ? (written.upperBound + sub - 1) & ~(sub - 1) : end)
        } else if isFresh && readsZero {
            filled = written
        }
        return AllocatingWrite(
            guest: guest, host: host, clusters: old.count, written: written, filled: filled, isNew: isNew,
            isFresh: isFresh, oldReadsZero: readsZero, old: old)
    }

    /// Only the subclusters that are touched get filled: no other one has bytes in a cluster that is left.
    private func writesWholeSubclusters(_ old: (entry: UInt64, bitmap: UInt64), isNew: Bool) -> Bool {
        if old.entry & L2Entry.compressed != 0 { return false }
        return !isNew || old.bitmap & 0xffff_ffff == 0
    }

    private func readsZero(_ old: (entry: UInt64, bitmap: UInt64)) -> Bool {
        if geometry.hasExtendedL2 {
            if old.entry & L2Entry.compressed != 0 || old.bitmap & 0xffff_ffff != 0 { return false }
            return backingNode == nil || old.bitmap >> 32 == 0xffff_ffff
        }
        switch kind(of: old.entry) {
        case .zeroPlain, .zeroAllocated: return true
        case .unallocated: return backingNode == nil
        case .normal, .compressed: return false
        }
    }

    /// Writes the data with what has to be around it, then makes the L2 table refer to it. Called without the lock.
    func storeAllocating(_ write: AllocatingWrite, _ regions: [ByteRegion]) throws(BlockError) {
        do {
            var all = regions
            var edges: [AlignedBuffer] = []
            if write.filled.lowerBound < write.written.lowerBound {
                let head = AlignedBuffer(count: Int(write.written.lowerBound - write.filled.lowerBound))
                try fillEdge(head.region, at: write.filled.lowerBound, write)
                all.insert(head.region, at: 0)
                edges.append(head)
            }
            if write.filled.upperBound > write.written.upperBound {
                let tail = AlignedBuffer(count: Int(write.filled.upperBound - write.written.upperBound))
                try fillEdge(tail.region, at: write.written.upperBound, write)
                all.append(tail.region)
                edges.append(tail)
            }
            try withExtendedLifetime(edges) { () throws(BlockError) in
                try store(
                    all, host: write.host + (write.filled.lowerBound - write.guest), guest: write.filled.lowerBound)
            }
        } catch {
            abandon(write)
            throw error
        }
        try lock.withLock { () throws(BlockError) in try link(write) }
    }

    private func fillEdge(_ region: ByteRegion, at offset: Int64, _ write: AllocatingWrite) throws(BlockError) {
        if write.oldReadsZero { return region.fill(0) }
        let state = lock.withLock { vmStateStart }
        if offset >= state { return try readExtents(region, at: offset, isState: true) }
        // The last cluster may reach past the end of the disk.
        let inside = Int(max(min(Int64(region.count), length - offset), 0))
        if inside > 0 { try read(region.slice(0, inside), at: offset) }
        region.from(inside).fill(0)
    }

    private func abandon(_ write: AllocatingWrite) {
        guard write.isNew else { return }
        lock.withLock {
            // Nothing refers to the clusters, so they can be free at once; if even that fails they stay leaked.
            do {
                try refcounts.add(-1, offset: write.host, count: Int64(write.clusters) * Int64(geometry.clusterSize))
            } catch {
                warn("qcow2: clusters at \(write.host) leak after a failed write: \(error)")
            }
        }
    }

    /// Stores the new entries and frees what they replace. Called with the lock held.
    private func link(_ write: AllocatingWrite) throws(BlockError) {
        let size = Int64(geometry.clusterSize)
        for index in 0..<write.clusters {
            let guest = write.guest + Int64(index) * size
            let host = write.host + Int64(index) * size
            var bitmap: UInt64 = 0
            if geometry.hasExtendedL2 {
                let old = write.old[index]
                let kept = old.entry & L2Entry.compressed == 0 && (!write.isNew || old.bitmap & 0xffff_ffff == 0)
                let filled = subclusterMask(write.filled.clamped(to: guest..<guest + size), guest)
                let before = kept ? old.bitmap : 0
                bitmap = (before | filled) & ~(filled << 32)
            }
            try setL2Entry(guest, UInt64(host) | L2Entry.copied, bitmap: bitmap)
            if write.isNew { try freeOld(write.old[index].entry, discards: false) }
        }
    }

    /// The allocation bits of the subclusters that a guest range in one cluster touches.
    func subclusterMask(_ range: Range<Int64>, _ guest: Int64) -> UInt64 {
        if range.isEmpty { return 0 }
        let sub = Int64(geometry.subclusterSize)
        let first = UInt64((range.lowerBound - guest) / sub)
        let last = UInt64((range.upperBound - 1 - guest) / sub)
        return ((1 << (last + 1)) - 1) & ~((1 << first) - 1)
    }

    /// Notes that an L2 entry no longer refers to its host clusters.
    func freeOld(_ entry: UInt64, discards: Bool) throws(BlockError) {
        if entry & L2Entry.compressed != 0 {
            let range = geometry.compressedRange(entry)
            codec.forget()
            // The format counts a compressed cluster's host clusters once for each one that uses them.
            let start = geometry.clusterStart(range.offset)
            let end = geometry.roundUp(range.offset + Int64(range.count))
            freeList.add(start, end - start, discards: discards)
            return
        }
        let host = Int64(entry & L2Entry.offsetMask)
        let isHeld = host != 0 || (geometry.hasDataFile && entry & L2Entry.copied != 0)
        guard isHeld else { return }
        if geometry.hasDataFile {
            if discards { try data.discard(at: host, count: Int64(geometry.clusterSize)) }
            return
        }
        guard host & geometry.clusterMask == 0 else {
            // Nothing refers to it any more, and what is around it stays as it is.
            _ = corruption("Cannot free unaligned cluster \(hexadecimal(UInt64(host)))", isFatal: false)
            return
        }
        freeList.add(host, Int64(geometry.clusterSize), discards: discards)
    }
}
