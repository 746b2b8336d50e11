// SPDX-License-Identifier: Apache-2.0

internal import CX86Native

/// CLI, STI, PUSHF, POPF, CLAC, STAC, HLT.
enum FlagInstructions {
    static let clearInterrupt: Handler = {
        handle($0, $1) { state, _ throws(CPUFault) in
            if try state.controlsVirtualInterrupts() {
                state.pointee.systemFlags &= ~Flag.virtualInterrupt
                return .next
            }
            state.pointee.systemFlags &= ~Flag.interrupt
            return .next
        }
    }

    static let setInterrupt: Handler = {
        handle($0, $1) { state, instruction throws(CPUFault) in
            if try state.controlsVirtualInterrupts() {
                if state.pointee.systemFlags & Flag.virtualInterruptPending != 0 { throw state.generalProtection() }
                state.pointee.systemFlags |= Flag.virtualInterrupt
                return .next
            }
            guard state.pointee.systemFlags & Flag.interrupt == 0 else { return .next }
            state.pointee.systemFlags |= Flag.interrupt
            // The instruction after STI runs before any interrupt. Where it is in this block and nothing waits, what
            // comes later waits for the block's end by itself.
            let following = unsafeBitCast((instruction + 1).pointee.handler, to: UInt.self)
            if !state.hasInterruptRequest, following != unsafeBitCast(resumeHandler, to: UInt.self) { return .next }
            state.pointee.shadow = .interrupts
            return state.end(instruction)
        }
    }

    static let pushFlags: Handler = {
        handle($0, $1) { state, instruction throws(CPUFault) in
            var image = state.flags & ~(Flag.virtual8086 | Flag.resume)
            if try state.usesVirtualFlags(instruction.pointee.operandSize) { image = state.virtualFlags }
            switch instruction.pointee.operandSize {
            case 1: try state.push(UInt16(truncatingIfNeeded: image))
            case 2: try state.push(UInt32(truncatingIfNeeded: image))
            default: try state.push(image)
            }
            return .next
        }
    }

    static let popFlags: Handler = {
        handle($0, $1) { state, instruction throws(CPUFault) in
            if try state.usesVirtualFlags(instruction.pointee.operandSize) {
                let image = UInt64(try state.peekStack() as UInt16)
                try state.checkVirtualFlags(image)
                state.setStackPointer(state.stackPointer &+ 2)
                state.setVirtualFlags(image)
                return .next
            }
            let image: UInt64
            switch instruction.pointee.operandSize {
            case 1: image = UInt64(try state.pop(as: UInt16.self))
            case 2: image = UInt64(try state.pop(as: UInt32.self))
            default: image = try state.pop(as: UInt64.self)
            }
            var mask = state.changeableFlags(isWide: instruction.pointee.operandSize > 1)
            if state.isVirtual8086 { mask &= ~Flag.ioPrivilege }
            let old = state.pointee.systemFlags
            state.setFlags(image, mask: mask)
            if instruction.pointee.operandSize > 1 { state.pointee.systemFlags &= ~Flag.resume }
            let new = state.pointee.systemFlags
            let enabled = ~old & new & Flag.interrupt != 0 && state.hasInterruptRequest
            return enabled || new & Flag.trap != 0 ? state.end(instruction) : .next
        }
    }

    private static func setAccess(_ state: State, _ isOn: Bool) throws(CPUFault) {
        guard state.cpu.features.has.contains(.smap), state.pointee.cpl == 0 else {
            throw state.fault(Vector.invalidOpcode)
        }
        state.setFlags(isOn ? Flag.alignmentCheck : 0, mask: Flag.alignmentCheck)
    }

    static let clearAccess: Handler = {
        handle($0, $1) { state, _ throws(CPUFault) in
            try setAccess(state, false)
            return .next
        }
    }

    static let setAccess: Handler = {
        handle($0, $1) { state, _ throws(CPUFault) in
            try setAccess(state, true)
            return .next
        }
    }

    static let halt: Handler = {
        handle($0, $1) { state, instruction throws(CPUFault) in
            try state.requireSupervisor()
            state.pointee.isHalted = true
            return state.end(instruction)
        }
    }

    static func register(_ table: inout OpcodeTableBuilder) {
        table.add("CLI", .primary, 0xFA, .system, run: clearInterrupt)
        table.add("STI", .primary, 0xFB, .system, run: setInterrupt)
        table.add("PUSHF", .primary, 0x9C, size: .stack, [.system, .implicitStack], run: pushFlags)
        table.add("POPF", .primary, 0x9D, size: .stack, [.system, .implicitStack], run: popFlags)
        table.add("HLT", .primary, 0xF4, [.endsBlock, .system], run: halt)
        table.add(
            "CLAC", .map0F, 0x01, prefix: .none, digit: 1, rm: 2, mod: .register, [.modRM, .system], run: clearAccess)
        table.add(
            "STAC", .map0F, 0x01, prefix: .none, digit: 1, rm: 3, mod: .register, [.modRM, .system], run: setAccess)
    }
}

extension UnsafeMutablePointer where Pointee == CPUState {
    /// Whether CLI and STI work on VIF instead of IF.
    /// - Throws: #GP(0) where they are not allowed.
    fileprivate func controlsVirtualInterrupts() throws(CPUFault) -> Bool {
        guard isProtected, pointee.cpl > ioPrivilege else { return false }
        let enabling = isVirtual8086 ? ControlRegister4.virtual8086 : ControlRegister4.virtualInterrupts
        guard pointee.cpl == 3, pointee.cr4 & enabling != 0 else { throw generalProtection() }
        return true
    }

    /// INTR is asserted.
    var hasInterruptRequest: Bool { pointee.signals & Attention.interrupt != 0 }
}
