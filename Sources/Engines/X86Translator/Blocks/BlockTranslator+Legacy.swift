// SPDX-License-Identifier: Apache-2.0

internal import X86CPU

// What 32-bit code has differently: stack words of four bytes, addresses that end at 4 GiB, INC and DEC of one byte, MOV by
// a plain offset.
extension BlockTranslator {
    var is64: Bool { UInt8(truncatingIfNeeded: key) & StateLayout.codeWidthMask == StateLayout.codeWidth64 }

    private static let word = 4
    private static let stack = Host.guestStack

    /// Whether the memory operand of an instruction of 32-bit code is one that translated code reaches: by 32-bit
    /// addresses, in a segment that begins at 0, or in FS or GS where they have no limit.
    func isReachable(_ decoded: DecodedInstruction) -> Bool {
        let instruction = decoded.instruction
        guard instruction.prefixes.contains(.memory) else { return true }
        guard instruction.addressSize == 2 else { return false }
        guard instruction.prefixes.contains(.checkedSegment) else { return true }
        switch instruction.segment {
        case 4: return mode.isFSOpen
        case 5: return mode.isGSOpen
        default: return false
        }
    }

    /// What only 32-bit code has, or has with other words.
    /// - Returns: false for what both have alike.
    mutating func emitLegacy(_ index: Int) -> Bool {
        let item = body[index]
        guard item.raw.map == 0 else { return false }
        switch item.raw.opcode {
        case 0x40...0x4F: emitStep(item)
        case 0x50...0x57: emitLegacyPush(index) { block in block.fetch(item.raw.opcodeRegister, into: Host.scratch1) }
        case 0x58...0x5F: emitLegacyPop(index, item.raw.opcodeRegister)
        case 0x68, 0x6A:
            emitLegacyPush(index) { block in
                block.emitter.constant(Host.scratch1, UInt32(truncatingIfNeeded: item.instruction.immediate))
                return Host.scratch1
            }
        case 0xA0...0xA3: emitOffsetMove(index)
        case 0xC9: emitLegacyLeave(index)
        case 0xFF where item.raw.digit == 6: emitLegacyPushMemory(index)
        default: return false
        }
        return true
    }

    /// INC and DEC, whose opcodes are prefixes in 64-bit code.
    private mutating func emitStep(_ item: BlockInstruction) {
        prepareFlags(item)
        let register = fetch(item.raw.opcodeRegister, into: Host.scratch0)
        emitter.instruction(
            Encoding(prefix: item.instruction.operandSize == 1 ? 0x66 : 0), 0xFF, reg: item.raw.opcode >> 3 & 1,
            .register(register))
    }

    private mutating func emitOffsetMove(_ index: Int) {
        let item = body[index]
        prepareClobber(item)
        emitAddress(item)
        let size = item.instruction.operandSize
        let isStore = item.raw.opcode >= 0xA2
        let slow = emitLookup(bytes: 1 << Int(size), isWrite: isStore)
        emitter.instruction(
            Encoding(prefix: size == 1 ? 0x66 : 0), (isStore ? 0x88 : 0x8A) | (size == 0 ? 0 : 1), reg: Host.rax,
            pairedOperand())
        interpretSlowly(index, slow)
    }

    // MARK: stack

    private mutating func moveLegacyStack(_ distance: Int) {
        emitter.address(Self.stack, .memory(Self.stack, Int32(distance)), wide: false)
    }

    private mutating func lookUpLegacyPush() -> [UnsafeMutablePointer<UInt8>] {
        emitter.address(Host.scratch0, .memory(Self.stack, Int32(-Self.word)), wide: false)
        return emitLookup(bytes: Self.word, isWrite: true)
    }

    /// - Parameter value: puts what is pushed in a register that it names, without scratch0.
    private mutating func emitLegacyPush(_ index: Int, _ value: (inout BlockTranslator) -> UInt8) {
        prepareClobber(body[index])
        let slow = lookUpLegacyPush()
        let place = singleOperand()
        emitter.store(place, value(&self), wide: false)
        moveLegacyStack(-Self.word)
        interpretSlowly(index, slow)
    }

    private mutating func emitLegacyPushMemory(_ index: Int) {
        let item = body[index]
        prepareClobber(item)
        emitAddress(item)
        var slow = emitLookup(bytes: Self.word, isWrite: false)
        emitter.load(Host.scratch0, pairedOperand(), wide: false)
        emitter.store(.state(StateLayout.stash), Host.scratch0)
        slow += lookUpLegacyPush()
        let place = singleOperand()
        emitter.load(Host.scratch1, .state(StateLayout.stash), wide: false)
        emitter.store(place, Host.scratch1, wide: false)
        moveLegacyStack(-Self.word)
        interpretSlowly(index, slow)
    }

    private mutating func emitLegacyPop(_ index: Int, _ register: UInt8) {
        prepareClobber(body[index])
        emitter.move(Host.scratch0, Self.stack, wide: false)
        let slow = emitLookup(bytes: Self.word, isWrite: false)
        // Registers 0...7 all lie in host registers.
        let host = Host.of(register) ?? Host.scratch0
        emitter.load(host, pairedOperand(), wide: false)
        if host != Self.stack { moveLegacyStack(Self.word) }
        interpretSlowly(index, slow)
    }

    private mutating func emitLegacyLeave(_ index: Int) {
        prepareClobber(body[index])
        emitter.move(Host.scratch0, Host.rbp, wide: false)
        let slow = emitLookup(bytes: Self.word, isWrite: false)
        let place = pairedOperand()
        emitter.address(Self.stack, .memory(Host.rbp, Int32(Self.word)), wide: false)
        emitter.load(Host.rbp, place, wide: false)
        interpretSlowly(index, slow)
    }

    // MARK: flow

    /// - Returns: false for jumps, which both kinds of code have alike.
    mutating func emitLegacyFlow(_ index: Int) -> Bool {
        let item = body[index]
        guard item.raw.map == 0 else { return false }
        switch item.raw.opcode {
        case 0xE8:
            emitLegacyPushReturn(index)
            emitTransfer(to: item.nearTarget ?? 0, item)
        case 0xC2, 0xC3: emitLegacyReturn(index)
        case 0xFF: emitLegacyIndirect(index)
        default: return false
        }
        return true
    }

    private mutating func emitLegacyPushReturn(_ index: Int) {
        let end = Int32(body[index].end)
        emitLegacyPush(index) { block in
            block.emitter.load(Host.scratch1, .state(StateLayout.codePage))
            block.emitter.address(Host.scratch1, .memory(Host.scratch1, end), wide: false)
            return Host.scratch1
        }
    }

    private mutating func emitLegacyReturn(_ index: Int) {
        let item = body[index]
        prepareClobber(item)
        emitter.move(Host.scratch0, Self.stack, wide: false)
        let slow = emitLookup(bytes: Self.word, isWrite: false)
        emitter.load(Host.scratch0, pairedOperand(), wide: false)
        let released = item.raw.opcode == 0xC2 ? Int(truncatingIfNeeded: item.instruction.immediate) : 0
        moveLegacyStack(Self.word + released)
        interpretSlowly(index, slow)
        emitJumpThroughTable()
    }

    private mutating func emitLegacyIndirect(_ index: Int) {
        let item = body[index]
        let isCall = item.raw.digit == 2
        prepareClobber(item)
        if item.raw.isMemory {
            emitAddress(item)
            let slow = emitLookup(bytes: Self.word, isWrite: false)
            emitter.load(Host.scratch0, pairedOperand(), wide: false)
            interpretSlowly(index, slow)
        } else {
            emitter.move(Host.scratch0, fetch(item.raw.rm, into: Host.scratch0), wide: false)
        }
        if isCall {
            emitter.store(.state(StateLayout.stash), Host.scratch0)
            emitLegacyPushReturn(index)
            emitter.load(Host.scratch0, .state(StateLayout.stash))
        }
        emitJumpThroughTable()
    }
}
