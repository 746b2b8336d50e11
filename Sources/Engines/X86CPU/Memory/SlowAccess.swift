// SPDX-License-Identifier: Apache-2.0

internal import CX86Native
internal import GuestMemory
internal import MachineModel

extension UnsafeMutablePointer where Pointee == CPUState {
    /// A load that the TLB does not answer; `size` is 1...8 bytes. May cross a page, reach a device, or fault.
    @inline(never)
    func slowLoad(_ address: UInt64, size: Int) throws(CPUFault) -> UInt64 {
        try checkLinear(address, size: size)
        let first = 4096 &- Int(address & 4095)
        if size <= first {
            let physical = try translateData(address, .read)
            noteWatched(address, size: size, isWrite: false)
            return readPhysical(physical, size: size)
        }
        let low = try translateData(address, .read)
        let high = try translateData(wrappedLinear(address &+ UInt64(first)), .read)
        noteWatched(address, size: size, isWrite: false)
        return readPhysical(low, size: first) | readPhysical(high, size: size &- first)
            << UInt64(first &* 8)
    }

    /// A store that the TLB does not answer; nothing is written where any byte of it faults.
    @inline(never)
    func slowStore(_ address: UInt64, size: Int, value: UInt64) throws(CPUFault) {
        try checkLinear(address, size: size)
        let first = 4096 &- Int(address & 4095)
        if size <= first {
            let physical = try translateData(address, .write)
            noteWatched(address, size: size, isWrite: true)
            return writePhysical(physical, size: size, value: value)
        }
        let low = try translateData(address, .write)
        let high = try translateData(wrappedLinear(address &+ UInt64(first)), .write)
        noteWatched(address, size: size, isWrite: true)
        writePhysical(low, size: first, value: value)
        writePhysical(high, size: size &- first, value: value >> UInt64(first &* 8))
    }

    /// Faults as a store of `size` bytes (at most 4096) would; changes nothing but A/D bits and the TLB.
    @inline(never)
    func probeWrite(_ address: UInt64, size: Int) throws(CPUFault) {
        try checkLinear(address, size: size)
        _ = try translateData(address, .write)
        let first = 4096 &- Int(address & 4095)
        if size > first { _ = try translateData(wrappedLinear(address &+ UInt64(first)), .write) }
    }

    /// The guest-physical address of code at a linear address, after all checks of an instruction fetch.
    func translateFetch(_ address: UInt64) throws(CPUFault) -> UInt64 {
        noteFetched(page: address)
        let mmu = pointee.mmu
        let context = mmu.pointee.contexts + mmu.pointee.current
        let number = pointee.cpl == 3 ? TLBTable.userFetch : TLBTable.supervisorFetch
        let entry =
            context.pointee.table(number) + Int(truncatingIfNeeded: (address >> 12))
            & (TLBContext.size - 1)
        if address ^ entry.pointee.tag < 4096 { return entry.pointee.page &+ address & 4095 }
        guard isAddressable(address) else { throw generalProtection() }
        let translation = try translate(address, .fetch, pointee.cpl == 3 ? .user : .supervisor)
        context.pointee.fill(
            number, address, page: translation.physical & ~4095, isGlobal: translation.isGlobal)
        context.pointee.noteLarge(address, shift: translation.shift)
        return translation.physical
    }

    /// The address after the end of the address space is 0 where addresses have 32 bits.
    @inline(__always)
    private func wrappedLinear(_ address: UInt64) -> UInt64 {
        is64Bit || pointee.accessClass == .supervisor && isLongMode ? address : address & 0xFFFF_FFFF
    }

    /// Outside long mode linear addresses have 32 bits, and each is good.
    @inline(__always)
    private func isAddressable(_ address: UInt64) -> Bool { !isLongMode || isCanonical(address) }

    private func checkLinear(_ address: UInt64, size: Int) throws(CPUFault) {
        guard isAddressable(address), isAddressable(address &+ UInt64(size) &- 1) else {
            throw nonCanonical(address)
        }
        if pointee.accessClass == .alignmentChecked, size.nonzeroBitCount == 1,
            address & UInt64(size - 1) != 0
        {
            throw fault(Vector.alignmentCheck, code: 0)
        }
    }

    /// Translates for a data access of the current class, and fills the TLBs.
    private func translateData(_ address: UInt64, _ kind: AccessKind) throws(CPUFault) -> UInt64 {
        let access = pointee.accessClass
        let translation = try translate(address, kind, access)
        if access != .alignmentChecked { remember(address, translation, access) }
        return translation.physical
    }

    @inline(__always)
    private func remember(_ address: UInt64, _ translation: PageTranslation, _ access: AccessClass) {
        let mmu = pointee.mmu
        guard let page = hostPage(translation.physical),
            translation.physical & ~4095 != mmu.pointee.controllerPage
        else { return }
        if mmu.pointee.hasWatches, isWatched(page: address & ~4095) { return }
        let host = UInt64(UInt(bitPattern: page.host))
        let context = mmu.pointee.contexts + mmu.pointee.current
        context.pointee.fill(
            TLBTable.read + access.rawValue, address, page: host, isGlobal: translation.isGlobal)
        context.pointee.noteLarge(address, shift: translation.shift)
        guard translation.isWritableNow, !page.isReadOnly else { return }
        // Another page's entry may give way, which tells that the page was written.
        if pointee.attention & Attention.codeChanged != 0 { cpu.answerMarks() }
        // Before the entry is made: a decoder that sets the code flag later has its mark processed after it.
        let flags = roost_atomic_or8(page.flags, GuestMemory.PageFlags.dirty.rawValue)
        if flags & GuestMemory.PageFlags.code.rawValue == 0 {
            context.pointee.fill(
                TLBTable.write + access.rawValue, address, page: host, isGlobal: translation.isGlobal)
        }
    }

    // MARK: watchpoints

    private func isWatched(page: UInt64) -> Bool {
        for watch in pointee.mmu.pointee.watches {
            // The range and the page overlap.
            if watch.address &- page < 4096 || page &- watch.address < watch.count { return true }
        }
        return false
    }

    /// Notes which watchpoints an access hits; they are raised after the instruction.
    @inline(__always)
    func noteWatched(_ address: UInt64, size: Int, isWrite: Bool) {
        if pointee.mmu.pointee.hasWatches { noteWatchedSlowly(address, size: size, isWrite: isWrite) }
    }

    @inline(never)
    private func noteWatchedSlowly(_ address: UInt64, size: Int, isWrite: Bool) {
        for watch in pointee.mmu.pointee.watches
        where watch.matches(address, size: size, isWrite: isWrite) {
            if let register = watch.register {
                pointee.pendingDebug |= 1 << UInt64(register)
            } else {
                cpu.hitWatchpoint = watch.address
            }
            cpu.raiseAttention(Attention.debugTrap)
        }
    }
}
