// SPDX-License-Identifier: Apache-2.0

extension OpcodeTable {
    /// The unprivileged integer instructions, group by group.
    static func registerIntegerRows(_ table: inout OpcodeTableBuilder) {
        registerArithmeticRows(&table)
        registerUnaryRows(&table)
        registerShiftRows(&table)
        registerMoveRows(&table)
        registerExchangeRows(&table)
        registerStackRows(&table)
        registerTransferRows(&table)
        registerStringRows(&table)
        registerBitRows(&table)
        registerExtendedBitRows(&table)
        registerMiscellaneousRows(&table)
    }

    private static let arithmeticNames = ["ADD", "OR", "ADC", "SBB", "AND", "SUB", "XOR", "CMP"]

    /// ADD...CMP and TEST: opcodes 00...3D, 80...85, A8, A9, F6 /0 and /1, F7 /0 and /1.
    private static func registerArithmeticRows(_ table: inout OpcodeTableBuilder) {
        for (number, handlers) in ArithmeticHandlers.all.enumerated() {
            let name = arithmeticNames[number]
            let base = UInt8(number) << 3
            let lock: RowFlags = name == "CMP" ? [] : .lockable
            for bytes: (UInt8, RowFlags) in [(0, [.byteReg, .byteRM]), (1, [])] {
                let flags = bytes.1.union(.modRM)
                table.add(name, .primary, base + bytes.0, size: .byteOrVariable, flags.union(lock)) { i, _ in
                    (i.isMemory ? handlers.memoryReg : handlers.rmReg)[Int(i.operandSize)]
                }
                table.add(name, .primary, base + 2 + bytes.0, size: .byteOrVariable, flags) { i, _ in
                    (i.isMemory ? handlers.regMemory : handlers.regRM)[Int(i.operandSize)]
                }
                table.add(name, .primary, base + 4 + bytes.0, size: .byteOrVariable, immediate: .operand) { i, _ in
                    i.rm = 0
                    return handlers.rmImmediate[Int(i.operandSize)]
                }
            }
            let group: [(UInt8, ImmediateForm, RowFlags, CodeWidths)] = [
                (0x80, .byte, .byteRM, .all), (0x81, .operand, [], .all), (0x82, .byte, .byteRM, .legacy),
                (0x83, .byte, [], .all),
            ]
            for (opcode, immediate, flags, widths) in group {
                table.add(
                    name, .primary, opcode, digit: UInt8(number), widths: widths, size: .byteOrVariable,
                    immediate: immediate, flags.union(lock).union(.modRM)
                ) { i, _ in (i.isMemory ? handlers.memoryImmediate : handlers.rmImmediate)[Int(i.operandSize)] }
            }
        }
        registerTestRows(&table)
    }

    private static func registerTestRows(_ table: inout OpcodeTableBuilder) {
        let handlers = ArithmeticHandlers.test
        for bit: UInt8 in 0...1 {
            let flags: RowFlags = bit == 0 ? [.modRM, .byteReg, .byteRM] : .modRM
            table.add("TEST", .primary, 0x84 + bit, size: .byteOrVariable, flags) { i, _ in
                (i.isMemory ? handlers.memoryReg : handlers.rmReg)[Int(i.operandSize)]
            }
            table.add("TEST", .primary, 0xA8 + bit, size: .byteOrVariable, immediate: .operand) { i, _ in
                i.rm = 0
                return handlers.rmImmediate[Int(i.operandSize)]
            }
            for digit: UInt8 in 0...1 {
                table.add(
                    "TEST", .primary, 0xF6 + bit, digit: digit, size: .byteOrVariable, immediate: .operand,
                    bit == 0 ? [.modRM, .byteRM] : .modRM
                ) { i, _ in (i.isMemory ? handlers.memoryImmediate : handlers.rmImmediate)[Int(i.operandSize)] }
            }
        }
    }
}

extension Instruction {
    /// The r/m operand is memory.
    @inline(__always) var isMemory: Bool { prefixes.contains(.memory) }
}
