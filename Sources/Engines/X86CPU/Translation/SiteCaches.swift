// SPDX-License-Identifier: Apache-2.0

internal import GuestMemory

/// A memory access of translated code that remembers the page it found last: an address `a` lies in it where
/// `a - tag < limit`, and the operand is at `a - tag + host` then. The slots lie behind the state. They are shared by
/// sites of one kind only: those that the same rights and the same bytes suffice for.
package enum SiteCache {
    /// Fields of a slot.
    package static let tag: Int32 = 0, host: Int32 = 8, limit: Int32 = 16
    /// What `limit` is when the slot holds a page, and misses of other than neighbouring pages, in 32 bits each.
    package static let fullLimit: Int32 = 24, misses: Int32 = 28
    /// Bytes of a slot: half a cache line.
    package static let slotBytes = 32

    /// Slots of a kind.
    package static let ring = 512
    /// Bytes of accesses, by kind; twice for reads and writes, and twice for user and other code.
    package static let sizes: [Int] = [1, 2, 4, 8, 16, 32, 64, 128, 192, 256, 320, 384, 448, 512]
    /// Kinds of sites: each size for reads and writes, user and other code.
    package static let kinds = 4 * sizes.count
    /// Slots of all kinds together.
    package static let count = kinds * ring

    /// Behind the state.
    package static let slots = Int32((MemoryLayout<CPUState>.size + 4095) & ~4095)
    /// Addresses of the slots that were filled since all were dropped.
    package static let filled = slots + Int32(count * slotBytes)

    /// The offset of a slot in the state.
    package static func slot(kind: Int, _ number: Int) -> Int32 {
        slots + Int32((kind * ring + number) * slotBytes)
    }

    /// - Returns: the kind of the least size that holds `bytes`; nil where there is none.
    package static func kind(bytes: Int, isWrite: Bool, isUser: Bool) -> Int? {
        guard let size = sizes.firstIndex(where: { $0 >= bytes }) else { return nil }
        return size * 4 + (isWrite ? 1 : 0) + (isUser ? 2 : 0)
    }
}

/// What translated code reaches behind the site caches, by offsets from the state.
package enum TranslationTables {
    /// Code by linear address: entries of `jumpEntryBytes`.
    package static let jumps = (SiteCache.filled + Int32(SiteCache.count * 8) + 4095) & ~4095
    package static let jumpCount = 16384, jumpEntryBytes = 32
    /// Cells of loops, which go round.
    package static let loops = jumps + Int32(jumpCount * jumpEntryBytes)
    /// How many, and the bytes of each.
    package static let loopCount = 256, loopBytes = 16
    /// Cells of direct jumps to other pages.
    package static let farCells = loops + Int32(loopCount * loopBytes)
    /// How many, and the bytes of each.
    package static let farCellCount = 32768, farCellBytes = 16
    static let end = farCells + Int32(farCellCount * farCellBytes)
}

extension UnsafeMutablePointer where Pointee == CPUState {
    /// Gives the memory of site caches, jump targets and loops back to the host. No code that uses them is kept.
    func discardTables() {
        dropSites()
        // Whole pages behind the state, which nothing but translated code looks at.
        let tables = UnsafeMutableRawPointer(self) + Int(SiteCache.slots)
        ZeroedMemory.discard(
            tables.assumingMemoryBound(to: UInt8.self), Int(TranslationTables.end - SiteCache.slots))
    }

    private func field(_ slot: UInt64, _ offset: Int32) -> UnsafeMutablePointer<UInt64> {
        // The list holds addresses of slots alone.
        UnsafeMutablePointer<UInt64>(bitPattern: UInt(slot) + UInt(offset)).unsafelyUnwrapped
    }

    private var filledSlots: UnsafeMutablePointer<UInt64> {
        (UnsafeMutableRawPointer(self) + Int(SiteCache.filled)).assumingMemoryBound(to: UInt64.self)
    }

    /// Forgets the pages of all sites: with every change that takes a translation out of a TLB.
    @inline(__always)
    func dropSites() {
        if pointee.translation.filledSites != 0 { dropSitesSlowly() }
    }

    @inline(never)
    private func dropSitesSlowly() {
        let list = filledSlots
        for index in 0..<Int(pointee.translation.filledSites) {
            field(list[index], SiteCache.limit).pointee = 0
        }
        pointee.translation.filledSites = 0
    }

    /// Forgets those that `isDropped` names by the page's linear and host address and whether it is written.
    /// - Returns: whether there were any that are written.
    @discardableResult
    func dropSites(where isDropped: (_ page: UInt64, _ host: UInt64) -> Bool) -> Bool {
        let list = filledSlots
        let base = UInt64(UInt(bitPattern: self)) &+ UInt64(SiteCache.slots)
        var kept = 0
        var foundWrite = false
        for index in 0..<Int(pointee.translation.filledSites) {
            let slot = list[index]
            if isDropped(field(slot, SiteCache.tag).pointee, field(slot, SiteCache.host).pointee) {
                field(slot, SiteCache.limit).pointee = 0
                let kind = (slot &- base) / UInt64(SiteCache.slotBytes * SiteCache.ring)
                if kind & 1 != 0 { foundWrite = true }
            } else {
                list[kept] = slot
                kept += 1
            }
        }
        pointee.translation.filledSites = UInt64(kept)
        return foundWrite
    }
}

extension SoftCPU {
    /// Says what a slot's limit is for accesses of its kind.
    package func prepareSite(_ slot: Int32, bytes: Int) {
        let place = UnsafeMutableRawPointer(state) + Int(slot + SiteCache.fullLimit)
        place.storeBytes(of: UInt32(Int(GuestMemory.pageSize) - bytes + 1), as: UInt32.self)
    }

    /// Forgets the misses that a slot counted.
    package func forgetMisses(_ slot: Int32) {
        (UnsafeMutableRawPointer(state) + Int(slot + SiteCache.misses)).storeBytes(of: 0, as: UInt32.self)
    }
}
