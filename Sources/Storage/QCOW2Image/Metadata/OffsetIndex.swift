// SPDX-License-Identifier: Apache-2.0

/// A hash table from file offsets (at least 0) to small numbers: open addressing with linear probing, at most half full.
///
/// A look-up is a multiplication and usually one probe, where a `Dictionary` spends more on its hash than a cached read of
/// the table that is looked for. The multiplier is odd and random, so that nobody can lay out an image whose offsets all
/// collide.
package struct OffsetIndex {
    private var keys: [Int64]
    private var values: [Int32]
    private var mask: Int
    private var shift: UInt64
    private let multiplier: UInt64
    /// How many offsets there are.
    package private(set) var count = 0

    private static let empty: Int64 = -1
    private static let smallest = 64

    /// Empty.
    package init() {
        multiplier = UInt64.random(in: .min ... .max) | 1
        keys = Array(repeating: Self.empty, count: Self.smallest)
        values = Array(repeating: 0, count: Self.smallest)
        mask = Self.smallest - 1
        shift = UInt64(64 - Self.smallest.trailingZeroBitCount)
    }

    @inline(__always)
    private func home(_ key: Int64) -> Int {
        Int(truncatingIfNeeded: (UInt64(bitPattern: key) &* multiplier) &>> shift)
    }

    /// The place of a key, or the free place where it would go.
    @inline(__always)
    private func place(_ key: Int64) -> Int {
        var place = home(key)
        while keys[place] != key, keys[place] != Self.empty { place = (place &+ 1) & mask }
        return place
    }

    /// The number kept for an offset; nil takes it out.
    package subscript(key: Int64) -> Int? {
        @inline(__always) get {
            let place = place(key)
            return keys[place] == Self.empty ? nil : Int(values[place])
        }
        set {
            if let newValue { insert(key, newValue) } else { remove(key) }
        }
    }

    private mutating func insert(_ key: Int64, _ value: Int) {
        precondition(key >= 0, "offsets are not negative")
        var place = place(key)
        if keys[place] == Self.empty {
            if (count + 1) * 2 > keys.count {
                grow()
                place = self.place(key)
            }
            count += 1
            keys[place] = key
        }
        values[place] = Int32(value)
    }

    private mutating func remove(_ key: Int64) {
        var hole = place(key)
        guard keys[hole] != Self.empty else { return }
        count -= 1
        // What follows without a gap moves up where its own place lies at or before the hole.
        var next = hole
        while true {
            next = (next &+ 1) & mask
            guard keys[next] != Self.empty else { break }
            let distance = (next &- home(keys[next])) & mask
            if distance >= (next &- hole) & mask {
                keys[hole] = keys[next]
                values[hole] = values[next]
                hole = next
            }
        }
        keys[hole] = Self.empty
    }

    /// Takes everything out.
    package mutating func removeAll() {
        for index in keys.indices { keys[index] = Self.empty }
        count = 0
    }

    private mutating func grow() {
        let old = zip(keys, values).filter { $0.0 != Self.empty }
        let size = keys.count * 2
        keys = Array(repeating: Self.empty, count: size)
        values = Array(repeating: 0, count: size)
        mask = size - 1
        shift = UInt64(64 - size.trailingZeroBitCount)
        for (key, value) in old {
            let place = place(key)
            keys[place] = key
            values[place] = value
        }
    }
}
