// SPDX-License-Identifier: Apache-2.0

internal import CPUInterface
internal import MachineModel

extension UnsafeMutablePointer where Pointee == CPUState {
    /// #GP(0) unless IOPL or the TSS's bitmap allows the ports (SDM vol. 1, "I/O Permission Bit Map").
    func requirePort(_ port: UInt64, size: Int) throws(CPUFault) {
        guard isProtected, isVirtual8086 || pointee.cpl > ioPrivilege else { return }
        let task = segment(SegmentRegister.tr).pointee
        let mapPlace: UInt64 = 0x66
        guard task.attributes & SegmentAttribute.unusable == 0, task.attributes & 8 != 0,
            UInt64(task.limit) > mapPlace
        else { throw generalProtection() }
        let bits: UInt16 = try asSupervisor { () throws(CPUFault) in
            let map: UInt16 = try load(task.base &+ mapPlace)
            let offset = UInt64(map) &+ port >> 3
            guard offset &+ 1 <= UInt64(task.limit) else { throw generalProtection() }
            return try load(task.base &+ offset)
        }
        let mask = (UInt16(1) << UInt16(size)) &- 1
        guard bits >> UInt16(port & 7) & mask == 0 else { throw generalProtection() }
    }

    func readPort(_ port: UInt64, size: Int) -> UInt64 {
        notePort(port, size: size)
        return cpu.environment.ports.read(port & 0xFFFF, size: size)
    }

    func writePort(_ port: UInt64, size: Int, _ value: UInt64) {
        notePort(port, size: size)
        cpu.environment.ports.write(port & 0xFFFF, size: size, value: value)
    }

    /// Breakpoints on ports (CR4.DE).
    private func notePort(_ port: UInt64, size: Int) {
        guard pointee.cr4 & ControlRegister4.debuggingExtensions != 0, pointee.debug[7] & 0xFF != 0 else { return }
        for index in 0..<4 where DebugControl.kind(pointee.debug[7], index) == .port {
            guard DebugControl.isEnabled(pointee.debug[7], index) else { continue }
            let watch = Watch(
                address: pointee.debug[index] & 0xFFFF, count: DebugControl.length(pointee.debug[7], index),
                onRead: true, onWrite: true)
            if watch.matches(port & 0xFFFF, size: size, isWrite: false) {
                pointee.pendingDebug |= 1 << UInt64(index)
                cpu.raiseAttention(Attention.debugTrap)
            }
        }
    }
}

/// IN, OUT, INS, OUTS.
enum PortInstructions {
    @inline(__always)
    private static func bytes(_ instruction: UnsafePointer<Instruction>) -> Int {
        // There is no 64-bit port access: REX.W changes nothing.
        min(1 &<< Int(instruction.pointee.operandSize), 4)
    }

    @inline(__always)
    private static func port(_ state: State, _ instruction: UnsafePointer<Instruction>) -> UInt64 {
        instruction.pointee.opcode & 8 != 0
            ? state[register: Register.rdx] & 0xFFFF : instruction.pointee.immediate & 0xFF
    }

    static let input: Handler = {
        handle($0, $1) { state, instruction throws(CPUFault) in
            let size = bytes(instruction)
            let port = port(state, instruction)
            try state.requirePort(port, size: size)
            let value = state.readPort(port, size: size)
            switch size {
            case 1: UInt8.write(state, 0, UInt8(truncatingIfNeeded: value))
            case 2: UInt16.write(state, 0, UInt16(truncatingIfNeeded: value))
            default: UInt32.write(state, 0, UInt32(truncatingIfNeeded: value))
            }
            return state.pointee.attention == 0 ? .next : state.end(instruction, .branch)
        }
    }

    static let output: Handler = {
        handle($0, $1) { state, instruction throws(CPUFault) in
            let size = bytes(instruction)
            let port = port(state, instruction)
            try state.requirePort(port, size: size)
            state.writePort(port, size: size, UInt32.read(state, 0).masked(size))
            return state.pointee.attention == 0 ? .next : state.end(instruction, .branch)
        }
    }

    /// INS and OUTS, an element at a time.
    static let string: Handler = {
        handle($0, $1) { state, instruction throws(CPUFault) in
            let size = bytes(instruction)
            let port = state[register: Register.rdx] & 0xFFFF
            let mask = instruction.pointee.addressMask
            let isInput = instruction.pointee.opcode & 2 == 0
            let repeats = !instruction.pointee.prefixes.isDisjoint(with: [.repeatEqual, .repeatNotEqual])
            let isSingle = state.pointee.fetchKey & UInt64(CodeMode.singleBit) != 0
            try state.requirePort(port, size: size)
            var slices = StringLimit.slices
            while true {
                let count = state[register: Register.rcx] & mask
                if repeats, count == 0 { return .next }
                try isInput
                    ? inputElement(state, instruction, port, size) : outputElement(state, instruction, port, size)
                guard repeats else { break }
                state.setCounter(Register.rcx, count &- 1, instruction)
                if count == 1 { break }
                slices -= 1
                if state.pointee.attention != 0 || isSingle || slices == 0 {
                    state.suspendString(instruction)
                    return .branch
                }
            }
            return state.pointee.attention == 0 ? .next : state.end(instruction, .branch)
        }
    }

    private static func inputElement(
        _ state: State, _ instruction: UnsafePointer<Instruction>, _ port: UInt64, _ size: Int
    ) throws(CPUFault) {
        let place = try state.stringAddress(instruction, Register.rdi, size: size, isWrite: true)
        // A port's read may have effects, so that the store must not fault after it.
        try state.probeWrite(place, size: size)
        let value = state.readPort(port, size: size)
        switch size {
        case 1: try state.store(place, UInt8(truncatingIfNeeded: value))
        case 2: try state.store(place, UInt16(truncatingIfNeeded: value))
        default: try state.store(place, UInt32(truncatingIfNeeded: value))
        }
        state.advance(instruction, Register.rdi, size: size)
    }

    private static func outputElement(
        _ state: State, _ instruction: UnsafePointer<Instruction>, _ port: UInt64, _ size: Int
    ) throws(CPUFault) {
        let place = try state.stringAddress(instruction, Register.rsi, size: size)
        let value: UInt64
        switch size {
        case 1: value = UInt64(try state.load(place, as: UInt8.self))
        case 2: value = UInt64(try state.load(place, as: UInt16.self))
        default: value = UInt64(try state.load(place, as: UInt32.self))
        }
        state.writePort(port, size: size, value)
        state.advance(instruction, Register.rsi, size: size)
    }

    static func register(_ table: inout OpcodeTableBuilder) {
        for opcode: UInt8 in [0xE4, 0xE5, 0xEC, 0xED] {
            table.add(
                "IN", .primary, opcode, size: .byteOrVariable, immediate: opcode < 0xE8 ? .byteUnsigned : .none,
                .system, run: input)
        }
        for opcode: UInt8 in [0xE6, 0xE7, 0xEE, 0xEF] {
            table.add(
                "OUT", .primary, opcode, size: .byteOrVariable, immediate: opcode < 0xE8 ? .byteUnsigned : .none,
                .system, run: output)
        }
        for opcode: UInt8 in 0x6C...0x6F {
            table.add(
                opcode < 0x6E ? "INS" : "OUTS", .primary, opcode, size: .byteOrVariable, .system, run: string)
        }
    }
}

extension UInt32 {
    /// The low `size` bytes.
    @inline(__always)
    fileprivate func masked(_ size: Int) -> UInt64 {
        size >= 4 ? UInt64(self) : UInt64(self) & (1 << UInt64(size * 8) - 1)
    }
}
