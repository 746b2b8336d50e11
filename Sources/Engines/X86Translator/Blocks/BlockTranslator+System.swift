// SPDX-License-Identifier: Apache-2.0

internal import X86CPU

// System instructions that kernels run all the time. What is not the usual case is left to the interpreter.
extension BlockTranslator {
    mutating func emitSystem(_ index: Int) {
        let item = body[index]
        switch (item.raw.map, item.raw.opcode, item.raw.modRM) {
        case (0, 0x9C, _): emitPushFlags(index)
        case (0, 0x9D, _): emitPopFlags(index)
        case (0, 0xA4...0xA5, _), (0, 0xAA...0xAD, _): emitString(index)
        case (0, 0xFA, _): emitClearInterrupt(index)
        case (0, 0xFB, _): emitSetInterrupt(index)
        case (0, 0xFC...0xFD, _): emitDirection(index)
        case (1, 0x05, _): emitSystemCall(index)
        case (1, 0x07, _): emitSystemReturn(index)
        case (1, 0x31, _): emitReadTime(index)
        case (1, 0x01, 0xF8): emitSwapGS(index)
        case (1, 0x01, 0xF9): emitReadTime(index)
        case (1, 0x01, 0xCA): emitClearAccess(index)
        default: emitSetAccess(index)
        }
    }

    /// Those that `emitSystem` knows.
    static func isSystem(_ raw: RawInstruction, _ decoded: DecodedInstruction) -> Bool {
        switch (raw.map, raw.opcode) {
        case (0, 0x9D): raw.is64 && decoded.instruction.operandSize == 3
        case (0, 0x9C): decoded.instruction.operandSize == (raw.is64 ? 3 : 2)
        case (0, 0xFA...0xFD), (1, 0x31): true
        case (1, 0x05): raw.is64
        case (1, 0x07): raw.is64 && decoded.instruction.operandSize == 3
        case (1, 0x01): [0xCA, 0xCB, 0xF8, 0xF9].contains(raw.modRM)
        case (0, 0xA4...0xA5), (0, 0xAA...0xAD): isPlainString(raw, decoded.instruction)
        default: false
        }
    }

    /// Jumps out where CPL is not 0. Destroys RFLAGS.
    mutating func requireSupervisor() -> UnsafeMutablePointer<UInt8> {
        emitter.op(0x80, 7, .state(StateLayout.privilege), wide: false)
        emitter.byte(0)
        return emitter.jump(if: Emitter.ifNotEqual)
    }

    /// TEST of a byte in the state.
    mutating func testByte(_ offset: Int32, _ bits: UInt8) {
        emitter.op(0xF6, 0, .state(offset), wide: false)
        emitter.byte(bits)
    }

    /// TEST of 32 bits in the state.
    mutating func testLong(_ offset: Int32, _ bits: Int32) {
        emitter.op(0xF7, 0, .state(offset), wide: false)
        emitter.long(bits)
    }

    mutating func setByte(_ offset: Int32, _ value: UInt8) {
        emitter.op(0xC6, 0, .state(offset), wide: false)
        emitter.byte(value)
    }

    /// AND (4) or OR (1) with flags.
    private mutating func changeFlags(_ operation: UInt8, _ bits: Int32) {
        emitter.op(0x81, operation, .state(StateLayout.systemFlags), wide: false)
        emitter.long(bits)
    }

    // MARK: interrupts

    private mutating func emitClearInterrupt(_ index: Int) {
        prepareClobber(body[index])
        let slow = [requireSupervisor()]
        changeFlags(4, ~SystemValue.interruptFlag)
        interpretSlowly(index, slow)
    }

    /// The instruction behind STI runs before any interrupt, since translated code looks for interrupts between blocks
    /// only; one that waits already is the interpreter's.
    private mutating func emitSetInterrupt(_ index: Int) {
        guard index + 1 < body.count else { return emitByInterpreter(index) }
        prepareClobber(body[index])
        var slow = [requireSupervisor()]
        testLong(StateLayout.signals, SystemValue.interruptRequest)
        slow.append(emitter.jump(if: Emitter.ifNotEqual))
        changeFlags(1, SystemValue.interruptFlag)
        interpretSlowly(index, slow)
    }

    /// CLD and STD.
    private mutating func emitDirection(_ index: Int) {
        prepareClobber(body[index])
        if body[index].raw.opcode == 0xFC {
            changeFlags(4, ~SystemValue.directionFlag)
        } else {
            changeFlags(1, SystemValue.directionFlag)
        }
    }

    private mutating func emitPushFlags(_ index: Int) {
        let item = body[index]
        prepareClobber(item)
        let (image, part) = (Host.scratch0, Host.scratch1)
        emitFlagsImage(image, part)
        emitter.store(.state(StateLayout.stash), image)
        let wide = item.raw.is64
        let bytes = wide ? 8 : 4
        emitter.address(image, .memory(Host.guestStack, Int32(-bytes)), wide: wide)
        let slow = emitLookup(bytes: bytes, isWrite: true)
        let place = singleOperand()
        emitter.load(part, .state(StateLayout.stash))
        emitter.store(place, part, wide: wide)
        emitter.address(Host.guestStack, .memory(Host.guestStack, Int32(-bytes)), wide: wide)
        interpretSlowly(index, slow)
    }

    /// RFLAGS as PUSHF shows them, from the saved flags.
    mutating func emitFlagsImage(_ image: UInt8, _ part: UInt8) {
        emitter.load(image, .state(StateLayout.savedFlags), wide: false)
        emitter.move(part, image, wide: false)
        emitter.op(0xC1, 5, .register(image), wide: false)
        emitter.byte(8)
        emitter.arithmetic(4, .register(image), SystemValue.lowFlags, wide: false)
        emitter.arithmetic(4, .register(part), 1, wide: false)
        emitter.op(0xC1, 4, .register(part), wide: false)
        emitter.byte(SystemValue.overflowShift)
        emitter.op(0x0B, image, .register(part), wide: false)
        emitter.load(part, .state(StateLayout.systemFlags), wide: false)
        emitter.arithmetic(4, .register(part), ~SystemValue.hiddenFlags, wide: false)
        emitter.op(0x0B, image, .register(part), wide: false)
    }

    // MARK: access to user memory

    private mutating func requireSMAP() -> [UnsafeMutablePointer<UInt8>] {
        var slow = [requireSupervisor()]
        testByte(StateLayout.control4 + SystemValue.smapByte, SystemValue.smapBit)
        slow.append(emitter.jump(if: Emitter.ifEqual))
        return slow
    }

    mutating func requireRights(_ rights: UInt8) -> UnsafeMutablePointer<UInt8> {
        emitter.op(0x80, 7, .state(StateLayout.accessRights), wide: false)
        emitter.byte(rights)
        return emitter.jump(if: Emitter.ifNotEqual)
    }

    /// Goes to the TLBs of another class of accesses: adds (0) or subtracts (5).
    mutating func moveTLBs(_ operation: UInt8, rights: UInt8) {
        setByte(StateLayout.accessRights, rights)
        for table in [StateLayout.readTLB, StateLayout.writeTLB] {
            emitter.arithmetic(operation, .state(table), SystemValue.tlbDistance)
        }
    }

    private mutating func emitSetAccess(_ index: Int) {
        prepareClobber(body[index])
        var slow = requireSMAP()
        slow.append(requireRights(SystemValue.supervisor))
        changeFlags(1, SystemValue.accessFlag)
        moveTLBs(0, rights: SystemValue.supervisorWithUserAccess)
        interpretSlowly(index, slow)
    }

    /// Most often the flag is clear already, at the entry of a handler.
    private mutating func emitClearAccess(_ index: Int) {
        prepareClobber(body[index])
        var slow = requireSMAP()
        testLong(StateLayout.systemFlags, SystemValue.accessFlag)
        let isClear = emitter.jump(if: Emitter.ifEqual)
        slow.append(requireRights(SystemValue.supervisorWithUserAccess))
        changeFlags(4, ~SystemValue.accessFlag)
        moveTLBs(5, rights: SystemValue.supervisor)
        emitter.linkHere(isClear)
        interpretSlowly(index, slow)
    }

    private mutating func emitSwapGS(_ index: Int) {
        prepareClobber(body[index])
        let slow = [requireSupervisor()]
        let base = Place.state(StateLayout.segmentBase(5)), other = Place.state(StateLayout.otherGSBase)
        emitter.load(Host.scratch0, base)
        emitter.load(Host.scratch1, other)
        emitter.store(base, Host.scratch1)
        emitter.store(other, Host.scratch0)
        interpretSlowly(index, slow)
    }

    // MARK: time

    /// RDTSC and RDTSCP.
    private mutating func emitReadTime(_ index: Int) {
        prepareClobber(body[index])
        testByte(StateLayout.control4, SystemValue.timeStampDisable)
        var slow = [emitter.jump(if: Emitter.ifNotEqual)]
        emitter.bytes(0x0F, 0x31)
        let half: UInt8 = 32
        emitter.op(0xC1, 4, .register(Host.rdx))
        emitter.byte(half)
        emitter.op(0x0B, Host.rax, .register(Host.rdx))
        // Now and then the interpreter looks after the timers first; RAX and RDX are only written by the instruction.
        emitter.op(0x3B, Host.rax, .state(StateLayout.timerLook))
        slow.append(emitter.jump(if: Emitter.ifAboveOrEqual))
        emitter.op(0x03, Host.rax, .state(StateLayout.timeOffset))
        emitter.move(Host.rdx, Host.rax)
        emitter.op(0xC1, 5, .register(Host.rdx))
        emitter.byte(half)
        emitter.move(Host.rax, Host.rax, wide: false)
        if body[index].raw.opcode == 0x01 {
            emitter.load(Host.rcx, .state(StateLayout.timeAuxiliary), wide: false)
        }
        interpretSlowly(index, slow)
    }
}
