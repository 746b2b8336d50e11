// SPDX-License-Identifier: Apache-2.0

internal import X86CPU

// Direct jumps and calls to other pages, linked to their targets: see `FarSite`.
extension BlockTranslator {
    /// Goes to an offset that is not in the page.
    mutating func emitFarLink(to target: Int, _ cell: Int32) {
        let key = Place.state(MissStubs.keys(isUser: isUserCode).first)
        let check = Place.state(cell + FarCell.check)
        let (sum, page) = (Host.scratch0, Host.scratch1)
        let flags = flags
        let isNative = flags == .native
        let stale: UnsafeMutablePointer<UInt8>
        if isNative {
            // Nothing here changes RFLAGS: LEA adds, and JRCXZ compares with zero.
            emitter.move(sum, Host.rcx)
            emitter.load(Host.rcx, key)
            emitter.load(page, check)
            emitter.address(Host.rcx, .indexed(Host.rcx, page))
            emitter.load(page, .state(StateLayout.codePage))
            emitter.address(Host.rcx, .indexed(Host.rcx, page))
            emitter.bytes(0xE3, 5)
            stale = emitter.jump()
            emitter.move(Host.rcx, sum)
        } else {
            emitter.load(page, .state(StateLayout.codePage))
            emitter.load(sum, key)
            emitter.op(0x03, sum, .register(page))
            emitter.op(0x03, sum, check)
            stale = emitter.jump(if: Emitter.ifNotEqual)
        }
        let pageMask = CodeReader.pageSize - 1
        emitter.address(page, .memory(page, Int32(truncatingIfNeeded: target & ~pageMask)))
        emitter.store(.state(StateLayout.codePage), page)
        let place = emitter.jump()
        let site = FarSite(
            place: place, exit: place, cell: cell, target: target, isUser: isUserCode, needsSavedEntry: !isNative)
        cold.append(.unlinked(from: [stale, place], site: site, flags: flags, restoresCounter: isNative))
    }

    mutating func emitUnlinked(
        _ from: [UnsafeMutablePointer<UInt8>], _ site: FarSite, _ flags: FlagPlace, _ restoresCounter: Bool
    ) {
        for place in from { emitter.linkHere(place) }
        if restoresCounter { emitter.move(Host.rcx, Host.scratch0) }
        self.flags = flags
        saveFlags()
        emitTarget(site.target)
        emitter.op(0xC7, 0, .state(StateLayout.stash), wide: false)
        emitter.long(site.cell)
        var site = site
        site.exit = emitter.jump()
        emitter.linkHere(site.exit)
        emitter.constant(Host.scratch1, UInt32(firstFarSite + farSites.count))
        emitter.jump(to: stubs.far)
        farSites.append(site)
    }
}
