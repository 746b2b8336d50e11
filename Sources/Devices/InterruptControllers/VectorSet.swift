// SPDX-License-Identifier: Apache-2.0

/// A set of interrupt vectors 0...255: what IRR, ISR and TMR hold.
public struct VectorSet: Equatable, Sendable {
    private var words: (UInt64, UInt64, UInt64, UInt64) = (0, 0, 0, 0)

    /// The empty set.
    public init() {}

    /// Written out, as a tuple is not equatable by itself.
    public static func == (left: VectorSet, right: VectorSet) -> Bool { left.words == right.words }

    private func word(_ index: UInt8) -> UInt64 {
        switch index {
        case 0: words.0
        case 1: words.1
        case 2: words.2
        default: words.3
        }
    }

    private mutating func setWord(_ index: UInt8, _ value: UInt64) {
        switch index {
        case 0: words.0 = value
        case 1: words.1 = value
        case 2: words.2 = value
        default: words.3 = value
        }
    }

    /// Whether the vector is a member.
    public func contains(_ vector: UInt8) -> Bool {
        (word(vector >> 6) &>> UInt64(vector & 63)) & 1 != 0
    }

    /// Adds a vector.
    public mutating func insert(_ vector: UInt8) {
        setWord(vector >> 6, word(vector >> 6) | 1 &<< UInt64(vector & 63))
    }

    /// Takes a vector out.
    public mutating func remove(_ vector: UInt8) {
        setWord(vector >> 6, word(vector >> 6) & ~(1 &<< UInt64(vector & 63)))
    }

    /// The highest vector, which has the highest priority; nil for the empty set.
    public var highest: UInt8? {
        if words.3 != 0 { return UInt8(truncatingIfNeeded: 255 &- words.3.leadingZeroBitCount) }
        if words.2 != 0 { return UInt8(truncatingIfNeeded: 191 &- words.2.leadingZeroBitCount) }
        if words.1 != 0 { return UInt8(truncatingIfNeeded: 127 &- words.1.leadingZeroBitCount) }
        if words.0 != 0 { return UInt8(truncatingIfNeeded: 63 &- words.0.leadingZeroBitCount) }
        return nil
    }

    /// Vectors `index * 32 ..< index * 32 + 32` as a register shows them; `index` is taken modulo 8.
    public func registerWord(_ index: Int) -> UInt32 {
        let half = word(UInt8(truncatingIfNeeded: index >> 1) & 3)
        return UInt32(truncatingIfNeeded: index & 1 == 0 ? half : half >> 32)
    }
}

/// Four words, vectors 0...63 first.
extension VectorSet: Codable {
    /// Four words, vectors 0...63 first; throws for fewer.
    public init(from decoder: any Decoder) throws {
        var container = try decoder.unkeyedContainer()
        self.init()
        for index in UInt8(0)..<4 { setWord(index, try container.decode(UInt64.self)) }
    }

    /// Four words, vectors 0...63 first.
    public func encode(to encoder: any Encoder) throws {
        var container = encoder.unkeyedContainer()
        for index in UInt8(0)..<4 { try container.encode(word(index)) }
    }
}
