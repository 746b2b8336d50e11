// SPDX-License-Identifier: Apache-2.0

/// An instruction whose body is the same for each operand width.
protocol SizedOperation {
    static func run<Word: OperandWord>(
        _ state: State, _ instruction: UnsafePointer<Instruction>, _: Word.Type
    ) throws(CPUFault) -> Outcome
}

/// A handler's body for one width: `{ sized8($0, $1, Move.self) }`.
@inline(__always)
func sized8<Operation: SizedOperation>(
    _ state: UnsafeMutableRawPointer, _ code: UnsafeRawPointer, _: Operation.Type
) -> Int32 {
    handle(state, code) { state, instruction throws(CPUFault) in try Operation.run(state, instruction, UInt8.self) }
}

/// As `sized8`, for 16 bits.
@inline(__always)
func sized16<Operation: SizedOperation>(
    _ state: UnsafeMutableRawPointer, _ code: UnsafeRawPointer, _: Operation.Type
) -> Int32 {
    handle(state, code) { state, instruction throws(CPUFault) in try Operation.run(state, instruction, UInt16.self) }
}

/// As `sized8`, for 32 bits.
@inline(__always)
func sized32<Operation: SizedOperation>(
    _ state: UnsafeMutableRawPointer, _ code: UnsafeRawPointer, _: Operation.Type
) -> Int32 {
    handle(state, code) { state, instruction throws(CPUFault) in try Operation.run(state, instruction, UInt32.self) }
}

/// As `sized8`, for 64 bits.
@inline(__always)
func sized64<Operation: SizedOperation>(
    _ state: UnsafeMutableRawPointer, _ code: UnsafeRawPointer, _: Operation.Type
) -> Int32 {
    handle(state, code) { state, instruction throws(CPUFault) in try Operation.run(state, instruction, UInt64.self) }
}

/// A handler's body for all widths, for instructions that are not frequent enough to have a handler for each.
@inline(__always)
func sized<Operation: SizedOperation>(
    _ state: UnsafeMutableRawPointer, _ code: UnsafeRawPointer, _: Operation.Type
) -> Int32 {
    handle(state, code) { state, instruction throws(CPUFault) in
        switch instruction.pointee.operandSize {
        case 0: try Operation.run(state, instruction, UInt8.self)
        case 1: try Operation.run(state, instruction, UInt16.self)
        case 2: try Operation.run(state, instruction, UInt32.self)
        default: try Operation.run(state, instruction, UInt64.self)
        }
    }
}
