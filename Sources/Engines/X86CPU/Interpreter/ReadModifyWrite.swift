// SPDX-License-Identifier: Apache-2.0

internal import CX86Native
internal import HostSystem

/// Held for a locked access that no single locked instruction of the host can make: to a device, or over the boundary of
/// two pages that do not lie together in the host. It excludes only others of its kind; a guest that mixes both on the
/// same bytes gets two separate accesses, as from a bus that does not know LOCK.
let splitLock = Lock()

/// RAM that the TLB does not offer for a locked access: over a page boundary, or with decoded code in it.
struct LockedPlace {
    var host: UnsafeMutableRawPointer
    var first: HostPage
    var physical: UInt64
    /// Bytes in the first page.
    var count: Int
    /// The page that the access runs into, with its address and the bytes there.
    var second: (page: HostPage, physical: UInt64, count: Int)?
}

extension UnsafeMutablePointer where Pointee == CPUState {
    /// Replaces the r/m operand, register or memory, by what `change` makes of it. With LOCK, or for `isLocked`, memory is
    /// changed in one indivisible step, for which `change` may be called again with another value; so it must have no
    /// effect but on its captures.
    @inline(__always)
    func modifyRM<Word: OperandWord>(
        _ instruction: UnsafePointer<Instruction>, _: Word.Type = Word.self, isLocked: Bool = false,
        _ change: (Word) -> Word
    ) throws(CPUFault) {
        if !instruction.pointee.prefixes.contains(.memory) {
            let field = instruction.pointee.rm
            Word.write(self, field, change(Word.read(self, field)))
            return
        }
        let address = try address(instruction, size: MemoryLayout<Word>.size, isWrite: true)
        try modify(address, isLocked: isLocked || instruction.pointee.prefixes.contains(.lock), change)
    }

    /// As `modifyRM`, for memory at a linear address.
    @inline(__always)
    func modify<Word: OperandWord>(
        _ address: UInt64, isLocked: Bool, _ change: (Word) -> Word
    ) throws(CPUFault) {
        guard let host = writablePointer(address, size: MemoryLayout<Word>.size) else {
            return try modifySlowly(address, isLocked: isLocked, change)
        }
        if isLocked {
            modifyLocked(host, change)
        } else {
            host.storeBytes(of: change(host.loadUnaligned(as: Word.self)), as: Word.self)
        }
    }

    @inline(__always)
    private func modifyLocked<Word: OperandWord>(_ host: UnsafeMutableRawPointer, _ change: (Word) -> Word) {
        var old = host.loadUnaligned(as: Word.self)
        while true {
            let seen = lockedCompare(host, expected: old, new: change(old))
            if seen == old { return }
            old = seen
        }
    }

    @inline(never)
    private func modifySlowly<Word: OperandWord>(
        _ address: UInt64, isLocked: Bool, _ change: (Word) -> Word
    ) throws(CPUFault) {
        // Any fault comes here, before the operand is looked at; then most often the TLB knows the page.
        try probeWrite(address, size: MemoryLayout<Word>.size)
        if let host = writablePointer(address, size: MemoryLayout<Word>.size) {
            if isLocked {
                modifyLocked(host, change)
            } else {
                host.storeBytes(of: change(host.loadUnaligned(as: Word.self)), as: Word.self)
            }
            return
        }
        if isLocked, let place = try lockedPlace(address, size: MemoryLayout<Word>.size) {
            modifyLocked(place.host, change)
            return noteLocked(place)
        }
        if isLocked { splitLock.lock() }
        defer { if isLocked { splitLock.unlock() } }
        let old: Word = try load(address)
        try store(address, change(old))
    }
}

/// LOCK CMPXCHG of the host by width.
/// - Returns: what the place held; it was changed where that equals `expected`.
@inline(__always)
func lockedCompare<Word: OperandWord>(_ place: UnsafeMutableRawPointer, expected: Word, new: Word) -> Word {
    switch MemoryLayout<Word>.size {
    case 1:
        Word(
            truncatingIfNeeded: roost_locked_compare8(
                place, UInt8(truncatingIfNeeded: expected), UInt8(truncatingIfNeeded: new)))
    case 2:
        Word(
            truncatingIfNeeded: roost_locked_compare16(
                place, UInt16(truncatingIfNeeded: expected), UInt16(truncatingIfNeeded: new)))
    case 4:
        Word(
            truncatingIfNeeded: roost_locked_compare32(
                place, UInt32(truncatingIfNeeded: expected), UInt32(truncatingIfNeeded: new)))
    default:
        Word(
            truncatingIfNeeded: roost_locked_compare64(
                place, UInt64(truncatingIfNeeded: expected), UInt64(truncatingIfNeeded: new)))
    }
}

extension UnsafeMutablePointer where Pointee == CPUState {
    /// Where a locked access of the host can be made though the TLB does not know the place.
    /// - Returns: nil for devices, for pages apart from each other in the host, and where accesses are watched.
    func lockedPlace(_ address: UInt64, size: Int) throws(CPUFault) -> LockedPlace? {
        guard !pointee.mmu.pointee.hasWatches else { return nil }
        let inFirst = min(size, 4096 &- Int(address & 4095))
        guard let (page, physical) = try lockablePage(address) else { return nil }
        var place = LockedPlace(
            host: page.host + Int(physical & 4095), first: page, physical: physical, count: inFirst)
        if inFirst < size {
            guard let (next, follower) = try lockablePage(codeLinear(address &+ UInt64(inFirst))),
                next.host == page.host + 4096
            else { return nil }
            place.second = (next, follower, size &- inFirst)
        }
        return place
    }

    private func lockablePage(_ address: UInt64) throws(CPUFault) -> (HostPage, UInt64)? {
        let physical = try translate(address, .write, pointee.accessClass).physical
        guard let page = hostPage(physical), !page.isReadOnly,
            physical & ~4095 != pointee.mmu.pointee.controllerPage
        else { return nil }
        return (page, physical)
    }

    /// Keeps the pages' flags after the access.
    func noteLocked(_ place: LockedPlace) {
        notePhysicalWrite(place.first, place.physical, count: place.count)
        if let second = place.second { notePhysicalWrite(second.page, second.physical, count: second.count) }
    }
}
