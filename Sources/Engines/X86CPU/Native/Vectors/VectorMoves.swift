// SPDX-License-Identifier: Apache-2.0

extension UnsafeMutablePointer where Pointee == CPUState {
    /// The checks of a legacy or VEX-encoded instruction.
    @inline(__always)
    func requireVector(_ instruction: UnsafePointer<Instruction>) throws(CPUFault) {
        if instruction.pointee.prefixes.contains(.vex) { try requireAVX() } else { try requireSSE() }
    }

    /// Writes a 128-bit result as the encoding wants it.
    @inline(__always)
    func finish(_ instruction: UnsafePointer<Instruction>, _ value: SIMD2<UInt64>) {
        if instruction.pointee.prefixes.contains(.vex) {
            setXMMClearing(instruction.pointee.reg, value)
        } else {
            setXMM(instruction.pointee.reg, value)
        }
    }

    /// The first source of a three-operand form: vvvv, or the destination in legacy encoding.
    @inline(__always)
    func firstSource(_ instruction: UnsafePointer<Instruction>) -> SIMD2<UInt64> {
        xmm(instruction.pointee.prefixes.contains(.vex) ? instruction.pointee.vvvv : instruction.pointee.reg)
    }
}

/// Moves of vector registers, written out because they are by far the most frequent vector instructions.
/// `Instruction.detail` is the alignment mask of the memory operand; for register moves towards r/m the selector swaps
/// `reg` and `rm`.
enum VectorMoves {
    // MARK: whole registers

    static let load128: Handler = { state, instruction in
        handle(state, instruction) { state, instruction throws(CPUFault) in
            try state.requireSSE()
            let address = try state.vectorAddress(
                instruction, size: 16, alignmentMask: UInt64(instruction.pointee.detail))
            state.setXMM(instruction.pointee.reg, try state.loadVector(address))
            return .next
        }
    }

    static let store128: Handler = { state, instruction in
        handle(state, instruction) { state, instruction throws(CPUFault) in
            try state.requireVector(instruction)
            let address = try state.vectorAddress(
                instruction, size: 16, alignmentMask: UInt64(instruction.pointee.detail), isWrite: true)
            try state.storeVector(address, state.xmm(instruction.pointee.reg))
            return .next
        }
    }

    static let move128: Handler = { state, instruction in
        handle(state, instruction) { state, instruction throws(CPUFault) in
            try state.requireSSE()
            state.setXMM(instruction.pointee.reg, state.xmm(instruction.pointee.rm))
            return .next
        }
    }

    static let load128Clearing: Handler = { state, instruction in
        handle(state, instruction) { state, instruction throws(CPUFault) in
            try state.requireAVX()
            let address = try state.vectorAddress(
                instruction, size: 16, alignmentMask: UInt64(instruction.pointee.detail))
            state.setXMMClearing(instruction.pointee.reg, try state.loadVector(address))
            return .next
        }
    }

    static let move128Clearing: Handler = { state, instruction in
        handle(state, instruction) { state, instruction throws(CPUFault) in
            try state.requireAVX()
            state.setXMMClearing(instruction.pointee.reg, state.xmm(instruction.pointee.rm))
            return .next
        }
    }

    static let load256: Handler = { state, instruction in
        handle(state, instruction) { state, instruction throws(CPUFault) in
            try state.requireAVX()
            let address = try state.vectorAddress(
                instruction, size: 32, alignmentMask: UInt64(instruction.pointee.detail))
            state.setYMM(instruction.pointee.reg, try state.loadVector(address))
            return .next
        }
    }

    static let store256: Handler = { state, instruction in
        handle(state, instruction) { state, instruction throws(CPUFault) in
            try state.requireAVX()
            let address = try state.vectorAddress(
                instruction, size: 32, alignmentMask: UInt64(instruction.pointee.detail), isWrite: true)
            try state.storeVector(address, state.ymm(instruction.pointee.reg))
            return .next
        }
    }

    static let move256: Handler = { state, instruction in
        handle(state, instruction) { state, instruction throws(CPUFault) in
            try state.requireAVX()
            state.setYMM(instruction.pointee.reg, state.ymm(instruction.pointee.rm))
            return .next
        }
    }

    // MARK: scalars

    /// MOVSS from memory: the rest of the register becomes 0.
    static let load32: Handler = { state, instruction in
        handle(state, instruction) { state, instruction throws(CPUFault) in
            try state.requireVector(instruction)
            let value: UInt32 = try state.load(try state.address(instruction, size: 4))
            state.finish(instruction, [UInt64(value), 0])
            return .next
        }
    }

    /// MOVSD and MOVQ from memory.
    static let load64: Handler = { state, instruction in
        handle(state, instruction) { state, instruction throws(CPUFault) in
            try state.requireVector(instruction)
            let value: UInt64 = try state.load(try state.address(instruction, size: 8))
            state.finish(instruction, [value, 0])
            return .next
        }
    }

    static let store32: Handler = { state, instruction in
        handle(state, instruction) { state, instruction throws(CPUFault) in
            try state.requireVector(instruction)
            let value = UInt32(truncatingIfNeeded: state.xmm(instruction.pointee.reg)[0])
            try state.store(try state.address(instruction, size: 4, isWrite: true), value)
            return .next
        }
    }

    static let store64: Handler = { state, instruction in
        handle(state, instruction) { state, instruction throws(CPUFault) in
            try state.requireVector(instruction)
            let value = state.xmm(instruction.pointee.reg)[0]
            try state.store(try state.address(instruction, size: 8, isWrite: true), value)
            return .next
        }
    }

    /// MOVHPS to memory.
    static let storeHigh: Handler = { state, instruction in
        handle(state, instruction) { state, instruction throws(CPUFault) in
            try state.requireVector(instruction)
            let value = state.xmm(instruction.pointee.reg)[1]
            try state.store(try state.address(instruction, size: 8, isWrite: true), value)
            return .next
        }
    }

    /// MOVSS between registers: only the low 32 bits come from r/m.
    static let merge32: Handler = { state, instruction in
        handle(state, instruction) { state, instruction throws(CPUFault) in
            try state.requireVector(instruction)
            var value = state.firstSource(instruction)
            let low: UInt64 = 0xFFFF_FFFF
            value[0] = value[0] & ~low | state.xmm(instruction.pointee.rm)[0] & low
            state.finish(instruction, value)
            return .next
        }
    }

    static let merge64: Handler = { state, instruction in
        handle(state, instruction) { state, instruction throws(CPUFault) in
            try state.requireVector(instruction)
            var value = state.firstSource(instruction)
            value[0] = state.xmm(instruction.pointee.rm)[0]
            state.finish(instruction, value)
            return .next
        }
    }

    /// MOVQ between registers: the rest becomes 0.
    static let moveLow: Handler = { state, instruction in
        handle(state, instruction) { state, instruction throws(CPUFault) in
            try state.requireVector(instruction)
            state.finish(instruction, [state.xmm(instruction.pointee.rm)[0], 0])
            return .next
        }
    }

    /// MOVLPS and MOVLPD from memory, MOVHPS and MOVHPD from memory.
    static let loadLow: Handler = { state, instruction in
        handle(state, instruction) { state, instruction throws(CPUFault) in
            try state.requireVector(instruction)
            var value = state.firstSource(instruction)
            value[0] = try state.load(try state.address(instruction, size: 8))
            state.finish(instruction, value)
            return .next
        }
    }

    static let loadHigh: Handler = { state, instruction in
        handle(state, instruction) { state, instruction throws(CPUFault) in
            try state.requireVector(instruction)
            var value = state.firstSource(instruction)
            value[1] = try state.load(try state.address(instruction, size: 8))
            state.finish(instruction, value)
            return .next
        }
    }

    /// MOVHLPS.
    static let highToLow: Handler = { state, instruction in
        handle(state, instruction) { state, instruction throws(CPUFault) in
            try state.requireVector(instruction)
            var value = state.firstSource(instruction)
            value[0] = state.xmm(instruction.pointee.rm)[1]
            state.finish(instruction, value)
            return .next
        }
    }

    /// MOVLHPS.
    static let lowToHigh: Handler = { state, instruction in
        handle(state, instruction) { state, instruction throws(CPUFault) in
            try state.requireVector(instruction)
            var value = state.firstSource(instruction)
            value[1] = state.xmm(instruction.pointee.rm)[0]
            state.finish(instruction, value)
            return .next
        }
    }

    // MARK: general registers (operandSize 2 or 3)

    /// MOVD and MOVQ from r/m.
    static let fromGeneral: Handler = { state, instruction in
        handle(state, instruction) { state, instruction throws(CPUFault) in
            try state.requireVector(instruction)
            let value = try state.generalSource(instruction)
            state.finish(instruction, [value, 0])
            return .next
        }
    }

    /// MOVD and MOVQ to r/m.
    static let toGeneral: Handler = { state, instruction in
        handle(state, instruction) { state, instruction throws(CPUFault) in
            try state.requireVector(instruction)
            try state.storeGeneral(instruction, state.xmm(instruction.pointee.reg)[0])
            return .next
        }
    }

    // MARK: logic on equal registers

    /// PXOR and XORPS of a register with itself.
    static let clear: Handler = { state, instruction in
        handle(state, instruction) { state, instruction throws(CPUFault) in
            try state.requireSSE()
            state.setXMM(instruction.pointee.reg, .zero)
            return .next
        }
    }

    /// VZEROUPPER, and VZEROALL with VEX.L.
    static let zero: Handler = { state, instruction in
        handle(state, instruction) { state, instruction throws(CPUFault) in
            try state.requireAVX()
            // Outside 64-bit mode only the first eight registers are reached.
            let count: UInt8 = state.pointee.codeWidth == .bits64 ? 16 : 8
            let all = instruction.pointee.prefixes.contains(.vexL)
            for index in 0..<count { state.setXMMClearing(index, all ? .zero : state.xmm(index)) }
            return .next
        }
    }
}

extension UnsafeMutablePointer where Pointee == CPUState {
    /// The r/m operand of 4 or 8 bytes, zero-extended.
    @inline(__always)
    func generalSource(_ instruction: UnsafePointer<Instruction>) throws(CPUFault) -> UInt64 {
        if instruction.pointee.operandSize == 3 { return try loadRM(instruction, as: UInt64.self) }
        return UInt64(try loadRM(instruction, as: UInt32.self))
    }

    /// Writes the r/m operand of 4 or 8 bytes.
    @inline(__always)
    func storeGeneral(_ instruction: UnsafePointer<Instruction>, _ value: UInt64) throws(CPUFault) {
        if instruction.pointee.operandSize == 3 { return try storeRM(instruction, value) }
        try storeRM(instruction, UInt32(truncatingIfNeeded: value))
    }
}
