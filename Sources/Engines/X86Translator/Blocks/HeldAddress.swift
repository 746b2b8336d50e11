// SPDX-License-Identifier: Apache-2.0

internal import X86CPU

/// What scratch0 holds from one instruction to the next.
enum HeldAddress: Equatable {
    /// The host's address of a group of accesses.
    case group(Int)
    /// What accesses of a loop's group add.
    case loop(Int)
}

extension BlockTranslator {
    /// Whether the code of an instruction leaves alone what `held` names, but where it says so itself.
    func keepsHeld(_ item: BlockInstruction) -> Bool {
        switch item.kind {
        case .nothing, .verbatim, .shaped: return true
        case .flow: return item.isConditionalJump
        case .special: return keepsHeld(special: item)
        case .interpreted, .system, .floating: return false
        }
    }

    private func keepsHeld(special item: BlockInstruction) -> Bool {
        let raw = item.raw
        if raw.map == 1 { return raw.opcode >= 0xC0 && Host.of(raw.opcodeRegister) != nil }
        switch raw.opcode {
        case 0x50...0x57, 0x68, 0x6A: return true
        case 0x58...0x5F, 0xB0...0xBF: return Host.of(raw.opcodeRegister) != nil
        case 0x8D:
            return Host.of(raw.reg) != nil && item.instruction.operandSize > 1 && registerPlace(item.instruction) != nil
        default: return false
        }
    }
}
