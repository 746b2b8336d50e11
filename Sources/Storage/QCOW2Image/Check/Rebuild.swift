// SPDX-License-Identifier: Apache-2.0

internal import BlockLayer
internal import HostSystem

extension QCOW2Node {
    /// Makes a new refcount structure from the references that were counted, and counts once more.
    func rebuild(_ counter: inout ReferenceCounter, _ repair: RepairOptions) throws(BlockError) {
        let old = counter.result
        counter.report("Rebuilding refcount structure")
        try writeStructure(&counter.counts)
        counter.result.corruptions = 0
        counter.result.leaks = 0
        counter.needsRebuild = false
        counter.startAgain()
        try countReferences(&counter, [])
        var fresh: Int64 = 0
        if repair.contains(.leaks) {
            // What is told now are the clusters of the old structure.
            let kept = counter.result
            counter.result = CheckResult()
            try compare(&counter, .leaks)
            if counter.needsRebuild { counter.report("ERROR rebuilt refcount structure is still broken") }
            fresh = counter.result.leaks
            counter.result = kept
        }
        counter.result.corruptionsFixed += max(old.corruptions - counter.result.corruptions, 0)
        counter.result.leaksFixed += max(old.leaks - counter.result.leaks, 0)
        counter.result.leaks += fresh
    }

    /// Writes a structure for the counts to clusters that nothing refers to, and makes it the image's by one write of
    /// the header. The old structure's clusters are left as they are: they are leaked then.
    private func writeStructure(_ counts: inout [UInt16]) throws(BlockError) {
        var table: [UInt64] = []
        var isGrown = try writeBlocks(&counts, &table, from: 0, to: counts.count)
        var place = 0
        while isGrown {
            let clusters = max(table.count * 8 / geometry.clusterSize, 1)
            var first = 0
            place = Self.take(clusters, &counts, from: &first)
            isGrown = try writeBlocks(&counts, &table, from: place, to: place + clusters)
        }
        let offset = Int64(place) << Int64(geometry.clusterBits)
        let bytes = AlignedBuffer(count: table.count * 8)
        for (index, entry) in table.enumerated() { bytes.region.storeBigEndian(entry, at: index * 8) }
        try file.write(bytes.region, at: offset)
        try file.flush()
        header.refcountTableOffset = offset
        header.refcountTableClusters = table.count * 8 / geometry.clusterSize
        try writeFixedHeader()
        refcounts.replace(table: table, offset: offset, clusters: header.refcountTableClusters)
        refcounts.cache.forgetAll()
        collectReserved()
    }

    /// Writes the blocks that hold the counts of a range of clusters, finding places for those that have none.
    /// - Returns: whether the table became longer.
    private func writeBlocks(
        _ counts: inout [UInt16], _ table: inout [UInt64], from start: Int, to givenEnd: Int
    ) throws(BlockError) -> Bool {
        let perBlock = geometry.countsPerBlock
        let perCluster = geometry.clusterSize / 8
        var end = givenEnd
        var firstFree = 0
        var isGrown = false
        var cluster = start
        while cluster < end {
            guard counts[cluster] != 0 else {
                cluster += 1
                continue
            }
            let block = cluster / perBlock
            if block >= table.count || table[block] == 0 {
                firstFree = max(firstFree, block * perBlock)
                let place = Self.take(1, &counts, from: &firstFree)
                end = max(end, place + 1)
                if block >= table.count {
                    let entries = (block + perCluster) / perCluster * perCluster
                    guard Int64(entries) * 8 <= Format.maximumRefcountTableSize else {
                        throw BlockError(system: Errno.fileTooLarge)
                    }
                    table += repeatElement(0, count: entries - table.count)
                    isGrown = true
                }
                table[block] = UInt64(place) << UInt64(geometry.clusterBits)
            }
            try writeBlock(counts, block, at: Int64(table[block]))
            cluster = (block + 1) * perBlock
        }
        return isGrown
    }

    private func writeBlock(_ counts: [UInt16], _ block: Int, at offset: Int64) throws(BlockError) {
        let perBlock = geometry.countsPerBlock
        let buffer = AlignedBuffer(zeroed: geometry.clusterSize)
        for position in block * perBlock..<min((block + 1) * perBlock, counts.count) where counts[position] != 0 {
            RefcountCoding.set(
                buffer.region, position - block * perBlock, UInt64(counts[position]), order: geometry.refcountOrder)
        }
        try file.write(buffer.region, at: offset)
    }

    /// The first row of clusters that nothing refers to, which then counts as in use.
    private static func take(_ count: Int, _ counts: inout [UInt16], from first: inout Int) -> Int {
        var cluster = first
        var row = 0
        var hasGap = false
        while cluster < counts.count, row < count {
            if counts[cluster] == 0 {
                row += 1
                if !hasGap { first = cluster }
                hasGap = true
            } else {
                row = 0
            }
            cluster += 1
        }
        let start = cluster - row
        if start + count > counts.count { counts += repeatElement(0, count: start + count - counts.count) }
        for index in start..<start + count { counts[index] = 1 }
        return start
    }
}

/// A refcount structure for given counts, placed behind the last cluster in use: the table, then its blocks.
struct RefcountLayout {
    let tableOffset: Int64
    let tableClusters: Int
    /// The entries in use; the table's clusters have room for more.
    private let blockOffsets: [UInt64]
    private let counts: [UInt16]
    private let order: Int

    /// Where the structure ends, in bytes.
    let end: Int64

    /// - Parameters:
    ///   - firstFree: the first cluster that may be taken; by default the one behind the last in use.
    ///   - following: clusters behind the structure that are counted as in use.
    init(counts given: [UInt16], geometry: Geometry, order: Int, firstFree: Int64? = nil, following: Int = 0) {
        var used = given
        if firstFree == nil { while used.last == 0 { used.removeLast() } }
        let perBlock = (geometry.clusterSize * 8) >> order
        let perTable = geometry.clusterSize / 8
        var blocks = 1
        var clusters = 1
        while true {
            let total = used.count + blocks + clusters + following
            let neededBlocks = (total + perBlock - 1) / perBlock
            let neededTable = (neededBlocks + perTable - 1) / perTable
            if neededBlocks == blocks, neededTable == clusters { break }
            blocks = max(blocks, neededBlocks)
            clusters = max(clusters, neededTable)
        }
        let base = Int64(used.count) << Int64(geometry.clusterBits)
        used += repeatElement(1, count: blocks + clusters + following)
        end = base + Int64(blocks + clusters) << Int64(geometry.clusterBits)
        counts = used
        self.order = order
        tableOffset = base
        let firstBlock = base + Int64(clusters) << Int64(geometry.clusterBits)
        blockOffsets = (0..<blocks).map { UInt64(firstBlock + Int64($0) << Int64(geometry.clusterBits)) }
        tableClusters = clusters
    }

    /// Writes blocks and table.
    /// - Parameter given: one cluster of memory that may be used.
    func write(
        to file: any BlockNode, geometry: Geometry, through given: AlignedBuffer? = nil
    ) throws(BlockError) {
        let buffer = given ?? AlignedBuffer(count: geometry.clusterSize)
        let perBlock = (geometry.clusterSize * 8) >> order
        for (index, offset) in blockOffsets.enumerated() {
            buffer.region.fill(0)
            for position in index * perBlock..<min((index + 1) * perBlock, counts.count) {
                RefcountCoding.set(buffer.region, position - index * perBlock, UInt64(counts[position]), order: order)
            }
            try file.write(buffer.region, at: Int64(offset))
        }
        let perTable = geometry.clusterSize / 8
        for cluster in 0..<tableClusters {
            buffer.region.fill(0)
            for index in cluster * perTable..<max(min((cluster + 1) * perTable, blockOffsets.count), cluster * perTable)
            {
                buffer.region.storeBigEndian(blockOffsets[index], at: (index - cluster * perTable) * 8)
            }
            try file.write(buffer.region, at: tableOffset + Int64(cluster) << Int64(geometry.clusterBits))
        }
    }
}
