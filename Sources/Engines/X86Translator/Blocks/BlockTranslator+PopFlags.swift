// SPDX-License-Identifier: Apache-2.0

internal import X86CPU

// POPF of 64-bit code where it changes the arithmetic flags alone, or IF in the kernel with no interrupt waiting.
extension BlockTranslator {
    private static let trap: Int32 = 1 << 8, ioPrivilege: Int32 = 3 << 12, nestedTask: Int32 = 1 << 14
    private static let virtual8086: Int32 = 1 << 17, virtualInterrupts: Int32 = 3 << 19
    private static let identification: Int32 = 1 << 21

    var isUserCode: Bool { UInt8(truncatingIfNeeded: key) & StateLayout.userBit != 0 }

    /// - Returns: the jump that is taken where some of the bits are set.
    private mutating func refuse(_ place: Place, _ bits: Int32) -> UnsafeMutablePointer<UInt8> {
        emitter.op(0xF7, 0, place, wide: false)
        emitter.long(bits)
        return emitter.jump(if: Emitter.ifNotEqual)
    }

    mutating func emitPopFlags(_ index: Int) {
        prepareClobber(body[index])
        var access = reach(index, .stack, bytes: 8, isWrite: false)
        let (image, other) = (Host.scratch0, Host.scratch1)
        emitter.load(image, access.place)
        var kept =
            Self.trap | SystemValue.directionFlag | Self.nestedTask | SystemValue.accessFlag | Self.identification
        if isUserCode {
            access.slow.append(refuse(.state(StateLayout.systemFlags), Self.ioPrivilege))
        } else {
            emitter.op(0x80, 7, .state(StateLayout.privilege), wide: false)
            emitter.byte(0)
            access.slow.append(emitter.jump(if: Emitter.ifNotEqual))
            access.slow.append(refuse(.state(StateLayout.signals), SystemValue.interruptRequest))
            kept |= Self.ioPrivilege | Self.virtual8086 | Self.virtualInterrupts
        }
        emitter.load(other, .state(StateLayout.systemFlags))
        emitter.op(0x33, other, .register(image))
        access.slow.append(refuse(.register(other), kept))
        if !isUserCode {
            emitter.arithmetic(4, .register(other), SystemValue.interruptFlag, wide: false)
            emitter.op(0x31, other, .state(StateLayout.systemFlags))
        }
        emitKeepFlags(image, other)
        moveStack(8)
        flags = .saved
        interpretSlowly(index, access)
    }

    /// Saves the arithmetic flags of an image of RFLAGS, in the form of LAHF and SETO. Changes both registers.
    mutating func emitKeepFlags(_ image: UInt8, _ to: UInt8) {
        emitter.instruction(Encoding(map: 1), 0xB6, reg: to, .register(image))
        emitter.op(0xC1, 4, .register(to), wide: false)
        emitter.byte(8)
        emitter.op(0xC1, 5, .register(image), wide: false)
        emitter.byte(SystemValue.overflowShift)
        emitter.arithmetic(4, .register(image), 1, wide: false)
        emitter.op(0x0B, to, .register(image), wide: false)
        emitter.instruction(Encoding(prefix: 0x66), 0x89, reg: to, .state(StateLayout.savedFlags))
    }
}
