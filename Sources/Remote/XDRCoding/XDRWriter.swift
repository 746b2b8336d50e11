// SPDX-License-Identifier: Apache-2.0

/// Writes XDR (RFC 4506).
public struct XDRWriter {
    /// What was written.
    public private(set) var bytes: [UInt8] = []

    /// An empty message with room for `capacity` bytes.
    public init(capacity: Int = 64) { bytes.reserveCapacity(capacity) }

    /// A 32-bit word.
    public mutating func word(_ value: UInt32) {
        bytes.append(UInt8(truncatingIfNeeded: value >> 24))
        bytes.append(UInt8(truncatingIfNeeded: value >> 16))
        bytes.append(UInt8(truncatingIfNeeded: value >> 8))
        bytes.append(UInt8(truncatingIfNeeded: value))
    }

    /// A 64-bit word.
    public mutating func hyper(_ value: UInt64) {
        word(UInt32(truncatingIfNeeded: value >> 32))
        word(UInt32(truncatingIfNeeded: value))
    }

    /// Bytes and their padding, without a count.
    public mutating func fixed(_ value: some Collection<UInt8>) {
        bytes.append(contentsOf: value)
        for _ in 0..<(-value.count & 3) { bytes.append(0) }
    }

    /// A count, the bytes and their padding.
    public mutating func counted(_ value: some Collection<UInt8>) {
        word(UInt32(truncatingIfNeeded: value.count))
        fixed(value)
    }

    /// Bytes as they are.
    public mutating func raw(_ value: some Collection<UInt8>) { bytes.append(contentsOf: value) }

    /// Overwrites a word that was written before.
    /// - Precondition: `offset + 4` bytes were written.
    public mutating func patch(_ value: UInt32, at offset: Int) {
        for place in 0..<4 { bytes[offset + place] = UInt8(truncatingIfNeeded: value >> (24 - 8 * UInt32(place))) }
    }
}
