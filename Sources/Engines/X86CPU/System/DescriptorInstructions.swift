// SPDX-License-Identifier: Apache-2.0

/// Descriptor tables, LDTR, TR, and the questions about selectors.
enum DescriptorInstructions {
    /// SGDT, SIDT (modrm.reg 0 and 1).
    static let storeTable: Handler = {
        handle($0, $1) { state, instruction throws(CPUFault) in
            try state.requireUserModeAllowed()
            let isGlobal = instruction.pointee.reg & 7 == 0
            let base = isGlobal ? state.pointee.gdtBase : state.pointee.idtBase
            let limit = isGlobal ? state.pointee.gdtLimit : state.pointee.idtLimit
            let size = state.is64Bit ? 10 : 6
            let place = try state.address(instruction, size: size, isWrite: true)
            try state.probeWrite(place, size: size)
            try state.store(place, limit)
            if state.is64Bit {
                try state.store(place &+ 2, base)
            } else {
                try state.store(place &+ 2, UInt32(truncatingIfNeeded: base))
            }
            return .next
        }
    }

    /// LGDT, LIDT (modrm.reg 2 and 3).
    static let loadTable: Handler = {
        handle($0, $1) { state, instruction throws(CPUFault) in
            try state.requireSupervisor()
            let place = try state.address(instruction, size: state.is64Bit ? 10 : 6)
            let limit: UInt16 = try state.load(place)
            var base: UInt64
            if state.is64Bit {
                base = try state.load(place &+ 2)
                guard state.isCanonical(base) else { throw state.generalProtection() }
            } else {
                base = UInt64(try state.load(place &+ 2, as: UInt32.self))
                if instruction.pointee.operandSize == 1 { base &= 0xFF_FFFF }
            }
            if instruction.pointee.reg & 7 == 2 {
                state.pointee.gdtBase = base
                state.pointee.gdtLimit = limit
            } else {
                state.pointee.idtBase = base
                state.pointee.idtLimit = limit
            }
            return .next
        }
    }

    static let storeSystemSegment: Handler = {
        handle($0, $1) { state, instruction throws(CPUFault) in
            try state.requireUserModeAllowed()
            let index = instruction.pointee.reg & 7 == 0 ? SegmentRegister.ldtr : SegmentRegister.tr
            try state.storeSelector(instruction, state.segment(index).pointee.selector)
            return .next
        }
    }

    static let loadLocalTable: Handler = {
        handle($0, $1) { state, instruction throws(CPUFault) in
            try state.requireSupervisor()
            let selector = try state.loadSelector(instruction)
            if selector.isNullSelector {
                state.clearSegment(SegmentRegister.ldtr, selector)
                return .next
            }
            var table = try systemDescriptor(state, selector)
            guard !table.isSegment, table.type == SystemType.ldt else {
                throw state.generalProtection(selector.selectorCode)
            }
            guard table.isPresent else { throw state.fault(Vector.segmentNotPresent, code: selector.selectorCode) }
            try addUpperHalf(state, selector, &table)
            state.segment(SegmentRegister.ldtr).pointee = table.segment(selector)
            return .next
        }
    }

    static let loadTask: Handler = {
        handle($0, $1) { state, instruction throws(CPUFault) in
            try state.requireSupervisor()
            let selector = try state.loadSelector(instruction)
            guard !selector.isNullSelector else { throw state.generalProtection() }
            var task = try systemDescriptor(state, selector)
            let isValid =
                !task.isSegment
                && (task.type == SystemType.availableTSS || !state.isLongMode && task.type == SystemType.availableTSS16)
            guard isValid else { throw state.generalProtection(selector.selectorCode) }
            guard task.isPresent else { throw state.fault(Vector.segmentNotPresent, code: selector.selectorCode) }
            try addUpperHalf(state, selector, &task)
            try state.changeDescriptorType(task) { $0 | 2 }
            var loaded = task.segment(selector)
            loaded.attributes |= 2
            state.segment(SegmentRegister.tr).pointee = loaded
            return .next
        }
    }

    private static func systemDescriptor(_ state: State, _ selector: UInt16) throws(CPUFault) -> Descriptor {
        guard selector & 4 == 0 else { throw state.generalProtection(selector.selectorCode) }
        return try state.descriptor(selector)
    }

    private static func addUpperHalf(
        _ state: State, _ selector: UInt16, _ descriptor: inout Descriptor
    ) throws(CPUFault) {
        guard state.isLongMode else { return }
        let high = try state.readUpperHalf(selector, descriptor.address, orRaise: Vector.generalProtection)
        guard high >> 40 & 0x1F == 0 else { throw state.generalProtection(selector.selectorCode) }
        descriptor.baseHigh = high & 0xFFFF_FFFF
        guard state.isCanonical(descriptor.base) else { throw state.generalProtection(selector.selectorCode) }
    }

    /// The descriptor that the program may see; nil where it may not, or there is none.
    private static func visible(_ state: State, _ selector: UInt16) throws(CPUFault) -> Descriptor? {
        guard !selector.isNullSelector, let address = state.descriptorAddress(selector) else { return nil }
        let descriptor = Descriptor(
            raw: try state.asSupervisor { () throws(CPUFault) in try state.load(address) }, address: address)
        let level = max(state.pointee.cpl, selector.requestedPrivilege)
        guard descriptor.isConforming || level <= descriptor.privilege else { return nil }
        return descriptor
    }

    private static func setZero(_ state: State, _ isSet: Bool) {
        state.setFlags(isSet ? Flag.zero : 0, mask: Flag.zero)
    }

    /// LAR (opcode 02) and LSL (03).
    static let loadRights: Handler = {
        handle($0, $1) { state, instruction throws(CPUFault) in
            let selector = try state.loadSelector(instruction)
            let isLimit = instruction.pointee.opcode == 3
            guard let descriptor = try visible(state, selector),
                descriptor.isSegment || isKnown(descriptor.type, isLimit: isLimit, isLong: state.isLongMode)
            else {
                setZero(state, false)
                return .next
            }
            let rights = descriptor.raw >> 32 & 0x00F0_FF00
            let value = isLimit ? UInt64(descriptor.limit) : rights
            state.writeRegister(instruction.pointee.reg, value, size: instruction.pointee.operandSize)
            setZero(state, true)
            return .next
        }
    }

    private static func isKnown(_ type: UInt8, isLimit: Bool, isLong: Bool) -> Bool {
        switch type {
        case SystemType.ldt, SystemType.availableTSS, SystemType.busyTSS: true
        case SystemType.availableTSS16, SystemType.busyTSS16: !isLong
        case SystemType.callGate: !isLimit
        case SystemType.callGate16, SystemType.taskGate: !isLimit && !isLong
        default: false
        }
    }

    /// VERR (modrm.reg 4) and VERW (5).
    static let verify: Handler = {
        handle($0, $1) { state, instruction throws(CPUFault) in
            let descriptor = try visible(state, try state.loadSelector(instruction))
            let isWrite = instruction.pointee.reg & 7 == 5
            setZero(state, descriptor.map { isWrite ? $0.isWritableData : $0.isReadable } ?? false)
            return .next
        }
    }

    static let adjustPrivilege: Handler = {
        handle($0, $1) { state, instruction throws(CPUFault) in
            let selector = try state.loadSelector(instruction)
            let wanted = UInt16.read(state, instruction.pointee.reg) & 3
            guard selector & 3 < wanted else {
                setZero(state, false)
                return .next
            }
            try state.storeRM(instruction, selector & ~3 | wanted)
            setZero(state, true)
            return .next
        }
    }

    static func register(_ table: inout OpcodeTableBuilder) {
        let system: RowFlags = [.modRM, .system]
        let protected: RowFlags = [.modRM, .system, .protectedOnly]
        for digit: UInt8 in 0...1 {
            table.add(
                digit == 0 ? "SGDT" : "SIDT", .map0F, 0x01, digit: digit, mod: .memory, system, run: storeTable)
            table.add(
                digit == 0 ? "LGDT" : "LIDT", .map0F, 0x01, digit: digit + 2, mod: .memory, system, run: loadTable)
            table.add(
                digit == 0 ? "SLDT" : "STR", .map0F, 0x00, digit: digit, protected, run: storeSystemSegment)
            table.add(digit == 0 ? "VERR" : "VERW", .map0F, 0x00, digit: digit + 4, protected, run: verify)
            table.add(digit == 0 ? "LAR" : "LSL", .map0F, 2 + digit, protected, run: loadRights)
        }
        table.add("LLDT", .map0F, 0x00, digit: 2, protected, run: loadLocalTable)
        table.add("LTR", .map0F, 0x00, digit: 3, protected, run: loadTask)
        table.add("ARPL", .primary, 0x63, widths: .legacy, size: .fixed(1), protected, run: adjustPrivilege)
    }
}
