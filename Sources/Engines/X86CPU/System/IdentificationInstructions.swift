// SPDX-License-Identifier: Apache-2.0

internal import CPUInterface
internal import CX86Native

/// CPUID, time stamps, random numbers, FS and GS bases.
enum IdentificationInstructions {
    static let identify: Handler = {
        handle($0, $1) { state, _ throws(CPUFault) in
            let controller = state.cpu.localController
            let question = CPUIDState(
                identifier: controller?.identifier ?? UInt32(truncatingIfNeeded: state.cpu.index),
                isAPICEnabled: controller?.isEnabled ?? false,
                osxsave: state.pointee.cr4 & ControlRegister4.osXSAVE != 0,
                ospke: state.pointee.cr4 & ControlRegister4.protectionKeys != 0, xcr0: state.pointee.xcr0,
                xss: state.pointee.xss)
            let answer = state.cpu.environment.model.leaf(
                function: UInt32(truncatingIfNeeded: state[register: Register.rax]),
                index: UInt32(truncatingIfNeeded: state[register: Register.rcx]), state: question)
            state[register: Register.rax] = UInt64(answer.eax)
            state[register: Register.rbx] = UInt64(answer.ebx)
            state[register: Register.rcx] = UInt64(answer.ecx)
            state[register: Register.rdx] = UInt64(answer.edx)
            return .next
        }
    }

    @inline(__always)
    private static func checkTimeStamp(_ state: State) throws(CPUFault) {
        if state.pointee.cr4 & ControlRegister4.timeStampDisable != 0, state.pointee.cpl != 0 {
            throw state.generalProtection()
        }
    }

    static let readTimeStamp: Handler = {
        handle($0, $1) { state, instruction throws(CPUFault) in
            try checkTimeStamp(state)
            guard let value = state.cpu.readTime() else { return state.startOver(instruction) }
            state[register: Register.rax] = value & 0xFFFF_FFFF
            state[register: Register.rdx] = value >> 32
            return .next
        }
    }

    static let readTimeStampAndProcessor: Handler = {
        handle($0, $1) { state, instruction throws(CPUFault) in
            guard state.cpu.features.has.contains(.rdtscp) else { throw state.fault(Vector.invalidOpcode) }
            try checkTimeStamp(state)
            guard let value = state.cpu.readTime() else { return state.startOver(instruction) }
            state[register: Register.rax] = value & 0xFFFF_FFFF
            state[register: Register.rdx] = value >> 32
            state[register: Register.rcx] = state.pointee.tscAux & 0xFFFF_FFFF
            return .next
        }
    }

    static let readProcessor: Handler = {
        handle($0, $1) { state, instruction throws(CPUFault) in
            guard state.cpu.features.has.contains(.rdpid) else { throw state.fault(Vector.invalidOpcode) }
            state[register: Int(instruction.pointee.rm)] = state.pointee.tscAux & 0xFFFF_FFFF
            return .next
        }
    }

    /// RDPMC: there are no counters.
    static let readCounter: Handler = {
        handle($0, $1) { state, _ throws(CPUFault) in throw state.generalProtection() }
    }

    /// RDRAND (modrm.reg 6) and RDSEED (7): the host's random numbers, always there.
    static let random: Handler = {
        handle($0, $1) { state, instruction throws(CPUFault) in
            let wanted: SystemFeatures.Has = instruction.pointee.reg & 7 == 6 ? .rdrand : .rdseed
            guard state.cpu.features.has.contains(wanted) else { throw state.fault(Vector.invalidOpcode) }
            var generator = SystemRandomNumberGenerator()
            state.writeRegister(
                instruction.pointee.rm, generator.next(), size: instruction.pointee.operandSize)
            state.setArithmeticFlags(Flag.carry)
            return .next
        }
    }

    /// RDFSBASE, RDGSBASE, WRFSBASE, WRGSBASE (modrm.reg 0...3).
    static let segmentBase: Handler = {
        handle($0, $1) { state, instruction throws(CPUFault) in
            guard state.pointee.cr4 & ControlRegister4.fsgsbase != 0 else { throw state.fault(Vector.invalidOpcode) }
            let digit = instruction.pointee.reg & 7
            let segment = state.segment(digit & 1 == 0 ? SegmentRegister.fs : SegmentRegister.gs)
            let isWide = instruction.pointee.operandSize == 3
            if digit < 2 {
                state.writeRegister(instruction.pointee.rm, segment.pointee.base, size: isWide ? 3 : 2)
            } else {
                let value = state[register: Int(instruction.pointee.rm)]
                guard !isWide || state.isCanonical(value) else { throw state.generalProtection() }
                segment.pointee.base = isWide ? value : value & 0xFFFF_FFFF
            }
            return .next
        }
    }

    static func register(_ table: inout OpcodeTableBuilder) {
        table.add("CPUID", .map0F, 0xA2, .system, run: identify)
        table.add("RDTSC", .map0F, 0x31, .system, run: readTimeStamp)
        table.add("RDPMC", .map0F, 0x33, .system, run: readCounter)
        table.add(
            "RDTSCP", .map0F, 0x01, digit: 7, rm: 1, mod: .register, [.modRM, .system], run: readTimeStampAndProcessor)
        table.add("RDPID", .map0F, 0xC7, prefix: .xF3, digit: 7, mod: .register, [.modRM, .system], run: readProcessor)
        for digit: UInt8 in 6...7 {
            table.add(
                digit == 6 ? "RDRAND" : "RDSEED", .map0F, 0xC7, prefix: .noRepeat, digit: digit, mod: .register,
                [.modRM, .system], run: random)
        }
        let bases = ["RDFSBASE", "RDGSBASE", "WRFSBASE", "WRGSBASE"]
        for (digit, name) in bases.enumerated() {
            table.add(
                name, .map0F, 0xAE, prefix: .xF3, digit: UInt8(digit), mod: .register, widths: .bits64,
                size: .doubleOrQuad, [.modRM, .system], run: segmentBase)
        }
    }
}
