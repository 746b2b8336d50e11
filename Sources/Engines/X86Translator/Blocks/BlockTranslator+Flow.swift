// SPDX-License-Identifier: Apache-2.0

internal import X86CPU

// Jumps, calls and returns, and what stands out of line.
extension BlockTranslator {
    mutating func emitFlow(_ index: Int) {
        let item = body[index]
        if !is64, emitLegacyFlow(index) { return }
        if item.raw.map == 1 { return emitConditional(item, item.raw.opcode & 15) }
        switch item.raw.opcode {
        case 0x70...0x7F: emitConditional(item, item.raw.opcode & 15)
        case 0xE2, 0xE3: emitCounted(item)
        case 0xE9, 0xEB: emitTransfer(to: item.nearTarget ?? 0, item)
        case 0xE8: emitCall(index)
        case 0xC2, 0xC3: emitReturn(index)
        default: emitIndirect(index)
        }
    }

    // MARK: direct

    private func isNear(_ target: Int) -> Bool { target >= 0 && target < CodeReader.pageSize }

    private mutating func emitConditional(_ item: BlockInstruction, _ condition: UInt8) {
        ensureNativeFlags()
        leave(by: emitter.jump(if: condition), to: item.nearTarget ?? 0, from: item.offset)
    }

    /// LOOP and JRCXZ, which reach their targets over a jump since they have short displacements only.
    private mutating func emitCounted(_ item: BlockInstruction) {
        let jumpBytes: UInt8 = 5
        if item.raw.opcode == 0xE2 {
            emitter.address(Host.rcx, .memory(Host.rcx, -1), wide: is64)
            emitter.bytes(0xE3, jumpBytes)
        } else {
            // JECXZ in 32-bit code.
            if !is64 { emitter.byte(0x67) }
            emitter.bytes(0xE3, 2, 0xEB, jumpBytes)
        }
        leave(by: emitter.jump(), to: item.nearTarget ?? 0, from: item.offset)
    }

    /// A jump that was emitted leads to a target.
    mutating func leave(
        by place: UnsafeMutablePointer<UInt8>, to target: Int, from source: Int
    ) {
        if isNear(target) {
            cold.append(.chain(from: place, target: target, flags: flags, source: source))
        } else {
            cold.append(.far(from: place, target: target, flags: flags))
        }
    }

    mutating func emitTransfer(to target: Int, _ item: BlockInstruction) {
        if isNear(target) {
            leave(by: emitter.jump(), to: target, from: item.offset)
        } else {
            emitFar(to: target)
        }
    }

    /// Goes on at an offset behind the block.
    mutating func emitContinuation(at offset: Int, _ last: BlockInstruction) {
        if last.kind == .interpreted, InstructionKind.changesMode(last.raw) || last.decoded.endsBlock {
            saveFlags()
            emitTarget(offset)
            emitter.store(.state(StateLayout.rip), Host.scratch0)
            emitter.jump(to: stubs.lookup)
        } else {
            emitTransfer(to: offset, last)
        }
    }

    /// The linear address of an offset from the page's start, in scratch0.
    mutating func emitTarget(_ offset: Int) {
        emitter.load(Host.scratch0, .state(StateLayout.codePage))
        if offset != 0 {
            emitter.address(
                Host.scratch0, .memory(Host.scratch0, Int32(truncatingIfNeeded: offset)), wide: is64)
        }
    }

    private mutating func emitFar(to target: Int) {
        if is64, let cell = farCells?.take() { return emitFarLink(to: target, cell) }
        saveFlags()
        emitTarget(target)
        emitJumpThroughTable()
    }

    // MARK: by the table

    /// Goes on at the linear address in scratch0. The flags are saved.
    /// - Parameters:
    ///   - from: the instruction, where the target may be no address of code at all.
    ///   - isUser: what code the target is, if not of the block's privilege.
    mutating func emitJumpThroughTable(from site: Int? = nil, isUser: Bool? = nil) {
        let isUser = isUser ?? isUserCode
        let stubs = isUser ? stubs.userMisses : stubs.kernelMisses
        guard let site else {
            return MissStubs.emitJumpThroughTable(&emitter, isUser: isUser, unknown: stubs.missed)
        }
        let unknown = MissStubs.emitLookup(&emitter, isUser: isUser)
        MissStubs.emitJump(&emitter)
        cold.append(.transfer(unknown: unknown, site: site, stub: stubs.returned))
    }

    private mutating func emitCall(_ index: Int) {
        let item = body[index]
        emitPushReturn(index)
        emitTransfer(to: item.nearTarget ?? 0, item)
    }

    private mutating func emitPushReturn(_ index: Int) {
        prepareReach(index, .stack)
        let access = reach(index, .stack, bytes: 8, isWrite: true)
        emitter.load(Host.scratch1, .state(StateLayout.codePage))
        emitter.address(Host.scratch1, .memory(Host.scratch1, Int32(body[index].end)))
        emitter.store(access.place, Host.scratch1)
        moveStack(-8)
        // The interpreter's call branches, so nothing comes back here.
        interpretSlowly(index, access)
    }

    private mutating func emitReturn(_ index: Int) {
        let item = body[index]
        prepareClobber(item)
        let access = reach(index, .stack, bytes: 8, isWrite: false)
        emitter.load(Host.scratch0, access.place)
        moveStack(
            8 + Int32(truncatingIfNeeded: item.raw.opcode == 0xC2 ? item.instruction.immediate : 0))
        interpretSlowly(index, access)
        emitJumpThroughTable(from: site(index))
    }

    /// JMP and CALL through a register or memory.
    private mutating func emitIndirect(_ index: Int) {
        let item = body[index]
        guard !(item.raw.isMemory && Self.isOutOfReach(item)) else { return emitByInterpreter(index) }
        prepareClobber(item)
        let isCall = item.raw.digit == 2
        if item.raw.isMemory {
            let access = reach(index, .operand, bytes: 8, isWrite: false)
            emitter.load(Host.scratch0, access.place)
            interpretSlowly(index, access)
        } else if !isCall {
            emitter.move(Host.scratch0, fetch(item.raw.rm, into: Host.scratch0))
        }
        if isCall {
            if !item.raw.isMemory { emitter.move(Host.scratch0, fetch(item.raw.rm, into: Host.scratch0)) }
            // Nothing is pushed where the target is not canonical.
            emitCanonicalCheck(index)
            if item.raw.isMemory { emitter.store(.state(StateLayout.stash), Host.scratch0) }
            emitPushReturn(index)
            if item.raw.isMemory {
                emitter.load(Host.scratch0, .state(StateLayout.stash))
            } else {
                emitter.move(Host.scratch0, fetch(item.raw.rm, into: Host.scratch0))
            }
        }
        emitJumpThroughTable(from: isCall ? nil : site(index))
    }

    /// A transfer to an address that is not canonical with 48 bits is left to the interpreter.
    private mutating func emitCanonicalCheck(_ index: Int) {
        emitter.move(Host.scratch1, Host.scratch0)
        // The upper bits must be all alike: 0 or -1.
        emitter.op(0xC1, 7, .register(Host.scratch1))
        emitter.byte(47)
        emitter.arithmetic(0, .register(Host.scratch1), 1)
        emitter.arithmetic(7, .register(Host.scratch1), 1)
        interpretSlowly(index, [emitter.jump(if: Emitter.ifAbove)])
    }

    // MARK: out of line

    mutating func emitCold() {
        var next = 0
        // Far targets add look-ups while they are emitted.
        while next < cold.count {
            let item = cold[next]
            next += 1
            switch item {
            case .interpret(let from, let site, let back):
                for place in from { emitter.linkHere(place) }
                emitter.constant(Host.scratch1, UInt32(site))
                emitter.call(stubs.interpret)
                emitter.jump(to: back)
            case .chain(let from, let target, let flags, let source):
                emitChain(from, target, flags, source)
            case .far(let from, let target, let flags):
                emitter.linkHere(from)
                self.flags = flags
                emitFar(to: target)
            case .unlinked(let from, let site, let flags, let restoresCounter):
                emitUnlinked(from, site, flags, restoresCounter)
            case .poll(let from, let offset, let restoresCounter, let saving):
                emitter.linkHere(from)
                if restoresCounter { emitter.move(Host.rcx, Host.scratch0) }
                emitter.constant(Host.scratch1, UInt32(offset))
                emitter.jump(to: saving ? stubs.pollSaving : stubs.poll)
            case .refill(let refill, let slow, let site, let back, let offset):
                emitRefill(refill, slow, site, back, offset)
            case .ungroup(let from, let refill, let offset): emitUngroup(from, refill, offset)
            case .transfer(let unknown, let site, let stub):
                emitter.linkHere(unknown)
                emitter.op(0xC7, 0, .state(StateLayout.stash), wide: false)
                emitter.long(Int32(truncatingIfNeeded: site))
                emitter.jump(to: stub)
            }
        }
    }

    private mutating func emitChain(
        _ from: UnsafeMutablePointer<UInt8>, _ target: Int, _ flags: FlagPlace, _ source: Int
    ) {
        let isSaved = flags == .saved
        if target == start, !isAlone, !isPlain {
            // Its own start: known already.
            Emitter.link(from, to: loopGate ?? (isSaved ? entries.saved : entries.native))
            return
        }
        emitter.linkHere(from)
        emitter.constant(Host.scratch1, UInt32(firstSite + sites.count))
        emitter.jump(to: flags == .native ? stubs.chainSaving : stubs.chain)
        sites.append(
            ChainSite(
                place: from, target: target, page: page, needsSavedEntry: isSaved,
                isForward: target > source,
                mode: key))
    }
}
