// SPDX-License-Identifier: Apache-2.0

/// Rows of the escape opcodes D8...DF and of FWAIT.
enum X87Rows {
    static func register(_ table: inout OpcodeTableBuilder) {
        table.add("FWAIT", .primary, 0x9B, run: X87Control.wait)
        control(&table)
        for opcode in UInt8(0xD8)...0xDF {
            for digit in UInt8(0)...7 {
                memory(&table, opcode, digit)
                registers(&table, opcode, digit)
            }
        }
    }

    private static func memory(_ table: inout OpcodeTableBuilder, _ opcode: UInt8, _ digit: UInt8) {
        guard let operand = X87.memoryOperand(opcode: opcode, digit: digit) else { return }
        let handler = operand.isWrite ? X87.store : X87.load
        table.add(name(opcode, digit, "memory"), .primary, opcode, digit: digit, mod: .memory, .modRM) {
            instruction, _ in
            guard let operation = X87.operation(instruction) else { return nil }
            instruction.immediate = UInt64(UInt(bitPattern: operation))
            return handler
        }
    }

    private static func registers(_ table: inout OpcodeTableBuilder, _ opcode: UInt8, _ digit: UInt8) {
        let numbers = UInt8(0)...7
        guard numbers.contains(where: { X87.isRegisterForm(opcode: opcode, modRM: 0xC0 | digit << 3 | $0) }) else {
            return
        }
        table.add(name(opcode, digit, "register"), .primary, opcode, digit: digit, mod: .register, .modRM) {
            instruction, _ in
            guard let operation = X87.operation(instruction) else { return nil }
            instruction.immediate = UInt64(UInt(bitPattern: operation))
            return X87.registers
        }
    }

    private static func name(_ opcode: UInt8, _ digit: UInt8, _ operand: String) -> String {
        "x87 " + String(opcode, radix: 16, uppercase: true) + "/\(digit) \(operand)"
    }

    private static func control(_ table: inout OpcodeTableBuilder) {
        func memory(_ name: String, _ opcode: UInt8, _ digit: UInt8, _ handler: @escaping Handler) {
            table.add(name, .primary, opcode, digit: digit, mod: .memory, .modRM, run: handler)
        }
        func register(_ name: String, _ opcode: UInt8, _ digit: UInt8, _ rm: UInt8, _ handler: @escaping Handler) {
            table.add(name, .primary, opcode, digit: digit, rm: rm, mod: .register, .modRM, run: handler)
        }
        memory("FLDENV", 0xD9, 4, X87Control.loadEnvironment)
        memory("FNSTENV", 0xD9, 6, X87Control.storeEnvironment)
        memory("FNSTCW", 0xD9, 7, X87Control.storeControl)
        memory("FRSTOR", 0xDD, 4, X87Control.restore)
        memory("FNSAVE", 0xDD, 6, X87Control.save)
        memory("FNSTSW", 0xDD, 7, X87Control.storeStatus)
        register("FNENI", 0xDB, 4, 0, X87Control.nothing)
        register("FNDISI", 0xDB, 4, 1, X87Control.nothing)
        register("FNCLEX", 0xDB, 4, 2, X87Control.clearExceptions)
        register("FNINIT", 0xDB, 4, 3, X87Control.initialize)
        register("FNSETPM", 0xDB, 4, 4, X87Control.nothing)
        register("FNSTSW", 0xDF, 4, 0, X87Control.statusToAX)
    }
}
