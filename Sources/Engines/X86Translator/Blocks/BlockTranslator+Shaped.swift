// SPDX-License-Identifier: Apache-2.0

internal import X86CPU

// Instructions that are emitted again with a modrm byte.
extension BlockTranslator {
    /// A register operand as it is emitted.
    private struct EmittedRegister {
        var number: UInt8
        /// The guest register in memory to which a scratch register is written back.
        var slot: UInt8?
    }

    mutating func emitShaped(_ index: Int) {
        let item = body[index]
        guard let shape = Shape.of(item.raw, item.decoded),
            !(item.raw.isMemory && Self.isOutOfReach(item))
        else {
            return emitByInterpreter(index)
        }
        if shape.isVector { prepareVectors(item) }
        if item.raw.isMemory {
            emitMemoryForm(index, item, shape)
        } else {
            emitRegisterForm(item, shape)
        }
        noteFlags(item)
    }

    private func encoding(_ item: BlockInstruction, _ shape: Shape) -> Encoding {
        let raw = item.raw
        var encoding = Encoding(isWide: raw.isWide, map: raw.map)
        if raw.isVEX {
            let vvvv = shape.generalV ? Host.of(raw.vvvv) ?? 0 : raw.vvvv
            encoding.vex = (vvvv, raw.is256)
            encoding.prefix = raw.prefix
        } else {
            encoding.isLocked = raw.isLocked && raw.isMemory
            encoding.prefix = shape.hasMandatoryPrefix ? raw.prefix : raw.has66 ? 0x66 : 0
            encoding.needsREX = raw.rex != 0 && (shape.reg == .byte || shape.rm == .byte)
        }
        return encoding
    }

    private mutating func register(
        _ number: UInt8, _ kind: Shape.Kind, _ raw: RawInstruction, scratch: UInt8
    ) -> EmittedRegister {
        switch kind {
        case .none, .vector: return EmittedRegister(number: number)
        case .byte where raw.rex == 0 && !raw.isVEX && number >= 4:
            return EmittedRegister(number: number)
        case .byte, .general:
            if let host = Host.of(number) { return EmittedRegister(number: host) }
            emitter.load(scratch, Self.slot(number))
            return EmittedRegister(number: scratch, slot: number)
        }
    }

    private mutating func writeBack(_ register: EmittedRegister) {
        if let slot = register.slot { emitter.store(Self.slot(slot), register.number) }
    }

    private mutating func emitOperation(
        _ item: BlockInstruction, _ shape: Shape, reg: UInt8, _ place: Place
    ) {
        emitter.instruction(encoding(item, shape), item.raw.opcode, reg: reg, place)
        let bytes = reader.pointer(item.offset)
        let first = item.raw.operandStart + item.raw.operandBytes(bytes)
        for index in first..<max(first, item.length) { emitter.byte(bytes[index]) }
    }

    private mutating func emitRegisterForm(_ item: BlockInstruction, _ shape: Shape) {
        prepareFlags(item)
        let raw = item.raw
        let rm = register(raw.rm, shape.rm, raw, scratch: Host.scratch0)
        let isSame =
            rm.slot != nil && (shape.reg == .general || shape.reg == .byte) && raw.reg == raw.rm
        let reg = isSame ? rm : register(raw.reg, shape.reg, raw, scratch: Host.scratch1)
        emitOperation(item, shape, reg: reg.number, .register(rm.number))
        writeBack(rm)
        if !isSame { writeBack(reg) }
    }

    private mutating func emitMemoryForm(_ index: Int, _ item: BlockInstruction, _ shape: Shape) {
        let raw = item.raw
        prepareClobber(item)
        emitAddress(item)
        let slow = emitLookup(
            bytes: shape.bytes, isWrite: shape.writesMemory, alignment: shape.alignment)
        let isSpilled = (shape.reg == .general || shape.reg == .byte) && Host.of(raw.reg) == nil
        let restores = wantsFlags(item) && flags == .saved
        let place = isSpilled || restores ? singleOperand() : pairedOperand()
        if restores { ensureNativeFlags() }
        let reg = register(raw.reg, shape.reg, raw, scratch: Host.scratch1)
        emitOperation(item, shape, reg: reg.number, place)
        writeBack(reg)
        interpretSlowly(index, slow)
    }
}
