// SPDX-License-Identifier: Apache-2.0

internal import Glibc

/// A bounded view of host memory that a request reads from or writes to: guest RAM, a bounce buffer, a cached table.
///
/// Whoever makes one promises that the memory outlives every use, by naming an owner that the region keeps alive or in
/// another way; that promise is the one unsafe step (`init(unsafe:count:owner:)`), every access afterwards is checked
/// against the bounds. A block node uses a region only until the call that it was passed to returns.
@safe @frozen
public struct ByteRegion: @unchecked Sendable {
    /// The first byte.
    public let base: UnsafeMutableRawPointer
    /// The length in bytes.
    public let count: Int
    /// What keeps the memory allocated; nil when somebody else sees to it.
    public let owner: AnyObject?

    /// A view of memory that the caller keeps alive, and that no Swift reference aliases in a conflicting way.
    @inlinable
    public init(unsafe base: UnsafeMutableRawPointer, count: Int, owner: AnyObject? = nil) {
        precondition(count >= 0)
        unsafe self.base = base
        self.count = count
        self.owner = owner
    }

    /// A part of the region; it must lie inside.
    @inlinable
    public func slice(_ offset: Int, _ length: Int) -> ByteRegion {
        precondition(offset >= 0 && length >= 0 && offset <= count && length <= count - offset)
        // Inside the bounds that were just checked.
        return unsafe ByteRegion(unsafe: base + offset, count: length, owner: owner)
    }

    /// Everything from `offset` on.
    @inlinable
    public func from(_ offset: Int) -> ByteRegion { slice(offset, count - offset) }

    /// One byte.
    @inlinable
    public subscript(index: Int) -> UInt8 {
        get {
            precondition(index >= 0 && index < count)
            return unsafe base.load(fromByteOffset: index, as: UInt8.self)
        }
        nonmutating set {
            precondition(index >= 0 && index < count)
            unsafe base.storeBytes(of: newValue, toByteOffset: index, as: UInt8.self)
        }
    }

    /// A big-endian integer at a byte offset, aligned or not.
    @inlinable
    public func bigEndian<Integer: FixedWidthInteger>(
        at offset: Int, as type: Integer.Type = Integer.self
    ) -> Integer {
        precondition(offset >= 0 && offset <= count - MemoryLayout<Integer>.size)
        // In bounds; any bit pattern is a valid integer.
        return unsafe Integer(bigEndian: base.loadUnaligned(fromByteOffset: offset, as: Integer.self))
    }

    /// A little-endian integer at a byte offset, aligned or not.
    @inlinable
    public func littleEndian<Integer: FixedWidthInteger>(
        at offset: Int, as type: Integer.Type = Integer.self
    ) -> Integer {
        precondition(offset >= 0 && offset <= count - MemoryLayout<Integer>.size)
        return unsafe Integer(littleEndian: base.loadUnaligned(fromByteOffset: offset, as: Integer.self))
    }

    /// Stores a big-endian integer.
    @inlinable
    public func storeBigEndian<Integer: FixedWidthInteger>(_ value: Integer, at offset: Int) {
        precondition(offset >= 0 && offset <= count - MemoryLayout<Integer>.size)
        unsafe base.storeBytes(of: value.bigEndian, toByteOffset: offset, as: Integer.self)
    }

    /// Stores a little-endian integer.
    @inlinable
    public func storeLittleEndian<Integer: FixedWidthInteger>(_ value: Integer, at offset: Int) {
        precondition(offset >= 0 && offset <= count - MemoryLayout<Integer>.size)
        unsafe base.storeBytes(of: value.littleEndian, toByteOffset: offset, as: Integer.self)
    }

    /// Copies all of `source` to the beginning of this region, which must be long enough. The two may overlap.
    @inlinable
    public func copy(from source: ByteRegion) {
        precondition(source.count <= count)
        unsafe base.copyMemory(from: source.base, byteCount: source.count)
    }

    /// Copies bytes to the beginning of this region, which must be long enough.
    public func copy(from bytes: [UInt8]) {
        precondition(bytes.count <= count)
        unsafe bytes.withUnsafeBytes { source in
            if let start = source.baseAddress { unsafe base.copyMemory(from: start, byteCount: source.count) }
        }
    }

    /// Sets every byte.
    @inlinable
    public func fill(_ byte: UInt8) {
        unsafe base.initializeMemory(as: UInt8.self, repeating: byte, count: count)
    }

    /// Whether every byte is zero. About 10 GB/s.
    public var isZero: Bool {
        if count == 0 { return true }
        if self[0] != 0 || self[count - 1] != 0 { return false }
        // The block equals itself shifted by one byte only when all bytes are equal, and the first is zero. Both ranges
        // lie inside the region.
        return unsafe memcmp(base, base + 1, count - 1) == 0
    }

    /// Whether both regions hold the same bytes.
    public func isEqual(to other: ByteRegion) -> Bool {
        // Both are valid for the common length, which was compared first.
        unsafe count == other.count && memcmp(base, other.base, count) == 0
    }

    /// The bytes as an array.
    public var bytes: [UInt8] {
        unsafe [UInt8](UnsafeRawBufferPointer(start: base, count: count))
    }

    /// The memory as a buffer pointer, for calls that need one; valid as long as the region's memory.
    @unsafe @inlinable
    public var buffer: UnsafeMutableRawBufferPointer { unsafe UnsafeMutableRawBufferPointer(start: base, count: count) }
}

/// Memory that a region can point to, aligned for direct I/O and freed with its last reference.
@safe
public final class AlignedBuffer: @unchecked Sendable {
    private let base: UnsafeMutableRawPointer
    private let count: Int

    /// The whole memory; the region keeps it allocated.
    public var region: ByteRegion { unsafe ByteRegion(unsafe: base, count: count, owner: self) }

    /// Allocates `count` bytes with undefined content.
    /// - Parameter alignment: a power of two; 4096 suits every device's direct I/O.
    public init(count: Int, alignment: Int = 4096) {
        // Freed exactly once, in deinit.
        unsafe base = .allocate(byteCount: max(count, 1), alignment: alignment)
        self.count = count
    }

    /// Allocates and sets all bytes to zero.
    public convenience init(zeroed count: Int) {
        self.init(count: count)
        region.fill(0)
    }

    deinit { unsafe base.deallocate() }
}

extension Array<UInt8> {
    /// Lends the array's bytes as a region for the length of `body`. The body must not write to it.
    public func withRegion<Result, Failure>(_ body: (ByteRegion) throws(Failure) -> Result) throws(Failure) -> Result {
        let copy = AlignedBuffer(count: count)
        copy.region.copy(from: self)
        return try body(copy.region)
    }
}
