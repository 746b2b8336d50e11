// SPDX-License-Identifier: Apache-2.0

/// A read past the end of the bytes.
public struct ByteRangeError: Error, Equatable, Sendable, CustomStringConvertible {
    /// Where the read began.
    public let offset: Int
    /// How many bytes it wanted.
    public let wanted: Int
    /// How many bytes there are in all.
    public let available: Int

    /// A read of `wanted` bytes at `offset` of `available`.
    public init(offset: Int, wanted: Int, available: Int) {
        self.offset = offset
        self.wanted = wanted
        self.available = available
    }

    /// Names offset and sizes, for the error about the file they are of.
    public var description: String { "\(wanted) bytes wanted at offset \(offset), but there are only \(available)" }
}

/// Reads fields one after the other from bytes that came from outside.
public struct ByteReader: Sendable {
    /// What is read.
    public let bytes: [UInt8]
    /// The offset of the next read; past the end, each read fails.
    public var offset: Int
    /// How integers are stored.
    public let order: ByteOrder

    /// A reader at the first byte.
    public init(_ bytes: [UInt8], order: ByteOrder = .little, at offset: Int = 0) {
        self.bytes = bytes
        self.order = order
        self.offset = offset
    }

    /// Bytes not read yet.
    public var remaining: Int { Swift.max(0, bytes.count &- Swift.max(0, offset)) }

    /// The next integer.
    public mutating func read<Value: FixedWidthInteger>(
        _ type: Value.Type = Value.self
    ) throws(ByteRangeError) -> Value {
        guard let value = bytes.load(type, at: offset, order: order) else { throw failure(Value.bitWidth / 8) }
        offset += Value.bitWidth / 8
        return value
    }

    /// The next `count` bytes.
    public mutating func read(count: Int) throws(ByteRangeError) -> [UInt8] {
        guard let field = bytes.bytes(at: offset, count: count) else { throw failure(count) }
        offset += count
        return field
    }

    /// Passes over `count` bytes.
    public mutating func skip(_ count: Int) throws(ByteRangeError) {
        guard count >= 0, count <= remaining else { throw failure(count) }
        offset += count
    }

    private func failure(_ wanted: Int) -> ByteRangeError {
        ByteRangeError(offset: offset, wanted: wanted, available: bytes.count)
    }
}
