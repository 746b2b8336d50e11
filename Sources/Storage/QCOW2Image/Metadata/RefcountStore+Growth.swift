// SPDX-License-Identifier: Apache-2.0

internal import BlockLayer

/// New blocks, and larger tables for them.
extension RefcountStore {
    /// Makes a refcount block where there is none.
    func ensureBlock(_ block: Int) throws(BlockError) {
        if block >= table.count { return try growTable(covering: block) }
        guard try blockOffset(block) == 0 else { return }
        let place = try findFree(1)
        try vet(place << Int64(geometry.clusterBits), 1, .refcountBlock)
        let own = Int(place >> Int64(blockBits))
        if own != block {
            // The place belongs to another block, which must exist first.
            guard own < table.count, try blockOffset(own) != 0 else {
                try ensureBlock(own)
                return try ensureBlock(block)
            }
            try setCount(1, of: place)
        }
        let offset = place << Int64(geometry.clusterBits)
        cache.forget(offset, count: Int64(geometry.clusterSize))
        try file.writeTableOfZeroes(at: offset, count: geometry.clusterSize)
        table[block] = UInt64(offset)
        changedEntries.insert(block)
        reserve(offset, 1)
        if own == block { try setCount(1, of: place) }
        freeHint = max(freeHint, place + 1)
    }

    /// Replaces the table by a longer one, at the end of what the old one covers, with blocks that count themselves.
    private func growTable(covering block: Int) throws(BlockError) {
        let perCluster = geometry.clusterSize / 8
        let firstBlock = max(table.count, block)
        let start = Int64(firstBlock) << Int64(blockBits)
        var blocks = 1
        var clusters = 0
        while true {
            let entries = max(firstBlock + blocks, table.count * 3 / 2)
            clusters = (entries + perCluster - 1) / perCluster
            let needed = (blocks + clusters + geometry.countsPerBlock - 1) / geometry.countsPerBlock
            if needed <= blocks { break }
            blocks = needed
        }
        guard Int64(clusters) * Int64(geometry.clusterSize) <= Format.maximumRefcountTableSize else {
            throw BlockError(.noSpace, "The refcount table cannot grow further", errno: nil)
        }
        try writeGrown(start: start, firstBlock: firstBlock, blocks: blocks, clusters: clusters)
    }

    private func writeGrown(start: Int64, firstBlock: Int, blocks: Int, clusters: Int) throws(BlockError) {
        let size = Int64(geometry.clusterSize)
        let base = start << Int64(geometry.clusterBits)
        var grown = table
        grown += repeatElement(0, count: clusters * geometry.clusterSize / 8 - table.count)
        let counts = AlignedBuffer(zeroed: blocks * geometry.clusterSize)
        for index in 0..<blocks + clusters {
            let region = counts.region.slice(
                index / geometry.countsPerBlock * geometry.clusterSize, geometry.clusterSize)
            RefcountCoding.set(region, index % geometry.countsPerBlock, 1, order: geometry.refcountOrder)
        }
        for index in 0..<blocks { grown[firstBlock + index] = UInt64(base + Int64(index) * size) }
        let bytes = AlignedBuffer(count: grown.count * 8)
        for index in grown.indices { bytes.region.storeBigEndian(grown[index], at: index * 8) }
        let newOffset = base + Int64(blocks) * size
        try vet(base, blocks + clusters, .refcountBlock)
        reserve(base, blocks + clusters)
        cache.forget(base, count: Int64(blocks) * size)
        try file.write(counts.region, at: base)
        try file.write(bytes.region, at: newOffset)
        // The new table names blocks that so far were only in memory.
        try cache.writeBack()
        try file.flush()
        try updateHeader(newOffset, clusters)
        let old = (tableOffset, tableClusters)
        table = grown
        tableOffset = newOffset
        tableClusters = clusters
        changedEntries = []
        release(old.0, old.1)
    }

    /// Moves the table behind everything in the file, together with new blocks, so that clusters behind it can be
    /// taken without further blocks.
    /// - Returns: the first cluster behind the new structures.
    func makeRoom(for additional: Int, behind start: Int64) throws(BlockError) -> Int64 {
        let perCluster = geometry.clusterSize / 8
        var total = 0
        var clusters = 0
        while true {
            let counted = start + Int64(additional + total + clusters)
            let blocks = Int((counted + Int64(geometry.countsPerBlock) - 1) / Int64(geometry.countsPerBlock))
            let needed = (blocks + perCluster - 1) / perCluster
            if blocks == total, needed == clusters { break }
            (total, clusters) = (blocks, needed)
        }
        total = max(total, table.count - (table.reversed().prefix { $0 == 0 }.count))
        clusters = max(clusters, (total + perCluster - 1) / perCluster)
        guard Int64(clusters) * Int64(geometry.clusterSize) <= Format.maximumRefcountTableSize else {
            throw BlockError(.noSpace, "The refcount table cannot grow further", errno: nil)
        }
        let first = Int(start >> Int64(blockBits))
        let missing = (first..<max(total, first)).filter { $0 >= table.count || table[$0] == 0 }
        let end = start + Int64(missing.count + clusters)
        if let used = try lastUsed(start..<end) { return try makeRoom(for: additional, behind: used + 1) }
        try writeMoved(start..<end, missing, clusters)
        return end
    }

    /// Writes new blocks and the table to a range of clusters and switches to them.
    private func writeMoved(_ area: Range<Int64>, _ missing: [Int], _ clusters: Int) throws(BlockError) {
        let bits = Int64(geometry.clusterBits)
        try vet(area.lowerBound << bits, area.count, .refcountBlock)
        var moved = Array(table.prefix(clusters * geometry.clusterSize / 8))
        moved += repeatElement(0, count: clusters * geometry.clusterSize / 8 - moved.count)
        cache.forget(area.lowerBound << bits, count: Int64(area.count) << bits)
        let block = AlignedBuffer(count: geometry.clusterSize)
        for (index, number) in missing.enumerated() {
            let place = area.lowerBound + Int64(index)
            moved[number] = UInt64(place) << UInt64(bits)
            block.region.fill(0)
            let own = Int64(number) << Int64(blockBits)..<Int64(number + 1) << Int64(blockBits)
            for cluster in area.clamped(to: own) {
                RefcountCoding.set(block.region, Int(cluster - own.lowerBound), 1, order: geometry.refcountOrder)
            }
            try file.write(block.region, at: place << bits)
        }
        for cluster in area where !missing.contains(Int(cluster >> Int64(blockBits))) { try setCount(1, of: cluster) }
        let bytes = AlignedBuffer(count: moved.count * 8)
        for index in moved.indices { bytes.region.storeBigEndian(moved[index], at: index * 8) }
        let offset = (area.lowerBound + Int64(missing.count)) << bits
        try file.write(bytes.region, at: offset)
        try cache.writeBack()
        try file.flush()
        let old = (tableOffset, tableClusters)
        try updateHeader(offset, clusters)
        table = moved
        tableOffset = offset
        tableClusters = clusters
        changedEntries = []
        reserve(area.lowerBound, area.count)
        release(old.0, old.1)
    }
}
