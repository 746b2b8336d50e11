// SPDX-License-Identifier: Apache-2.0

/// Builds a run of bytes field by field.
public struct ByteBuilder: Equatable, Sendable {
    /// What was appended so far.
    public private(set) var bytes: [UInt8]
    /// How integers are stored.
    public let order: ByteOrder

    /// A builder that continues `bytes`.
    public init(_ bytes: [UInt8] = [], order: ByteOrder = .little) {
        self.bytes = bytes
        self.order = order
    }

    /// Bytes so far: the offset of what is appended next.
    public var count: Int { bytes.count }

    /// Appends an integer in the builder's order.
    public mutating func append<Value: FixedWidthInteger>(_ value: Value) {
        let size = Value.bitWidth / 8
        let place = bytes.count
        bytes.append(contentsOf: repeatElement(0, count: size))
        bytes.store(value, at: place, order: order)
    }

    /// Appends bytes.
    public mutating func append(bytes more: some Sequence<UInt8>) { bytes.append(contentsOf: more) }

    /// Appends text as UTF-8 without an end mark.
    public mutating func append(text: String) { bytes.append(contentsOf: text.utf8) }

    /// Appends exactly `count` bytes of text: cut, or filled up with `filler`.
    public mutating func append(text: String, count: Int, filler: UInt8 = 0) {
        let field = text.utf8.prefix(Swift.max(0, count))
        bytes.append(contentsOf: field)
        append(zeros: count - field.count, value: filler)
    }

    /// Appends `count` equal bytes; nothing for a count of 0 or less.
    public mutating func append(zeros count: Int, value: UInt8 = 0) {
        if count > 0 { bytes.append(contentsOf: repeatElement(value, count: count)) }
    }

    /// Fills up to a multiple of `alignment` bytes.
    public mutating func align(to alignment: Int, value: UInt8 = 0) {
        guard alignment > 1 else { return }
        append(zeros: (alignment - bytes.count % alignment) % alignment, value: value)
    }

    /// Fills up to `count` bytes in all; nothing when there are as many already.
    public mutating func pad(to count: Int, value: UInt8 = 0) { append(zeros: count - bytes.count, value: value) }

    /// Overwrites an integer that was appended before.
    /// - Precondition: it lies inside what was appended.
    public mutating func patch<Value: FixedWidthInteger>(_ value: Value, at offset: Int) {
        precondition(bytes.store(value, at: offset, order: order), "patch outside of the built bytes")
    }
}
