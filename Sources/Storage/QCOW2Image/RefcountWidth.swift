// SPDX-License-Identifier: Apache-2.0

internal import BlockLayer
internal import HostSystem

/// A refcount structure in another width that is being made beside the one in use.
private struct NewWidth {
    let order: Int
    let countsPerBlock: Int64
    /// Offsets of the new blocks; empty ones have none.
    var table: [UInt64] = []
    var tableOffset: Int64 = 0
    var tableClusters = 0
    var walks = 0
}

extension QCOW2Node {
    /// Counts everything anew in another width and switches by one write of the header.
    ///
    /// Places for new blocks are taken in the old structure, and taking them changes what has to be counted; so the
    /// counts are walked over until nothing new was taken. The old structure is counted by the new one at first, and
    /// freed after the switch.
    /// - Parameter progress: gets the part of the walks that are foreseen.
    func changeWidth(to order: Int, _ progress: (Double) -> Void) throws(BlockError) {
        try exclusively { () throws(BlockError) in
            try storeBitmaps()
            try settle()
            var width = NewWidth(order: order, countsPerBlock: Int64((geometry.clusterSize * 8) >> order))
            do throws(BlockError) {
                try takePlaces(&width, progress)
                try writeBlocks(width, progress)
            } catch {
                try abandon(width)
                throw error
            }
            try switchWidth(width)
        }
    }

    private func takePlaces(_ width: inout NewWidth, _ progress: (Double) -> Void) throws(BlockError) {
        let perCluster = geometry.clusterSize / 8
        var isStable = false
        while !isStable {
            isStable = true
            let total = max(width.walks + 2, 3)
            try walk(width, of: total, progress) { block, isEmpty throws(BlockError) in
                guard !isEmpty else { return }
                if block >= width.table.count {
                    let count = (block / perCluster + 1) * perCluster
                    guard Int64(count) * 8 <= Format.maximumRefcountTableSize else {
                        throw BlockError(
                            .noSpace,
                            "This operation would make the refcount table grow beyond the maximum size supported by QEMU, aborting"
                        )
                    }
                    width.table += repeatElement(0, count: count - width.table.count)
                    isStable = false
                }
                if width.table[block] == 0 {
                    width.table[block] = UInt64(try refcounts.allocateRow(1, for: .refcountBlock))
                    isStable = false
                }
            }
            width.walks += 1
            guard !isStable else { continue }
            let size = Int64(geometry.clusterSize)
            if width.tableClusters > 0 {
                try refcounts.add(-1, offset: width.tableOffset, count: Int64(width.tableClusters) * size)
            }
            width.tableClusters = width.table.count / perCluster
            width.tableOffset = try refcounts.allocateRow(width.tableClusters)
        }
    }

    /// Calls `body` for each new block with whether all its counts are 0.
    private func walk(
        _ width: NewWidth, of total: Int, _ progress: (Double) -> Void,
        _ body: (_ block: Int, _ isEmpty: Bool) throws(BlockError) -> Void
    ) throws(BlockError) {
        let entries = refcounts.table.count
        let all = Double(total) * Double(entries)
        var told = 0
        var block: Int64 = 0
        var cluster: Int64 = 0
        var isEmpty = true
        while cluster < refcounts.coveredClusters {
            // The table may have grown by what the body took.
            let index = Int(cluster / Int64(geometry.countsPerBlock))
            while told <= index {
                progress((Double(width.walks) * Double(entries) + Double(told)) / all)
                told += 1
            }
            if cluster >= (block + 1) * width.countsPerBlock {
                try body(Int(block), isEmpty)
                isEmpty = true
                block = cluster / width.countsPerBlock
            }
            let end = min(
                (Int64(index) + 1) * Int64(geometry.countsPerBlock), (block + 1) * width.countsPerBlock)
            if try refcounts.blockOffset(index) != 0 { isEmpty = try isUnused(&cluster, end, width) && isEmpty }
            cluster = end
        }
        try body(Int(block), isEmpty)
        progress(Double(width.walks + 1) * Double(entries) / all)
    }

    /// Whether no cluster up to an end is counted; fails on a count that is too much for the new width.
    private func isUnused(_ cluster: inout Int64, _ end: Int64, _ width: NewWidth) throws(BlockError) -> Bool {
        let bits = 1 << width.order
        var isUnused = true
        while cluster < end {
            let counts = try refcounts.stretch(from: cluster, limit: end)
            for (index, clamped) in counts.enumerated() where clamped != 0 {
                isUnused = false
                guard bits < 64 else { break }
                let exact = clamped == .max ? try refcounts.count(of: cluster + Int64(index)) : UInt64(clamped)
                guard exact >> UInt64(bits) == 0 else {
                    let offset = (cluster + Int64(index)) << Int64(geometry.clusterBits)
                    throw BlockError(
                        .outOfRange,
                        "Cannot decrease refcount entry width to \(bits) bits: Cluster at offset 0x\(String(offset, radix: 16)) has a refcount of \(exact)",
                        errno: nil)
                }
            }
            cluster += Int64(counts.count)
        }
        return isUnused
    }

    private func writeBlocks(_ width: NewWidth, _ progress: (Double) -> Void) throws(BlockError) {
        let buffer = AlignedBuffer(count: geometry.clusterSize)
        try walk(width, of: width.walks + 1, progress) { block, _ throws(BlockError) in
            guard block < width.table.count, width.table[block] != 0 else { return }
            buffer.region.fill(0)
            let first = Int64(block) * width.countsPerBlock
            for cluster in first..<min(first + width.countsPerBlock, refcounts.coveredClusters) {
                RefcountCoding.set(
                    buffer.region, Int(cluster - first), try refcounts.count(of: cluster), order: width.order)
            }
            try file.write(buffer.region, at: Int64(width.table[block]))
        }
        let bytes = AlignedBuffer(count: width.table.count * 8)
        for (index, entry) in width.table.enumerated() { bytes.region.storeBigEndian(entry, at: index * 8) }
        try file.write(bytes.region, at: width.tableOffset)
        try settleTables()
    }

    /// Gives back what was taken for a structure that nothing refers to.
    private func abandon(_ width: NewWidth) throws(BlockError) {
        let size = Int64(geometry.clusterSize)
        for entry in width.table where entry != 0 { try refcounts.add(-1, offset: Int64(entry), count: size) }
        if width.tableClusters > 0 {
            try refcounts.add(-1, offset: width.tableOffset, count: Int64(width.tableClusters) * size)
        }
    }

    private func switchWidth(_ width: NewWidth) throws(BlockError) {
        let size = Int64(geometry.clusterSize)
        let old = (table: refcounts.table, offset: refcounts.tableOffset, clusters: refcounts.tableClusters)
        var next = header
        next.refcountOrder = width.order
        next.refcountTableOffset = width.tableOffset
        next.refcountTableClusters = width.tableClusters
        try switchHeader(to: next)
        geometry.refcountOrder = width.order
        refcounts.replace(
            table: width.table, offset: width.tableOffset, clusters: width.tableClusters, geometry: geometry)
        for entry in old.table where entry != 0 { freeList.add(Int64(entry), size, discards: false) }
        freeList.add(old.offset, Int64(old.clusters) * size, discards: false)
        collectReserved()
        try settle()
    }
}
