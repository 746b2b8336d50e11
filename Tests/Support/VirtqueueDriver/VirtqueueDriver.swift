// SPDX-License-Identifier: Apache-2.0

public import GuestMemory

/// A driver's side of one split virtqueue, in the memory of a machine that is not there.
public final class VirtqueueDriver {
    /// A finished request.
    public struct Used: Equatable {
        /// Of the chain, as `add` returned it.
        public let head: UInt16
        /// Bytes that the device says it has written.
        public let written: Int
        /// What the buffers for writing hold now.
        public let bytes: [UInt8]
        public init(head: UInt16, written: Int, bytes: [UInt8]) {
            self.head = head
            self.written = written
            self.bytes = bytes
        }
    }

    public let memory: GuestMemory
    public let size: UInt16
    public let descriptors: UInt64, available: UInt64, used: UInt64
    /// Use one descriptor of the ring for each request, and a table for the rest.
    public var usesIndirect = false
    /// Follow event indices in `wantsNotification`.
    public var usesEventIndex = false
    /// Guest-physical memory for buffers.
    public private(set) var nextBuffer: UInt64
    private let bufferBase: UInt64, bufferEnd: UInt64
    private var free: [UInt16]
    private var buffers: [UInt16: (chain: [UInt16], writable: [(UInt64, Int)])] = [:]
    public private(set) var availableIndex: UInt16 = 0
    private var seenUsed: UInt16 = 0
    private var notifiedIndex: UInt16 = 0

    /// Lays the rings out as a legacy driver would, from `base` on, and buffers up to `end`.
    public init(_ memory: GuestMemory, base: UInt64, end: UInt64, size: UInt16) {
        self.memory = memory
        self.size = size
        descriptors = base
        available = base + UInt64(size) * 16
        used = (available + 6 + UInt64(size) * 2 + 4095) & ~4095
        bufferBase = (used + 6 + UInt64(size) * 8 + 4095) & ~4095
        nextBuffer = bufferBase
        bufferEnd = end
        free = (0..<size).reversed()
        for address in stride(from: base, to: bufferBase, by: 8) { poke(UInt64(0), address) }
    }

    private func poke<Value: FixedWidthInteger & BitwiseCopyable>(_ value: Value, _ address: UInt64) {
        do { try memory.store(value, at: address) } catch { fatalError("the test's ring is not in memory: \(error)") }
    }

    private func peek<Value: FixedWidthInteger & BitwiseCopyable>(_ address: UInt64, _: Value.Type = Value.self)
        -> Value
    {
        do { return try memory.load(at: address) } catch { fatalError("the test's ring is not in memory: \(error)") }
    }

    /// Room for a buffer.
    public func allocate(_ count: Int) -> UInt64 {
        if nextBuffer + UInt64(count) > bufferEnd { nextBuffer = bufferBase }
        defer { nextBuffer += UInt64((count + 15) & ~15) }
        return nextBuffer
    }

    /// Writes a descriptor as it stands.
    public func setDescriptor(
        _ index: UInt16, address: UInt64, count: UInt32, flags: UInt16, next: UInt16 = 0, table: UInt64? = nil
    ) {
        let place = (table ?? descriptors) + UInt64(index) * 16
        poke(address, place)
        poke(count, place + 8)
        poke(flags, place + 12)
        poke(next, place + 14)
    }

    /// Puts a chain's head into the available ring and shows it to the device.
    public func makeAvailable(_ head: UInt16) {
        poke(head, available + 4 + UInt64(availableIndex % size) * 2)
        availableIndex &+= 1
        poke(availableIndex, available + 2)
    }

    /// Overwrites the index of the available ring.
    public func setAvailableIndex(_ index: UInt16) {
        availableIndex = index
        poke(index, available + 2)
    }

    /// A request with parts for the device to read and to write. Returns the head; nil when the ring is full.
    @discardableResult
    public func add(reading: [[UInt8]] = [], writing: [Int] = []) -> UInt16? {
        var parts: [(address: UInt64, count: Int, isWritable: Bool)] = []
        for bytes in reading {
            let address = allocate(bytes.count)
            do { try memory.write(bytes, at: address) } catch { fatalError("\(error)") }
            parts.append((address, bytes.count, false))
        }
        for count in writing { parts.append((allocate(count), count, true)) }
        let needed = usesIndirect ? 1 : parts.count
        guard free.count >= needed, needed > 0 else { return nil }
        let chain = (0..<needed).map { _ in free.removeLast() }
        let table = usesIndirect ? allocate(parts.count * 16) : nil
        for (place, part) in parts.enumerated() {
            let isLast = place == parts.count - 1
            let index = usesIndirect ? UInt16(place) : chain[place]
            let next = isLast ? 0 : usesIndirect ? UInt16(place + 1) : chain[place + 1]
            setDescriptor(
                index, address: part.address, count: UInt32(part.count),
                flags: (part.isWritable ? 2 : 0) | (isLast ? 0 : 1), next: next, table: table)
        }
        if let table { setDescriptor(chain[0], address: table, count: UInt32(parts.count * 16), flags: 4) }
        buffers[chain[0]] = (chain, parts.filter(\.isWritable).map { ($0.address, $0.count) })
        makeAvailable(chain[0])
        return chain[0]
    }

    /// What the device is done with, in its order.
    public func takeUsed() -> [Used] {
        var found: [Used] = []
        while seenUsed != peek(used + 2, UInt16.self) {
            let entry = used + 4 + UInt64(seenUsed % size) * 8
            let head = UInt16(truncatingIfNeeded: peek(entry, UInt32.self))
            let written = Int(peek(entry + 4, UInt32.self))
            seenUsed &+= 1
            guard let request = buffers.removeValue(forKey: head) else {
                found.append(Used(head: head, written: written, bytes: []))
                continue
            }
            free += request.chain
            var bytes: [UInt8] = []
            for (address, count) in request.writable {
                bytes += (try? memory.read(at: address, count: count)) ?? []
            }
            found.append(Used(head: head, written: written, bytes: bytes))
        }
        if usesEventIndex { poke(seenUsed, available + 4 + UInt64(size) * 2) }
        return found
    }

    /// Requests that the device has not finished.
    public var outstanding: Int { buffers.count }

    /// The index that the device has shown.
    public var usedIndex: UInt16 { peek(used + 2) }

    /// Whether the device wants to hear of what was made available since this was last asked.
    public var wantsNotification: Bool {
        defer { notifiedIndex = availableIndex }
        guard usesEventIndex else { return peek(used, UInt16.self) & 1 == 0 }
        let event: UInt16 = peek(used + 4 + UInt64(size) * 8)
        return availableIndex &- event &- 1 < availableIndex &- notifiedIndex
    }

    /// Asks for interrupts or not, without event indices.
    public func setInterrupts(_ on: Bool) { poke(UInt16(on ? 0 : 1), available) }
    /// Asks for an interrupt when the used index passes `index`.
    public func setUsedEvent(_ index: UInt16) { poke(index, available + 4 + UInt64(size) * 2) }
}
