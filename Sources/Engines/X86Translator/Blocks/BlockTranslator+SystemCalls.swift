// SPDX-License-Identifier: Apache-2.0

internal import X86CPU

// SYSCALL from 64-bit user code and SYSRET back to it: what is not the usual case is left to the interpreter.
extension BlockTranslator {
    private static let returnAddress: UInt8 = 1, returnFlags: UInt8 = 11
    private static let word: Int32 = 8

    mutating func emitSystemCall(_ index: Int) {
        prepareClobber(body[index])
        let (image, part) = (Host.scratch0, Host.scratch1)
        var slow = requireSystemCalls()
        // User code whose alignment is not checked, and a kernel that SYSCALL leaves without rights to user pages.
        slow.append(requireRights(SystemValue.user))
        emitFlagsImage(image, part)
        emitter.store(.state(StateLayout.stash), image)
        emitter.load(part, .state(StateLayout.systemMask))
        emitter.op(0xF7, 2, .register(part))
        emitter.op(0x23, image, .register(part))
        emitter.op(0xF7, 0, .register(image), wide: false)
        emitter.long(SystemValue.accessFlag)
        slow.append(emitter.jump(if: Emitter.ifNotEqual))
        emitter.load(part, .state(StateLayout.stash))
        assign(Self.returnFlags, part)
        emitReplaceFlags()
        emitter.load(part, .state(StateLayout.codePage))
        emitter.address(part, .memory(part, Int32(body[index].end)))
        assign(Self.returnAddress, part)
        emitter.load(image, .state(StateLayout.systemSelectors))
        shiftRight(image, 32)
        // The privilege of the selectors is 0.
        emitter.arithmetic(4, .register(image), ~3, wide: false)
        emitSegments(image, privilege: 0, codeFirst: true)
        moveTLBs(0, rights: SystemValue.supervisor)
        emitter.op(0x80, 4, .state(StateLayout.fetchKey), wide: false)
        emitter.byte(~StateLayout.userBit)
        emitter.load(Host.scratch0, .state(StateLayout.systemTarget))
        emitJumpThroughTable(isUser: false)
        interpretSlowly(index, slow)
    }

    mutating func emitSystemReturn(_ index: Int) {
        prepareClobber(body[index])
        let (image, part) = (Host.scratch0, Host.scratch1)
        var slow = requireSystemCalls()
        slow.append(requireSupervisor())
        slow.append(requireRights(SystemValue.supervisor))
        // An interrupt that waits may be taken afterwards.
        emitter.arithmetic(7, .state(StateLayout.signals), 0, wide: false)
        slow.append(emitter.jump(if: Emitter.ifNotEqual))
        // Other targets than those of the lower half may be none.
        emitter.move(part, fetch(Self.returnAddress, into: part))
        shiftRight(part, 47)
        slow.append(emitter.jump(if: Emitter.ifNotEqual))
        emitter.move(image, fetch(Self.returnFlags, into: image), wide: false)
        emitter.op(0xF7, 0, .register(image), wide: false)
        emitter.long(SystemValue.trapFlag | SystemValue.accessFlag)
        slow.append(emitter.jump(if: Emitter.ifNotEqual))
        emitter.arithmetic(4, .register(image), SystemValue.returnedFlags, wide: false)
        emitReplaceFlags()
        emitter.load(image, .state(StateLayout.systemSelectors))
        shiftRight(image, 48)
        emitter.arithmetic(1, .register(image), 3, wide: false)
        emitter.arithmetic(0, .register(image), Self.word, wide: false)
        emitSegments(image, privilege: 3, codeFirst: false)
        moveTLBs(5, rights: SystemValue.user)
        emitter.op(0x80, 1, .state(StateLayout.fetchKey), wide: false)
        emitter.byte(StateLayout.userBit)
        emitter.move(Host.scratch0, fetch(Self.returnAddress, into: Host.scratch0))
        emitJumpThroughTable(isUser: true)
        interpretSlowly(index, slow)
    }

    /// EFER.SCE.
    private mutating func requireSystemCalls() -> [UnsafeMutablePointer<UInt8>] {
        testByte(StateLayout.extendedFeatures, SystemValue.systemCallEnable)
        return [emitter.jump(if: Emitter.ifEqual)]
    }

    /// Writes a guest register.
    private mutating func assign(_ guest: UInt8, _ register: UInt8) {
        if let host = Host.of(guest) {
            emitter.move(host, register)
        } else {
            emitter.store(Self.slot(guest), register)
        }
    }

    private mutating func shiftRight(_ register: UInt8, _ count: UInt8) {
        emitter.op(0xC1, 5, .register(register))
        emitter.byte(count)
    }

    /// All flags from the image in scratch0. Changes both scratch registers.
    private mutating func emitReplaceFlags() {
        let (image, part) = (Host.scratch0, Host.scratch1)
        let fixed: Int32 = 2
        emitter.move(part, image)
        emitter.arithmetic(4, .register(part), ~SystemValue.arithmeticFlags)
        emitter.arithmetic(1, .register(part), fixed)
        emitter.store(.state(StateLayout.systemFlags), part)
        emitKeepFlags(image, part)
        flags = .saved
    }

    /// CS, SS and the privilege, from the lower of two selectors that follow one another.
    private mutating func emitSegments(_ selector: UInt8, privilege: UInt32, codeFirst: Bool) {
        let (code, stack) = (
            StateLayout.segmentBase(SystemSegment.code), StateLayout.segmentBase(SystemSegment.stack)
        )
        setSegment(code, SystemSegment.codeAttributes(privilege: privilege))
        setSegment(stack, SystemSegment.stackAttributes(privilege: privilege))
        storeSelector(codeFirst ? code : stack, selector)
        emitter.arithmetic(0, .register(selector), Self.word, wide: false)
        storeSelector(codeFirst ? stack : code, selector)
        setByte(StateLayout.privilege, UInt8(privilege))
    }

    private mutating func storeSelector(_ segment: Int32, _ register: UInt8) {
        emitter.instruction(
            Encoding(prefix: 0x66), 0x89, reg: register, .state(segment + StateLayout.segmentSelector))
    }

    /// Base 0 without a limit.
    private mutating func setSegment(_ base: Int32, _ attributes: Int32) {
        emitter.op(0xC7, 0, .state(base))
        emitter.long(0)
        emitter.op(0xC7, 0, .state(base + StateLayout.segmentLimit), wide: false)
        emitter.long(-1)
        emitter.op(0xC7, 0, .state(base + StateLayout.segmentAttributes), wide: false)
        emitter.long(attributes)
    }
}
