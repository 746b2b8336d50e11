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
        /// Which block it is: see `JumpTable.mark`.
        var mark: UInt64 = 0
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

    /// What an entry is known by when its key is no longer in force, as after a change of address space: the block, by
    /// the page and mode of its code, and how often code had been forgotten when it was entered. The entry's place tells
    /// the rest of the address. 0 for blocks that are not found again so.
    /// - Parameter key: as in `Translator.blocks`.
    static func mark(_ key: UInt64, drops: Int) -> UInt64 {
        let physical = key >> Translator.modeBits
        let page = physical / UInt64(CodeReader.pageSize)
        let mode = key & (1 << Translator.modeBits - 1)
        let pageBits: UInt64 = 33
        guard page >> pageBits == 0 else { return 0 }
        // Of the places of two neighbours either may be taken.
        let place = page << 1 | physical & 1
        return UInt64(truncatingIfNeeded: drops) << (pageBits + 1 + Translator.modeBits)
            | place << Translator.modeBits | mode
    }

    /// Marks count so far before they begin anew.
    static let markedDrops = 1 << 16

    /// Takes up an entry that stands under a key of before.
    func recall(_ linear: UInt64, _ mark: UInt64, tag: UInt64, page: UInt64) -> UnsafeRawPointer? {
        guard mark != 0 else { return nil }
        let index = Int(truncatingIfNeeded: linear) & (Self.count - 1)
        let place = entries[index].mark == mark ? index : index ^ 1
        guard entries[place].mark == mark else { return nil }
        entries[place].tag = tag
        entries[place].page = page
        return entries[place].code
    }

    /// No entry is recalled any more.
    func forgetMarks() { for index in 0..<Self.count { entries[index].mark = 0 } }

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
