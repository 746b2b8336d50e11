// SPDX-License-Identifier: Apache-2.0

/// Translated blocks by the key of their code: physical address and mode. Open addressing; small enough a step that a new
/// address space finds all its code again without cost that shows.
struct BlockTable {
    enum Found {
        case unknown
        /// It was tried, and cannot be translated.
        case untranslatable
        case block(BlockEntries)
    }

    /// Neither is the key of code: the mode of 64-bit code is not 0, and no address has all bits.
    private static let free: UInt64 = 0, removed = UInt64.max
    private static let firstCapacity = 1 << 9

    private var keys: UnsafeMutablePointer<UInt64>
    /// Of each key; nil where its code cannot be translated.
    private var values: UnsafeMutablePointer<BlockEntries?>
    private var capacity: Int
    /// Slots that are not free, removed ones too.
    private var used = 0
    private(set) var count = 0

    init() {
        capacity = Self.firstCapacity
        (keys, values) = Self.makeRoom(capacity)
    }

    private static func makeRoom(_ count: Int) -> (
        UnsafeMutablePointer<UInt64>, UnsafeMutablePointer<BlockEntries?>
    ) {
        let keys = UnsafeMutablePointer<UInt64>.allocate(capacity: count)
        keys.initialize(repeating: free, count: count)
        let values = UnsafeMutablePointer<BlockEntries?>.allocate(capacity: count)
        values.initialize(repeating: nil, count: count)
        return (keys, values)
    }

    func deallocate() {
        keys.deallocate()
        values.deallocate()
    }

    @inline(__always)
    private func place(_ key: UInt64) -> Int {
        // The golden ratio's bits, of which the upper ones of a product are well mixed.
        Int(truncatingIfNeeded: (key &* 0x9E37_79B9_7F4A_7C15) >> 32) & (capacity &- 1)
    }

    @inline(__always)
    func find(_ key: UInt64) -> Found {
        var index = place(key)
        while true {
            let found = keys[index]
            if found == key { return values[index].map { .block($0) } ?? .untranslatable }
            if found == Self.free { return .unknown }
            index = (index &+ 1) & (capacity &- 1)
        }
    }

    /// Enters a block, or replaces it.
    mutating func set(_ key: UInt64, _ entries: BlockEntries?) {
        if used * 2 >= capacity { rebuild() }
        var index = place(key)
        while keys[index] != Self.free {
            if keys[index] == key {
                values[index] = entries
                return
            }
            index = (index &+ 1) & (capacity &- 1)
        }
        keys[index] = key
        values[index] = entries
        used += 1
        count += 1
    }

    mutating func remove(_ key: UInt64) {
        var index = place(key)
        while keys[index] != Self.free {
            if keys[index] == key {
                keys[index] = Self.removed
                count -= 1
                return
            }
            index = (index &+ 1) & (capacity &- 1)
        }
    }

    mutating func removeAll() {
        keys.update(repeating: Self.free, count: capacity)
        used = 0
        count = 0
    }

    /// Forgets all, and the memory that it took.
    mutating func shrink() {
        deallocate()
        self = BlockTable()
    }

    private mutating func rebuild() {
        let (oldKeys, oldValues, oldCapacity) = (keys, values, capacity)
        if count * 4 >= capacity { capacity *= 2 }
        (keys, values) = Self.makeRoom(capacity)
        used = 0
        count = 0
        for index in 0..<oldCapacity where oldKeys[index] != Self.free && oldKeys[index] != Self.removed {
            set(oldKeys[index], oldValues[index])
        }
        oldKeys.deallocate()
        oldValues.deallocate()
    }
}
