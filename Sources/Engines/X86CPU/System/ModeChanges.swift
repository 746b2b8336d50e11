// SPDX-License-Identifier: Apache-2.0

internal import CPUInterface

// What follows from a change of segments or flags: the fields of `CPUState` that are derived from them.
extension UnsafeMutablePointer where Pointee == CPUState {
    /// To be called after CS, SS, DS, ES, EFER.LMA or CPL changed: code and stack width, flatness, access class.
    func segmentsChanged() {
        let code = segment(SegmentRegister.cs).pointee.attributes
        let stack = segment(SegmentRegister.ss).pointee.attributes
        if isLongMode, code & SegmentAttribute.long != 0, isProtectedProper {
            pointee.codeWidth = .bits64
            pointee.stackWidth = 3
            pointee.isFlat = true
        } else {
            let isReal = !isProtectedProper
            pointee.codeWidth = code & SegmentAttribute.big != 0 ? .bits32 : .bits16
            pointee.stackWidth = stack & SegmentAttribute.big != 0 ? 2 : 1
            pointee.isFlat =
                !isReal && isFlatData(SegmentRegister.ss) && isFlatData(SegmentRegister.ds)
                && isFlatData(SegmentRegister.es) && segment(SegmentRegister.cs).pointee.base == 0
        }
        updateAccessClass()
    }

    /// A writable data segment of 4 GiB from 0, growing up: no access through it can fail.
    private func isFlatData(_ index: Int) -> Bool {
        let value = segment(index).pointee
        let kind = SegmentAttribute.code | SegmentAttribute.expandDown | SegmentAttribute.readWrite
        return value.base == 0 && value.limit == .max && value.attributes & SegmentAttribute.unusable == 0
            && value.attributes & kind == SegmentAttribute.readWrite
    }

    /// Bits of RFLAGS that exist.
    static var definedFlags: UInt64 { 0x3F_7FD5 }

    /// Sets all of RFLAGS and what follows from it. A change of VM also wants `segmentsChanged`.
    func replaceFlags(_ image: UInt64) {
        let changed = (pointee.systemFlags ^ image) & Flag.alignmentCheck
        pointee.systemFlags = image & Self.definedFlags & ~Flag.arithmetic | 2
        setArithmeticFlags(image)
        if changed != 0 { updateAccessClass() }
    }

    /// To be called after the local APIC's base changed, and once before the processor runs: its page leaves the TLBs.
    func localControllerMoved() {
        pointee.mmu.pointee.controllerPage = cpu.localController?.registerPage ?? .max
        flushAllTranslations()
    }
}
