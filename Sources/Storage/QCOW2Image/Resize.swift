// SPDX-License-Identifier: Apache-2.0

public import BlockLayer
internal import HostSystem

extension QCOW2Node: ResizableNode {
    /// Changes the virtual disk's size.
    public func resize(to newLength: Int64, preallocation: Preallocation, exact: Bool) throws(BlockError) {
        try checkWritable()
        guard newLength & 511 == 0 else {
            throw BlockError(.invalidArgument, "The new size must be a multiple of 512")
        }
        let old = length
        if header.version < 3, lock.withLock({ !snapshotList.isEmpty }) {
            throw BlockError(.notSupported, "Can't resize a v2 image which has snapshots")
        }
        if newLength < old, preallocation != .off {
            throw BlockError(.notSupported, "Preallocation can't be used for shrinking an image")
        }
        guard newLength < Int64.max - Int64(geometry.clusterSize),
            header.l1EntriesNeeded(for: newLength) * 8 <= Format.maximumL1Size
        else { throw BlockError(.outOfRange, "The new size is too large for this image's clusters") }
        if newLength != old, header.version < 3, !snapshotList.isEmpty {
            throw BlockError(.notSupported, "Can't resize a v2 image which has snapshots")
        }
        if newLength < old {
            try shrink(to: newLength)
        } else if newLength > old {
            try grow(to: newLength)
            // The tables must not be needed to read a raw data file: they say that everything is there.
            let isRaw = header.autoClear & Format.AutoClear.rawDataFile != 0
            try preallocate(isRaw && preallocation == .off ? .metadata : preallocation, from: old, to: newLength)
        }
    }

    private func shrink(to newLength: Int64) throws(BlockError) {
        let oldEnd = geometry.roundUp(length)
        try exclusively { () throws(BlockError) in
            try discardingBlocks { () throws(BlockError) in
                // What contradicts itself is found before the disk changes; a block that nothing counts is of no use.
                for block in try unusedBlocks() {
                    do throws(BlockError) {
                        _ = try isCoveredByOther(block)
                    } catch {
                        try refcounts.drop([block])
                        throw error
                    }
                }
            }
            try resizeBitmaps(to: newLength)
            // First the size says so, in one write: after a crash the disk is as it was, or short. What is still stored
            // behind its end then goes when it grows again.
            try settle()
            header.size = newLength
            try writeFixedHeader()
            try dropClusters(geometry.roundUp(newLength)..<oldEnd)
            for index in Int(
                header.l1EntriesNeeded(for: newLength))..<max(l1.count, Int(header.l1EntriesNeeded(for: newLength)))
            where l1[index] != 0 {
                let table = Int64(l1[index] & L2Entry.offsetMask)
                if table != 0 { freeList.add(table, Int64(geometry.clusterSize), discards: false) }
                l1[index] = 0
                changedL1.insert(index)
            }
            try settle()
            try discardingBlocks(dropUnusedBlocks)
            try settle()
            try cutFile()
        }
    }

    private func discardingBlocks(_ body: () throws(BlockError) -> Void) throws(BlockError) {
        do throws(BlockError) {
            try body()
        } catch {
            throw BlockError(system: error.errno, "Failed to discard unused refblocks")
        }
    }

    /// Refcount blocks that count nothing but themselves.
    private func unusedBlocks() throws(BlockError) -> [Int] {
        var unused: [Int] = []
        var seen: Set<UInt64> = []
        let buffer = AlignedBuffer(count: geometry.clusterSize)
        for (block, entry) in refcounts.table.enumerated() where entry != 0 && seen.insert(entry).inserted {
            guard entry & UInt64(geometry.clusterMask) == 0, entry <= UInt64(Int64.max) else {
                throw corruption(
                    "Cannot get entry from refcount block cache: Offset \(hexadecimal(entry)) is unaligned")
            }
            let cluster = entry >> UInt64(geometry.clusterBits)
            let isInFile = Int64(entry) < file.length
            if isInFile { try file.read(buffer.region, at: Int64(entry)) }
            if isInFile, covering(cluster) == UInt64(block) {
                let own = Int(cluster & UInt64(geometry.countsPerBlock - 1))
                RefcountCoding.set(buffer.region, own, 0, order: geometry.refcountOrder)
            }
            if !isInFile || buffer.region.isZero { unused.append(block) }
        }
        return unused
    }

    /// Refcount blocks that count nothing but themselves are freed, so that they do not keep the file long.
    private func dropUnusedBlocks() throws(BlockError) {
        let unused = try unusedBlocks()
        guard !unused.isEmpty else { return }
        // The counts are lowered once nothing refers to the blocks; a block that goes takes its own count along.
        var counted: [Int64] = []
        for block in unused where try isCoveredByOther(block) { counted.append(Int64(refcounts.table[block])) }
        let places = unused.map { Int64(refcounts.table[$0]) >> Int64(geometry.clusterBits) }
        try refcounts.drop(unused)
        for place in places { reserved.remove(cluster: place) }
        for offset in counted { freeList.add(offset, Int64(geometry.clusterSize), discards: false) }
    }

    /// Whether a refcount block is counted by another one; fails where no block counts it.
    private func isCoveredByOther(_ block: Int) throws(BlockError) -> Bool {
        let offset = refcounts.table[block]
        let covering = covering(offset >> UInt64(geometry.clusterBits))
        if covering == UInt64(block) { return false }
        guard covering < UInt64(refcounts.table.count), refcounts.table[Int(covering)] != 0 else {
            throw corruption("Refblock at \(hexadecimal(offset)) is not covered by the refcount structures")
        }
        return true
    }

    /// How many refcount blocks there are.
    package var refcountBlockCount: Int { lock.withLock { refcounts.table.count { $0 != 0 } } }

    private func covering(_ cluster: UInt64) -> UInt64 { cluster / UInt64(geometry.countsPerBlock) }

    /// Makes clusters unallocated. Called with the lock held.
    func dropClusters(_ range: Range<Int64>) throws(BlockError) {
        var guest = range.lowerBound
        while guest < range.upperBound {
            guard try l2TableOffset(geometry.l1Index(guest)) != nil else {
                guest = (guest / geometry.l2Coverage + 1) * geometry.l2Coverage
                continue
            }
            if let old = try l2Entry(guest), old.entry != 0 || old.bitmap != 0 {
                try makeL2Writable(guest)
                try setL2Entry(guest, 0)
                try freeOld(old.entry, discards: true)
                try relieve()
            }
            guest += Int64(geometry.clusterSize)
        }
    }

    /// Gives back what lies behind the last cluster in use.
    func cutFile() throws(BlockError) {
        guard let file = file as? any ResizableNode else { return }
        var last = geometry.clusters(file.length)
        while last > 0, try refcounts.count(of: last - 1) == 0 { last -= 1 }
        let end = last << Int64(geometry.clusterBits)
        if end < file.length { try file.resize(to: end, preallocation: .off, exact: false) }
    }

    private func grow(to newLength: Int64) throws(BlockError) {
        try clearBehindEnd(upTo: newLength)
        try exclusively { () throws(BlockError) in
            try resizeBitmaps(to: newLength)
            let needed = Int(header.l1EntriesNeeded(for: newLength))
            if needed > l1.count { try growL1(to: needed) }
            header.size = newLength
            try flushMetadata()
            try writeFixedHeader()
        }
        if geometry.hasDataFile, let data = data as? any ResizableNode, data.length < newLength,
            header.autoClear & Format.AutoClear.rawDataFile != 0
        {
            try data.resize(to: newLength, preallocation: .off, exact: false)
        }
    }

    /// What a longer disk once stored behind the end must not come back: clusters there go, and the rest of the last one is
    /// zeroed.
    private func clearBehindEnd(upTo newLength: Int64) throws(BlockError) {
        let end = geometry.roundUp(length)
        try exclusively { () throws(BlockError) in
            let covered = Int64(l1.count) * geometry.l2Coverage
            try dropClusters(end..<max(end, min(geometry.roundUp(newLength), covered)))
        }
        var offset = length
        let limit = min(end, newLength)
        while offset < limit {
            let position = offset
            let extent = try lock.withLock { () throws(BlockError) in
                try lookup(position, limit: limit - position)
            }
            if extent.kind == .normal || extent.kind == .compressed {
                let zeroes = AlignedBuffer(zeroed: Int(extent.count))
                try writeExtents([zeroes.region], at: position, isState: true)
            }
            offset += extent.count
        }
    }

    /// Moves the L1 table to a place where it is longer. Called with the lock held and no write under way.
    func growL1(to entries: Int) throws(BlockError) {
        try flushMetadata()
        let clusters = Int(geometry.clusters(Int64(entries) * 8))
        let new = try allocateMetadata(clusters, .table)
        isUnflushed = true
        let bytes = AlignedBuffer(zeroed: clusters * geometry.clusterSize)
        for (index, entry) in l1.enumerated() { bytes.region.storeBigEndian(entry, at: index * 8) }
        try file.write(bytes.region, at: new)
        try flushMetadata()
        let old = (header.l1Offset, geometry.clusters(Int64(l1.count) * 8))
        var next = header
        next.l1Offset = new
        next.l1Size = entries
        try switchHeader(to: next)
        l1 += repeatElement(0, count: entries - l1.count)
        if old.1 > 0 { freeList.add(old.0, old.1 * Int64(geometry.clusterSize), discards: false) }
    }

    /// Allocates the clusters of a range that just came to the disk.
    func preallocate(_ mode: Preallocation, from old: Int64, to newLength: Int64) throws(BlockError) {
        guard mode != .off, newLength > old else { return }
        if geometry.hasDataFile, let data = data as? any ResizableNode, data.length < newLength {
            try data.resize(to: newLength, preallocation: mode == .metadata ? .off : mode, exact: false)
        }
        guard mode == .metadata || geometry.hasDataFile else {
            return try reserve(mode, from: old, to: geometry.roundUp(newLength))
        }
        var start = old
        if old & geometry.clusterMask != 0, (backing?.length ?? 0) > geometry.clusterStart(old) {
            // What the backing file has before the old end stays, what it has behind it must not shine through.
            start = min(geometry.roundUp(old), newLength)
            try write(AlignedBuffer(zeroed: Int(start - old)).region, at: old, flags: [])
        }
        if geometry.hasDataFile { return try mapWithoutData(from: start, to: newLength) }
        try mapWithEnd(from: start, to: newLength)
    }

    private func mapWithEnd(from old: Int64, to newLength: Int64) throws(BlockError) {
        try mapWithoutData(from: old, to: newLength)
        try lock.withLock { () throws(BlockError) in
            let end = try allocatedEnd()
            guard let resizable = file as? any ResizableNode, file.length < end else { return }
            try resizable.resize(to: end, preallocation: .off, exact: false)
        }
    }

    /// Reserves host storage for clusters in one row at the end of the file, then maps it. A cluster of which only the
    /// first part was in the disk moves there.
    private func reserve(_ mode: Preallocation, from old: Int64, to end: Int64) throws(BlockError) {
        let size = Int64(geometry.clusterSize)
        let start = geometry.clusterStart(old)
        guard start < end, let resizable = file as? any ResizableNode else { return }
        let head = AlignedBuffer(zeroed: Int(old - start))
        if old > start { try read(head.region, at: start) }
        try exclusively { () throws(BlockError) in
            try flushMetadata()
            let count = Int((end - start) / size)
            let place = try refcounts.allocateRow(
                count, behind: try allocatedEnd() / size, tables: count / geometry.l2Entries + 2)
            // The old refcount table's place is free for L2 tables.
            try flushMetadata()
            isUnflushed = true
            do throws(BlockError) {
                try resizable.resize(to: place + Int64(count) * size, preallocation: mode, exact: false)
            } catch {
                try refcounts.add(-1, offset: place, count: Int64(count) * size)
                throw error.prefixed("Failed to resize underlying file: ")
            }
            if old > start { try store([head.region], host: place, guest: start) }
            // With extended entries, what must not shine through counts as written.
            let isFilled = (backingNode?.length ?? 0) > old
            for index in 0..<Int64(count) {
                let kept = index == 0 && old > start ? subclusterMask(start..<old, start) : 0
                try mapReserved(start + index * size, to: place + index * size, isFilled ? 0xffff_ffff : kept)
            }
        }
    }

    /// Called with the lock held.
    private func mapReserved(_ guest: Int64, to host: Int64, _ bitmap: UInt64) throws(BlockError) {
        if guest & (geometry.l2Coverage - 1) == 0 { try relieve() }
        try makeL2Writable(guest)
        let old = try l2Entry(guest)
        try setL2Entry(guest, UInt64(host) | L2Entry.copied, bitmap: bitmap)
        if let old { try freeOld(old.entry, discards: false) }
    }

    private func allocatedEnd() throws(BlockError) -> Int64 {
        var cluster = geometry.clusters(file.length)
        while try refcounts.count(of: cluster) != 0 { cluster += 1 }
        return cluster << Int64(geometry.clusterBits)
    }

    /// Gives every cluster of a range that has none a host cluster, without writing to it.
    private func mapWithoutData(from old: Int64, to newLength: Int64) throws(BlockError) {
        var guest = geometry.clusterStart(old)
        let end = geometry.roundUp(newLength)
        let coverage =
            Int64(min(geometry.clusterSize, Self.longestStretch) / geometry.entrySize)
            << Int64(geometry.clusterBits)
        while guest < end {
            try lock.withLock { () throws(BlockError) in
                try relieve()
                isUnflushed = true
                try makeL2Writable(guest)
                let stretchEnd = min((guest / coverage + 1) * coverage, end)
                while guest < stretchEnd { try mapRow(&guest, stretchEnd) }
            }
        }
    }

    /// The bytes of an L2 table whose clusters are taken in one row.
    private static var longestStretch: Int { 64 << 10 }

    /// Maps the row of unmapped clusters from an offset on. Called with the lock held.
    private func mapRow(_ guest: inout Int64, _ end: Int64) throws(BlockError) {
        let size = Int64(geometry.clusterSize)
        var count: Int64 = 0
        while guest + count * size < end, try l2Entry(guest + count * size)?.entry == 0 { count += 1 }
        guard count > 0 else {
            guest += size
            return
        }
        let host = geometry.hasDataFile ? guest : try refcounts.allocateRow(Int(count), for: .data)
        if !geometry.hasDataFile, host < file.length {
            // Clusters that were in use before hold what was in them.
            try file.writeZeroes(at: host, count: min(count * size, file.length - host), flags: [])
        }
        for index in 0..<count {
            // Unallocated subclusters of an allocated cluster still read from the backing file.
            let bitmap = try l2Entry(guest)?.bitmap ?? 0
            try setL2Entry(guest, UInt64(host + index * size) | L2Entry.copied, bitmap: bitmap)
            guest += size
        }
    }
}
