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
    /// The last cluster that is in use or counted as such.
    var highest: Int64 = 0
    private var fileLength: Int64
    private let largest: UInt16
    private var nextOffset: Int64 = 0
    private let table: AlignedBuffer
    /// The entries of tables that are still looked at although they were before.
    private var repetitions = 4 << 20

    /// Tables of more bytes than this are looked at in the host's file first: most of them may be a hole.
    private static let largeTables: Int64 = 1 << 30

    /// Images with more clusters than this are not checked: their tables of counts alone would take 512 MiB.
    static let mostClusters: Int64 = 256 << 20

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
        largest = UInt16(clamping: node.geometry.maximumRefcount)
        table = AlignedBuffer(count: node.geometry.clusterSize)
        result.totalClusters = node.geometry.clusters(node.header.size)
    }

    /// Forgets the counts, for a second round.
    mutating func startAgain() {
        for index in counts.indices { counts[index] = 0 }
        fileGrew()
        nextOffset = 0
    }

    /// Takes over a new length of the file.
    mutating func fileGrew() {
        fileLength = node.file.length
        let clusters = Int(min(node.geometry.clusters(fileLength), Self.mostClusters))
        if clusters > counts.count { counts += repeatElement(0, count: clusters - counts.count) }
    }

    /// Tells and counts a contradiction.
    mutating func corruption(_ line: String, isStructural: Bool = false) {
        report(line)
        result.corruptions += 1
        if isStructural { needsRebuild = true }
    }

    private func hex(_ value: Int64) -> String { String(UInt64(bitPattern: value), radix: 16) }

    /// Counts one reference to each cluster of a host range.
    mutating func add(_ offset: Int64, _ count: Int64) {
        guard count > 0 else { return }
        let size = Int64(node.geometry.clusterSize)
        // The last cluster of the file may be there in part.
        guard offset >= 0, offset <= Int64.max - count - size, offset + count - fileLength < size else {
            return corruption(
                "ERROR: counting reference for region exceeding the end of the file by one cluster or more: offset 0x\(hex(offset)) size 0x\(hex(count))"
            )
        }
        let bits = Int64(node.geometry.clusterBits)
        let last = Int((offset + count - 1) >> bits)
        if last >= counts.count { counts += repeatElement(0, count: last + 1 - counts.count) }
        for cluster in Int(offset >> bits)...last { addOne(cluster) }
    }

    private mutating func addOne(_ cluster: Int) {
        guard counts[cluster] < largest else { return overflow(cluster) }
        counts[cluster] += 1
    }

    private mutating func overflow(_ cluster: Int) {
        // A count that does not fit here, but in the image, is taken for as large as can be on both sides.
        guard node.geometry.maximumRefcount <= UInt64(UInt16.max) else { return }
        let offset = Int64(cluster) << Int64(node.geometry.clusterBits)
        report("ERROR: overflow cluster offset=0x\(hex(offset))")
        corruption(
            "Use qemu-img amend to increase the refcount entry width or qemu-img convert to create a clean copy if the image cannot be opened for writing"
        )
    }

    /// Counts what an L1 table refers to.
    /// - Parameter isActive: also collect how the disk is laid out.
    mutating func addL1(
        _ entries: [UInt64], at offset: Int64, isActive: Bool, _ repair: RepairOptions
    ) throws(BlockError) {
        add(offset, Int64(entries.count) * 8)
        let geometry = node.geometry
        let isLarge = Int64(entries.count) * Int64(geometry.clusterSize) > Self.largeTables
        var seen: Set<Int64> = []
        for (index, entry) in entries.enumerated() where entry != 0 {
            if entry & L2Entry.reservedL1 != 0 {
                corruption("ERROR found L1 entry with reserved bits set: \(String(entry, radix: 16))")
            }
            let l2Offset = Int64(entry & L2Entry.offsetMask)
            add(l2Offset, Int64(geometry.clusterSize))
            if l2Offset & geometry.clusterMask != 0 {
                corruption("ERROR l2_offset=\(hex(l2Offset)): Table is not cluster aligned; L1 entry corrupted")
            }
            guard l2Offset < fileLength else { continue }
            if !seen.insert(l2Offset).inserted {
                // A table that many entries name is not looked at for ever.
                guard repetitions >= geometry.l2Entries else { continue }
                repetitions -= geometry.l2Entries
            }
            if isLarge, try isHole(l2Offset) { continue }
            do {
                try node.file.read(table.region, at: l2Offset)
            } catch {
                report("ERROR: I/O error in check_refcounts_l2 (L1 index \(index))")
                result.checkErrors += 1
                throw BlockError(system: error.errno)
            }
            try addL2(at: l2Offset, isActive: isActive, repair)
        }
    }

    private func isHole(_ offset: Int64) throws(BlockError) -> Bool {
        let status = try node.file.status(at: offset, count: Int64(node.geometry.clusterSize), detail: .mapping)
        return status.isZero && (status.count >= Int64(node.geometry.clusterSize) || status.isEnd)
    }

    private mutating func addL2(at l2Offset: Int64, isActive: Bool, _ repair: RepairOptions) throws(BlockError) {
        let geometry = node.geometry
        let region = table.region
        let size = geometry.clusterSize
        let fullEnd = fileLength - Int64(size)
        for position in stride(from: 0, to: size, by: geometry.entrySize) {
            let entry: UInt64 = region.bigEndian(at: position)
            let bitmap: UInt64 = geometry.hasExtendedL2 ? region.bigEndian(at: position + 8) : 0
            if entry | bitmap == 0 { continue }
            if entry & L2Entry.compressed != 0 {
                addCompressed(entry, bitmap, position / geometry.entrySize, isActive)
                continue
            }
            if entry & L2Entry.reservedL2 != 0 {
                corruption("ERROR found l2 entry with reserved bits set: \(String(entry, radix: 16))")
            }
            let offset = Int64(entry & L2Entry.offsetMask)
            guard offset != 0 || (geometry.hasDataFile && entry & L2Entry.copied != 0) else {
                if bitmap & 0xffff_ffff != 0 {
                    corruption("ERROR: Unallocated cluster has non-zero subcluster allocation map")
                }
                continue
            }
            if (bitmap >> 32) & bitmap != 0 {
                corruption(
                    "ERROR offset=\(hex(offset)): Allocated cluster has corrupted subcluster allocation bitmap")
            }
            if offset & geometry.clusterMask != 0 {
                let place = l2Offset + Int64(position)
                switch try unaligned(entry, bitmap, at: place, isActive: isActive, repair) {
                case .repaired: continue
                case .overlap: return
                case .left: break
                }
            }
            if isActive {
                result.allocatedClusters += 1
                if nextOffset != 0, offset != nextOffset { result.fragmentedClusters += 1 }
                nextOffset = offset + Int64(size)
            }
            if geometry.hasDataFile { continue }
            if offset & geometry.clusterMask == 0, offset <= fullEnd {
                addOne(Int(offset >> Int64(geometry.clusterBits)))
            } else {
                add(offset, Int64(size))
            }
        }
        // QEMU begins anew with each table.
        nextOffset = 0
    }

    private enum Outcome { case repaired, left, overlap }

    /// An entry whose cluster is not aligned: where it holds no data it can be made plain zeroes.
    private mutating func unaligned(
        _ entry: UInt64, _ bitmap: UInt64, at place: Int64, isActive: Bool, _ repair: RepairOptions
    ) throws(BlockError) -> Outcome {
        let offset = hex(Int64(entry & L2Entry.offsetMask))
        let hasData =
            node.geometry.hasExtendedL2 ? bitmap & 0xffff_ffff != 0 : entry & L2Entry.zero == 0
        if hasData {
            corruption("ERROR offset=\(offset): Data cluster is not properly aligned; L2 entry corrupted.")
            return .left
        }
        let repairs = repair.contains(.errors)
        corruption(
            "\(repairs ? "Repairing" : "ERROR") offset=\(offset): Preallocated cluster is not properly aligned; L2 entry corrupted."
        )
        guard repairs else { return .left }
        guard try node.makeZero(entryAt: place, bitmap: bitmap, isActive: isActive) else {
            report("ERROR: Overlap check failed")
            result.checkErrors += 1
            return .overlap
        }
        result.corruptions -= 1
        result.corruptionsFixed += 1
        return .repaired
    }

    private mutating func addCompressed(_ given: UInt64, _ bitmap: UInt64, _ index: Int, _ isActive: Bool) {
        let entry = given & ~L2Entry.copied
        if given != entry {
            let mask = (UInt64(1) << UInt64(node.geometry.compressedOffsetBits)) - 1
            corruption(
                "ERROR: coffset=0x\(String(given & mask, radix: 16)): copied flag must never be set for compressed clusters"
            )
        }
        if node.geometry.hasDataFile {
            return corruption(
                "ERROR compressed cluster \(index) with data file, entry=0x\(String(entry, radix: 16))")
        }
        if bitmap != 0 {
            return corruption(
                "ERROR compressed cluster \(index) with non-zero subcluster allocation bitmap, entry=0x\(String(entry, radix: 16))"
            )
        }
        let range = node.geometry.compressedRange(entry)
        add(range.offset, Int64(range.count))
        if isActive {
            result.allocatedClusters += 1
            result.compressedClusters += 1
            // They never follow one another whole.
            result.fragmentedClusters += 1
        }
    }
}

extension QCOW2Node {
    /// Replaces an L2 entry on disk by zeroes without a host cluster.
    /// - Returns: false when the table is also something else.
    func makeZero(entryAt place: Int64, bitmap: UInt64, isActive: Bool) throws(BlockError) -> Bool {
        let cluster = geometry.clusterStart(place)
        if isActive, (try? refuseDisputedTable(cluster, .activeL2)) == nil { return false }
        let buffer = AlignedBuffer(zeroed: geometry.entrySize)
        if geometry.hasExtendedL2 {
            // Subclusters that were allocated read as zeroes too.
            buffer.region.storeBigEndian((bitmap | bitmap << 32) & (0xffff_ffff << 32), at: 8)
        } else {
            buffer.region.storeBigEndian(L2Entry.zero, at: 0)
        }
        l2.forget(cluster, count: Int64(geometry.clusterSize))
        try file.write(buffer.region, at: place)
        try file.flush()
        return true
    }
}
