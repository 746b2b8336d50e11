// SPDX-License-Identifier: Apache-2.0

internal import X86CPU

// Instructions with code of their own: the stack, addresses, constants, division.
extension BlockTranslator {
    mutating func emitSpecial(_ index: Int) {
        let item = body[index]
        defer { noteFlags(item) }
        if item.raw.map == 1 {
            return item.raw.opcode < 0xC0 ? emitBitString(index) : emitByteSwap(item)
        }
        if !is64, emitLegacy(index) { return }
        switch item.raw.opcode {
        case 0x50...0x57: emitPush(index, register: item.raw.opcodeRegister)
        case 0x58...0x5F: emitPop(index, item.raw.opcodeRegister)
        case 0x68, 0x6A: emitPushImmediate(index)
        case 0xC9: emitLeave(index)
        case 0x8D: emitLoadAddress(index)
        case 0x90...0x97: emitExchange(item)
        case 0xB0...0xBF: emitConstant(item)
        case 0xF6, 0xF7: emitDivision(index)
        default: emitPushMemory(index)
        }
    }

    // MARK: stack

    private static let word = 8
    private static let stack = Host.guestStack

    mutating func moveStack(_ distance: Int32) {
        emitter.address(Self.stack, .memory(Self.stack, distance))
    }

    /// Reaches the word of the stack that an instruction pushes or pops.
    private mutating func reachStack(_ index: Int, isWrite: Bool) -> Access {
        prepareReach(index, .stack)
        return reach(index, .stack, bytes: Self.word, isWrite: isWrite)
    }

    private mutating func emitPush(_ index: Int, register: UInt8) {
        let access = reachStack(index, isWrite: true)
        emitter.store(access.place, fetch(register, into: Host.scratch1))
        moveStack(Int32(-Self.word))
        interpretSlowly(index, access)
    }

    private mutating func emitPushImmediate(_ index: Int) {
        let access = reachStack(index, isWrite: true)
        emitter.op(0xC7, 0, access.place)
        emitter.long(Int32(truncatingIfNeeded: body[index].instruction.immediate))
        moveStack(Int32(-Self.word))
        interpretSlowly(index, access)
    }

    private mutating func emitPushMemory(_ index: Int) {
        let item = body[index]
        guard !Self.isOutOfReach(item) else { return emitByInterpreter(index) }
        prepareClobber(item)
        // The interpreter comes back behind the instruction, where the stack's group counts as reached.
        reachGroup(index, .stack)
        let source = reach(index, .operand, bytes: Self.word, isWrite: false)
        emitter.load(Host.scratch0, source.place)
        held = nil
        emitter.store(.state(StateLayout.stash), Host.scratch0)
        let access = reach(index, .stack, bytes: Self.word, isWrite: true)
        emitter.load(Host.scratch1, .state(StateLayout.stash))
        emitter.store(access.place, Host.scratch1)
        moveStack(Int32(-Self.word))
        interpretSlowly(index, source)
        interpretSlowly(index, access)
    }

    private mutating func emitPop(_ index: Int, _ register: UInt8) {
        let access = reachStack(index, isWrite: false)
        if let host = Host.of(register) {
            emitter.load(host, access.place)
        } else {
            emitter.load(Host.scratch0, access.place)
            emitter.store(Self.slot(register), Host.scratch0)
        }
        // POP RSP leaves what was popped.
        if Host.of(register) != Self.stack { moveStack(Int32(Self.word)) }
        interpretSlowly(index, access)
    }

    private mutating func emitLeave(_ index: Int) {
        let access = reachStack(index, isWrite: false)
        emitter.address(Self.stack, .memory(Host.rbp, Int32(Self.word)))
        emitter.load(Host.rbp, access.place)
        interpretSlowly(index, access)
    }

    // MARK: addresses, constants

    mutating func emitByInterpreter(_ index: Int) {
        held = nil
        saveFlags()
        emitter.constant(Host.scratch1, UInt32(site(index)))
        emitter.call(stubs.interpret)
        flags = .both
    }

    private mutating func emitLoadAddress(_ index: Int) {
        let item = body[index]
        if Self.isOutOfReach(item) { return emitByInterpreter(index) }
        let size = item.instruction.operandSize
        if let host = Host.of(item.raw.reg), size > 1, let place = registerPlace(item.instruction) {
            return emitter.address(host, place, wide: size == 3)
        }
        emitAddress(item, addsSegment: false)
        if let host = Host.of(item.raw.reg) {
            emitter.instruction(
                Encoding(prefix: size == 1 ? 0x66 : 0, isWide: size == 3), 0x8B, reg: host,
                .register(Host.scratch0))
        } else if size == 1 {
            emitter.instruction(Encoding(prefix: 0x66), 0x89, reg: Host.scratch0, Self.slot(item.raw.reg))
        } else {
            if size == 2 { emitter.move(Host.scratch0, Host.scratch0, wide: false) }
            emitter.store(Self.slot(item.raw.reg), Host.scratch0)
        }
    }

    /// A 64-bit address whose registers all lie in the host's.
    func registerPlace(_ instruction: Instruction) -> Place? {
        guard instruction.addressSize == 3, instruction.base < 16, let base = Host.of(instruction.base) else {
            return nil
        }
        var place = Place.memory(base, Int32(truncatingIfNeeded: instruction.displacement))
        if instruction.index < 16 {
            guard let index = Host.of(instruction.index) else { return nil }
            place.index = index
            place.scale = instruction.scale
        }
        return place
    }

    /// XCHG with RAX by the opcode's register.
    private mutating func emitExchange(_ item: BlockInstruction) {
        let guest = item.raw.opcodeRegister
        let register = fetch(guest, into: Host.scratch0)
        let size = item.instruction.operandSize
        emitter.instruction(
            Encoding(prefix: size == 1 ? 0x66 : 0, isWide: size == 3), 0x87, reg: Host.rax,
            .register(register))
        if Host.of(guest) == nil { emitter.store(Self.slot(guest), register) }
    }

    /// MOV register, immediate.
    private mutating func emitConstant(_ item: BlockInstruction) {
        let guest = item.raw.opcodeRegister
        let value = item.instruction.immediate
        if item.raw.opcode < 0xB8 {
            return emitByteConstant(item, guest, UInt8(truncatingIfNeeded: value))
        }
        let register = fetch(guest, into: Host.scratch0)
        switch item.instruction.operandSize {
        case 1:
            emitter.instruction(Encoding(prefix: 0x66), 0xC7, reg: 0, .register(register))
            emitter.byte(UInt8(truncatingIfNeeded: value))
            emitter.byte(UInt8(truncatingIfNeeded: value >> 8))
        case 2: emitter.constant(register, UInt32(truncatingIfNeeded: value))
        default: emitter.pointer(register, value)
        }
        if Host.of(guest) == nil { emitter.store(Self.slot(guest), register) }
    }

    private mutating func emitByteConstant(_ item: BlockInstruction, _ guest: UInt8, _ value: UInt8) {
        let isHigh = item.raw.rex == 0 && guest >= 4
        let register = isHigh ? guest : fetch(guest, into: Host.scratch0)
        emitter.instruction(Encoding(needsREX: item.raw.rex != 0), 0xC6, reg: 0, .register(register))
        emitter.byte(value)
        if !isHigh, Host.of(guest) == nil { emitter.store(Self.slot(guest), register) }
    }

    private mutating func emitByteSwap(_ item: BlockInstruction) {
        let guest = item.raw.opcodeRegister
        let register = fetch(guest, into: Host.scratch0)
        let rex: UInt8 = (item.raw.isWide ? 0x48 : 0x40) | register >> 3
        emitter.bytes(rex, 0x0F, 0xC8 | register & 7)
        if Host.of(guest) == nil { emitter.store(Self.slot(guest), register) }
    }

    // MARK: division

    /// DIV and IDIV of 32 and 64 bits. What might raise #DE is left to the interpreter.
    private mutating func emitDivision(_ index: Int) {
        let item = body[index]
        guard !(item.raw.isMemory && Self.isOutOfReach(item)) else { return emitByInterpreter(index) }
        prepareClobber(item)
        let wide = item.instruction.operandSize == 3
        let divisor = Host.scratch0
        var source = Access(place: .memory(divisor))
        var slow: [UnsafeMutablePointer<UInt8>] = []
        if item.raw.isMemory {
            let access = reach(index, .operand, bytes: wide ? 8 : 4, isWrite: false)
            emitter.load(divisor, access.place, wide: wide)
            source = access
        } else {
            emitter.move(divisor, fetch(item.raw.rm, into: divisor), wide: wide)
        }
        if item.raw.digit == 6 {
            // The quotient fits where the high half is below the divisor, which is not 0 then.
            emitter.op(0x3B, Host.rdx, .register(divisor), wide: wide)
            slow.append(emitter.jump(if: Emitter.ifAboveOrEqual))
        } else {
            // It fits where the high half is the sign of the low one, and the divisor neither 0 nor -1.
            let sign = Host.scratch1
            emitter.move(sign, Host.rax, wide: wide)
            emitter.op(0xC1, 7, .register(sign), wide: wide)
            emitter.byte(wide ? 63 : 31)
            emitter.op(0x3B, sign, .register(Host.rdx), wide: wide)
            slow.append(emitter.jump(if: Emitter.ifNotEqual))
            emitter.address(sign, .memory(divisor, 1), wide: wide)
            emitter.arithmetic(7, .register(sign), 1, wide: wide)
            slow.append(emitter.jump(if: Emitter.ifBelowOrEqual))
        }
        emitter.op(0xF7, item.raw.digit, .register(divisor), wide: wide)
        source.slow += slow
        interpretSlowly(index, source)
    }
}
