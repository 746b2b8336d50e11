// SPDX-License-Identifier: Apache-2.0

internal import BlockLayer
internal import HostSystem

/// What the image is to become. All tables stay where they are ("home"); what is new lies in clusters that nothing
/// refers to yet.
struct TableSwitch {
    /// The L2 tables of the active disk, in L1 order, as many as the L1 table has (flags are ignored).
    var l1: [UInt64]
    /// The header, with the places of the snapshot table and of the homes.
    var header: Header
    var snapshots: [Snapshot]
    var snapshotsSize: Int64
    var changes: CountChanges
}

/// Tables in their homes that change together.
private struct TableSet {
    /// The active L1 table with right flags and the homes of L2 tables.
    var l1: [UInt64]
    /// The L1 indices of L2 tables that change, in the order of their drafts.
    var moved: [Int] = []
    /// The first cluster of the drafts, behind the end of the file.
    var start: Int64
    /// The places of refcount blocks.
    var table: [UInt64]
    /// The blocks that change.
    var blocks: [Int]
    /// The table itself changes.
    var changesTable = false
    /// How long the file may be afterwards, in clusters.
    var end: Int64
    /// Makes the content of a block.
    var fill: (_ block: Int, _ region: ByteRegion) throws(BlockError) -> Void
}

/// Where the drafts of a table set lie, in clusters.
private struct DraftPlaces {
    let l1: Int64
    let table: Int64
    let tableClusters: Int
    /// The blocks with drafts, in the order of these.
    let blocks: [Int]
    let firstBlock: Int64
    let all: Range<Int64>
}

extension QCOW2Node {
    /// Carries out a change of many tables at once, so that a crash leaves the image as it was or as it becomes.
    ///
    /// Drafts of all changed tables are written behind the end of the file; one write of the header makes them the
    /// image's. Then the tables are written to their homes, which nothing refers to now but which are still counted;
    /// a second write of the header makes those the image's, and the file is cut again. What a crash in between leaves
    /// is leaked homes.
    ///
    /// Called with the lock held, no write under way, everything settled.
    func perform(_ change: TableSwitch) throws(BlockError) {
        try settleTables()
        let blocks = change.changes.blocks(countsPerBlock: geometry.countsPerBlock)
        let end = geometry.clusters(file.length)
        var set = TableSet(
            l1: change.l1, start: try firstUncounted(tables: change.l1.count { $0 != 0 }, blocks: blocks.count),
            table: refcounts.table, blocks: blocks, end: end,
            fill: { [self] (block, region) throws(BlockError) in try fill(region, block, change.changes) })
        do throws(BlockError) {
            try draftL2(change, &set)
        } catch {
            dropDrafts(behind: end)
            throw error
        }
        if set.moved.isEmpty, set.l1 == l1 {
            try performInPlace(change)
        } else {
            try switchOver(set, change)
        }
        try loadProtected()
        collectReserved()
        isUnflushed = false
        try settle()
        try discardDropped(change.changes)
    }

    /// Gives the host back what nobody refers to any more.
    private func discardDropped(_ changes: CountChanges) throws(BlockError) {
        let bits = Int64(geometry.clusterBits)
        var dropped = 0..<Int64(0)
        for block in changes.blocks(countsPerBlock: geometry.countsPerBlock) {
            let first = Int64(block) * Int64(geometry.countsPerBlock)
            for cluster in first..<first + Int64(geometry.countsPerBlock)
            where changes[cluster] < 0 {
                guard try refcounts.count(of: cluster) == 0 else { continue }
                if cluster == dropped.upperBound {
                    dropped = dropped.lowerBound..<cluster + 1
                    continue
                }
                if !dropped.isEmpty {
                    try file.discard(at: dropped.lowerBound << bits, count: Int64(dropped.count) << bits)
                }
                dropped = cluster..<cluster + 1
            }
        }
        if !dropped.isEmpty { try file.discard(at: dropped.lowerBound << bits, count: Int64(dropped.count) << bits) }
    }

    /// No flag and no L2 table changes: counts go up before the header is written, and down after it.
    private func performInPlace(_ change: TableSwitch) throws(BlockError) {
        try validate(change.changes)
        try apply(change.changes, raising: true)
        try settleTables()
        if change.header != header { try switchHeader(to: change.header) }
        snapshotList = change.snapshots
        snapshotsSize = change.snapshotsSize
        try apply(change.changes, raising: false)
    }

    /// Drops everything in the image but the header: the refcount table, one block and an empty L1 table follow it.
    func resetTables() throws(BlockError) {
        try settleTables()
        let l1Clusters = geometry.clusters(Int64(l1.count) * 8)
        let used = 3 + l1Clusters
        var next = header
        next.refcountTableOffset = Int64(geometry.clusterSize)
        next.refcountTableClusters = 1
        next.l1Offset = 3 << Int64(geometry.clusterBits)
        var table = [UInt64](repeating: 0, count: geometry.clusterSize / 8)
        table[0] = 2 << UInt64(geometry.clusterBits)
        let order = geometry.refcountOrder
        let set = TableSet(
            l1: Array(repeating: 0, count: l1.count), start: try firstUncounted(tables: 0, blocks: 1), table: table,
            blocks: [0], changesTable: true, end: used,
            fill: { (block, region) throws(BlockError) in
                for cluster in 0..<(block == 0 ? Int(used) : 0) {
                    RefcountCoding.set(region, cluster, 1, order: order)
                }
            })
        let change = TableSwitch(
            l1: set.l1, header: next, snapshots: snapshotList, snapshotsSize: snapshotsSize,
            changes: try CountChanges(clusters: 0))
        try switchOver(set, change)
        collectReserved()
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

    // MARK: Drafts

    /// The first cluster of a row behind the end of the file that nothing counts, long enough for all drafts.
    private func firstUncounted(tables: Int, blocks: Int) throws(BlockError) -> Int64 {
        let end = geometry.clusters(file.length)
        var wanted = Int64(tables + blocks + 2 * refcounts.tableClusters) + geometry.clusters(Int64(l1.count) * 8) + 4
        wanted += 4 * wanted / Int64(geometry.countsPerBlock) + 4
        var start = end
        var cluster = end
        while cluster < start + wanted {
            guard cluster - end < Self.longestSearch else {
                throw BlockError(.noSpace, "The image counts clusters far behind the end of its file", errno: nil)
            }
            let counts = try refcounts.stretch(from: cluster, limit: start + wanted)
            if let last = counts.lastIndex(where: { $0 != 0 }) { start = cluster + Int64(last) + 1 }
            cluster += Int64(counts.count)
        }
        return start
    }

    /// How many counted clusters behind the end of a file are skipped.
    private static var longestSearch: Int64 { 1 << 28 }

    /// Gives the L1 table right flags, and writes drafts of the L2 tables whose flags change.
    private func draftL2(_ change: TableSwitch, _ set: inout TableSet) throws(BlockError) {
        let bits = Int64(geometry.clusterBits)
        let table = AlignedBuffer(count: geometry.clusterSize)
        for index in change.l1.indices {
            let offset = Int64(change.l1[index] & L2Entry.offsetMask)
            guard offset != 0 else {
                set.l1[index] = 0
                continue
            }
            try file.read(table.region, at: offset)
            if try updateFlags(table.region, change.changes) {
                try file.write(table.region, at: (set.start + Int64(set.moved.count)) << bits)
                set.moved.append(index)
            }
            let count = try sum(
                try refcounts.count(of: offset >> bits), change.changes[offset >> bits], of: offset >> bits)
            set.l1[index] = UInt64(offset) | (count == 1 ? L2Entry.copied : 0)
        }
    }

    /// Sets each entry's flag by its cluster's future count. Returns whether any changed.
    private func updateFlags(_ table: ByteRegion, _ changes: CountChanges) throws(BlockError) -> Bool {
        var isChanged = false
        for position in stride(from: 0, to: table.count, by: geometry.entrySize) {
            let entry: UInt64 = table.bigEndian(at: position)
            guard entry & L2Entry.compressed == 0, entry & L2Entry.offsetMask != 0 else { continue }
            let cluster = Int64(entry & L2Entry.offsetMask) >> Int64(geometry.clusterBits)
            let count = try sum(try refcounts.count(of: cluster), changes[cluster], of: cluster)
            let new = entry & ~L2Entry.copied | (count == 1 ? L2Entry.copied : 0)
            if new != entry {
                table.storeBigEndian(new, at: position)
                isChanged = true
            }
        }
        return isChanged
    }

    /// A refcount block as it is with changes.
    private func fill(_ region: ByteRegion, _ block: Int, _ changes: CountChanges) throws(BlockError) {
        let perBlock = geometry.countsPerBlock
        let home = try refcounts.blockOffset(block)
        if home != 0 { try file.read(region, at: home) }
        for index in 0..<perBlock {
            let cluster = Int64(block) * Int64(perBlock) + Int64(index)
            guard changes[cluster] != 0 else { continue }
            guard home != 0 else { throw BlockError(.corrupt, "Refcount block \(block) is missing; check the image") }
            let count = RefcountCoding.get(region, index, order: geometry.refcountOrder)
            RefcountCoding.set(
                region, index, try sum(count, changes[cluster], of: cluster), order: geometry.refcountOrder)
        }
    }

    /// Lays the drafts out; they need blocks that count them, which are drafts themselves.
    private func placeDrafts(_ set: TableSet) throws(BlockError) -> DraftPlaces {
        let l1 = set.start + Int64(set.moved.count)
        let table = l1 + geometry.clusters(Int64(set.l1.count) * 8)
        let perBlock = Int64(geometry.countsPerBlock)
        var tableClusters = Int(geometry.clusters(Int64(set.table.count) * 8))
        var blocks = Set(set.blocks)
        while true {
            let end = table + Int64(tableClusters + blocks.count)
            let last = Int((end - 1) / perBlock)
            let needed = max(tableClusters, Int(geometry.clusters(Int64(last + 1) * 8)))
            let more = blocks.union(Int(set.start / perBlock)...last)
            if needed == tableClusters, more.count == blocks.count {
                guard end <= Int64(1) << Int64(56 - geometry.clusterBits),
                    Int64(tableClusters) * Int64(geometry.clusterSize) <= Format.maximumRefcountTableSize
                else { throw BlockError(.noSpace, "The image file cannot hold more clusters", errno: nil) }
                return DraftPlaces(
                    l1: l1, table: table, tableClusters: tableClusters, blocks: blocks.sorted(),
                    firstBlock: table + Int64(tableClusters), all: set.start..<end)
            }
            tableClusters = needed
            blocks = more
        }
    }

    /// Makes the drafts the image's, then the homes.
    private func switchOver(_ set: TableSet, _ change: TableSwitch) throws(BlockError) {
        let bits = Int64(geometry.clusterBits)
        let places = try placeDrafts(set)
        do throws(BlockError) {
            try switchToDrafts(set, places, change)
        } catch {
            dropDrafts(behind: set.end)
            throw error
        }
        do throws(BlockError) {
            try writeHomes(set, places, change.header)
            try switchHeader(to: change.header)
        } catch {
            // The drafts are the image's tables and stay so.
            collectReserved()
            throw error
        }
        adopt(l1: set.l1, table: set.table, change)
        try cutFile(to: set.end << bits)
    }

    private func switchToDrafts(
        _ set: TableSet, _ places: DraftPlaces, _ change: TableSwitch
    ) throws(BlockError) {
        let bits = Int64(geometry.clusterBits)
        var l1 = set.l1
        for (draft, index) in set.moved.enumerated() {
            l1[index] = UInt64(set.start + Int64(draft)) << UInt64(bits) | L2Entry.copied
        }
        try writeTable(l1, at: places.l1 << bits)
        let table = try writeDraftBlocks(set, places)
        try writeTable(table, at: places.table << bits)
        try file.flush()
        var next = change.header
        next.l1Offset = places.l1 << bits
        next.refcountTableOffset = places.table << bits
        next.refcountTableClusters = places.tableClusters
        try switchHeader(to: next)
        adopt(l1: l1, table: table, change)
    }

    private func writeDraftBlocks(_ set: TableSet, _ places: DraftPlaces) throws(BlockError) -> [UInt64] {
        let bits = UInt64(geometry.clusterBits)
        let perBlock = Int64(geometry.countsPerBlock)
        var table = set.table
        table += repeatElement(0, count: places.tableClusters * geometry.clusterSize / 8 - table.count)
        let buffer = AlignedBuffer(count: geometry.clusterSize)
        for (draft, block) in places.blocks.enumerated() {
            buffer.region.fill(0)
            try set.fill(block, buffer.region)
            let own = Int64(block) * perBlock..<(Int64(block) + 1) * perBlock
            for cluster in places.all.clamped(to: own) {
                RefcountCoding.set(buffer.region, Int(cluster - own.lowerBound), 1, order: geometry.refcountOrder)
            }
            let place = places.firstBlock + Int64(draft)
            try file.write(buffer.region, at: place << Int64(bits))
            table[block] = UInt64(place) << bits
        }
        return table
    }

    private func writeHomes(_ set: TableSet, _ places: DraftPlaces, _ header: Header) throws(BlockError) {
        let bits = Int64(geometry.clusterBits)
        let buffer = AlignedBuffer(count: geometry.clusterSize)
        for (draft, index) in set.moved.enumerated() {
            try file.read(buffer.region, at: (set.start + Int64(draft)) << bits)
            try file.write(buffer.region, at: Int64(set.l1[index] & L2Entry.offsetMask))
        }
        for block in set.blocks {
            // The draft is the home's content with the drafts counted.
            try file.read(buffer.region, at: try refcounts.blockOffset(block))
            let first = Int64(block) * Int64(geometry.countsPerBlock)
            for cluster in places.all.clamped(to: first..<first + Int64(geometry.countsPerBlock)) {
                RefcountCoding.set(buffer.region, Int(cluster - first), 0, order: geometry.refcountOrder)
            }
            try file.write(buffer.region, at: Int64(set.table[block]))
        }
        try writeTable(set.l1, at: header.l1Offset)
        if set.changesTable { try writeTable(set.table, at: header.refcountTableOffset) }
        try file.flush()
    }

    private func adopt(l1: [UInt64], table: [UInt64], _ change: TableSwitch) {
        l2.forgetClean()
        codec.forget()
        compressedEnd = 0
        self.l1 = l1
        snapshotList = change.snapshots
        snapshotsSize = change.snapshotsSize
        refcounts.replace(
            table: table, offset: header.refcountTableOffset, clusters: header.refcountTableClusters)
    }

    private func writeTable(_ entries: [UInt64], at offset: Int64) throws(BlockError) {
        guard !entries.isEmpty else { return }
        let clusters = Int(geometry.clusters(Int64(entries.count) * 8))
        let buffer = AlignedBuffer(zeroed: clusters * geometry.clusterSize)
        for (index, entry) in entries.enumerated() { buffer.region.storeBigEndian(entry, at: index * 8) }
        try file.write(buffer.region, at: offset)
    }

    /// After a failure before the header was written. A file that stays longer does no harm; where the disk may have
    /// the new header, the drafts must stay.
    private func dropDrafts(behind end: Int64) {
        if !isBroken { try? cutFile(to: end << Int64(geometry.clusterBits)) }
    }

    /// Cuts the file where it is longer.
    private func cutFile(to end: Int64) throws(BlockError) {
        guard end < file.length, let resizable = file as? any ResizableNode else { return }
        try resizable.resize(to: end, preallocation: .off, exact: false)
    }
}
