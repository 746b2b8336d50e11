// SPDX-License-Identifier: Apache-2.0

extension OpcodeTable {
    /// Identity, model-specific and extended control registers, ports, fast system calls.
    static func registerSystemRegisterRows(_ table: inout OpcodeTableBuilder) {
        registerIdentityRows(&table)
        registerModelSpecificRows(&table)
        registerPortRows(&table)
        registerFastCallRows(&table)
    }
}
