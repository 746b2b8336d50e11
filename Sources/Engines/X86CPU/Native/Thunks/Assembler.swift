// SPDX-License-Identifier: Apache-2.0

/// The mandatory prefix of an opcode, numbered as VEX.pp.
enum MandatoryPrefix: UInt8 {
    case none = 0, x66 = 1, xF3 = 2, xF2 = 3

    /// The byte in legacy encoding.
    var byte: UInt8? {
        switch self {
        case .none: nil
        case .x66: 0x66
        case .xF3: 0xF3
        case .xF2: 0xF2
        }
    }
}

/// Host registers as thunks use them. The general ones are the System V argument registers.
enum HostRegister: UInt8 {
    case rax = 0, rcx = 1, rdx = 2, rbx = 3, rsp = 4, rbp = 5, rsi = 6, rdi = 7, r8 = 8, r9 = 9, r10 = 10, r11 = 11
}

/// The modrm.rm operand of an emitted instruction.
enum EmittedOperand {
    /// A register of whatever file the opcode means, 0...7.
    case register(UInt8)
    /// Memory at `base + displacement`.
    case memory(HostRegister, Int32 = 0)
}

/// Emits the little host code that thunks need: one instruction of any form, and the moves around it.
struct Assembler {
    private(set) var code: [UInt8] = []

    mutating func emit(_ bytes: UInt8...) { code.append(contentsOf: bytes) }

    private mutating func emit32(_ value: Int32) {
        for shift in [0, 8, 16, 24] { code.append(UInt8(truncatingIfNeeded: value >> Int32(shift))) }
    }

    private mutating func modRM(_ reg: UInt8, _ operand: EmittedOperand) {
        switch operand {
        case .register(let rm): emit(0xC0 | (reg & 7) << 3 | (rm & 7))
        case .memory(let base, let displacement):
            let low = base.rawValue & 7
            // mod 2 (32-bit displacement) means the same for every base but RSP, which needs a SIB byte.
            emit((displacement == 0 && low != 5 ? 0 : 0x80) | (reg & 7) << 3 | low)
            if low == HostRegister.rsp.rawValue { emit(0x24) }
            if displacement != 0 || low == 5 { emit32(displacement) }
        }
    }

    private static func needsB(_ operand: EmittedOperand) -> Bool {
        if case .memory(let base, _) = operand { return base.rawValue >= 8 }
        return false
    }

    /// A legacy-encoded instruction: map as `Instruction.map`, `reg` 0...15.
    mutating func legacy(
        _ prefix: MandatoryPrefix = .none, map: UInt8, _ opcode: UInt8, reg: UInt8, _ operand: EmittedOperand,
        wide: Bool = false, immediate: UInt8? = nil
    ) {
        if let byte = prefix.byte { emit(byte) }
        let rex: UInt8 = (wide ? 8 : 0) | (reg >= 8 ? 4 : 0) | (Self.needsB(operand) ? 1 : 0)
        if rex != 0 { emit(0x40 | rex) }
        if map >= 1 { emit(0x0F) }
        if map == 2 { emit(0x38) }
        if map == 3 { emit(0x3A) }
        emit(opcode)
        modRM(reg, operand)
        if let immediate { emit(immediate) }
    }

    /// A VEX-encoded instruction: `vvvv` is the register number, 0 where the operand is unused.
    mutating func vex(
        _ prefix: MandatoryPrefix, map: UInt8, _ opcode: UInt8, reg: UInt8, vvvv: UInt8 = 0, _ operand: EmittedOperand,
        is256: Bool, wide: Bool = false, immediate: UInt8? = nil
    ) {
        // R, X and B stand inverted.
        emit(0xC4, (reg >= 8 ? 0 : 0x80) | 0x40 | (Self.needsB(operand) ? 0 : 0x20) | map)
        emit((wide ? 0x80 : 0) | (~vvvv & 15) << 3 | (is256 ? 4 : 0) | prefix.rawValue, opcode)
        modRM(reg, operand)
        if let immediate { emit(immediate) }
    }

    /// MOVUPS or VMOVUPS from memory.
    mutating func loadVector(_ register: UInt8, _ base: HostRegister, avx: Bool) {
        if avx {
            vex(.none, map: 1, 0x10, reg: register, .memory(base), is256: true)
        } else {
            legacy(map: 1, 0x10, reg: register, .memory(base))
        }
    }

    /// MOVUPS or VMOVUPS to memory.
    mutating func storeVector(_ register: UInt8, _ base: HostRegister, avx: Bool) {
        if avx {
            vex(.none, map: 1, 0x11, reg: register, .memory(base), is256: true)
        } else {
            legacy(map: 1, 0x11, reg: register, .memory(base))
        }
    }

    /// MOVQ between an MMX register and memory.
    mutating func loadMMX(_ register: UInt8, _ base: HostRegister) {
        legacy(map: 1, 0x6F, reg: register, .memory(base))
    }
    mutating func storeMMX(_ register: UInt8, _ base: HostRegister) {
        legacy(map: 1, 0x7F, reg: register, .memory(base))
    }

    /// MOV r64, [base + displacement] and back.
    mutating func load(_ register: HostRegister, _ base: HostRegister, _ displacement: Int32 = 0) {
        legacy(map: 0, 0x8B, reg: register.rawValue, .memory(base, displacement), wide: true)
    }
    mutating func store(_ register: HostRegister, _ base: HostRegister, _ displacement: Int32 = 0) {
        legacy(map: 0, 0x89, reg: register.rawValue, .memory(base, displacement), wide: true)
    }

    /// LDMXCSR and STMXCSR.
    mutating func loadControl(_ base: HostRegister, _ displacement: Int32) {
        legacy(map: 1, 0xAE, reg: 2, .memory(base, displacement))
    }
    mutating func storeControl(_ base: HostRegister, _ displacement: Int32) {
        legacy(map: 1, 0xAE, reg: 3, .memory(base, displacement))
    }

    /// PUSHFQ; POP RAX: the flags become the thunk's result.
    mutating func captureFlags() { emit(0x9C, 0x58) }
    mutating func emptyMMX() { emit(0x0F, 0x77) }
    mutating func zeroUpper() { emit(0xC5, 0xF8, 0x77) }
    mutating func ret() { emit(0xC3) }
}
