// SPDX-License-Identifier: Apache-2.0

extension UnsafeMutablePointer where Pointee == CPUState {
    /// To be called after CS, SS, DS, ES, CR0.PE, EFLAGS.VM or EFER.LMA changed: derives the width of code and stack.
    func updateWidths() {
        let cs = segment(SegmentRegister.cs).pointee
        let ss = segment(SegmentRegister.ss).pointee
        if isLongMode, cs.attributes & SegmentAttribute.long != 0 {
            pointee.codeWidth = .bits64
            pointee.stackWidth = 3
            pointee.isFlat = true
            return
        }
        if isVirtual8086 {
            pointee.codeWidth = .bits16
            pointee.stackWidth = 1
            pointee.isFlat = false
            return
        }
        pointee.codeWidth = cs.attributes & SegmentAttribute.big != 0 ? .bits32 : .bits16
        pointee.stackWidth = ss.attributes & SegmentAttribute.big != 0 ? 2 : 1
        pointee.isFlat =
            isProtected && cs.base == 0 && cs.limit == .max && isFlatData(ss)
            && isFlatData(segment(SegmentRegister.ds).pointee) && isFlatData(segment(SegmentRegister.es).pointee)
    }

    /// Writable, from 0 to 4 GiB.
    private func isFlatData(_ segment: SegmentState) -> Bool {
        let looked =
            SegmentAttribute.unusable | SegmentAttribute.codeOrData | SegmentAttribute.code
            | SegmentAttribute.expandDown | SegmentAttribute.readWrite
        return segment.base == 0 && segment.limit == .max
            && segment.attributes & looked == SegmentAttribute.codeOrData | SegmentAttribute.readWrite
    }

    /// Sets the privilege level and the rights of data accesses with it.
    @inline(__always)
    func setPrivilege(_ level: UInt8) {
        pointee.cpl = level
        updateAccessClass()
    }

    /// A segment register in real and V86 mode. Real mode keeps limit and attributes, on which some programs rely.
    func loadRealSegment(_ index: Int, _ selector: UInt16) {
        let place = segment(index)
        place.pointee.selector = selector
        place.pointee.base = UInt64(selector) << 4
        if isVirtual8086 {
            place.pointee.limit = 0xFFFF
            place.pointee.attributes = 0xF3
        } else if place.pointee.attributes & SegmentAttribute.unusable != 0 {
            // Left null by protected mode.
            place.pointee.limit = 0xFFFF
            place.pointee.attributes = 0x93
        }
    }

    /// A null selector in a data segment register.
    func clearSegment(_ index: Int, _ selector: UInt16 = 0) {
        segment(index).pointee = SegmentState(
            base: 0, limit: 0, attributes: SegmentAttribute.unusable, selector: selector)
    }

    /// Loads DS, ES, FS, GS or SS as MOV and POP do (SDM vol. 2, MOV).
    func loadSegment(_ index: Int, _ selector: UInt16) throws(CPUFault) {
        guard isProtectedProper else {
            loadRealSegment(index, selector)
            return updateWidths()
        }
        if index == SegmentRegister.ss {
            segment(index).pointee = try checkedStackSegment(
                selector, privilege: pointee.cpl, Vector.generalProtection, allowsNull: is64Bit && pointee.cpl != 3)
        } else if selector.isNullSelector {
            clearSegment(index, selector)
        } else {
            segment(index).pointee = try checkedDataSegment(selector)
        }
        updateWidths()
    }

    private func checkedDataSegment(_ selector: UInt16) throws(CPUFault) -> SegmentState {
        let descriptor = try descriptor(selector)
        guard descriptor.isReadable else { throw generalProtection(selector.selectorCode) }
        if !descriptor.isConforming {
            guard max(selector.requestedPrivilege, pointee.cpl) <= descriptor.privilege else {
                throw generalProtection(selector.selectorCode)
            }
        }
        guard descriptor.isPresent else { throw fault(Vector.segmentNotPresent, code: selector.selectorCode) }
        try markAccessed(descriptor)
        return descriptor.segment(selector)
    }

    /// A stack segment for a privilege level, checked.
    /// - Parameter vector: #GP, or #TS where the selector comes from a TSS.
    func checkedStackSegment(
        _ selector: UInt16, privilege: UInt8, _ vector: UInt8, allowsNull: Bool = false, external: UInt32 = 0
    ) throws(CPUFault) -> SegmentState {
        if selector.isNullSelector {
            guard allowsNull, selector.requestedPrivilege == privilege else { throw fault(vector, code: external) }
            return nullStackSegment(selector)
        }
        let code = selector.selectorCode | external
        let descriptor = try descriptor(selector, orRaise: vector, external: external)
        guard selector.requestedPrivilege == privilege, descriptor.isWritableData, descriptor.privilege == privilege
        else { throw fault(vector, code: code) }
        guard descriptor.isPresent else { throw fault(Vector.stackFault, code: code) }
        try markAccessed(descriptor)
        return descriptor.segment(selector)
    }

    /// SS without a segment, as 64-bit code may have it.
    func nullStackSegment(_ selector: UInt16) -> SegmentState {
        let privilege = UInt32(selector.requestedPrivilege) << SegmentAttribute.privilegeShift
        return SegmentState(
            base: 0, limit: 0, attributes: SegmentAttribute.unusable | privilege, selector: selector)
    }

    /// A code segment for a transfer that changes no privilege by itself (SDM vol. 3, "Direct Calls or Jumps to Code
    /// Segments").
    /// - Parameter privilege: the level that the code will have.
    func loadCodeSegment(_ descriptor: Descriptor, _ selector: UInt16, privilege: UInt8) throws(CPUFault) {
        try markAccessed(descriptor)
        var loaded = descriptor.segment(selector & ~3 | UInt16(privilege))
        loaded.attributes |= SegmentAttribute.accessed
        segment(SegmentRegister.cs).pointee = loaded
    }

    /// Takes away data segments that code of the new, outer level must not keep. As on processors, the base stays: in 64-bit
    /// mode FS and GS go on with it (SDM vol. 2, IRET: only the selector becomes null).
    func dropInnerSegments(privilege: UInt8) {
        for index in SegmentRegister.es...SegmentRegister.gs
        where index != SegmentRegister.cs && index != SegmentRegister.ss {
            let attributes = segment(index).pointee.attributes
            let isConforming =
                attributes & (SegmentAttribute.code | SegmentAttribute.expandDown)
                == SegmentAttribute.code | SegmentAttribute.expandDown
            guard attributes & SegmentAttribute.unusable == 0, !isConforming else { continue }
            if UInt8(truncatingIfNeeded: attributes >> SegmentAttribute.privilegeShift) & 3 < privilege {
                let base = segment(index).pointee.base
                clearSegment(index)
                segment(index).pointee.base = base
            }
        }
    }
}
