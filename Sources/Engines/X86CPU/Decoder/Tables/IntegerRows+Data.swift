// SPDX-License-Identifier: Apache-2.0

extension OpcodeTable {
    /// Flags of a row whose operands are bytes where the opcode's bit 0 is clear.
    private static func byteFlags(_ bit: UInt8, _ bytes: RowFlags, _ other: RowFlags = .modRM) -> RowFlags {
        bit == 0 ? bytes.union(other) : other
    }

    /// INC, DEC, NOT, NEG, MUL, IMUL, DIV, IDIV.
    static func registerUnaryRows(_ table: inout OpcodeTableBuilder) {
        table.add("INC", .primary, 0x40...0x47, widths: .legacy, .registerInOpcode) { i, _ in
            WidthHandlers.increment[Int(i.operandSize)]
        }
        table.add("DEC", .primary, 0x48...0x4F, widths: .legacy, .registerInOpcode) { i, _ in
            WidthHandlers.decrement[Int(i.operandSize)]
        }
        for bit: UInt8 in 0...1 {
            let flags = byteFlags(bit, .byteRM)
            let locked = flags.union(.lockable)
            table.add("INC", .primary, 0xFE + bit, digit: 0, size: .byteOrVariable, locked) { i, _ in
                WidthHandlers.increment[Int(i.operandSize)]
            }
            table.add("DEC", .primary, 0xFE + bit, digit: 1, size: .byteOrVariable, locked) { i, _ in
                WidthHandlers.decrement[Int(i.operandSize)]
            }
            let group: [(String, UInt8, RowFlags, Handler)] = [
                ("NOT", 2, locked, SharedHandlers.complement), ("NEG", 3, locked, SharedHandlers.negate),
                ("MUL", 4, flags, SharedHandlers.multiply), ("IMUL", 5, flags, SharedHandlers.signedMultiply),
                ("DIV", 6, flags, SharedHandlers.divide), ("IDIV", 7, flags, SharedHandlers.signedDivide),
            ]
            for (name, digit, flags, handler) in group {
                table.add(name, .primary, 0xF6 + bit, digit: digit, size: .byteOrVariable, flags, run: handler)
            }
        }
        let multiply: HandlerSelector = { i, _ in WidthHandlers.signedMultiplyTruncated[Int(i.operandSize)] }
        table.add("IMUL", .map0F, 0xAF, .modRM, select: multiply)
        table.add("IMUL", .primary, 0x69, immediate: .operand, .modRM, select: multiply)
        table.add("IMUL", .primary, 0x6B, immediate: .byte, .modRM, select: multiply)
    }

    private static let shiftNames = ["ROL", "ROR", "RCL", "RCR", "SHL", "SHR", "SAL", "SAR"]

    /// Shifts and rotates.
    static func registerShiftRows(_ table: inout OpcodeTableBuilder) {
        for digit: UInt8 in 0...7 {
            let name = shiftNames[Int(digit)]
            let general = SharedHandlers.shiftsByImmediate[Int(digit)]
            let byImmediate: HandlerSelector = { i, _ in
                switch digit {
                case 4, 6: WidthHandlers.shiftLeftByImmediate[Int(i.operandSize)]
                case 5: WidthHandlers.shiftRightByImmediate[Int(i.operandSize)]
                case 7: WidthHandlers.shiftArithmeticRightByImmediate[Int(i.operandSize)]
                default: general
                }
            }
            let byCounter = SharedHandlers.shiftsByCounter[Int(digit)]
            for bit: UInt8 in 0...1 {
                let flags = byteFlags(bit, .byteRM)
                table.add(
                    name, .primary, 0xC0 + bit, digit: digit, size: .byteOrVariable, immediate: .byteUnsigned, flags,
                    select: byImmediate)
                table.add(
                    name, .primary, 0xD0 + bit, digit: digit, size: .byteOrVariable, immediate: .one, flags,
                    select: byImmediate)
                table.add(name, .primary, 0xD2 + bit, digit: digit, size: .byteOrVariable, flags, run: byCounter)
            }
        }
        for opcode: UInt8 in [0xA4, 0xA5, 0xAC, 0xAD] {
            table.add(
                opcode < 0xA8 ? "SHLD" : "SHRD", .map0F, opcode, immediate: opcode & 1 == 0 ? .byteUnsigned : .none,
                .modRM, run: SharedHandlers.doubleShift)
        }
    }

    /// MOV, MOVZX, MOVSX, LEA, CMOVcc, MOVBE, MOVNTI, BSWAP.
    static func registerMoveRows(_ table: inout OpcodeTableBuilder) {
        for bit: UInt8 in 0...1 {
            let both = byteFlags(bit, [.byteReg, .byteRM])
            table.add("MOV", .primary, 0x88 + bit, size: .byteOrVariable, both) { i, _ in
                (i.isMemory ? WidthHandlers.moveMemoryReg : WidthHandlers.moveRMReg)[Int(i.operandSize)]
            }
            table.add("MOV", .primary, 0x8A + bit, size: .byteOrVariable, both) { i, _ in
                (i.isMemory ? WidthHandlers.moveRegMemory : WidthHandlers.moveRegRM)[Int(i.operandSize)]
            }
            table.add("MOV", .primary, 0xA0 + bit, size: .byteOrVariable, immediate: .addressOffset) { i, _ in
                WidthHandlers.moveRegMemory[Int(i.operandSize)]
            }
            table.add("MOV", .primary, 0xA2 + bit, size: .byteOrVariable, immediate: .addressOffset) { i, _ in
                WidthHandlers.moveMemoryReg[Int(i.operandSize)]
            }
            table.add(
                "MOV", .primary, 0xC6 + bit, digit: 0, size: .byteOrVariable, immediate: .operand,
                byteFlags(bit, .byteRM)
            ) { i, _ in
                (i.isMemory ? WidthHandlers.moveMemoryImmediate : WidthHandlers.moveRMImmediate)[Int(i.operandSize)]
            }
        }
        table.add(
            "MOV", .primary, 0xB0...0xB7, size: .byte, immediate: .full, [.registerInOpcode, .byteRM]
        ) { _, _ in WidthHandlers.moveRMImmediate[0] }
        table.add("MOV", .primary, 0xB8...0xBF, immediate: .full, .registerInOpcode) { i, _ in
            WidthHandlers.moveRMImmediate[Int(i.operandSize)]
        }
        table.add("LEA", .primary, 0x8D, mod: .memory, .modRM) { i, _ in
            WidthHandlers.loadEffectiveAddress[Int(i.operandSize)]
        }
        table.add("CMOV", .map0F, 0x40...0x4F, .modRM) { i, _ in
            SharedHandlers.moves[Int(i.operandSize) - 1][Int(i.opcode & 15)]
        }
        registerExtensionRows(&table)
        for bit: UInt8 in 0...1 {
            table.add(
                "MOVBE", .map0F38, 0xF0 + bit, prefix: .noRepeat, mod: .memory, .modRM,
                run: SharedHandlers.moveByteSwapped)
        }
        table.add("MOVNTI", .map0F, 0xC3, prefix: .none, mod: .memory, size: .doubleOrQuad, .modRM) { i, _ in
            WidthHandlers.moveMemoryReg[Int(i.operandSize)]
        }
        table.add("BSWAP", .map0F, 0xC8...0xCF, .registerInOpcode) { _, _ in SharedHandlers.byteSwap }
    }

    private static func registerExtensionRows(_ table: inout OpcodeTableBuilder) {
        for source: UInt8 in 0...1 {
            let flags: RowFlags = source == 0 ? [.modRM, .byteRM] : .modRM
            table.add("MOVZX", .map0F, 0xB6 + source, flags) { i, _ in
                SharedHandlers.zeroExtend[Int(source)][Int(i.operandSize)]
            }
            table.add("MOVSX", .map0F, 0xBE + source, flags) { i, _ in
                SharedHandlers.signExtend[Int(source)][Int(i.operandSize)]
            }
        }
        table.add("MOVSXD", .primary, 0x63, widths: .bits64, .modRM) { i, _ in
            i.operandSize == 1 ? SharedHandlers.signExtend[1][1] : SharedHandlers.signExtend[2][Int(i.operandSize)]
        }
    }

    /// XCHG, XADD, CMPXCHG and its wide forms.
    static func registerExchangeRows(_ table: inout OpcodeTableBuilder) {
        for bit: UInt8 in 0...1 {
            let flags = byteFlags(bit, [.byteReg, .byteRM]).union(.lockable)
            table.add("XCHG", .primary, 0x86 + bit, size: .byteOrVariable, flags, run: SharedHandlers.exchange)
            table.add("XADD", .map0F, 0xC0 + bit, size: .byteOrVariable, flags, run: SharedHandlers.exchangeAdd)
            table.add(
                "CMPXCHG", .map0F, 0xB0 + bit, size: .byteOrVariable, flags, run: SharedHandlers.compareExchange)
        }
        table.add("NOP", .primary, 0x90, .registerInOpcode) { i, _ in
            // With REX.B it exchanges R8 and RAX.
            if i.rm != 0 { return SharedHandlers.exchange }
            return i.prefixes.contains(.repeatEqual) ? Miscellaneous.pause : Miscellaneous.noOperation
        }
        table.add("XCHG", .primary, 0x91...0x97, .registerInOpcode) { _, _ in SharedHandlers.exchange }
        table.add(
            "CMPXCHG8B", .map0F, 0xC7, digit: 1, mod: .memory, size: .doubleOrQuad, [.modRM, .lockable]
        ) { i, _ in i.operandSize == 3 ? compareExchange16 : compareExchange8 }
    }

    private static let compareExchange8: Handler = {
        handle($0, $1) { state, instruction throws(CPUFault) in try CompareExchangePair.run8(state, instruction) }
    }

    private static let compareExchange16: Handler = {
        handle($0, $1) { state, instruction throws(CPUFault) in try CompareExchangePair.run16(state, instruction) }
    }

    /// BT and its kind, scans and counts.
    static func registerBitRows(_ table: inout OpcodeTableBuilder) {
        for (kind, name) in ["BT", "BTS", "BTR", "BTC"].enumerated() {
            let lock: RowFlags = kind == 0 ? [] : .lockable
            let select: HandlerSelector = { i, _ in
                i.detail = UInt8(kind)
                return SharedHandlers.bitTest
            }
            table.add(name, .map0F, 0xA3 + UInt8(kind) * 8, lock.union(.modRM), select: select)
            table.add(
                name, .map0F, 0xBA, digit: UInt8(kind) + 4, immediate: .byteUnsigned, lock.union(.modRM),
                select: select)
        }
        table.add("TZCNT", .map0F, 0xBC, prefix: .xF3, .modRM, run: SharedHandlers.zeroCount)
        table.add("LZCNT", .map0F, 0xBD, prefix: .xF3, .modRM, run: SharedHandlers.zeroCount)
        table.add("BSF", .map0F, 0xBC, .modRM, run: SharedHandlers.bitScan)
        table.add("BSR", .map0F, 0xBD, .modRM, run: SharedHandlers.bitScan)
        table.add("POPCNT", .map0F, 0xB8, prefix: .xF3, .modRM, run: SharedHandlers.populationCount)
        table.add("CRC32", .map0F38, 0xF0, prefix: .xF2, size: .byte, [.modRM, .byteRM]) { _, _ in
            SharedHandlers.cyclicRedundancyCheck
        }
        table.add("CRC32", .map0F38, 0xF1, prefix: .xF2, .modRM, run: SharedHandlers.cyclicRedundancyCheck)
        table.add(
            "ADCX", .map0F38, 0xF6, prefix: .x66, size: .doubleOrQuad, .modRM, run: SharedHandlers.addWithFlag)
        table.add(
            "ADOX", .map0F38, 0xF6, prefix: .xF3, size: .doubleOrQuad, .modRM, run: SharedHandlers.addWithFlag)
    }

    /// BMI1 and BMI2.
    static func registerExtendedBitRows(_ table: inout OpcodeTableBuilder) {
        typealias Row = (String, UInt8, OpcodePrefixes, UInt8?, ExtendedBits.Kind)
        let rows: [Row] = [
            ("ANDN", 0xF2, .none, nil, .andNot), ("BLSR", 0xF3, .none, 1, .resetLowest),
            ("BLSMSK", 0xF3, .none, 2, .maskToLowest), ("BLSI", 0xF3, .none, 3, .isolateLowest),
            ("BZHI", 0xF5, .none, nil, .zeroHigh), ("PEXT", 0xF5, .xF3, nil, .gather),
            ("PDEP", 0xF5, .xF2, nil, .deposit), ("MULX", 0xF6, .xF2, nil, .multiply),
            ("BEXTR", 0xF7, .none, nil, .extract), ("SHLX", 0xF7, .x66, nil, .shiftLeft),
            ("SARX", 0xF7, .xF3, nil, .shiftArithmeticRight), ("SHRX", 0xF7, .xF2, nil, .shiftRight),
        ]
        for (name, opcode, prefix, digit, kind) in rows {
            table.add(
                name, .map0F38, opcode, prefix: prefix, digit: digit, vex: VEXForm(l: .zero), size: .doubleOrQuad,
                .modRM
            ) { i, _ in
                i.detail = kind.rawValue
                return SharedHandlers.extendedBits
            }
        }
        table.add(
            "RORX", .map0F3A, 0xF0, prefix: .xF2, vex: VEXForm(l: .zero, usesV: false), size: .doubleOrQuad,
            immediate: .byteUnsigned, .modRM
        ) { i, _ in
            i.detail = ExtendedBits.Kind.rotateRight.rawValue
            return SharedHandlers.extendedBits
        }
    }
}
