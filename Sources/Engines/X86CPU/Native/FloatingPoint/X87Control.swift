// SPDX-License-Identifier: Apache-2.0

/// x87 control instructions: they move words and images about and need no unit.
enum X87Control {
    /// FWAIT: #NM needs both MP and TS.
    static let wait: Handler = { state, instruction in
        handle(state, instruction) { state, _ throws(CPUFault) in
            let both = VectorControl.monitorCoprocessor | VectorControl.taskSwitched
            if state.pointee.cr0 & both == both { throw state.fault(Vector.deviceNotAvailable) }
            if state.fpuStatus & FPUStatus.summary != 0 { throw state.pendingFPUException() }
            return .next
        }
    }

    /// FNINIT.
    static let initialize: Handler = { state, instruction in
        handle(state, instruction) { state, _ throws(CPUFault) in
            try state.requireFPUWithoutWait()
            state.initializeFPU()
            return .next
        }
    }

    /// FNCLEX.
    static let clearExceptions: Handler = { state, instruction in
        handle(state, instruction) { state, _ throws(CPUFault) in
            try state.requireFPUWithoutWait()
            // The exception flags, SF, ES and B go; condition codes and TOP stay.
            state.fpuStatus &= 0x7F00
            return .next
        }
    }

    /// FNENI, FNDISI and FNSETPM of older coprocessors.
    static let nothing: Handler = { state, instruction in
        handle(state, instruction) { state, _ throws(CPUFault) in
            try state.requireFPUWithoutWait()
            return .next
        }
    }

    /// FNSTCW.
    static let storeControl: Handler = { state, instruction in
        handle(state, instruction) { state, instruction throws(CPUFault) in
            try state.requireFPUWithoutWait()
            try state.store(try state.address(instruction, size: 2, isWrite: true), state.fpuControl)
            return .next
        }
    }

    /// FNSTSW to memory.
    static let storeStatus: Handler = { state, instruction in
        handle(state, instruction) { state, instruction throws(CPUFault) in
            try state.requireFPUWithoutWait()
            try state.store(try state.address(instruction, size: 2, isWrite: true), state.fpuStatus)
            return .next
        }
    }

    /// FNSTSW AX.
    static let statusToAX: Handler = { state, instruction in
        handle(state, instruction) { state, _ throws(CPUFault) in
            try state.requireFPUWithoutWait()
            UInt16.write(state, UInt8(Register.rax), state.fpuStatus)
            return .next
        }
    }

    /// FNSTENV, after which all exceptions are masked.
    static let storeEnvironment: Handler = { state, instruction in
        handle(state, instruction) { state, instruction throws(CPUFault) in
            try state.requireFPUWithoutWait()
            let count = FPUEnvironment.byteCount(instruction)
            let address = try state.address(instruction, size: count, isWrite: true)
            FPUEnvironment.write(state, instruction, to: state.scratch)
            try state.slowStoreBytes(address, count: count, from: state.scratch)
            state.fpuControl |= FPUStatus.flags
            state.updateFPUSummary()
            return .next
        }
    }

    /// FLDENV.
    static let loadEnvironment: Handler = { state, instruction in
        handle(state, instruction) { state, instruction throws(CPUFault) in
            try state.requireFPU()
            let count = FPUEnvironment.byteCount(instruction)
            let address = try state.address(instruction, size: count)
            try state.slowLoadBytes(address, count: count, into: state.scratch)
            FPUEnvironment.read(state, instruction, from: state.scratch)
            return .next
        }
    }

    /// FNSAVE, then the state of FNINIT.
    static let save: Handler = { state, instruction in
        handle(state, instruction) { state, instruction throws(CPUFault) in
            try state.requireFPUWithoutWait()
            let head = FPUEnvironment.byteCount(instruction)
            let count = head + FPUEnvironment.registerBytes
            let address = try state.address(instruction, size: count, isWrite: true)
            // 108 bytes at most: the MXCSR exchange behind `scratch` and `pendingResult` (128 bytes) is not reached.
            FPUEnvironment.write(state, instruction, to: state.scratch)
            for index in 0..<8 {
                (state.scratch + head + index * 10).copyMemory(from: state.fpuRegister(index), byteCount: 10)
            }
            try state.slowStoreBytes(address, count: count, from: state.scratch)
            state.initializeFPU()
            return .next
        }
    }

    /// FRSTOR.
    static let restore: Handler = { state, instruction in
        handle(state, instruction) { state, instruction throws(CPUFault) in
            try state.requireFPU()
            let head = FPUEnvironment.byteCount(instruction)
            let count = head + FPUEnvironment.registerBytes
            let address = try state.address(instruction, size: count)
            try state.slowLoadBytes(address, count: count, into: state.scratch)
            FPUEnvironment.read(state, instruction, from: state.scratch)
            for index in 0..<8 {
                state.fpuRegister(index).copyMemory(from: state.scratch + head + index * 10, byteCount: 10)
            }
            return .next
        }
    }
}

/// The environment in the four formats of FNSTENV (SDM vol. 1, figures 8-9 to 8-12).
enum FPUEnvironment {
    /// Eight registers of ten bytes.
    static let registerBytes = 80

    static func byteCount(_ instruction: UnsafePointer<Instruction>) -> Int {
        instruction.pointee.operandSize == 1 ? 14 : 28
    }

    private static func isRealFormat(_ state: State) -> Bool {
        state.pointee.cr0 & 1 == 0 || state.pointee.systemFlags & Flag.virtual8086 != 0
    }

    static func write(_ state: State, _ instruction: UnsafePointer<Instruction>, to target: UnsafeMutableRawPointer) {
        let ip = UInt32(truncatingIfNeeded: state.pointee.fpuIP)
        let dp = UInt32(truncatingIfNeeded: state.pointee.fpuDP)
        let opcode = UInt32(state.pointee.fpuOpcode & 0x7FF)
        let words = [UInt32(state.fpuControl), UInt32(state.fpuStatus), UInt32(fullTags(state))]
        if instruction.pointee.operandSize == 1 {
            var fields = words.map { UInt16(truncatingIfNeeded: $0) }
            if isRealFormat(state) {
                fields.append(UInt16(truncatingIfNeeded: ip))
                fields.append(UInt16(truncatingIfNeeded: (ip >> 16 & 0xF) << 12 | opcode))
                fields.append(UInt16(truncatingIfNeeded: dp))
                fields.append(UInt16(truncatingIfNeeded: (dp >> 16 & 0xF) << 12))
            } else {
                fields += [UInt16(truncatingIfNeeded: ip), 0, UInt16(truncatingIfNeeded: dp), 0]
            }
            for (index, field) in fields.enumerated() {
                target.storeBytes(of: field, toByteOffset: index * 2, as: UInt16.self)
            }
            return
        }
        // The upper halves of the first three words read as ones.
        var fields = words.map { $0 | 0xFFFF_0000 }
        if isRealFormat(state) {
            fields.append(ip & 0xFFFF | 0xFFFF_0000)
            fields.append((ip >> 16) << 12 | opcode)
            fields.append(dp & 0xFFFF | 0xFFFF_0000)
            fields.append((dp >> 16) << 12)
        } else {
            fields += [ip, opcode << 16, dp, 0xFFFF_0000]
        }
        for (index, field) in fields.enumerated() {
            target.storeBytes(of: field, toByteOffset: index * 4, as: UInt32.self)
        }
    }

    static func read(_ state: State, _ instruction: UnsafePointer<Instruction>, from source: UnsafeRawPointer) {
        let isShort = instruction.pointee.operandSize == 1
        func field(_ index: Int) -> UInt32 {
            isShort
                ? UInt32(source.load(fromByteOffset: index * 2, as: UInt16.self))
                : source.load(fromByteOffset: index * 4, as: UInt32.self)
        }
        state.setFPUControl(UInt16(truncatingIfNeeded: field(0)))
        state.setFPUStatus(UInt16(truncatingIfNeeded: field(1)))
        var abridged: UInt8 = 0
        for index in 0..<8 where field(2) >> UInt32(index * 2) & 3 != 3 { abridged |= 1 << UInt8(index) }
        state.fpuTags = abridged
        state.updateFPUSummary()
        guard isRealFormat(state) else {
            state.pointee.fpuIP = UInt64(field(3))
            state.pointee.fpuDP = UInt64(field(5))
            state.pointee.fpuOpcode = isShort ? 0 : UInt16(truncatingIfNeeded: field(4) >> 16 & 0x7FF)
            return
        }
        state.pointee.fpuIP = UInt64(field(3) & 0xFFFF | (field(4) >> 12 & 0xFFFF) << 16)
        state.pointee.fpuDP = UInt64(field(5) & 0xFFFF | (field(6) >> 12 & 0xFFFF) << 16)
        state.pointee.fpuOpcode = UInt16(truncatingIfNeeded: field(4) & 0x7FF)
    }

    /// Two bits a physical register: 0 valid, 1 zero, 2 special, 3 empty.
    static func fullTags(_ state: State) -> UInt16 {
        var tags: UInt16 = 0
        let top = state.fpuTop
        for physical in 0..<8 {
            let register = state.fpuRegister((physical - top) & 7)
            let isEmpty = state.fpuTags >> UInt8(physical) & 1 == 0
            let tag = isEmpty ? 3 : classify(register)
            tags |= tag << UInt16(physical * 2)
        }
        return tags
    }

    private static func classify(_ register: UnsafeRawPointer) -> UInt16 {
        let mantissa = register.load(as: UInt64.self)
        let exponent = register.load(fromByteOffset: 8, as: UInt16.self) & 0x7FFF
        if exponent == 0, mantissa == 0 { return 1 }
        return exponent == 0 || exponent == 0x7FFF || mantissa >> 63 == 0 ? 2 : 0
    }
}

extension UnsafeMutablePointer where Pointee == CPUState {
    /// Loads the control word as FLDCW does: bit 6 always reads as 1, undefined bits as 0.
    func setFPUControl(_ value: UInt16) { fpuControl = value & 0x1F3F | 0x40 }
}
