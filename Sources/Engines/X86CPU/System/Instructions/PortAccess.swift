// SPDX-License-Identifier: Apache-2.0

internal import MachineModel

// IN, OUT, INS, OUTS (SDM vol. 1, "Input/Output").
extension UnsafeMutablePointer where Pointee == CPUState {
    /// Whether the current privilege may access `size` ports from `port` on: IOPL, then the bitmap of the TSS.
    func checkPort(_ port: UInt16, size: Int) throws(CPUFault) {
        guard isProtected else { return }
        let privilege = UInt8(truncatingIfNeeded: (pointee.systemFlags & Flag.ioPrivilege) >> 12)
        if !isVirtual8086, pointee.cpl <= privilege { return }
        let task = segment(SegmentRegister.tr).pointee
        // The type of a 32- or 64-bit TSS, available or busy; 16-bit ones have no bitmap.
        let type = task.attributes & 0xF
        guard task.attributes & SegmentAttribute.present != 0, type == 9 || type == 11, task.limit >= 0x67 else {
            throw generalProtection()
        }
        let start: UInt16 = try asSupervisor { () throws(CPUFault) in try load(task.base &+ 0x66) }
        let offset = UInt64(start) &+ UInt64(port >> 3)
        // Two bytes are read always, so both must lie inside the TSS.
        guard offset &+ 1 <= UInt64(task.limit) else { throw generalProtection() }
        let bits: UInt16 = try asSupervisor { () throws(CPUFault) in try load(task.base &+ offset) }
        let mask = UInt16((1 << size) - 1) << (port & 7)
        if bits & mask != 0 { throw generalProtection() }
    }

    /// Bytes that IN, OUT, INS and OUTS move: never more than four.
    @inline(__always)
    fileprivate func portSize(_ instruction: UnsafePointer<Instruction>) -> Int {
        instruction.pointee.opcode & 1 == 0 ? 1 : instruction.pointee.operandSize == 1 ? 2 : 4
    }

    func input(_ instruction: UnsafePointer<Instruction>, port: UInt16) throws(CPUFault) -> Outcome {
        let size = portSize(instruction)
        try checkPort(port, size: size)
        let value = cpu.environment.ports.read(UInt64(port), size: size)
        switch size {
        case 1: UInt8.write(self, 0, UInt8(truncatingIfNeeded: value))
        case 2: UInt16.write(self, 0, UInt16(truncatingIfNeeded: value))
        default: UInt32.write(self, 0, UInt32(truncatingIfNeeded: value))
        }
        try noteAccess(port: port, size: size)
        return .next
    }

    func output(_ instruction: UnsafePointer<Instruction>, port: UInt16) throws(CPUFault) -> Outcome {
        let size = portSize(instruction)
        try checkPort(port, size: size)
        let value = self[register: Register.rax] & (size == 4 ? 0xFFFF_FFFF : (1 << UInt64(size * 8)) - 1)
        cpu.environment.ports.write(UInt64(port), size: size, value: value)
        try noteAccess(port: port, size: size)
        // The device may have asked for an interrupt, a reset or the end: look before the next instruction.
        pointee.rip = nextIP(instruction)
        return .branch
    }

    /// One element of INS or OUTS.
    private func stringElement(_ instruction: UnsafePointer<Instruction>, isInput: Bool) throws(CPUFault) {
        let size = portSize(instruction)
        let port = UInt16(truncatingIfNeeded: self[register: Register.rdx])
        try checkPort(port, size: size)
        let register = isInput ? Register.rdi : Register.rsi
        let address = try stringAddress(instruction, register, size: size, isWrite: isInput)
        if isInput {
            // The store must not fault after the device was read.
            try probeWrite(address, size: size)
            let value = cpu.environment.ports.read(UInt64(port), size: size)
            switch size {
            case 1: try store(address, UInt8(truncatingIfNeeded: value))
            case 2: try store(address, UInt16(truncatingIfNeeded: value))
            default: try store(address, UInt32(truncatingIfNeeded: value))
            }
        } else {
            let value: UInt64
            switch size {
            case 1: value = UInt64(try load(address, as: UInt8.self))
            case 2: value = UInt64(try load(address, as: UInt16.self))
            default: value = UInt64(try load(address, as: UInt32.self))
            }
            cpu.environment.ports.write(UInt64(port), size: size, value: value)
        }
        advance(instruction, register, size: size)
        try noteAccess(port: port, size: size)
    }

    /// INS and OUTS with or without REP; a REP stops between elements when attention is wanted, and goes on when the
    /// instruction is run again.
    func stringAccess(_ instruction: UnsafePointer<Instruction>, isInput: Bool) throws(CPUFault) -> Outcome {
        let repeats: Instruction.Prefixes = [.repeatEqual, .repeatNotEqual]
        if instruction.pointee.prefixes.isDisjoint(with: repeats) {
            try stringElement(instruction, isInput: isInput)
            pointee.rip = nextIP(instruction)
            return .branch
        }
        let mask = instruction.pointee.addressMask
        while self[register: Register.rcx] & mask != 0 {
            try stringElement(instruction, isInput: isInput)
            setCounter(Register.rcx, self[register: Register.rcx] &- 1, instruction)
            if pointee.attention != 0, self[register: Register.rcx] & mask != 0 {
                pointee.rip = ownIP(instruction)
                return .branch
            }
        }
        pointee.rip = nextIP(instruction)
        return .branch
    }

    /// An I/O breakpoint of the guest's (DR7 type 2 with CR4.DE) traps after the access.
    private func noteAccess(port: UInt16, size: Int) throws(CPUFault) {
        let control = pointee.debug[7]
        guard control & 0xFF != 0, pointee.cr4 & ControlRegister4.debuggingExtensions != 0 else { return }
        for number in 0..<4 where control >> UInt64(number * 2) & 3 != 0 {
            let kind = control >> UInt64(16 + number * 4) & 3
            guard kind == 2 else { continue }
            let length = UInt64([1, 2, 8, 4][Int(control >> UInt64(18 + number * 4) & 3)])
            let first = pointee.debug[number] & ~(length - 1)
            if UInt64(port) < first &+ length, first < UInt64(port) &+ UInt64(size) {
                pointee.pendingDebug |= 1 << UInt64(number)
                cpu.raiseAttention(Attention.debugTrap)
            }
        }
    }
}

extension OpcodeTable {
    static func registerPortRows(_ table: inout OpcodeTableBuilder) {
        for opcode: UInt8 in [0xE4, 0xE5] {
            table.add("IN", .primary, opcode, immediate: .byteUnsigned, .system) { state, instruction in
                handle(state, instruction) { state, instruction throws(CPUFault) in
                    try state.input(instruction, port: UInt16(truncatingIfNeeded: instruction.pointee.immediate))
                }
            }
            table.add("OUT", .primary, opcode + 2, immediate: .byteUnsigned, [.endsBlock, .system]) {
                state, instruction in
                handle(state, instruction) { state, instruction throws(CPUFault) in
                    try state.output(instruction, port: UInt16(truncatingIfNeeded: instruction.pointee.immediate))
                }
            }
            table.add("IN", .primary, opcode + 8, .system) { state, instruction in
                handle(state, instruction) { state, instruction throws(CPUFault) in
                    try state.input(instruction, port: UInt16(truncatingIfNeeded: state[register: Register.rdx]))
                }
            }
            table.add("OUT", .primary, opcode + 10, [.endsBlock, .system]) { state, instruction in
                handle(state, instruction) { state, instruction throws(CPUFault) in
                    try state.output(instruction, port: UInt16(truncatingIfNeeded: state[register: Register.rdx]))
                }
            }
        }
        for opcode: UInt8 in [0x6C, 0x6D] {
            table.add("INS", .primary, opcode, [.endsBlock, .system]) { state, instruction in
                handle(state, instruction) { state, instruction throws(CPUFault) in
                    try state.stringAccess(instruction, isInput: true)
                }
            }
            table.add("OUTS", .primary, opcode + 2, [.endsBlock, .system]) { state, instruction in
                handle(state, instruction) { state, instruction throws(CPUFault) in
                    try state.stringAccess(instruction, isInput: false)
                }
            }
        }
    }
}
