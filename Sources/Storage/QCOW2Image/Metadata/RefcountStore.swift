// SPDX-License-Identifier: Apache-2.0

internal import BlockLayer
internal import HostSystem

/// The counts of references to host clusters: looking them up, changing them and finding free clusters.
///
/// Changes stay in the cache until `writeBack`; entries of the refcount table for new blocks are written by
/// `writeTable`, after the blocks are durable. Guarded by the node's lock.
final class RefcountStore {
    private(set) var geometry: Geometry
    let file: any BlockNode
    let cache: TableCache
    /// Offsets of the refcount blocks, 0 where there is none; empty until `load`.
    var table: [UInt64] = []
    private var isLoaded = false
    var tableOffset: Int64
    var tableClusters: Int
    var changedEntries: Set<Int> = []
    /// Two entries of the table name the same cluster, or one names a cluster of other metadata.
    var isDisputed = false
    /// No free cluster is below this one, as far as is known.
    var freeHint: Int64 = 0
    /// Writes new places of the table into the header, durably.
    var updateHeader: (_ tableOffset: Int64, _ tableClusters: Int) throws(BlockError) -> Void = { _, _ in }
    /// Fails when clusters that seem to be free hold metadata.
    var vet: (_ offset: Int64, _ clusters: Int, _ purpose: Purpose) throws(BlockError) -> Void = { _, _, _ in }
    /// Fails when a block is more than a block.
    var vetBlock: (_ offset: Int64) throws(BlockError) -> Void = { _ in }
    /// Marks the image as corrupt and makes the error for it.
    var corruption: (_ text: String) -> BlockError = { BlockError(.corrupt, $0) }
    /// Gets a block's cluster that is taken now.
    var reserve: (_ offset: Int64, _ clusters: Int) -> Void = { _, _ in }
    /// Gets clusters of a table that was replaced.
    var release: (_ offset: Int64, _ clusters: Int) -> Void = { _, _ in }

    /// What clusters are taken for; it decides the words when they turn out to be in use.
    enum Purpose {
        case data, compressed, l2Table, refcountBlock, table

        /// What messages call the thing when it would go to the beginning of the file.
        var nameAtZero: String? {
            switch self {
            case .compressed: "compressed cluster"
            case .l2Table: "L2 table"
            case .refcountBlock: "refcount block"
            case .data, .table: nil
            }
        }
    }

    /// - Parameter isDeferred: the table is read when a count is asked for first, which with an image that is only read
    ///   is never.
    init(
        file: any BlockNode, header: Header, geometry: Geometry, memory: Int, isDeferred: Bool
    ) throws(BlockError) {
        self.file = file
        self.geometry = geometry
        tableOffset = header.refcountTableOffset
        tableClusters = header.refcountTableClusters
        cache = TableCache(file: file, clusterSize: geometry.clusterSize, memory: memory)
        if !isDeferred { try load() }
    }

    /// Reads the table, unless that was done.
    func load() throws(BlockError) {
        guard !isLoaded else { return }
        let entries = tableClusters * geometry.clusterSize / 8
        var loaded: [UInt64] = []
        loaded.reserveCapacity(entries)
        let chunk = AlignedBuffer(count: min(entries * 8, Self.chunkSize))
        while loaded.count < entries {
            let count = min(entries - loaded.count, chunk.region.count / 8)
            do {
                try file.read(chunk.region.slice(0, count * 8), at: tableOffset + Int64(loaded.count) * 8)
            } catch {
                throw BlockError(system: error.errno, "Could not initialize refcount handling")
            }
            for index in 0..<count { loaded.append(chunk.region.bigEndian(at: index * 8)) }
        }
        table = loaded
        isLoaded = true
    }

    private static let chunkSize = 64 << 10

    /// Clusters that the table in its present length can count.
    var coveredClusters: Int64 { Int64(table.count) * Int64(geometry.countsPerBlock) }

    var blockBits: Int { geometry.clusterBits + 3 - geometry.refcountOrder }

    /// The offset of a refcount block, 0 when there is none; fails on one that cannot be.
    func blockOffset(_ block: Int) throws(BlockError) -> Int64 {
        if !isLoaded { try load() }
        guard block < table.count else { return 0 }
        let entry = table[block]
        guard entry & 0x1ff == 0, entry <= UInt64(Int64.max), Int64(entry) & geometry.clusterMask == 0 else {
            throw corruption(
                "Refblock offset \(hexadecimal(entry)) unaligned (reftable index: \(hexadecimal(UInt64(block))))")
        }
        return Int64(entry)
    }

    func locate(_ cluster: Int64) throws(BlockError) -> (slot: Int, index: Int)? {
        let block = Int(cluster >> Int64(blockBits))
        let offset = try blockOffset(block)
        guard offset != 0 else { return nil }
        let index = Int(cluster) & (geometry.countsPerBlock - 1)
        let perSlice = (cache.sliceSize * 8) >> geometry.refcountOrder
        let found = try cache.slice(at: offset + Int64(index / perSlice) * Int64(cache.sliceSize))
        return (found.slot, index & (perSlice - 1))
    }

    /// The count of a host cluster.
    func count(of cluster: Int64) throws(BlockError) -> UInt64 {
        guard let place = try locate(cluster) else { return 0 }
        return RefcountCoding.get(cache.region(place.slot), place.index, order: geometry.refcountOrder)
    }

    /// The counts of consecutive clusters, as many as one slice holds; those above 65535 count as that.
    /// - Returns: at least one count.
    func stretch(from start: Int64, limit: Int64) throws(BlockError) -> [UInt16] {
        let perSlice = (cache.sliceSize * 8) >> geometry.refcountOrder
        let within = Int(start) & (perSlice - 1)
        let count = Int(min(Int64(perSlice - within), limit - start))
        guard let place = try locate(start) else { return Array(repeating: 0, count: count) }
        let region = cache.region(place.slot)
        let order = geometry.refcountOrder
        return (0..<count).map { index in
            UInt16(clamping: RefcountCoding.get(region, place.index + index, order: order))
        }
    }

    /// Sets the count of a cluster whose block exists, or makes the block.
    func setCount(_ value: UInt64, of cluster: Int64) throws(BlockError) {
        guard value <= geometry.maximumRefcount else {
            throw BlockError(
                .outOfRange, "A cluster's reference count would exceed its \(1 << geometry.refcountOrder) bits")
        }
        try ensureBlock(Int(cluster >> Int64(blockBits)))
        if isDisputed { try vetBlock(try blockOffset(Int(cluster >> Int64(blockBits)))) }
        guard let place = try locate(cluster) else { return }
        RefcountCoding.set(cache.region(place.slot), place.index, value, order: geometry.refcountOrder)
        cache.markDirty(place.slot)
        if value == 0 { freeHint = min(freeHint, cluster) }
    }

    /// Adds to the counts of a range of host bytes; for subtracting see the node's list of what is to be freed.
    func add(_ difference: Int64, offset: Int64, count: Int64) throws(BlockError) {
        guard count > 0 else { return }
        for cluster in offset >> Int64(geometry.clusterBits)...(offset + count - 1) >> Int64(geometry.clusterBits) {
            let old = try self.count(of: cluster)
            guard difference >= 0 || old >= UInt64(-difference) else {
                throw BlockError(.corrupt, "Cluster \(cluster) is released more often than it is referenced")
            }
            let (sum, overflow) = old.addingReportingOverflow(UInt64(max(difference, 0)))
            guard !overflow else { throw BlockError(system: .invalidArgument) }
            try setCount(difference >= 0 ? sum : old - UInt64(-difference), of: cluster)
        }
    }

    // MARK: Allocation

    /// Takes free clusters in a row.
    /// - Returns: the host offset; all have a count of 1.
    func allocateRow(_ count: Int, for purpose: Purpose = .table) throws(BlockError) -> Int64 {
        while true {
            let start = try findFree(count)
            if let missing = try firstMissing(start, count) {
                // The new block goes behind the row, as far as it can; then look again.
                freeHint = start + Int64(count)
                defer { freeHint = min(freeHint, start) }
                try ensureBlock(missing)
                continue
            }
            return try take(start, count, for: purpose)
        }
    }

    /// Takes clusters in a row behind the end of the file; the table, and the blocks that count them, go in front.
    /// - Parameter tables: so many more clusters can be counted without further blocks.
    func allocateRow(_ count: Int, behind first: Int64, tables: Int) throws(BlockError) -> Int64 {
        var start = first
        while true {
            start = try makeRoom(for: count + tables, behind: start)
            if let used = try lastUsed(start..<start + Int64(count)) {
                start = used + 1
                continue
            }
            let hint = freeHint
            defer { if hint < start { freeHint = hint } }
            return try take(start, count, for: .data)
        }
    }

    func lastUsed(_ clusters: Range<Int64>) throws(BlockError) -> Int64? {
        var cluster = clusters.lowerBound
        var last: Int64?
        while cluster < clusters.upperBound {
            let counts = try stretch(from: cluster, limit: clusters.upperBound)
            if let index = counts.lastIndex(where: { $0 != 0 }) { last = cluster + Int64(index) }
            cluster += Int64(counts.count)
        }
        return last
    }

    func take(_ start: Int64, _ count: Int, for purpose: Purpose) throws(BlockError) -> Int64 {
        try vet(start << Int64(geometry.clusterBits), count, purpose)
        guard start + Int64(count) <= Int64(1) << Int64(56 - geometry.clusterBits) else {
            throw BlockError(.noSpace, "The image file cannot hold more clusters", errno: nil)
        }
        for cluster in start..<start + Int64(count) { try setCount(1, of: cluster) }
        freeHint = start + Int64(count)
        return start << Int64(geometry.clusterBits)
    }

    func firstMissing(_ start: Int64, _ count: Int) throws(BlockError) -> Int? {
        for block in Int(start >> Int64(blockBits))...Int((start + Int64(count) - 1) >> Int64(blockBits))
        where try blockOffset(block) == 0 {
            return block
        }
        return nil
    }

    /// Takes specific clusters if they are all free.
    func allocate(at offset: Int64, clusters: Int) throws(BlockError) -> Bool {
        let first = offset >> Int64(geometry.clusterBits)
        for cluster in first..<first + Int64(clusters) where try count(of: cluster) != 0 { return false }
        try vet(offset, clusters, .compressed)
        for cluster in first..<first + Int64(clusters) {
            try ensureBlock(Int(cluster >> Int64(blockBits)))
            // A block that had to be made may have taken the place.
            guard try count(of: cluster) == 0 else {
                for taken in first..<cluster { try setCount(0, of: taken) }
                return false
            }
            try setCount(1, of: cluster)
        }
        return true
    }

    func findFree(_ wanted: Int) throws(BlockError) -> Int64 {
        var cluster = freeHint
        var start = cluster
        var length = 0
        while length < wanted {
            guard try blockOffset(Int(cluster >> Int64(blockBits))) != 0 else {
                // Everything in a block that does not exist is free.
                let blockEnd = (cluster >> Int64(blockBits) + 1) << Int64(blockBits)
                if length == 0 { start = cluster }
                let part = Int(min(blockEnd - cluster, Int64(wanted - length)))
                length += part
                cluster += Int64(part)
                continue
            }
            if length == 0 {
                cluster = try skipUsed(cluster)
                start = cluster
                if try blockOffset(Int(cluster >> Int64(blockBits))) == 0 { continue }
            }
            length = try count(of: cluster) == 0 ? length + 1 : 0
            cluster += 1
        }
        return start
    }

    /// The first cluster from `cluster` on that is free or has no block, a slice at a time.
    func skipUsed(_ start: Int64) throws(BlockError) -> Int64 {
        var cluster = start
        let perSlice = (cache.sliceSize * 8) >> geometry.refcountOrder
        while let place = try locate(cluster) {
            let region = cache.region(place.slot)
            for index in place.index..<perSlice
            where RefcountCoding.get(region, index, order: geometry.refcountOrder) == 0 {
                return cluster + Int64(index - place.index)
            }
            cluster += Int64(perSlice - place.index)
        }
        return cluster
    }

    // MARK: Writing back

    /// Whether anything waits to be written.
    var isDirty: Bool { cache.dirtyCount > 0 || !changedEntries.isEmpty }
    /// Whether entries of the table wait for `writeTable`.
    var isTableDirty: Bool { !changedEntries.isEmpty }

    /// Writes the entries of new blocks; the blocks must be durable before.
    func writeTable() throws(BlockError) {
        for entry in changedEntries.sorted() {
            let buffer = AlignedBuffer(count: 8)
            buffer.region.storeBigEndian(table[entry], at: 0)
            try file.write(buffer.region, at: tableOffset + Int64(entry) * 8)
        }
        changedEntries = []
    }

    /// Takes entries out of the table, durably; the blocks hold nothing but perhaps their own counts.
    func drop(_ blocks: [Int]) throws(BlockError) {
        for block in blocks {
            cache.forget(Int64(bitPattern: table[block]), count: Int64(geometry.clusterSize))
            table[block] = 0
            changedEntries.insert(block)
        }
        try writeTable()
        try file.flush()
    }

    /// Takes over a structure with another width, which was written elsewhere.
    func replace(table: [UInt64], offset: Int64, clusters: Int, geometry: Geometry) {
        self.geometry = geometry
        replace(table: table, offset: offset, clusters: clusters)
    }

    /// Takes over a table that was written elsewhere (by a repair or an atomic change of the image).
    func replace(table: [UInt64], offset: Int64, clusters: Int) {
        self.table = table
        isLoaded = true
        tableOffset = offset
        tableClusters = clusters
        changedEntries = []
        cache.forgetClean()
        freeHint = 0
    }
}

extension BlockNode {
    /// Makes a new table's range read as zeroes, by growing the file where the range is past its end.
    func writeTableOfZeroes(at offset: Int64, count: Int) throws(BlockError) {
        if offset >= length {
            try writeZeroes(at: offset, count: Int64(count), flags: [])
        } else {
            try write(AlignedBuffer(zeroed: count).region, at: offset)
        }
    }
}
