// SPDX-License-Identifier: Apache-2.0

internal import X86CPU

// MOVS, STOS and LODS going up. A repeated one runs as the host's where all of it lies in one page (of source and of
// target); what is longer the interpreter does page by page.
extension BlockTranslator {
    static func isPlainString(_ raw: RawInstruction, _ instruction: Instruction) -> Bool {
        let flat: UInt8 = 8
        guard instruction.addressSize == (raw.is64 ? 3 : 2), !instruction.prefixes.contains(.checkedSegment) else {
            return false
        }
        if raw.opcode == 0xAC || raw.opcode == 0xAD { return raw.repeatPrefix == 0 && instruction.segment == flat }
        return instruction.segment == flat || raw.opcode == 0xAA || raw.opcode == 0xAB
    }

    mutating func emitString(_ index: Int) {
        let item = body[index]
        prepareClobber(item)
        emitter.op(0xF7, 0, .state(StateLayout.systemFlags), wide: false)
        emitter.long(SystemValue.directionFlag)
        var slow = [emitter.jump(if: Emitter.ifNotEqual)]
        switch (item.raw.opcode & 0xFE, item.raw.repeatPrefix != 0) {
        case (0xAA, false): slow += emitStore(item)
        case (0xAC, false): slow += emitLoad(item)
        case (0xA4, false): slow += emitMove(item)
        case (0xAA, true): slow += emitRepeatedStore(item)
        default: slow += emitRepeatedMove(item)
        }
        interpretSlowly(index, slow)
    }

    private func bytes(_ item: BlockInstruction) -> Int { 1 << Int(item.instruction.operandSize) }

    /// Looks up an element at an index register.
    private mutating func lookUp(_ register: UInt8, _ item: BlockInstruction, isWrite: Bool) -> [UnsafeMutablePointer<
        UInt8
    >] {
        emitter.move(Host.scratch0, register, wide: item.raw.is64)
        return emitLookup(bytes: bytes(item), isWrite: isWrite)
    }

    private mutating func advance(_ register: UInt8, _ item: BlockInstruction) {
        emitter.address(register, .memory(register, Int32(bytes(item))), wide: item.raw.is64)
    }

    /// MOV between a register and memory in the width of the element.
    private mutating func transfer(_ item: BlockInstruction, _ register: UInt8, _ place: Place, isStore: Bool) {
        let size = item.instruction.operandSize
        emitter.instruction(
            Encoding(prefix: size == 1 ? 0x66 : 0, isWide: size == 3), (isStore ? 0x88 : 0x8A) | (size == 0 ? 0 : 1),
            reg: register, place)
    }

    private mutating func emitStore(_ item: BlockInstruction) -> [UnsafeMutablePointer<UInt8>] {
        let slow = lookUp(Host.rdi, item, isWrite: true)
        transfer(item, Host.rax, pairedOperand(), isStore: true)
        advance(Host.rdi, item)
        return slow
    }

    private mutating func emitLoad(_ item: BlockInstruction) -> [UnsafeMutablePointer<UInt8>] {
        let slow = lookUp(Host.rsi, item, isWrite: false)
        transfer(item, Host.rax, pairedOperand(), isStore: false)
        advance(Host.rsi, item)
        return slow
    }

    private mutating func emitMove(_ item: BlockInstruction) -> [UnsafeMutablePointer<UInt8>] {
        var slow = lookUp(Host.rsi, item, isWrite: false)
        transfer(item, Host.scratch0, pairedOperand(), isStore: false)
        emitter.store(.state(StateLayout.stash), Host.scratch0)
        slow += lookUp(Host.rdi, item, isWrite: true)
        let place = singleOperand()
        emitter.load(Host.scratch1, .state(StateLayout.stash))
        transfer(item, Host.scratch1, place, isStore: true)
        advance(Host.rsi, item)
        advance(Host.rdi, item)
        return slow
    }

    // MARK: repeated

    /// rCX elements behind an address in scratch0 lie in the page: an offset in it there afterwards, the TLB's entry in
    /// scratch1.
    private mutating func lookUpAll(_ register: UInt8, _ item: BlockInstruction, isWrite: Bool)
        -> [UnsafeMutablePointer<UInt8>]
    {
        var slow = lookUp(register, item, isWrite: isWrite)
        emitter.store(.state(StateLayout.stash), Host.scratch0)
        emitter.address(
            Host.scratch0, .indexed(Host.scratch0, Host.rcx, scale: item.instruction.operandSize))
        emitter.arithmetic(7, .register(Host.scratch0), Int32(CodeReader.pageSize))
        slow.append(emitter.jump(if: Emitter.ifAbove))
        emitter.load(Host.scratch0, .state(StateLayout.stash))
        return slow
    }

    /// Jumps out where rCX holds 0 or more than a page has.
    private mutating func checkCount(_ item: BlockInstruction) -> [UnsafeMutablePointer<UInt8>] {
        if !item.raw.is64 { emitter.move(Host.rcx, Host.rcx, wide: false) }
        emitter.address(Host.scratch0, .memory(Host.rcx, -1))
        emitter.arithmetic(7, .register(Host.scratch0), Int32(CodeReader.pageSize - 1))
        return [emitter.jump(if: Emitter.ifAbove)]
    }

    /// Where an index register stands at the end.
    private mutating func endAddress(_ to: UInt8, _ register: UInt8, _ item: BlockInstruction) {
        emitter.address(
            to, .indexed(register, Host.rcx, scale: item.instruction.operandSize), wide: item.raw.is64)
    }

    private mutating func emitHostString(_ item: BlockInstruction) {
        let size = item.instruction.operandSize
        if size == 1 { emitter.byte(0x66) }
        emitter.byte(0xF3)
        if size == 3 { emitter.byte(0x48) }
        emitter.byte(item.raw.opcode)
    }

    private mutating func emitRepeatedStore(_ item: BlockInstruction) -> [UnsafeMutablePointer<UInt8>] {
        var slow = checkCount(item)
        slow += lookUpAll(Host.rdi, item, isWrite: true)
        emitter.op(0x03, Host.scratch0, .memory(Host.scratch1, 8))
        endAddress(Host.scratch1, Host.rdi, item)
        emitter.move(Host.rdi, Host.scratch0)
        emitHostString(item)
        emitter.move(Host.rdi, Host.scratch1)
        return slow
    }

    private mutating func emitRepeatedMove(_ item: BlockInstruction) -> [UnsafeMutablePointer<UInt8>] {
        var slow = checkCount(item)
        // The target first: of its way only the host's address is kept.
        slow += lookUpAll(Host.rdi, item, isWrite: true)
        emitter.op(0x03, Host.scratch0, .memory(Host.scratch1, 8))
        emitter.store(.state(StateLayout.stringTarget), Host.scratch0)
        slow += lookUpAll(Host.rsi, item, isWrite: false)
        emitter.op(0x03, Host.scratch0, .memory(Host.scratch1, 8))
        endAddress(Host.scratch1, Host.rdi, item)
        emitter.load(Host.rdi, .state(StateLayout.stringTarget))
        emitter.store(.state(StateLayout.stash), Host.scratch1)
        endAddress(Host.scratch1, Host.rsi, item)
        emitter.move(Host.rsi, Host.scratch0)
        emitHostString(item)
        emitter.move(Host.rsi, Host.scratch1)
        emitter.load(Host.rdi, .state(StateLayout.stash))
        return slow
    }
}
