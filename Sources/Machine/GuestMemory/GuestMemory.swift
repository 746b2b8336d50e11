// SPDX-License-Identifier: Apache-2.0

public import HostSystem

/// An access to guest-physical memory that is not RAM, or not all RAM.
public struct GuestMemoryError: Error, Equatable, Sendable {
    /// The first guest-physical address of the access.
    public let address: UInt64
    /// Its length in bytes.
    public let count: Int

    /// An access that failed.
    public init(address: UInt64, count: Int) {
        self.address = address
        self.count = count
    }
}

/// Told when someone other than the software CPU changes a page that holds translated or decoded guest code.
public protocol CodePageObserver: AnyObject, Sendable {
    /// The page with this number (guest-physical address / 4096) is about to be, or was just, written.
    /// Called on any thread.
    func codePageWritten(_ page: UInt64)
}

/// The machine's RAM and ROM by guest-physical address.
///
/// The map is built while the machine is assembled and does not change afterwards. No reference into guest memory is
/// ever formed: contents are copied in and out, or reached through a raw pointer that the caller bounds by the count
/// it asked for. The guest changes memory at any time, so a value that was checked must be the value that is used:
/// load once, then check, then use the loaded copy.
@safe
public final class GuestMemory: @unchecked Sendable {
    /// Size of the unit in which dirty and code state is tracked.
    public static let pageSize: UInt64 = 4096

    /// What a byte of `pageFlags` says.
    public struct PageFlags: OptionSet, Sendable {
        public let rawValue: UInt8
        public init(rawValue: UInt8) { self.rawValue = rawValue }
        /// Written since the flag was last cleared (migration, screen).
        public static let dirty = PageFlags(rawValue: 1)
        /// Holds decoded or translated code of the software CPU.
        public static let code = PageFlags(rawValue: 2)
    }

    /// One range of guest-physical memory backed by host memory.
    @safe
    public struct Region: @unchecked Sendable {
        /// First guest-physical address, a multiple of the page size.
        public let start: UInt64
        /// Length in bytes, a multiple of the page size.
        public let count: UInt64
        /// "pc.ram", "pc.bios"...
        public let name: String
        /// Guest writes are dropped (ROM).
        public let isReadOnly: Bool
        /// The host's memory, `count` bytes, alive as long as the `GuestMemory`.
        public let base: UnsafeMutableRawPointer
        /// One `PageFlags` byte a page.
        public let pageFlags: UnsafeMutablePointer<UInt8>

        /// The address after the last byte.
        @inlinable public var end: UInt64 { start &+ count }
    }

    /// All regions, by ascending start; they do not overlap.
    public private(set) var regions: [Region] = []
    /// The regions again as a plain table for lookups without reference counting.
    @usableFromInline private(set) var table: UnsafeMutablePointer<Region>
    @usableFromInline private(set) var tableCount = 0
    private static let maximumRegions = 64
    private var owned: [OwnedMapping] = []
    /// Set once by the software CPU before the machine runs.
    public weak var codePageObserver: (any CodePageObserver)?

    private final class OwnedMapping {
        let mapping: MemoryMapping
        init(_ mapping: consuming MemoryMapping) { self.mapping = mapping }
    }

    /// Memory without any region.
    public init() { unsafe table = .allocate(capacity: Self.maximumRegions) }

    deinit { unsafe table.deallocate() }

    /// Total bytes that guest writes can change.
    public var writableByteCount: UInt64 { regions.reduce(0) { $1.isReadOnly ? $0 : $0 + $1.count } }

    /// Adds zeroed memory that costs host memory only where it is touched.
    /// - Parameters:
    ///   - start: guest-physical, a multiple of 4096.
    ///   - count: bytes, a multiple of 4096, more than 0.
    ///   - isReadOnly: guest writes are dropped; `write(_:at:force:)` still fills it.
    /// - Throws: the host's error when it cannot map that much.
    /// - Precondition: aligned, not overlapping, fewer than 64 regions, and the machine does not run yet.
    public func addRegion(
        name: String, start: UInt64, count: UInt64, isReadOnly: Bool = false, backing: MemoryBacking = MemoryBacking()
    ) throws(Errno) {
        let mask = Self.pageSize - 1
        precondition(start & mask == 0 && count & mask == 0 && count > 0 && start <= UInt64.max - count)
        precondition(regions.count < Self.maximumRegions)
        precondition(!regions.contains { start < $0.end && $0.start < start + count })
        guard count <= UInt64(Int.max) else { throw .noMemory }
        let memory = try backing.map(count: Int(count))
        let flags = try MemoryMapping.anonymous(count: Int(count / Self.pageSize))
        // Both mappings are kept in `owned` for this object's whole life; zeroed bytes are valid UInt8 values.
        let region = unsafe Region(
            start: start, count: count, name: name, isReadOnly: isReadOnly, base: memory.base,
            pageFlags: flags.base.assumingMemoryBound(to: UInt8.self))
        owned.append(OwnedMapping(memory))
        owned.append(OwnedMapping(flags))
        regions.append(region)
        regions.sort { $0.start < $1.start }
        for (index, region) in regions.enumerated() { unsafe (table + index).initialize(to: region) }
        tableCount = regions.count
    }

    /// The region that holds an address; nil for a hole or a device.
    @inlinable
    public func region(at address: UInt64) -> Region? {
        // tableCount entries are initialised.
        for index in 0..<tableCount {
            let candidate = unsafe table[index]
            if address &- candidate.start < candidate.count { return candidate }
        }
        return nil
    }

    /// The host address of `count` bytes that lie in one region, or nil.
    ///
    /// The pointer stays valid as long as this object. Whoever writes through it calls `markWritten` afterwards.
    @inlinable
    public func hostPointer(at address: UInt64, count: Int, writable: Bool) -> UnsafeMutableRawPointer? {
        guard count >= 0, let region = region(at: address), !(writable && region.isReadOnly) else { return nil }
        let offset = address &- region.start
        // offset < region.count, so the difference does not wrap and the whole access lies inside the region.
        guard UInt64(count) <= region.count &- offset else { return nil }
        return unsafe region.base + Int(offset)
    }

    /// Notes that bytes were changed by a device or the loader: sets the dirty flag, and drops decoded code.
    public func markWritten(at address: UInt64, count: Int) {
        guard count > 0, let region = region(at: address) else { return }
        let first = (address - region.start) / Self.pageSize
        let last = min((address - region.start + UInt64(count) - 1), region.count - 1) / Self.pageSize
        for page in first...last {
            // page lies inside the region, so the flag byte exists. A lost race only sets a flag that is set anyway.
            let flags = unsafe region.pageFlags + Int(page)
            let old = unsafe flags.pointee
            if old & PageFlags.code.rawValue != 0 {
                codePageObserver?.codePageWritten(region.start / Self.pageSize + page)
            }
            if old & PageFlags.dirty.rawValue == 0 { unsafe flags.pointee |= PageFlags.dirty.rawValue }
        }
    }
}
