// SPDX-License-Identifier: Apache-2.0

/// Bits of MXCSR.
enum MXCSR {
    /// Exception flags, bits 0...5: invalid, denormal, zero divide, overflow, underflow, precision.
    static let flags: UInt32 = 0x3F
    /// Not of MXCSR: the code was ended by a trap.
    static let trapped: UInt32 = 1 << 31
    static let masks: UInt32 = 0x1F80
    static let maskShift: UInt32 = 7
    static let writable: UInt32 = 0xFFFF
}

extension UnsafeMutablePointer where Pointee == CPUState {
    /// Runs code that rounds by MXCSR and notes the flags it raised.
    ///
    /// For a guest that unmasks exceptions the host traps where the guest would: what an unmasked exception does to the
    /// other flags can be told in no other way.
    @inline(__always)
    func runFloatingPoint(
        _ operation: UnsafePointer<NativeOperation>, _ reg: UnsafeMutableRawPointer, _ vvvv: UnsafeMutableRawPointer,
        _ rm: UnsafeMutableRawPointer, _ extra: UnsafeMutableRawPointer
    ) throws(CPUFault) -> UInt64 {
        let control = vectorControl
        control.storeBytes(of: pointee.mxcsr & ~MXCSR.flags | MXCSR.masks, as: UInt32.self)
        if pointee.mxcsr & MXCSR.masks == MXCSR.masks {
            let flags = operation.pointee.code(reg, vvvv, rm, control, extra)
            pointee.mxcsr |= control.load(fromByteOffset: VectorBlock.controlStored, as: UInt32.self) & MXCSR.flags
            return flags
        }
        return try runUnmasked(operation, reg, vvvv, rm, extra)
    }

    @inline(never)
    private func runUnmasked(
        _ operation: UnsafePointer<NativeOperation>, _ reg: UnsafeMutableRawPointer, _ vvvv: UnsafeMutableRawPointer,
        _ rm: UnsafeMutableRawPointer, _ extra: UnsafeMutableRawPointer
    ) throws(CPUFault) -> UInt64 {
        let traits = operation.pointee.traits
        let copy = pendingResult
        // Only modrm.reg is ever a destination register of arithmetic, apart from VCVTPS2PH's r/m, which the caller
        // points at scratch memory.
        let size = traits.isDisjoint(with: [.regGeneral, .regMMX]) ? (traits.contains(.avx) ? 32 : 16) : 8
        copy.copyMemory(from: reg, byteCount: size)
        guard NativeLibrary.catchesVectorTraps else { throw fault(Vector.invalidOpcode) }
        // With the guest's own masks the host traps, which ends the code before it stores anything.
        vectorControl.storeBytes(of: pointee.mxcsr & ~MXCSR.flags, as: UInt32.self)
        let flags = operation.pointee.code(copy, vvvv, rm, vectorControl, extra)
        let stored = vectorControl.load(fromByteOffset: VectorBlock.controlStored, as: UInt32.self)
        let raised = stored & MXCSR.flags
        if stored & MXCSR.trapped != 0 {
            pointee.mxcsr |= raised
            let isReported = pointee.cr4 & VectorControl.osXMMExceptions != 0
            throw fault(isReported ? Vector.simdFloatingPoint : Vector.invalidOpcode)
        }
        pointee.mxcsr |= raised
        if traits.contains(.writesReg) { reg.copyMemory(from: copy, byteCount: size) }
        return flags
    }

    /// Checks that apply before the operands are looked at.
    @inline(__always)
    func requireUnit(_ traits: NativeOperation.Traits) throws(CPUFault) {
        if traits.contains(.avx) { return try requireAVX() }
        if traits.contains(.mmx) {
            try requireMMX(isSSE: traits.contains(.floatingPoint))
        } else if traits.contains(.regMMX) {
            try requireMMX(isSSE: false)
        } else {
            try requireSSE()
        }
    }
}

/// Handlers of vector instructions that run through thunks. The fourth operand's register number is in
/// `Instruction.detail`.
enum VectorHandlers {
    /// All operands are vector registers, nothing but registers changes.
    static let registers: Handler = { state, instruction in
        handle(state, instruction) { state, instruction throws(CPUFault) in
            let operation = instruction.operation
            if operation.pointee.traits.contains(.avx) { try state.requireAVX() } else { try state.requireSSE() }
            _ = operation.pointee.code(
                state.vector(instruction.pointee.reg), state.vector(instruction.pointee.vvvv),
                state.vector(instruction.pointee.rm), state.vectorControl, state.vector(instruction.pointee.detail))
            return .next
        }
    }

    /// As `registers`, with a memory operand that is read.
    static let load: Handler = { state, instruction in
        handle(state, instruction) { state, instruction throws(CPUFault) in
            let operation = instruction.operation
            if operation.pointee.traits.contains(.avx) { try state.requireAVX() } else { try state.requireSSE() }
            let count = Int(operation.pointee.memoryBytes)
            let address = try state.vectorAddress(
                instruction, size: count, alignmentMask: UInt64(operation.pointee.alignmentMask))
            try state.loadOperand(address, count: count, into: state.scratch)
            _ = operation.pointee.code(
                state.vector(instruction.pointee.reg), state.vector(instruction.pointee.vvvv), state.scratch,
                state.vectorControl, state.vector(instruction.pointee.detail))
            return .next
        }
    }

    /// Floating point with vector or general registers, all but MMX; the r/m operand is read.
    static let floatingPoint: Handler = { state, instruction in
        handle(state, instruction) { state, instruction throws(CPUFault) in
            let operation = instruction.operation
            let traits = operation.pointee.traits
            if traits.contains(.avx) { try state.requireAVX() } else { try state.requireSSE() }
            let rm: UnsafeMutableRawPointer
            if traits.contains(.memory) {
                let count = Int(operation.pointee.memoryBytes)
                let address = try state.vectorAddress(
                    instruction, size: count, alignmentMask: UInt64(operation.pointee.alignmentMask))
                rm = state.scratch
                try state.loadOperand(address, count: count, into: rm)
            } else if traits.contains(.rmGeneral) {
                rm = state.general(instruction.pointee.rm)
            } else {
                rm = state.vector(instruction.pointee.rm)
            }
            let number = instruction.pointee.reg
            let reg = traits.contains(.regGeneral) ? state.general(number) : state.vector(number)
            let flags = try state.runFloatingPoint(
                operation, reg, state.vector(instruction.pointee.vvvv), rm, state.vector(instruction.pointee.detail))
            if traits.contains(.setsFlags) { state.setArithmeticFlags(flags) }
            return .next
        }
    }

    /// Every other form.
    static let general: Handler = { state, instruction in
        handle(state, instruction) { state, instruction throws(CPUFault) in
            let operation = instruction.operation
            let traits = operation.pointee.traits
            try state.requireUnit(traits)
            let count = Int(operation.pointee.memoryBytes)
            var address: UInt64 = 0
            var rm = state.scratch
            if traits.contains(.memory) {
                address = try state.vectorAddress(
                    instruction, size: count, alignmentMask: UInt64(operation.pointee.alignmentMask),
                    isWrite: traits.contains(.writesRM))
                if traits.contains(.writesRM) {
                    try state.probeWrite(address, size: count)
                } else {
                    try state.loadOperand(address, count: count, into: rm)
                }
            } else if traits.contains(.rmGeneral) {
                // What is written is narrower than the register and zero-extended.
                if traits.contains(.writesRM) {
                    rm.storeBytes(of: 0, as: UInt64.self)
                } else {
                    rm = state.general(instruction.pointee.rm)
                }
            } else if traits.isDisjoint(with: [.rmMMX, .floatingPoint]) {
                rm = state.vector(instruction.pointee.rm)
            } else if !traits.contains(.rmMMX) {
                // A copy, since the result is dropped where an unmasked exception is raised.
                rm.copyMemory(from: state.vector(instruction.pointee.rm), byteCount: 32)
            }
            if traits.contains(.mmx) {
                state.enterMMX()
                if traits.contains(.rmMMX) { rm = state.mmx(instruction.pointee.rm & 7) }
            }
            try run(state, instruction, operation, rm)
            guard traits.contains(.writesRM) else { return .next }
            if traits.contains(.memory) {
                try state.storeOperand(address, count: count, from: rm)
            } else if traits.contains(.rmGeneral) {
                state.general(instruction.pointee.rm).copyMemory(from: rm, byteCount: 8)
            } else if traits.contains(.rmMMX) {
                state.markMMXWritten(instruction.pointee.rm & 7)
            } else if traits.contains(.floatingPoint) {
                state.vector(instruction.pointee.rm).copyMemory(from: rm, byteCount: 32)
            }
            return .next
        }
    }

    private static func run(
        _ state: State, _ instruction: UnsafePointer<Instruction>, _ operation: UnsafePointer<NativeOperation>,
        _ rm: UnsafeMutableRawPointer
    ) throws(CPUFault) {
        let traits = operation.pointee.traits
        let number = instruction.pointee.reg
        let reg =
            traits.contains(.regMMX)
            ? state.mmx(number & 7) : traits.contains(.regGeneral) ? state.general(number) : state.vector(number)
        let isString = traits.contains(.string)
        let vvvv = state.vector(isString ? 0 : instruction.pointee.vvvv)
        let extra = isString ? state.general(0) : state.vector(instruction.pointee.detail)
        let flags: UInt64
        if traits.contains(.floatingPoint) {
            flags = try state.runFloatingPoint(operation, reg, vvvv, rm, extra)
        } else {
            flags = operation.pointee.code(reg, vvvv, rm, state.vectorControl, extra)
        }
        if isString || traits.contains(.setsFlags) { state.setArithmeticFlags(flags) }
        if traits.contains([.regMMX, .writesReg]) { state.markMMXWritten(number & 7) }
    }

    /// Which of them serves a form.
    static func handler(for traits: NativeOperation.Traits) -> Handler {
        let plain: NativeOperation.Traits = [.avx, .memory, .writesReg]
        if traits.isSubset(of: plain) { return traits.contains(.memory) ? load : registers }
        // A destination in vvvv or, in legacy encoding, in an r/m register (immediate shifts).
        if !traits.contains(.memory), traits.isSubset(of: [.avx, .writesRM]) { return registers }
        let arithmetic: NativeOperation.Traits = [
            .avx, .memory, .writesReg, .floatingPoint, .setsFlags, .regGeneral, .rmGeneral,
        ]
        return traits.contains(.floatingPoint) && traits.isSubset(of: arithmetic) ? floatingPoint : general
    }
}
