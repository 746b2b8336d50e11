// SPDX-License-Identifier: Apache-2.0

// Which TLBs are in force, and what flushes them.
extension UnsafeMutablePointer where Pointee == CPUState {
    /// To be called after CPL, EFLAGS.AC, CR0.AM or CR4.SMAP changed: chooses the TLBs of the class of accesses.
    @inline(__always)
    func updateAccessClass() {
        let access: AccessClass
        let isAC = pointee.systemFlags & Flag.alignmentCheck != 0
        if pointee.cpl == 3 {
            access = isAC && pointee.cr0 & ControlRegister0.alignmentMask != 0 ? .alignmentChecked : .user
        } else {
            access =
                isAC && pointee.cr4 & ControlRegister4.smap != 0 ? .supervisorWithUserAccess : .supervisor
        }
        setAccessClass(access)
    }

    @inline(__always)
    func setAccessClass(_ access: AccessClass) {
        pointee.accessClass = access
        let mmu = pointee.mmu
        if access == .alignmentChecked {
            dropSites()
            pointee.readTLB = mmu.pointee.empty
            pointee.writeTLB = mmu.pointee.empty
            return
        }
        let entries = mmu.pointee.contexts[mmu.pointee.current].entries
        pointee.readTLB = entries + (TLBTable.read &+ access.rawValue) &* TLBContext.size
        pointee.writeTLB = entries + (TLBTable.write &+ access.rawValue) &* TLBContext.size
    }

    /// Runs `body` with the rights of implicit supervisor accesses (descriptor tables, TSS), whatever CPL is.
    @inline(__always)
    func asSupervisor<Result>(_ body: () throws(CPUFault) -> Result) throws(CPUFault) -> Result {
        try withAccess(.supervisor, body)
    }

    /// Runs `body` with the rights of a class of accesses. The class in force comes back afterwards.
    @inline(__always)
    func withAccess<Result>(
        _ access: AccessClass, _ body: () throws(CPUFault) -> Result
    ) throws(CPUFault) -> Result {
        let saved = pointee.accessClass
        if saved == access { return try body() }
        setAccessClass(access)
        defer { setAccessClass(saved) }
        return try body()
    }

    /// To be called after CR0, CR4 or EFER changed: chooses the form of the page tables and forgets all translations.
    func pagingChanged() {
        let mmu = pointee.mmu
        if pointee.cr0 & ControlRegister0.paging == 0 {
            mmu.pointee.mode = .none
        } else if pointee.efer & ExtendedFeature.longModeActive != 0 {
            mmu.pointee.mode = pointee.cr4 & ControlRegister4.fiveLevel != 0 ? .fiveLevel : .fourLevel
        } else {
            mmu.pointee.mode = pointee.cr4 & ControlRegister4.pae != 0 ? .pae : .legacy
        }
        flushAllTranslations()
        updateAccessClass()
    }

    /// Drops all translations of all contexts, global ones too.
    func flushAllTranslations() {
        cpu.answerMarks()
        let mmu = pointee.mmu
        for index in 0..<mmu.pointee.contextCount {
            mmu.pointee.contexts[index].flush(keepingGlobal: false)
        }
        dropSites()
        forgetFetches()
    }

    /// Drops what is not global in all contexts.
    func flushNonGlobalTranslations() {
        cpu.answerMarks()
        let mmu = pointee.mmu
        for index in 0..<mmu.pointee.contextCount {
            mmu.pointee.contexts[index].flush(keepingGlobal: true)
        }
        dropSites()
        forgetFetches()
    }

    /// INVLPG.
    func flushTranslation(page linear: UInt64) {
        cpu.answerMarks()
        let mmu = pointee.mmu
        var shift: UInt64 = 12
        for index in 0..<mmu.pointee.contextCount where mmu.pointee.contexts[index].isInUse {
            shift = max(shift, mmu.pointee.contexts[index].mayBeLarge(linear))
            mmu.pointee.contexts[index].flush(page: linear)
        }
        let page = linear & ~4095
        if shift > 12 { dropSites() } else { dropSites { tag, _ in tag == page } }
        if isFetched(linear, shift: shift) { forgetFetches() }
    }

    /// Notes that code was fetched from a page.
    @inline(__always)
    func noteFetched(page linear: UInt64) {
        pointee.mmu.pointee.fetched[MMUState.fetchedWord(linear)] |= 1 << (linear >> 12 & 63)
    }

    /// False where no code was fetched from a page of `1 << shift` bytes (12, 22 or 30) since fetches were forgotten last.
    private func isFetched(_ linear: UInt64, shift: UInt64) -> Bool {
        let fetched = pointee.mmu.pointee.fetched
        guard shift > 12 else { return fetched[MMUState.fetchedWord(linear)] & 1 << (linear >> 12 & 63) != 0 }
        guard shift == 22 else { return true }
        let first = MMUState.fetchedWord(linear & ~(1 << 22 - 1))
        return (first..<first + 1 << (22 - 12 - 6)).contains { fetched[$0] != 0 }
    }

    /// INVPCID for one context, which may not be kept here.
    /// - Parameter linear: one page of it; nil for all but global ones.
    func flushTranslations(ofContext identifier: UInt16, page linear: UInt64?) {
        cpu.answerMarks()
        let mmu = pointee.mmu
        for index in 0..<mmu.pointee.contextCount
        where mmu.pointee.contexts[index].isInUse
            && mmu.pointee.contexts[index].identifier == identifier
        {
            if let linear {
                mmu.pointee.contexts[index].flush(page: linear)
            } else {
                mmu.pointee.contexts[index].flush(keepingGlobal: true)
            }
        }
        dropSites()
        forgetFetches()
    }

    /// To be called after CR3 was loaded: switches to the context of its PCID.
    /// - Parameter keepsTranslations: bit 63 of the value written, with CR4.PCIDE.
    func switchContext(keepsTranslations: Bool) {
        cpu.answerMarks()
        let mmu = pointee.mmu
        let identifier =
            pointee.cr4 & ControlRegister4.pcid != 0 ? UInt16(truncatingIfNeeded: pointee.cr3 & 0xFFF) : 0
        mmu.pointee.useClock &+= 1
        mmu.pointee.contexts[mmu.pointee.current].fetchKey = pointee.fetchKey
        let (index, isKnown) = findContext(identifier)
        mmu.pointee.current = index
        let context = mmu.pointee.contexts + index
        if !isKnown {
            context.pointee.flush(keepingGlobal: false)
            context.pointee.identifier = identifier
            context.pointee.isInUse = true
        } else if !keepsTranslations {
            context.pointee.flush(keepingGlobal: true)
        }
        dropSites()
        context.pointee.lastUse = mmu.pointee.useClock
        if isKnown, keepsTranslations, context.pointee.fetchKey != 0 {
            pointee.fetchKey = context.pointee.fetchKey
        } else {
            renewFetchKey()
        }
        setAccessClass(pointee.accessClass)
    }

    private func findContext(_ identifier: UInt16) -> (index: Int, isKnown: Bool) {
        let mmu = pointee.mmu
        let contexts = mmu.pointee.contexts
        var oldest = 0
        for index in 0..<mmu.pointee.contextCount {
            if contexts[index].isInUse, contexts[index].identifier == identifier { return (index, true) }
            if contexts[index].lastUse < contexts[oldest].lastUse { oldest = index }
        }
        if mmu.pointee.contextCount < MMUState.maximumContexts {
            (contexts + mmu.pointee.contextCount).initialize(to: TLBContext())
            mmu.pointee.contextCount += 1
            return (mmu.pointee.contextCount - 1, false)
        }
        return (oldest, false)
    }

    /// Forgets all translations, and gives up the TLBs of all contexts but the one in force.
    func releaseContexts() {
        flushAllTranslations()
        let mmu = pointee.mmu
        mmu.pointee.contexts[mmu.pointee.current].discard()
        guard mmu.pointee.contextCount > 1 else { return }
        let kept = mmu.pointee.contexts[mmu.pointee.current]
        for index in 0..<mmu.pointee.contextCount where index != mmu.pointee.current {
            mmu.pointee.contexts[index].deallocate()
        }
        mmu.pointee.contexts[0] = kept
        mmu.pointee.contextCount = 1
        mmu.pointee.current = 0
        setAccessClass(pointee.accessClass)
    }

    /// Says that linear addresses may mean other code from now on, in every context: after any change of paging
    /// structures or registers, or of code. Only between instructions that end their block.
    func forgetFetches() {
        let mmu = pointee.mmu
        for index in 0..<mmu.pointee.contextCount { mmu.pointee.contexts[index].fetchKey = 0 }
        mmu.pointee.fetched.update(repeating: 0, count: MMUState.fetchedWords)
        pointee.translation.globalEpoch &+= 1
        renewFetchKey()
    }

    private func renewFetchKey() {
        pointee.mmu.pointee.fetchCounter &+= 1
        pointee.fetchKey =
            pointee.fetchKey & (1 << CodeMode.bitCount - 1) | pointee.mmu.pointee.fetchCounter
            << CodeMode.bitCount
    }
}
