// SPDX-License-Identifier: Apache-2.0

public import BlockLayer
internal import HostSystem

/// How one part of a write is carried out.
enum WritePlan {
    /// Over clusters that are there and belong to this disk alone.
    case inPlace(host: Int64, count: Int64)
    /// To clusters that the L2 table will refer to afterwards.
    case allocating(AllocatingWrite)
}

/// A write that changes L2 entries of a row of clusters.
struct AllocatingWrite {
    /// The first cluster's guest offset.
    let guest: Int64
    /// Its host offset.
    let host: Int64
    let clusters: Int
    /// The guest bytes that the request gives.
    let written: Range<Int64>
    /// The guest bytes that have to be filled before and after them, from what was there.
    let filled: Range<Int64>
    /// The host clusters are new: on failure they are given back.
    let isNew: Bool
    /// What is not written reads as zeroes in the file already.
    let isFresh: Bool
    /// The disk read as zeroes or had nothing there before: nothing has to be copied.
    let oldReadsZero: Bool
    /// The entries before, with bitmaps.
    let old: [(entry: UInt64, bitmap: UInt64)]
}

extension QCOW2Node {
    /// Writes guest bytes.
    public func write(_ region: ByteRegion, at offset: Int64, flags: WriteFlags) throws(BlockError) {
        try checkWritable()
        if let (host, ticket) = beginRecentWrite(offset, Int64(region.count)) {
            defer { end(ticket) }
            try data.write(region, at: host, flags: [])
        } else {
            try writeExtents([region], at: offset, isState: false)
        }
        if flags.contains(.forceUnitAccess) || self.flags.cache.isWriteThrough { try flush() }
    }

    /// Writes guest bytes from several regions.
    public func write(_ regions: [ByteRegion], at offset: Int64, flags: WriteFlags) throws(BlockError) {
        if regions.count == 1 { return try write(regions[0], at: offset, flags: flags) }
        try checkWritable()
        try writeExtents(regions, at: offset, isState: false)
        if flags.contains(.forceUnitAccess) || self.flags.cache.isWriteThrough { try flush() }
    }

    /// Writes part by part.
    /// - Parameter isState: machine state behind the disk.
    func writeExtents(_ regions: [ByteRegion], at offset: Int64, isState: Bool) throws(BlockError) {
        let total = regions.reduce(0) { $0 &+ Int64($1.count) }
        var done: Int64 = 0
        while done < total {
            let position = offset &+ done
            let (plan, ticket) = try beginWrite(position, total - done, isState: isState)
            do {
                switch plan {
                case .inPlace(let host, let count):
                    let part = count == total ? regions : regions.part(done, count)
                    try store(part, host: host, guest: position)
                    done += count
                    end(ticket)
                case .allocating(let write):
                    try storeAllocating(write, regions.part(done, Int64(write.written.count)))
                    done += Int64(write.written.count)
                    end(ticket)
                }
            } catch {
                end(ticket)
                throw error
            }
        }
    }

    private func end(_ ticket: UInt64) {
        lock.lock()
        isUnflushed = true
        tracker.end(ticket)
        lock.unlock()
    }

    /// Begins a write inside one cluster that was written in place before; nil when it has to be planned.
    private func beginRecentWrite(_ offset: Int64, _ count: Int64) -> (host: Int64, ticket: UInt64)? {
        lock.lock()
        defer { lock.unlock() }
        guard count > 0, let host = recentPlace(offset, count, isWrite: true) else { return nil }
        return beginInPlace(offset, count).map { (host, $0) }
    }

    /// Notes a write in place as under way, where nothing keeps it from going on at once. Called with the lock held.
    func beginInPlace(_ offset: Int64, _ count: Int64) -> UInt64? {
        guard bitmapList.isEmpty, !l2.isPressed, !refcounts.cache.isPressed else { return nil }
        let range = geometry.clusterStart(offset)..<geometry.roundUp(offset + count)
        return tracker.conflicts(range, isExclusive: false) ? nil : tracker.begin(range, isExclusive: false)
    }

    /// Decides how the write goes on at a position, and notes it as under way.
    private func beginWrite(
        _ offset: Int64, _ count: Int64, isState: Bool
    ) throws(BlockError) -> (WritePlan, UInt64) {
        try lock.withLock { () throws(BlockError) in
            if isState { try checkUsable() } else { try checkRequest(offset, count) }
            try relieve()
            while true {
                let extent = try inPlaceExtent(offset, count)
                let isExclusive = extent == nil
                let length = extent?.count ?? allocationLimit(offset, count)
                let range = geometry.clusterStart(offset)..<geometry.roundUp(offset + length)
                if tracker.conflicts(range, isExclusive: isExclusive) {
                    tracker.wait()
                    continue
                }
                if !isState { try noteDirty(offset, extent?.count ?? length) }
                if let extent {
                    return (.inPlace(host: extent.host, count: extent.count), tracker.begin(range, isExclusive: false))
                }
                let write = try planAllocation(offset, length)
                let end = write.guest + Int64(write.clusters) * Int64(geometry.clusterSize)
                return (.allocating(write), tracker.begin(write.guest..<end, isExclusive: true))
            }
        }
    }

    /// The longest stretch that one allocating write covers: to the end of the L2 slice, at most 2 MiB or a cluster.
    private func allocationLimit(_ offset: Int64, _ count: Int64) -> Int64 {
        let perSlice = Int64(l2.sliceSize / geometry.entrySize) << Int64(geometry.clusterBits)
        let sliceEnd = (offset / perSlice + 1) * perSlice
        let longest = max(Int64(geometry.clusterSize), 2 << 20)
        return min(count, sliceEnd - offset, geometry.clusterStart(offset) + longest - offset)
    }

    /// The run from `offset` on that can be written in place, nil when its first cluster cannot.
    func inPlaceExtent(_ offset: Int64, _ limit: Int64) throws(BlockError) -> Extent? {
        guard let table = try l2TableOffset(geometry.l1Index(offset)),
            l1[geometry.l1Index(offset)] & L2Entry.copied != 0
        else { return nil }
        guard try mayBeInPlace(offset, table) else { return nil }
        var extent = try lookup(offset, limit: limit)
        guard extent.kind == .normal else { return nil }
        // The lookup does not look at the flag; shorten the run to the clusters that have it.
        let place = try l2.slice(at: table + Int64(geometry.l2Index(offset) * geometry.entrySize))
        let region = l2.region(place.slot)
        var covered: Int64 = 0
        var position = place.position
        while covered < extent.count {
            let entry: UInt64 = region.bigEndian(at: position)
            if entry & L2Entry.copied == 0 { break }
            covered =
                geometry.clusterStart(offset) + Int64((position - place.position) / geometry.entrySize + 1)
                * Int64(geometry.clusterSize) - offset
            position += geometry.entrySize
        }
        guard covered > 0 else { return nil }
        extent.count = min(extent.count, covered)
        try refuseMetadata(extent.host, extent.count)
        try refuseUncounted(extent.host, extent.count)
        // The rest of the first cluster is as good, unless the file ends there.
        let end = extent.host - (offset & geometry.clusterMask) + Int64(geometry.clusterSize)
        if geometry.hasDataFile || end <= file.length { remember(extent, at: offset, isWritable: true) }
        return extent
    }

    /// Whether the cluster of an offset belongs to this disk alone; fails when it is not where a cluster can be.
    private func mayBeInPlace(_ offset: Int64, _ table: Int64) throws(BlockError) -> Bool {
        let place = try l2.slice(at: table + Int64(geometry.l2Index(offset) * geometry.entrySize))
        let entry: UInt64 = l2.region(place.slot).bigEndian(at: place.position)
        guard entry & L2Entry.copied != 0, entry & L2Entry.compressed == 0 else { return false }
        let host = entry & L2Entry.offsetMask
        guard host & UInt64(geometry.clusterMask) == 0 else {
            let guest = UInt64(geometry.clusterStart(offset))
            throw corruption(
                "\(entry & L2Entry.zero != 0 ? "Preallocated zero" : "Data") cluster offset \(hexadecimal(host)) unaligned (guest offset: \(hexadecimal(guest)))"
            )
        }
        return true
    }

    /// Fails when a write in place would make the file longer over clusters that nobody has allocated.
    private func refuseUncounted(_ host: Int64, _ count: Int64) throws(BlockError) {
        guard !geometry.hasDataFile, host + count > file.length else { return }
        let bits = Int64(geometry.clusterBits)
        for cluster in host >> bits...(host + count - 1) >> bits where try refcounts.count(of: cluster) == 0 {
            throw corruption(
                "Data cluster offset \(hexadecimal(UInt64(host))) lies past the end of the file and is not allocated")
        }
    }

    /// Writes data to host offsets, enciphered where the image is.
    func store(_ regions: [ByteRegion], host: Int64, guest: Int64) throws(BlockError) {
        events?.note(event: "write_aio")
        guard let cipher else {
            if regions.count == 1 { return try data.write(regions[0], at: host, flags: []) }
            return try data.write(regions, at: host, flags: [])
        }
        let total = regions.reduce(0) { $0 &+ $1.count }
        let head = Int(guest & 511)
        let count = (head + total + 511) & ~511
        let bounce = AlignedBuffer(count: count)
        if head != 0 || count != total {
            // Sectors are enciphered as a whole: the edges come from what is there.
            try data.read(bounce.region, at: host - Int64(head))
            try cipher.decrypt(bounce.region, guestOffset: guest - Int64(head), hostOffset: host - Int64(head))
        }
        var position = head
        for region in regions {
            bounce.region.from(position).copy(from: region)
            position += region.count
        }
        try cipher.encrypt(bounce.region, guestOffset: guest - Int64(head), hostOffset: host - Int64(head))
        try data.write(bounce.region, at: host - Int64(head))
    }
}

extension Array<ByteRegion> {
    /// The regions that make up a part of the whole.
    func part(_ offset: Int64, _ count: Int64) -> [ByteRegion] {
        if offset == 0, self.count == 1, Int64(self[0].count) == count { return self }
        var result: [ByteRegion] = []
        var skip = Int(offset)
        var rest = Int(count)
        for region in self where rest > 0 {
            if skip >= region.count {
                skip -= region.count
                continue
            }
            let length = Swift.min(region.count - skip, rest)
            result.append(region.slice(skip, length))
            rest -= length
            skip = 0
        }
        return result
    }
}
