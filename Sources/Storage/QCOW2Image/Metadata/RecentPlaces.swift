// SPDX-License-Identifier: Apache-2.0

/// Remembers where plain clusters lie, so that small requests for a place that had one before need no look at the tables.
///
/// What was remembered holds as long as the number that stands for all tables is the same. Guarded by the node's lock.
package struct RecentPlaces {
    private struct Entry {
        var cluster: Int64 = -1
        var host: Int64 = 0
        var version: UInt64 = 0
        var isWritable = false
    }

    /// With clusters of 64 KiB, those of half a gibibyte.
    private static let count = 8192
    /// Made when first needed: most images are not used at random.
    private var entries: [Entry] = []

    /// Nothing yet.
    package init() {}

    /// The host offset of a guest cluster; nil when it is not known.
    /// - Parameters:
    ///   - cluster: its number, at least 0.
    ///   - version: the tables' number now.
    ///   - isWrite: only a cluster that was noted as one to be written in place will do.
    @inline(__always)
    package func host(of cluster: Int64, version: UInt64, isWrite: Bool = false) -> Int64? {
        let index = Int(truncatingIfNeeded: cluster) & (Self.count - 1)
        guard index < entries.count, entries[index].cluster == cluster, entries[index].version == version,
            entries[index].isWritable || !isWrite
        else { return nil }
        return entries[index].host
    }

    /// Notes where a guest cluster is.
    /// - Parameter isWritable: it is this disk's alone, and may be written in place.
    package mutating func remember(_ cluster: Int64, at host: Int64, version: UInt64, isWritable: Bool = false) {
        if entries.isEmpty { entries = Array(repeating: Entry(), count: Self.count) }
        entries[Int(truncatingIfNeeded: cluster) & (Self.count - 1)] = Entry(
            cluster: cluster, host: host, version: version, isWritable: isWritable)
    }
}
