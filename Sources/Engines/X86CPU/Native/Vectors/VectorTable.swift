// SPDX-License-Identifier: Apache-2.0

extension MandatoryPrefix {
    /// As the opcode table names it.
    var opcodePrefix: OpcodePrefixes { OpcodePrefixes(rawValue: 1 << rawValue) }
}

/// Turns the tables of vector instructions into rows of the opcode table.
enum VectorTable {
    static func register(_ table: inout OpcodeTableBuilder) {
        let host = HostFeatures.host
        for (index, form) in VectorForm.all.enumerated() {
            if let needed = form.legacyFeatures, host.isSuperset(of: needed) {
                add(&table, index, form, vex: nil, name: form.name)
                let guest = InstructionFeatures(needed, usesMMX: form.usesMMX)
                table.lastNeeds(guest, wide: guest)
            }
            let has128 = form.vex128Features.map(host.isSuperset(of:)) ?? false
            let has256 = form.vex256Features.map(host.isSuperset(of:)) ?? false
            guard has128 || has256 else { continue }
            let length: VEXForm.Bit = has128 ? (has256 || form.ignoresLength ? .any : .zero) : .one
            let vex = VEXForm(l: length, w: form.w, usesV: form.operands.contains(.vvvv))
            add(&table, index, form, vex: vex, name: form.name.hasPrefix("V") ? form.name : "V" + form.name)
            table.lastNeeds(
                InstructionFeatures(form.vex128Features ?? .avx, usesMMX: false),
                wide: InstructionFeatures(form.vex256Features ?? form.vex128Features ?? .avx, usesMMX: false))
        }
    }

    private static func add(
        _ table: inout OpcodeTableBuilder, _ index: Int, _ form: VectorForm, vex: VEXForm?, name: String
    ) {
        guard let map = OpcodeMap(rawValue: form.map) else { return }
        let mod: ModForm
        switch form.rm {
        case .rmMemory: mod = .memory
        case .rmVectorRegister, .rmMMXRegister: mod = .register
        default: mod = .any
        }
        table.add(
            name, map, form.opcode, prefix: form.prefix.opcodePrefix, digit: form.digit, mod: mod, vex: vex,
            size: .doubleOrQuad, immediate: form.hasImmediate ? .byteUnsigned : .none, [.modRM, .vectorForm]
        ) { instruction, mode in
            select(index, form, &instruction, mode)
        }
    }

    /// Finds or makes the native operation and puts it into the instruction.
    private static func select(
        _ index: Int, _ form: VectorForm, _ instruction: inout Instruction, _ mode: CodeMode
    ) -> Handler? {
        let isVEX = instruction.prefixes.contains(.vex)
        var immediate = UInt8(truncatingIfNeeded: instruction.immediate)
        instruction.detail = 0
        if form.operands.contains(.immediateRegister) {
            instruction.detail = immediate >> 4 & (mode.is64 ? 15 : 7)
            immediate = 0
        }
        if !form.hasImmediate { immediate = 0 }
        // VPEXTRQ and VPINSRQ exist in 64-bit code only.
        let isQuadOnly = isVEX && form.map == OpcodeMap.map0F3A.rawValue && form.size == .byWidth
        if isQuadOnly, instruction.prefixes.contains(.rexW), !mode.is64 { return nil }
        let encoding = VectorEncoding(
            form: form, isVEX: isVEX, is256: instruction.prefixes.contains(.vexL) && !form.ignoresLength,
            wide: isWide(form, instruction, mode), isMemory: instruction.prefixes.contains(.memory),
            immediate: immediate)
        guard let operation = NativeLibrary.shared.vectorOperation(index, encoding) else { return nil }
        instruction.immediate = UInt64(UInt(bitPattern: operation))
        if isClear(form, instruction, isVEX: isVEX) { return VectorMoves.clear }
        return VectorHandlers.handler(for: operation.pointee.traits)
    }

    /// Whether REX.W or VEX.W means something and is set.
    private static func isWide(_ form: VectorForm, _ instruction: Instruction, _ mode: CodeMode) -> Bool {
        guard instruction.prefixes.contains(.rexW) else { return false }
        let choosesWidth = form.size == .byWidth || form.reg == .regGeneral || form.traits.contains(.string)
        return choosesWidth ? mode.is64 : form.w != .any
    }

    /// PXOR and XORPS of a register with itself.
    private static func isClear(_ form: VectorForm, _ instruction: Instruction, isVEX: Bool) -> Bool {
        let isXOR = form.map == 1 && form.prefix != .xF3 && (form.opcode == 0xEF || form.opcode == 0x57)
        return isXOR && !form.usesMMX && !isVEX && !instruction.prefixes.contains(.memory)
            && instruction.reg == instruction.rm
    }
}
