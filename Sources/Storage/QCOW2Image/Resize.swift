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
            if let bitmap = bitmapList.first {
                throw BlockError(
                    .notSupported,
                    "Cannot resize qcow2 image with persistent bitmap '\(bitmap.information.name)'; remove it first")
            }
            // First nothing refers to the part any more, then the size says so.
            try dropClusters(geometry.roundUp(newLength)..<oldEnd)
            for index in Int(
                header.l1EntriesNeeded(for: newLength))..<max(l1.count, Int(header.l1EntriesNeeded(for: newLength)))
            where l1[index] != 0 {
                let table = Int64(l1[index] & L2Entry.offsetMask)
                if table != 0 { freeList.add(table, Int64(geometry.clusterSize), discards: false) }
                l1[index] = 0
                changedL1.insert(index)
            }
            do throws(BlockError) {
                try checkBlocksAreCovered()
            } catch {
                throw BlockError(system: error.errno, "Failed to discard unused refblocks")
            }
            try settle()
            header.size = newLength
            try writeFixedHeader()
            try cutFile()
        }
    }

    /// Before the file is cut: refcount blocks that count nothing or lie nowhere must not be taken for what is behind.
    private func checkBlocksAreCovered() throws(BlockError) {
        for entry in refcounts.table where entry != 0 {
            let cluster = entry >> UInt64(geometry.clusterBits)
            let covering = cluster / UInt64(geometry.countsPerBlock)
            guard covering < UInt64(refcounts.table.count), refcounts.table[Int(covering)] != 0 else {
                throw corruption("Refblock at \(hexadecimal(entry)) is not covered by the refcount structures")
            }
            let block = refcounts.table[Int(covering)]
            guard block & UInt64(geometry.clusterMask) == 0 else {
                throw corruption(
                    "Cannot get entry from refcount block cache: Offset \(hexadecimal(block)) is unaligned")
            }
        }
    }

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
        try exclusively { () throws(BlockError) in
            try extendBitmaps(to: newLength)
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
        guard mode != .off else { return }
        if geometry.hasDataFile {
            if let data = data as? any ResizableNode, data.length < newLength {
                try data.resize(to: newLength, preallocation: mode == .metadata ? .off : mode, exact: false)
            }
            return try mapWithoutData(from: old, to: newLength)
        }
        let before = file.length
        try mapWithoutData(from: old, to: newLength)
        try lock.withLock { () throws(BlockError) in
            guard let resizable = file as? any ResizableNode else { return }
            let end = max(try allocatedEnd(), file.length)
            if mode == .metadata {
                if file.length < end { try resizable.resize(to: end, preallocation: .off, exact: false) }
            } else {
                // Tables are at the front of the new part; only what lies behind may be reserved anew.
                if file.length < end { try resizable.resize(to: end, preallocation: mode, exact: false) }
                try reserveInside(from: before, mode: mode)
            }
        }
    }

    /// Reserves what lies between the tables that were written meanwhile.
    private func reserveInside(from start: Int64, mode: Preallocation) throws(BlockError) {
        guard mode == .full else { return }
        var position = start
        let chunk = AlignedBuffer(zeroed: 1 << 20)
        while position < file.length {
            let status = try file.status(at: position, count: file.length - position, detail: .mapping)
            guard status.count > 0 else { break }
            var rest = status.isZero ? status.count : 0
            var place = position
            while rest > 0 {
                let part = Int(min(rest, Int64(chunk.region.count)))
                try file.write(chunk.region.slice(0, part), at: place)
                place += Int64(part)
                rest -= Int64(part)
            }
            position += status.count
        }
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
        let size = Int64(geometry.clusterSize)
        while guest < end {
            try lock.withLock { () throws(BlockError) in
                try relieve()
                isUnflushed = true
                try makeL2Writable(guest)
                let tableEnd = min((guest / geometry.l2Coverage + 1) * geometry.l2Coverage, end)
                while guest < tableEnd {
                    guard try l2Entry(guest)?.entry == 0 else {
                        guest += size
                        continue
                    }
                    let wanted = Int((tableEnd - guest) / size)
                    let taken =
                        geometry.hasDataFile ? (offset: guest, count: wanted) : try refcounts.allocate(min(wanted, 512))
                    if !geometry.hasDataFile, taken.offset < file.length {
                        // Clusters that were in use before hold what was in them.
                        let count = Int64(taken.count) * size
                        try file.writeZeroes(at: taken.offset, count: min(count, file.length - taken.offset), flags: [])
                    }
                    for index in 0..<taken.count where try l2Entry(guest)?.entry == 0 {
                        let host = UInt64(taken.offset + Int64(index) * size)
                        // Unallocated subclusters of an allocated cluster still read from the backing file.
                        try setL2Entry(guest, host | L2Entry.copied)
                        guest += size
                    }
                }
            }
        }
    }
}
