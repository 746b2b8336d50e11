// SPDX-License-Identifier: Apache-2.0

/// x87 instructions. Arithmetic, loads and stores run on the host's unit with the guest's own control word: an x87
/// exception does nothing but set flags, until the next waiting instruction, so the host never traps inside a thunk.
enum X87 {
    /// What a memory operand of an opcode is: bytes, and whether it is written; nil where there is no such instruction
    /// or it has a handler of its own.
    static func memoryOperand(opcode: UInt8, digit: UInt8) -> (count: UInt8, isWrite: Bool)? {
        switch (opcode, digit) {
        case (0xD8, _), (0xDA, _): (4, false)
        case (0xD9, 0): (4, false)
        case (0xD9, 2), (0xD9, 3): (4, true)
        case (0xD9, 5): (2, false)
        case (0xDB, 0): (4, false)
        case (0xDB, 1), (0xDB, 2), (0xDB, 3): (4, true)
        case (0xDB, 5): (10, false)
        case (0xDB, 7): (10, true)
        case (0xDC, _): (8, false)
        case (0xDD, 0): (8, false)
        case (0xDD, 1), (0xDD, 2), (0xDD, 3): (8, true)
        case (0xDE, _): (2, false)
        case (0xDF, 0): (2, false)
        case (0xDF, 1), (0xDF, 2), (0xDF, 3): (2, true)
        case (0xDF, 4): (10, false)
        case (0xDF, 5): (8, false)
        case (0xDF, 6): (10, true)
        case (0xDF, 7): (8, true)
        default: nil
        }
    }

    /// Whether a register form (modrm C0...FF) is an instruction that runs on the host's unit. The undocumented
    /// duplicates are.
    static func isRegisterForm(opcode: UInt8, modRM: UInt8) -> Bool {
        switch (opcode, modRM) {
        case (0xD8, _), (0xDC, _): true
        case (0xD9, 0xC0...0xD0), (0xD9, 0xD8...0xE1), (0xD9, 0xE4...0xE5), (0xD9, 0xE8...0xEE): true
        case (0xD9, 0xF0...0xFF): true
        case (0xDA, 0xC0...0xDF), (0xDA, 0xE9): true
        case (0xDB, 0xC0...0xDF), (0xDB, 0xE8...0xF7): true
        case (0xDD, 0xC0...0xEF): true
        case (0xDE, 0xC0...0xD7), (0xDE, 0xD9), (0xDE, 0xE0...0xFF): true
        case (0xDF, 0xC0...0xDF), (0xDF, 0xE8...0xF7): true
        default: false
        }
    }

    /// FCMOVcc reads the arithmetic flags.
    static func readsFlags(opcode: UInt8, modRM: UInt8) -> Bool {
        (opcode == 0xDA || opcode == 0xDB) && (0xC0...0xDF).contains(modRM)
    }

    /// FCOMI, FUCOMI and their popping forms set them.
    static func setsFlags(opcode: UInt8, modRM: UInt8) -> Bool {
        (opcode == 0xDB || opcode == 0xDF) && (0xE8...0xF7).contains(modRM)
    }

    /// The thunk: rdi the FXSAVE image, rdx the memory operand, r8 RFLAGS for FCMOV.
    static func assemble(opcode: UInt8, digit: UInt8, register: UInt8?) -> [UInt8] {
        var assembler = Assembler()
        // FXRSTOR64 [rdi] and, afterwards, FXSAVE64 [rdi].
        assembler.legacy(map: 1, 0xAE, reg: 1, .memory(.rdi), wide: true)
        let modRM = 0xC0 | digit << 3 | (register ?? 0)
        if register != nil, readsFlags(opcode: opcode, modRM: modRM) {
            // PUSH R8; POPFQ.
            assembler.emit(0x41, 0x50, 0x9D)
        }
        assembler.legacy(map: 0, opcode, reg: digit, register.map { .register($0) } ?? .memory(.rdx))
        if register != nil, setsFlags(opcode: opcode, modRM: modRM) { assembler.captureFlags() }
        assembler.legacy(map: 1, 0xAE, reg: 0, .memory(.rdi), wide: true)
        // FNINIT: no pending exception and an empty stack for whatever the host's own code does.
        assembler.emit(0xDB, 0xE3)
        assembler.ret()
        return assembler.code
    }

    static func operation(_ instruction: Instruction) -> UnsafePointer<NativeOperation>? {
        let opcode = instruction.opcode
        let digit = instruction.reg & 7
        let isMemory = instruction.prefixes.contains(.memory)
        let register = isMemory ? nil : instruction.rm & 7
        var traits: NativeOperation.Traits = []
        var count: UInt8 = 0
        if isMemory {
            guard let memory = memoryOperand(opcode: opcode, digit: digit) else { return nil }
            traits.insert(.memory)
            if memory.isWrite { traits.insert(.writesRM) }
            count = memory.count
        } else {
            let modRM = 0xC0 | digit << 3 | instruction.rm & 7
            guard isRegisterForm(opcode: opcode, modRM: modRM) else { return nil }
            if setsFlags(opcode: opcode, modRM: modRM) { traits.insert(.setsFlags) }
        }
        let key =
            NativeKeySpace.x87 << 60 | UInt64(opcode) << 16 | UInt64(digit) << 8 | UInt64(register.map { $0 + 1 } ?? 0)
        return NativeLibrary.shared.operation(key) {
            (
                assemble(opcode: opcode, digit: digit, register: register),
                { NativeOperation(code: $0, traits: traits, memoryBytes: count, alignmentMask: 0) }
            )
        }
    }

    // MARK: handlers

    /// Register forms.
    static let registers: Handler = { state, instruction in
        handle(state, instruction) { state, instruction throws(CPUFault) in
            try state.requireFPU()
            let operation = instruction.operation
            state.noteFPUInstruction(instruction)
            let flags = state.runFPU(operation)
            if operation.pointee.traits.contains(.setsFlags) { state.setArithmeticFlags(flags) }
            return .next
        }
    }

    /// Forms that read memory.
    static let load: Handler = { state, instruction in
        handle(state, instruction) { state, instruction throws(CPUFault) in
            try state.requireFPU()
            let operation = instruction.operation
            let count = Int(operation.pointee.memoryBytes)
            let address = try state.address(instruction, size: count)
            try state.loadOperand(address, count: count, into: state.scratch)
            // FLDCW is a control instruction: the pointers stay.
            if !(instruction.pointee.opcode == 0xD9 && instruction.pointee.reg & 7 == 5) {
                state.noteFPUInstruction(instruction)
                state.pointee.fpuDP = state.effectiveOffset(instruction)
            }
            _ = state.runFPU(operation)
            return .next
        }
    }

    /// Forms that write memory.
    static let store: Handler = { state, instruction in
        handle(state, instruction) { state, instruction throws(CPUFault) in
            try state.requireFPU()
            let operation = instruction.operation
            let count = Int(operation.pointee.memoryBytes)
            let address = try state.address(instruction, size: count, isWrite: true)
            try state.probeWrite(address, size: count)
            state.noteFPUInstruction(instruction)
            state.pointee.fpuDP = state.effectiveOffset(instruction)
            _ = state.runFPU(operation)
            // No flag was unmasked and set before, or #MF had come first: what is now was raised by this store.
            let withheld = FPUStatus.invalid | FPUStatus.overflow | FPUStatus.underflow
            if state.fpuStatus & ~state.fpuControl & withheld == 0 {
                try state.storeOperand(address, count: count, from: state.scratch)
            }
            return .next
        }
    }
}

extension UnsafeMutablePointer where Pointee == CPUState {
    @inline(__always)
    fileprivate func runFPU(_ operation: UnsafePointer<NativeOperation>) -> UInt64 {
        let flags = UnsafeMutableRawPointer(bitPattern: UInt(arithmeticFlags | 2)).unsafelyUnwrapped
        return operation.pointee.code(pointee.fxsave, pointee.fxsave, scratch, vectorControl, flags)
    }

    /// Remembers where the last non-control instruction was and what it was.
    @inline(__always)
    fileprivate func noteFPUInstruction(_ instruction: UnsafePointer<Instruction>) {
        pointee.fpuIP = ownIP(instruction)
        let low = instruction.pointee.prefixes.contains(.memory) ? 0 : 0xC0 | UInt16(instruction.pointee.rm & 7)
        pointee.fpuOpcode = UInt16(instruction.pointee.opcode & 7) << 8 | UInt16(instruction.pointee.reg & 7) << 3 | low
    }
}
