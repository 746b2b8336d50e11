// SPDX-License-Identifier: Apache-2.0

internal import BlockLayer

/// Counts the references that an image's tables make to each host cluster.
struct ReferenceCounter {
    let node: QCOW2Node
    var counts: [UInt16]
    var result = CheckResult()
    let report: (String) -> Void
    /// The refcount structure itself is damaged and must be made anew.
    var needsRebuild = false
    /// Some count is not what it should be, so that counts must be looked up rather than inferred.
    var differs = false
    private let fileLength: Int64
    /// Tables of more bytes than this are looked at in the host's file first: most of them may be a hole.
    private static let largeTables: Int64 = 1 << 30
    private var nextOffset: Int64 = 0

    /// Images with more clusters than this are not checked: their tables of counts alone would take 512 MiB.
    private static let mostClusters: Int64 = 256 << 20

    init(node: QCOW2Node, report: @escaping (String) -> Void) throws(BlockError) {
        self.node = node
        self.report = report
        fileLength = node.file.length
        let clusters = node.geometry.clusters(fileLength)
        guard clusters <= Self.mostClusters else {
            throw BlockError(
                .outOfRange, "The image file has too many clusters (\(clusters)) to be checked", errno: nil)
        }
        counts = Array(repeating: 0, count: Int(clusters))
        result.totalClusters = node.geometry.clusters(node.header.size)
    }

    private func hex(_ value: Int64) -> String { String(UInt64(bitPattern: value), radix: 16) }

    /// Counts one reference to each cluster of a host range.
    mutating func add(_ offset: Int64, _ count: Int64) {
        guard count > 0 else { return }
        let size = Int64(node.geometry.clusterSize)
        guard offset >= 0, offset <= Int64.max - count - size, offset + count - fileLength <= size else {
            report(
                "ERROR: counting reference for region exceeding the end of the file by one cluster or more: offset 0x\(hex(offset)) size 0x\(hex(count))"
            )
            result.corruptions += 1
            return
        }
        let bits = Int64(node.geometry.clusterBits)
        let last = Int((offset + count - 1) >> bits)
        if last >= counts.count { counts += repeatElement(0, count: last + 1 - counts.count) }
        for cluster in Int(offset >> bits)...last where counts[cluster] < .max { counts[cluster] += 1 }
    }

    /// Counts what an L1 table refers to.
    /// - Parameter isActive: also collect how the disk is laid out.
    mutating func addL1(_ entries: [UInt64], at offset: Int64, isActive: Bool) throws(BlockError) {
        add(offset, Int64(entries.count) * 8)
        let geometry = node.geometry
        let table = AlignedBuffer(count: geometry.clusterSize)
        let isLarge = Int64(entries.count) * Int64(geometry.clusterSize) > Self.largeTables
        var seen: Set<Int64> = []
        for (index, entry) in entries.enumerated() where entry != 0 {
            if entry & L2Entry.reservedL1 != 0 {
                report("ERROR found L1 entry with reserved bits set: \(String(entry, radix: 16))")
                result.corruptions += 1
            }
            let l2Offset = Int64(entry & L2Entry.offsetMask)
            add(l2Offset, Int64(geometry.clusterSize))
            if l2Offset & geometry.clusterMask != 0 {
                report("ERROR l2_offset=\(hex(l2Offset)): Table is not cluster aligned; L1 entry corrupted")
                result.corruptions += 1
                continue
            }
            // A table that many entries name is read once: its clusters are in contradiction anyway.
            guard seen.insert(l2Offset).inserted, l2Offset < fileLength else { continue }
            if isLarge, try isHole(l2Offset) { continue }
            do {
                try node.file.read(table.region, at: l2Offset)
            } catch {
                report("ERROR: I/O error in check_refcounts_l2 (L1 index \(index)): \(error)")
                result.checkErrors += 1
                continue
            }
            addL2(table.region, isActive: isActive)
        }
    }

    private func isHole(_ offset: Int64) throws(BlockError) -> Bool {
        let status = try node.file.status(at: offset, count: Int64(node.geometry.clusterSize), detail: .mapping)
        return status.isZero && (status.count >= Int64(node.geometry.clusterSize) || status.isEnd)
    }

    private mutating func addL2(_ table: ByteRegion, isActive: Bool) {
        let geometry = node.geometry
        let size = Int64(geometry.clusterSize)
        var position = 0
        while position < table.count {
            let entry: UInt64 = table.bigEndian(at: position)
            position += geometry.entrySize
            if entry == 0 { continue }
            if entry & L2Entry.compressed != 0 {
                addCompressed(entry, isActive)
                continue
            }
            let offset = Int64(entry & L2Entry.offsetMask)
            guard offset != 0 || (geometry.hasDataFile && entry & L2Entry.copied != 0) else { continue }
            if isActive {
                result.allocatedClusters += 1
                if nextOffset != 0, offset != nextOffset { result.fragmentedClusters += 1 }
                nextOffset = offset + size
            }
            if offset & geometry.clusterMask != 0 {
                report("ERROR offset=\(hex(offset)): Cluster is not properly aligned; L2 entry corrupted.")
                result.corruptions += 1
            }
            if geometry.hasDataFile { continue }
            let cluster = Int(offset >> Int64(geometry.clusterBits))
            if offset & geometry.clusterMask == 0, offset + size <= fileLength, counts[cluster] < .max {
                counts[cluster] += 1
            } else {
                add(offset, size)
            }
        }
    }

    private mutating func addCompressed(_ entry: UInt64, _ isActive: Bool) {
        if entry & L2Entry.copied != 0 {
            let offset = (entry & L2Entry.offsetMask) >> UInt64(node.geometry.clusterBits)
            report(
                "ERROR: coffset=0x\(String(offset, radix: 16)): copied flag must never be set for compressed clusters")
            result.corruptions += 1
        }
        if node.geometry.hasDataFile {
            report("ERROR compressed cluster with data file, entry=0x\(String(entry, radix: 16))")
            result.corruptions += 1
            return
        }
        let range = node.geometry.compressedRange(entry & ~L2Entry.copied)
        add(range.offset, Int64(range.count))
        if isActive {
            result.allocatedClusters += 1
            result.compressedClusters += 1
            // They never follow one another whole.
            result.fragmentedClusters += 1
        }
    }
}
