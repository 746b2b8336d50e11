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

/// Told when a movable region appears, moves or disappears: an engine that keeps a map of its own.
public protocol MemoryMapObserver: AnyObject, Sendable {
    /// The region with this index in `GuestMemory.regions` is now where it says. The machine lock is held.
    func memoryRegionMoved(_ index: Int, of memory: GuestMemory)
}

/// The machine's RAM and ROM by guest-physical address.
///
/// Regions are added while the machine is assembled; afterwards only movable ones change their place. No reference
/// into guest memory is ever formed: contents are copied in and out, or reached through a raw pointer that the caller bounds by the count
/// it asked for. The guest changes memory at any time, so a value that was checked must be the value that is used:
/// load once, then check, then use the loaded copy.
@safe
public final class GuestMemory: @unchecked Sendable {
    /// Size of the unit in which dirty and code state is tracked.
    public static let pageSize: UInt64 = 4096

    /// What a byte of `pageFlags` says.
    public struct PageFlags: OptionSet, Sendable {
        /// The byte as it lies in `pageFlags`.
        public let rawValue: UInt8
        /// Flags from such a byte.
        public init(rawValue: UInt8) { self.rawValue = rawValue }
        /// Written since the flag was last cleared (migration, screen).
        public static let dirty = PageFlags(rawValue: 1)
        /// Holds decoded or translated code of the software CPU.
        public static let code = PageFlags(rawValue: 2)
    }

    /// One range of guest-physical memory backed by host memory.
    @safe
    public struct Region: @unchecked Sendable {
        /// First guest-physical address, a multiple of the page size; see `isMapped`.
        public fileprivate(set) var start: UInt64
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
        /// Somewhere in the guest's memory; else `start` is an address that no guest reaches.
        @inlinable public var isMapped: Bool { end != 0 }
    }

    /// All regions: those with a fixed place by ascending start, then the movable ones. No two that are mapped overlap.
    /// An index stays valid once the machine is assembled.
    public var regions: [Region] { (0..<tableCount).map { region(index: $0) } }
    // As they were when they were added; `table` says where they are.
    private var added: [Region] = []
    /// The regions again as a plain table for lookups without reference counting.
    @usableFromInline private(set) var table: UnsafeMutablePointer<Region>
    @usableFromInline private(set) var tableCount = 0
    private static let maximumRegions = 64
    private var owned: [OwnedMapping] = []
    /// Set once by the software CPU before the machine runs.
    public weak var codePageObserver: (any CodePageObserver)?
    /// Set once by the engine before the machine runs.
    public weak var mapObserver: (any MemoryMapObserver)?
    private var fixedCount = 0
    private var movableCount = 0

    private final class OwnedMapping {
        let mapping: MemoryMapping
        init(_ mapping: consuming MemoryMapping) { self.mapping = mapping }
    }

    /// Memory without any region.
    public init() { unsafe table = .allocate(capacity: Self.maximumRegions) }

    deinit { unsafe table.deallocate() }

    /// Total bytes that guest writes can change.
    public var writableByteCount: UInt64 { added.reduce(0) { $1.isReadOnly ? $0 : $0 + $1.count } }

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
        precondition(!overlaps(start: start, count: count, but: nil))
        let region = try makeRegion(
            name: name, start: start, count: count, isReadOnly: isReadOnly, backing: backing)
        let place = added[..<fixedCount].firstIndex { $0.start > start } ?? fixedCount
        added.insert(region, at: place)
        fixedCount += 1
        updateTable()
    }

    /// Adds zeroed memory that is nowhere until `moveRegion` puts it somewhere.
    /// - Throws: the host's error when it cannot map that much.
    /// - Precondition: a size in whole pages, fewer than 64 regions, and the machine does not run yet.
    /// - Returns: what `moveRegion` and `region(_:)` take.
    public func addMovableRegion(name: String, count: UInt64, isReadOnly: Bool = false) throws(Errno) -> MovableRegion {
        precondition(count & (Self.pageSize - 1) == 0 && count > 0)
        let region = try makeRegion(
            name: name, start: 0 &- count, count: count, isReadOnly: isReadOnly, backing: MemoryBacking())
        added.append(region)
        updateTable()
        movableCount += 1
        return MovableRegion(number: movableCount - 1)
    }

    /// Names a movable region.
    public struct MovableRegion: Sendable, Equatable {
        let number: Int
    }

    /// The region as it is now.
    public func region(_ movable: MovableRegion) -> Region { region(index: fixedCount + movable.number) }

    /// A region by its place in `regions`.
    public func region(index: Int) -> Region {
        precondition(index < tableCount)
        // tableCount entries are initialised; only the start of one ever changes, in one store.
        return unsafe table[index]
    }

    /// Puts a movable region at an address, or nowhere. The machine lock is held, or the machine does not run yet.
    ///
    /// Processors that run see it before their next instruction block. What the region holds stays as it is.
    /// - Parameter start: a multiple of 4096; nil for nowhere. Where other memory is already, it is nowhere as well.
    public func moveRegion(_ movable: MovableRegion, to start: UInt64?) {
        let index = fixedCount + movable.number
        let old = region(index: index)
        let count = old.count
        var place = 0 &- count
        if let start, start & (Self.pageSize - 1) == 0, start <= UInt64.max - count,
            !overlaps(start: start, count: count, but: index)
        {
            place = start
        }
        guard place != old.start else { return }
        // The entry exists, and readers take the start in one load.
        unsafe table[index].start = place
        mapObserver?.memoryRegionMoved(index, of: self)
    }

    private func overlaps(start: UInt64, count: UInt64, but excluded: Int?) -> Bool {
        regions.enumerated().contains { index, region in
            index != excluded && region.isMapped && start < region.end && region.start < start + count
        }
    }

    private func updateTable() {
        for (index, region) in added.enumerated() { unsafe (table + index).initialize(to: region) }
        tableCount = added.count
    }

    private func makeRegion(
        name: String, start: UInt64, count: UInt64, isReadOnly: Bool, backing: MemoryBacking
    ) throws(Errno) -> Region {
        precondition(added.count < Self.maximumRegions)
        guard count <= UInt64(Int.max) else { throw .noMemory }
        let memory = try backing.map(count: Int(count))
        let flags = try MemoryMapping.anonymous(count: Int(count / Self.pageSize))
        // Both mappings are kept in `owned` for this object's whole life; zeroed bytes are valid UInt8 values.
        let region = unsafe Region(
            start: start, count: count, name: name, isReadOnly: isReadOnly, base: memory.base,
            pageFlags: flags.base.assumingMemoryBound(to: UInt8.self))
        owned.append(OwnedMapping(memory))
        owned.append(OwnedMapping(flags))
        return region
    }

    /// The region that holds an address; nil for a hole or a device.
    @inlinable
    public func region(at address: UInt64) -> Region? {
        // tableCount entries are initialised.
        for index in 0..<tableCount {
            let candidate = unsafe table[index]
            // A region that is nowhere has a place that processors do not reach, but addresses in descriptors do.
            if address &- candidate.start < candidate.count { return candidate.isMapped ? candidate : nil }
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
}
