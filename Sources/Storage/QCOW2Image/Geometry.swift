// SPDX-License-Identifier: Apache-2.0

/// The sizes that follow from a header, and the arithmetic with them.
struct Geometry: Sendable {
    let clusterBits: Int
    var refcountOrder: Int
    let hasExtendedL2: Bool
    let hasDataFile: Bool

    init(_ header: Header) {
        clusterBits = header.clusterBits
        refcountOrder = header.refcountOrder
        hasExtendedL2 = header.hasExtendedL2
        hasDataFile = header.hasDataFile
    }

    var clusterSize: Int { 1 << clusterBits }
    var clusterMask: Int64 { Int64(clusterSize) - 1 }
    /// Bytes of an L2 entry.
    var entrySize: Int { hasExtendedL2 ? 16 : 8 }
    /// log2 of the entries of an L2 table.
    var l2Bits: Int { clusterBits - (hasExtendedL2 ? 4 : 3) }
    var l2Entries: Int { 1 << l2Bits }
    /// The guest bytes that one L2 table covers.
    var l2Coverage: Int64 { 1 << Int64(clusterBits + l2Bits) }
    /// 32 with extended entries, else 1.
    var subclusters: Int { hasExtendedL2 ? 32 : 1 }
    var subclusterSize: Int { clusterSize / subclusters }
    /// Counts in a refcount block.
    var countsPerBlock: Int { (clusterSize * 8) >> refcountOrder }
    var maximumRefcount: UInt64 { refcountOrder == 6 ? UInt64.max : (1 << (1 << UInt64(refcountOrder))) - 1 }

    /// The bits of a compressed entry that hold the host offset.
    var compressedOffsetBits: Int { 62 - (clusterBits - 8) }

    func l1Index(_ offset: Int64) -> Int { Int(offset >> Int64(clusterBits + l2Bits)) }
    func l2Index(_ offset: Int64) -> Int { Int(offset >> Int64(clusterBits)) & (l2Entries - 1) }
    func clusterStart(_ offset: Int64) -> Int64 { offset & ~clusterMask }
    func roundUp(_ offset: Int64) -> Int64 { (offset &+ clusterMask) & ~clusterMask }
    func clusters(_ bytes: Int64) -> Int64 { (bytes &+ clusterMask) >> Int64(clusterBits) }

    /// Where a compressed cluster lies: the host range in bytes, ending at a sector's end.
    func compressedRange(_ entry: UInt64) -> (offset: Int64, count: Int) {
        let bits = UInt64(compressedOffsetBits)
        let offset = Int64(entry & ((1 << bits) - 1))
        let sectors = Int((entry & ~L2Entry.compressed & ~L2Entry.copied) >> bits) + 1
        return (offset, sectors * 512 - Int(offset & 511))
    }

    /// The entry for a compressed cluster at a host range.
    func compressedEntry(offset: Int64, count: Int) -> UInt64 {
        let sectors = (offset &+ Int64(count) &- 1) / 512 - offset / 512
        return L2Entry.compressed | UInt64(sectors) << UInt64(compressedOffsetBits) | UInt64(offset)
    }
}

/// The bits of L1 and L2 entries.
enum L2Entry {
    static let copied: UInt64 = 1 << 63
    static let compressed: UInt64 = 1 << 62
    static let zero: UInt64 = 1
    static let offsetMask: UInt64 = 0x00ff_ffff_ffff_fe00
    /// Bits that must be zero in L1 entries.
    static let reservedL1: UInt64 = 0x7f00_0000_0000_01ff
    /// Bits that must be zero in L2 entries of clusters that are not compressed.
    static let reservedL2: UInt64 = 0x3f00_0000_0000_01fe
}
