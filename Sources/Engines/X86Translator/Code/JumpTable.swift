// SPDX-License-Identifier: Apache-2.0

internal import X86CPU

/// Translated code by linear address, for jumps whose target is not known to be in the same page. Translated code looks
/// into it itself. An entry is found while the key that was added to its address is in force; empty ones have an address
/// that no sum of a random key comes to but by a chance of 2^64. Two neighbours form a set: an address is looked for in
/// its own entry first.
struct JumpTable {
    struct Entry {
        /// The linear address and the key.
        var tag: UInt64
        /// Where the code is run, with the flags saved.
        var code: UnsafeRawPointer?
        /// The linear address of its page.
        var page: UInt64
        private let unused: UInt64 = 0

        init(tag: UInt64, code: UnsafeRawPointer?, page: UInt64) {
            self.tag = tag
            self.code = code
            self.page = page
        }
    }

    static let count = TranslationTables.jumpCount
    /// Fields of the entry at an index times four, which x86 multiplies by eight.
    static let tag = TranslationTables.jumps, code = tag + 8, page = tag + 16
    static let indexMask = Int32((count - 1) * 4)

    private let entries: UnsafeMutablePointer<Entry>
    /// No two processes have the same keys.
    private let seed = UInt64.random(in: .min ... .max)

    init(_ state: UnsafeMutableRawPointer) {
        entries = (state + Int(TranslationTables.jumps)).bindMemory(to: Entry.self, capacity: Self.count)
    }

    func clear() { entries.update(repeating: Entry(tag: 0, code: nil, page: 0), count: Self.count) }

    /// The code of an address under one of two keys.
    func find(_ linear: UInt64, _ keys: JumpKeys) -> UnsafeRawPointer? {
        let index = Int(truncatingIfNeeded: linear) & (Self.count - 1)
        return (entries + index).code(linear &+ keys.space, linear &+ keys.global)
            ?? (entries + (index ^ 1)).code(linear &+ keys.space, linear &+ keys.global)
    }

    /// Enters code; what was there under one of the keys in force gives way to the neighbour's place.
    func enter(_ linear: UInt64, _ entry: Entry, inForce keys: (user: JumpKeys, kernel: JumpKeys)) {
        let index = Int(truncatingIfNeeded: linear) & (Self.count - 1)
        let old = entries[index]
        // One of another key looks as if its address had its place elsewhere.
        func isIn(_ key: UInt64) -> Bool { (Int(truncatingIfNeeded: old.tag &- key) ^ index) & (Self.count - 2) == 0 }
        if isIn(keys.user.space) || isIn(keys.kernel.global) || isIn(keys.user.global) || isIn(keys.kernel.space) {
            entries[index ^ 1] = old
        }
        entries[index] = entry
    }

    /// A key by what it stands for: different for different values, and all its bits depend on all of theirs (the
    /// finalizer of SplitMix64).
    func key(_ value: UInt64) -> UInt64 {
        var mixed = value ^ seed
        mixed = (mixed ^ mixed >> 30) &* 0xBF58_476D_1CE4_E5B9
        mixed = (mixed ^ mixed >> 27) &* 0x94D0_49BB_1331_11EB
        return mixed ^ mixed >> 31
    }
}

extension UnsafeMutablePointer where Pointee == JumpTable.Entry {
    /// Its code, if it has one of two tags.
    fileprivate func code(_ first: UInt64, _ second: UInt64) -> UnsafeRawPointer? {
        pointee.tag == first || pointee.tag == second ? pointee.code : nil
    }
}
