// SPDX-License-Identifier: Apache-2.0

extension UnsafeMutablePointer where Pointee == CPUState {
    /// Flags that POPF and IRET may change, by operand size and privilege.
    func changeableFlags(isWide: Bool) -> UInt64 {
        var mask = Flag.arithmetic | Flag.trap | Flag.direction | Flag.nestedTask
        if isWide { mask |= Flag.alignmentCheck | Flag.identification }
        let ioPrivilege = UInt8(truncatingIfNeeded: (pointee.systemFlags & Flag.ioPrivilege) >> 12)
        if !isProtected || pointee.cpl == 0 { mask |= Flag.ioPrivilege }
        if !isProtected || pointee.cpl <= ioPrivilege { mask |= Flag.interrupt }
        return mask
    }

    /// Replaces the flags in `mask`.
    func setFlags(_ image: UInt64, mask: UInt64) {
        let merged = flags & ~mask | image & mask
        pointee.systemFlags = merged & ~Flag.arithmetic | 2
        setArithmeticFlags(merged)
        updateAccessClass()
    }

    /// IRET with an operand of `1 << width` bytes (SDM vol. 2, IRET).
    func interruptReturn(width: UInt8, returnIP: UInt64) throws(CPUFault) {
        pointee.nonMaskableBlocked = false
        let size: UInt64 = 1 &<< UInt64(width)
        if !isProtected { return try returnReal(size, mask: changeableFlags(isWide: width > 1) | Flag.resume) }
        if isVirtual8086 {
            if try usesVirtualFlags(width) { return try returnVirtual() }
            return try returnReal(size, mask: changeableFlags(isWide: width > 1) & ~Flag.ioPrivilege | Flag.resume)
        }
        if pointee.systemFlags & Flag.nestedTask != 0 {
            guard !isLongMode else { throw generalProtection() }
            return try returnFromTask(returnIP)
        }
        try returnProtected(size)
    }

    private func returnReal(_ size: UInt64, mask: UInt64) throws(CPUFault) {
        var stack = FrameStack(self, size: size)
        let target = try stack.pop(self)
        let selector = UInt16(truncatingIfNeeded: try stack.pop(self))
        let image = try stack.pop(self)
        guard target <= UInt64(segment(SegmentRegister.cs).pointee.limit) else { throw generalProtection() }
        stack.commit(self)
        loadRealSegment(SegmentRegister.cs, selector)
        pointee.rip = target
        setFlags(image, mask: size == 2 ? mask & 0xFFFF : mask)
        updateWidths()
    }

    /// IRET of an 8086 program with a virtual interrupt flag.
    private func returnVirtual() throws(CPUFault) {
        var stack = FrameStack(self, size: 2)
        let target = try stack.pop(self)
        let selector = UInt16(truncatingIfNeeded: try stack.pop(self))
        let image = try stack.pop(self)
        try checkVirtualFlags(image)
        stack.commit(self)
        loadRealSegment(SegmentRegister.cs, selector)
        pointee.rip = target
        setVirtualFlags(image)
        updateWidths()
    }

    private func returnProtected(_ size: UInt64) throws(CPUFault) {
        var stack = FrameStack(self, size: size)
        let target = try stack.pop(self)
        let selector = UInt16(truncatingIfNeeded: try stack.pop(self))
        let image = try stack.pop(self)
        if size >= 4, image & Flag.virtual8086 != 0, pointee.cpl == 0, !isLongMode {
            return try returnToVirtual8086(&stack, target, selector, image)
        }
        let code = try returnSegment(selector)
        let level = selector.requestedPrivilege
        let isTo64 = isLongMode && code.isLong
        try checkReturnTarget(target, code, isTo64)
        var mask = changeableFlags(isWide: size > 2)
        if size > 2 { mask |= Flag.resume }
        if pointee.cpl == 0, size > 2 { mask |= Flag.virtualInterrupt | Flag.virtualInterruptPending }
        if level > pointee.cpl || is64Bit {
            let pointer = try stack.pop(self)
            let stackSelector = UInt16(truncatingIfNeeded: try stack.pop(self))
            let stackSegment = try checkedStackSegment(
                stackSelector, privilege: level, Vector.generalProtection, allowsNull: isTo64 && level != 3)
            try loadCodeSegment(code, selector, privilege: level)
            segment(SegmentRegister.ss).pointee = stackSegment
            setOuterStack(pointer, stackSegment, isTo64: isTo64)
            if level > pointee.cpl { dropInnerSegments(privilege: level) }
        } else {
            try loadCodeSegment(code, selector, privilege: level)
            stack.commit(self)
        }
        pointee.rip = target
        setFlags(image, mask: mask)
        updateWidths()
        setPrivilege(level)
    }

    /// The stack pointer that a return to an outer level finds on the inner stack.
    func setOuterStack(_ pointer: UInt64, _ stack: SegmentState, isTo64: Bool) {
        if isTo64 {
            self[register: Register.rsp] = pointer
        } else if stack.attributes & SegmentAttribute.big != 0 {
            self[register: Register.rsp] = pointer & 0xFFFF_FFFF
        } else {
            let old = self[register: Register.rsp]
            self[register: Register.rsp] = old & ~0xFFFF | pointer & 0xFFFF
        }
    }

    /// The code segment of a far return, checked.
    func returnSegment(_ selector: UInt16) throws(CPUFault) -> Descriptor {
        guard !selector.isNullSelector else { throw generalProtection() }
        let code = try descriptor(selector)
        let level = selector.requestedPrivilege
        guard code.isCode, level >= pointee.cpl,
            code.isConforming ? code.privilege <= level : code.privilege == level
        else { throw generalProtection(selector.selectorCode) }
        guard !(isLongMode && code.isLong && code.isBig) else { throw generalProtection(selector.selectorCode) }
        guard code.isPresent else { throw fault(Vector.segmentNotPresent, code: selector.selectorCode) }
        return code
    }

    /// #GP(0) for a target outside the code segment or not canonical.
    func checkReturnTarget(_ target: UInt64, _ code: Descriptor, _ isTo64: Bool) throws(CPUFault) {
        guard isTo64 ? isCanonical(target) : target <= UInt64(code.limit) else { throw generalProtection() }
    }

    private func returnToVirtual8086(
        _ stack: inout FrameStack, _ target: UInt64, _ selector: UInt16, _ image: UInt64
    ) throws(CPUFault) {
        let pointer = try stack.pop(self)
        let ss = UInt16(truncatingIfNeeded: try stack.pop(self))
        var others: InlineArray<4, UInt16> = [0, 0, 0, 0]
        for index in 0..<4 { others[index] = UInt16(truncatingIfNeeded: try stack.pop(self)) }
        let mask =
            changeableFlags(isWide: true) | Flag.virtual8086 | Flag.resume | Flag.virtualInterrupt
            | Flag.virtualInterruptPending
        setFlags(image, mask: mask)
        loadRealSegment(SegmentRegister.cs, selector)
        loadRealSegment(SegmentRegister.ss, ss)
        loadRealSegment(SegmentRegister.es, others[0])
        loadRealSegment(SegmentRegister.ds, others[1])
        loadRealSegment(SegmentRegister.fs, others[2])
        loadRealSegment(SegmentRegister.gs, others[3])
        self[register: Register.rsp] = pointer & 0xFFFF_FFFF
        pointee.rip = target & 0xFFFF
        updateWidths()
        setPrivilege(3)
    }
}
