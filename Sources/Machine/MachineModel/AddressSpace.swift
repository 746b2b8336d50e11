// SPDX-License-Identifier: Apache-2.0

internal import Diagnostics
public import HostSystem

/// A window of device registers.
///
/// Called with the machine lock held. An implementation accepts any offset inside its window, any size of 1, 2, 4 or 8
/// and any value: what a guest may do by accident or malice is answered as the hardware would, never with a trap.
public protocol RegisterWindow: AnyObject {
    /// Reads `size` bytes (1, 2, 4 or 8) at `offset` bytes into the window, little-endian in the low bits.
    func read(offset: UInt64, size: Int) -> UInt64
    /// Writes the low `size` bytes of `value`; the bits above are zero.
    func write(offset: UInt64, size: Int, value: UInt64)
}

/// Port space or memory-mapped device space: which window answers at which address.
///
/// Thread-safe: look-ups and changes are made under the machine lock, which `read` and `write` take themselves.
public final class AddressSpace: @unchecked Sendable {
    /// One mapped window.
    public struct Mapping {
        /// First address.
        public let base: UInt64
        /// Length in addresses.
        public let count: UInt64
        /// For `info mtree` and logs.
        public let name: String
        /// Among overlapping windows the highest priority answers; equal priorities: the one mapped last.
        public let priority: Int
        /// The registers.
        public let window: any RegisterWindow
        /// Names this mapping for `unmap`.
        public let identifier: Int
    }

    /// What is mapped, by ascending base.
    public private(set) var mappings: [Mapping] = []
    private let machineLock: Lock
    private var nextIdentifier = 1
    private var lastHit: Mapping?
    /// Called for an access that nothing answers, for `-d unimp`; nil costs nothing.
    public var unassignedAccess: ((_ address: UInt64, _ size: Int, _ isWrite: Bool) -> Void)?

    /// An empty space guarded by the machine's lock.
    public init(machineLock: Lock) { self.machineLock = machineLock }

    /// Maps a window. The machine lock is held, or the machine does not run yet.
    /// - Returns: the identifier for `unmap`.
    @discardableResult
    public func map(
        _ window: any RegisterWindow, at base: UInt64, count: UInt64, name: String, priority: Int = 0
    ) -> Int {
        let identifier = nextIdentifier
        nextIdentifier += 1
        let mapping = Mapping(
            base: base, count: count, name: name, priority: priority, window: window, identifier: identifier)
        let place = mappings.firstIndex { $0.base > base } ?? mappings.endIndex
        mappings.insert(mapping, at: place)
        lastHit = nil
        return identifier
    }

    /// Removes a mapping. The machine lock is held, or the machine does not run yet.
    public func unmap(_ identifier: Int) {
        mappings.removeAll { $0.identifier == identifier }
        lastHit = nil
    }

    /// The mapping that answers at an address. The machine lock is held.
    public func mapping(at address: UInt64) -> Mapping? {
        if let hit = lastHit, address &- hit.base < hit.count { return hit }
        var best: Mapping?
        var overlaps = 0
        for candidate in mappings {
            if candidate.base > address { break }
            guard address - candidate.base < candidate.count else { continue }
            overlaps += 1
            if best.map({ ($0.priority, $0.identifier) < (candidate.priority, candidate.identifier) }) ?? true {
                best = candidate
            }
        }
        // Only a window that lies under no other may answer for its whole range from the cache.
        if overlaps == 1, let best,
            !mappings.contains(where: { other in
                // One begins inside the other; ends may lie behind the last address.
                other.identifier != best.identifier
                    && (other.base &- best.base < best.count || best.base &- other.base < other.count)
            })
        {
            lastHit = best
        }
        return best
    }

    /// Reads 1, 2, 4 or 8 bytes; all ones where nothing answers. Takes the machine lock.
    public func read(_ address: UInt64, size: Int) -> UInt64 {
        machineLock.withLock { readLocked(address, size: size) }
    }

    /// Writes 1, 2, 4 or 8 bytes; dropped where nothing answers. Takes the machine lock.
    public func write(_ address: UInt64, size: Int, value: UInt64) {
        machineLock.withLock { writeLocked(address, size: size, value: value) }
    }

    /// As `read`, for a caller that holds the machine lock.
    public func readLocked(_ address: UInt64, size: Int) -> UInt64 {
        let mask = size >= 8 ? UInt64.max : (1 << UInt64(size * 8)) - 1
        guard let mapping = mapping(at: address) else {
            unassignedAccess?(address, size, false)
            return mask
        }
        let value = mapping.window.read(offset: address - mapping.base, size: size) & mask
        Trace.emit(.registerRead, Self.line(mapping, address, size, value))
        return value
    }

    /// As `write`, for a caller that holds the machine lock.
    public func writeLocked(_ address: UInt64, size: Int, value: UInt64) {
        guard let mapping = mapping(at: address) else {
            unassignedAccess?(address, size, true)
            return
        }
        let mask = size >= 8 ? UInt64.max : (1 << UInt64(size * 8)) - 1
        Trace.emit(.registerWrite, Self.line(mapping, address, size, value & mask))
        mapping.window.write(offset: address - mapping.base, size: size, value: value & mask)
    }

    private static func line(_ mapping: Mapping, _ address: UInt64, _ size: Int, _ value: UInt64) -> String {
        "addr 0x\(String(address, radix: 16)) value 0x\(String(value, radix: 16)) size \(size) name '\(mapping.name)'"
    }
}
