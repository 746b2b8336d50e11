// SPDX-License-Identifier: Apache-2.0

internal import BlockLayer

/// The flags of the active tables say whether a cluster's count is 1.
extension QCOW2Node {
    func checkFlags(_ counter: inout ReferenceCounter, _ repair: RepairOptions) throws(BlockError) {
        let result = counter.result
        // With leaks alone to be repaired the flags are touched only where all counts are right.
        let isSound = result.checkErrors == 0 && result.corruptions == 0 && result.leaks == 0
        let repairs = repair.contains(.errors) || (repair.contains(.leaks) && isSound)
        let word = repairs ? "Repairing" : "ERROR"
        for index in l1.indices where l1[index] & L2Entry.offsetMask != 0 {
            let offset = Int64(l1[index] & L2Entry.offsetMask)
            // Counts that cannot be read were told by the comparison.
            guard let count = try? refcounts.count(of: offset >> Int64(geometry.clusterBits)) else { continue }
            if (count == 1) != (l1[index] & L2Entry.copied != 0) {
                counter.corruption(
                    "\(word) OFLAG_COPIED L2 cluster: l1_index=\(index) l1_entry=\(String(l1[index], radix: 16)) refcount=\(count)"
                )
                if repairs {
                    l1[index] = l1[index] & ~L2Entry.copied | (count == 1 ? L2Entry.copied : 0)
                    changedL1.insert(index)
                    counter.noteRepaired(1)
                }
            }
            guard offset < file.length else { continue }
            try checkTableFlags(offset, &counter, repairs, word)
        }
        if repairs, !isBroken { try writeMetadata() }
    }

    private func checkTableFlags(
        _ offset: Int64, _ counter: inout ReferenceCounter, _ repairs: Bool, _ word: String
    ) throws(BlockError) {
        guard offset & geometry.clusterMask == 0 else { return }
        var repaired: Int64 = 0
        for start in stride(from: 0, to: geometry.clusterSize, by: l2.sliceSize) {
            let place = try l2.slice(at: offset + Int64(start))
            let region = l2.region(place.slot)
            for position in stride(from: 0, to: region.count, by: geometry.entrySize) {
                let entry: UInt64 = region.bigEndian(at: position)
                guard entry & L2Entry.compressed == 0 else { continue }
                let isCopied = entry & L2Entry.copied != 0
                guard entry & L2Entry.offsetMask != 0 || (geometry.hasDataFile && isCopied),
                    let count = count(entry, counter), (count == 1) != isCopied
                else { continue }
                counter.corruption(
                    "\(word) OFLAG_COPIED data cluster: l2_entry=\(String(entry, radix: 16)) refcount=\(count)")
                if repairs {
                    region.storeBigEndian(entry & ~L2Entry.copied | (count == 1 ? L2Entry.copied : 0), at: position)
                    repaired += 1
                }
            }
            if repaired > 0 { l2.markDirty(place.slot) }
        }
        guard repaired > 0 else { return }
        do throws(BlockError) {
            try refuseDisputedTable(offset, .activeL2)
            counter.noteRepaired(repaired)
        } catch {
            l2.forget(offset, count: Int64(geometry.clusterSize))
            counter.report("ERROR: Could not write L2 table; metadata overlap check failed: \(error.errno)")
            counter.result.checkErrors += 1
            throw error
        }
    }

    /// The count of an entry's cluster; nil where it cannot be read.
    private func count(_ entry: UInt64, _ counter: ReferenceCounter) -> UInt64? {
        if geometry.hasDataFile { return 1 }
        let cluster = Int64(entry & L2Entry.offsetMask) >> Int64(geometry.clusterBits)
        // When all counts are as they should be, the references are the counts.
        if !counter.differs, cluster < counter.counts.count { return UInt64(counter.counts[Int(cluster)]) }
        return try? refcounts.count(of: cluster)
    }
}

extension ReferenceCounter {
    mutating func noteRepaired(_ number: Int64) {
        result.corruptions -= number
        result.corruptionsFixed += number
    }
}
