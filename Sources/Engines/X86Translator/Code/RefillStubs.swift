// SPDX-License-Identifier: Apache-2.0

internal import X86CPU

/// What a site with a cache calls when the cache does not hold the page: a look at the TLB, which fills the cache.
///
///     scratch0: the address less the cache's tag; scratch1: the cache's slot
///     back with carry clear and the host's address in scratch0, or carry set: the TLB does not know the page, or the
///     access crosses its end
///
/// A site that misses over and over leaves by `demote`, to have its cache taken away if that went fast.
struct RefillStubs {
    /// Code that is called has the return address between the host's stack pointer and the state.
    private static func aboveReturn(_ offset: Int32) -> Place { .memory(Host.rsp, offset + 8) }
    private static let (page, slot) = (Host.scratch0, Host.scratch1)
    private static let (entry, offset) = (Host.rax, Host.rcx)
    /// Misses of one site, but for those to a neighbouring page, before it is looked at how fast they came.
    static let maximumMisses: Int32 = 4000

    private static func field(_ offset: Int32) -> Place { .memory(slot, offset) }
    private static func spill(_ index: Int32) -> Place { aboveReturn(StateLayout.spill + index * 8) }

    /// - Parameter demote: with the return address in scratch1, the state at RSP.
    static func emit(_ emitter: inout Emitter, isWrite: Bool, demote: UnsafeMutablePointer<UInt8>) {
        emitter.store(spill(0), entry)
        emitter.store(spill(1), offset)
        emitter.op(0x03, page, field(SiteCache.tag))
        emitLookup(&emitter, isWrite)
        emitter.load(offset, field(SiteCache.fullLimit), wide: false)
        emitter.store(spill(2), page)
        emitter.op(0x33, page, .memory(entry))
        emitter.op(0x3B, page, .register(offset))
        let unknown = emitter.jump(if: Emitter.ifAboveOrEqual)
        // Now the offset in the page, and the page's linear and host address.
        emitter.move(offset, page)
        emitter.load(page, spill(2))
        emitter.op(0x2B, page, .register(offset))
        emitter.load(entry, .memory(entry, 8))
        emitter.instruction(Encoding(), 0x80, reg: 7, aboveReturn(StateLayout.accessClass))
        emitter.byte(StateLayout.lastPlainClass)
        let unkept = emitter.jump(if: Emitter.ifAbove)
        emitter.arithmetic(7, field(SiteCache.limit), 0)
        let isFresh = emitter.jump(if: Emitter.ifEqual)
        let isTooMuch = emitCount(&emitter)
        let record = emitter.cursor
        emitter.store(field(SiteCache.tag), page)
        emitter.store(field(SiteCache.host), entry)
        emitter.load(page, field(SiteCache.fullLimit), wide: false)
        emitter.store(field(SiteCache.limit), page)
        emitter.linkHere(unkept)
        emitter.address(page, .indexed(entry, offset))
        emitRestore(&emitter)
        emitter.bytes(0xF8, 0xC3)
        emitter.linkHere(isFresh)
        emitList(&emitter)
        emitter.jump(to: record)
        emitter.linkHere(unknown)
        emitRestore(&emitter)
        emitter.bytes(0xF9, 0xC3)
        emitter.linkHere(isTooMuch)
        emitRestore(&emitter)
        // POP of scratch1.
        emitter.bytes(0x41, 0x58 | Host.scratch1 & 7)
        emitter.jump(to: demote)
    }

    private static func emitLookup(_ emitter: inout Emitter, _ isWrite: Bool) {
        emitter.move(entry, page, wide: false)
        emitter.op(0xC1, 5, .register(entry), wide: false)
        emitter.byte(8)
        emitter.arithmetic(
            4, .register(entry), Int32((StateLayout.tlbEntries - 1) * StateLayout.tlbEntryBytes), wide: false)
        emitter.op(0x03, entry, aboveReturn(isWrite ? StateLayout.writeTLB : StateLayout.readTLB))
    }

    private static func emitRestore(_ emitter: inout Emitter) {
        emitter.load(entry, spill(0))
        emitter.load(offset, spill(1))
    }

    /// Counts a miss. The slot holds what it held until another page is recorded: sites that share it may look.
    /// - Returns: the jump of one too many.
    private static func emitCount(_ emitter: inout Emitter) -> UnsafeMutablePointer<UInt8> {
        let pageBytes: Int32 = 4096
        emitter.load(offset, field(SiteCache.tag))
        emitter.op(0x2B, offset, .register(page))
        emitter.arithmetic(0, .register(offset), pageBytes)
        // The page before or behind: 0 or 8192.
        emitter.op(0xF7, 0, .register(offset))
        emitter.long(~(2 * pageBytes))
        emitter.load(offset, spill(2))
        let isNeighbour = emitter.jump(if: Emitter.ifEqual)
        emitter.arithmetic(0, field(SiteCache.misses), 1, wide: false)
        emitter.arithmetic(7, field(SiteCache.misses), maximumMisses, wide: false)
        let isTooMuch = emitter.jump(if: Emitter.ifAbove)
        emitter.linkHere(isNeighbour)
        // The offset in the page again.
        emitter.op(0x2B, offset, .register(page))
        return isTooMuch
    }

    /// Puts the slot on the list of those that must be dropped.
    private static func emitList(_ emitter: inout Emitter) {
        emitter.store(spill(2), offset)
        emitter.load(offset, aboveReturn(StateLayout.filledSites))
        emitter.store(.indexed(Host.rsp, offset, scale: 3, SiteCache.filled + 8), slot)
        emitter.arithmetic(0, .register(offset), 1)
        emitter.store(aboveReturn(StateLayout.filledSites), offset)
        emitter.load(offset, spill(2))
    }
}
