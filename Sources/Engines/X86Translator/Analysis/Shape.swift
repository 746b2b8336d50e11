// SPDX-License-Identifier: Apache-2.0

internal import X86CPU

/// The operands of an instruction that is emitted again with a modrm byte.
struct Shape {
    enum Kind { case none, general, byte, vector, mmx }

    /// modrm.reg; none where it is part of the opcode.
    var reg = Kind.none
    var rm = Kind.general
    /// Of a memory operand.
    var bytes = 0
    var writesMemory = false
    /// What the low bits of a memory operand's address must not have, or #GP comes up.
    var alignment: UInt8 = 0
    /// VEX.vvvv names a general register.
    var generalV = false
    /// Uses vector registers.
    var isVector = false
    /// Uses MMX registers.
    var isMMX: Bool { reg == .mmx || rm == .mmx }
    /// Reports in MXCSR.
    var isFloatingPoint = false
    /// The prefix is part of the opcode.
    var hasMandatoryPrefix = false

    /// Nil where there is no such form, or one that is left to the interpreter.
    static func of(_ raw: RawInstruction, _ decoded: DecodedInstruction) -> Shape? {
        let shape: Shape?
        if let vector = decoded.vector {
            shape = ofVector(raw, vector)
        } else if raw.isVEX {
            shape = ofExtendedBits(raw, decoded.instruction) ?? ofVectorMove(raw, decoded.instruction)
        } else {
            switch raw.map {
            case 0: shape = ofPrimary(raw, decoded.instruction)
            case 1: shape = ofMap1(raw, decoded) ?? ofMMXMove(raw) ?? ofVectorMove(raw, decoded.instruction)
            case 2: shape = ofMap2(raw, decoded.instruction) ?? ofVectorMove(raw, decoded.instruction)
            default: shape = nil
            }
        }
        guard let shape, shape.isEncodable(raw) else { return nil }
        return shape
    }

    /// AH, CH, DH and BH cannot stand beside anything that wants a REX prefix, as the host's registers of some of the
    /// guest's do (for an address see `emitHighByteForm`); and only one of the prefixes 66, F2 and F3 is kept.
    private func isEncodable(_ raw: RawInstruction) -> Bool {
        if !isVector, raw.has66, raw.repeatPrefix != 0, hasMandatoryPrefix { return false }
        if raw.isVEX { return !generalV || Host.of(raw.vvvv) != nil }
        guard raw.rex == 0 else { return true }
        let isHighReg = reg == .byte && raw.reg >= 4
        let isHighRM = rm == .byte && !raw.isMemory && raw.rm >= 4
        guard isHighReg || isHighRM else { return true }
        if raw.isMemory { return true }
        let usesStack = reg == .general && raw.reg == 4 || rm == .general && raw.rm == 4
        return !usesStack
    }

    private static func general(
        _ size: UInt8, reg: Bool, writes: Bool = false, isByte: Bool = false
    ) -> Shape {
        let kind: Kind = isByte ? .byte : .general
        return Shape(
            reg: reg ? kind : .none, rm: kind, bytes: isByte ? 1 : 1 << Int(size), writesMemory: writes)
    }

    private static func ofPrimary(_ raw: RawInstruction, _ instruction: Instruction) -> Shape? {
        let size = instruction.operandSize
        let isByte = raw.opcode & 1 == 0
        switch raw.opcode {
        case 0x00..<0x40:
            guard raw.opcode & 7 < 4 else { return nil }
            return general(
                size, reg: true, writes: raw.opcode & 7 < 2 && raw.opcode < 0x38, isByte: isByte)
        case 0x63: return Shape(reg: .general, rm: .general, bytes: 4)
        case 0x69, 0x6B: return general(size, reg: true)
        case 0x80, 0x81, 0x83: return general(size, reg: false, writes: raw.digit != 7, isByte: isByte)
        case 0x84, 0x85, 0x8A, 0x8B: return general(size, reg: true, isByte: isByte)
        case 0x86...0x89: return general(size, reg: true, writes: true, isByte: isByte)
        case 0xC0, 0xC1, 0xC6, 0xC7, 0xD0...0xD3:
            return general(size, reg: false, writes: true, isByte: isByte)
        case 0xF6, 0xF7:
            return general(size, reg: false, writes: raw.digit == 2 || raw.digit == 3, isByte: isByte)
        case 0xFE, 0xFF: return general(size, reg: false, writes: true, isByte: isByte)
        default: return nil
        }
    }

    private static func ofMap1(_ raw: RawInstruction, _ decoded: DecodedInstruction) -> Shape? {
        let size = decoded.instruction.operandSize
        switch raw.opcode {
        case 0x40...0x4F, 0xAF: return general(size, reg: true)
        case 0x90...0x9F: return Shape(reg: .none, rm: .byte, bytes: 1, writesMemory: true)
        case 0xA3, 0xAB, 0xB3, 0xBB:
            // A memory operand would be a string of bits.
            return raw.isMemory ? nil : general(size, reg: true, writes: true)
        case 0xBA: return general(size, reg: false, writes: raw.digit != 4)
        case 0xA4, 0xA5, 0xAC, 0xAD: return general(size, reg: true, writes: true)
        case 0xB0, 0xB1, 0xC0, 0xC1:
            return general(size, reg: true, writes: true, isByte: raw.opcode & 1 == 0)
        case 0xB6, 0xBE: return Shape(reg: .general, rm: .byte, bytes: 1)
        case 0xB7, 0xBF: return Shape(reg: .general, rm: .general, bytes: 2)
        case 0xB8, 0xBC, 0xBD:
            var shape = general(size, reg: true)
            shape.hasMandatoryPrefix = decoded.hasMandatoryRepeat
            return shape
        case 0xC3: return general(size, reg: true, writes: true)
        case 0xC7:
            // CMPXCHG8B and CMPXCHG16B.
            guard raw.digit == 1, raw.isMemory else { return nil }
            return Shape(
                reg: .none, rm: .general, bytes: raw.isWide ? 16 : 8, writesMemory: true,
                alignment: raw.isWide ? 15 : 0)
        default: return nil
        }
    }

    private static func ofMap2(_ raw: RawInstruction, _ instruction: Instruction) -> Shape? {
        let size = instruction.operandSize
        switch raw.opcode {
        case 0xF0, 0xF1:
            if raw.repeatPrefix == 0xF2 {
                return Shape(
                    reg: .general, rm: raw.opcode == 0xF0 ? .byte : .general,
                    bytes: raw.opcode == 0xF0 ? 1 : 1 << Int(size), hasMandatoryPrefix: true)
            }
            return general(size, reg: true, writes: raw.opcode == 0xF1)
        case 0xF6:
            var shape = general(size, reg: true)
            shape.hasMandatoryPrefix = true
            return shape
        default: return nil
        }
    }

    /// BMI1 and BMI2.
    private static func ofExtendedBits(_ raw: RawInstruction, _ instruction: Instruction) -> Shape? {
        let isOne = raw.map == 2 && [0xF2, 0xF3, 0xF5, 0xF6, 0xF7].contains(raw.opcode)
        let isRotate = raw.map == 3 && raw.opcode == 0xF0
        guard isOne || isRotate else { return nil }
        var shape = general(instruction.operandSize, reg: raw.opcode != 0xF3)
        shape.generalV = isOne
        shape.hasMandatoryPrefix = true
        return shape
    }

    // MARK: vectors

    private static func ofVector(_ raw: RawInstruction, _ vector: VectorDescription) -> Shape? {
        // The conversions between MMX and vector registers are left to the interpreter, even from memory.
        let isMMXConversion = raw.map == 1 && [0x2A, 0x2C, 0x2D].contains(raw.opcode)
        if isMMXConversion, !raw.isVEX, raw.repeatPrefix == 0 { return nil }
        if vector.usesMMX || !raw.isVEX && raw.prefix == 0 && isMMXOpcode(raw) {
            return Shape(
                reg: vector.regIsGeneral ? .general : .mmx, rm: vector.rmIsGeneral ? .general : .mmx,
                bytes: vector.memoryBytes, writesMemory: vector.writesMemory, hasMandatoryPrefix: true)
        }
        return Shape(
            reg: vector.regIsGeneral ? .general : .vector, rm: vector.rmIsGeneral ? .general : .vector,
            bytes: vector.memoryBytes, writesMemory: vector.writesMemory,
            alignment: vector.isAligned ? 15 : 0,
            isVector: true, isFloatingPoint: vector.isFloatingPoint, hasMandatoryPrefix: true)
    }

    /// Opcodes that without a prefix are MMX instructions.
    private static func isMMXOpcode(_ raw: RawInstruction) -> Bool {
        switch (raw.map, raw.opcode) {
        case (1, 0x60...0x76), (1, 0xC4), (1, 0xC5), (1, 0xD1...0xFE), (2, 0x00...0x0B), (2, 0x1C...0x1E), (3, 0x0F):
            true
        default: false
        }
    }

    /// MOVD, MOVQ and MOVNTQ of MMX registers.
    private static func ofMMXMove(_ raw: RawInstruction) -> Shape? {
        guard raw.map == 1, raw.prefix == 0, !raw.isVEX else { return nil }
        switch raw.opcode {
        case 0x6E, 0x7E:
            return Shape(
                reg: .mmx, rm: .general, bytes: raw.isWide ? 8 : 4, writesMemory: raw.opcode == 0x7E,
                hasMandatoryPrefix: true)
        case 0x6F, 0x7F, 0xE7:
            return Shape(
                reg: .mmx, rm: .mmx, bytes: 8, writesMemory: raw.opcode != 0x6F, hasMandatoryPrefix: true)
        default: return nil
        }
    }

    /// The moves, which have handlers of their own in the interpreter.
    private static func ofVectorMove(_ raw: RawInstruction, _ instruction: Instruction) -> Shape? {
        let whole = raw.is256 ? 32 : 16
        var shape = Shape(reg: .vector, rm: .vector, isVector: true, hasMandatoryPrefix: true)
        if raw.map == 2 {
            guard raw.opcode == 0x2A, raw.prefix == 0x66 else { return nil }
            shape.bytes = whole
            shape.alignment = UInt8(whole - 1)
            return shape
        }
        guard raw.map == 1 else { return nil }
        let isPacked = raw.prefix == 0 || raw.prefix == 0x66
        switch raw.opcode {
        case 0x10, 0x11: shape.bytes = isPacked ? whole : raw.prefix == 0xF3 ? 4 : 8
        case 0x12, 0x13, 0x16, 0x17:
            guard isPacked else { return nil }
            shape.bytes = 8
        case 0x28, 0x29, 0x2B:
            guard isPacked else { return nil }
            shape.bytes = whole
            shape.alignment = UInt8(whole - 1)
        case 0x6E:
            guard raw.prefix == 0x66 else { return nil }
            shape.rm = .general
            shape.bytes = raw.isWide ? 8 : 4
        case 0x7E:
            guard raw.prefix != 0 else { return nil }
            if raw.prefix == 0x66 { shape.rm = .general }
            shape.bytes = raw.prefix == 0xF3 || raw.isWide ? 8 : 4
        case 0xD6:
            guard raw.prefix == 0x66 else { return nil }
            shape.bytes = 8
        case 0x6F, 0x7F:
            guard raw.prefix == 0x66 || raw.prefix == 0xF3 else { return nil }
            shape.bytes = whole
            shape.alignment = raw.prefix == 0x66 ? UInt8(whole - 1) : 0
        case 0xE7:
            guard raw.prefix == 0x66 else { return nil }
            shape.bytes = whole
            shape.alignment = UInt8(whole - 1)
        case 0xF0:
            guard raw.prefix == 0xF2 else { return nil }
            shape.bytes = whole
        default: return nil
        }
        let stores: [UInt8] = [0x11, 0x13, 0x17, 0x29, 0x2B, 0x7F, 0xD6, 0xE7]
        shape.writesMemory = stores.contains(raw.opcode) || raw.opcode == 0x7E && raw.prefix == 0x66
        return shape
    }
}
