// SPDX-License-Identifier: Apache-2.0

/// A message that is not what its type says.
public enum XDRError: Error, Equatable, Sendable, CustomStringConvertible {
    /// The message ends inside a value.
    case truncated
    /// A string or array is longer than the protocol allows.
    case tooLong(count: UInt32, limit: Int)
    /// A string is no UTF-8 or contains a zero byte.
    case badText
    /// An optional's or union's tag is none of those that exist.
    case badTag(UInt32)

    /// One line for the error that the sender of the message gets.
    public var description: String {
        switch self {
        case .truncated: "the message ends inside a value"
        case .tooLong(let count, let limit): "\(count) elements where at most \(limit) are allowed"
        case .badText: "a string is no UTF-8"
        case .badTag(let tag): "tag \(tag) does not exist"
        }
    }
}

/// Bounds of what a message may make the receiver allocate.
public enum XDRLimits {
    /// Bytes of a string.
    public static let string = 4 << 20
    /// Bytes of an opaque value.
    public static let opaque = 8 << 20
    /// Elements of an array; node devices have the largest.
    public static let elements = 65536
}

/// Reads XDR (RFC 4506) from a message: big-endian, everything padded to four bytes.
public struct XDRReader {
    /// The whole message.
    public let bytes: [UInt8]
    /// Where the next value begins.
    public private(set) var offset: Int

    /// Reads from `offset` on.
    public init(_ bytes: [UInt8], at offset: Int = 0) {
        self.bytes = bytes
        self.offset = min(max(0, offset), bytes.count)
    }

    /// Bytes not read yet.
    public var remaining: Int { bytes.count &- offset }

    /// A 32-bit word.
    public mutating func word() throws(XDRError) -> UInt32 {
        guard remaining >= 4 else { throw .truncated }
        let value =
            UInt32(bytes[offset]) << 24 | UInt32(bytes[offset &+ 1]) << 16 | UInt32(bytes[offset &+ 2]) << 8
            | UInt32(bytes[offset &+ 3])
        offset &+= 4
        return value
    }

    /// A 64-bit word ("hyper").
    public mutating func hyper() throws(XDRError) -> UInt64 {
        let high = try word()
        return UInt64(high) << 32 | UInt64(try word())
    }

    /// A fixed number of bytes and their padding.
    public mutating func fixed(_ count: Int) throws(XDRError) -> ArraySlice<UInt8> {
        let padded = (count &+ 3) & ~3
        guard count >= 0, padded <= remaining else { throw .truncated }
        defer { offset &+= padded }
        return bytes[offset..<(offset &+ count)]
    }

    /// A count of at most `limit`.
    public mutating func count(limit: Int) throws(XDRError) -> Int {
        let count = try word()
        guard count <= limit else { throw .tooLong(count: count, limit: limit) }
        return Int(count)
    }

    /// A string.
    public mutating func text() throws(XDRError) -> String {
        let raw = try fixed(try count(limit: XDRLimits.string))
        guard let text = String(validating: raw, as: UTF8.self), !raw.contains(0) else { throw .badText }
        return text
    }

    /// All that is left, as it is.
    public mutating func rest() -> ArraySlice<UInt8> {
        defer { offset = bytes.count }
        return bytes[offset...]
    }
}
