// SPDX-License-Identifier: Apache-2.0

internal import X86CPU

/// Translated instructions that begin in one page and end in another: blocks of one instruction each, found by where both
/// parts lie. What follows them in the address space may change with each change of paging, so that nothing is linked to
/// them: they are entered by the table of jump targets, whose keys change then.
struct CrossingBlocks {
    struct Place: Hashable {
        /// As in `Translator.blocks`.
        var key: UInt64
        /// The number of the second page.
        var nextPage: UInt64
    }

    private var blocks: [Place: BlockEntries] = [:]
    /// Their places by page, each in the lists of both.
    private var pages: [UInt64: [Place]] = [:]

    subscript(_ place: Place) -> BlockEntries? { blocks[place] }

    /// - Parameter page: the number of the first page.
    mutating func enter(_ place: Place, page: UInt64, _ entries: BlockEntries) {
        blocks[place] = entries
        pages[page, default: []].append(place)
        if page != place.nextPage { pages[place.nextPage, default: []].append(place) }
    }

    /// Forgets those with bytes in a page.
    /// - Returns: whether there were any.
    mutating func drop(page: UInt64) -> Bool {
        guard let places = pages.removeValue(forKey: page) else { return false }
        for place in places { blocks.removeValue(forKey: place) }
        return true
    }

    mutating func removeAll() {
        blocks.removeAll(keepingCapacity: true)
        pages.removeAll(keepingCapacity: true)
    }
}

extension Translator {
    /// The code of an instruction that ends in the next page.
    /// - Returns: nil where it is not known and not wanted, or where its second page cannot be fetched or is no memory.
    func crossing(
        _ linear: UInt64, _ physical: UInt64, _ key: UInt64, _ cpu: SoftCPU, translates: Bool
    ) -> BlockEntries? {
        let pageSize = UInt64(CodeReader.pageSize)
        let next = (linear | (pageSize - 1)) &+ 1
        // The longest instruction has 15 bytes.
        guard next &- linear < 15, is64(key) || next >> 32 == 0, let second = cpu.physicalCode(at: next) else {
            return nil
        }
        let place = CrossingBlocks.Place(key: key, nextPage: second / pageSize)
        if let known = crossings[place] { return known }
        guard translates, let made = translate(physical, key, cpu, nextPage: place.nextPage) else { return nil }
        crossings.enter(place, page: physical / pageSize, made)
        return made
    }

    private func is64(_ key: UInt64) -> Bool {
        UInt8(truncatingIfNeeded: key) & StateLayout.widthMask == StateLayout.width64
    }

    /// Leads a jump inside a page to an instruction that ends in the next page: through the table of jump targets.
    func linkThroughTable(_ site: ChainSite) {
        guard hasRoomForCode else { return }
        let isUser = UInt8(truncatingIfNeeded: site.mode) & StateLayout.userBit != 0
        var emitter = Emitter(at: coldCursor)
        if !site.needsSavedEntry {
            emitter.move(Host.scratch1, Host.rax)
            Stubs.emitSaveFlags(&emitter, Host.rsp)
            emitter.move(Host.rax, Host.scratch1)
        }
        emitter.load(Host.scratch0, .state(StateLayout.codePage))
        emitter.address(
            Host.scratch0, .memory(Host.scratch0, Int32(truncatingIfNeeded: site.target)), wide: is64(site.mode))
        MissStubs.emitJumpThroughTable(
            &emitter, isUser: isUser, unknown: isUser ? stubs.userMisses.missed : stubs.kernelMisses.missed)
        Emitter.link(site.place, to: coldCursor)
        keep(emitter)
    }
}
