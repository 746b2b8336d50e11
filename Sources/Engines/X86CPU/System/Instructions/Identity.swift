// SPDX-License-Identifier: Apache-2.0

internal import CPUInterface
internal import CX86Native

// CPUID, time-stamp counter, random numbers.
extension UnsafeMutablePointer where Pointee == CPUState {
    /// CPUID's answer for the leaf in EAX and ECX.
    func identify() {
        let cpu = cpu
        let context = CPUIDState(
            identifier: cpu.localController?.identifier ?? UInt32(cpu.index),
            isAPICEnabled: cpu.localController?.isEnabled ?? false,
            osxsave: pointee.cr4 & ControlRegister4.osXSAVE != 0,
            ospke: pointee.cr4 & ControlRegister4.protectionKeys != 0, xcr0: pointee.xcr0, xss: pointee.xss)
        let answer = cpu.environment.model.leaf(
            function: UInt32(truncatingIfNeeded: self[register: Register.rax]),
            index: UInt32(truncatingIfNeeded: self[register: Register.rcx]), state: context)
        self[register: Register.rax] = UInt64(answer.eax)
        self[register: Register.rbx] = UInt64(answer.ebx)
        self[register: Register.rcx] = UInt64(answer.ecx)
        self[register: Register.rdx] = UInt64(answer.edx)
    }

    /// The guest's time-stamp counter now.
    @inline(__always) var timestamp: UInt64 { roost_rdtsc() &+ pointee.tscOffset }

    /// Puts a 64-bit value into EDX:EAX.
    @inline(__always)
    func setPair(_ value: UInt64) {
        self[register: Register.rax] = value & 0xFFFF_FFFF
        self[register: Register.rdx] = value >> 32
    }

    /// EDX:EAX.
    @inline(__always) var pair: UInt64 {
        self[register: Register.rax] & 0xFFFF_FFFF | self[register: Register.rdx] << 32
    }

    /// RDTSC and RDTSCP fault at CPL 3 (and in V86 mode, which is CPL 3) with CR4.TSD.
    func checkTimestampAllowed() throws(CPUFault) {
        if pointee.cr4 & ControlRegister4.timeStampDisable != 0, isProtected, pointee.cpl != 0 {
            throw generalProtection()
        }
    }

    /// RDRAND and RDSEED: a random number of the operand's width, CF set; the other flags clear.
    func random<Word: OperandWord>(_ instruction: UnsafePointer<Instruction>, as _: Word.Type) {
        // The standard library's generator asks the host's system for every number.
        Word.write(self, instruction.pointee.rm, Word.random(in: .min ... .max))
        setArithmeticFlags(Flag.carry)
    }

    /// Fails with #GP(0) unless CPL is 0.
    @inline(__always)
    func requireSupervisor() throws(CPUFault) {
        if pointee.cpl != 0 { throw generalProtection() }
    }
}

extension OpcodeTable {
    static func registerIdentityRows(_ table: inout OpcodeTableBuilder) {
        table.add("CPUID", .map0F, 0xA2, .system) { state, instruction in
            handle(state, instruction) { state, _ throws(CPUFault) in
                state.identify()
                return .next
            }
        }
        table.add("RDTSC", .map0F, 0x31, .system) { state, instruction in
            handle(state, instruction) { state, _ throws(CPUFault) in
                try state.checkTimestampAllowed()
                state.setPair(state.timestamp)
                return .next
            }
        }
        table.add("RDTSCP", .map0F, 0x01, digit: 7, rm: 1, mod: .register, [.modRM, .system]) { state, instruction in
            handle(state, instruction) { state, _ throws(CPUFault) in
                guard state.cpu.environment.model.has("rdtscp") else { throw state.fault(Vector.invalidOpcode) }
                try state.checkTimestampAllowed()
                state.setPair(state.timestamp)
                state[register: Register.rcx] = state.pointee.tscAux & 0xFFFF_FFFF
                return .next
            }
        }
        table.add("RDPMC", .map0F, 0x33, .system) { state, instruction in
            handle(state, instruction) { state, _ throws(CPUFault) in
                // There are no counters, so every number is out of range.
                throw state.generalProtection()
            }
        }
        table.add("RDPID", .map0F, 0xC7, prefix: .xF3, digit: 7, mod: .register, [.modRM, .system]) {
            state, instruction in
            handle(state, instruction) { state, instruction throws(CPUFault) in
                guard state.cpu.environment.model.has("rdpid") else { throw state.fault(Vector.invalidOpcode) }
                state[register: Int(instruction.pointee.rm)] = state.pointee.tscAux & 0xFFFF_FFFF
                return .next
            }
        }
        for (name, digit) in [("RDRAND", UInt8(6)), ("RDSEED", 7)] {
            table.add(name, .map0F, 0xC7, prefix: .noRepeat, digit: digit, mod: .register, [.modRM, .system]) { i, _ in
                switch i.operandSize {
                case 1: randomHandler16
                case 2: randomHandler32
                default: randomHandler64
                }
            }
        }
    }

    private static let randomHandler16: Handler = { state, instruction in
        handle(state, instruction) { state, instruction throws(CPUFault) in
            try state.requireRandom(instruction)
            state.random(instruction, as: UInt16.self)
            return .next
        }
    }
    private static let randomHandler32: Handler = { state, instruction in
        handle(state, instruction) { state, instruction throws(CPUFault) in
            try state.requireRandom(instruction)
            state.random(instruction, as: UInt32.self)
            return .next
        }
    }
    private static let randomHandler64: Handler = { state, instruction in
        handle(state, instruction) { state, instruction throws(CPUFault) in
            try state.requireRandom(instruction)
            state.random(instruction, as: UInt64.self)
            return .next
        }
    }
}

extension UnsafeMutablePointer where Pointee == CPUState {
    /// #UD where CPUID does not show the instruction: /6 is RDRAND, /7 RDSEED.
    fileprivate func requireRandom(_ instruction: UnsafePointer<Instruction>) throws(CPUFault) {
        let name = instruction.pointee.reg & 7 == 6 ? "rdrand" : "rdseed"
        guard cpu.environment.model.has(name) else { throw fault(Vector.invalidOpcode) }
    }
}
