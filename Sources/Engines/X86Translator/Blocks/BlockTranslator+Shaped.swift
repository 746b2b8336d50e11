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
        if shape.isMMX { prepareFPU(item) }
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
            if !is64, Self.widensGeneral(raw, shape) { encoding.isWide = false }
            encoding.prefix = raw.prefix
        } else {
            // On the stack it stands for a fence, which devices' threads count on.
            encoding.isLocked = raw.isLocked && raw.isMemory && (keepsLocks || item.instruction.base == 4)
            encoding.prefix = shape.hasMandatoryPrefix ? raw.prefix : raw.has66 ? 0x66 : 0
            encoding.needsREX = raw.rex != 0 && (shape.reg == .byte || shape.rm == .byte)
        }
        return encoding
    }

    /// W chooses the width of general registers, which 32-bit code ignores.
    private static func widensGeneral(_ raw: RawInstruction, _ shape: Shape) -> Bool {
        let usesGeneral = shape.reg == .general || shape.rm == .general || shape.generalV
        switch (raw.map, raw.opcode) {
        // Conversions, extractions and insertions, from memory or to it; the string comparisons.
        case (1, 0x2A), (3, 0x14...0x16), (3, 0x20...0x22), (3, 0x60...0x61): return true
        default: return usesGeneral
        }
    }

    private mutating func register(
        _ number: UInt8, _ kind: Shape.Kind, _ raw: RawInstruction, scratch: UInt8, loads: Bool = true
    ) -> EmittedRegister {
        switch kind {
        case .none, .vector: return EmittedRegister(number: number)
        case .mmx: return EmittedRegister(number: number & 7)
        case .byte where raw.rex == 0 && !raw.isVEX && number >= 4:
            return EmittedRegister(number: number)
        case .byte, .general:
            if let host = Host.of(number) { return EmittedRegister(number: host) }
            if loads { emitter.load(scratch, Self.slot(number)) }
            return EmittedRegister(number: scratch, slot: number)
        }
    }

    private mutating func writeBack(_ register: EmittedRegister, _ item: BlockInstruction) {
        if let slot = register.slot, RegisterEffect.of(item).mayWrite(slot) {
            emitter.store(Self.slot(slot), register.number)
        }
    }

    private mutating func emitOperation(
        _ item: BlockInstruction, _ shape: Shape, reg: UInt8, _ place: Place
    ) {
        emitter.instruction(encoding(item, shape), item.raw.opcode, reg: reg, place)
        let bytes = reader.pointer(item.offset)
        let first = item.raw.operandStart + item.raw.operandBytes(bytes)
        for index in first..<max(first, item.length) { emitter.byte(bytes[index]) }
        // A register named by an immediate: of 32-bit code one of eight.
        if !is64, item.raw.isVEX, item.raw.map == 3, (0x4A...0x4C).contains(item.raw.opcode) {
            emitter.limitLastByte(to: 0x7F)
        }
    }

    /// The instruction writes all of modrm.reg, and does not look at it.
    private func replacesReg(_ item: BlockInstruction) -> Bool {
        guard item.instruction.operandSize >= 2, !item.raw.isVEX, item.decoded.vector == nil else { return false }
        switch (item.raw.map, item.raw.opcode) {
        case (0, 0x8B), (0, 0x63), (0, 0x69), (0, 0x6B), (1, 0xB6), (1, 0xB7), (1, 0xBE), (1, 0xBF): return true
        default: return false
        }
    }

    /// As `replacesReg` for a register of modrm.rm: a move, or what clears a register.
    private func replacesRM(_ item: BlockInstruction) -> Bool {
        guard item.instruction.operandSize >= 2, !item.raw.isVEX, item.raw.map == 0, item.decoded.vector == nil else {
            return false
        }
        switch item.raw.opcode {
        case 0x89: return item.raw.reg != item.raw.rm
        case 0xC7: return true
        case 0x29, 0x2B, 0x31, 0x33: return item.raw.reg == item.raw.rm
        default: return false
        }
    }

    /// Where a register of modrm.rm lies in memory, if the instruction does the same there: 32-bit results clear what is
    /// above them, the next load of a register of which less was written waits for the store's end, and some instructions
    /// work otherwise on memory.
    private func ownPlace(_ item: BlockInstruction, _ shape: Shape) -> Place? {
        let raw = item.raw
        guard shape.rm == .general || shape.rm == .byte, !shape.isVector, !raw.isVEX, raw.map < 2,
            Host.of(raw.rm) == nil, !(raw.reg == raw.rm && (shape.reg == .general || shape.reg == .byte))
        else { return nil }
        switch (raw.map, raw.opcode) {
        case (0, 0x86), (0, 0x87), (1, 0xA3), (1, 0xAB), (1, 0xB3), (1, 0xBB): return nil
        default: break
        }
        let isNarrow = shape.rm == .byte || item.instruction.operandSize != 3
        return isNarrow && RegisterEffect.of(item).mayWrite(raw.rm) ? nil : Self.slot(raw.rm)
    }

    private mutating func emitRegisterForm(_ item: BlockInstruction, _ shape: Shape) {
        prepareFlags(item)
        let raw = item.raw
        if let place = ownPlace(item, shape) {
            let reg = register(raw.reg, shape.reg, raw, scratch: Host.scratch1, loads: !replacesReg(item))
            emitOperation(item, shape, reg: reg.number, place)
            return writeBack(reg, item)
        }
        let rm = register(raw.rm, shape.rm, raw, scratch: Host.scratch0, loads: !replacesRM(item))
        if rm.slot != nil { held = nil }
        let isSame =
            rm.slot != nil && (shape.reg == .general || shape.reg == .byte) && raw.reg == raw.rm
        let reg =
            isSame ? rm : register(raw.reg, shape.reg, raw, scratch: Host.scratch1, loads: !replacesReg(item))
        emitOperation(item, shape, reg: reg.number, .register(rm.number))
        writeBack(rm, item)
        if !isSame { writeBack(reg, item) }
    }

    private mutating func emitMemoryForm(_ index: Int, _ item: BlockInstruction, _ shape: Shape) {
        let raw = item.raw
        prepareReach(index, .operand, alignment: shape.alignment)
        let access = reach(
            index, .operand, bytes: shape.bytes, isWrite: shape.writesMemory, alignment: shape.alignment)
        if wantsFlags(item), flags == .saved { ensureNativeFlags() }
        let reg = register(raw.reg, shape.reg, raw, scratch: Host.scratch1, loads: !replacesReg(item))
        if shape.reg == .byte, raw.rex == 0, raw.reg >= 4 {
            emitHighByteForm(item, shape, access.place)
        } else {
            emitOperation(item, shape, reg: reg.number, access.place)
        }
        writeBack(reg, item)
        interpretSlowly(index, access)
    }

    /// AH, CH, DH or BH and memory: by an address in RDI, which needs no REX prefix and takes part in none of these.
    private mutating func emitHighByteForm(_ item: BlockInstruction, _ shape: Shape, _ place: Place) {
        emitter.move(Host.scratch1, Host.rdi)
        emitter.address(Host.rdi, place)
        emitOperation(item, shape, reg: item.raw.reg, .memory(Host.rdi))
        emitter.move(Host.rdi, Host.scratch1)
    }
}
