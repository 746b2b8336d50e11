// SPDX-License-Identifier: Apache-2.0

/// Which of a context's tables: one for each kind of access and each class that may see different rights.
enum TLBTable {
    static let read = 0, write = 3, userFetch = 6, supervisorFetch = 7
    static let count = 8
}

/// The TLBs of one address space. With PCIDs each recently used one keeps its own context, so that a change of CR3 that
/// need not flush only switches pointers; without, one context serves all.
struct TLBContext {
    /// `TLBTable.count` tables of `TLBContext.size` entries. Entries of the fetch tables lead to guest-physical
    /// addresses instead of the host's.
    let entries: UnsafeMutablePointer<TLBEntry>
    /// A bit for each entry that was filled since it was last flushed: what makes a flush cheap.
    let filled: UnsafeMutablePointer<UInt64>
    /// A bit for each word of `filled` that may have bits.
    let summary: UnsafeMutablePointer<UInt64>
    /// A bit for each entry that is of a global page.
    let global: UnsafeMutablePointer<UInt64>
    /// Which 2 MiB regions may have entries of a page larger than 4 KiB, by hash; INVLPG drops all of such a page. Each
    /// half of the address space has bits of its own: kernels map all memory by large pages in theirs, and the hash of
    /// a page of a program, which lies where chance put it, must not be one of theirs.
    let large: UnsafeMutablePointer<UInt64>
    /// As `large` for 1 GiB regions, of the lower half and the upper one.
    var huge = InlineArray<2, UInt64>(repeating: 0)
    /// The PCID.
    var identifier: UInt16 = 0
    var isInUse = false
    /// When it was last switched to; the oldest gives way.
    var lastUse: UInt64 = 0
    /// `CPUState.fetchKey` to go on with when it is switched to; 0 for a new one.
    var fetchKey: UInt64 = 0

    /// Entries of a table; a power of two.
    static let size = 4096
    static let wordsPerTable = size / 64
    static let words = TLBTable.count * wordsPerTable
    static let summaryWords = words / 64
    static let largeWords = 32

    init() {
        entries = ZeroedMemory.allocate(TLBTable.count * Self.size, of: TLBEntry.self)
        for number in 0..<TLBTable.count { entries[number * Self.size] = .invalid(at: 0) }
        filled = .allocate(capacity: Self.words)
        filled.initialize(repeating: 0, count: Self.words)
        summary = .allocate(capacity: Self.summaryWords)
        summary.initialize(repeating: 0, count: Self.summaryWords)
        global = .allocate(capacity: Self.words)
        global.initialize(repeating: 0, count: Self.words)
        large = .allocate(capacity: Self.largeWords)
        large.initialize(repeating: 0, count: Self.largeWords)
    }

    /// After a flush: gives the memory of the tables back to the host.
    func discard() {
        ZeroedMemory.discard(entries, TLBTable.count * Self.size)
        for number in 0..<TLBTable.count { entries[number * Self.size] = .invalid(at: 0) }
    }

    func deallocate() {
        ZeroedMemory.deallocate(entries, TLBTable.count * Self.size)
        filled.deallocate()
        summary.deallocate()
        global.deallocate()
        large.deallocate()
    }

    @inline(__always)
    func table(_ number: Int) -> UnsafeMutablePointer<TLBEntry> { entries + number &* Self.size }

    /// Enters a translation.
    @inline(__always)
    mutating func fill(_ number: Int, _ linear: UInt64, page: UInt64, isGlobal: Bool) {
        let index = Int(truncatingIfNeeded: linear >> 12) & (Self.size - 1)
        table(number)[index] = TLBEntry(tag: linear & ~4095, page: page)
        let word = number &* Self.wordsPerTable &+ index >> 6
        let bit: UInt64 = 1 << UInt64(index & 63)
        filled[word] |= bit
        summary[word >> 6] |= 1 << UInt64(word & 63)
        if isGlobal { global[word] |= bit } else { global[word] &= ~bit }
    }

    /// Notes that an address was entered that belongs to a page of `1 << shift` bytes.
    @inline(__always)
    mutating func noteLarge(_ linear: UInt64, shift: UInt8) {
        guard shift > 12 else { return }
        if shift >= 30 {
            huge[Self.half(linear)] |= 1 << ((linear >> 30) & 63)
        } else {
            // A page of 4 MiB is two regions.
            let region = shift == 22 ? linear >> 21 & ~1 : linear >> 21
            setLarge(region)
            if shift == 22 { setLarge(region | 1) }
        }
    }

    @inline(__always)
    private func setLarge(_ region: UInt64) {
        let hash = Self.largeHash(region)
        large[hash >> 6] |= 1 << UInt64(hash & 63)
    }

    /// The bit of `large` for a 2 MiB region by its number.
    @inline(__always)
    private static func largeHash(_ region: UInt64) -> Int {
        let perHalf = largeWords * 32
        return Int(truncatingIfNeeded: region) & (perHalf &- 1) | half(region &<< 21) &* perHalf
    }

    /// 0 for an address of the lower half of the address space, 1 for one of the upper.
    @inline(__always)
    static func half(_ linear: UInt64) -> Int { Int(truncatingIfNeeded: linear >> 63) }

    /// Drops the entries that `isDropped` names among the filled ones.
    private func drop(tables: Range<Int>, where isDropped: (TLBEntry) -> Bool) {
        let first = tables.lowerBound &* Self.wordsPerTable
        let end = tables.upperBound &* Self.wordsPerTable
        eachFilledWord { word in
            guard word >= first, word < end else { return }
            var bits = filled[word]
            while bits != 0 {
                let bit = bits.trailingZeroBitCount
                bits &= bits &- 1
                let place = word &* 64 &+ bit
                if isDropped(entries[place]) {
                    entries[place] = .invalid(at: place & (Self.size - 1))
                    filled[word] &= ~(1 << UInt64(bit))
                }
            }
        }
    }

    /// Calls `body` with the words of `filled` that may have bits; forgets those that have none afterwards.
    @inline(__always)
    private func eachFilledWord(_ body: (Int) -> Void) {
        for index in 0..<Self.summaryWords {
            var bits = summary[index]
            while bits != 0 {
                let bit = bits.trailingZeroBitCount
                bits &= bits &- 1
                let word = index &* 64 &+ bit
                body(word)
                if filled[word] == 0 { summary[index] &= ~(1 << UInt64(bit)) }
            }
        }
    }

    /// Drops all entries, or those that are not of global pages.
    mutating func flush(keepingGlobal: Bool) {
        eachFilledWord { word in
            let kept = keepingGlobal ? global[word] : 0
            var bits = filled[word] & ~kept
            filled[word] &= kept
            global[word] &= kept
            while bits != 0 {
                let bit = bits.trailingZeroBitCount
                bits &= bits &- 1
                let place = word &* 64 &+ bit
                entries[place] = .invalid(at: place & (Self.size - 1))
            }
        }
        if !keepingGlobal {
            large.update(repeating: 0, count: Self.largeWords)
            huge = [0, 0]
        }
    }

    /// Drops all entries of the page, of whatever size, that holds an address.
    mutating func flush(page linear: UInt64) {
        let page = linear & ~4095
        let index = Int(truncatingIfNeeded: page >> 12) & (Self.size - 1)
        for number in 0..<TLBTable.count where table(number)[index].tag == page {
            table(number)[index] = .invalid(at: index)
        }
        let shift = mayBeLarge(linear)
        if shift > 12 { drop(tables: 0..<TLBTable.count) { $0.tag >> shift == linear >> shift } }
    }

    /// How large a page that holds an address may be, as log2 of its bytes: 12, 22 (4 MiB, so that either kind of large
    /// page goes whole) or 30.
    func mayBeLarge(_ linear: UInt64) -> UInt64 {
        if huge[Self.half(linear)] & 1 << ((linear >> 30) & 63) != 0 { return 30 }
        let hash = Self.largeHash(linear >> 21)
        return large[hash >> 6] & 1 << UInt64(hash & 63) != 0 ? 22 : 12
    }

    /// Whether the entry of code at an address is of a global page.
    func isGlobalCode(_ number: Int, _ linear: UInt64) -> Bool {
        let index = Int(truncatingIfNeeded: linear >> 12) & (Self.size - 1)
        guard table(number)[index].tag == linear & ~4095 else { return false }
        return global[number &* Self.wordsPerTable &+ index >> 6] & 1 << UInt64(index & 63) != 0
    }

    /// Drops all entries but those of code.
    mutating func flushData() { drop(tables: TLBTable.read..<TLBTable.userFetch) { _ in true } }

    /// Drops write entries that lead to a host page; `nil` drops all of them.
    /// - Returns: whether there were any.
    func dropWrites(to host: UInt64?) -> Bool {
        var found = false
        drop(tables: TLBTable.write..<TLBTable.userFetch) { entry in
            guard host.map({ entry.page == $0 }) ?? true else { return false }
            found = true
            return true
        }
        return found
    }
}
