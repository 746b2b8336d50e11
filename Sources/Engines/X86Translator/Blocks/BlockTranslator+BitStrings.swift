// SPDX-License-Identifier: Apache-2.0

internal import X86CPU

// BT and its kind on memory with the bit's number in a register: the operand is the word that holds the bit, which may be
// far from the address.
extension BlockTranslator {
    mutating func emitBitString(_ index: Int) {
        let item = body[index]
        guard !Self.isOutOfReach(item) else { return emitByInterpreter(index) }
        prepareClobber(item)
        emitAddress(item, addsSegment: false)
        let size = item.instruction.operandSize
        emitWordNumber(item)
        emitter.address(
            Host.scratch0, .indexed(Host.scratch0, Host.scratch1, scale: size), wide: item.instruction.addressSize == 3)
        addSegment(item)
        let slow = emitLookup(bytes: 1 << Int(size), isWrite: item.raw.opcode != 0xA3)
        let place = singleOperand()
        let bit = Host.scratch1
        emitter.move(bit, fetch(item.raw.reg, into: bit), wide: false)
        emitter.arithmetic(4, .register(bit), Int32(8 << Int(size)) - 1, wide: false)
        if wantsFlags(item), flags == .saved {
            emitter.store(.state(StateLayout.stash), bit)
            ensureNativeFlags()
            emitter.load(bit, .state(StateLayout.stash))
        }
        emitter.instruction(
            Encoding(
                isLocked: item.raw.isLocked, prefix: size == 1 ? 0x66 : 0, isWide: size == 3, map: 1),
            item.raw.opcode, reg: bit, place)
        interpretSlowly(index, slow)
    }

    /// Which word from the address holds the bit, with its sign, in scratch1.
    private mutating func emitWordNumber(_ item: BlockInstruction) {
        let size = item.instruction.operandSize
        let number = Host.scratch1
        let register = fetch(item.raw.reg, into: number)
        switch size {
        case 1: emitter.instruction(Encoding(isWide: true, map: 1), 0xBF, reg: number, .register(register))
        case 2: emitter.op(0x63, number, .register(register))
        default: emitter.move(number, register)
        }
        emitter.op(0xC1, 7, .register(number))
        emitter.byte(size + 3)
    }
}
