// SPDX-License-Identifier: Apache-2.0

internal import CAtomic
internal import Glibc
internal import GuestMemory

/// The device's side of a packed ring (Virtio 1.2, 2.8): descriptors become available and used in one ring.
///
/// Two bits of each descriptor's flags say whose turn it is; their meaning turns over whenever a side comes to the ring's
/// end, which its wrap counter follows. A batch of used descriptors is shown by its first one's flags, which are written
/// last. As with `Virtqueue`, which has it, one thread at a time uses it, and what the guest writes is loaded once.
@safe
final class PackedRing: @unchecked Sendable {
    /// A place in the ring with its wrap counter, as both sides write it: the counter above 15 bits.
    struct Place: Equatable {
        var index: UInt16 = 0
        var wrap = true

        init() {}
        init(bits: UInt16) {
            index = bits & 0x7FFF
            wrap = bits & 0x8000 != 0
        }
        var bits: UInt16 { index | (wrap ? 0x8000 : 0) }

        /// `count` is at most the ring's size.
        mutating func advance(_ count: Int, size: UInt16) {
            var next = Int(index) + count
            if next >= Int(size) {
                next -= Int(size)
                wrap.toggle()
            }
            index = UInt16(truncatingIfNeeded: next)
        }

        mutating func goBack(_ count: Int, size: UInt16) {
            var next = Int(index) - count
            if next < 0 {
                next += Int(size)
                wrap.toggle()
            }
            index = UInt16(truncatingIfNeeded: max(next, 0))
        }
    }

    private enum Flag {
        static let next: UInt16 = 1, write: UInt16 = 2, indirect: UInt16 = 4
        static let available: UInt16 = 1 << 7, used: UInt16 = 1 << 15
    }
    /// What a side's event area asks for.
    private enum Wish {
        static let all: UInt16 = 0, none: UInt16 = 1, place: UInt16 = 2
    }
    private static let descriptorSize = 16, flagsOffset = 14, areaSize = 4
    /// Buffer identifiers are 16 bits of the driver's choice.
    private static let identifierCount = 1 << 16

    private let memory: GuestMemory
    private let layout: VirtqueueLayout
    private let usesEventIndex: Bool, allowsIndirect: Bool
    private let size: UInt16
    // `size` descriptors of 16 bytes, and two areas of 4 bytes, each in one region of `memory`, which this object keeps
    // alive.
    private let descriptors: UnsafeMutableRawPointer
    private let driverArea: UnsafeMutableRawPointer
    private let deviceArea: UnsafeMutableRawPointer
    // One entry for each identifier: how many descriptors its request takes. Owned from init to deinit.
    private let lengths: UnsafeMutablePointer<UInt16>

    private var nextAvailable = Place(), nextUsed = Place()
    /// Descriptors of requests that were taken and not completed.
    private var inFlight = 0
    /// Lengths of the requests taken since the last completion, for `untake`.
    private var recent: [UInt16] = []
    /// The first completion that the driver was not shown: its place, its flags, and the descriptors since.
    private var pending: (place: Place, flags: UInt16, count: Int)?

    /// nil where the rings are not in memory.
    init?(_ layout: VirtqueueLayout, features: VirtioFeatures, memory: GuestMemory) {
        let count = Int(layout.size)
        guard layout.descriptors % 16 == 0, layout.available % 4 == 0, layout.used % 4 == 0,
            let descriptors = unsafe memory.hostPointer(
                at: layout.descriptors, count: count * Self.descriptorSize, writable: true),
            let driverArea = unsafe memory.hostPointer(at: layout.available, count: Self.areaSize, writable: false),
            let deviceArea = unsafe memory.hostPointer(at: layout.used, count: Self.areaSize, writable: true),
            // Pages that are not touched cost nothing.
            let lengths = unsafe calloc(Self.identifierCount, MemoryLayout<UInt16>.stride)
        else { return nil }
        self.memory = memory
        self.layout = layout
        size = layout.size
        usesEventIndex = features.contains(.eventIndex)
        allowsIndirect = features.contains(.indirectDescriptors)
        unsafe self.descriptors = descriptors
        unsafe self.driverArea = driverArea
        unsafe self.deviceArea = deviceArea
        // calloc has given so many zeroed entries.
        unsafe self.lengths = lengths.bindMemory(to: UInt16.self, capacity: Self.identifierCount)
        recent.reserveCapacity(count)
    }

    deinit { unsafe free(lengths) }

    // MARK: Saving

    /// Where it stands. What was taken and not completed is taken again afterwards.
    var place: UInt16 { nextUsed.bits }

    /// - Returns: false for a place that is not in the ring.
    func restore(_ bits: UInt16) -> Bool {
        nextUsed = Place(bits: bits)
        nextAvailable = nextUsed
        return nextUsed.index < size
    }

    // MARK: Taking requests

    private func descriptor(at index: UInt16) -> UnsafeMutableRawPointer {
        // index < size at all callers.
        unsafe descriptors + Int(index) * Self.descriptorSize
    }

    /// Whether a request waits.
    var hasRequests: Bool {
        // The acquire pairs with the driver's release of the first descriptor's flags.
        let flags = unsafe roost_load16_acquire(descriptor(at: nextAvailable.index) + Self.flagsOffset)
        let isAvailable = flags & Flag.available != 0, isUsed = flags & Flag.used != 0
        return isAvailable == nextAvailable.wrap && isUsed != nextAvailable.wrap
    }

    /// Takes the next request, which is there.
    /// - Returns: why it cannot be taken; nil is success.
    func take(into chain: DescriptorChain) -> VirtqueueError? {
        var count = 0, place = nextAvailable
        var identifier: UInt16 = 0
        chain.begin(head: 0)
        while true {
            guard count < Int(size) else { return .loop }
            let entry = unsafe descriptor(at: place.index)
            let address = unsafe roost_load64(entry)
            let rest = unsafe roost_load64(entry + 8)
            let length = UInt32(truncatingIfNeeded: rest)
            identifier = UInt16(truncatingIfNeeded: rest >> 32)
            let flags = UInt16(truncatingIfNeeded: rest >> 48)
            count += 1
            place.advance(1, size: size)
            if flags & Flag.indirect != 0 {
                guard count == 1, allowsIndirect, flags & Flag.next == 0 else { return .badIndirectTable }
                if let cause = walk(address, length, into: chain) { return cause }
                break
            }
            if let cause = chain.append(address: address, count: length, isWritable: flags & Flag.write != 0) {
                return cause
            }
            if flags & Flag.next == 0 { break }
        }
        guard inFlight + count <= Int(size) else { return .tooManyInFlight }
        chain.rename(head: identifier)
        inFlight += count
        nextAvailable = place
        recent.append(UInt16(truncatingIfNeeded: count))
        // Any 16 bits are inside.
        unsafe lengths[Int(identifier)] = UInt16(truncatingIfNeeded: count)
        return nil
    }

    /// All descriptors of an indirect table, whose order is their chain (2.8.7).
    private func walk(_ address: UInt64, _ count: UInt32, into chain: DescriptorChain) -> VirtqueueError? {
        let length = Int(count)
        guard length > 0, length % Self.descriptorSize == 0, address % 8 == 0,
            length / Self.descriptorSize <= DescriptorChain.maximumCount
        else { return .badIndirectTable }
        guard let table = unsafe memory.hostPointer(at: address, count: length, writable: false) else {
            return .notMemory(address)
        }
        for place in stride(from: 0, to: length, by: Self.descriptorSize) {
            // The table has `length` bytes.
            let address = unsafe roost_load64(table + place)
            let rest = unsafe roost_load64(table + place + 8)
            let flags = UInt16(truncatingIfNeeded: rest >> 48)
            let cause = chain.append(
                address: address, count: UInt32(truncatingIfNeeded: rest), isWritable: flags & Flag.write != 0)
            if let cause { return cause }
        }
        return nil
    }

    /// Gives the last requests back, last first; none was completed since they were taken.
    func untake(_ count: Int) {
        for _ in 0..<count {
            guard let length = recent.popLast() else { return }
            nextAvailable.goBack(Int(length), size: size)
            inFlight -= Int(length)
        }
    }

    // MARK: Completing requests

    /// Puts a finished request into the ring; the driver sees it after `publish`.
    func complete(_ identifier: UInt16, written: Int) {
        // As in take.
        let count = unsafe max(Int(lengths[Int(identifier)]), 1)
        let entry = unsafe descriptor(at: nextUsed.index)
        unsafe roost_store32(entry + 8, UInt32(truncatingIfNeeded: written))
        unsafe roost_store16(entry + 12, identifier)
        let turn = nextUsed.wrap ? Flag.available | Flag.used : 0
        let flags = turn | (written > 0 ? Flag.write : 0)
        if pending == nil {
            pending = (nextUsed, flags, 0)
        } else {
            unsafe roost_store16(entry + Self.flagsOffset, flags)
        }
        pending?.count += count
        nextUsed.advance(count, size: size)
        inFlight = max(inFlight - count, 0)
        recent.removeAll(keepingCapacity: true)
    }

    /// Shows the driver everything completed since the last call.
    /// - Returns: whether the driver wants to be interrupted for it.
    func publish() -> Bool {
        guard let batch = pending else { return false }
        pending = nil
        // The release orders what the entries say, and the flags of the others, before.
        unsafe roost_store16_release(descriptor(at: batch.place.index) + Self.flagsOffset, batch.flags)
        memory.markWritten(at: layout.descriptors, count: Int(size) * Self.descriptorSize)
        // The entries are visible before the driver's wish is read: whoever comes second sees the other.
        roost_full_fence()
        let wish = unsafe roost_load16(driverArea + 2) & 3
        guard wish == Wish.place, usesEventIndex else { return wish != Wish.none }
        let event = Place(bits: unsafe roost_load16(driverArea))
        // In places from the beginning of this turn on.
        let place = Int(event.index) - (event.wrap == nextUsed.wrap ? 0 : Int(size))
        let new = Int(nextUsed.index), old = new - batch.count
        return place >= old && place < new
    }

    // MARK: Notifications from the driver

    func disableNotifications() { ask(Wish.none) }

    /// - Returns: true when a request came in meanwhile.
    func enableNotifications() -> Bool {
        if usesEventIndex {
            unsafe roost_store16(deviceArea, nextAvailable.bits)
            ask(Wish.place)
        } else {
            ask(Wish.all)
        }
        // The wish is visible before the descriptor is read.
        roost_full_fence()
        return hasRequests
    }

    private func ask(_ wish: UInt16) {
        unsafe roost_store16_release(deviceArea + 2, wish)
        memory.markWritten(at: layout.used, count: Self.areaSize)
    }
}
