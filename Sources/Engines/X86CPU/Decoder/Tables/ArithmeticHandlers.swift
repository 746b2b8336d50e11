// SPDX-License-Identifier: Apache-2.0

// The specialised handlers of the ALU operations. A C function pointer cannot be made from generic code, so each
// combination of operation, operand form and width is named once here.

/// Handlers of one operation, each list by log2 of the operand's bytes.
struct ArithmeticHandlers: Sendable {
    let rmReg, memoryReg, regRM, regMemory, rmImmediate, memoryImmediate: [Handler]
}

extension ArithmeticHandlers {
    /// By the three bits that choose the operation in opcodes and in modrm.reg.
    static let all = [add, or, adc, sbb, and, sub, xor, cmp]

    static let add = ArithmeticHandlers(
        rmReg: [
            { ArithmeticForm.rmReg($0, $1, Add.self, UInt8.self) },
            { ArithmeticForm.rmReg($0, $1, Add.self, UInt16.self) },
            { ArithmeticForm.rmReg($0, $1, Add.self, UInt32.self) },
            { ArithmeticForm.rmReg($0, $1, Add.self, UInt64.self) },
        ],
        memoryReg: [
            { ArithmeticForm.memoryReg($0, $1, Add.self, UInt8.self) },
            { ArithmeticForm.memoryReg($0, $1, Add.self, UInt16.self) },
            { ArithmeticForm.memoryReg($0, $1, Add.self, UInt32.self) },
            { ArithmeticForm.memoryReg($0, $1, Add.self, UInt64.self) },
        ],
        regRM: [
            { ArithmeticForm.regRM($0, $1, Add.self, UInt8.self) },
            { ArithmeticForm.regRM($0, $1, Add.self, UInt16.self) },
            { ArithmeticForm.regRM($0, $1, Add.self, UInt32.self) },
            { ArithmeticForm.regRM($0, $1, Add.self, UInt64.self) },
        ],
        regMemory: [
            { ArithmeticForm.regMemory($0, $1, Add.self, UInt8.self) },
            { ArithmeticForm.regMemory($0, $1, Add.self, UInt16.self) },
            { ArithmeticForm.regMemory($0, $1, Add.self, UInt32.self) },
            { ArithmeticForm.regMemory($0, $1, Add.self, UInt64.self) },
        ],
        rmImmediate: [
            { ArithmeticForm.rmImmediate($0, $1, Add.self, UInt8.self) },
            { ArithmeticForm.rmImmediate($0, $1, Add.self, UInt16.self) },
            { ArithmeticForm.rmImmediate($0, $1, Add.self, UInt32.self) },
            { ArithmeticForm.rmImmediate($0, $1, Add.self, UInt64.self) },
        ],
        memoryImmediate: [
            { ArithmeticForm.memoryImmediate($0, $1, Add.self, UInt8.self) },
            { ArithmeticForm.memoryImmediate($0, $1, Add.self, UInt16.self) },
            { ArithmeticForm.memoryImmediate($0, $1, Add.self, UInt32.self) },
            { ArithmeticForm.memoryImmediate($0, $1, Add.self, UInt64.self) },
        ])
    static let or = ArithmeticHandlers(
        rmReg: [
            { ArithmeticForm.rmReg($0, $1, Or.self, UInt8.self) },
            { ArithmeticForm.rmReg($0, $1, Or.self, UInt16.self) },
            { ArithmeticForm.rmReg($0, $1, Or.self, UInt32.self) },
            { ArithmeticForm.rmReg($0, $1, Or.self, UInt64.self) },
        ],
        memoryReg: [
            { ArithmeticForm.memoryReg($0, $1, Or.self, UInt8.self) },
            { ArithmeticForm.memoryReg($0, $1, Or.self, UInt16.self) },
            { ArithmeticForm.memoryReg($0, $1, Or.self, UInt32.self) },
            { ArithmeticForm.memoryReg($0, $1, Or.self, UInt64.self) },
        ],
        regRM: [
            { ArithmeticForm.regRM($0, $1, Or.self, UInt8.self) },
            { ArithmeticForm.regRM($0, $1, Or.self, UInt16.self) },
            { ArithmeticForm.regRM($0, $1, Or.self, UInt32.self) },
            { ArithmeticForm.regRM($0, $1, Or.self, UInt64.self) },
        ],
        regMemory: [
            { ArithmeticForm.regMemory($0, $1, Or.self, UInt8.self) },
            { ArithmeticForm.regMemory($0, $1, Or.self, UInt16.self) },
            { ArithmeticForm.regMemory($0, $1, Or.self, UInt32.self) },
            { ArithmeticForm.regMemory($0, $1, Or.self, UInt64.self) },
        ],
        rmImmediate: [
            { ArithmeticForm.rmImmediate($0, $1, Or.self, UInt8.self) },
            { ArithmeticForm.rmImmediate($0, $1, Or.self, UInt16.self) },
            { ArithmeticForm.rmImmediate($0, $1, Or.self, UInt32.self) },
            { ArithmeticForm.rmImmediate($0, $1, Or.self, UInt64.self) },
        ],
        memoryImmediate: [
            { ArithmeticForm.memoryImmediate($0, $1, Or.self, UInt8.self) },
            { ArithmeticForm.memoryImmediate($0, $1, Or.self, UInt16.self) },
            { ArithmeticForm.memoryImmediate($0, $1, Or.self, UInt32.self) },
            { ArithmeticForm.memoryImmediate($0, $1, Or.self, UInt64.self) },
        ])
    static let adc = ArithmeticHandlers(
        rmReg: [
            { ArithmeticForm.rmReg($0, $1, AddCarry.self, UInt8.self) },
            { ArithmeticForm.rmReg($0, $1, AddCarry.self, UInt16.self) },
            { ArithmeticForm.rmReg($0, $1, AddCarry.self, UInt32.self) },
            { ArithmeticForm.rmReg($0, $1, AddCarry.self, UInt64.self) },
        ],
        memoryReg: [
            { ArithmeticForm.memoryReg($0, $1, AddCarry.self, UInt8.self) },
            { ArithmeticForm.memoryReg($0, $1, AddCarry.self, UInt16.self) },
            { ArithmeticForm.memoryReg($0, $1, AddCarry.self, UInt32.self) },
            { ArithmeticForm.memoryReg($0, $1, AddCarry.self, UInt64.self) },
        ],
        regRM: [
            { ArithmeticForm.regRM($0, $1, AddCarry.self, UInt8.self) },
            { ArithmeticForm.regRM($0, $1, AddCarry.self, UInt16.self) },
            { ArithmeticForm.regRM($0, $1, AddCarry.self, UInt32.self) },
            { ArithmeticForm.regRM($0, $1, AddCarry.self, UInt64.self) },
        ],
        regMemory: [
            { ArithmeticForm.regMemory($0, $1, AddCarry.self, UInt8.self) },
            { ArithmeticForm.regMemory($0, $1, AddCarry.self, UInt16.self) },
            { ArithmeticForm.regMemory($0, $1, AddCarry.self, UInt32.self) },
            { ArithmeticForm.regMemory($0, $1, AddCarry.self, UInt64.self) },
        ],
        rmImmediate: [
            { ArithmeticForm.rmImmediate($0, $1, AddCarry.self, UInt8.self) },
            { ArithmeticForm.rmImmediate($0, $1, AddCarry.self, UInt16.self) },
            { ArithmeticForm.rmImmediate($0, $1, AddCarry.self, UInt32.self) },
            { ArithmeticForm.rmImmediate($0, $1, AddCarry.self, UInt64.self) },
        ],
        memoryImmediate: [
            { ArithmeticForm.memoryImmediate($0, $1, AddCarry.self, UInt8.self) },
            { ArithmeticForm.memoryImmediate($0, $1, AddCarry.self, UInt16.self) },
            { ArithmeticForm.memoryImmediate($0, $1, AddCarry.self, UInt32.self) },
            { ArithmeticForm.memoryImmediate($0, $1, AddCarry.self, UInt64.self) },
        ])
    static let sbb = ArithmeticHandlers(
        rmReg: [
            { ArithmeticForm.rmReg($0, $1, SubtractBorrow.self, UInt8.self) },
            { ArithmeticForm.rmReg($0, $1, SubtractBorrow.self, UInt16.self) },
            { ArithmeticForm.rmReg($0, $1, SubtractBorrow.self, UInt32.self) },
            { ArithmeticForm.rmReg($0, $1, SubtractBorrow.self, UInt64.self) },
        ],
        memoryReg: [
            { ArithmeticForm.memoryReg($0, $1, SubtractBorrow.self, UInt8.self) },
            { ArithmeticForm.memoryReg($0, $1, SubtractBorrow.self, UInt16.self) },
            { ArithmeticForm.memoryReg($0, $1, SubtractBorrow.self, UInt32.self) },
            { ArithmeticForm.memoryReg($0, $1, SubtractBorrow.self, UInt64.self) },
        ],
        regRM: [
            { ArithmeticForm.regRM($0, $1, SubtractBorrow.self, UInt8.self) },
            { ArithmeticForm.regRM($0, $1, SubtractBorrow.self, UInt16.self) },
            { ArithmeticForm.regRM($0, $1, SubtractBorrow.self, UInt32.self) },
            { ArithmeticForm.regRM($0, $1, SubtractBorrow.self, UInt64.self) },
        ],
        regMemory: [
            { ArithmeticForm.regMemory($0, $1, SubtractBorrow.self, UInt8.self) },
            { ArithmeticForm.regMemory($0, $1, SubtractBorrow.self, UInt16.self) },
            { ArithmeticForm.regMemory($0, $1, SubtractBorrow.self, UInt32.self) },
            { ArithmeticForm.regMemory($0, $1, SubtractBorrow.self, UInt64.self) },
        ],
        rmImmediate: [
            { ArithmeticForm.rmImmediate($0, $1, SubtractBorrow.self, UInt8.self) },
            { ArithmeticForm.rmImmediate($0, $1, SubtractBorrow.self, UInt16.self) },
            { ArithmeticForm.rmImmediate($0, $1, SubtractBorrow.self, UInt32.self) },
            { ArithmeticForm.rmImmediate($0, $1, SubtractBorrow.self, UInt64.self) },
        ],
        memoryImmediate: [
            { ArithmeticForm.memoryImmediate($0, $1, SubtractBorrow.self, UInt8.self) },
            { ArithmeticForm.memoryImmediate($0, $1, SubtractBorrow.self, UInt16.self) },
            { ArithmeticForm.memoryImmediate($0, $1, SubtractBorrow.self, UInt32.self) },
            { ArithmeticForm.memoryImmediate($0, $1, SubtractBorrow.self, UInt64.self) },
        ])
    static let and = ArithmeticHandlers(
        rmReg: [
            { ArithmeticForm.rmReg($0, $1, And.self, UInt8.self) },
            { ArithmeticForm.rmReg($0, $1, And.self, UInt16.self) },
            { ArithmeticForm.rmReg($0, $1, And.self, UInt32.self) },
            { ArithmeticForm.rmReg($0, $1, And.self, UInt64.self) },
        ],
        memoryReg: [
            { ArithmeticForm.memoryReg($0, $1, And.self, UInt8.self) },
            { ArithmeticForm.memoryReg($0, $1, And.self, UInt16.self) },
            { ArithmeticForm.memoryReg($0, $1, And.self, UInt32.self) },
            { ArithmeticForm.memoryReg($0, $1, And.self, UInt64.self) },
        ],
        regRM: [
            { ArithmeticForm.regRM($0, $1, And.self, UInt8.self) },
            { ArithmeticForm.regRM($0, $1, And.self, UInt16.self) },
            { ArithmeticForm.regRM($0, $1, And.self, UInt32.self) },
            { ArithmeticForm.regRM($0, $1, And.self, UInt64.self) },
        ],
        regMemory: [
            { ArithmeticForm.regMemory($0, $1, And.self, UInt8.self) },
            { ArithmeticForm.regMemory($0, $1, And.self, UInt16.self) },
            { ArithmeticForm.regMemory($0, $1, And.self, UInt32.self) },
            { ArithmeticForm.regMemory($0, $1, And.self, UInt64.self) },
        ],
        rmImmediate: [
            { ArithmeticForm.rmImmediate($0, $1, And.self, UInt8.self) },
            { ArithmeticForm.rmImmediate($0, $1, And.self, UInt16.self) },
            { ArithmeticForm.rmImmediate($0, $1, And.self, UInt32.self) },
            { ArithmeticForm.rmImmediate($0, $1, And.self, UInt64.self) },
        ],
        memoryImmediate: [
            { ArithmeticForm.memoryImmediate($0, $1, And.self, UInt8.self) },
            { ArithmeticForm.memoryImmediate($0, $1, And.self, UInt16.self) },
            { ArithmeticForm.memoryImmediate($0, $1, And.self, UInt32.self) },
            { ArithmeticForm.memoryImmediate($0, $1, And.self, UInt64.self) },
        ])
    static let sub = ArithmeticHandlers(
        rmReg: [
            { ArithmeticForm.rmReg($0, $1, Subtract.self, UInt8.self) },
            { ArithmeticForm.rmReg($0, $1, Subtract.self, UInt16.self) },
            { ArithmeticForm.rmReg($0, $1, Subtract.self, UInt32.self) },
            { ArithmeticForm.rmReg($0, $1, Subtract.self, UInt64.self) },
        ],
        memoryReg: [
            { ArithmeticForm.memoryReg($0, $1, Subtract.self, UInt8.self) },
            { ArithmeticForm.memoryReg($0, $1, Subtract.self, UInt16.self) },
            { ArithmeticForm.memoryReg($0, $1, Subtract.self, UInt32.self) },
            { ArithmeticForm.memoryReg($0, $1, Subtract.self, UInt64.self) },
        ],
        regRM: [
            { ArithmeticForm.regRM($0, $1, Subtract.self, UInt8.self) },
            { ArithmeticForm.regRM($0, $1, Subtract.self, UInt16.self) },
            { ArithmeticForm.regRM($0, $1, Subtract.self, UInt32.self) },
            { ArithmeticForm.regRM($0, $1, Subtract.self, UInt64.self) },
        ],
        regMemory: [
            { ArithmeticForm.regMemory($0, $1, Subtract.self, UInt8.self) },
            { ArithmeticForm.regMemory($0, $1, Subtract.self, UInt16.self) },
            { ArithmeticForm.regMemory($0, $1, Subtract.self, UInt32.self) },
            { ArithmeticForm.regMemory($0, $1, Subtract.self, UInt64.self) },
        ],
        rmImmediate: [
            { ArithmeticForm.rmImmediate($0, $1, Subtract.self, UInt8.self) },
            { ArithmeticForm.rmImmediate($0, $1, Subtract.self, UInt16.self) },
            { ArithmeticForm.rmImmediate($0, $1, Subtract.self, UInt32.self) },
            { ArithmeticForm.rmImmediate($0, $1, Subtract.self, UInt64.self) },
        ],
        memoryImmediate: [
            { ArithmeticForm.memoryImmediate($0, $1, Subtract.self, UInt8.self) },
            { ArithmeticForm.memoryImmediate($0, $1, Subtract.self, UInt16.self) },
            { ArithmeticForm.memoryImmediate($0, $1, Subtract.self, UInt32.self) },
            { ArithmeticForm.memoryImmediate($0, $1, Subtract.self, UInt64.self) },
        ])
    static let xor = ArithmeticHandlers(
        rmReg: [
            { ArithmeticForm.rmReg($0, $1, ExclusiveOr.self, UInt8.self) },
            { ArithmeticForm.rmReg($0, $1, ExclusiveOr.self, UInt16.self) },
            { ArithmeticForm.rmReg($0, $1, ExclusiveOr.self, UInt32.self) },
            { ArithmeticForm.rmReg($0, $1, ExclusiveOr.self, UInt64.self) },
        ],
        memoryReg: [
            { ArithmeticForm.memoryReg($0, $1, ExclusiveOr.self, UInt8.self) },
            { ArithmeticForm.memoryReg($0, $1, ExclusiveOr.self, UInt16.self) },
            { ArithmeticForm.memoryReg($0, $1, ExclusiveOr.self, UInt32.self) },
            { ArithmeticForm.memoryReg($0, $1, ExclusiveOr.self, UInt64.self) },
        ],
        regRM: [
            { ArithmeticForm.regRM($0, $1, ExclusiveOr.self, UInt8.self) },
            { ArithmeticForm.regRM($0, $1, ExclusiveOr.self, UInt16.self) },
            { ArithmeticForm.regRM($0, $1, ExclusiveOr.self, UInt32.self) },
            { ArithmeticForm.regRM($0, $1, ExclusiveOr.self, UInt64.self) },
        ],
        regMemory: [
            { ArithmeticForm.regMemory($0, $1, ExclusiveOr.self, UInt8.self) },
            { ArithmeticForm.regMemory($0, $1, ExclusiveOr.self, UInt16.self) },
            { ArithmeticForm.regMemory($0, $1, ExclusiveOr.self, UInt32.self) },
            { ArithmeticForm.regMemory($0, $1, ExclusiveOr.self, UInt64.self) },
        ],
        rmImmediate: [
            { ArithmeticForm.rmImmediate($0, $1, ExclusiveOr.self, UInt8.self) },
            { ArithmeticForm.rmImmediate($0, $1, ExclusiveOr.self, UInt16.self) },
            { ArithmeticForm.rmImmediate($0, $1, ExclusiveOr.self, UInt32.self) },
            { ArithmeticForm.rmImmediate($0, $1, ExclusiveOr.self, UInt64.self) },
        ],
        memoryImmediate: [
            { ArithmeticForm.memoryImmediate($0, $1, ExclusiveOr.self, UInt8.self) },
            { ArithmeticForm.memoryImmediate($0, $1, ExclusiveOr.self, UInt16.self) },
            { ArithmeticForm.memoryImmediate($0, $1, ExclusiveOr.self, UInt32.self) },
            { ArithmeticForm.memoryImmediate($0, $1, ExclusiveOr.self, UInt64.self) },
        ])
    static let cmp = ArithmeticHandlers(
        rmReg: [
            { ArithmeticForm.rmReg($0, $1, Compare.self, UInt8.self) },
            { ArithmeticForm.rmReg($0, $1, Compare.self, UInt16.self) },
            { ArithmeticForm.rmReg($0, $1, Compare.self, UInt32.self) },
            { ArithmeticForm.rmReg($0, $1, Compare.self, UInt64.self) },
        ],
        memoryReg: [
            { ArithmeticForm.memoryReg($0, $1, Compare.self, UInt8.self) },
            { ArithmeticForm.memoryReg($0, $1, Compare.self, UInt16.self) },
            { ArithmeticForm.memoryReg($0, $1, Compare.self, UInt32.self) },
            { ArithmeticForm.memoryReg($0, $1, Compare.self, UInt64.self) },
        ],
        regRM: [
            { ArithmeticForm.regRM($0, $1, Compare.self, UInt8.self) },
            { ArithmeticForm.regRM($0, $1, Compare.self, UInt16.self) },
            { ArithmeticForm.regRM($0, $1, Compare.self, UInt32.self) },
            { ArithmeticForm.regRM($0, $1, Compare.self, UInt64.self) },
        ],
        regMemory: [
            { ArithmeticForm.regMemory($0, $1, Compare.self, UInt8.self) },
            { ArithmeticForm.regMemory($0, $1, Compare.self, UInt16.self) },
            { ArithmeticForm.regMemory($0, $1, Compare.self, UInt32.self) },
            { ArithmeticForm.regMemory($0, $1, Compare.self, UInt64.self) },
        ],
        rmImmediate: [
            { ArithmeticForm.rmImmediate($0, $1, Compare.self, UInt8.self) },
            { ArithmeticForm.rmImmediate($0, $1, Compare.self, UInt16.self) },
            { ArithmeticForm.rmImmediate($0, $1, Compare.self, UInt32.self) },
            { ArithmeticForm.rmImmediate($0, $1, Compare.self, UInt64.self) },
        ],
        memoryImmediate: [
            { ArithmeticForm.memoryImmediate($0, $1, Compare.self, UInt8.self) },
            { ArithmeticForm.memoryImmediate($0, $1, Compare.self, UInt16.self) },
            { ArithmeticForm.memoryImmediate($0, $1, Compare.self, UInt32.self) },
            { ArithmeticForm.memoryImmediate($0, $1, Compare.self, UInt64.self) },
        ])
    static let test = ArithmeticHandlers(
        rmReg: [
            { ArithmeticForm.rmReg($0, $1, Test.self, UInt8.self) },
            { ArithmeticForm.rmReg($0, $1, Test.self, UInt16.self) },
            { ArithmeticForm.rmReg($0, $1, Test.self, UInt32.self) },
            { ArithmeticForm.rmReg($0, $1, Test.self, UInt64.self) },
        ],
        memoryReg: [
            { ArithmeticForm.memoryReg($0, $1, Test.self, UInt8.self) },
            { ArithmeticForm.memoryReg($0, $1, Test.self, UInt16.self) },
            { ArithmeticForm.memoryReg($0, $1, Test.self, UInt32.self) },
            { ArithmeticForm.memoryReg($0, $1, Test.self, UInt64.self) },
        ],
        regRM: [
            { ArithmeticForm.regRM($0, $1, Test.self, UInt8.self) },
            { ArithmeticForm.regRM($0, $1, Test.self, UInt16.self) },
            { ArithmeticForm.regRM($0, $1, Test.self, UInt32.self) },
            { ArithmeticForm.regRM($0, $1, Test.self, UInt64.self) },
        ],
        regMemory: [
            { ArithmeticForm.regMemory($0, $1, Test.self, UInt8.self) },
            { ArithmeticForm.regMemory($0, $1, Test.self, UInt16.self) },
            { ArithmeticForm.regMemory($0, $1, Test.self, UInt32.self) },
            { ArithmeticForm.regMemory($0, $1, Test.self, UInt64.self) },
        ],
        rmImmediate: [
            { ArithmeticForm.rmImmediate($0, $1, Test.self, UInt8.self) },
            { ArithmeticForm.rmImmediate($0, $1, Test.self, UInt16.self) },
            { ArithmeticForm.rmImmediate($0, $1, Test.self, UInt32.self) },
            { ArithmeticForm.rmImmediate($0, $1, Test.self, UInt64.self) },
        ],
        memoryImmediate: [
            { ArithmeticForm.memoryImmediate($0, $1, Test.self, UInt8.self) },
            { ArithmeticForm.memoryImmediate($0, $1, Test.self, UInt16.self) },
            { ArithmeticForm.memoryImmediate($0, $1, Test.self, UInt32.self) },
            { ArithmeticForm.memoryImmediate($0, $1, Test.self, UInt64.self) },
        ])
}
