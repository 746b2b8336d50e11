// SPDX-License-Identifier: Apache-2.0

internal import BlockLayer
internal import HostSystem

/// Changes to counts of host clusters, collected before any of them is made.
struct CountChanges {
    private var differences: [Int16]

    /// Images with more clusters than this are refused: the table of changes alone would take 512 MiB.
    private static let mostClusters: Int64 = 256 << 20
    /// Clusters that no refcount table could count.
    private static let mostCounted: Int64 = 1 << 35

    /// - Parameter clusters: those in the file; nothing can refer to others.
    init(clusters: Int64) throws(BlockError) {
        guard clusters <= Self.mostClusters else {
            throw BlockError(.outOfRange, "The image file has too many clusters (\(clusters))", errno: nil)
        }
        differences = Array(repeating: 0, count: Int(clusters))
    }

    mutating func add(_ difference: Int16, offset: Int64, count: Int64, bits: Int64) throws(BlockError) {
        guard count > 0, offset >= 0, (offset + count - 1) >> bits < differences.count else {
            // The numbers are those with which the original gives up.
            let isHopeless = offset >> bits >= Self.mostCounted
            throw BlockError(
                .corrupt, "A table refers to a cluster that is not counted (offset 0x\(String(offset, radix: 16)))",
                errno: isHopeless ? .fileTooLarge : .wouldBlock)
        }
        for cluster in offset >> bits...(offset + count - 1) >> bits {
            let (sum, overflow) = differences[Int(cluster)].addingReportingOverflow(difference)
            guard !overflow else { throw BlockError(.corrupt, "Cluster \(cluster) is referenced too often") }
            differences[Int(cluster)] = sum
        }
    }

    subscript(cluster: Int64) -> Int64 {
        cluster < Int64(differences.count) ? Int64(differences[Int(cluster)]) : 0
    }

    /// The indices of the refcount blocks with changes.
    func blocks(countsPerBlock: Int) -> [Int] {
        stride(from: 0, to: differences.count, by: countsPerBlock).filter { start in
            differences[start..<min(start + countsPerBlock, differences.count)].contains { $0 != 0 }
        }.map { $0 / countsPerBlock }
    }
}

/// What the image is to become.
struct TableSwitch {
    /// The L2 tables of the active disk, in L1 order (flags are ignored).
    var l1: [UInt64]
    var size: Int64
    var snapshots: [Snapshot]
    var changes: CountChanges
    /// The old L1 table's clusters belong to a snapshot now.
    var keepsOldL1 = false
    /// Also the refcount blocks that do not change are moved, to lower places if there are any.
    var movesBlocks = false
}

extension QCOW2Node {
    /// Carries out a change of many tables at once: new refcount blocks, L2 tables where flags change, an L1 table and
    /// a snapshot table are written to free clusters; then one write of the header makes all of them the image's.
    ///
    /// Called with the lock held, no write under way, everything settled.
    func perform(_ change: TableSwitch) throws(BlockError) {
        var change = change
        let newL1 = try rebuildL2(&change)
        let oldL1 = (header.l1Offset, geometry.clusters(Int64(l1.count) * 8))
        let l1Clusters = Int(geometry.clusters(Int64(newL1.count) * 8))
        var next = header
        next.l1Size = newL1.count
        next.l1Offset = 0
        if l1Clusters > 0 {
            next.l1Offset = try refcounts.allocateRow(l1Clusters)
            try writeTable(newL1, at: next.l1Offset, clusters: l1Clusters)
        }
        next.size = change.size
        let oldSnapshots = (header.snapshotsOffset, geometry.clusters(snapshotsSize))
        let newSize = try writeSnapshotTable(change.snapshots, into: &next)
        let oldTable = (refcounts.tableOffset, refcounts.tableClusters)
        let (table, oldBlocks) = try rebuildRefcounts(change, into: &next)
        try settleTables()
        // Everything that the new header refers to is durable: the one sector decides.
        try switchHeader(to: next)
        l2.forgetClean()
        codec.forget()
        compressedEnd = 0
        l1 = newL1
        snapshotList = change.snapshots
        snapshotsSize = newSize
        refcounts.replace(table: table, offset: next.refcountTableOffset, clusters: next.refcountTableClusters)
        let size = Int64(geometry.clusterSize)
        freeList.add(oldTable.0, Int64(oldTable.1) * size, discards: false)
        for block in oldBlocks { freeList.add(block, size, discards: false) }
        if oldSnapshots.1 > 0 { freeList.add(oldSnapshots.0, oldSnapshots.1 * size, discards: false) }
        if !change.keepsOldL1, oldL1.1 > 0 { freeList.add(oldL1.0, oldL1.1 * size, discards: false) }
        try loadProtected()
        collectReserved()
        // Nothing on disk refers to what was replaced any more, so it can be released without waiting.
        isUnflushed = false
        try settle()
    }

    /// Counts of allocations made so far and new tables become durable.
    func settleTables() throws(BlockError) {
        try refcounts.cache.writeBack()
        if refcounts.isTableDirty {
            try file.flush()
            try refcounts.writeTable()
        }
        try file.flush()
    }

    private func writeTable(_ entries: [UInt64], at offset: Int64, clusters: Int) throws(BlockError) {
        let buffer = AlignedBuffer(zeroed: clusters * geometry.clusterSize)
        for (index, entry) in entries.enumerated() { buffer.region.storeBigEndian(entry, at: index * 8) }
        try file.write(buffer.region, at: offset)
    }

    /// Writes the entries to free clusters and says how many bytes they are.
    func writeSnapshotTable(_ snapshots: [Snapshot], into next: inout Header) throws(BlockError) -> Int64 {
        guard snapshots.count <= Format.maximumSnapshots else {
            throw BlockError(.outOfRange, "An image holds at most \(Format.maximumSnapshots) snapshots", errno: nil)
        }
        next.snapshotCount = snapshots.count
        next.snapshotsOffset = 0
        guard !snapshots.isEmpty else { return 0 }
        let bytes = snapshots.flatMap(\.bytes)
        next.snapshotsOffset = try refcounts.allocateRow(Int(geometry.clusters(Int64(bytes.count))))
        try file.write(bytes, at: next.snapshotsOffset)
        return Int64(bytes.count)
    }

    /// The active disk's L1 table with right flags; L2 tables whose flags change are written anew.
    private func rebuildL2(_ change: inout TableSwitch) throws(BlockError) -> [UInt64] {
        let bits = Int64(geometry.clusterBits)
        let size = geometry.clusterSize
        var result = change.l1
        let table = AlignedBuffer(count: size)
        for index in change.l1.indices {
            let offset = Int64(change.l1[index] & L2Entry.offsetMask)
            guard offset != 0 else {
                result[index] = 0
                continue
            }
            try file.read(table.region, at: offset)
            guard try updateFlags(table.region, change.changes) else {
                let count = Int64(try refcounts.count(of: offset >> bits)) + change.changes[offset >> bits]
                result[index] = UInt64(offset) | (count == 1 ? L2Entry.copied : 0)
                continue
            }
            let new = try refcounts.allocateRow(1)
            try file.write(table.region, at: new)
            try change.changes.add(-1, offset: offset, count: 1, bits: bits)
            result[index] = UInt64(new) | L2Entry.copied
        }
        return result
    }

    /// Sets each entry's flag by its cluster's future count. Returns whether any changed.
    private func updateFlags(_ table: ByteRegion, _ changes: CountChanges) throws(BlockError) -> Bool {
        var isChanged = false
        for position in stride(from: 0, to: table.count, by: geometry.entrySize) {
            let entry: UInt64 = table.bigEndian(at: position)
            guard entry & L2Entry.compressed == 0, entry & L2Entry.offsetMask != 0 else { continue }
            let cluster = Int64(entry & L2Entry.offsetMask) >> Int64(geometry.clusterBits)
            let count = Int64(try refcounts.count(of: cluster)) + changes[cluster]
            let new = entry & ~L2Entry.copied | (count == 1 ? L2Entry.copied : 0)
            if new != entry {
                table.storeBigEndian(new, at: position)
                isChanged = true
            }
        }
        return isChanged
    }

    /// Writes changed refcount blocks and the table to free clusters. Returns the table and the blocks replaced.
    private func rebuildRefcounts(
        _ change: TableSwitch, into next: inout Header
    ) throws(BlockError) -> (table: [UInt64], oldBlocks: [Int64]) {
        let changes = change.changes
        let blocks =
            change.movesBlocks
            ? refcounts.table.indices.filter { refcounts.table[$0] != 0 }
            : changes.blocks(countsPerBlock: geometry.countsPerBlock)
        // First all places, so that the counts of the copies are in the blocks that get copied.
        var places: [Int64] = []
        for _ in blocks { places.append(try refcounts.allocateRow(1)) }
        var clusters = refcounts.tableClusters
        var tablePlace = try refcounts.allocateRow(clusters)
        while refcounts.tableClusters != clusters {
            // The table grew by these very allocations.
            try refcounts.add(-1, offset: tablePlace, count: Int64(clusters) << Int64(geometry.clusterBits))
            clusters = refcounts.tableClusters
            tablePlace = try refcounts.allocateRow(clusters)
        }
        let perBlock = geometry.countsPerBlock
        var old: [Int64] = []
        var table = refcounts.table
        for (block, place) in zip(blocks, places) {
            let source = try refcounts.blockOffset(block)
            guard source != 0 else { throw BlockError(.corrupt, "Refcount block \(block) is missing") }
            let copy = AlignedBuffer(count: geometry.clusterSize)
            try refcounts.cache.writeBack()
            try file.read(copy.region, at: source)
            for index in 0..<perBlock {
                let cluster = Int64(block) * Int64(perBlock) + Int64(index)
                let difference = changes[cluster]
                guard difference != 0 else { continue }
                let count = RefcountCoding.get(copy.region, index, order: geometry.refcountOrder)
                let new = Int64(clamping: count) + difference
                guard new >= 0 else {
                    throw BlockError(
                        .corrupt, "Cluster \(cluster) is referenced more often than it is counted; check the image")
                }
                guard UInt64(new) <= geometry.maximumRefcount else {
                    throw BlockError(
                        .outOfRange, "A cluster's reference count would exceed its \(1 << geometry.refcountOrder) bits")
                }
                RefcountCoding.set(copy.region, index, UInt64(new), order: geometry.refcountOrder)
            }
            try file.write(copy.region, at: place)
            refcounts.cache.forget(place, count: Int64(geometry.clusterSize))
            table[block] = UInt64(place)
            old.append(source)
        }
        try writeTable(table, at: tablePlace, clusters: clusters)
        next.refcountTableOffset = tablePlace
        next.refcountTableClusters = clusters
        return (table, old)
    }

    /// Adds a difference for everything that an L1 table refers to: data clusters and L2 tables.
    func count(_ l1: [UInt64], _ difference: Int16, in changes: inout CountChanges) throws(BlockError) {
        let bits = Int64(geometry.clusterBits)
        let table = AlignedBuffer(count: geometry.clusterSize)
        for entry in l1 {
            let offset = Int64(entry & L2Entry.offsetMask)
            guard offset != 0 else { continue }
            guard offset & geometry.clusterMask == 0 else {
                throw BlockError(.corrupt, "An L2 table is not aligned (offset 0x\(String(offset, radix: 16)))")
            }
            try changes.add(difference, offset: offset, count: 1, bits: bits)
            try file.read(table.region, at: offset)
            for position in stride(from: 0, to: table.region.count, by: geometry.entrySize) {
                let entry: UInt64 = table.region.bigEndian(at: position)
                if entry & L2Entry.compressed != 0 {
                    let range = geometry.compressedRange(entry)
                    try changes.add(difference, offset: range.offset, count: Int64(range.count), bits: bits)
                } else if entry & L2Entry.offsetMask != 0 {
                    try changes.add(difference, offset: Int64(entry & L2Entry.offsetMask), count: 1, bits: bits)
                }
            }
        }
    }
}
