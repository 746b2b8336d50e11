// SPDX-License-Identifier: Apache-2.0

/// The host clusters that hold metadata, by what they hold, so that a damaged L2 entry cannot make guest data overwrite
/// them. Guarded by the node's lock.
struct ReservedClusters {
    enum Kind: String {
        case header = "qcow2_header"
        case activeL1 = "active L1 table"
        case activeL2 = "active L2 table"
        case refcountTable = "refcount table"
        case refcountBlock = "refcount block"
        case snapshotTable = "snapshot table"
    }

    private var kinds: [Int64: Kind] = [:]

    /// What a host cluster index holds, nil for guest data or nothing.
    func kind(_ cluster: Int64) -> Kind? { kinds[cluster] }

    /// The first metadata cluster in a range of cluster indices.
    func first(in clusters: ClosedRange<Int64>) -> Kind? {
        for cluster in clusters { if let kind = kinds[cluster] { return kind } }
        return nil
    }

    mutating func insert(_ kind: Kind, cluster: Int64, count: Int64 = 1) {
        for index in cluster..<cluster + count { kinds[index] = kind }
    }

    mutating func remove(cluster: Int64) { kinds[cluster] = nil }

    mutating func removeAll() { kinds.removeAll() }
}

extension QCOW2Node {
    /// Collects the metadata clusters anew: after opening, and after the tables were switched.
    func collectReserved() {
        let bits = Int64(geometry.clusterBits)
        reserved.removeAll()
        reserved.insert(.header, cluster: 0)
        reserved.insert(
            .refcountTable, cluster: refcounts.tableOffset >> bits, count: Int64(refcounts.tableClusters))
        for entry in refcounts.table where entry != 0 {
            reserved.insert(.refcountBlock, cluster: Int64(truncatingIfNeeded: entry) >> bits)
        }
        reserved.insert(.activeL1, cluster: header.l1Offset >> bits, count: geometry.clusters(Int64(l1.count) * 8))
        for entry in l1 where entry & L2Entry.offsetMask != 0 {
            reserved.insert(.activeL2, cluster: Int64(entry & L2Entry.offsetMask) >> bits)
        }
    }
}
