// SPDX-License-Identifier: Apache-2.0

internal import BlockLayer

/// The host clusters that hold metadata, so that a damaged table cannot make guest data, or another table, overwrite
/// them. Guarded by the node's lock.
///
/// One bit for each cluster, in words that exist only where a bit is set: an image of a tebibyte has a few thousand
/// metadata clusters. What a cluster holds is looked up in the tables themselves when somebody is about to be refused.
struct ReservedClusters {
    /// What a metadata cluster holds, in the words of messages.
    enum Kind: String, CaseIterable {
        case header = "qcow2_header"
        case activeL1 = "active L1 table"
        case activeL2 = "active L2 table"
        case refcountTable = "refcount table"
        case refcountBlock = "refcount block"
        case snapshotTable = "snapshot table"
        case inactiveL1 = "inactive L1 table"
        case inactiveL2 = "inactive L2 table"
        case bitmapDirectory = "bitmap directory"
        /// Tables and clusters of bitmaps, and the header of the encryption.
        case other = "metadata"
    }

    private var words: [Int64: UInt64] = [:]
    /// Another number whenever more clusters are reserved.
    private(set) var version: UInt64 = 0
    /// Clusters that two tables claim, or that a table claims past the end of the file: nothing may be written there.
    private(set) var disputed: Set<Int64> = []

    /// The first metadata cluster in a range of cluster indices.
    func first(in clusters: ClosedRange<Int64>) -> Int64? {
        var cluster = clusters.lowerBound
        while cluster <= clusters.upperBound {
            if let word = words[cluster >> 6] {
                let rest = word >> UInt64(cluster & 63)
                if rest != 0 {
                    let found = cluster + Int64(rest.trailingZeroBitCount)
                    return found <= clusters.upperBound ? found : nil
                }
            }
            cluster = (cluster | 63) + 1
        }
        return nil
    }

    mutating func insert(cluster: Int64) {
        version &+= 1
        words[cluster >> 6, default: 0] |= 1 << UInt64(cluster & 63)
    }

    mutating func insert(cluster: Int64, count: Int64) {
        for index in cluster..<cluster + count { insert(cluster: index) }
    }

    /// Notes a table of one cluster, which must not be noted twice.
    mutating func claim(cluster: Int64, fileClusters: Int64) {
        version &+= 1
        let bit: UInt64 = 1 << UInt64(cluster & 63)
        if words[cluster >> 6, default: 0] & bit != 0 || cluster >= fileClusters {
            disputed.insert(cluster)
        } else {
            words[cluster >> 6, default: 0] |= bit
        }
    }

    mutating func remove(cluster: Int64) {
        guard let word = words[cluster >> 6] else { return }
        let rest = word & ~(1 << UInt64(cluster & 63))
        words[cluster >> 6] = rest == 0 ? nil : rest
    }

    mutating func removeAll() {
        words = [:]
        disputed = []
    }
}

extension QCOW2Node {
    /// Collects the metadata clusters anew: after opening for writing, and after the tables were switched.
    func collectReserved() {
        guard !isReadOnly else { return }
        let bits = Int64(geometry.clusterBits)
        let fileClusters = geometry.clusters(file.length)
        reserved.removeAll()
        reserved.insert(cluster: 0)
        for (_, offset, count) in metadataRanges() {
            // What lies past the end of the file is not there to be protected.
            let first = offset >> bits
            let last = min(geometry.clusters(offset &+ count), fileClusters)
            if offset >= 0, first < last { reserved.insert(cluster: first, count: last - first) }
        }
        for entry in refcounts.table where entry != 0 {
            reserved.claim(cluster: Int64(truncatingIfNeeded: entry >> UInt64(bits)), fileClusters: fileClusters)
        }
        for entry in l1 where entry & L2Entry.offsetMask != 0 {
            reserved.claim(cluster: Int64(entry & L2Entry.offsetMask) >> bits, fileClusters: fileClusters)
        }
        refcounts.isDisputed = !reserved.disputed.isEmpty
        for entry in protectedInactiveL2 { reserved.insert(cluster: Int64(entry) >> bits) }
    }

    /// The tables of more than one cluster, with their places in bytes.
    private func metadataRanges() -> [(kind: ReservedClusters.Kind, offset: Int64, count: Int64)] {
        var ranges: [(kind: ReservedClusters.Kind, offset: Int64, count: Int64)] = [
            (.header, 0, Int64(geometry.clusterSize)),
            (.activeL1, header.l1Offset, Int64(l1.count) * 8),
            (.refcountTable, refcounts.tableOffset, Int64(refcounts.tableClusters) * Int64(geometry.clusterSize)),
            (.snapshotTable, header.snapshotsOffset, snapshotsSize),
        ]
        for snapshot in snapshotList { ranges.append((.inactiveL1, snapshot.l1Offset, Int64(snapshot.l1Size) * 8)) }
        if header.autoClear & Format.AutoClear.bitmaps != 0, let directory = bitmapDirectory {
            ranges.append((.bitmapDirectory, directory.offset, directory.size))
        }
        for bitmap in bitmapList { ranges.append((.other, bitmap.tableOffset, Int64(bitmap.tableEntries) * 8)) }
        if let range = header.encryptionHeader { ranges.append((.other, range.lowerBound, Int64(range.count))) }
        return ranges.filter { $0.count > 0 }
    }

    /// What a metadata cluster holds, by looking through all tables.
    func kind(ofReserved cluster: Int64, ignoring ignored: ReservedClusters.Kind? = nil) -> ReservedClusters.Kind? {
        let bits = Int64(geometry.clusterBits)
        for (kind, offset, count) in metadataRanges() where kind != ignored {
            if offset >> bits <= cluster, cluster <= (offset &+ count &- 1) >> bits { return kind }
        }
        if ignored != .activeL2, l1.contains(where: { isTable($0 & L2Entry.offsetMask, cluster) }) {
            return .activeL2
        }
        if ignored != .refcountBlock, refcounts.table.contains(where: { isTable($0, cluster) }) {
            return .refcountBlock
        }
        return ignored != .inactiveL2 && protectedInactiveL2.contains(UInt64(cluster << bits)) ? .inactiveL2 : nil
    }

    private func isTable(_ entry: UInt64, _ cluster: Int64) -> Bool {
        entry != 0 && entry >> UInt64(geometry.clusterBits) == UInt64(cluster)
    }

    /// Fails when guest data, or a new table, would go over metadata. Called with the lock held.
    func refuseMetadata(_ host: Int64, _ count: Int64) throws(BlockError) {
        guard !geometry.hasDataFile, count > 0 else { return }
        let bits = Int64(geometry.clusterBits)
        guard let cluster = reserved.first(in: host >> bits...(host + count - 1) >> bits) else { return }
        throw overlap(cluster, at: host, count: count)
    }

    private func overlap(
        _ cluster: Int64, at offset: Int64, count: Int64, ignoring ignored: ReservedClusters.Kind? = nil
    ) -> BlockError {
        let kind = kind(ofReserved: cluster, ignoring: ignored) ?? ignored ?? .other
        return corruption(
            "Preventing invalid write on metadata (overlaps with \(kind.rawValue))", offset: offset, count: count)
    }

    /// Fails when a table that is about to change is also something else, or is not counted as in use.
    func refuseDisputedTable(_ offset: Int64, _ kind: ReservedClusters.Kind) throws(BlockError) {
        let cluster = offset >> Int64(geometry.clusterBits)
        guard reserved.disputed.contains(cluster) else { return }
        if self.kind(ofReserved: cluster, ignoring: kind) == nil, cluster >= geometry.clusters(file.length) {
            throw corruption(
                "The \(kind.rawValue) at offset 0x\(String(offset, radix: 16)) lies past the end of the file")
        }
        throw overlap(cluster, at: offset, count: Int64(geometry.clusterSize), ignoring: kind)
    }

    /// Fails when clusters that the counts call free hold metadata all the same.
    func vetAllocation(_ offset: Int64, _ clusters: Int, _ purpose: RefcountStore.Purpose) throws(BlockError) {
        if offset == 0, let name = purpose.nameAtZero {
            throw corruption("Preventing invalid allocation of \(name) at offset 0")
        }
        let bits = Int64(geometry.clusterBits)
        let first = offset >> bits
        if let cluster = reserved.first(in: first...first + Int64(clusters) - 1) {
            throw overlap(cluster, at: offset, count: Int64(clusters) << bits)
        }
    }
}
