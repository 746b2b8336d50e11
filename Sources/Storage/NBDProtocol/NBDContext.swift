// SPDX-License-Identifier: Apache-2.0

internal import BlockLayer

/// A context of metadata that block status is told in ("The NBD protocol", Metadata querying).
enum NBDContext: Sendable {
    /// `base:allocation`: what is a hole and what reads as zeroes.
    case allocation
    /// `qemu:allocation-depth`: which image of the chain the content comes from.
    case depth
    /// `qemu:dirty-bitmap:NAME`: what was written since the bitmap was made.
    case bitmap(name: String, dirty: [Range<Int64>])

    static let bitmapPrefix = "qemu:dirty-bitmap:"

    var name: String {
        switch self {
        case .allocation: NBD.allocationContext
        case .depth: "qemu:allocation-depth"
        case .bitmap(let name, _): Self.bitmapPrefix + name
        }
    }

    /// Whether a client's query means this one; a list may also be of a whole namespace.
    func matches(_ query: String, isList: Bool) -> Bool {
        if query == name { return true }
        guard isList, query.hasSuffix(":") else { return false }
        return name.hasPrefix(query)
    }

    /// How far from `offset`, at most `count`, all is alike, and the flags or the number that tells how.
    func extent(of node: any BlockNode, at offset: Int64, count: Int64) throws(BlockError) -> (Int64, UInt32) {
        switch self {
        case .allocation:
            let status = try node.chainStatus(at: offset, count: count).status
            var flags: UInt32 = 0
            if !status.isData { flags |= NBD.ExtentFlag.hole }
            if status.isZero { flags |= NBD.ExtentFlag.zero }
            return (max(min(status.count, count), 1), flags)
        case .depth:
            let found = try node.chainStatus(at: offset, count: count, detail: .allocation)
            let isThere = found.status.isAllocated || found.status.isData
            return (max(min(found.status.count, count), 1), isThere ? UInt32(truncatingIfNeeded: found.depth + 1) : 0)
        case .bitmap(_, let dirty):
            // The ranges are sorted: the first that ends behind the offset decides.
            var low = 0
            var high = dirty.count
            while low < high {
                let middle = (low + high) / 2
                if dirty[middle].upperBound <= offset { low = middle + 1 } else { high = middle }
            }
            guard low < dirty.count else { return (count, 0) }
            if dirty[low].lowerBound <= offset { return (min(count, dirty[low].upperBound - offset), 1) }
            return (min(count, dirty[low].lowerBound - offset), 0)
        }
    }
}
