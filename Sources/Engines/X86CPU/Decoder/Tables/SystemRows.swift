// SPDX-License-Identifier: Apache-2.0

extension OpcodeTable {
    /// Privileged instructions, far transfers, segment loads and input/output.
    static func registerSystemRows(_ table: inout OpcodeTableBuilder) {
        SegmentInstructions.register(&table)
        SystemCalls.register(&table)
        ControlInstructions.register(&table)
        DescriptorInstructions.register(&table)
        ModelSpecificInstructions.register(&table)
        FlagInstructions.register(&table)
        PortInstructions.register(&table)
        IdentificationInstructions.register(&table)
        DebugInstructions.register(&table)
    }
}
