// SPDX-License-Identifier: Apache-2.0

/// SYSCALL, SYSRET, SYSENTER, SYSEXIT, SWAPGS.
enum SystemCalls {
    private static let flatAttributes: UInt32 =
        SegmentAttribute.present | SegmentAttribute.codeOrData | SegmentAttribute.readWrite
        | SegmentAttribute.accessed | SegmentAttribute.granularity

    static func code(_ selector: UInt16, privilege: UInt32, isLong: Bool) -> SegmentState {
        let width = isLong ? SegmentAttribute.long : SegmentAttribute.big
        return SegmentState(
            base: 0, limit: .max,
            attributes: flatAttributes | SegmentAttribute.code | privilege << SegmentAttribute.privilegeShift | width,
            selector: selector)
    }

    static func stack(_ selector: UInt16, privilege: UInt32) -> SegmentState {
        SegmentState(
            base: 0, limit: .max,
            attributes: flatAttributes | privilege << SegmentAttribute.privilegeShift | SegmentAttribute.big,
            selector: selector)
    }

    @inline(__always)
    private static func enter(_ state: State, code: SegmentState, stack: SegmentState, privilege: UInt8) {
        state.segment(SegmentRegister.cs).pointee = code
        state.segment(SegmentRegister.ss).pointee = stack
        state.updateWidths()
        state.setPrivilege(privilege)
    }

    static let systemCall: Handler = {
        handle($0, $1) { state, instruction throws(CPUFault) in
            guard state.pointee.efer & ExtendedFeature.systemCall != 0, state.isProtectedProper else {
                throw state.fault(Vector.invalidOpcode)
            }
            // Intel's processors know it in 64-bit mode only.
            if state.cpu.features.has.contains(.intel), !state.is64Bit { throw state.fault(Vector.invalidOpcode) }
            let next = state.nextIP(instruction)
            let selector = UInt16(truncatingIfNeeded: state.pointee.star >> 32) & ~3
            state[register: Register.rcx] = next
            if state.isLongMode {
                state[register: 11] = state.flags & ~Flag.resume
                state.setFlags(0, mask: state.pointee.syscallMask | Flag.resume)
                state.pointee.rip = state.is64Bit ? state.pointee.lstar : state.pointee.cstar
            } else {
                state.setFlags(0, mask: Flag.interrupt | Flag.virtual8086 | Flag.resume)
                state.pointee.rip = state.pointee.star & 0xFFFF_FFFF
            }
            enter(
                state, code: code(selector, privilege: 0, isLong: state.isLongMode),
                stack: stack(selector &+ 8, privilege: 0), privilege: 0)
            state.pointee.stepsByResult = true
            return .exit
        }
    }

    /// What SYSRET takes from R11: all flags but RF and VM.
    static let returnedFlags: UInt64 = 0x3F_7FD7 & ~(Flag.resume | Flag.virtual8086)

    static let systemReturn: Handler = {
        handle($0, $1) { state, instruction throws(CPUFault) in
            guard state.pointee.efer & ExtendedFeature.systemCall != 0, state.isProtectedProper else {
                throw state.fault(Vector.invalidOpcode)
            }
            if state.cpu.features.has.contains(.intel), !state.is64Bit { throw state.fault(Vector.invalidOpcode) }
            try state.requireSupervisor()
            let base = UInt16(truncatingIfNeeded: state.pointee.star >> 48) | 3
            let isTo64 = instruction.pointee.operandSize == 3
            let target = state[register: Register.rcx]
            if isTo64, !state.isCanonical(target) { throw state.generalProtection() }
            state.pointee.rip = isTo64 ? target : target & 0xFFFF_FFFF
            if state.isLongMode {
                state.setFlags(state[register: 11], mask: returnedFlags)
                state.setFlags(0, mask: Flag.resume | Flag.virtual8086)
            } else {
                state.setFlags(Flag.interrupt, mask: Flag.interrupt)
            }
            enter(
                state, code: code(isTo64 ? base &+ 16 : base, privilege: 3, isLong: isTo64),
                stack: stack(base &+ 8, privilege: 3), privilege: 3)
            state.pointee.stepsByResult = true
            return .exit
        }
    }

    /// AMD's processors know SYSENTER and SYSEXIT outside long mode only.
    private static func requireLegacy(_ state: State) throws(CPUFault) {
        if state.isLongMode, state.cpu.features.has.contains(.amd) { throw state.fault(Vector.invalidOpcode) }
    }

    static let systemEnter: Handler = {
        handle($0, $1) { state, instruction throws(CPUFault) in
            try requireLegacy(state)
            let selector = UInt16(truncatingIfNeeded: state.pointee.sysenterCS) & ~3
            guard state.isProtected, selector != 0 else { throw state.generalProtection() }
            let isLong = state.isLongMode
            state.setFlags(0, mask: Flag.interrupt | Flag.virtual8086 | Flag.resume)
            state[register: Register.rsp] = isLong ? state.pointee.sysenterESP : state.pointee.sysenterESP & 0xFFFF_FFFF
            state.pointee.rip = isLong ? state.pointee.sysenterEIP : state.pointee.sysenterEIP & 0xFFFF_FFFF
            enter(
                state, code: code(selector, privilege: 0, isLong: isLong),
                stack: stack(selector &+ 8, privilege: 0), privilege: 0)
            return .exit
        }
    }

    static let systemExit: Handler = {
        handle($0, $1) { state, instruction throws(CPUFault) in
            try requireLegacy(state)
            let selector = UInt16(truncatingIfNeeded: state.pointee.sysenterCS) & ~3
            guard state.isProtectedProper, state.pointee.cpl == 0, selector != 0 else {
                throw state.generalProtection()
            }
            let isTo64 = instruction.pointee.operandSize == 3
            let target = state[register: Register.rdx]
            let pointer = state[register: Register.rcx]
            if isTo64 {
                guard state.isCanonical(target), state.isCanonical(pointer) else { throw state.generalProtection() }
            }
            let base = (selector &+ (isTo64 ? 32 : 16)) | 3
            state[register: Register.rsp] = isTo64 ? pointer : pointer & 0xFFFF_FFFF
            state.pointee.rip = isTo64 ? target : target & 0xFFFF_FFFF
            enter(
                state, code: code(base, privilege: 3, isLong: isTo64), stack: stack(base &+ 8, privilege: 3),
                privilege: 3)
            return .exit
        }
    }

    static let swapGS: Handler = {
        handle($0, $1) { state, instruction throws(CPUFault) in
            try state.requireSupervisor()
            let gs = state.segment(SegmentRegister.gs)
            (gs.pointee.base, state.pointee.kernelGSBase) = (state.pointee.kernelGSBase, gs.pointee.base)
            return .next
        }
    }

    static func register(_ table: inout OpcodeTableBuilder) {
        let flags: RowFlags = [.endsBlock, .system]
        table.add("SYSCALL", .map0F, 0x05, flags, run: systemCall)
        table.add("SYSRET", .map0F, 0x07, size: .doubleOrQuad, flags, run: systemReturn)
        table.add("SYSENTER", .map0F, 0x34, flags, run: systemEnter)
        table.add("SYSEXIT", .map0F, 0x35, size: .doubleOrQuad, flags, run: systemExit)
        table.add(
            "SWAPGS", .map0F, 0x01, digit: 7, rm: 0, mod: .register, widths: .bits64, [.modRM, .system], run: swapGS)
    }
}
