// SPDX-License-Identifier: Apache-2.0

/// Rows of the moves that have handlers of their own.
enum VectorMoveRows {
    static func register(_ table: inout OpcodeTableBuilder) {
        whole(&table)
        scalars(&table)
        halves(&table)
        general(&table)
        mmx(&table)
        special(&table)
    }

    private static var hasAVX: Bool { HostFeatures.host.contains(.avx) }

    /// Adds the legacy row and, where the host has AVX, the VEX row with the same selector.
    private static func add(
        _ table: inout OpcodeTableBuilder, _ name: String, _ opcode: UInt8, _ prefix: OpcodePrefixes,
        map: OpcodeMap = .map0F, mod: ModForm = .any, vex: VEXForm?, legacy: Bool = true,
        select: @escaping HandlerSelector
    ) {
        if legacy {
            table.add(name, map, opcode, prefix: prefix, mod: mod, size: .doubleOrQuad, .modRM, select: select)
        }
        guard hasAVX, let vex else { return }
        table.add(
            "V" + name, map, opcode, prefix: prefix, mod: mod, vex: vex, size: .doubleOrQuad, .modRM, select: select)
    }

    private static let anyLength = VEXForm(usesV: false)
    private static let short = VEXForm(l: .zero, usesV: false)
    private static let shortWithV = VEXForm(l: .zero)

    // MARK: whole registers

    /// - Parameter aligned: the operand must be aligned to its size.
    private static func loads(aligned: Bool) -> HandlerSelector {
        { instruction, _ in
            let isVEX = instruction.prefixes.contains(.vex)
            let is256 = instruction.prefixes.contains(.vexL)
            let isMemory = instruction.prefixes.contains(.memory)
            // Unaligned loads need no check; legacy MOVUPS has none either.
            instruction.detail = aligned ? (is256 ? 31 : 15) : 0
            if !isVEX { return isMemory ? VectorMoves.load128 : VectorMoves.move128 }
            if is256 { return isMemory ? VectorMoves.load256 : VectorMoves.move256 }
            return isMemory ? VectorMoves.load128Clearing : VectorMoves.move128Clearing
        }
    }

    private static func stores(aligned: Bool) -> HandlerSelector {
        { instruction, mode in
            guard instruction.prefixes.contains(.memory) else {
                swap(&instruction.reg, &instruction.rm)
                return loads(aligned: aligned)(&instruction, mode)
            }
            let is256 = instruction.prefixes.contains(.vexL)
            instruction.detail = aligned ? (is256 ? 31 : 15) : 0
            return is256 ? VectorMoves.store256 : VectorMoves.store128
        }
    }

    private static func whole(_ table: inout OpcodeTableBuilder) {
        for (prefix, suffix) in [(OpcodePrefixes.none, "PS"), (.x66, "PD")] {
            add(&table, "MOVU" + suffix, 0x10, prefix, vex: anyLength, select: loads(aligned: false))
            add(&table, "MOVU" + suffix, 0x11, prefix, vex: anyLength, select: stores(aligned: false))
            add(&table, "MOVA" + suffix, 0x28, prefix, vex: anyLength, select: loads(aligned: true))
            add(&table, "MOVA" + suffix, 0x29, prefix, vex: anyLength, select: stores(aligned: true))
            add(&table, "MOVNT" + suffix, 0x2B, prefix, mod: .memory, vex: anyLength, select: stores(aligned: true))
        }
        add(&table, "MOVDQA", 0x6F, .x66, vex: anyLength, select: loads(aligned: true))
        add(&table, "MOVDQA", 0x7F, .x66, vex: anyLength, select: stores(aligned: true))
        add(&table, "MOVDQU", 0x6F, .xF3, vex: anyLength, select: loads(aligned: false))
        add(&table, "MOVDQU", 0x7F, .xF3, vex: anyLength, select: stores(aligned: false))
        add(&table, "MOVNTDQ", 0xE7, .x66, mod: .memory, vex: anyLength, select: stores(aligned: true))
        let host = HostFeatures.host
        add(
            &table, "LDDQU", 0xF0, .xF2, mod: .memory, vex: anyLength, legacy: host.contains(.sse3),
            select: loads(aligned: false))
        let length: VEXForm.Bit = host.contains(.avx2) ? .any : .zero
        add(
            &table, "MOVNTDQA", 0x2A, .x66, map: .map0F38, mod: .memory, vex: VEXForm(l: length, usesV: false),
            legacy: host.contains(.sse41), select: loads(aligned: true))
    }

    // MARK: scalars

    private static func always(_ handler: @escaping Handler) -> HandlerSelector { { _, _ in handler } }

    /// The register form of the opcode that stores: source and destination change places.
    private static func swapped(_ handler: @escaping Handler) -> HandlerSelector {
        { instruction, _ in
            swap(&instruction.reg, &instruction.rm)
            return handler
        }
    }

    private static let anyLengthWithV = VEXForm()

    private static func scalars(_ table: inout OpcodeTableBuilder) {
        // VEX.L is ignored by VMOVSS and VMOVSD.
        add(&table, "MOVSS", 0x10, .xF3, mod: .memory, vex: anyLength, select: always(VectorMoves.load32))
        add(&table, "MOVSS", 0x10, .xF3, mod: .register, vex: anyLengthWithV, select: always(VectorMoves.merge32))
        add(&table, "MOVSS", 0x11, .xF3, mod: .memory, vex: anyLength, select: always(VectorMoves.store32))
        add(&table, "MOVSS", 0x11, .xF3, mod: .register, vex: anyLengthWithV, select: swapped(VectorMoves.merge32))
        add(&table, "MOVSD", 0x10, .xF2, mod: .memory, vex: anyLength, select: always(VectorMoves.load64))
        add(&table, "MOVSD", 0x10, .xF2, mod: .register, vex: anyLengthWithV, select: always(VectorMoves.merge64))
        add(&table, "MOVSD", 0x11, .xF2, mod: .memory, vex: anyLength, select: always(VectorMoves.store64))
        add(&table, "MOVSD", 0x11, .xF2, mod: .register, vex: anyLengthWithV, select: swapped(VectorMoves.merge64))
        add(&table, "MOVQ", 0x7E, .xF3, mod: .memory, vex: short, select: always(VectorMoves.load64))
        add(&table, "MOVQ", 0x7E, .xF3, mod: .register, vex: short, select: always(VectorMoves.moveLow))
        add(&table, "MOVQ", 0xD6, .x66, mod: .memory, vex: short, select: always(VectorMoves.store64))
        add(&table, "MOVQ", 0xD6, .x66, mod: .register, vex: short, select: swapped(VectorMoves.moveLow))
    }

    private static func halves(_ table: inout OpcodeTableBuilder) {
        for (prefix, suffix) in [(OpcodePrefixes.none, "PS"), (.x66, "PD")] {
            add(
                &table, "MOVL" + suffix, 0x12, prefix, mod: .memory, vex: shortWithV,
                select: always(VectorMoves.loadLow))
            add(&table, "MOVL" + suffix, 0x13, prefix, mod: .memory, vex: short, select: always(VectorMoves.store64))
            add(
                &table, "MOVH" + suffix, 0x16, prefix, mod: .memory, vex: shortWithV,
                select: always(VectorMoves.loadHigh))
            add(&table, "MOVH" + suffix, 0x17, prefix, mod: .memory, vex: short, select: always(VectorMoves.storeHigh))
        }
        add(&table, "MOVHLPS", 0x12, .none, mod: .register, vex: shortWithV, select: always(VectorMoves.highToLow))
        add(&table, "MOVLHPS", 0x16, .none, mod: .register, vex: shortWithV, select: always(VectorMoves.lowToHigh))
    }

    // MARK: general registers

    private static func general(_ table: inout OpcodeTableBuilder) {
        add(&table, "MOVD", 0x6E, .x66, vex: short, select: always(VectorMoves.fromGeneral))
        add(&table, "MOVD", 0x7E, .x66, vex: short, select: always(VectorMoves.toGeneral))
    }

    // MARK: MMX

    /// MOVQ takes eight bytes whatever REX.W says.
    private static func quad(_ handler: @escaping Handler) -> HandlerSelector {
        { instruction, _ in
            instruction.operandSize = 3
            return handler
        }
    }

    private static func mmx(_ table: inout OpcodeTableBuilder) {
        add(&table, "MOVD", 0x6E, .none, vex: nil, select: always(MMXMoves.fromGeneral))
        add(&table, "MOVD", 0x7E, .none, vex: nil, select: always(MMXMoves.toGeneral))
        add(&table, "MOVQ", 0x6F, .none, mod: .memory, vex: nil, select: quad(MMXMoves.fromGeneral))
        add(&table, "MOVQ", 0x6F, .none, mod: .register, vex: nil, select: always(MMXMoves.move))
        add(&table, "MOVQ", 0x7F, .none, mod: .memory, vex: nil, select: quad(MMXMoves.toGeneral))
        add(&table, "MOVQ", 0x7F, .none, mod: .register, vex: nil, select: swapped(MMXMoves.move))
        add(&table, "MOVNTQ", 0xE7, .none, mod: .memory, vex: nil, select: quad(MMXMoves.toGeneral))
        add(&table, "MOVQ2DQ", 0xD6, .xF3, mod: .register, vex: nil, select: always(MMXMoves.toVector))
        add(&table, "MOVDQ2Q", 0xD6, .xF2, mod: .register, vex: nil, select: always(MMXMoves.fromVector))
    }

    // MARK: the rest

    /// The memory operand is at rDI of the data segment or its override.
    private static func masked(_ handler: @escaping Handler) -> HandlerSelector {
        { instruction, _ in
            instruction.base = UInt8(Register.rdi)
            instruction.index = Instruction.noRegister
            instruction.displacement = 0
            return handler
        }
    }

    private static func special(_ table: inout OpcodeTableBuilder) {
        add(&table, "MASKMOVQ", 0xF7, .none, mod: .register, vex: nil, select: masked(MMXMoves.maskedStore))
        add(&table, "MASKMOVDQU", 0xF7, .x66, mod: .register, vex: short, select: masked(MMXMoves.maskedStoreVector))
        table.add("EMMS", .map0F, 0x77, prefix: .none, run: MMXMoves.empty)
        guard hasAVX else { return }
        table.add("VZEROUPPER", .map0F, 0x77, prefix: .none, vex: VEXForm(usesV: false), run: VectorMoves.zero)
    }
}
