// SPDX-License-Identifier: Apache-2.0

internal import CAtomic
public import GuestMemory

/// The device's side of one virtqueue: split (Virtio 1.2, 2.7), or packed (2.8), which `PackedRing` has.
///
/// Life of a queue:
///
///     unconfigured --configure--> ready --a malformed ring or chain--> broken
///          ^                        |                                     |
///          +---------reset----------+-------------------------------------+
///
/// The transport configures and resets it with the machine lock held, while no device thread uses it; in between, one
/// thread at a time takes requests and completes them. That rule is what makes it `@unchecked Sendable`. Nothing that
/// the guest writes makes it trap: what is read from the rings is loaded once, checked, and only then used.
@safe
public final class Virtqueue: @unchecked Sendable {
    /// Its number among the device's queues.
    public let index: Int
    /// The longest ring the device offers, a power of two up to 32768; 0 while the queue does not exist.
    public let maximumSize: UInt16
    /// Where the rings and buffers are.
    public let memory: GuestMemory
    /// What the driver has set.
    package(set) public var layout: VirtqueueLayout
    /// The driver has enabled it and its rings are in memory.
    public private(set) var isReady = false
    /// Why nothing is taken from it any more.
    public private(set) var failure: VirtqueueError?
    /// Told once when the queue breaks. Set by the transport.
    var onFailure: ((VirtqueueError) -> Void)?

    // Valid while isReady: `size` descriptors of 16 bytes, an available ring of 6 + 2 * size bytes and a used ring of
    // 6 + 8 * size bytes, each in one region of `memory`, which this object keeps alive.
    private var descriptors: UnsafeMutableRawPointer?
    private var available: UnsafeMutableRawPointer?
    private var used: UnsafeMutableRawPointer?
    private var size: UInt16 = 0
    private var usesEventIndex = false
    private var allowsIndirect = false
    private var notifiesOnEmpty = false
    /// Set while isReady, where the driver has chosen a packed ring; all above but `size` is then unused.
    private var packed: PackedRing?

    /// The next entry of the available ring to take.
    private var nextAvailable: UInt16 = 0
    /// The driver's index as last seen.
    private var seenAvailable: UInt16 = 0
    /// The next entry of the used ring to fill, and the index that the driver was shown.
    private var nextUsed: UInt16 = 0, publishedUsed: UInt16 = 0
    /// Requests taken and not completed.
    public private(set) var inFlight = 0

    private static let descriptorSize = 16
    private static let ringHeader = 4

    /// A queue that the driver has not set up.
    public init(index: Int, maximumSize: UInt16, memory: GuestMemory) {
        self.index = index
        self.maximumSize = maximumSize
        self.memory = memory
        layout = VirtqueueLayout(size: maximumSize)
    }

    // MARK: Set-up

    /// Begins to use the rings of `layout`; a broken queue when they cannot be used.
    package func configure(features: VirtioFeatures) {
        reset(keepingLayout: true)
        size = layout.size
        usesEventIndex = features.contains(.eventIndex)
        allowsIndirect = features.contains(.indirectDescriptors)
        notifiesOnEmpty = features.contains(.notifyOnEmpty)
        if features.contains(.packedRing) {
            guard size > 0, size <= maximumSize,
                let ring = PackedRing(layout, features: features, memory: memory)
            else { return fail(.badRing) }
            packed = ring
            isReady = true
            return
        }
        let count = Int(size)
        guard size > 0, size <= maximumSize, size.nonzeroBitCount == 1, layout.isAligned,
            let descriptors = unsafe memory.hostPointer(
                at: layout.descriptors, count: count * Self.descriptorSize, writable: false),
            let available = unsafe memory.hostPointer(at: layout.available, count: 6 + count * 2, writable: false),
            let used = unsafe memory.hostPointer(at: layout.used, count: 6 + count * 8, writable: true)
        else { return fail(.badRing) }
        unsafe self.descriptors = descriptors
        unsafe self.available = available
        unsafe self.used = used
        isReady = true
    }

    /// What a saved machine keeps of the queue.
    ///
    /// A request that was taken and not completed is taken again afterwards: devices complete in the order of the ring,
    /// or have nothing in flight when the machine is saved.
    package struct State: Equatable, Sendable, Codable {
        var layout: VirtqueueLayout
        var isReady: Bool
        var nextUsed: UInt16, publishedUsed: UInt16
    }

    /// For a saved machine; no thread may use the queue meanwhile.
    package var state: State {
        // A packed ring is at one place, since all that is complete was shown.
        State(
            layout: layout, isReady: isReady, nextUsed: packed?.place ?? nextUsed,
            publishedUsed: packed?.place ?? publishedUsed)
    }

    /// Goes on where a saved queue stood. A ring that cannot be is a broken queue, as ever.
    package func restore(_ state: State, features: VirtioFeatures) {
        reset()
        layout = state.layout
        guard state.isReady else { return }
        configure(features: features)
        if let packed {
            if !packed.restore(state.nextUsed) { fail(.badRing) }
            return
        }
        nextUsed = state.nextUsed
        publishedUsed = state.publishedUsed
        nextAvailable = state.nextUsed
        seenAvailable = state.nextUsed
    }

    /// Puts the queue back to unconfigured; requests in flight are forgotten.
    func reset(keepingLayout: Bool = false) {
        isReady = false
        failure = nil
        unsafe descriptors = nil
        unsafe available = nil
        unsafe used = nil
        packed = nil
        nextAvailable = 0
        seenAvailable = 0
        nextUsed = 0
        publishedUsed = 0
        inFlight = 0
        if !keepingLayout { layout = VirtqueueLayout(size: maximumSize) }
    }

    /// Breaks the queue: the device needs a reset.
    public func fail(_ cause: VirtqueueError) {
        guard failure == nil else { return }
        failure = cause
        isReady = false
        onFailure?(cause)
    }

    // MARK: Taking requests

    /// Takes the next request. Nothing is allocated.
    /// - Returns: false when there is none, or the queue is not ready or has just broken.
    public func take(into chain: DescriptorChain) -> Bool {
        if let packed { return take(packed, into: chain) }
        guard isReady, let available = unsafe available else { return false }
        if nextAvailable == seenAvailable {
            guard refreshAvailable() else { return false }
        }
        guard inFlight < Int(size) else {
            fail(.tooManyInFlight)
            return false
        }
        // The entry's number is below `size`.
        let head = unsafe roost_load16(available + Self.ringHeader + Int(nextAvailable & (size &- 1)) * 2)
        if let cause = walk(from: head, into: chain) {
            fail(cause)
            return false
        }
        nextAvailable &+= 1
        inFlight += 1
        return true
    }

    private func take(_ ring: PackedRing, into chain: DescriptorChain) -> Bool {
        guard isReady, ring.hasRequests else { return false }
        if let cause = ring.take(into: chain) {
            fail(cause)
            return false
        }
        inFlight += 1
        return true
    }

    /// Whether a request waits; does not take it.
    public var hasRequests: Bool {
        guard isReady else { return false }
        if let packed { return packed.hasRequests }
        return nextAvailable != seenAvailable || refreshAvailable()
    }

    /// Gives the last `count` taken requests back, last first, as when a packet does not fit into them.
    public func untake(_ count: Int) {
        guard isReady, count >= 0, count <= inFlight else { return }
        packed?.untake(count)
        nextAvailable &-= UInt16(truncatingIfNeeded: count)
        inFlight -= count
    }

    /// Loads the driver's index. False when nothing new is there or it cannot be right.
    private func refreshAvailable() -> Bool {
        guard let available = unsafe available else { return false }
        // The acquire pairs with the driver's barrier between the entries and the index.
        seenAvailable = unsafe roost_load16_acquire(available + 2)
        let waiting = seenAvailable &- nextAvailable
        guard waiting <= size else {
            fail(.availableIndexJumped(waiting))
            return false
        }
        return waiting > 0
    }

    private enum Flag {
        static let next: UInt16 = 1, write: UInt16 = 2, indirect: UInt16 = 4
    }

    /// Follows a chain; nil is success.
    private func walk(from head: UInt16, into chain: DescriptorChain) -> VirtqueueError? {
        guard var table = unsafe descriptors else { return .badRing }
        var tableCount = Int(size)
        var number = head
        // A chain that visits more entries than its table has comes back to one of them.
        var left = tableCount
        var isIndirect = false
        chain.begin(head: head)
        while true {
            guard Int(number) < tableCount else { return .descriptorOutOfRange(number) }
            guard left > 0 else { return .loop }
            left -= 1
            // number < tableCount, and the table has that many entries.
            let entry = unsafe table + Int(number) * Self.descriptorSize
            let address = unsafe roost_load64(entry)
            let rest = unsafe roost_load64(entry + 8)
            let count = UInt32(truncatingIfNeeded: rest)
            let flags = UInt16(truncatingIfNeeded: rest >> 32)
            number = UInt16(truncatingIfNeeded: rest >> 48)
            if flags & Flag.indirect != 0 {
                let length = Int(count)
                guard !isIndirect, allowsIndirect, flags & Flag.next == 0, length > 0,
                    length % Self.descriptorSize == 0, address % 8 == 0
                else { return .badIndirectTable }
                guard let inner = unsafe memory.hostPointer(at: address, count: length, writable: false) else {
                    return .notMemory(address)
                }
                unsafe table = inner
                tableCount = length / Self.descriptorSize
                left = min(tableCount, DescriptorChain.maximumCount + 1)
                number = 0
                isIndirect = true
                continue
            }
            if let cause = chain.append(address: address, count: count, isWritable: flags & Flag.write != 0) {
                return cause
            }
            if flags & Flag.next == 0 { return nil }
        }
    }

    // MARK: Completing requests

    /// Puts a finished request into the used ring; the driver sees it after `publish`.
    /// - Parameter written: bytes that the device has written into the request's buffers.
    public func complete(_ head: UInt16, written: Int) {
        if let packed, isReady, inFlight > 0 {
            packed.complete(head, written: written)
            inFlight -= 1
            return
        }
        guard isReady, inFlight > 0, let used = unsafe used else { return }
        // The entry's number is below `size`.
        let entry = unsafe used + Self.ringHeader + Int(nextUsed & (size &- 1)) * 8
        unsafe roost_store32(entry, UInt32(head))
        unsafe roost_store32(entry + 4, UInt32(truncatingIfNeeded: written))
        nextUsed &+= 1
        inFlight -= 1
    }

    /// Shows the driver everything completed since the last call.
    /// - Returns: whether the driver wants to be interrupted for it.
    public func publish() -> Bool {
        if let packed, isReady { return packed.publish() }
        guard isReady, nextUsed != publishedUsed, let used = unsafe used, let available = unsafe available else {
            return false
        }
        let before = publishedUsed
        publishedUsed = nextUsed
        // The release orders the entries before the index.
        unsafe roost_store16_release(used + 2, nextUsed)
        memory.markWritten(at: layout.used, count: 6 + Int(size) * 8)
        // The index is visible before the driver's wish is read: whoever comes second sees the other.
        roost_full_fence()
        if notifiesOnEmpty, inFlight == 0, unsafe roost_load16(available + 2) == nextAvailable { return true }
        guard usesEventIndex else {
            // Bit 0 of the flags: no interrupt wanted.
            return unsafe roost_load16(available) & 1 == 0
        }
        let event = unsafe roost_load16(available + Self.ringHeader + Int(size) * 2)
        return nextUsed &- event &- 1 < nextUsed &- before
    }

    // MARK: Notifications from the driver

    /// Asks the driver not to notify while the device looks at the queue anyway. Only a wish.
    public func disableNotifications() {
        if let packed, isReady { return packed.disableNotifications() }
        guard isReady, !usesEventIndex, let used = unsafe used else { return }
        unsafe roost_store16(used, 1)
    }

    /// Asks for notifications again.
    /// - Returns: true when a request came in meanwhile: look again, no notification will come for it.
    public func enableNotifications() -> Bool {
        if let packed, isReady { return packed.enableNotifications() }
        guard isReady, let used = unsafe used, let available = unsafe available else { return false }
        if usesEventIndex {
            unsafe roost_store16(used + Self.ringHeader + Int(size) * 8, nextAvailable)
        } else {
            unsafe roost_store16(used, 0)
        }
        // The wish is visible before the index is read.
        roost_full_fence()
        return unsafe roost_load16(available + 2) != nextAvailable
    }
}
