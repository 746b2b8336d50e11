// SPDX-License-Identifier: Apache-2.0

internal import X86CPU

/// An x87 instruction that runs on the host's unit while that holds the guest's state.
struct X87Form {
    /// Of the memory operand, or 0.
    var bytes: Int
    var isWrite: Bool
    /// It is one of those that the unit remembers (FIP, FDP, FOP).
    var isRemembered = true

    init?(_ raw: RawInstruction) {
        let words = 2
        if raw.isMemory, raw.digit == 7, raw.opcode == 0xD9 || raw.opcode == 0xDD {
            // FNSTCW and FNSTSW.
            (bytes, isWrite, isRemembered) = (words, true, false)
        } else if raw.opcode == 0xDF && raw.modRM == 0xE0 || raw.opcode == 0xDB && raw.modRM == 0xE2 {
            // FNSTSW AX and FNCLEX.
            (bytes, isWrite, isRemembered) = (0, false, false)
        } else if let operand = x87Operand(opcode: raw.opcode, modRM: raw.modRM) {
            (bytes, isWrite) = (operand.bytes, operand.isWrite)
        } else {
            return nil
        }
    }

    /// FCOMI and its kind set the flags; FCMOVcc look at them.
    static func flagEffect(_ raw: RawInstruction) -> FlagEffect {
        guard !raw.isMemory else { return [] }
        switch (raw.opcode, raw.modRM) {
        case (0xDB, 0xE8...0xF7), (0xDF, 0xE8...0xF7): return .replacing
        case (0xDA, 0xC0...0xDF), (0xDB, 0xC0...0xDF): return .reads
        default: return []
        }
    }
}
