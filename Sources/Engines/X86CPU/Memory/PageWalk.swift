// SPDX-License-Identifier: Apache-2.0

internal import CX86Native
internal import GuestMemory

/// What an access does with memory.
enum AccessKind {
    case read, write, fetch
}

/// Bits of a page-fault error code.
enum PageFaultCode {
    static let present: UInt32 = 1 << 0, write: UInt32 = 1 << 1, user: UInt32 = 1 << 2
    static let reserved: UInt32 = 1 << 3, fetch: UInt32 = 1 << 4, protectionKey: UInt32 = 1 << 5
}

/// Bits of paging-structure entries.
enum PageEntry {
    static let present: UInt64 = 1 << 0, writable: UInt64 = 1 << 1, user: UInt64 = 1 << 2
    static let accessed: UInt64 = 1 << 5, dirty: UInt64 = 1 << 6, pageSize: UInt64 = 1 << 7, global: UInt64 = 1 << 8
    static let noExecute: UInt64 = 1 << 63
    static let protectionKeyShift: UInt64 = 59
}

/// Width of guest-physical addresses: what CPUID leaf 8000_0008 says.
struct PhysicalAddress {
    /// 32...52.
    let bits: UInt64
    /// Reserved in 64-bit entries of long mode: above the width, below bit 52.
    let reservedLong: UInt64
    /// Reserved in 64-bit entries of PAE paging: above the width, below bit 63.
    let reservedPAE: UInt64
    /// The address bits of an entry that leads to a 4 KiB page or table, reserved ones included.
    static let pageMask: UInt64 = (1 << 52 - 1) & ~4095

    init(bits: Int) {
        self.bits = UInt64(bits)
        let inside: UInt64 = 1 << self.bits - 1
        reservedLong = (1 << 52 - 1) & ~inside
        reservedPAE = (1 << 63 - 1) & ~inside
    }
}

/// What the paging structures say of a linear address.
struct PageWalk {
    var physical: UInt64 = 0
    /// The structures refuse: the P and RSVD bits of the error code.
    var failure: UInt32?
    /// The page's entry, at `entryAddress`, with the writable, user and no-execute rights of all levels combined in it.
    var entry: UInt64 = 0
    var entryAddress: UInt64 = 0
    /// log2 of the page's bytes.
    var shift: UInt8 = 12
}

/// A translated address and what may be remembered of it.
struct PageTranslation {
    var physical: UInt64
    var shift: UInt8
    var isGlobal: Bool
    /// A write needs no further look: permitted, and the dirty bit is set.
    var isWritableNow: Bool
}

extension UnsafeMutablePointer where Pointee == CPUState {
    /// Follows the paging structures.
    /// - Parameter marks: set the accessed bits of the upper levels.
    func walk(_ linear: UInt64, marks: Bool) -> PageWalk {
        switch pointee.mmu.pointee.mode {
        case .none:
            var walk = PageWalk()
            walk.physical = linear & pointee.mmu.pointee.addressMask
            walk.entry = PageEntry.present | PageEntry.writable | PageEntry.user | PageEntry.dirty | PageEntry.accessed
            return walk
        case .legacy: return walkLegacy(linear, marks: marks)
        case .pae: return walkPAE(linear, marks: marks)
        case .fourLevel:
            return walkLong(
                linear, pointee.cr3 & PhysicalAddress.pageMask, 39, pointee.mmu.pointee.width.reservedLong, marks)
        case .fiveLevel:
            return walkLong(
                linear, pointee.cr3 & PhysicalAddress.pageMask, 48, pointee.mmu.pointee.width.reservedLong, marks)
        }
    }

    private func walkPAE(_ linear: UInt64, marks: Bool) -> PageWalk {
        let pointer = pointee.mmu.pointee.directoryPointers[Int(linear >> 30 & 3)]
        guard pointer & PageEntry.present != 0 else { return PageWalk(failure: 0) }
        return walkLong(linear, pointer & PhysicalAddress.pageMask, 21, pointee.mmu.pointee.width.reservedPAE, marks)
    }

    /// Levels of 512 entries of 64 bits, from the one whose index begins at bit `shift`.
    @inline(__always)
    private func walkLong(
        _ linear: UInt64, _ root: UInt64, _ first: UInt64, _ reservedHigh: UInt64, _ marks: Bool
    ) -> PageWalk {
        let reserved = reservedHigh | (pointee.efer & ExtendedFeature.noExecute == 0 ? PageEntry.noExecute : 0)
        restart: while true {
            var table = root
            var shift = first
            var rights = PageEntry.writable | PageEntry.user
            var denied: UInt64 = 0
            while true {
                let place = (table &+ (linear &>> shift & 511) &* 8) & pointee.mmu.pointee.addressMask
                let entry = readEntry(place)
                guard entry & PageEntry.present != 0 else { return PageWalk(failure: 0) }
                let isLarge = shift > 12 && entry & PageEntry.pageSize != 0
                if entry & reserved != 0 || isLarge && !isValidLarge(entry, shift) {
                    return PageWalk(failure: PageFaultCode.present | PageFaultCode.reserved)
                }
                rights &= entry
                denied |= entry & PageEntry.noExecute
                if shift == 12 || isLarge {
                    let offsetMask = UInt64(1) &<< shift &- 1
                    let base = entry & PhysicalAddress.pageMask & ~offsetMask
                    let combined = entry & ~(PageEntry.writable | PageEntry.user) | rights | denied
                    return PageWalk(
                        physical: (base | linear & offsetMask) & pointee.mmu.pointee.addressMask, entry: combined,
                        entryAddress: place, shift: UInt8(truncatingIfNeeded: shift))
                }
                if marks, entry & PageEntry.accessed == 0,
                    !updateEntry(place, from: entry, to: entry | PageEntry.accessed)
                {
                    continue restart
                }
                table = entry & PhysicalAddress.pageMask
                shift &-= 9
            }
        }
    }

    /// A large page is known at this level and its low address bits are clear (bit 12 is PAT).
    private func isValidLarge(_ entry: UInt64, _ shift: UInt64) -> Bool {
        guard shift == 21 || shift == 30 && pointee.mmu.pointee.mode != .pae && pointee.hasGigabytePages else {
            return false
        }
        return entry & (1 &<< shift &- 1) & ~0x1FFF == 0
    }

    private func walkLegacy(_ linear: UInt64, marks: Bool) -> PageWalk {
        let mask = pointee.mmu.pointee.addressMask
        while true {
            let place = (pointee.cr3 & 0xFFFF_F000 | linear >> 20 & 0xFFC) & mask
            let entry = readPhysical(place, size: 4)
            guard entry & PageEntry.present != 0 else { return PageWalk(failure: 0) }
            if entry & PageEntry.pageSize != 0, pointee.cr4 & ControlRegister4.pageSizeExtensions != 0 {
                // PSE-36: bits 13...20 are bits 32...39 of the address, bit 21 is reserved.
                guard entry & 1 << 21 == 0 else {
                    return PageWalk(failure: PageFaultCode.present | PageFaultCode.reserved)
                }
                let base = entry & 0xFFC0_0000 | (entry >> 13 & 0xFF) << 32
                return PageWalk(
                    physical: (base | linear & 0x3F_FFFF) & mask, entry: entry, entryAddress: place, shift: 22)
            }
            if marks, entry & PageEntry.accessed == 0,
                !updateEntry(place, from: entry, to: entry | PageEntry.accessed, isNarrow: true)
            {
                continue
            }
            let leafPlace = (entry & 0xFFFF_F000 | linear >> 10 & 0xFFC) & mask
            let leaf = readPhysical(leafPlace, size: 4)
            guard leaf & PageEntry.present != 0 else { return PageWalk(failure: 0) }
            let rights = entry & (PageEntry.writable | PageEntry.user)
            let combined = leaf & ~(PageEntry.writable | PageEntry.user) | leaf & rights
            return PageWalk(
                physical: (leaf & 0xFFFF_F000 | linear & 0xFFF) & mask, entry: combined, entryAddress: leafPlace)
        }
    }

    @inline(__always)
    private func readEntry(_ place: UInt64) -> UInt64 {
        guard let page = hostPage(place) else { return readPhysical(place, size: 8) }
        return (page.host + Int(place & 4095)).load(as: UInt64.self)
    }

    /// Changes an entry in one indivisible step.
    /// - Returns: false if another processor changed it in between: look again.
    private func updateEntry(_ place: UInt64, from old: UInt64, to new: UInt64, isNarrow: Bool = false) -> Bool {
        // Tables in ROM or a device cannot be marked.
        guard let page = hostPage(place), !page.isReadOnly else { return true }
        let target = page.host + Int(place & 4095)
        if isNarrow {
            let expected = UInt32(truncatingIfNeeded: old)
            guard roost_locked_compare32(target, expected, UInt32(truncatingIfNeeded: new)) == expected else {
                return false
            }
        } else {
            guard roost_locked_compare64(target, old, new) == old else { return false }
        }
        notePhysicalWrite(page, place, count: isNarrow ? 4 : 8)
        return true
    }

    /// Translates an address for one access, checks the rights and sets accessed and dirty bits.
    /// - Parameter linear: canonical.
    func translate(
        _ linear: UInt64, _ kind: AccessKind, _ access: AccessClass
    ) throws(CPUFault) -> PageTranslation {
        while true {
            let walk = walk(linear, marks: true)
            if let failure = walk.failure { throw pageFault(linear, failure, kind, access) }
            if pointee.mmu.pointee.mode == .none {
                return PageTranslation(physical: walk.physical, shift: 12, isGlobal: false, isWritableNow: true)
            }
            let keyViolation = violatesProtectionKey(walk.entry, kind, access)
            guard !keyViolation, permits(walk.entry, kind, access) else {
                let code = PageFaultCode.present | (keyViolation ? PageFaultCode.protectionKey : 0)
                throw pageFault(linear, code, kind, access)
            }
            let wanted = PageEntry.accessed | (kind == .write ? PageEntry.dirty : 0)
            if walk.entry & wanted != wanted, !markLeaf(walk, wanted) { continue }
            let isGlobal = walk.entry & PageEntry.global != 0 && pointee.cr4 & ControlRegister4.globalPages != 0
            let isWritableNow =
                kind == .write
                || kind == .read && walk.entry & PageEntry.dirty != 0 && permits(walk.entry, .write, access)
                    && !violatesProtectionKey(walk.entry, .write, access)
            return PageTranslation(
                physical: walk.physical, shift: walk.shift, isGlobal: isGlobal, isWritableNow: isWritableNow)
        }
    }

    /// Sets bits in the page's own entry, which holds other rights than the combined ones in `walk`.
    private func markLeaf(_ walk: PageWalk, _ bits: UInt64) -> Bool {
        let isNarrow = pointee.mmu.pointee.mode == .legacy
        let raw = isNarrow ? readPhysical(walk.entryAddress, size: 4) : readEntry(walk.entryAddress)
        // The entry may have changed since the walk in what was checked then.
        let rights = PageEntry.writable | PageEntry.user | PageEntry.noExecute
        guard (raw ^ walk.entry) & ~(rights | PageEntry.accessed | PageEntry.dirty) == 0 else { return false }
        return updateEntry(walk.entryAddress, from: raw, to: raw | bits, isNarrow: isNarrow)
    }

    /// SDM vol. 3, "Determination of Access Rights", but for protection keys.
    @inline(__always)
    private func permits(_ entry: UInt64, _ kind: AccessKind, _ access: AccessClass) -> Bool {
        let isUserPage = entry & PageEntry.user != 0
        let isUserAccess = access == .user || access == .alignmentChecked
        if isUserAccess, !isUserPage { return false }
        switch kind {
        case .fetch:
            if !isUserAccess, isUserPage, pointee.cr4 & ControlRegister4.smep != 0 { return false }
            return entry & PageEntry.noExecute == 0
        case .read, .write:
            if !isUserAccess, isUserPage, access == .supervisor, pointee.cr4 & ControlRegister4.smap != 0 {
                return false
            }
            guard kind == .write, entry & PageEntry.writable == 0 else { return true }
            return !isUserAccess && pointee.cr0 & ControlRegister0.writeProtect == 0
        }
    }

    /// SDM vol. 3, "Protection Keys".
    @inline(__always)
    private func violatesProtectionKey(_ entry: UInt64, _ kind: AccessKind, _ access: AccessClass) -> Bool {
        guard pointee.cr4 & ControlRegister4.protectionKeys != 0, kind != .fetch, entry & PageEntry.user != 0,
            isLongMode
        else { return false }
        let rights = pointee.pkru >> UInt32((entry >> PageEntry.protectionKeyShift & 15) &* 2) & 3
        if rights & 1 != 0 { return true }
        let isUserAccess = access == .user || access == .alignmentChecked
        return rights & 2 != 0 && kind == .write
            && (isUserAccess || pointee.cr0 & ControlRegister0.writeProtect != 0)
    }

    /// Makes a page fault pending; CR2 is loaded when it is delivered.
    private func pageFault(
        _ linear: UInt64, _ reason: UInt32, _ kind: AccessKind, _ access: AccessClass
    ) -> CPUFault {
        var code = reason
        if kind == .write { code |= PageFaultCode.write }
        if access == .user || access == .alignmentChecked { code |= PageFaultCode.user }
        if kind == .fetch,
            pointee.cr4 & ControlRegister4.smep != 0
                || pointee.efer & ExtendedFeature.noExecute != 0 && pointee.cr4 & ControlRegister4.pae != 0
        {
            code |= PageFaultCode.fetch
        }
        let fault = fault(Vector.pageFault, code: code)
        pointee.faultAddress = linear
        return fault
    }
}
