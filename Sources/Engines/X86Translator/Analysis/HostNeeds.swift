// SPDX-License-Identifier: Apache-2.0

internal import X86CPU

extension RawInstruction {
    /// What the host must have to run the instruction, or one that it is made into.
    var hostNeeds: HostAbilities {
        if isVEX { return vectorEncodedNeeds }
        switch (map, opcode) {
        case (1, 0xB8): return .popcnt
        case (1, 0xBC): return repeatPrefix == 0xF3 ? .tzcnt : []
        case (1, 0xBD): return repeatPrefix == 0xF3 ? .lzcnt : []
        case (2, 0xF0), (2, 0xF1): return repeatPrefix == 0xF2 ? .crc32 : .movbe
        case (2, 0xF6): return .adx
        default: return []
        }
    }

    /// Of general registers in VEX encoding.
    private var vectorEncodedNeeds: HostAbilities {
        switch (map, opcode) {
        case (2, 0xF2), (2, 0xF3): .bmi1
        // BEXTR, or a shift.
        case (2, 0xF7): prefix == 0 ? .bmi1 : .bmi2
        case (2, 0xF5), (2, 0xF6), (3, 0xF0): .bmi2
        default: []
        }
    }
}
