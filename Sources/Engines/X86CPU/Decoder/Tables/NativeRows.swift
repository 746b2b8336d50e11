// SPDX-License-Identifier: Apache-2.0

extension OpcodeTable {
    /// Floating point and vectors.
    static func registerNativeRows(_ table: inout OpcodeTableBuilder) {}
}
