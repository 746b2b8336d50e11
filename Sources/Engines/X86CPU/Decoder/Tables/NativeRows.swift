// SPDX-License-Identifier: Apache-2.0

extension OpcodeTable {
    /// Floating point and vectors.
    static func registerNativeRows(_ table: inout OpcodeTableBuilder) {
        VectorMoveRows.register(&table)
        VectorTable.register(&table)
        MaskedVectors.register(&table)
        X87Rows.register(&table)
        SaveHandlers.register(&table)
        XSaveHandlers.register(&table)
    }
}
