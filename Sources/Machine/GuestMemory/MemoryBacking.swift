// SPDX-License-Identifier: Apache-2.0

internal import Glibc
internal import HostSystem

/// What a region's bytes are made of, and how the host treats them.
public struct MemoryBacking: Equatable, Sendable {
    /// A file that holds the bytes; nil for anonymous memory. It stays open for the length of `addRegion` only.
    public var descriptor: Int32?
    /// Where the region begins in the file, a multiple of the page size.
    public var offset: UInt64 = 0
    /// Writes reach the file, or whoever shares the mapping.
    public var isShared = false
    /// All pages are there before the guest runs.
    public var preallocates = false
    /// Core dumps of the process leave the region out.
    public var isLeftOutOfDumps = false
    /// The host may merge pages of equal content.
    public var isMergeable = false

    /// Private anonymous memory that takes up room where it is touched.
    public init() {}

    /// Maps `count` bytes.
    /// - Throws: why the host refuses; `.noMemory` where pages asked for in advance are not to be had.
    func map(count: Int) throws(Errno) -> MemoryMapping {
        // With a reservation, as QEMU makes one: more than the host could ever hold is refused here and now.
        var flags = isShared ? MAP_SHARED : MAP_PRIVATE
        if descriptor == nil { flags |= MAP_ANONYMOUS }
        let mapping = try MemoryMapping.map(
            count: count, protection: PROT_READ | PROT_WRITE, flags: flags, descriptor: descriptor ?? -1,
            offset: Int64(clamping: descriptor == nil ? 0 : offset))
        // Advice about the whole mapping, which exists. What the host cannot do costs nothing but the advantage.
        if isLeftOutOfDumps { _ = unsafe madvise(mapping.base, count, Self.dontDump) }
        if isMergeable { _ = unsafe madvise(mapping.base, count, Self.mergeable) }
        if count >= Self.leastHugeBytes { _ = unsafe madvise(mapping.base, count, Self.hugePages) }
        if preallocates, unsafe madvise(mapping.base, count, Self.populateForWriting) != 0 { throw .current }
        return mapping
    }

    /// From here on the host is asked for huge pages, which save it many faults and entries of its TLBs; a small machine
    /// rather takes up no more than it touches.
    private static let leastHugeBytes = 256 << 20
    // Linux's numbers, of which not all are in the C library's header.
    private static let mergeable: Int32 = 12, hugePages: Int32 = 14, dontDump: Int32 = 16,
        populateForWriting: Int32 = 23
}
