// SPDX-License-Identifier: Apache-2.0

extension OpcodeTable {
    /// Privileged instructions, far transfers, segment loads and input/output.
    static func registerSystemRows(_ table: inout OpcodeTableBuilder) {
        table.add("HLT", .primary, 0xF4, [.endsBlock, .system]) { state, instruction in
            handle(state, instruction) { state, instruction throws(CPUFault) in
                state.pointee.rip = state.nextIP(instruction)
                state.pointee.isHalted = true
                return .exit
            }
        }
    }
}
