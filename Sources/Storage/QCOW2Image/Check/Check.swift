// SPDX-License-Identifier: Apache-2.0

public import BlockLayer
internal import HostSystem

extension QCOW2Node: CheckableNode {
    /// Compares all tables with the counts, and the flags with the counts; repairs what it is told to.
    public func check(repair: RepairOptions, report: (String) -> Void) throws(BlockError) -> CheckResult {
        if !repair.isEmpty { try checkWritable() }
        return try withoutActuallyEscaping(report) { report throws(BlockError) in
            try exclusively { () throws(BlockError) in
                if !isReadOnly { try settle() }
                return try checkLocked(repair, report)
            }
        }
    }

    private func checkLocked(_ repair: RepairOptions, _ report: @escaping (String) -> Void) throws(BlockError)
        -> CheckResult
    {
        var counter = try ReferenceCounter(node: self, report: report)
        try countMetadata(&counter)
        try countRefcountStructure(&counter, repair)
        if counter.needsRebuild, repair.contains(.errors) {
            report("Rebuilding refcount structure")
            try rebuild(counter.counts)
            counter.result.corruptionsFixed += counter.result.corruptions
            counter.result.corruptions = 0
        } else {
            try compare(&counter, repair)
        }
        try checkFlags(&counter, repair)
        if !repair.isEmpty { try finishRepair(counter.result) }
        return counter.result
    }

    private func finishRepair(_ result: CheckResult) throws(BlockError) {
        isUnflushed = true
        try settle()
        guard result.corruptions == 0, result.checkErrors == 0 else { return }
        let marks = Format.Incompatible.corrupt | Format.Incompatible.dirty
        if header.version >= 3, header.incompatible & marks != 0 {
            header.incompatible &= ~marks
            try writeFixedHeader()
        }
        isBroken = false
    }

    private func countMetadata(_ counter: inout ReferenceCounter) throws(BlockError) {
        if let failure = snapshotFailure {
            counter.report("ERROR snapshot table: \(failure)")
            counter.result.corruptions += 1
        }
        counter.add(0, Int64(geometry.clusterSize))
        try counter.addL1(l1, at: header.l1Offset, isActive: true)
        for snapshot in snapshotList {
            if snapshot.l1Offset & geometry.clusterMask != 0 || snapshot.l1Offset < 0 {
                counter.report(
                    "ERROR snapshot \(snapshot.information.identifier) (\(snapshot.information.name)) l1_offset=0x\(String(snapshot.l1Offset, radix: 16)): L1 table is not cluster aligned; snapshot table entry corrupted"
                )
                counter.result.corruptions += 1
                continue
            }
            guard Int64(snapshot.l1Size) * 8 <= Format.maximumL1Size else {
                counter.report(
                    "ERROR snapshot \(snapshot.information.identifier) (\(snapshot.information.name)) l1_size=\(snapshot.l1Size): L1 table is too large; snapshot table entry corrupted"
                )
                counter.result.corruptions += 1
                continue
            }
            let table = try Self.readL1(file, offset: snapshot.l1Offset, entries: snapshot.l1Size)
            try counter.addL1(table, at: snapshot.l1Offset, isActive: false)
        }
        counter.add(header.snapshotsOffset, Int64(snapshotTableSize(snapshotList)))
        if header.cryptMethod == 2, let data = header.extensionData(Format.Extension.encryption), data.count == 16 {
            let range = data[...].withRegionOfCopy {
                ($0.bigEndian(at: 0, as: Int64.self), $0.bigEndian(at: 8, as: Int64.self))
            }
            counter.add(range.0, range.1)
        }
        try countBitmaps(&counter)
    }

    private func countBitmaps(_ counter: inout ReferenceCounter) throws(BlockError) {
        guard header.autoClear & Format.AutoClear.bitmaps != 0,
            let data = header.extensionData(Format.Extension.bitmaps), data.count == 24
        else { return }
        let range = data[...].withRegionOfCopy {
            ($0.bigEndian(at: 16, as: Int64.self), $0.bigEndian(at: 8, as: Int64.self))
        }
        counter.add(range.0, range.1)
        for bitmap in bitmapList where bitmap.tableOffset != 0 {
            counter.add(bitmap.tableOffset, Int64(bitmap.tableEntries) * 8)
            let table = AlignedBuffer(count: bitmap.tableEntries * 8)
            try file.read(table.region, at: bitmap.tableOffset)
            for entry in 0..<bitmap.tableEntries {
                let offset = Int64(table.region.bigEndian(at: entry * 8, as: UInt64.self) & L2Entry.offsetMask)
                if offset != 0 { counter.add(offset, Int64(geometry.clusterSize)) }
            }
        }
    }

    private func countRefcountStructure(
        _ counter: inout ReferenceCounter, _ repair: RepairOptions
    ) throws(BlockError) {
        let size = Int64(geometry.clusterSize)
        counter.add(refcounts.tableOffset, Int64(refcounts.tableClusters) * size)
        for (index, entry) in refcounts.table.enumerated() where entry != 0 {
            let offset = Int64(truncatingIfNeeded: entry)
            if entry & UInt64(geometry.clusterMask) != 0 {
                counter.report("ERROR refcount block \(index) is not cluster aligned; refcount table entry corrupted")
                counter.result.corruptions += 1
                counter.needsRebuild = true
                continue
            }
            if offset < 0 || offset >= geometry.roundUp(file.length) {
                counter.report("ERROR refcount block \(index) is outside image")
                counter.result.corruptions += 1
                counter.needsRebuild = true
                continue
            }
            counter.add(offset, size)
            let cluster = Int(offset >> Int64(geometry.clusterBits))
            if counter.counts[cluster] != 1 {
                counter.report("ERROR refcount block \(index) refcount=\(counter.counts[cluster])")
                counter.result.corruptions += 1
                counter.needsRebuild = true
            }
        }
    }

    /// Compares counted references with stored counts.
    private func compare(_ counter: inout ReferenceCounter, _ repair: RepairOptions) throws(BlockError) {
        var highest: Int64 = -1
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
                if found > 0 || stored > 0 { highest = cluster }
                if stored == found { continue }
                try tell(&counter, repair, cluster, found: UInt64(found), stored: UInt64(stored))
            }
            start += Int64(stretch.count)
        }
        counter.result.imageEndOffset = (highest + 1) << Int64(geometry.clusterBits)
    }

    private func tell(
        _ counter: inout ReferenceCounter, _ repair: RepairOptions, _ cluster: Int64, found: UInt64, stored: UInt64
    ) throws(BlockError) {
        let isLeak = stored > found
        let repairs = repair.contains(isLeak ? .leaks : .errors)
        let word = repairs ? "Repairing" : isLeak ? "Leaked" : "ERROR"
        counter.differs = true
        counter.report("\(word) cluster \(cluster) refcount=\(stored) reference=\(found)")
        if repairs {
            try refcounts.setCount(found, of: cluster)
            if isLeak { counter.result.leaksFixed += 1 } else { counter.result.corruptionsFixed += 1 }
        } else if isLeak {
            counter.result.leaks += 1
        } else {
            counter.result.corruptions += 1
        }
    }

    /// The flags of the active tables say whether a count is 1.
    private func checkFlags(_ counter: inout ReferenceCounter, _ repair: RepairOptions) throws(BlockError) {
        if geometry.hasDataFile { return }
        let repairs = repair.contains(.errors)
        let word = repairs ? "Repairing" : "ERROR"
        for index in l1.indices where l1[index] & L2Entry.offsetMask != 0 {
            let offset = Int64(l1[index] & L2Entry.offsetMask)
            guard offset & geometry.clusterMask == 0, offset < file.length else { continue }
            let count = try refcounts.count(of: offset >> Int64(geometry.clusterBits))
            if (count == 1) != (l1[index] & L2Entry.copied != 0) {
                counter.report(
                    "\(word) OFLAG_COPIED L2 cluster: l1_index=\(index) l1_entry=\(String(l1[index], radix: 16)) refcount=\(count)"
                )
                note(&counter, repairs)
                if repairs {
                    l1[index] = UInt64(offset) | (count == 1 ? L2Entry.copied : 0)
                    changedL1.insert(index)
                }
            }
            try checkTableFlags(offset, &counter, repairs, word)
        }
        if repairs { try writeMetadata() }
    }

    private func note(_ counter: inout ReferenceCounter, _ repairs: Bool) {
        if repairs { counter.result.corruptionsFixed += 1 } else { counter.result.corruptions += 1 }
    }

    private func checkTableFlags(
        _ offset: Int64, _ counter: inout ReferenceCounter, _ repairs: Bool, _ word: String
    ) throws(BlockError) {
        for start in stride(from: 0, to: geometry.clusterSize, by: l2.sliceSize) {
            let place = try l2.slice(at: offset + Int64(start))
            let region = l2.region(place.slot)
            for position in stride(from: 0, to: l2.sliceSize, by: geometry.entrySize) {
                let entry: UInt64 = region.bigEndian(at: position)
                guard entry & L2Entry.compressed == 0, entry & L2Entry.offsetMask != 0 else { continue }
                let cluster = Int64(entry & L2Entry.offsetMask) >> Int64(geometry.clusterBits)
                let isCopied = entry & L2Entry.copied != 0
                // After comparing (and repairing, which both flags below include) the references are the counts.
                if cluster < counter.counts.count, !counter.differs, (counter.counts[Int(cluster)] == 1) == isCopied {
                    continue
                }
                let count: UInt64
                do {
                    count = try refcounts.count(of: cluster)
                } catch {
                    // The comparison of counts has told this.
                    continue
                }
                guard (count == 1) != isCopied else { continue }
                counter.report(
                    "\(word) OFLAG_COPIED data cluster: l2_entry=\(String(entry, radix: 16)) refcount=\(count)")
                note(&counter, repairs)
                if repairs {
                    region.storeBigEndian(
                        entry & ~L2Entry.copied | (count == 1 ? L2Entry.copied : 0), at: position)
                    l2.markDirty(place.slot)
                }
            }
        }
    }

    /// Writes a new refcount structure behind everything that is referenced and makes it the image's.
    private func rebuild(_ counts: [UInt16]) throws(BlockError) {
        let structure = RefcountLayout(counts: counts, geometry: geometry, order: geometry.refcountOrder)
        try structure.write(to: file, geometry: geometry)
        try file.flush()
        header.refcountTableOffset = structure.tableOffset
        header.refcountTableClusters = structure.tableClusters
        try writeFixedHeader()
        refcounts.replace(
            table: structure.table, offset: structure.tableOffset, clusters: structure.tableClusters)
        collectReserved()
    }
}

/// A refcount structure for given counts, placed behind the last cluster in use.
struct RefcountLayout {
    let tableOffset: Int64
    let tableClusters: Int
    private(set) var table: [UInt64]
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
        table = (0..<blocks).map { UInt64(base + Int64($0) << Int64(geometry.clusterBits)) }
        table += repeatElement(0, count: clusters * perTable - blocks)
        tableOffset = base + Int64(blocks) << Int64(geometry.clusterBits)
        tableClusters = clusters
    }

    func write(to file: any BlockNode, geometry: Geometry) throws(BlockError) {
        let perBlock = (geometry.clusterSize * 8) >> order
        let buffer = AlignedBuffer(count: geometry.clusterSize)
        for (index, offset) in table.enumerated() where offset != 0 {
            buffer.region.fill(0)
            for position in index * perBlock..<min((index + 1) * perBlock, counts.count) {
                RefcountCoding.set(buffer.region, position - index * perBlock, UInt64(counts[position]), order: order)
            }
            try file.write(buffer.region, at: Int64(offset))
        }
        let bytes = AlignedBuffer(count: table.count * 8)
        for (index, entry) in table.enumerated() { bytes.region.storeBigEndian(entry, at: index * 8) }
        try file.write(bytes.region, at: tableOffset)
    }
}
