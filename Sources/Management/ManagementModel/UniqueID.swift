// SPDX-License-Identifier: Apache-2.0

/// A UUID (RFC 4122).
public struct UniqueID: Hashable, Sendable, CustomStringConvertible {
    /// The first eight bytes, the most significant first.
    public let high: UInt64
    /// The last eight bytes.
    public let low: UInt64

    /// The number of its bytes.
    public static let byteCount = 16

    /// From 16 bytes; missing ones count as zero.
    public init(bytes: some Sequence<UInt8>) {
        var halves: [UInt64] = [0, 0]
        for (place, byte) in bytes.prefix(Self.byteCount).enumerated() {
            halves[place / 8] |= UInt64(byte) << (56 - 8 * UInt64(place % 8))
        }
        high = halves[0]
        low = halves[1]
    }

    /// From 32 hexadecimal digits, with hyphens and blanks where they please; nil for anything else, and for the UUIDs
    /// whose digits are all the same (which machines without one report).
    public init?(_ text: String) {
        var digits: [UInt8] = []
        for unit in text.utf8 where unit != UInt8(ascii: "-") && unit != UInt8(ascii: " ") {
            guard let digit = Character(UnicodeScalar(unit)).hexDigitValue else { return nil }
            digits.append(UInt8(digit))
        }
        guard digits.count == 2 * Self.byteCount else { return nil }
        self.init(bytes: (0..<Self.byteCount).map { digits[2 * $0] << 4 | digits[2 * $0 + 1] })
    }

    /// A random one (version 4).
    public static func random() -> UniqueID {
        var generator = SystemRandomNumberGenerator()
        var bytes = (0..<byteCount).map { _ in UInt8.random(in: 0...255, using: &generator) }
        bytes[6] = bytes[6] & 0x0f | 0x40
        bytes[8] = bytes[8] & 0x3f | 0x80
        return UniqueID(bytes: bytes)
    }

    /// The 16 bytes, the most significant first.
    public var bytes: [UInt8] {
        (0..<Self.byteCount).map { place in
            UInt8(truncatingIfNeeded: (place < 8 ? high : low) >> (56 - 8 * UInt64(place % 8)))
        }
    }

    /// The canonical form, in lower case.
    public var description: String {
        var text: [UInt8] = []
        text.reserveCapacity(36)
        let digits = Array("0123456789abcdef".utf8)
        for (place, byte) in bytes.enumerated() {
            if [4, 6, 8, 10].contains(place) { text.append(UInt8(ascii: "-")) }
            text.append(digits[Int(byte >> 4)])
            text.append(digits[Int(byte & 15)])
        }
        return String(decoding: text, as: UTF8.self)
    }
}
