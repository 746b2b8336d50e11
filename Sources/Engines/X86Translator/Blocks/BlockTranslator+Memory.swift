// SPDX-License-Identifier: Apache-2.0

internal import X86CPU

// Addresses of memory operands, and the way through the TLB to the host's address.
extension BlockTranslator {
    /// Where a guest register lies in the state.
    static func slot(_ guest: UInt8) -> Place { .state(StateLayout.general + Int32(guest) * 8) }

    /// The host register that holds a guest register, loaded into a scratch register where it lies in memory.
    mutating func fetch(_ guest: UInt8, into scratch: UInt8) -> UInt8 {
        if let host = Host.of(guest) { return host }
        emitter.load(scratch, Self.slot(guest))
        return scratch
    }

    /// Computes the linear address of a memory operand into scratch0, or its offset for LEA. Leaves RFLAGS alone but for
    /// segments with a base.
    mutating func emitAddress(_ item: BlockInstruction, addsSegment: Bool = true) {
        held = nil
        let instruction = item.instruction
        let wide = instruction.addressSize == 3
        let to = Host.scratch0
        let displacement = Int32(truncatingIfNeeded: instruction.displacement)
        if instruction.base == Instruction.ripRegister {
            // Relative to the block's start.
            let start = item.offset - Int(instruction.offset)
            emitter.load(to, .state(StateLayout.codePage))
            emitter.address(
                to, .memory(to, Int32(truncatingIfNeeded: Int64(start) + instruction.displacement)),
                wide: wide)
        } else {
            emitSum(instruction, displacement, to, wide: wide)
        }
        if addsSegment { addSegment(item) }
    }

    /// Adds the base of FS or GS to the address in scratch0.
    mutating func addSegment(_ item: BlockInstruction) {
        let segment = item.instruction.segment
        guard segment == 4 || segment == 5 else { return }
        // Linear addresses of 32-bit code end at 4 GiB.
        emitter.op(0x03, Host.scratch0, .state(StateLayout.segmentBase(segment)), wide: is64)
    }

    private mutating func emitSum(
        _ instruction: Instruction, _ displacement: Int32, _ to: UInt8, wide: Bool
    ) {
        let hasBase = instruction.base < 16
        let hasIndex = instruction.index < 16
        if !hasBase, !hasIndex {
            emitter.op(0xC7, 0, .register(to), wide: true)
            emitter.long(displacement)
            // A 32-bit address has no copies of its sign.
            if !wide { emitter.move(to, to, wide: false) }
            return
        }
        let base = hasBase ? fetch(instruction.base, into: to) : Place.none
        if !hasIndex, displacement == 0 {
            if base != to || !wide { emitter.move(to, base, wide: wide) }
            return
        }
        let index = hasIndex ? fetch(instruction.index, into: Host.scratch1) : Place.none
        emitter.address(
            to, Place(base: base, index: index, scale: instruction.scale, displacement: displacement),
            wide: wide)
    }

    /// An address whose displacement from the page's start has too many bits to be added in one step.
    static func isOutOfReach(_ item: BlockInstruction) -> Bool {
        guard item.instruction.base == Instruction.ripRegister else { return false }
        let sum = Int64(item.offset - Int(item.instruction.offset)) + item.instruction.displacement
        return sum != Int64(Int32(truncatingIfNeeded: sum))
    }

    /// Turns the linear address in scratch0 into an offset in its page, there, and the TLB's entry in scratch1. Jumps out
    /// where the TLB does not know the page or the access crosses its end. Destroys RFLAGS.
    /// - Returns: the jumps.
    mutating func emitLookup(bytes: Int, isWrite: Bool, alignment: UInt8 = 0)
        -> [UnsafeMutablePointer<UInt8>]
    {
        var slow: [UnsafeMutablePointer<UInt8>] = []
        if alignment != 0 {
            emitter.instruction(Encoding(), 0xF6, reg: 0, .register(Host.scratch0))
            emitter.byte(alignment)
            slow.append(emitter.jump(if: Emitter.ifNotEqual))
        }
        slow.append(Self.emitLookup(&emitter, bytes: bytes, isWrite: isWrite, abilities))
        return slow
    }

    static func emitLookup(
        _ emitter: inout Emitter, bytes: Int, isWrite: Bool, _ abilities: HostAbilities
    ) -> UnsafeMutablePointer<UInt8> {
        let (address, entry) = (Host.scratch0, Host.scratch1)
        // The page number's low bits, times the bytes of an entry.
        let shift: UInt8 = 8
        if abilities.contains(.bmi2) {
            emitter.instruction(
                Encoding(prefix: 0xF2, map: 3, vex: (0, false)), 0xF0, reg: entry, .register(address))
        } else {
            emitter.move(entry, address, wide: false)
            emitter.op(0xC1, 5, .register(entry), wide: false)
        }
        emitter.byte(shift)
        emitter.arithmetic(
            4, .register(entry), Int32((StateLayout.tlbEntries - 1) * StateLayout.tlbEntryBytes),
            wide: false)
        emitter.op(0x03, entry, .state(isWrite ? StateLayout.writeTLB : StateLayout.readTLB))
        emitter.op(0x33, address, .memory(entry))
        emitter.arithmetic(7, .register(address), Int32(CodeReader.pageSize - bytes))
        return emitter.jump(if: Emitter.ifAbove)
    }

    /// After `emitLookup`: the operand, while both scratch registers are kept.
    mutating func pairedOperand() -> Place {
        emitter.load(Host.scratch1, .memory(Host.scratch1, 8))
        return .indexed(Host.scratch0, Host.scratch1)
    }

    /// After `emitLookup`: the operand by scratch0 alone.
    mutating func singleOperand() -> Place {
        emitter.op(0x03, Host.scratch0, .memory(Host.scratch1, 8))
        return .memory(Host.scratch0)
    }

    /// The jumps of a memory access lead to the interpreter, which goes on behind the instruction.
    mutating func interpretSlowly(_ index: Int, _ slow: [UnsafeMutablePointer<UInt8>]) {
        held = nil
        cold.append(.interpret(from: slow, site: site(index), back: emitter.cursor))
    }

    // MARK: units

    /// Before an instruction that uses vector registers; destroys RFLAGS the first time in a block.
    mutating func prepareVectors(_ item: BlockInstruction) {
        guard !hasVectors else { return }
        prepareUnit(item, UnitTransfer.vectors, stubs.loadVectors)
        hasVectors = true
    }

    /// As above for the x87 unit.
    mutating func prepareFPU(_ item: BlockInstruction) {
        guard !hasFPU else { return }
        prepareUnit(item, UnitTransfer.fpu, stubs.loadFPU)
        hasFPU = true
    }

    private mutating func prepareUnit(
        _ item: BlockInstruction, _ bit: UInt8, _ load: UnsafeMutablePointer<UInt8>
    ) {
        prepareClobber(item)
        held = nil
        emitter.instruction(Encoding(), 0xF6, reg: 0, .state(StateLayout.loadedUnits))
        emitter.byte(bit)
        // Over the call's five bytes.
        emitter.bytes(0x75, 5)
        emitter.call(load)
    }
}
