// SPDX-License-Identifier: Apache-2.0

/// MOV, PUSH and POP of segment registers, LDS and its kind, far transfers, INT and IRET.
enum SegmentInstructions {
    /// Loads a segment register and says how to go on.
    @inline(__always)
    private static func load(
        _ state: State, _ instruction: UnsafePointer<Instruction>, _ index: Int, _ selector: UInt16
    ) throws(CPUFault) -> Outcome {
        try state.loadSegment(index, selector)
        if index == SegmentRegister.ss {
            // What follows belongs to it: no interrupt and no debug trap in between.
            state.pointee.shadow = .all
            return .exit
        }
        return state.is64Bit ? .next : .exit
    }

    static let moveFrom: Handler = {
        handle($0, $1) { state, instruction throws(CPUFault) in
            let index = Int(instruction.pointee.reg & 7)
            guard index < 6 else { throw state.fault(Vector.invalidOpcode) }
            try state.storeSelector(instruction, state.segment(index).pointee.selector)
            return .next
        }
    }

    static let moveTo: Handler = {
        handle($0, $1) { state, instruction throws(CPUFault) in
            let index = Int(instruction.pointee.reg & 7)
            guard index < 6, index != SegmentRegister.cs else { throw state.fault(Vector.invalidOpcode) }
            let outcome = try load(state, instruction, index, try state.loadSelector(instruction))
            return outcome == .exit ? state.end(instruction) : outcome
        }
    }

    /// The register that a one- or two-byte PUSH or POP names.
    @inline(__always)
    private static func implied(_ instruction: UnsafePointer<Instruction>) -> Int {
        Int(instruction.pointee.opcode >> 3 & 7)
    }

    static let push: Handler = {
        handle($0, $1) { state, instruction throws(CPUFault) in
            let selector = state.segment(implied(instruction)).pointee.selector
            switch instruction.pointee.operandSize {
            case 1: try state.push(selector)
            case 2: try state.push(UInt32(selector))
            default: try state.push(UInt64(selector))
            }
            return .next
        }
    }

    static let pop: Handler = {
        handle($0, $1) { state, instruction throws(CPUFault) in
            let size = UInt64(1) &<< UInt64(instruction.pointee.operandSize)
            let selector: UInt16 = try state.peekStack()
            let pointer = state.stackPointer &+ size
            let width = state.pointee.stackWidth
            let outcome = try load(state, instruction, implied(instruction), selector)
            // The pointer is as wide as the stack was before.
            let newWidth = state.pointee.stackWidth
            state.pointee.stackWidth = width
            state.setStackPointer(pointer)
            state.pointee.stackWidth = newWidth
            return outcome == .exit ? state.end(instruction) : outcome
        }
    }

    /// LES, LDS, LSS, LFS, LGS; `detail` is the register.
    static let loadFarPointer: Handler = {
        handle($0, $1) { state, instruction throws(CPUFault) in
            let (selector, offset) = try farOperand(state, instruction)
            let index = Int(instruction.pointee.detail)
            let shadow = state.pointee.shadow
            let outcome = try load(state, instruction, index, selector)
            // LSS brings the pointer with it and needs no protection of what follows.
            state.pointee.shadow = shadow
            state.writeRegister(instruction.pointee.reg, offset, size: instruction.pointee.operandSize)
            return outcome == .exit ? state.end(instruction) : outcome
        }
    }

    /// A far pointer in memory.
    @inline(__always)
    private static func farOperand(
        _ state: State, _ instruction: UnsafePointer<Instruction>
    ) throws(CPUFault) -> (selector: UInt16, offset: UInt64) {
        let size = 1 &<< Int(instruction.pointee.operandSize)
        let place = try state.address(instruction, size: size &+ 2)
        let offset: UInt64
        switch size {
        case 2: offset = UInt64(try state.load(place, as: UInt16.self))
        case 4: offset = UInt64(try state.load(place, as: UInt32.self))
        default: offset = try state.load(place)
        }
        return (try state.load(place &+ UInt64(size)), offset)
    }

    /// Runs a transfer that may switch tasks. A fault of the new task does not belong to this instruction.
    @inline(__always)
    private static func transfer(_ state: State, _ body: () throws(CPUFault) -> Void) throws(CPUFault) -> Outcome {
        do throws(CPUFault) { try body() } catch {
            guard state.pointee.hasTaskFault else { throw error }
        }
        return .exit
    }

    static let jumpDirect: Handler = {
        handle($0, $1) { state, instruction throws(CPUFault) in
            return try transfer(state) { () throws(CPUFault) in
                try state.farJump(
                    UInt16(truncatingIfNeeded: instruction.pointee.immediate >> 32),
                    instruction.pointee.immediate & 0xFFFF_FFFF, width: instruction.pointee.operandSize,
                    returnIP: state.nextIP(instruction))
            }
        }
    }

    static let callDirect: Handler = {
        handle($0, $1) { state, instruction throws(CPUFault) in
            return try transfer(state) { () throws(CPUFault) in
                try state.farCall(
                    UInt16(truncatingIfNeeded: instruction.pointee.immediate >> 32),
                    instruction.pointee.immediate & 0xFFFF_FFFF, width: instruction.pointee.operandSize,
                    returnIP: state.nextIP(instruction))
            }
        }
    }

    static let jumpIndirect: Handler = {
        handle($0, $1) { state, instruction throws(CPUFault) in
            let (selector, offset) = try farOperand(state, instruction)
            return try transfer(state) { () throws(CPUFault) in
                try state.farJump(
                    selector, offset, width: instruction.pointee.operandSize, returnIP: state.nextIP(instruction))
            }
        }
    }

    static let callIndirect: Handler = {
        handle($0, $1) { state, instruction throws(CPUFault) in
            let (selector, offset) = try farOperand(state, instruction)
            return try transfer(state) { () throws(CPUFault) in
                try state.farCall(
                    selector, offset, width: instruction.pointee.operandSize, returnIP: state.nextIP(instruction))
            }
        }
    }

    static let farReturn: Handler = {
        handle($0, $1) { state, instruction throws(CPUFault) in
            try state.farReturn(width: instruction.pointee.operandSize, released: instruction.pointee.immediate)
            return .exit
        }
    }

    static let interruptReturn: Handler = {
        handle($0, $1) { state, instruction throws(CPUFault) in
            try transfer(state) { () throws(CPUFault) in
                try state.interruptReturn(width: instruction.pointee.operandSize, returnIP: state.nextIP(instruction))
            }
        }
    }

    /// INT3, INT n, INT1 and INTO.
    static let interrupt: Handler = {
        handle($0, $1) { state, instruction throws(CPUFault) in
            var event = PendingEvent(
                vector: Vector.breakpoint, origin: .software, errorCode: nil, returnIP: state.nextIP(instruction))
            switch instruction.pointee.opcode {
            case 0xCC: break
            case 0xCD:
                event.vector = UInt8(truncatingIfNeeded: instruction.pointee.immediate)
                if state.isVirtual8086 {
                    if state.pointee.cr4 & ControlRegister4.virtual8086 != 0,
                        try state.isRedirected(event.vector)
                    {
                        try state.deliverVirtual8086(event)
                        state.pointee.stepsByResult = true
                        return .exit
                    }
                    if state.ioPrivilege < 3 { throw state.generalProtection() }
                }
            case 0xCE:
                guard state.overflowFlag else { return .next }
                event.vector = Vector.overflow
            default:
                event.vector = Vector.debug
                event.origin = .external
                // Traps that wait from a load of SS before it become one with its own.
                state.pointee.pendingDebug = 0
            }
            // The handler begins with TF clear, and INT itself does not trap.
            state.pointee.stepsByResult = true
            return try transfer(state) { () throws(CPUFault) in try state.deliver(event) }
        }
    }

    static func register(_ table: inout OpcodeTableBuilder) {
        let system: RowFlags = [.modRM, .system]
        let ending: RowFlags = [.endsBlock, .system, .implicitStack]
        table.add("MOV", .primary, 0x8C, system, run: moveFrom)
        table.add("MOV", .primary, 0x8E, system, run: moveTo)
        for opcode: UInt8 in [0x06, 0x0E, 0x16, 0x1E] {
            table.add("PUSH", .primary, opcode, widths: .legacy, [.system, .implicitStack], run: push)
            if opcode != 0x0E {
                table.add("POP", .primary, opcode + 1, widths: .legacy, [.system, .implicitStack], run: pop)
            }
        }
        for opcode: UInt8 in [0xA0, 0xA8] {
            table.add("PUSH", .map0F, opcode, size: .stack, [.system, .implicitStack], run: push)
            table.add("POP", .map0F, opcode + 1, size: .stack, [.system, .implicitStack], run: pop)
        }
        let pointers: [(String, OpcodeMap, UInt8, Int, CodeWidths)] = [
            ("LES", .primary, 0xC4, SegmentRegister.es, .legacy), ("LDS", .primary, 0xC5, SegmentRegister.ds, .legacy),
            ("LSS", .map0F, 0xB2, SegmentRegister.ss, .all), ("LFS", .map0F, 0xB4, SegmentRegister.fs, .all),
            ("LGS", .map0F, 0xB5, SegmentRegister.gs, .all),
        ]
        for (name, map, opcode, index, widths) in pointers {
            table.add(name, map, opcode, mod: .memory, widths: widths, system) { instruction, _ in
                instruction.detail = UInt8(index)
                return loadFarPointer
            }
        }
        table.add("JMPF", .primary, 0xEA, widths: .legacy, immediate: .farPointer, ending, run: jumpDirect)
        table.add("CALLF", .primary, 0x9A, widths: .legacy, immediate: .farPointer, ending, run: callDirect)
        table.add("CALLF", .primary, 0xFF, digit: 3, mod: .memory, ending.union(.modRM), run: callIndirect)
        table.add("JMPF", .primary, 0xFF, digit: 5, mod: .memory, ending.union(.modRM), run: jumpIndirect)
        table.add("RETF", .primary, 0xCA, immediate: .word, ending, run: farReturn)
        table.add("RETF", .primary, 0xCB, ending, run: farReturn)
        table.add("IRET", .primary, 0xCF, ending, run: interruptReturn)
        table.add("INT3", .primary, 0xCC, ending, run: interrupt)
        table.add("INT", .primary, 0xCD, immediate: .byteUnsigned, ending, run: interrupt)
        table.add("INTO", .primary, 0xCE, widths: .legacy, ending, run: interrupt)
        table.add("INT1", .primary, 0xF1, ending, run: interrupt)
    }
}
