// SPDX-License-Identifier: Apache-2.0

/// Far JMP, CALL and RET (SDM vol. 2; vol. 3, "Privilege Checking When Transferring Program Control").
extension UnsafeMutablePointer where Pointee == CPUState {
    /// Far JMP.
    /// - Parameters:
    ///   - width: log2 of the operand's bytes.
    ///   - returnIP: offset of the next instruction, which a task switch saves.
    func farJump(_ selector: UInt16, _ offset: UInt64, width: UInt8, returnIP: UInt64) throws(CPUFault) {
        guard isProtectedProper else {
            guard offset <= UInt64(segment(SegmentRegister.cs).pointee.limit) else { throw generalProtection() }
            loadRealSegment(SegmentRegister.cs, selector)
            pointee.rip = offset
            return updateWidths()
        }
        guard !selector.isNullSelector else { throw generalProtection() }
        let target = try descriptor(selector)
        if target.isCode {
            try checkDirect(target, selector)
            return try enterSegment(target, selector, offset)
        }
        guard !target.isSegment else { throw generalProtection(selector.selectorCode) }
        try checkSystem(target, selector)
        switch target.type {
        case SystemType.callGate,
            SystemType.callGate16 where !isLongMode:
            let (gate, code) = try callGate(target, selector)
            guard code.isConforming ? code.privilege <= pointee.cpl : code.privilege == pointee.cpl else {
                throw generalProtection(gate.selector.selectorCode)
            }
            try enterSegment(code, gate.selector, gate.isWide ? gate.offset : gate.offset & 0xFFFF)
        case SystemType.taskGate where !isLongMode:
            guard target.isPresent else { throw fault(Vector.segmentNotPresent, code: selector.selectorCode) }
            let inner = Gate(raw: target.raw).selector
            try switchTask(try taskDescriptor(inner), inner, .jump, returnIP: returnIP, savedFlags: flags)
        case SystemType.availableTSS16 where !isLongMode, SystemType.availableTSS where !isLongMode:
            guard target.isPresent else { throw fault(Vector.segmentNotPresent, code: selector.selectorCode) }
            try switchTask(target, selector, .jump, returnIP: returnIP, savedFlags: flags)
        default: throw generalProtection(selector.selectorCode)
        }
    }

    /// Far CALL.
    func farCall(_ selector: UInt16, _ offset: UInt64, width: UInt8, returnIP: UInt64) throws(CPUFault) {
        let size: UInt64 = 1 &<< UInt64(width)
        let ownSelector = UInt64(segment(SegmentRegister.cs).pointee.selector)
        guard isProtectedProper else {
            guard offset <= UInt64(segment(SegmentRegister.cs).pointee.limit) else { throw generalProtection() }
            var stack = FrameStack(self, size: size)
            try stack.push(self, ownSelector)
            try stack.push(self, returnIP)
            stack.commit(self)
            loadRealSegment(SegmentRegister.cs, selector)
            pointee.rip = offset
            return updateWidths()
        }
        guard !selector.isNullSelector else { throw generalProtection() }
        let target = try descriptor(selector)
        if target.isCode {
            try checkDirect(target, selector)
            try checkEntry(target, selector, offset)
            var stack = FrameStack(self, size: size)
            try stack.push(self, ownSelector)
            try stack.push(self, returnIP)
            try enterSegment(target, selector, offset)
            return stack.commit(self)
        }
        guard !target.isSegment else { throw generalProtection(selector.selectorCode) }
        try checkSystem(target, selector)
        switch target.type {
        case SystemType.callGate,
            SystemType.callGate16 where !isLongMode:
            let (gate, code) = try callGate(target, selector)
            try callThrough(gate, code, returnIP)
        case SystemType.taskGate where !isLongMode:
            guard target.isPresent else { throw fault(Vector.segmentNotPresent, code: selector.selectorCode) }
            let inner = Gate(raw: target.raw).selector
            try switchTask(try taskDescriptor(inner), inner, .call, returnIP: returnIP, savedFlags: flags)
        case SystemType.availableTSS16 where !isLongMode, SystemType.availableTSS where !isLongMode:
            guard target.isPresent else { throw fault(Vector.segmentNotPresent, code: selector.selectorCode) }
            try switchTask(target, selector, .call, returnIP: returnIP, savedFlags: flags)
        default: throw generalProtection(selector.selectorCode)
        }
    }

    /// Privilege of a gate or TSS that a program names.
    private func checkSystem(_ target: Descriptor, _ selector: UInt16) throws(CPUFault) {
        guard target.privilege >= max(pointee.cpl, selector.requestedPrivilege) else {
            throw generalProtection(selector.selectorCode)
        }
    }

    /// Privilege of a code segment that is named directly.
    private func checkDirect(_ code: Descriptor, _ selector: UInt16) throws(CPUFault) {
        let isAllowed =
            code.isConforming
            ? code.privilege <= pointee.cpl
            : code.privilege == pointee.cpl && selector.requestedPrivilege <= pointee.cpl
        guard isAllowed else { throw generalProtection(selector.selectorCode) }
        guard !(isLongMode && code.isLong && code.isBig) else { throw generalProtection(selector.selectorCode) }
        guard code.isPresent else { throw fault(Vector.segmentNotPresent, code: selector.selectorCode) }
    }

    private func checkEntry(_ code: Descriptor, _ selector: UInt16, _ offset: UInt64) throws(CPUFault) {
        try checkReturnTarget(offset, code, isLongMode && code.isLong)
    }

    private func enterSegment(_ code: Descriptor, _ selector: UInt16, _ offset: UInt64) throws(CPUFault) {
        try checkEntry(code, selector, offset)
        try loadCodeSegment(code, selector, privilege: pointee.cpl)
        pointee.rip = offset
        updateWidths()
    }

    /// Reads a call gate and the code segment that it leads to.
    private func callGate(
        _ descriptor: Descriptor, _ selector: UInt16
    ) throws(CPUFault) -> (Gate, Descriptor) {
        var gate = Gate(raw: descriptor.raw)
        if isLongMode {
            gate.high = try readUpperHalf(selector, descriptor.address, orRaise: Vector.generalProtection)
            guard gate.high >> 40 & 0x1F == 0 else { throw generalProtection(selector.selectorCode) }
        }
        guard gate.isPresent else { throw fault(Vector.segmentNotPresent, code: selector.selectorCode) }
        guard !gate.selector.isNullSelector else { throw generalProtection() }
        let code = try self.descriptor(gate.selector)
        guard code.isCode, code.privilege <= pointee.cpl else { throw generalProtection(gate.selector.selectorCode) }
        if isLongMode {
            guard code.isLong, !code.isBig else { throw generalProtection(gate.selector.selectorCode) }
        }
        guard code.isPresent else { throw fault(Vector.segmentNotPresent, code: gate.selector.selectorCode) }
        return (gate, code)
    }

    private func callThrough(_ gate: Gate, _ code: Descriptor, _ returnIP: UInt64) throws(CPUFault) {
        let size: UInt64 = isLongMode ? 8 : gate.isWide ? 4 : 2
        let offset = gate.isWide ? gate.offset : gate.offset & 0xFFFF
        let level = code.isConforming ? pointee.cpl : code.privilege
        let ownSelector = UInt64(segment(SegmentRegister.cs).pointee.selector)
        try checkEntry(code, gate.selector, offset)
        var stack: FrameStack
        if level < pointee.cpl {
            stack = try isLongMode ? longInnerStack(level, size) : legacyInnerStack(level, size)
            let outer = FrameStack(self, size: size)
            try stack.push(self, UInt64(segment(SegmentRegister.ss).pointee.selector))
            try stack.push(self, self[register: Register.rsp])
            if !isLongMode {
                for index in (0..<gate.parameterCount).reversed() {
                    try stack.push(self, try outer.peek(self, index))
                }
            }
        } else {
            stack = FrameStack(self, size: size)
        }
        try stack.push(self, ownSelector)
        try stack.push(self, returnIP)
        try loadCodeSegment(code, gate.selector, privilege: level)
        if level < pointee.cpl { segment(SegmentRegister.ss).pointee = stack.segment }
        stack.commit(self)
        pointee.rip = offset
        updateWidths()
        setPrivilege(level)
    }

    private func longInnerStack(_ level: UInt8, _ size: UInt64) throws(CPUFault) -> FrameStack {
        let pointer = try longStackPointer(4 &+ UInt64(level) &* 8, 0)
        guard isCanonical(pointer) else { throw fault(Vector.stackFault, code: 0) }
        return FrameStack(
            nullStackSegment(UInt16(level)), pointer: pointer, size: size, privilege: level, isLong: true, code: 0)
    }

    private func legacyInnerStack(_ level: UInt8, _ size: UInt64) throws(CPUFault) -> FrameStack {
        let (selector, pointer) = try innerStack(level, 0)
        let inner = try checkedStackSegment(selector, privilege: level, Vector.invalidTSS)
        return FrameStack(
            inner, pointer: pointer, size: size, privilege: level, isLong: false, code: selector.selectorCode)
    }

    /// Far RET.
    /// - Parameter released: bytes of parameters that go with it.
    func farReturn(width: UInt8, released: UInt64) throws(CPUFault) {
        let size: UInt64 = 1 &<< UInt64(width)
        var stack = FrameStack(self, size: size)
        let target = try stack.pop(self)
        let selector = UInt16(truncatingIfNeeded: try stack.pop(self))
        guard isProtectedProper else {
            guard target <= UInt64(segment(SegmentRegister.cs).pointee.limit) else { throw generalProtection() }
            stack.skip(released)
            stack.commit(self)
            loadRealSegment(SegmentRegister.cs, selector)
            pointee.rip = target
            return updateWidths()
        }
        let code = try returnSegment(selector)
        let level = selector.requestedPrivilege
        let isTo64 = isLongMode && code.isLong
        try checkReturnTarget(target, code, isTo64)
        stack.skip(released)
        if level > pointee.cpl {
            let pointer = try stack.pop(self)
            let stackSelector = UInt16(truncatingIfNeeded: try stack.pop(self))
            let stackSegment = try checkedStackSegment(
                stackSelector, privilege: level, Vector.generalProtection, allowsNull: isTo64 && level != 3)
            try loadCodeSegment(code, selector, privilege: level)
            segment(SegmentRegister.ss).pointee = stackSegment
            setOuterStack(pointer &+ released, stackSegment, isTo64: isTo64)
            dropInnerSegments(privilege: level)
        } else {
            try loadCodeSegment(code, selector, privilege: level)
            stack.commit(self)
        }
        pointee.rip = target
        updateWidths()
        setPrivilege(level)
    }
}
