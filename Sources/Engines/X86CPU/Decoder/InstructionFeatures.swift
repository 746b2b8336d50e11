// SPDX-License-Identifier: Apache-2.0

internal import CPUInterface

/// Extensions of the instruction set that a row of the opcode table belongs to, and that a processor's model shows: a row
/// of an extension that CPUID does not show is passed over when an instruction is decoded, so that its bytes are what
/// they were before the extension (TZCNT is BSF) or undefined.
struct InstructionFeatures: OptionSet, Sendable {
    let rawValue: UInt64
    init(rawValue: UInt64) { self.rawValue = rawValue }
    private init(bit: UInt64) { rawValue = 1 << bit }

    static let cmov = InstructionFeatures(bit: 0), cx8 = InstructionFeatures(bit: 1)
    static let cx16 = InstructionFeatures(bit: 2), sep = InstructionFeatures(bit: 3)
    static let clflush = InstructionFeatures(bit: 4), clflushopt = InstructionFeatures(bit: 5)
    static let clwb = InstructionFeatures(bit: 6), lahf64 = InstructionFeatures(bit: 7)
    static let fxsr = InstructionFeatures(bit: 8), mmx = InstructionFeatures(bit: 9)
    static let sse = InstructionFeatures(bit: 10), sse2 = InstructionFeatures(bit: 11)
    static let sse3 = InstructionFeatures(bit: 12), ssse3 = InstructionFeatures(bit: 13)
    static let sse41 = InstructionFeatures(bit: 14), sse42 = InstructionFeatures(bit: 15)
    static let popcnt = InstructionFeatures(bit: 16), movbe = InstructionFeatures(bit: 17)
    static let aes = InstructionFeatures(bit: 18), pclmul = InstructionFeatures(bit: 19)
    static let sha = InstructionFeatures(bit: 20), xsave = InstructionFeatures(bit: 21)
    static let xsaveopt = InstructionFeatures(bit: 22), xsavec = InstructionFeatures(bit: 23)
    static let xsaves = InstructionFeatures(bit: 24), avx = InstructionFeatures(bit: 25)
    static let avx2 = InstructionFeatures(bit: 26), fma = InstructionFeatures(bit: 27)
    static let f16c = InstructionFeatures(bit: 28), bmi1 = InstructionFeatures(bit: 29)
    static let bmi2 = InstructionFeatures(bit: 30), abm = InstructionFeatures(bit: 31)
    static let adx = InstructionFeatures(bit: 32), vaes = InstructionFeatures(bit: 33)
    static let vpclmul = InstructionFeatures(bit: 34), gfni = InstructionFeatures(bit: 35)

    /// Every one: what the tables are tested with.
    static let all = InstructionFeatures(rawValue: .max)

    private static let names: [(String, InstructionFeatures)] = [
        ("cmov", .cmov), ("cx8", .cx8), ("cx16", .cx16), ("sep", .sep), ("clflush", .clflush),
        ("clflushopt", .clflushopt), ("clwb", .clwb), ("lahf-lm", .lahf64), ("fxsr", .fxsr), ("mmx", .mmx),
        ("sse", .sse), ("sse2", .sse2), ("sse3", .sse3), ("ssse3", .ssse3), ("sse4.1", .sse41), ("sse4.2", .sse42),
        ("popcnt", .popcnt), ("movbe", .movbe), ("aes", .aes), ("pclmulqdq", .pclmul), ("sha-ni", .sha),
        ("xsave", .xsave), ("xsaveopt", .xsaveopt), ("xsavec", .xsavec), ("xsaves", .xsaves), ("avx", .avx),
        ("avx2", .avx2), ("fma", .fma), ("f16c", .f16c), ("bmi1", .bmi1), ("bmi2", .bmi2), ("abm", .abm),
        ("adx", .adx), ("vaes", .vaes), ("vpclmulqdq", .vpclmul), ("gfni", .gfni),
    ]

    /// What a model shows.
    init(_ model: CPUModel) {
        var found: InstructionFeatures = []
        for (name, feature) in Self.names where model.has(name) { found.insert(feature) }
        self = found
    }

    /// What the tables of vector instructions say of the host, as demanded of the guest's processor. The baseline is
    /// divided by what the instruction works on.
    init(_ host: HostFeatures, usesMMX: Bool) {
        let pairs: [(HostFeatures, InstructionFeatures)] = [
            (.sse3, .sse3), (.ssse3, .ssse3), (.sse41, .sse41), (.sse42, .sse42), (.aes, .aes), (.pclmul, .pclmul),
            (.sha, .sha), (.avx, .avx), (.avx2, .avx2), (.fma, .fma), (.f16c, .f16c), (.vaes, .vaes),
            (.vpclmul, .vpclmul), (.gfni, .gfni),
        ]
        var needed: InstructionFeatures = host.contains(.baseline) ? (usesMMX ? .mmx : .sse) : []
        for (one, other) in pairs where host.contains(one) { needed.insert(other) }
        self = needed
    }
}

extension InstructionFeatures {
    private static let byName: [String: InstructionFeatures] = [
        "MOVBE": .movbe, "POPCNT": .popcnt, "CRC32": .sse42, "ADCX": .adx, "ADOX": .adx, "ANDN": .bmi1,
        "BLSR": .bmi1, "BLSMSK": .bmi1, "BLSI": .bmi1, "BEXTR": .bmi1, "TZCNT": .bmi1, "BZHI": .bmi2,
        "PEXT": .bmi2, "PDEP": .bmi2, "MULX": .bmi2, "SHLX": .bmi2, "SARX": .bmi2, "SHRX": .bmi2, "RORX": .bmi2,
        "LZCNT": .abm, "CLFLUSH": .clflush, "CLFLUSHOPT": .clflushopt, "CLWB": .clwb, "CMOV": .cmov,
        "CMPXCHG8B": .cx8, "FXSAVE": .fxsr, "FXRSTOR": .fxsr, "LDMXCSR": .sse, "STMXCSR": .sse, "XSAVE": .xsave,
        "XRSTOR": .xsave, "XSAVEOPT": .xsaveopt, "XSAVEC": .xsavec, "XSAVES": .xsaves, "XRSTORS": .xsaves,
        "SYSENTER": .sep, "SYSEXIT": .sep, "MOVNTI": .sse2, "LFENCE": .sse2, "MFENCE": .sse2, "SFENCE": .sse,
        "EMMS": .mmx, "LDDQU": .sse3, "MOVNTDQA": .sse41,
    ]

    /// What a row needs whose table does not say it.
    /// - Returns: for 128-bit or unextended operands, and for VEX.L or REX.W.
    static func needed(by row: OpcodeRow) -> (narrow: InstructionFeatures, wide: InstructionFeatures) {
        if row.vex != nil, byName[row.name] == nil {
            let isAVX2 = row.name.hasPrefix("VPMASKMOV") || row.name.contains("GATHER")
            return isAVX2 ? (.avx2, .avx2) : (.avx, row.name == "VMOVNTDQA" ? .avx2 : .avx)
        }
        let needed = byName[row.name] ?? []
        return (needed, row.name == "CMPXCHG8B" ? .cx16 : needed)
    }
}
