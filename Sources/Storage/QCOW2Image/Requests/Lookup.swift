// SPDX-License-Identifier: Apache-2.0

internal import BlockLayer

/// What an L2 entry (or a subcluster of one) says.
enum ClusterKind: Equatable {
    case unallocated
    /// Reads as zeroes, no host cluster.
    case zeroPlain
    /// Reads as zeroes, a host cluster is kept for it.
    case zeroAllocated
    case normal
    case compressed
}

/// A run of guest bytes of one kind, at consecutive host offsets where it has any.
struct Extent {
    var kind: ClusterKind
    /// The host offset of the first byte (normal, zeroAllocated, or unallocated in a cluster that has a place).
    var host: Int64 = 0
    /// Nothing is stored in these subclusters, but their cluster has a place.
    var isReserved = false
    var count: Int64
    /// The entry, for compressed ones.
    var entry: UInt64 = 0
}

extension QCOW2Node {
    /// The L2 entry and, with extended entries, the bitmap of a guest offset; nil without an L2 table.
    func l2Entry(_ offset: Int64) throws(BlockError) -> (entry: UInt64, bitmap: UInt64)? {
        guard let table = try l2TableOffset(geometry.l1Index(offset)) else { return nil }
        let place = try l2.slice(at: table + Int64(geometry.l2Index(offset) * geometry.entrySize))
        let region = l2.region(place.slot)
        let entry: UInt64 = region.bigEndian(at: place.position)
        return (entry, geometry.hasExtendedL2 ? region.bigEndian(at: place.position + 8) : 0)
    }

    /// Where an L2 table lies; nil when there is none.
    func l2TableOffset(_ index: Int) throws(BlockError) -> Int64? {
        guard index < l1.count else { return nil }
        let offset = Int64(l1[index] & L2Entry.offsetMask)
        if offset == 0 { return nil }
        guard offset & geometry.clusterMask == 0 else {
            throw corruption(
                "L2 table offset \(hexadecimal(UInt64(offset))) unaligned (L1 index: \(hexadecimal(UInt64(index))))")
        }
        return offset
    }

    /// What the guest bytes from `offset` on are, as long as the L2 slice and `limit` allow. Called with the lock held.
    /// - Parameter isScan: as for `TableCache.slice`.
    func lookup(_ offset: Int64, limit: Int64, isScan: Bool = false) throws(BlockError) -> Extent {
        guard let table = try l2TableOffset(geometry.l1Index(offset)) else {
            let end = (offset | (geometry.l2Coverage - 1)) &+ 1
            return Extent(kind: .unallocated, count: min(limit, end - offset))
        }
        let place = try l2.slice(at: table + Int64(geometry.l2Index(offset) * geometry.entrySize), isScan: isScan)
        if geometry.hasExtendedL2 { return try lookupExtended(offset, limit, l2.region(place.slot), place.position) }
        return try lookupStandard(offset, limit, l2.region(place.slot), place.position)
    }

    private func lookupStandard(
        _ offset: Int64, _ limit: Int64, _ region: ByteRegion, _ start: Int
    ) throws(BlockError) -> Extent {
        let size = Int64(geometry.clusterSize)
        let within = offset & geometry.clusterMask
        let first: UInt64 = region.bigEndian(at: start)
        let kind = kind(of: first)
        var count = size - within
        var extent = Extent(kind: kind, count: min(limit, count))
        if kind == .compressed {
            extent.entry = first
            return extent
        }
        let hasHost = kind == .normal || kind == .zeroAllocated
        let host = Int64(first & L2Entry.offsetMask)
        if hasHost {
            try checkHost(host, guest: offset - within)
            extent.host = host + within
        }
        var position = start + 8
        // Nearly always an entry is the one before, one cluster on; what differs is looked at bit by bit.
        let step = hasHost ? UInt64(size) : 0
        var expected = first &+ step
        while count < limit, position < region.count, region.bigEndian(at: position, as: UInt64.self) == expected,
            expected & L2Entry.offsetMask >= first & L2Entry.offsetMask
        {
            count += size
            position += 8
            expected &+= step
        }
        while count < limit, position < region.count {
            let entry: UInt64 = region.bigEndian(at: position)
            guard self.kind(of: entry) == kind else { break }
            if hasHost, Int64(entry & L2Entry.offsetMask) != host + within + count { break }
            count += size
            position += 8
        }
        extent.count = min(limit, count)
        return extent
    }

    /// The kind of a standard entry.
    @inline(__always)
    func kind(of entry: UInt64) -> ClusterKind {
        if entry & L2Entry.compressed != 0 { return .compressed }
        let hasOffset = entry & L2Entry.offsetMask != 0
        if entry & L2Entry.zero != 0, header.version >= 3 {
            return hasOffset ? .zeroAllocated : .zeroPlain
        }
        if hasOffset { return .normal }
        // In an external data file the first cluster has offset 0; only the flag tells it from none.
        return geometry.hasDataFile && entry & L2Entry.copied != 0 ? .normal : .unallocated
    }

    func checkHost(_ host: Int64, guest: Int64) throws(BlockError) {
        if host & geometry.clusterMask != 0 {
            let index = geometry.l1Index(guest)
            let table = index < l1.count ? l1[index] & L2Entry.offsetMask : 0
            throw corruption(
                "Cluster allocation offset \(hexadecimal(UInt64(host))) unaligned (L2 offset: \(hexadecimal(table)), L2 index: \(hexadecimal(UInt64(geometry.l2Index(guest)))))"
            )
        }
        if geometry.hasDataFile, host != guest {
            throw corruption(
                "External data file host cluster offset \(hexadecimal(UInt64(host))) does not match guest cluster offset: \(hexadecimal(UInt64(guest))), L2 index: \(hexadecimal(UInt64(geometry.l2Index(guest)))))"
            )
        }
    }

    private func lookupExtended(
        _ offset: Int64, _ limit: Int64, _ region: ByteRegion, _ start: Int
    ) throws(BlockError) -> Extent {
        let size = Int64(geometry.clusterSize)
        let subSize = Int64(geometry.subclusterSize)
        var within = offset & geometry.clusterMask
        var entry: UInt64 = region.bigEndian(at: start)
        var bitmap: UInt64 = region.bigEndian(at: start + 8)
        let kind = try subclusterKind(entry, bitmap, Int(within / subSize), guest: offset)
        if kind == .compressed { return Extent(kind: kind, count: min(limit, size - within), entry: entry) }
        // Subclusters without content can be in a cluster that has a place for them.
        let hasHost = kind != .zeroPlain && hasPlace(entry)
        let host = Int64(entry & L2Entry.offsetMask) + within
        if hasHost { try checkHost(host - within, guest: offset - within) }
        var count: Int64 = 0
        var position = start
        while count < limit {
            count += subSize - (within & (subSize - 1))
            within = (offset + count) & geometry.clusterMask
            if within == 0 {
                position += 16
                guard position < region.count else { break }
                entry = region.bigEndian(at: position)
                bitmap = region.bigEndian(at: position + 8)
                if hasHost, Int64(entry & L2Entry.offsetMask) != host + count { break }
            }
            guard try subclusterKind(entry, bitmap, Int(within / subSize), guest: offset + count) == kind,
                hasHost == (kind != .zeroPlain && hasPlace(entry))
            else { break }
        }
        return Extent(
            kind: kind, host: hasHost ? host : 0, isReserved: hasHost && kind == .unallocated, count: min(limit, count))
    }

    /// An entry names a host cluster.
    private func hasPlace(_ entry: UInt64) -> Bool {
        entry & L2Entry.offsetMask != 0 || (geometry.hasDataFile && entry & L2Entry.copied != 0)
    }

    /// The kind of one subcluster of an extended entry.
    func subclusterKind(
        _ entry: UInt64, _ bitmap: UInt64, _ index: Int, guest: Int64
    ) throws(BlockError) -> ClusterKind {
        if entry & L2Entry.compressed != 0 { return .compressed }
        let isAllocated = bitmap & (1 << UInt64(index)) != 0
        let isZero = bitmap & (1 << UInt64(index + 32)) != 0
        let hasHost = hasPlace(entry)
        if isAllocated, isZero || !hasHost {
            throw corruption(
                "Invalid subcluster bitmap 0x\(String(bitmap, radix: 16)) (guest offset: 0x\(String(guest, radix: 16)))"
            )
        }
        if isAllocated { return .normal }
        if isZero { return hasHost ? .zeroAllocated : .zeroPlain }
        return .unallocated
    }

    /// Stores an entry (and bitmap) into the L2 table of a guest offset, which must exist and be writable.
    func setL2Entry(_ offset: Int64, _ entry: UInt64, bitmap: UInt64 = 0) throws(BlockError) {
        guard let table = try l2TableOffset(geometry.l1Index(offset)) else {
            throw corruption("The L2 table of guest offset 0x\(String(offset, radix: 16)) is gone")
        }
        let place = try l2.slice(at: table + Int64(geometry.l2Index(offset) * geometry.entrySize))
        l2.region(place.slot).storeBigEndian(entry, at: place.position)
        if geometry.hasExtendedL2 { l2.region(place.slot).storeBigEndian(bitmap, at: place.position + 8) }
        l2.markDirty(place.slot)
    }

    /// Makes sure that the L2 table of a guest offset exists and belongs to the active disk alone.
    func makeL2Writable(_ offset: Int64) throws(BlockError) {
        let index = geometry.l1Index(offset)
        guard index < l1.count else { throw BlockError(.outOfRange, "The request lies outside the L1 table") }
        let old = try l2TableOffset(index)
        if let old, l1[index] & L2Entry.copied != 0 {
            if !reserved.disputed.isEmpty { try refuseDisputedTable(old, .activeL2) }
            return
        }
        let size = geometry.clusterSize
        let new = try allocateMetadata(1, .l2Table)
        l2.forget(new, count: Int64(size))
        if let old {
            // The shared table is clean in the cache: it was written back when it became shared.
            let copy = AlignedBuffer(count: size)
            try l2.writeBackIfDirty(self)
            try file.read(copy.region, at: old)
            try file.write(copy.region, at: new)
            freeList.add(old, Int64(size), discards: false)
        } else {
            try file.writeTableOfZeroes(at: new, count: size)
        }
        l1[index] = UInt64(new) | L2Entry.copied
        changedL1.insert(index)
    }

    /// Takes clusters in a row for metadata.
    func allocateMetadata(_ clusters: Int, _ purpose: RefcountStore.Purpose) throws(BlockError) -> Int64 {
        let offset = try refcounts.allocateRow(clusters, for: purpose)
        reserved.insert(cluster: offset >> Int64(geometry.clusterBits), count: Int64(clusters))
        return offset
    }
}

extension TableCache {
    /// Writes changed tables in the right order if there are any.
    func writeBackIfDirty(_ node: QCOW2Node) throws(BlockError) {
        if dirtyCount > 0 { try node.writeMetadata() }
    }
}
