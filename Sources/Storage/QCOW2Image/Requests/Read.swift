// SPDX-License-Identifier: Apache-2.0

public import BlockLayer
internal import HostSystem

extension QCOW2Node {
    /// Reads guest bytes.
    public func read(_ region: ByteRegion, at offset: Int64) throws(BlockError) {
        if region.count == 0 { return }
        lock.lock()
        if let host = recentPlace(offset, Int64(region.count), isWrite: false) {
            let token = freeList.beginRead()
            lock.unlock()
            defer { freeList.endRead(token) }
            return try data.read(region, at: host)
        }
        try readExtents(region, at: offset, isState: false, isLocked: true)
    }

    /// Reads extent by extent.
    /// - Parameters:
    ///   - isState: machine state behind the disk, which no backing file holds.
    ///   - isLocked: the caller has taken the lock, which is given back.
    func readExtents(
        _ region: ByteRegion, at offset: Int64, isState: Bool, isLocked: Bool = false
    ) throws(BlockError) {
        var done = 0
        while done < region.count {
            let position = offset &+ Int64(done)
            if done > 0 || !isLocked { lock.lock() }
            let extent: Extent
            let token: Int
            let backing: (any BlockNode)?
            do {
                let rest = Int64(region.count - done)
                if !isState { try checkRequest(position, rest) }
                extent = try lookup(position, limit: rest)
                if extent.kind == .normal { remember(extent, at: position) }
                token = freeList.beginRead()
                backing = isState ? nil : backingNode
                lock.unlock()
            } catch {
                lock.unlock()
                throw error
            }
            defer { freeList.endRead(token) }
            let count = Int(extent.count)
            try fetch(
                count == region.count ? region : region.slice(done, count), extent, at: position, backing: backing)
            done += count
        }
    }

    /// The place of a range of the disk inside one cluster that is remembered. Called with the lock held.
    @inline(__always)
    func recentPlace(_ offset: Int64, _ count: Int64, isWrite: Bool) -> Int64? {
        let within = offset & geometry.clusterMask
        guard remembersPlaces, !isBroken, offset >= 0, within + count <= Int64(geometry.clusterSize),
            offset <= header.size - count,
            let host = recent.host(
                of: offset >> Int64(geometry.clusterBits), version: placesVersion, isWrite: isWrite)
        else { return nil }
        return host + within
    }

    /// Notes where the first cluster of an extent lies. Called with the lock held.
    func remember(_ extent: Extent, at offset: Int64, isWritable: Bool = false) {
        guard remembersPlaces else { return }
        recent.remember(
            offset >> Int64(geometry.clusterBits), at: extent.host - (offset & geometry.clusterMask),
            version: placesVersion, isWritable: isWritable)
    }

    /// Reads into several regions; with one call below where the range lies in one piece.
    public func read(_ regions: [ByteRegion], at offset: Int64) throws(BlockError) {
        if regions.count == 1 { return try read(regions[0], at: offset) }
        let total = regions.reduce(0) { $0 &+ Int64($1.count) }
        lock.lock()
        var direct: Int64?
        var token = 0
        do {
            try checkRequest(offset, total)
            if regions.count > 1, cipher == nil, total > 0 {
                let extent = try lookup(offset, limit: total)
                if extent.kind == .normal, extent.count == total {
                    direct = extent.host
                    token = freeList.beginRead()
                }
            }
            lock.unlock()
        } catch {
            lock.unlock()
            throw error
        }
        if let direct {
            defer { freeList.endRead(token) }
            events?.note(event: "read_aio")
            return try data.read(regions, at: direct)
        }
        var position = offset
        for region in regions {
            try read(region, at: position)
            position &+= Int64(region.count)
        }
    }

    /// Called with the lock held.
    func checkRequest(_ offset: Int64, _ count: Int64) throws(BlockError) {
        try checkUsable()
        guard offset >= 0, offset <= header.size, count <= header.size - offset else {
            throw BlockError(
                .outOfRange,
                "\(location.filename): the range of \(count) bytes at \(offset) is not inside the \(header.size) bytes there",
                errno: .inputOutput)
        }
    }

    /// Fills a region from what a lookup found. Called without the lock.
    func fetch(
        _ region: ByteRegion, _ extent: Extent, at offset: Int64, backing: (any BlockNode)?
    ) throws(BlockError) {
        switch extent.kind {
        case .normal:
            events?.note(event: "read_aio")
            guard let cipher else { return try data.read(region, at: extent.host) }
            try fetchEncrypted(region, extent.host, at: offset, cipher)
        case .zeroPlain, .zeroAllocated:
            region.fill(0)
        case .unallocated:
            guard let backing else { return region.fill(0) }
            try backing.readPadded(region, at: offset)
        case .compressed:
            let within = Int(offset & geometry.clusterMask)
            if within == 0, region.count == geometry.clusterSize {
                return try decompress(extent.entry, into: region)
            }
            try codec.withCached(extent.entry, node: self) { cluster in
                region.copy(from: cluster.slice(within, region.count))
            }
        }
    }

    private func fetchEncrypted(
        _ region: ByteRegion, _ host: Int64, at offset: Int64, _ cipher: any ClusterCipher
    ) throws(BlockError) {
        let head = Int(offset & 511)
        let count = (head + region.count + 511) & ~511
        let bounce = AlignedBuffer(count: count)
        try data.read(bounce.region, at: host - Int64(head))
        try cipher.decrypt(bounce.region, guestOffset: offset - Int64(head), hostOffset: host - Int64(head))
        region.copy(from: bounce.region.slice(head, region.count))
    }

    /// Reads the compressed form of a cluster and decompresses it.
    func decompress(_ entry: UInt64, into region: ByteRegion) throws(BlockError) {
        let range = geometry.compressedRange(entry)
        let packed = AlignedBuffer(count: range.count)
        try file.read(packed.region, at: range.offset)
        try codec.decompress(packed.region, into: region)
    }
}

extension BlockNode {
    /// Reads a range that may reach past the end, where it is zeroes: a backing image can be shorter than its overlay.
    func readPadded(_ region: ByteRegion, at offset: Int64) throws(BlockError) {
        let inside = Int(max(min(Int64(region.count), length - offset), 0))
        if inside > 0 { try read(region.slice(0, inside), at: offset) }
        if inside < region.count { region.from(inside).fill(0) }
    }
}
