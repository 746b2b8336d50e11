// SPDX-License-Identifier: Apache-2.0

internal import BlockLayer
internal import HostSystem

/// Changes to counts of host clusters, collected before any of them is made.
struct CountChanges {
    private var differences: [Int16]

    /// Images with more clusters than this are refused: the table of changes alone would take 512 MiB.
    private static let mostClusters: Int64 = 256 << 20
    /// Clusters that no refcount table could count.
    private static let mostCounted: Int64 = 1 << 35

    /// - Parameter clusters: those in the file; nothing can refer to others.
    init(clusters: Int64) throws(BlockError) {
        guard clusters <= Self.mostClusters else {
            throw BlockError(.outOfRange, "The image file has too many clusters (\(clusters))", errno: nil)
        }
        differences = Array(repeating: 0, count: Int(clusters))
    }

    mutating func add(_ difference: Int16, offset: Int64, count: Int64, bits: Int64) throws(BlockError) {
        guard count > 0, offset >= 0, (offset + count - 1) >> bits < differences.count else {
            // The numbers are those with which the original gives up.
            let isHopeless = offset >> bits >= Self.mostCounted
            throw BlockError(
                .corrupt, "A table refers to a cluster that is not counted (offset 0x\(String(offset, radix: 16)))",
                errno: isHopeless ? .fileTooLarge : .wouldBlock)
        }
        for cluster in offset >> bits...(offset + count - 1) >> bits {
            let (sum, overflow) = differences[Int(cluster)].addingReportingOverflow(difference)
            guard !overflow else { throw BlockError(.corrupt, "Cluster \(cluster) is referenced too often") }
            differences[Int(cluster)] = sum
        }
    }

    subscript(cluster: Int64) -> Int64 {
        cluster < Int64(differences.count) ? Int64(differences[Int(cluster)]) : 0
    }

    /// The indices of the refcount blocks with changes.
    func blocks(countsPerBlock: Int) -> [Int] {
        stride(from: 0, to: differences.count, by: countsPerBlock).filter { start in
            differences[start..<min(start + countsPerBlock, differences.count)].contains { $0 != 0 }
        }.map { $0 / countsPerBlock }
    }
}

extension QCOW2Node {
    /// Adds a difference for everything that an L1 table refers to: data clusters and L2 tables.
    func count(_ l1: [UInt64], _ difference: Int16, in changes: inout CountChanges) throws(BlockError) {
        let bits = Int64(geometry.clusterBits)
        let table = AlignedBuffer(count: geometry.clusterSize)
        for (index, entry) in l1.enumerated() {
            let offset = Int64(entry & L2Entry.offsetMask)
            guard offset != 0 else { continue }
            guard offset & geometry.clusterMask == 0 else {
                throw corruption(
                    "L2 table offset \(hexadecimal(UInt64(offset))) unaligned (L1 index: \(hexadecimal(UInt64(index))))"
                )
            }
            try changes.add(difference, offset: offset, count: 1, bits: bits)
            try file.read(table.region, at: offset)
            for position in stride(from: 0, to: table.region.count, by: geometry.entrySize) {
                let entry: UInt64 = table.region.bigEndian(at: position)
                if entry & L2Entry.compressed != 0 {
                    let range = geometry.compressedRange(entry)
                    try changes.add(difference, offset: range.offset, count: Int64(range.count), bits: bits)
                } else if entry & L2Entry.offsetMask != 0 {
                    let host = entry & L2Entry.offsetMask
                    guard host & UInt64(geometry.clusterMask) == 0 else {
                        let index = UInt64(position / geometry.entrySize)
                        throw corruption(
                            "Cluster allocation offset \(hexadecimal(host)) unaligned (L2 offset: \(hexadecimal(UInt64(offset))), L2 index: \(hexadecimal(index)))"
                        )
                    }
                    try changes.add(difference, offset: Int64(entry & L2Entry.offsetMask), count: 1, bits: bits)
                }
            }
        }
    }

    /// Fails when a count would not fit, before anything is changed.
    func validate(_ changes: CountChanges) throws(BlockError) {
        for block in changes.blocks(countsPerBlock: geometry.countsPerBlock) {
            let first = Int64(block) * Int64(geometry.countsPerBlock)
            for cluster in first..<first + Int64(geometry.countsPerBlock) where changes[cluster] != 0 {
                _ = try sum(try refcounts.count(of: cluster), changes[cluster], of: cluster)
            }
        }
    }

    /// The count of a cluster after a change; fails where it would not fit.
    func sum(_ count: UInt64, _ difference: Int64, of cluster: Int64) throws(BlockError) -> UInt64 {
        let (new, overflow) =
            difference < 0
            ? count.subtractingReportingOverflow(difference.magnitude)
            : count.addingReportingOverflow(difference.magnitude)
        guard !overflow, new <= geometry.maximumRefcount else { throw BlockError(system: .invalidArgument) }
        return new
    }

    /// Makes the changes in one direction in the tables in memory.
    func apply(_ changes: CountChanges, raising: Bool) throws(BlockError) {
        for block in changes.blocks(countsPerBlock: geometry.countsPerBlock) {
            let first = Int64(block) * Int64(geometry.countsPerBlock)
            for cluster in first..<first + Int64(geometry.countsPerBlock)
            where changes[cluster] != 0 && (changes[cluster] > 0) == raising {
                try refcounts.setCount(
                    try sum(try refcounts.count(of: cluster), changes[cluster], of: cluster), of: cluster)
            }
        }
    }
}
