// SPDX-License-Identifier: Apache-2.0

public import GuestMemory
internal import Virtio

/// The driver's side of a packed ring (Virtio 1.2, 2.8), on memory of a test.
public final class PackedDriver {
    /// A buffer that the device has used.
    public struct Used: Equatable, Sendable {
        public var identifier: UInt16, written: Int
        public init(identifier: UInt16, written: Int) { (self.identifier, self.written) = (identifier, written) }
    }

    public let size: Int
    /// Guest-physical: the ring, and the two event areas.
    public let ring: UInt64, driverArea: UInt64, deviceArea: UInt64
    /// Puts requests into tables outside of the ring.
    public var usesIndirect = false
    private let memory: GuestMemory
    private var nextBuffer: UInt64
    private var place = 0, wrap = true
    private var usedPlace = 0, usedWrap = true
    private var lengths: [UInt16: Int] = [:]
    /// Descriptors that no request takes.
    public private(set) var free: Int

    private enum Flag {
        static let next: UInt16 = 1, write: UInt16 = 2, indirect: UInt16 = 4
        static let available: UInt16 = 1 << 7, used: UInt16 = 1 << 15
    }
    private static let buffers: UInt64 = 64 << 10

    /// Rings at `base`, buffers behind them.
    public init(_ memory: GuestMemory, base: UInt64, size: Int) {
        self.memory = memory
        self.size = size
        ring = base
        driverArea = base + UInt64(size) * 16
        deviceArea = driverArea + 4
        nextBuffer = base + Self.buffers
        free = size
    }

    /// Little-endian bytes in guest memory.
    public func store(_ value: UInt64, _ count: Int, at address: UInt64) {
        let bytes = (0..<count).map { UInt8(truncatingIfNeeded: value >> UInt64($0 * 8)) }
        do { try memory.write(bytes, at: address) } catch { fatalError("outside of the test's memory") }
    }

    public func load(_ count: Int, at address: UInt64) -> UInt64 {
        guard let bytes = try? memory.read(at: address, count: count) else { return 0 }
        return bytes.reversed().reduce(0) { $0 << 8 | UInt64($1) }
    }

    private func describe(_ address: UInt64, _ count: Int, _ identifier: UInt16, _ flags: UInt16, at place: UInt64) {
        store(address, 8, at: place)
        store(UInt64(count), 4, at: place + 8)
        store(UInt64(identifier), 2, at: place + 12)
        store(UInt64(flags), 2, at: place + 14)
    }

    /// Makes a request available.
    /// - Returns: false when the ring has no room for it.
    @discardableResult
    public func add(_ identifier: UInt16, reading: [[UInt8]] = [], writing: [Int] = []) -> Bool {
        var parts: [(address: UInt64, count: Int, flags: UInt16)] = []
        for bytes in reading { parts.append((put(bytes), bytes.count, 0)) }
        for count in writing { parts.append((put([UInt8](repeating: 0, count: count)), count, Flag.write)) }
        let needed = usesIndirect ? 1 : parts.count
        guard needed <= free, needed > 0 else { return false }
        free -= needed
        lengths[identifier] = needed
        if usesIndirect {
            let table = put([UInt8](repeating: 0, count: parts.count * 16))
            for (number, part) in parts.enumerated() {
                describe(part.address, part.count, 0, part.flags, at: table + UInt64(number * 16))
            }
            parts = [(table, parts.count * 16, Flag.indirect)]
        }
        var first: (address: UInt64, flags: UInt16)?
        for (number, part) in parts.enumerated() {
            let turn = wrap ? Flag.available : Flag.used
            let flags = part.flags | turn | (number < parts.count - 1 ? Flag.next : 0)
            let entry = ring + UInt64(place * 16)
            // The first one's flags show the request, and come last.
            let old = UInt16(truncatingIfNeeded: load(2, at: entry + 14))
            describe(part.address, part.count, identifier, number == 0 ? old : flags, at: entry)
            if number == 0 { first = (entry + 14, flags) }
            place += 1
            if place == size { (place, wrap) = (0, !wrap) }
        }
        if let first { store(UInt64(first.flags), 2, at: first.address) }
        return true
    }

    private func put(_ bytes: [UInt8]) -> UInt64 {
        let address = nextBuffer
        do { try memory.write(bytes, at: address) } catch { fatalError("outside of the test's memory") }
        nextBuffer += UInt64(bytes.count + 15) / 16 * 16
        if nextBuffer > ring + (512 << 10) { nextBuffer = ring + Self.buffers }
        return address
    }

    /// What the device has used since the last call, in its order.
    public func takeUsed() -> [Used] {
        var found: [Used] = []
        while true {
            let entry = ring + UInt64(usedPlace * 16)
            let flags = UInt16(truncatingIfNeeded: load(2, at: entry + 14))
            guard (flags & Flag.available != 0) == usedWrap, (flags & Flag.used != 0) == usedWrap else { return found }
            let identifier = UInt16(truncatingIfNeeded: load(2, at: entry + 12))
            found.append(Used(identifier: identifier, written: Int(load(4, at: entry + 8))))
            let count = lengths[identifier] ?? 1
            free += count
            usedPlace += count
            if usedPlace >= size { (usedPlace, usedWrap) = (usedPlace - size, !usedWrap) }
        }
    }

    /// Where the next used descriptor will be, as event areas have it.
    public var nextUsedPlace: UInt16 { UInt16(usedPlace) | (usedWrap ? 0x8000 : 0) }

    /// Asks for interrupts: always (0), never (1), or when the device comes to a place (2).
    public func ask(_ wish: UInt16, place: UInt16 = 0) {
        store(UInt64(place), 2, at: driverArea)
        store(UInt64(wish), 2, at: driverArea + 2)
    }
}
