// SPDX-License-Identifier: Apache-2.0

/// Moves of MMX registers and the masked byte stores.
enum MMXMoves {
    /// MOVQ and MOVD to an MMX register from memory or a general register (operandSize 2 or 3).
    static let fromGeneral: Handler = { state, instruction in
        handle(state, instruction) { state, instruction throws(CPUFault) in
            try state.requireMMX(isSSE: false)
            let value = try state.generalSource(instruction)
            set(state, instruction.pointee.reg, value)
            return .next
        }
    }

    /// MOVD and MOVQ from an MMX register to memory or a general register.
    static let toGeneral: Handler = { state, instruction in
        handle(state, instruction) { state, instruction throws(CPUFault) in
            try state.requireMMX(isSSE: false)
            let top = UInt8(truncatingIfNeeded: state.fpuTop)
            // Read before the registers are rotated, so that a fault of the store leaves them.
            let value = state.mmx((instruction.pointee.reg &- top) & 7).load(as: UInt64.self)
            try state.storeGeneral(instruction, value)
            state.enterMMX()
            return .next
        }
    }

    /// MOVQ between MMX registers.
    static let move: Handler = { state, instruction in
        handle(state, instruction) { state, instruction throws(CPUFault) in
            try state.requireMMX(isSSE: false)
            state.enterMMX()
            set(state, instruction.pointee.reg, state.mmx(instruction.pointee.rm & 7).load(as: UInt64.self))
            return .next
        }
    }

    /// MOVQ2DQ.
    static let toVector: Handler = { state, instruction in
        handle(state, instruction) { state, instruction throws(CPUFault) in
            try state.requireMMX(isSSE: true)
            state.enterMMX()
            let value = state.mmx(instruction.pointee.rm & 7).load(as: UInt64.self)
            state.setXMM(instruction.pointee.reg, [value, 0])
            return .next
        }
    }

    /// MOVDQ2Q.
    static let fromVector: Handler = { state, instruction in
        handle(state, instruction) { state, instruction throws(CPUFault) in
            try state.requireMMX(isSSE: true)
            set(state, instruction.pointee.reg, state.xmm(instruction.pointee.rm)[0])
            return .next
        }
    }

    /// EMMS.
    static let empty: Handler = { state, instruction in
        handle(state, instruction) { state, _ throws(CPUFault) in
            try state.requireMMX(isSSE: false)
            state.enterMMX()
            state.fpuTags = 0
            return .next
        }
    }

    /// MASKMOVQ.
    static let maskedStore: Handler = { state, instruction in
        handle(state, instruction) { state, instruction throws(CPUFault) in
            try state.requireMMX(isSSE: false)
            // The registers become MMX registers even when the store faults, as on the processors seen.
            state.enterMMX()
            let data = state.mmx(instruction.pointee.reg & 7).load(as: UInt64.self)
            let mask = state.mmx(instruction.pointee.rm & 7).load(as: UInt64.self)
            try state.storeMaskedBytes(instruction, [data, 0], [mask, 0], count: 8)
            return .next
        }
    }

    /// MASKMOVDQU.
    static let maskedStoreVector: Handler = { state, instruction in
        handle(state, instruction) { state, instruction throws(CPUFault) in
            try state.requireVector(instruction)
            let data = state.xmm(instruction.pointee.reg)
            try state.storeMaskedBytes(instruction, data, state.xmm(instruction.pointee.rm), count: 16)
            return .next
        }
    }

    @inline(__always)
    private static func set(_ state: State, _ index: UInt8, _ value: UInt64) {
        state.enterMMX()
        state.mmx(index & 7).storeBytes(of: value, as: UInt64.self)
        state.markMMXWritten(index & 7)
    }
}

extension UnsafeMutablePointer where Pointee == CPUState {
    /// Stores the bytes whose mask byte has its top bit set, at (E)DI or RDI of the instruction's segment. The selector
    /// made that the memory operand.
    fileprivate func storeMaskedBytes(
        _ instruction: UnsafePointer<Instruction>, _ data: SIMD2<UInt64>, _ mask: SIMD2<UInt64>, count: Int
    ) throws(CPUFault) {
        func byte(_ vector: SIMD2<UInt64>, _ index: Int) -> UInt8 {
            UInt8(truncatingIfNeeded: vector[index >> 3] >> UInt64((index & 7) * 8))
        }
        let start = try address(instruction, size: count, isWrite: true)
        // All of the operand must be writable, whatever the mask.
        try probeWrite(start, size: count)
        for index in 0..<count where byte(mask, index) & 0x80 != 0 {
            try store(start &+ UInt64(index), byte(data, index))
        }
    }
}
