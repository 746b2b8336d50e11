// SPDX-License-Identifier: Apache-2.0

/// Features of the map by their place in it, and the maker.
public struct ProcessorFeatureSet: Equatable, Sendable {
    private var bits = SIMD4<UInt64>()
    /// The maker by its short name, "AMD"; nil for anybody.
    public var vendor: String?

    /// Nothing, of nobody.
    public init() {}

    /// How many features fit.
    static let capacity = 256

    /// Whether the feature of an index is in the set.
    public subscript(index: Int) -> Bool {
        get { bits[index >> 6 & 3] >> UInt64(index & 63) & 1 == 1 }
        set {
            let bit: UInt64 = 1 << UInt64(index & 63)
            if newValue { bits[index >> 6 & 3] |= bit } else { bits[index >> 6 & 3] &= ~bit }
        }
    }

    /// Nothing is left, the maker included.
    public var isEmpty: Bool { bits == SIMD4() && vendor == nil }

    /// Adds what the other has.
    public mutating func formUnion(_ other: ProcessorFeatureSet) {
        bits |= other.bits
        vendor = vendor ?? other.vendor
    }

    /// Keeps what the other has as well.
    public mutating func formIntersection(_ other: ProcessorFeatureSet) {
        bits &= other.bits
        if vendor != other.vendor { vendor = nil }
    }

    /// Takes out what the other has.
    public mutating func subtract(_ other: ProcessorFeatureSet) {
        bits &= ~other.bits
        if vendor == other.vendor { vendor = nil }
    }

    /// What this set has and the other has not.
    public func subtracting(_ other: ProcessorFeatureSet) -> ProcessorFeatureSet {
        var rest = self
        rest.subtract(other)
        return rest
    }

    /// Whether the other has all of this set.
    public func isSubset(of other: ProcessorFeatureSet) -> Bool { subtracting(other).isEmpty }
}
