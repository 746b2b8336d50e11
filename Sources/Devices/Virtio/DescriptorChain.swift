// SPDX-License-Identifier: Apache-2.0

public import CLinux
public import GuestMemory

/// One request as the driver laid it out: what the device reads, then what it writes (Virtio 1.2, 2.7.4).
///
/// The buffers are kept as host addresses with lengths, each checked to lie in guest memory when the chain was taken
/// from its queue. The object is reused from request to request, so that taking one allocates nothing. One thread at a
/// time uses it.
@safe
public final class DescriptorChain: @unchecked Sendable {
    /// Descriptors that a chain may have, after those that span two regions of memory were split.
    public static let maximumCount = 1024
    private static let initialCapacity = 16

    /// Names the request in the used ring.
    public private(set) var head: UInt16 = 0
    /// Bytes that the device reads.
    public private(set) var readableCount = 0
    /// Bytes that the device may write.
    public private(set) var writableCount = 0
    /// The queue's memory.
    public let memory: GuestMemory

    // `vectors` and `addresses` hold `capacity` entries, of which [first, writableStart) are readable and
    // [writableStart, end) writable.
    private var vectors: UnsafeMutablePointer<iovec>
    private var addresses: UnsafeMutablePointer<UInt64>
    private var capacity = initialCapacity
    private var first = 0
    private var writableStart = 0
    private var end = 0

    /// An empty chain for the queues of one machine.
    public init(memory: GuestMemory) {
        self.memory = memory
        unsafe vectors = .allocate(capacity: Self.initialCapacity)
        unsafe addresses = .allocate(capacity: Self.initialCapacity)
        // No bytes: never matches.
        unsafe recent = KnownRegion(start: 0, count: 0, base: UnsafeMutableRawPointer(vectors), isWritable: false)
    }

    deinit {
        unsafe vectors.deallocate()
        unsafe addresses.deallocate()
    }

    // MARK: Building

    func begin(head: UInt16) {
        self.head = head
        readableCount = 0
        writableCount = 0
        first = 0
        writableStart = 0
        end = 0
    }

    /// Names the request otherwise: a packed ring tells the name last.
    func rename(head: UInt16) { self.head = head }

    /// Adds a buffer. `nil` is success, else what is wrong with it.
    func append(address: UInt64, count: UInt32, isWritable: Bool) -> VirtqueueError? {
        if !isWritable, end > writableStart { return .readableAfterWritable }
        guard count > 0 else { return .emptyBuffer }
        var place = address
        var left = Int(count)
        while left > 0 {
            guard end < Self.maximumCount else { return .chainTooLong }
            let known = recent
            let offset = place &- known.start
            if offset < known.count, known.isWritable || !isWritable {
                // Both bounds hold: the part ends with the region at the latest.
                let part = Int(min(UInt64(left), known.count - offset))
                unsafe put(known.base + Int(offset), count: part, address: place)
                place &+= UInt64(part)
                left -= part
                continue
            }
            guard let region = memory.region(at: place), !(isWritable && region.isReadOnly) else {
                return .notMemory(address)
            }
            unsafe recent = KnownRegion(
                start: region.start, count: region.count, base: region.base, isWritable: !region.isReadOnly)
        }
        if isWritable {
            writableCount += Int(count)
        } else {
            readableCount += Int(count)
            writableStart = end
        }
        return nil
    }

    /// The region that the last buffer lay in: most buffers lie in the same, and the memory map never changes while a
    /// machine runs.
    @safe
    private struct KnownRegion {
        let start: UInt64, count: UInt64
        let base: UnsafeMutableRawPointer
        let isWritable: Bool
    }
    private var recent: KnownRegion

    private func put(_ pointer: UnsafeMutableRawPointer, count: Int, address: UInt64) {
        if end == capacity { grow() }
        // end < capacity after grow().
        unsafe vectors[end] = iovec(iov_base: pointer, iov_len: count)
        unsafe addresses[end] = address
        end += 1
    }

    private func grow() {
        let larger = capacity * 2
        // Both blocks hold `larger` entries, more than the `end` that are copied.
        let newVectors = UnsafeMutablePointer<iovec>.allocate(capacity: larger)
        let newAddresses = UnsafeMutablePointer<UInt64>.allocate(capacity: larger)
        unsafe newVectors.update(from: vectors, count: end)
        unsafe newAddresses.update(from: addresses, count: end)
        unsafe vectors.deallocate()
        unsafe addresses.deallocate()
        unsafe vectors = newVectors
        unsafe addresses = newAddresses
        capacity = larger
    }

    // MARK: The buffers

    /// The buffers that the device reads; valid until the chain is used again.
    public var readableVectors: UnsafeMutableBufferPointer<iovec> {
        // first <= writableStart <= end <= capacity.
        unsafe UnsafeMutableBufferPointer(start: vectors + first, count: writableStart - first)
    }

    /// The buffers that the device writes; valid until the chain is used again.
    public var writableVectors: UnsafeMutableBufferPointer<iovec> {
        // As above.
        unsafe UnsafeMutableBufferPointer(start: vectors + writableStart, count: end - writableStart)
    }

    /// Takes `count` bytes off the front of what the device reads, as when a header was read.
    /// - Returns: false, with nothing taken, when there are not as many.
    public func dropReadable(_ count: Int) -> Bool {
        guard count >= 0, count <= readableCount else { return false }
        var left = count
        while left > 0 {
            // readableCount is the sum of the lengths of these entries, so there is one.
            let length = unsafe vectors[first].iov_len
            if length > left {
                unsafe vectors[first].iov_base += left
                unsafe vectors[first].iov_len -= left
                unsafe addresses[first] &+= UInt64(left)
                break
            }
            left -= length
            first += 1
        }
        readableCount -= count
        return true
    }

    /// Takes `count` bytes off the end of what the device writes, as when a status byte is kept apart.
    /// - Returns: false, with nothing taken, when there are not as many.
    public func dropWritableTail(_ count: Int) -> Bool {
        guard count >= 0, count <= writableCount else { return false }
        var left = count
        while left > 0 {
            // writableCount is the sum of the lengths of these entries, so there is one.
            let length = unsafe vectors[end - 1].iov_len
            if length > left {
                unsafe vectors[end - 1].iov_len -= left
                break
            }
            left -= length
            end -= 1
        }
        writableCount -= count
        return true
    }

    /// Takes the last byte off what the device writes, where disks put their status.
    /// - Returns: its guest-physical address; nil when the device may write nothing.
    public func takeLastWritableByte() -> UInt64? {
        guard writableCount > 0 else { return nil }
        // writableCount counts the bytes of these entries, so the last one has some.
        let address = unsafe addresses[end - 1] &+ UInt64(vectors[end - 1].iov_len - 1)
        _ = dropWritableTail(1)
        return address
    }

    // MARK: Copies

    /// Copies what the device reads, from `offset` bytes into it, as far as both go.
    /// - Returns: bytes copied.
    @discardableResult
    public func read(into buffer: UnsafeMutableRawBufferPointer, at offset: Int = 0) -> Int {
        var done = 0
        unsafe forEach(first, writableStart, offset: offset, limit: buffer.count) { pointer, count, _ in
            // forEach hands out at most `limit` bytes in all.
            unsafe (buffer.baseAddress! + done).copyMemory(from: pointer, byteCount: count)
            done += count
        }
        return done
    }

    /// Copies into what the device writes, from `offset` bytes into it, as far as both go, and marks the pages.
    /// - Returns: bytes copied.
    @discardableResult
    public func write(_ buffer: UnsafeRawBufferPointer, at offset: Int = 0) -> Int {
        var done = 0
        unsafe forEach(writableStart, end, offset: offset, limit: buffer.count) { pointer, count, address in
            // As in read.
            unsafe pointer.copyMemory(from: buffer.baseAddress! + done, byteCount: count)
            memory.markWritten(at: address, count: count)
            done += count
        }
        return done
    }

    /// Fills what the device writes with zeroes, at most `count` bytes from `offset`.
    public func zero(at offset: Int, count: Int) {
        unsafe forEach(writableStart, end, offset: offset, limit: count) { pointer, part, address in
            // The part lies inside a checked buffer.
            unsafe pointer.initializeMemory(as: UInt8.self, repeating: 0, count: part)
            memory.markWritten(at: address, count: part)
        }
    }

    /// Marks the pages of the first `count` writable bytes, which were written through `writableVectors`.
    public func markWritten(count: Int) {
        unsafe forEach(writableStart, end, offset: 0, limit: count) { _, part, address in
            memory.markWritten(at: address, count: part)
        }
    }

    /// A little-endian integer of what the device reads; nil where it does not fit.
    public func load<Value: FixedWidthInteger & BitwiseCopyable>(
        _ type: Value.Type = Value.self, at offset: Int
    ) -> Value? {
        var value: Value = 0
        // The integer lives on this frame; every bit pattern is valid.
        let count = unsafe withUnsafeMutableBytes(of: &value) { unsafe read(into: $0, at: offset) }
        return count == MemoryLayout<Value>.size ? Value(littleEndian: value) : nil
    }

    /// Stores a little-endian integer into what the device writes.
    /// - Returns: false where it did not fit whole.
    @discardableResult
    public func store<Value: FixedWidthInteger & BitwiseCopyable>(_ value: Value, at offset: Int) -> Bool {
        var little = value.littleEndian
        // As in load.
        return unsafe withUnsafeBytes(of: &little) { unsafe write($0, at: offset) } == MemoryLayout<Value>.size
    }

    /// What the device reads, as an array; for control messages, bounded by `limit`.
    public func readBytes(limit: Int) -> [UInt8] {
        var bytes = [UInt8](repeating: 0, count: min(readableCount, max(0, limit)))
        // read copies at most the array's length.
        unsafe bytes.withUnsafeMutableBytes { buffer in _ = unsafe read(into: buffer) }
        return bytes
    }

    /// Writes an array. Returns the bytes that fitted.
    @discardableResult
    public func write(_ bytes: [UInt8], at offset: Int = 0) -> Int {
        unsafe bytes.withUnsafeBytes { unsafe write($0, at: offset) }
    }

    @inline(__always)
    private func forEach(
        _ from: Int, _ to: Int, offset: Int, limit: Int,
        _ body: (UnsafeMutableRawPointer, _ count: Int, _ address: UInt64) -> Void
    ) {
        var skip = offset
        var left = limit
        var index = from
        while index < to, left > 0 {
            // index < to <= capacity; each entry is a checked buffer.
            let length = unsafe vectors[index].iov_len
            if skip >= length {
                skip -= length
            } else {
                let part = min(length - skip, left)
                unsafe body(vectors[index].iov_base + skip, part, addresses[index] &+ UInt64(skip))
                left -= part
                skip = 0
            }
            index += 1
        }
    }
}
