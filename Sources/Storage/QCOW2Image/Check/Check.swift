// SPDX-License-Identifier: Apache-2.0

public import BlockLayer
internal import HostSystem

extension QCOW2Node: CheckableNode {
    /// Leaks and counts are repaired.
    public var canRepair: Bool { true }

    /// Compares all tables with the counts, and the flags with the counts; repairs what it is told to. The steps, their
    /// order and their words are those of QEMU's check, which scripts read.
    public func check(repair: RepairOptions, report: (String) -> Void) throws(BlockError) -> CheckResult {
        if !repair.isEmpty { try checkWritable() }
        return try withoutActuallyEscaping(report) { report throws(BlockError) in
            try exclusively { () throws(BlockError) in
                try checkUsable()
                if !isReadOnly { try settle() }
                // A damaged image can have more findings than anybody reads or stores.
                var lines = 0
                return try checkLocked(repair) { line in
                    lines += 1
                    if lines <= Self.mostFindings { report(line) }
                    if lines == Self.mostFindings { report("Further findings are counted, but not told.") }
                }
            }
        }
    }

    private static var mostFindings: Int { 2_000_000 }

    private func checkLocked(_ repair: RepairOptions, _ report: @escaping (String) -> Void) throws(BlockError)
        -> CheckResult
    {
        try refcounts.load()
        let table = try recheckSnapshots(repair, report)
        var counter = try ReferenceCounter(node: self, report: report)
        try countReferences(&counter, repair)
        let before = counter.result
        try compare(&counter, [])
        if counter.needsRebuild, repair.contains(.errors) {
            try rebuild(&counter, repair)
        } else if !repair.isEmpty {
            guard !counter.needsRebuild else {
                report("ERROR need to rebuild refcount structures")
                throw BlockError(system: .inputOutput)
            }
            if counter.result.leaks > 0 || counter.result.corruptions > 0 {
                counter.result = before
                try compare(&counter, repair)
            }
        }
        try checkFlags(&counter, repair)
        counter.result.imageEndOffset = (counter.highest + 1) << Int64(geometry.clusterBits)
        counter.result.corruptions += table.found
        if !repair.isEmpty {
            if table.found > 0, repair.contains(.errors) {
                try rewriteSnapshotTable()
                counter.result.corruptionsFixed += table.found
                counter.result.corruptions -= table.found
            }
            counter.result.corruptionsFixed += table.fixed
            try finishRepair(counter.result)
        }
        return counter.result
    }

    private func finishRepair(_ result: CheckResult) throws(BlockError) {
        // A contradiction that could not be repaired ends the work with this image; the next check starts afresh.
        try checkUsable()
        isUnflushed = true
        try settle()
        guard result.corruptions == 0, result.checkErrors == 0 else { return }
        let marks = Format.Incompatible.corrupt | Format.Incompatible.dirty
        if header.version >= 3, header.incompatible & marks != 0 {
            header.incompatible &= ~marks
            try writeFixedHeader()
        }
        collectReserved()
    }

    /// Counts what everything in the image refers to.
    func countReferences(_ counter: inout ReferenceCounter, _ repair: RepairOptions) throws(BlockError) {
        counter.add(0, Int64(geometry.clusterSize))
        try counter.addL1(l1, at: header.l1Offset, isActive: true, repair)
        if geometry.hasDataFile, !snapshotList.isEmpty {
            counter.corruption("ERROR \(snapshotList.count) snapshots in image with data file")
        }
        for snapshot in snapshotList { try count(snapshot, &counter, repair) }
        counter.add(header.snapshotsOffset, snapshotsSize)
        counter.add(
            refcounts.tableOffset, Int64(refcounts.tableClusters) * Int64(geometry.clusterSize))
        if let range = header.encryptionHeader { counter.add(range.lowerBound, Int64(range.count)) }
        try countBitmaps(&counter)
        try countRefcountBlocks(&counter, repair)
    }

    private func count(
        _ snapshot: Snapshot, _ counter: inout ReferenceCounter, _ repair: RepairOptions
    ) throws(BlockError) {
        let name = "\(snapshot.information.identifier) (\(snapshot.information.name))"
        guard snapshot.l1Offset & geometry.clusterMask == 0, snapshot.l1Offset >= 0 else {
            let offset = hexadecimal(UInt64(bitPattern: snapshot.l1Offset))
            return counter.corruption(
                "ERROR snapshot \(name) l1_offset=\(offset): L1 table is not cluster aligned; snapshot table entry corrupted"
            )
        }
        guard Int64(snapshot.l1Size) * 8 <= Format.maximumL1Size else {
            return counter.corruption(
                "ERROR snapshot \(name) l1_size=\(hexadecimal(UInt64(snapshot.l1Size))): L1 table is too large; snapshot table entry corrupted"
            )
        }
        let table = try Self.readL1(file, offset: snapshot.l1Offset, entries: snapshot.l1Size)
        try counter.addL1(table, at: snapshot.l1Offset, isActive: false, repair)
    }

    private func countBitmaps(_ counter: inout ReferenceCounter) throws(BlockError) {
        guard header.autoClear & Format.AutoClear.bitmaps != 0, let directory = bitmapDirectory else { return }
        counter.add(directory.offset, directory.size)
        for bitmap in bitmapList where bitmap.tableOffset != 0 {
            counter.add(bitmap.tableOffset, Int64(bitmap.tableEntries) * 8)
            let table = AlignedBuffer(count: bitmap.tableEntries * 8)
            try file.read(table.region, at: bitmap.tableOffset)
            for entry in 0..<bitmap.tableEntries {
                let value: UInt64 = table.region.bigEndian(at: entry * 8)
                guard Bitmap.isValid(value, clusterMask: geometry.clusterMask) else {
                    counter.result.corruptions += 1
                    continue
                }
                let offset = Int64(value & L2Entry.offsetMask)
                if offset != 0 { counter.add(offset, Int64(geometry.clusterSize)) }
            }
        }
    }

    private func countRefcountBlocks(
        _ counter: inout ReferenceCounter, _ repair: RepairOptions
    ) throws(BlockError) {
        for (index, entry) in refcounts.table.enumerated() where entry != 0 {
            if entry & 0x1ff != 0 {
                counter.corruption("ERROR refcount table entry \(index) has reserved bits set", isStructural: true)
                continue
            }
            if entry & UInt64(geometry.clusterMask) != 0 {
                counter.corruption(
                    "ERROR refcount block \(index) is not cluster aligned; refcount table entry corrupted",
                    isStructural: true)
                continue
            }
            let cluster = entry >> UInt64(geometry.clusterBits)
            if cluster >= UInt64(counter.counts.count) {
                try growOverBlock(index, entry, &counter, repair)
                continue
            }
            counter.add(Int64(entry), Int64(geometry.clusterSize))
            if counter.counts[Int(cluster)] != 1 {
                counter.corruption(
                    "ERROR refcount block \(index) refcount=\(counter.counts[Int(cluster)])", isStructural: true)
            }
        }
    }

    /// A refcount block past the end of the file: the repair makes the file longer.
    private func growOverBlock(
        _ index: Int, _ entry: UInt64, _ counter: inout ReferenceCounter, _ repair: RepairOptions
    ) throws(BlockError) {
        let repairs = repair.contains(.errors)
        counter.corruption("\(repairs ? "Repairing" : "ERROR") refcount block \(index) is outside image")
        guard repairs else { return }
        do throws(BlockError) {
            guard entry <= UInt64(Int64.max) - UInt64(geometry.clusterSize) else {
                throw BlockError(system: .invalidArgument)
            }
            guard entry >> UInt64(geometry.clusterBits) < UInt64(ReferenceCounter.mostClusters),
                let resizable = file as? any ResizableNode
            else { throw BlockError(system: Errno.fileTooLarge) }
            let end = Int64(entry) + Int64(geometry.clusterSize)
            try resizable.resize(to: end, preallocation: .off, exact: false)
            counter.fileGrew()
            counter.result.corruptions -= 1
            counter.result.corruptionsFixed += 1
            counter.add(Int64(entry), Int64(geometry.clusterSize))
        } catch {
            counter.needsRebuild = true
            counter.report("ERROR could not resize image: \(error.errno)")
        }
    }

    /// Compares counted references with stored counts.
    func compare(_ counter: inout ReferenceCounter, _ repair: RepairOptions) throws(BlockError) {
        counter.highest = 0
        var start: Int64 = 0
        let end = Int64(counter.counts.count)
        while start < end {
            let stretch: [UInt16]
            do {
                stretch = try refcounts.stretch(from: start, limit: end)
            } catch {
                counter.report("Can't get refcount for cluster \(start): \(error.errno)")
                counter.result.checkErrors += 1
                counter.differs = true
                start += 1
                continue
            }
            for (index, stored) in stretch.enumerated() {
                let cluster = start + Int64(index)
                let found = counter.counts[Int(cluster)]
                if found | stored != 0 { counter.highest = cluster }
                if stored == found { continue }
                let exact = stored == .max ? try refcounts.count(of: cluster) : UInt64(stored)
                try tell(&counter, repair, cluster, found: UInt64(found), stored: exact)
            }
            start += Int64(stretch.count)
        }
    }

    private func tell(
        _ counter: inout ReferenceCounter, _ repair: RepairOptions, _ cluster: Int64, found: UInt64, stored: UInt64
    ) throws(BlockError) {
        let isLeak = stored > found
        let repairs = stored != 0 && repair.contains(isLeak ? .leaks : .errors)
        if stored == 0 { counter.needsRebuild = true }
        let word = repairs ? "Repairing" : isLeak ? "Leaked" : "ERROR"
        counter.differs = true
        counter.report("\(word) cluster \(cluster) refcount=\(stored) reference=\(found)")
        if repairs, (try? refcounts.setCount(found, of: cluster)) != nil {
            if isLeak { counter.result.leaksFixed += 1 } else { counter.result.corruptionsFixed += 1 }
        } else if isLeak {
            counter.result.leaks += 1
        } else {
            counter.result.corruptions += 1
        }
    }
}
