// SPDX-License-Identifier: Apache-2.0

internal import ByteCoding

/// The configuration registers of a function with what a write may change.
///
/// Each accessor takes any offset and any value: outside of the space reads are all ones and writes are dropped.
public struct PCIConfigSpace: Sendable {
    /// Bytes of conventional and of extended configuration space.
    public static let conventionalSize = 256, extendedSize = 4096

    /// The registers as the guest reads them.
    public private(set) var bytes: [UInt8]
    /// Bits that a guest's write replaces.
    private var writable: [UInt8]
    /// Bits that a guest clears by writing one.
    private var clearable: [UInt8]

    /// All zero and read-only.
    public init(size: Int) {
        bytes = [UInt8](repeating: 0, count: size)
        writable = bytes
        clearable = bytes
    }

    /// Bytes of space.
    public var count: Int { bytes.count }

    /// A register's value; all ones outside.
    public func get<Value: FixedWidthInteger & UnsignedInteger>(
        _ offset: Int, as type: Value.Type = Value.self
    ) -> Value { bytes.load(type, at: offset) ?? Value.max }

    /// Sets a register past all masks, as the device does.
    public mutating func set<Value: FixedWidthInteger & UnsignedInteger>(_ offset: Int, _ value: Value) {
        bytes.store(value, at: offset)
    }

    /// Sets and clears bits past all masks.
    public mutating func set(_ offset: Int, setting: UInt16 = 0, clearing: UInt16 = 0) {
        let old: UInt16 = get(offset)
        set(offset, old & ~clearing | setting)
    }

    /// Bits that the guest may write.
    public mutating func setWritable<Value: FixedWidthInteger & UnsignedInteger>(_ offset: Int, _ mask: Value) {
        writable.store(mask, at: offset)
    }

    /// Bits that the guest clears by writing one.
    public mutating func setClearable<Value: FixedWidthInteger & UnsignedInteger>(_ offset: Int, _ mask: Value) {
        clearable.store(mask, at: offset)
    }

    /// A guest's read of 1, 2 or 4 bytes; bytes outside are ones.
    public func guestRead(offset: Int, size: Int) -> UInt32 {
        var value: UInt32 = 0
        for index in 0..<min(max(size, 0), 4) {
            let place = offset &+ index
            let byte = bytes.indices.contains(place) ? bytes[place] : 0xFF
            value |= UInt32(byte) << UInt32(index * 8)
        }
        return value
    }

    /// A guest's write of 1, 2 or 4 bytes through the masks.
    public mutating func guestWrite(offset: Int, size: Int, value: UInt32) {
        for index in 0..<min(max(size, 0), 4) {
            let place = offset &+ index
            guard bytes.indices.contains(place) else { continue }
            let byte = UInt8(truncatingIfNeeded: value >> UInt32(index * 8))
            let replaced = bytes[place] & ~writable[place] | byte & writable[place]
            bytes[place] = replaced & ~(byte & clearable[place])
        }
    }

    /// Puts each bit that a guest can change in `range` back to 0.
    mutating func clearGuestBits(in range: Range<Int>) {
        for place in range.clamped(to: bytes.indices) { bytes[place] &= ~(writable[place] | clearable[place]) }
    }

    /// Replaces all registers by saved ones of the same size.
    mutating func restore(_ saved: [UInt8]) {
        if saved.count == bytes.count { bytes = saved }
    }
}
