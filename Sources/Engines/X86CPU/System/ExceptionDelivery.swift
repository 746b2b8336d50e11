// SPDX-License-Identifier: Apache-2.0

/// An exception or interrupt on its way to its handler.
struct PendingEvent {
    enum Origin {
        /// A fault, trap or abort.
        case exception
        /// INT n, INT3, INTO.
        case software
        /// INTR, NMI, and INT1, which checks no privilege.
        case external
    }

    var vector: UInt8
    var origin: Origin
    var errorCode: UInt32?
    /// Offset of the instruction to return to.
    var returnIP: UInt64
    /// RF in the saved flags: the instruction is a faulting one that must not hit its breakpoint again.
    var setsResume = false

    /// EXT in the error codes of faults on the way.
    var external: UInt32 { origin == .software ? 0 : 1 }
}

/// An interrupt, trap, call or task gate.
struct Gate {
    let raw: UInt64
    var high: UInt64 = 0

    var type: UInt8 { UInt8(truncatingIfNeeded: raw >> 40) & 15 }
    var isSystem: Bool { raw >> 44 & 1 == 0 }
    var privilege: UInt8 { UInt8(truncatingIfNeeded: raw >> 45) & 3 }
    var isPresent: Bool { raw >> 47 & 1 != 0 }
    var selector: UInt16 { UInt16(truncatingIfNeeded: raw >> 16) }
    /// Bits 0...15 and 48...63, and with long gates the upper half.
    var offset: UInt64 { raw & 0xFFFF | (raw >> 48) << 16 | (high & 0xFFFF_FFFF) << 32 }
    /// Index of a stack in the 64-bit TSS; 0 for none.
    var stackIndex: UInt64 { raw >> 32 & 7 }
    /// Words or doublewords that a call gate copies.
    var parameterCount: UInt64 { raw >> 32 & 31 }
    /// 32 bits (64 in long mode), not 16.
    var isWide: Bool { type & 8 != 0 }
    /// Clears IF.
    var isInterrupt: Bool { type & 7 == 6 }
}

extension UnsafeMutablePointer where Pointee == CPUState {
    /// Starts the handler of an event (SDM vol. 3, chapter 6). Nothing but memory below the handler's stack pointer and
    /// accessed bits has changed where it throws.
    func deliver(_ event: PendingEvent) throws(CPUFault) {
        if !isProtected {
            try deliverReal(event)
        } else if isLongMode {
            try deliverLong(event)
        } else {
            try deliverProtected(event)
        }
    }

    private func deliverReal(_ event: PendingEvent) throws(CPUFault) {
        let place = UInt64(event.vector) * 4
        guard place + 3 <= UInt64(pointee.idtLimit) else { throw generalProtection() }
        let entry: UInt32 = try asSupervisor { () throws(CPUFault) in try load(pointee.idtBase &+ place) }
        var stack = FrameStack(self, size: 2)
        try stack.push(self, flags)
        try stack.push(self, UInt64(segment(SegmentRegister.cs).pointee.selector))
        try stack.push(self, event.returnIP)
        stack.commit(self)
        loadRealSegment(SegmentRegister.cs, UInt16(truncatingIfNeeded: entry >> 16))
        pointee.rip = UInt64(entry & 0xFFFF)
        pointee.systemFlags &= ~(Flag.interrupt | Flag.trap | Flag.alignmentCheck | Flag.resume)
        updateWidths()
        updateAccessClass()
    }

    private func savedFlags(_ event: PendingEvent) -> UInt64 { flags | (event.setsResume ? Flag.resume : 0) }

    /// The flags that a handler begins with.
    private func enterHandler(_ gate: Gate, at offset: UInt64, privilege: UInt8) {
        var cleared = Flag.trap | Flag.nestedTask | Flag.resume | Flag.virtual8086
        if gate.isInterrupt { cleared |= Flag.interrupt }
        pointee.systemFlags &= ~cleared
        pointee.rip = offset
        updateWidths()
        setPrivilege(privilege)
    }

    private func checkGate(_ gate: Gate, _ event: PendingEvent, isValid: Bool) throws(CPUFault) {
        let code = UInt32(event.vector) * 8 + 2
        guard isValid else { throw generalProtection(code | event.external) }
        if event.origin == .software, gate.privilege < pointee.cpl { throw generalProtection(code) }
        guard gate.isPresent else { throw fault(Vector.segmentNotPresent, code: code | event.external) }
    }

    // MARK: IA-32e mode

    private func deliverLong(_ event: PendingEvent) throws(CPUFault) {
        let external = event.external
        let place = UInt64(event.vector) * 16
        guard place + 15 <= UInt64(pointee.idtLimit) else {
            throw generalProtection(UInt32(event.vector) * 8 + 2 | external)
        }
        let gate = try asSupervisor { () throws(CPUFault) in
            Gate(raw: try load(pointee.idtBase &+ place), high: try load(pointee.idtBase &+ place &+ 8))
        }
        let isValid = gate.isSystem && (gate.type == SystemType.interruptGate || gate.type == SystemType.trapGate)
        try checkGate(gate, event, isValid: isValid)
        let code = try handlerSegment(gate, external)
        guard code.isLong, !code.isBig else { throw generalProtection(gate.selector.selectorCode | external) }
        let level = code.isConforming ? pointee.cpl : code.privilege
        var target = self[register: Register.rsp]
        if gate.stackIndex != 0 {
            target = try longStackPointer(0x24 &+ (gate.stackIndex &- 1) &* 8, external)
        } else if level < pointee.cpl {
            target = try longStackPointer(4 &+ UInt64(level) &* 8, external)
        }
        guard isCanonical(target) else { throw fault(Vector.stackFault, code: external) }
        guard isCanonical(gate.offset) else { throw generalProtection(external) }
        let null = nullStackSegment(UInt16(level))
        var stack = FrameStack(
            null, pointer: target & ~15, size: 8, privilege: level, isLong: true, code: external)
        try stack.push(
            self,
            frame: [
                UInt64(segment(SegmentRegister.ss).pointee.selector), self[register: Register.rsp], savedFlags(event),
                UInt64(segment(SegmentRegister.cs).pointee.selector), event.returnIP,
            ])
        if let errorCode = event.errorCode { try stack.push(self, UInt64(errorCode)) }
        try loadCodeSegment(code, gate.selector, privilege: level)
        if level < pointee.cpl { segment(SegmentRegister.ss).pointee = null }
        stack.commit(self)
        enterHandler(gate, at: gate.offset, privilege: level)
    }

    /// A 64-bit stack pointer in the TSS.
    func longStackPointer(_ offset: UInt64, _ external: UInt32) throws(CPUFault) -> UInt64 {
        let task = segment(SegmentRegister.tr).pointee
        guard offset &+ 7 <= UInt64(task.limit) else {
            throw fault(Vector.invalidTSS, code: task.selector.selectorCode | external)
        }
        return try asSupervisor { () throws(CPUFault) in try load(task.base &+ offset) }
    }

    /// The code segment that an interrupt gate names, checked but for its width.
    private func handlerSegment(_ gate: Gate, _ external: UInt32) throws(CPUFault) -> Descriptor {
        guard !gate.selector.isNullSelector else { throw generalProtection(external) }
        let code = try descriptor(gate.selector, external: external)
        let errorCode = gate.selector.selectorCode | external
        guard code.isCode, code.privilege <= pointee.cpl else { throw generalProtection(errorCode) }
        guard code.isPresent else { throw fault(Vector.segmentNotPresent, code: errorCode) }
        return code
    }

    // MARK: protected mode

    private func deliverProtected(_ event: PendingEvent) throws(CPUFault) {
        let external = event.external
        let place = UInt64(event.vector) * 8
        guard place + 7 <= UInt64(pointee.idtLimit) else {
            throw generalProtection(UInt32(event.vector) * 8 + 2 | external)
        }
        let gate = Gate(raw: try asSupervisor { () throws(CPUFault) in try load(pointee.idtBase &+ place) })
        let type = gate.type
        let isValid = gate.isSystem && (type == SystemType.taskGate || type & 7 == 6 || type & 7 == 7)
        try checkGate(gate, event, isValid: isValid)
        if type == SystemType.taskGate { return try deliverTask(gate, event) }
        let code = try handlerSegment(gate, external)
        let level = code.isConforming ? pointee.cpl : code.privilege
        let size: UInt64 = gate.isWide ? 4 : 2
        let offset = gate.isWide ? gate.offset : gate.offset & 0xFFFF
        if isVirtual8086, level != 0 { throw generalProtection(gate.selector.selectorCode | external) }
        guard offset <= UInt64(code.limit) else { throw generalProtection(external) }
        var stack: FrameStack
        if level < pointee.cpl {
            let (selector, pointer) = try innerStack(level, external)
            let inner = try checkedStackSegment(selector, privilege: level, Vector.invalidTSS, external: external)
            stack = FrameStack(
                inner, pointer: pointer, size: size, privilege: level, isLong: false,
                code: selector.selectorCode | external)
            if isVirtual8086 {
                for index in [SegmentRegister.gs, SegmentRegister.fs, SegmentRegister.ds, SegmentRegister.es] {
                    try stack.push(self, UInt64(segment(index).pointee.selector))
                }
            }
            try stack.push(self, UInt64(segment(SegmentRegister.ss).pointee.selector))
            try stack.push(self, self[register: Register.rsp])
        } else {
            stack = FrameStack(self, size: size, code: external)
        }
        try stack.push(self, savedFlags(event))
        try stack.push(self, UInt64(segment(SegmentRegister.cs).pointee.selector))
        try stack.push(self, event.returnIP)
        if let errorCode = event.errorCode { try stack.push(self, UInt64(errorCode)) }
        try loadCodeSegment(code, gate.selector, privilege: level)
        if level < pointee.cpl { segment(SegmentRegister.ss).pointee = stack.segment }
        if isVirtual8086 {
            for index in [SegmentRegister.gs, SegmentRegister.fs, SegmentRegister.ds, SegmentRegister.es] {
                clearSegment(index)
            }
        }
        stack.commit(self)
        enterHandler(gate, at: offset, privilege: level)
    }

    /// SS and (E)SP of an inner level, from the TSS outside long mode.
    func innerStack(_ level: UInt8, _ external: UInt32) throws(CPUFault) -> (selector: UInt16, pointer: UInt64) {
        let task = segment(SegmentRegister.tr).pointee
        let isWide = task.attributes & 8 != 0
        let offset = isWide ? 4 &+ UInt64(level) &* 8 : 2 &+ UInt64(level) &* 4
        guard task.attributes & SegmentAttribute.unusable == 0,
            offset &+ (isWide ? 7 : 3) <= UInt64(task.limit)
        else { throw fault(Vector.invalidTSS, code: task.selector.selectorCode | external) }
        let place = task.base &+ offset
        return try asSupervisor { () throws(CPUFault) in
            if isWide { return (try load(place &+ 4), UInt64(try load(place, as: UInt32.self))) }
            return (try load(place &+ 2), UInt64(try load(place, as: UInt16.self)))
        }
    }

    private func deliverTask(_ gate: Gate, _ event: PendingEvent) throws(CPUFault) {
        let descriptor = try taskDescriptor(gate.selector, external: event.external)
        try switchTask(
            descriptor, gate.selector, .interrupt, returnIP: event.returnIP, savedFlags: savedFlags(event),
            external: event.external)
        if let errorCode = event.errorCode {
            let isWide = segment(SegmentRegister.tr).pointee.attributes & 8 != 0
            var stack = FrameStack(self, size: isWide ? 4 : 2, code: event.external)
            try stack.push(self, UInt64(errorCode))
            stack.commit(self)
        }
    }
}

/// Exceptions that happen while another is delivered (SDM vol. 3, "Interrupt 8 - Double Fault Exception").
enum NestedException {
    private static func isContributory(_ vector: UInt8) -> Bool {
        vector == Vector.divideError || (Vector.invalidTSS...Vector.generalProtection).contains(vector)
    }

    /// The two make a double fault.
    static func isDoubleFault(_ first: UInt8, _ second: UInt8) -> Bool {
        if isContributory(first) { return isContributory(second) }
        if first == Vector.pageFault { return isContributory(second) || second == Vector.pageFault }
        return false
    }

    /// The second one during the delivery of a double fault shuts the processor down.
    static func isShutdown(_ second: UInt8) -> Bool { isContributory(second) || second == Vector.pageFault }
}
