// SPDX-License-Identifier: Apache-2.0

// Handlers of the integer instructions by operand width. A C function pointer cannot be made from generic code, so each
// one is named here.

/// Lists of handlers by log2 of the operand's bytes.
enum WidthHandlers {
    static let moveRMReg: [Handler] = [
        { sized8($0, $1, MoveRMReg.self) },
        { sized16($0, $1, MoveRMReg.self) },
        { sized32($0, $1, MoveRMReg.self) },
        { sized64($0, $1, MoveRMReg.self) },
    ]
    static let moveRegRM: [Handler] = [
        { sized8($0, $1, MoveRegRM.self) },
        { sized16($0, $1, MoveRegRM.self) },
        { sized32($0, $1, MoveRegRM.self) },
        { sized64($0, $1, MoveRegRM.self) },
    ]
    static let moveMemoryReg: [Handler] = [
        { sized8($0, $1, MoveMemoryReg.self) },
        { sized16($0, $1, MoveMemoryReg.self) },
        { sized32($0, $1, MoveMemoryReg.self) },
        { sized64($0, $1, MoveMemoryReg.self) },
    ]
    static let moveRegMemory: [Handler] = [
        { sized8($0, $1, MoveRegMemory.self) },
        { sized16($0, $1, MoveRegMemory.self) },
        { sized32($0, $1, MoveRegMemory.self) },
        { sized64($0, $1, MoveRegMemory.self) },
    ]
    static let moveRMImmediate: [Handler] = [
        { sized8($0, $1, MoveRMImmediate.self) },
        { sized16($0, $1, MoveRMImmediate.self) },
        { sized32($0, $1, MoveRMImmediate.self) },
        { sized64($0, $1, MoveRMImmediate.self) },
    ]
    static let moveMemoryImmediate: [Handler] = [
        { sized8($0, $1, MoveMemoryImmediate.self) },
        { sized16($0, $1, MoveMemoryImmediate.self) },
        { sized32($0, $1, MoveMemoryImmediate.self) },
        { sized64($0, $1, MoveMemoryImmediate.self) },
    ]
    static let loadEffectiveAddress: [Handler] = [
        { sized8($0, $1, LoadEffectiveAddress.self) },
        { sized16($0, $1, LoadEffectiveAddress.self) },
        { sized32($0, $1, LoadEffectiveAddress.self) },
        { sized64($0, $1, LoadEffectiveAddress.self) },
    ]
    static let increment: [Handler] = [
        { sized8($0, $1, Increment.self) },
        { sized16($0, $1, Increment.self) },
        { sized32($0, $1, Increment.self) },
        { sized64($0, $1, Increment.self) },
    ]
    static let decrement: [Handler] = [
        { sized8($0, $1, Decrement.self) },
        { sized16($0, $1, Decrement.self) },
        { sized32($0, $1, Decrement.self) },
        { sized64($0, $1, Decrement.self) },
    ]
    static let signedMultiplyTruncated: [Handler] = [
        { sized8($0, $1, SignedMultiplyTruncated.self) },
        { sized16($0, $1, SignedMultiplyTruncated.self) },
        { sized32($0, $1, SignedMultiplyTruncated.self) },
        { sized64($0, $1, SignedMultiplyTruncated.self) },
    ]
    static let pushRM: [Handler] = [
        { sized8($0, $1, PushRM.self) },
        { sized16($0, $1, PushRM.self) },
        { sized32($0, $1, PushRM.self) },
        { sized64($0, $1, PushRM.self) },
    ]
    static let pushImmediate: [Handler] = [
        { sized8($0, $1, PushImmediate.self) },
        { sized16($0, $1, PushImmediate.self) },
        { sized32($0, $1, PushImmediate.self) },
        { sized64($0, $1, PushImmediate.self) },
    ]
    static let popRM: [Handler] = [
        { sized8($0, $1, PopRM.self) },
        { sized16($0, $1, PopRM.self) },
        { sized32($0, $1, PopRM.self) },
        { sized64($0, $1, PopRM.self) },
    ]
    static let shiftLeftByImmediate: [Handler] = [
        { sized8($0, $1, ShiftForm<ShiftLeft>.ByImmediate.self) },
        { sized16($0, $1, ShiftForm<ShiftLeft>.ByImmediate.self) },
        { sized32($0, $1, ShiftForm<ShiftLeft>.ByImmediate.self) },
        { sized64($0, $1, ShiftForm<ShiftLeft>.ByImmediate.self) },
    ]
    static let shiftRightByImmediate: [Handler] = [
        { sized8($0, $1, ShiftForm<ShiftRight>.ByImmediate.self) },
        { sized16($0, $1, ShiftForm<ShiftRight>.ByImmediate.self) },
        { sized32($0, $1, ShiftForm<ShiftRight>.ByImmediate.self) },
        { sized64($0, $1, ShiftForm<ShiftRight>.ByImmediate.self) },
    ]
    static let shiftArithmeticRightByImmediate: [Handler] = [
        { sized8($0, $1, ShiftForm<ShiftArithmeticRight>.ByImmediate.self) },
        { sized16($0, $1, ShiftForm<ShiftArithmeticRight>.ByImmediate.self) },
        { sized32($0, $1, ShiftForm<ShiftArithmeticRight>.ByImmediate.self) },
        { sized64($0, $1, ShiftForm<ShiftArithmeticRight>.ByImmediate.self) },
    ]
    static let moveString: [Handler] = [
        { sized8($0, $1, Repeated<MoveString>.self) },
        { sized16($0, $1, Repeated<MoveString>.self) },
        { sized32($0, $1, Repeated<MoveString>.self) },
        { sized64($0, $1, Repeated<MoveString>.self) },
    ]
    static let storeString: [Handler] = [
        { sized8($0, $1, Repeated<StoreString>.self) },
        { sized16($0, $1, Repeated<StoreString>.self) },
        { sized32($0, $1, Repeated<StoreString>.self) },
        { sized64($0, $1, Repeated<StoreString>.self) },
    ]
    static let loadString: [Handler] = [
        { sized8($0, $1, Repeated<LoadString>.self) },
        { sized16($0, $1, Repeated<LoadString>.self) },
        { sized32($0, $1, Repeated<LoadString>.self) },
        { sized64($0, $1, Repeated<LoadString>.self) },
    ]
    static let scanString: [Handler] = [
        { sized8($0, $1, Repeated<ScanString>.self) },
        { sized16($0, $1, Repeated<ScanString>.self) },
        { sized32($0, $1, Repeated<ScanString>.self) },
        { sized64($0, $1, Repeated<ScanString>.self) },
    ]
    static let compareString: [Handler] = [
        { sized8($0, $1, Repeated<CompareString>.self) },
        { sized16($0, $1, Repeated<CompareString>.self) },
        { sized32($0, $1, Repeated<CompareString>.self) },
        { sized64($0, $1, Repeated<CompareString>.self) },
    ]
}

/// Handlers that serve all widths.
enum SharedHandlers {
    static let negate: Handler = { sized($0, $1, Negate.self) }
    static let complement: Handler = { sized($0, $1, Complement.self) }
    static let multiply: Handler = { sized($0, $1, Multiply.self) }
    static let signedMultiply: Handler = { sized($0, $1, SignedMultiply.self) }
    static let divide: Handler = { sized($0, $1, Divide.self) }
    static let signedDivide: Handler = { sized($0, $1, SignedDivide.self) }
    static let addWithFlag: Handler = { sized($0, $1, AddWithFlag.self) }
    static let moveByteSwapped: Handler = { sized($0, $1, MoveByteSwapped.self) }
    static let byteSwap: Handler = { sized($0, $1, ByteSwap.self) }
    static let exchange: Handler = { sized($0, $1, Exchange.self) }
    static let exchangeAdd: Handler = { sized($0, $1, ExchangeAdd.self) }
    static let compareExchange: Handler = { sized($0, $1, CompareExchange.self) }
    static let doubleShift: Handler = { sized($0, $1, DoubleShift.self) }
    static let bitTest: Handler = { sized($0, $1, BitTest.self) }
    static let bitScan: Handler = { sized($0, $1, BitScan.self) }
    static let zeroCount: Handler = { sized($0, $1, ZeroCount.self) }
    static let populationCount: Handler = { sized($0, $1, PopulationCount.self) }
    static let extendedBits: Handler = { sized($0, $1, ExtendedBits.self) }
    static let cyclicRedundancyCheck: Handler = { sized($0, $1, CyclicRedundancyCheck.self) }
    static let enterFrame: Handler = { sized($0, $1, EnterFrame.self) }
    static let leaveFrame: Handler = { sized($0, $1, LeaveFrame.self) }
    /// Shifts and rotates by modrm.reg.
    static let shiftsByImmediate: [Handler] = [
        { sized($0, $1, ShiftForm<RotateLeft>.ByImmediate.self) },
        { sized($0, $1, ShiftForm<RotateRight>.ByImmediate.self) },
        { sized($0, $1, ShiftForm<RotateCarryLeft>.ByImmediate.self) },
        { sized($0, $1, ShiftForm<RotateCarryRight>.ByImmediate.self) },
        { sized($0, $1, ShiftForm<ShiftLeft>.ByImmediate.self) },
        { sized($0, $1, ShiftForm<ShiftRight>.ByImmediate.self) },
        { sized($0, $1, ShiftForm<ShiftLeft>.ByImmediate.self) },
        { sized($0, $1, ShiftForm<ShiftArithmeticRight>.ByImmediate.self) },
    ]
    /// Shifts and rotates by modrm.reg.
    static let shiftsByCounter: [Handler] = [
        { sized($0, $1, ShiftForm<RotateLeft>.ByCounter.self) },
        { sized($0, $1, ShiftForm<RotateRight>.ByCounter.self) },
        { sized($0, $1, ShiftForm<RotateCarryLeft>.ByCounter.self) },
        { sized($0, $1, ShiftForm<RotateCarryRight>.ByCounter.self) },
        { sized($0, $1, ShiftForm<ShiftLeft>.ByCounter.self) },
        { sized($0, $1, ShiftForm<ShiftRight>.ByCounter.self) },
        { sized($0, $1, ShiftForm<ShiftLeft>.ByCounter.self) },
        { sized($0, $1, ShiftForm<ShiftArithmeticRight>.ByCounter.self) },
    ]
    /// MOVZX, by log2 of the source's bytes and of the destination's.
    static let zeroExtend: [[Handler]] = [
        [
            { Extension.run($0, $1, UInt8.self, UInt8.self, isSigned: false) },
            { Extension.run($0, $1, UInt8.self, UInt16.self, isSigned: false) },
            { Extension.run($0, $1, UInt8.self, UInt32.self, isSigned: false) },
            { Extension.run($0, $1, UInt8.self, UInt64.self, isSigned: false) },
        ],
        [
            { Extension.run($0, $1, UInt16.self, UInt8.self, isSigned: false) },
            { Extension.run($0, $1, UInt16.self, UInt16.self, isSigned: false) },
            { Extension.run($0, $1, UInt16.self, UInt32.self, isSigned: false) },
            { Extension.run($0, $1, UInt16.self, UInt64.self, isSigned: false) },
        ],
        [
            { Extension.run($0, $1, UInt32.self, UInt8.self, isSigned: false) },
            { Extension.run($0, $1, UInt32.self, UInt16.self, isSigned: false) },
            { Extension.run($0, $1, UInt32.self, UInt32.self, isSigned: false) },
            { Extension.run($0, $1, UInt32.self, UInt64.self, isSigned: false) },
        ],
    ]
    /// MOVSX and MOVSXD, by log2 of the source's bytes and of the destination's.
    static let signExtend: [[Handler]] = [
        [
            { Extension.run($0, $1, UInt8.self, UInt8.self, isSigned: true) },
            { Extension.run($0, $1, UInt8.self, UInt16.self, isSigned: true) },
            { Extension.run($0, $1, UInt8.self, UInt32.self, isSigned: true) },
            { Extension.run($0, $1, UInt8.self, UInt64.self, isSigned: true) },
        ],
        [
            { Extension.run($0, $1, UInt16.self, UInt8.self, isSigned: true) },
            { Extension.run($0, $1, UInt16.self, UInt16.self, isSigned: true) },
            { Extension.run($0, $1, UInt16.self, UInt32.self, isSigned: true) },
            { Extension.run($0, $1, UInt16.self, UInt64.self, isSigned: true) },
        ],
        [
            { Extension.run($0, $1, UInt32.self, UInt8.self, isSigned: true) },
            { Extension.run($0, $1, UInt32.self, UInt16.self, isSigned: true) },
            { Extension.run($0, $1, UInt32.self, UInt32.self, isSigned: true) },
            { Extension.run($0, $1, UInt32.self, UInt64.self, isSigned: true) },
        ],
    ]
    /// Jcc in 64-bit code by condition.
    static let jumps64: [Handler] = [
        { jumpIf($0, $1, 0) },
        { jumpIf($0, $1, 1) },
        { jumpIf($0, $1, 2) },
        { jumpIf($0, $1, 3) },
        { jumpIf($0, $1, 4) },
        { jumpIf($0, $1, 5) },
        { jumpIf($0, $1, 6) },
        { jumpIf($0, $1, 7) },
        { jumpIf($0, $1, 8) },
        { jumpIf($0, $1, 9) },
        { jumpIf($0, $1, 10) },
        { jumpIf($0, $1, 11) },
        { jumpIf($0, $1, 12) },
        { jumpIf($0, $1, 13) },
        { jumpIf($0, $1, 14) },
        { jumpIf($0, $1, 15) },
    ]
    /// SETcc by condition.
    static let sets: [Handler] = [
        { setIf($0, $1, 0) },
        { setIf($0, $1, 1) },
        { setIf($0, $1, 2) },
        { setIf($0, $1, 3) },
        { setIf($0, $1, 4) },
        { setIf($0, $1, 5) },
        { setIf($0, $1, 6) },
        { setIf($0, $1, 7) },
        { setIf($0, $1, 8) },
        { setIf($0, $1, 9) },
        { setIf($0, $1, 10) },
        { setIf($0, $1, 11) },
        { setIf($0, $1, 12) },
        { setIf($0, $1, 13) },
        { setIf($0, $1, 14) },
        { setIf($0, $1, 15) },
    ]
    /// CMOVcc by log2 of the operand's bytes less 1, and condition.
    static let moves: [[Handler]] = [
        [
            { moveIf($0, $1, UInt16.self, 0) },
            { moveIf($0, $1, UInt16.self, 1) },
            { moveIf($0, $1, UInt16.self, 2) },
            { moveIf($0, $1, UInt16.self, 3) },
            { moveIf($0, $1, UInt16.self, 4) },
            { moveIf($0, $1, UInt16.self, 5) },
            { moveIf($0, $1, UInt16.self, 6) },
            { moveIf($0, $1, UInt16.self, 7) },
            { moveIf($0, $1, UInt16.self, 8) },
            { moveIf($0, $1, UInt16.self, 9) },
            { moveIf($0, $1, UInt16.self, 10) },
            { moveIf($0, $1, UInt16.self, 11) },
            { moveIf($0, $1, UInt16.self, 12) },
            { moveIf($0, $1, UInt16.self, 13) },
            { moveIf($0, $1, UInt16.self, 14) },
            { moveIf($0, $1, UInt16.self, 15) },
        ],
        [
            { moveIf($0, $1, UInt32.self, 0) },
            { moveIf($0, $1, UInt32.self, 1) },
            { moveIf($0, $1, UInt32.self, 2) },
            { moveIf($0, $1, UInt32.self, 3) },
            { moveIf($0, $1, UInt32.self, 4) },
            { moveIf($0, $1, UInt32.self, 5) },
            { moveIf($0, $1, UInt32.self, 6) },
            { moveIf($0, $1, UInt32.self, 7) },
            { moveIf($0, $1, UInt32.self, 8) },
            { moveIf($0, $1, UInt32.self, 9) },
            { moveIf($0, $1, UInt32.self, 10) },
            { moveIf($0, $1, UInt32.self, 11) },
            { moveIf($0, $1, UInt32.self, 12) },
            { moveIf($0, $1, UInt32.self, 13) },
            { moveIf($0, $1, UInt32.self, 14) },
            { moveIf($0, $1, UInt32.self, 15) },
        ],
        [
            { moveIf($0, $1, UInt64.self, 0) },
            { moveIf($0, $1, UInt64.self, 1) },
            { moveIf($0, $1, UInt64.self, 2) },
            { moveIf($0, $1, UInt64.self, 3) },
            { moveIf($0, $1, UInt64.self, 4) },
            { moveIf($0, $1, UInt64.self, 5) },
            { moveIf($0, $1, UInt64.self, 6) },
            { moveIf($0, $1, UInt64.self, 7) },
            { moveIf($0, $1, UInt64.self, 8) },
            { moveIf($0, $1, UInt64.self, 9) },
            { moveIf($0, $1, UInt64.self, 10) },
            { moveIf($0, $1, UInt64.self, 11) },
            { moveIf($0, $1, UInt64.self, 12) },
            { moveIf($0, $1, UInt64.self, 13) },
            { moveIf($0, $1, UInt64.self, 14) },
            { moveIf($0, $1, UInt64.self, 15) },
        ],
    ]
}
