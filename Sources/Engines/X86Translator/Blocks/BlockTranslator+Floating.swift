// SPDX-License-Identifier: Apache-2.0

internal import X86CPU

// x87 instructions, on the host's unit. Its exceptions are masked here, so that none comes up.
extension BlockTranslator {
    mutating func emitFloating(_ index: Int) {
        let item = body[index]
        guard let form = X87Form(item.raw), !(item.raw.isMemory && Self.isOutOfReach(item)) else {
            // FWAIT: nothing is pending.
            if item.raw.opcode != 0x9B { emitByInterpreter(index) }
            return
        }
        prepareFPU(item)
        if item.raw.isMemory {
            emitFloatingMemory(index, item, form)
        } else {
            prepareFlags(item)
            emitter.bytes(item.raw.opcode, item.raw.modRM)
            if form.isRemembered { remember(item) }
        }
        noteFlags(item)
    }

    private mutating func emitFloatingMemory(_ index: Int, _ item: BlockInstruction, _ form: X87Form) {
        prepareClobber(item)
        if form.isRemembered {
            emitAddress(item, addsSegment: false)
            emitter.store(.state(StateLayout.stash), Host.scratch0)
        }
        let access = reach(index, .operand, bytes: form.bytes, isWrite: form.isWrite)
        emitter.instruction(Encoding(), item.raw.opcode, reg: item.raw.digit, access.place)
        if form.isRemembered {
            remember(item)
            emitter.load(Host.scratch0, .state(StateLayout.stash))
            emitter.store(.state(StateLayout.fpuDP), Host.scratch0)
        }
        interpretSlowly(index, access)
    }

    /// Keeps FIP and FOP.
    private mutating func remember(_ item: BlockInstruction) {
        emitter.load(Host.scratch0, .state(StateLayout.codePage))
        emitter.address(Host.scratch0, .memory(Host.scratch0, Int32(item.offset)))
        emitter.store(.state(StateLayout.fpuIP), Host.scratch0)
        let low = item.raw.isMemory ? 0 : 0xC0 | UInt16(item.raw.modRM & 7)
        let value = UInt16(item.raw.opcode & 7) << 8 | UInt16(item.raw.digit) << 3 | low
        emitter.instruction(Encoding(prefix: 0x66), 0xC7, reg: 0, .state(StateLayout.fpuOpcode))
        emitter.byte(UInt8(truncatingIfNeeded: value))
        emitter.byte(UInt8(truncatingIfNeeded: value >> 8))
    }
}
