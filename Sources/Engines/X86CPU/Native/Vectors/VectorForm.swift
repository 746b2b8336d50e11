// SPDX-License-Identifier: Apache-2.0

/// An operand's kind and where the encoding names it.
enum VectorOperandKind: Sendable, Equatable {
    /// modrm.reg: vector, MMX or general register.
    case regVector, regMMX, regGeneral
    /// VEX.vvvv; the same as the destination in legacy encoding.
    case vvvv
    /// modrm.rm: vector, MMX or general register, or memory.
    case rmVector, rmMMX, rmGeneral
    /// Memory only.
    case rmMemory
    /// Vector and MMX registers only.
    case rmVectorRegister, rmMMXRegister
    /// The vector register in bits 7:4 of the immediate.
    case immediateRegister
    /// XMM0.
    case implicitZero
    case immediate

    var isRM: Bool {
        switch self {
        case .rmVector, .rmMMX, .rmGeneral, .rmMemory, .rmVectorRegister, .rmMMXRegister: true
        default: false
        }
    }
    var isReg: Bool { self == .regVector || self == .regMMX || self == .regGeneral }
}

/// Bytes of a memory operand.
enum VectorOperandSize: Sendable, Equatable {
    case fixed(UInt8)
    /// The vector's size divided by this.
    case vector(UInt8)
    /// 4, or 8 with REX.W or VEX.W in 64-bit code.
    case byWidth
    /// 8 for 128-bit, 32 for 256-bit vectors (MOVDDUP).
    case duplicate

    func bytes(is256: Bool, wide: Bool) -> UInt8 {
        switch self {
        case .fixed(let count): count
        case .vector(let divisor): (is256 ? 32 : 16) / divisor
        case .byWidth: wide ? 8 : 4
        case .duplicate: is256 ? 32 : 8
        }
    }
}

/// One row of the tables of vector instructions.
struct VectorForm: Sendable {
    struct Traits: OptionSet, Sendable {
        let rawValue: UInt8
        /// Rounds by and reports in MXCSR.
        static let floatingPoint = Traits(rawValue: 1)
        /// Sets the arithmetic flags and writes no register.
        static let setsFlags = Traits(rawValue: 2)
        /// A 16-byte memory operand need not be aligned.
        static let unaligned = Traits(rawValue: 4)
        /// PCMPxSTRx: lengths in RAX and RDX, result in RCX or XMM0, and flags.
        static let string = Traits(rawValue: 8)
    }

    var map: UInt8
    var opcode: UInt8
    var prefix: MandatoryPrefix
    var digit: UInt8?
    var name: String
    var operands: [VectorOperandKind]
    /// Of the r/m operand.
    var size: VectorOperandSize
    /// What the host must have for legacy, 128-bit and 256-bit VEX encoding; nil where there is no such encoding.
    var legacyFeatures: HostFeatures?
    var vex128Features: HostFeatures?
    var vex256Features: HostFeatures?
    var traits: Traits
    var w: VEXForm.Bit

    var usesMMX: Bool { operands.contains { $0 == .regMMX || $0 == .rmMMX || $0 == .rmMMXRegister } }
    var hasImmediate: Bool { operands.contains { $0 == .immediate || $0 == .immediateRegister } }
    /// Scalar arithmetic: VEX.L means nothing.
    var ignoresLength: Bool {
        guard traits.contains(.floatingPoint), vex256Features == nil else { return false }
        return size == .fixed(4) || size == .fixed(8) || size == .byWidth
    }
    var rm: VectorOperandKind? { operands.first { $0.isRM } }
    var reg: VectorOperandKind? { operands.first { $0.isReg } }
}

// The tables' columns: opcode (with /digit), mandatory prefix, name, operands, features, traits.
//
// Operands are letters as in the opcode maps of the manuals, destination first: V P G modrm.reg as vector, MMX, general
// register; H vvvv (in legacy encoding left out, or where it comes first the same as r/m); W Q E r/m as the three kinds
// or memory; U N registers only; M memory only; L immediate[7:4]; 0 XMM0; I immediate. After the letter the size of a
// memory operand: x the vector, x2 x4 x8 a part of it, y by W, d as MOVDDUP, or bytes.
//
// Features are those of legacy / VEX.128 / VEX.256 encoding, `-` where there is none. Traits: fp, flags, na (no
// alignment), amd-na (no alignment on AMD's processors, as seen), string, w0, w1, w1-amd (AMD's
// processors take either).
extension VectorForm {
    /// All forms of the three maps, in the order of the tables.
    static let all: [VectorForm] =
        parse(vectorForms0F, map: 1) + parse(vectorForms0F38, map: 2) + parse(vectorForms0F3A, map: 3)

    /// Reads a table. It is part of the program: a mistake in it stops the program at once, and the tests find it.
    static func parse(_ text: String, map: UInt8) -> [VectorForm] {
        text.utf8.split(separator: UInt8(ascii: "\n")).map { line in
            let words = line.split(separator: UInt8(ascii: " "))
            guard words.count >= 5, let form = VectorForm(map: map, words) else {
                fatalError("vector table, map \(map): \(String(Substring(line)))")
            }
            return form
        }
    }

    private init?(map: UInt8, _ words: [Substring.UTF8View.SubSequence]) {
        self.map = map
        let place = words[0].split(separator: UInt8(ascii: "/"))
        guard let opcode = UInt8(Self.text(place[0]), radix: 16) else { return nil }
        self.opcode = opcode
        digit = place.count > 1 ? UInt8(Self.text(place[1])) : nil
        guard let prefix = Self.prefixes[Self.text(words[1])] else { return nil }
        self.prefix = prefix
        name = Self.text(words[2])
        size = .vector(1)
        operands = []
        for operand in words[3].split(separator: UInt8(ascii: ",")) {
            guard let first = operand.first, let kind = Self.kinds[first] else { return nil }
            operands.append(kind)
            guard kind.isRM, operand.count > 1 else { continue }
            guard let size = Self.size(Self.text(operand.dropFirst())) else { return nil }
            self.size = size
        }
        let features = words[4].split(separator: UInt8(ascii: "/")).map { Self.features(Self.text($0)) }
        guard features.count == 3 else { return nil }
        (legacyFeatures, vex128Features, vex256Features) = (features[0], features[1], features[2])
        traits = []
        w = .any
        for word in words.dropFirst(5) {
            switch Self.text(word) {
            case "fp": traits.insert(.floatingPoint)
            case "flags": traits.insert(.setsFlags)
            case "na": traits.insert(.unaligned)
            case "amd-na": if HostFeatures.isAMD { traits.insert(.unaligned) }
            case "string": traits.insert(.string)
            case "w0": w = .zero
            case "w1": w = .one
            case "w1-amd": w = HostFeatures.isAMD ? .any : .one
            default: return nil
            }
        }
    }

    private static func text(_ bytes: some Collection<UInt8>) -> String { String(decoding: bytes, as: UTF8.self) }

    private static let prefixes: [String: MandatoryPrefix] = ["-": .none, "66": .x66, "F3": .xF3, "F2": .xF2]

    private static let kinds: [UInt8: VectorOperandKind] = [
        UInt8(ascii: "V"): .regVector, UInt8(ascii: "P"): .regMMX, UInt8(ascii: "G"): .regGeneral,
        UInt8(ascii: "H"): .vvvv, UInt8(ascii: "W"): .rmVector, UInt8(ascii: "Q"): .rmMMX,
        UInt8(ascii: "E"): .rmGeneral, UInt8(ascii: "M"): .rmMemory, UInt8(ascii: "U"): .rmVectorRegister,
        UInt8(ascii: "N"): .rmMMXRegister, UInt8(ascii: "L"): .immediateRegister, UInt8(ascii: "0"): .implicitZero,
        UInt8(ascii: "I"): .immediate,
    ]

    private static func size(_ text: String) -> VectorOperandSize? {
        switch text {
        case "x": .vector(1)
        case "x2": .vector(2)
        case "x4": .vector(4)
        case "x8": .vector(8)
        case "y": .byWidth
        case "d": .duplicate
        default: UInt8(text).map { .fixed($0) }
        }
    }

    private static let featureNames: [String: HostFeatures] = [
        "mmx": .baseline, "sse": .baseline, "sse3": .sse3, "ssse3": .ssse3, "ssse3m": .ssse3, "sse41": .sse41,
        "sse42": .sse42, "aes": .aes, "pclmul": .pclmul, "sha": .sha, "avx": .avx, "avx2": .avx2, "fma": .fma,
        "f16c": .f16c, "vaes": .vaes, "vpclmul": .vpclmul, "gfni": .gfni,
    ]

    /// Nil for `-`; a misspelt name is one that no host has, which the test of the tables notices.
    private static func features(_ text: String) -> HostFeatures? {
        if text == "-" { return nil }
        return text.utf8.split(separator: UInt8(ascii: "+")).reduce(into: HostFeatures()) {
            $0.formUnion(featureNames[Self.text($1)] ?? HostFeatures(rawValue: 1 << 31))
        }
    }
}
