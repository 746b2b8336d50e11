// SPDX-License-Identifier: Apache-2.0

extension OpcodeTable {
    /// PUSH, POP, PUSHA, POPA, ENTER, LEAVE.
    static func registerStackRows(_ table: inout OpcodeTableBuilder) {
        table.add("PUSH", .primary, 0x50...0x57, size: .stack, [.registerInOpcode, .implicitStack]) { i, mode in
            i.operandSize == 3 ? StackHandlers.pushRegister64 : WidthHandlers.pushRM[Int(i.operandSize)]
        }
        table.add("POP", .primary, 0x58...0x5F, size: .stack, [.registerInOpcode, .implicitStack]) { i, mode in
            i.operandSize == 3 ? StackHandlers.popRegister64 : WidthHandlers.popRM[Int(i.operandSize)]
        }
        table.add("PUSH", .primary, 0x68, size: .stack, immediate: .operand, .implicitStack) { i, _ in
            WidthHandlers.pushImmediate[Int(i.operandSize)]
        }
        table.add("PUSH", .primary, 0x6A, size: .stack, immediate: .byte, .implicitStack) { i, _ in
            WidthHandlers.pushImmediate[Int(i.operandSize)]
        }
        table.add("PUSH", .primary, 0xFF, digit: 6, size: .stack, [.modRM, .implicitStack]) { i, _ in
            WidthHandlers.pushRM[Int(i.operandSize)]
        }
        table.add("POP", .primary, 0x8F, digit: 0, size: .stack, [.modRM, .implicitStack]) { i, _ in
            WidthHandlers.popRM[Int(i.operandSize)]
        }
        table.add("PUSHA", .primary, 0x60, widths: .legacy, .implicitStack, run: StackHandlers.pushAll)
        table.add("POPA", .primary, 0x61, widths: .legacy, .implicitStack, run: StackHandlers.popAll)
        table.add(
            "ENTER", .primary, 0xC8, size: .stack, immediate: .wordAndByte, .implicitStack,
            run: SharedHandlers.enterFrame)
        table.add("LEAVE", .primary, 0xC9, size: .stack, .implicitStack, run: SharedHandlers.leaveFrame)
    }

    /// Near JMP, CALL, RET, Jcc, LOOP, JCXZ.
    static func registerTransferRows(_ table: inout OpcodeTableBuilder) {
        table.add("Jcc", .primary, 0x70...0x7F, size: .branch, immediate: .relativeByte) { i, mode in
            mode.is64 ? SharedHandlers.jumps64[Int(i.opcode & 15)] : NearTransfer.conditionalJump
        }
        table.add("Jcc", .map0F, 0x80...0x8F, size: .branch, immediate: .relative) { i, mode in
            mode.is64 ? SharedHandlers.jumps64[Int(i.opcode & 15)] : NearTransfer.conditionalJump
        }
        for (opcode, form): (UInt8, ImmediateForm) in [(0xE9, .relative), (0xEB, .relativeByte)] {
            table.add("JMP", .primary, opcode, size: .branch, immediate: form, .endsBlock) { _, mode in
                mode.is64 ? NearTransfer.jump64 : NearTransfer.jump
            }
        }
        table.add(
            "CALL", .primary, 0xE8, size: .branch, immediate: .relative, [.endsBlock, .implicitStack]
        ) { _, mode in mode.is64 ? NearTransfer.call64 : NearTransfer.call }
        for (opcode, form): (UInt8, ImmediateForm) in [(0xC2, .word), (0xC3, .none)] {
            table.add(
                "RET", .primary, opcode, size: .branch, immediate: form, [.endsBlock, .implicitStack]
            ) { _, mode in mode.is64 ? NearTransfer.return64 : NearTransfer.return }
        }
        table.add(
            "CALL", .primary, 0xFF, digit: 2, size: .branch, [.modRM, .endsBlock, .implicitStack],
            run: NearTransfer.indirectCall)
        table.add("JMP", .primary, 0xFF, digit: 4, size: .branch, [.modRM, .endsBlock], run: NearTransfer.indirectJump)
        for opcode: UInt8 in 0xE0...0xE3 {
            table.add(
                opcode == 0xE3 ? "JCXZ" : "LOOP", .primary, opcode, size: .branch, immediate: .relativeByte,
                run: NearTransfer.loop)
        }
    }

    /// MOVS, CMPS, STOS, LODS, SCAS.
    static func registerStringRows(_ table: inout OpcodeTableBuilder) {
        let rows: [(String, UInt8, [Handler])] = [
            ("MOVS", 0xA4, WidthHandlers.moveString), ("CMPS", 0xA6, WidthHandlers.compareString),
            ("STOS", 0xAA, WidthHandlers.storeString), ("LODS", 0xAC, WidthHandlers.loadString),
            ("SCAS", 0xAE, WidthHandlers.scanString),
        ]
        for (name, opcode, handlers) in rows {
            table.add(name, .primary, opcode...(opcode + 1), size: .byteOrVariable) { i, _ in
                handlers[Int(i.operandSize)]
            }
        }
    }

    /// Flags, conversions, decimal adjustments, hints and fences.
    static func registerMiscellaneousRows(_ table: inout OpcodeTableBuilder) {
        table.add("SETcc", .map0F, 0x90...0x9F, size: .byte, [.modRM, .byteRM]) { i, _ in
            SharedHandlers.sets[Int(i.opcode & 15)]
        }
        table.add("CBW", .primary, 0x98, run: Miscellaneous.extendAccumulator)
        table.add("CWD", .primary, 0x99, run: Miscellaneous.signIntoData)
        for widths: CodeWidths in [.legacy, .bits64] {
            let needed: InstructionFeatures = widths == .bits64 ? .lahf64 : []
            table.add("SAHF", .primary, 0x9E, widths: widths, run: Miscellaneous.highToFlags)
            table.lastNeeds(needed, wide: needed)
            table.add("LAHF", .primary, 0x9F, widths: widths, run: Miscellaneous.flagsToHigh)
            table.lastNeeds(needed, wide: needed)
        }
        for (name, opcode): (String, UInt8) in [("CMC", 0xF5), ("CLC", 0xF8), ("STC", 0xF9)] {
            table.add(name, .primary, opcode, run: Miscellaneous.carry)
        }
        table.add("CLD", .primary, 0xFC, run: Miscellaneous.direction)
        table.add("STD", .primary, 0xFD, run: Miscellaneous.direction)
        table.add("XLAT", .primary, 0xD7, size: .byte, run: Miscellaneous.translate)
        registerDecimalRows(&table)
        registerHintRows(&table)
    }

    private static func registerDecimalRows(_ table: inout OpcodeTableBuilder) {
        let legacy = CodeWidths.legacy
        table.add("DAA", .primary, 0x27, widths: legacy, run: DecimalAdjust.packed)
        table.add("DAS", .primary, 0x2F, widths: legacy, run: DecimalAdjust.packed)
        table.add("AAA", .primary, 0x37, widths: legacy, run: DecimalAdjust.unpacked)
        table.add("AAS", .primary, 0x3F, widths: legacy, run: DecimalAdjust.unpacked)
        table.add("AAM", .primary, 0xD4, widths: legacy, immediate: .byteUnsigned, run: DecimalAdjust.multiply)
        table.add("AAD", .primary, 0xD5, widths: legacy, immediate: .byteUnsigned, run: DecimalAdjust.divide)
        table.add("SALC", .primary, 0xD6, widths: legacy, run: Miscellaneous.carryToAccumulator)
        table.add("BOUND", .primary, 0x62, mod: .memory, widths: legacy, .modRM, run: Miscellaneous.bound)
    }

    private static func registerHintRows(_ table: inout OpcodeTableBuilder) {
        // Prefetches, ENDBR and the other hints of this range: whatever the operand, nothing happens.
        table.add("PREFETCHW", .map0F, 0x0D, mod: .memory, .modRM, run: Miscellaneous.noOperation)
        table.add("NOP", .map0F, 0x18...0x1F, .modRM) { _, _ in Miscellaneous.noOperation }
        for (name, digit): (String, UInt8) in [("LFENCE", 5), ("MFENCE", 6), ("SFENCE", 7)] {
            table.add(
                name, .map0F, 0xAE, prefix: .none, digit: digit, mod: .register, .modRM, run: Miscellaneous.fence)
        }
        let flushes: [(String, OpcodePrefixes, UInt8)] = [
            ("CLFLUSH", .none, 7), ("CLFLUSHOPT", .x66, 7), ("CLWB", .x66, 6),
        ]
        for (name, prefix, digit) in flushes {
            table.add(
                name, .map0F, 0xAE, prefix: prefix, digit: digit, mod: .memory, .modRM, run: Miscellaneous.flushLine)
        }
    }
}
