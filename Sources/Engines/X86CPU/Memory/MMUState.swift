// SPDX-License-Identifier: Apache-2.0

internal import GuestMemory

/// How linear addresses become physical ones.
enum PagingMode: UInt8 {
    /// CR0.PG clear.
    case none
    /// 32-bit entries, two levels.
    case legacy
    /// 64-bit entries outside long mode.
    case pae
    case fourLevel
    case fiveLevel
}

/// What translation needs besides the control registers: one block of memory for each processor, touched on its thread
/// only.
struct MMUState {
    let ranges: UnsafeMutablePointer<PhysicalRange>
    let rangeCount: Int
    let contexts: UnsafeMutablePointer<TLBContext>
    /// Contexts that have memory: the first ones.
    var contextCount = 1
    /// Index of the one in force.
    var current = 0
    var useClock: UInt64 = 0
    /// A table that is never filled, for processors whose every access must be looked at.
    let empty: UnsafeMutablePointer<TLBEntry>
    var mode = PagingMode.none
    let width: PhysicalAddress
    /// ANDed to physical addresses: all ones but for bit 20 while A20 is masked.
    var addressMask: UInt64 = .max
    /// The four page-directory pointers that a processor with PAE paging outside long mode keeps.
    var directoryPointers = InlineArray<4, UInt64>(repeating: 0)
    /// The local APIC's page, or a value that no page has.
    var controllerPage: UInt64 = .max
    /// Data accesses that are watched, by the guest's debug registers or a debugger; pages with one stay out of the TLBs.
    var watches: [Watch] = []
    var hasWatches = false
    /// The source of fresh values of `CPUState.fetchKey`.
    var fetchCounter: UInt64 = 0
    /// A bit for each linear page, by hash, that code was fetched from since all fetches were forgotten. The halves of
    /// the address space have bits of their own, and pages that lie together have neighbouring bits.
    let fetched: UnsafeMutablePointer<UInt64>
    static let fetchedWords = 1024

    /// The word of `fetched` for a page by an address in it; the bit is the page's number modulo 64.
    @inline(__always)
    static func fetchedWord(_ linear: UInt64) -> Int {
        let perHalf = fetchedWords / 2
        return Int(truncatingIfNeeded: linear >> 18) & (perHalf &- 1) | TLBContext.half(linear) &* perHalf
    }

    /// Address spaces that keep their translations; Linux uses six PCIDs of its own.
    static let maximumContexts = 8

    init(_ memory: GuestMemory, physicalAddressBits: Int) {
        width = PhysicalAddress(bits: physicalAddressBits)
        let regions = memory.regions
        rangeCount = regions.count
        ranges = .allocate(capacity: max(regions.count, 1))
        // The largest first: it is the one that most look-ups want.
        for (index, region) in regions.sorted(by: { $0.count > $1.count }).enumerated() {
            (ranges + index).initialize(
                to: PhysicalRange(
                    start: region.start, count: region.count, host: region.base, flags: region.pageFlags,
                    isReadOnly: region.isReadOnly))
        }
        contexts = .allocate(capacity: Self.maximumContexts)
        contexts.initialize(to: TLBContext())
        contexts.pointee.isInUse = true
        fetched = .allocate(capacity: Self.fetchedWords)
        fetched.initialize(repeating: 0, count: Self.fetchedWords)
        empty = ZeroedMemory.allocate(TLBContext.size, of: TLBEntry.self)
        empty[0] = .invalid(at: 0)
    }

    /// Follows the regions that moved: each is known by its host memory, which stays.
    func followRegions(of memory: GuestMemory) {
        for region in memory.regions {
            for index in 0..<rangeCount where ranges[index].host == region.base {
                ranges[index].start = region.start
            }
        }
    }

    func deallocate() {
        for index in 0..<contextCount { contexts[index].deallocate() }
        contexts.deallocate()
        ranges.deallocate()
        ZeroedMemory.deallocate(empty, TLBContext.size)
        fetched.deallocate()
    }
}

/// A watched range of linear addresses.
struct Watch {
    var address: UInt64
    var count: UInt64
    var onRead: Bool
    var onWrite: Bool
    /// The debug register, 0...3, that asks for it; nil for a debugger outside the guest.
    var register: Int?

    @inline(__always)
    func matches(_ linear: UInt64, size: Int, isWrite: Bool) -> Bool {
        (isWrite ? onWrite : onRead) && linear &- address < count
            || (isWrite ? onWrite : onRead) && address &- linear < UInt64(size)
    }
}
