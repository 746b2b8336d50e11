// SPDX-License-Identifier: Apache-2.0

extension UnsafeMutablePointer where Pointee == CPUState {
    /// Whether an address has copies of its top implemented bit above it: 48 bits, or 57 with CR4.LA57.
    @inline(__always)
    func isCanonical(_ address: UInt64) -> Bool {
        let shift: Int64 = pointee.cr4 & Self.la57 != 0 ? 7 : 16
        return (Int64(bitPattern: address) &<< shift) &>> shift == Int64(bitPattern: address)
    }

    private static var la57: UInt64 { 1 << 12 }

    /// Jumps near to an offset, which is cut to the operand's width.
    /// - Throws: #GP(0) beyond CS's limit or at a non-canonical address; nothing has changed then.
    @inline(__always)
    func jump(_ instruction: UnsafePointer<Instruction>, to target: UInt64) throws(CPUFault) -> Outcome {
        pointee.rip = try checkedTarget(instruction, target)
        return .branch
    }

    /// The offset that a near transfer leads to.
    @inline(__always)
    func checkedTarget(_ instruction: UnsafePointer<Instruction>, _ target: UInt64) throws(CPUFault) -> UInt64 {
        if pointee.codeWidth == .bits64 {
            guard isCanonical(target) else { throw generalProtection() }
            return target
        }
        let cut = target & (instruction.pointee.operandSize == 1 ? 0xFFFF : 0xFFFF_FFFF)
        guard cut <= UInt64(segment(SegmentRegister.cs).pointee.limit) else { throw generalProtection() }
        return cut
    }

    /// The target of a relative transfer.
    @inline(__always)
    func relativeTarget(_ instruction: UnsafePointer<Instruction>) -> UInt64 {
        pointee.blockIP &+ instruction.pointee.immediate
    }
}

/// Jcc in 64-bit code; `number` is a constant.
@inline(__always)
func jumpIf(_ raw: UnsafeMutableRawPointer, _ code: UnsafeRawPointer, _ number: UInt8) -> Int32 {
    let state = raw.assumingMemoryBound(to: CPUState.self)
    guard state.condition(number) else { return Outcome.next.rawValue }
    // A direct target that is not canonical faults when it is fetched.
    state.pointee.rip = state.relativeTarget(code.assumingMemoryBound(to: Instruction.self))
    return Outcome.branch.rawValue
}

/// The bodies of near transfers. Those named 64 are for 64-bit code.
enum NearTransfer {
    static let jump64: Handler = { state, instruction in
        let state = state.assumingMemoryBound(to: CPUState.self)
        state.pointee.rip = state.relativeTarget(instruction.assumingMemoryBound(to: Instruction.self))
        return Outcome.branch.rawValue
    }

    static let jump: Handler = {
        handle($0, $1) { state, instruction throws(CPUFault) in
            try state.jump(instruction, to: state.relativeTarget(instruction))
        }
    }

    static let conditionalJump: Handler = {
        handle($0, $1) { state, instruction throws(CPUFault) in
            guard state.condition(instruction.pointee.opcode & 15) else { return .next }
            return try state.jump(instruction, to: state.relativeTarget(instruction))
        }
    }

    static let call64: Handler = {
        handle($0, $1) { state, instruction throws(CPUFault) in
            try push64(state, state.next(instruction))
            state.pointee.rip = state.relativeTarget(instruction)
            return .branch
        }
    }

    static let call: Handler = {
        handle($0, $1) { state, instruction throws(CPUFault) in
            try call(state, instruction, to: state.relativeTarget(instruction))
        }
    }

    static let return64: Handler = {
        handle($0, $1) { state, instruction throws(CPUFault) in
            let stack = state[register: Register.rsp]
            let target: UInt64 = try state.load(stack)
            guard state.isCanonical(target) else { throw state.generalProtection() }
            state[register: Register.rsp] = stack &+ 8 &+ instruction.pointee.immediate
            state.pointee.rip = target
            return .branch
        }
    }

    /// RET with or without a count of bytes to release.
    static let `return`: Handler = {
        handle($0, $1) { state, instruction throws(CPUFault) in
            let is16 = instruction.pointee.operandSize == 1
            let target: UInt64 =
                is16 ? UInt64(try state.peekStack() as UInt16) : UInt64(try state.peekStack() as UInt32)
            let checked = try state.checkedTarget(instruction, target)
            state.setStackPointer(state.stackPointer &+ (is16 ? 2 : 4) &+ instruction.pointee.immediate)
            state.pointee.rip = checked
            return .branch
        }
    }

    static let indirectJump: Handler = {
        handle($0, $1) { state, instruction throws(CPUFault) in
            try state.jump(instruction, to: try indirectTarget(state, instruction))
        }
    }

    static let indirectCall: Handler = {
        handle($0, $1) { state, instruction throws(CPUFault) in
            try call(state, instruction, to: try indirectTarget(state, instruction))
        }
    }

    @inline(__always)
    private static func indirectTarget(
        _ state: State, _ instruction: UnsafePointer<Instruction>
    ) throws(CPUFault) -> UInt64 {
        switch instruction.pointee.operandSize {
        case 1: UInt64(try state.loadRM(instruction) as UInt16)
        case 2: UInt64(try state.loadRM(instruction) as UInt32)
        default: try state.loadRM(instruction)
        }
    }

    @inline(__always)
    private static func push64(_ state: State, _ value: UInt64) throws(CPUFault) {
        let stack = state[register: Register.rsp] &- 8
        try state.store(stack, value)
        state[register: Register.rsp] = stack
    }

    /// The faults of the push, which come before those of the target.
    @inline(never)
    private static func checkPush(
        _ state: State, _ instruction: UnsafePointer<Instruction>
    ) throws(CPUFault) {
        let size = 1 &<< Int(instruction.pointee.operandSize)
        let place = try state.stackAddress(state.stackPointer &- UInt64(size), size: size, isWrite: true)
        try state.probeWrite(place, size: size)
    }

    @inline(__always)
    private static func call(
        _ state: State, _ instruction: UnsafePointer<Instruction>, to target: UInt64
    ) throws(CPUFault) -> Outcome {
        let checked: UInt64
        do throws(CPUFault) { checked = try state.checkedTarget(instruction, target) } catch {
            try checkPush(state, instruction)
            throw state.generalProtection()
        }
        let next = state.next(instruction)
        switch instruction.pointee.operandSize {
        case 1: try state.push(UInt16(truncatingIfNeeded: next))
        case 2: try state.push(UInt32(truncatingIfNeeded: next))
        default: try push64(state, next)
        }
        state.pointee.rip = checked
        return .branch
    }

    /// LOOPNE, LOOPE, LOOP (E0...E2) and JCXZ (E3), whose counter is as wide as addresses.
    static let loop: Handler = {
        handle($0, $1) { state, instruction throws(CPUFault) in
            let mask = instruction.pointee.addressMask
            let opcode = instruction.pointee.opcode
            let counter = (state[register: Register.rcx] &- (opcode == 0xE3 ? 0 : 1)) & mask
            let isTaken =
                switch opcode {
                case 0xE0: counter != 0 && !state.zeroFlag
                case 0xE1: counter != 0 && state.zeroFlag
                case 0xE2: counter != 0
                default: counter == 0
                }
            let target = isTaken ? try state.checkedTarget(instruction, state.relativeTarget(instruction)) : 0
            if opcode != 0xE3 { state.setCounter(Register.rcx, counter, instruction) }
            guard isTaken else { return .next }
            state.pointee.rip = target
            return .branch
        }
    }
}

extension UnsafeMutablePointer where Pointee == CPUState {
    /// Writes a register that counts or indexes by the width of addresses.
    @inline(__always)
    func setCounter(_ index: Int, _ value: UInt64, _ instruction: UnsafePointer<Instruction>) {
        switch instruction.pointee.addressSize {
        case 3: self[register: index] = value
        case 2: self[register: index] = value & 0xFFFF_FFFF
        default: UInt16.write(self, UInt8(truncatingIfNeeded: index), UInt16(truncatingIfNeeded: value))
        }
    }
}
