// SPDX-License-Identifier: Apache-2.0

/// Numbers that are the same in every run and on every machine (SplitMix64), so that a failure can be repeated.
public struct SeededGenerator: RandomNumberGenerator, Sendable {
    private var state: UInt64

    /// The same seed gives the same numbers.
    public init(seed: UInt64) { state = seed }

    /// The next 64 bits.
    public mutating func next() -> UInt64 {
        state &+= 0x9e37_79b9_7f4a_7c15
        var z = state
        z = (z ^ (z >> 30)) &* 0xbf58_476d_1ce4_e5b9
        z = (z ^ (z >> 27)) &* 0x94d0_49bb_1331_11eb
        return z ^ (z >> 31)
    }

    /// A number from 0 to below `bound`; 0 where there is none.
    public mutating func below(_ bound: Int) -> Int { Int(next() >> 33) % max(bound, 1) }

    /// Bytes of which many are small numbers, as lengths and flags are.
    public mutating func bytes(_ count: Int) -> [UInt8] {
        (0..<count).map { _ in
            let value = next()
            return value & 0x300 == 0 ? UInt8(truncatingIfNeeded: value) : UInt8(truncatingIfNeeded: value & 7)
        }
    }
}
