// SPDX-License-Identifier: Apache-2.0

/// A random encoding of one row of the opcode table, and what the decoder made of it.
package struct GeneratedInstruction: Sendable {
    /// The table's name of the row, for messages.
    package var name: String
    /// The encoding, prefixes first; at most 15 bytes.
    package var bytes: [UInt8]
    /// The decoder accepts it.
    package var isDefined = false
    /// modrm.rm is a memory operand, which the test must map.
    package var hasMemoryOperand = false
    /// General registers of the address, nil where there is none; the index may be a vector register.
    package var base: Int?
    /// The register that is scaled; `indexIsVector` says of which file.
    package var index: Int?
    /// A gather: the index is a vector register.
    package var indexIsVector = false
    /// log2 of what the index is multiplied by, 0...3.
    package var scale = 0
    /// Sign-extended; 0 where there is none.
    package var displacement: Int64 = 0
    /// Where the displacement stands in `bytes` when the address is relative to the instruction pointer.
    package var relativePlace: Int?
    /// modrm.reg with REX.R.
    package var reg = 0
    /// modrm.rm with REX.B, where it is a register.
    package var rm = 0
    /// The last byte of the opcode.
    package var opcode: UInt8 = 0
    /// Opcode map: 0 one-byte, 1 0F, 2 0F38, 3 0F3A.
    package var map: UInt8 = 0
    /// Encoded with C4 or C5.
    package var isVEX = false
    /// The immediate as the decoder extended it.
    package var immediate: UInt64 = 0
    /// log2 of the operand's bytes, of integer instructions.
    package var operandSize = 0
}

/// The opcode table as a source of random instructions, for comparing them with the host's processor.
package enum InstructionCatalog {
    /// Rows that user-mode code may run without touching anything but registers and memory.
    package static let userRows: [Int] = {
        let table = OpcodeTable.shared
        return (0..<table.count).filter { isUserMode(table.rows[$0]) }
    }()

    /// The table's name of a row, for messages.
    package static func name(_ row: Int) -> String { OpcodeTable.shared.rows[row].name }

    /// Whether the row exists in code of this width.
    package static func exists(_ row: Int, bits: Int) -> Bool {
        OpcodeTable.shared.rows[row].widths.contains(bits == 64 ? .bits64 : bits == 32 ? .bits32 : .bits16)
    }

    /// Segment loads, far transfers, flag images, system calls and what answers differently on every processor.
    private static let excluded: [UInt8: Set<UInt8>] = [
        0: [
            0x06, 0x07, 0x0E, 0x16, 0x17, 0x1E, 0x1F, 0x8C, 0x8E, 0x9A, 0x9C, 0x9D, 0xC4, 0xC5, 0xCA, 0xCB, 0xCC, 0xCD,
            0xCE, 0xCF, 0xEA, 0xF1, 0xF4, 0xFA, 0xFB,
        ],
        1: [
            0x00, 0x01, 0x02, 0x03, 0x05, 0x06, 0x07, 0x08, 0x09, 0x30, 0x31, 0x32, 0x33, 0x34, 0x35, 0xA0, 0xA1, 0xA2,
            0xA8, 0xA9, 0xB2, 0xB4, 0xB5,
        ],
    ]

    private static func isUserMode(_ row: OpcodeRow) -> Bool {
        if row.flags.contains(.system) { return false }
        if row.vex == nil, excluded[row.map.rawValue]?.contains(row.opcode) ?? false { return false }
        if row.map == .primary, (0x6C...0x6F).contains(row.opcode) { return false }
        if row.map == .primary, (0xE4...0xE7).contains(row.opcode) || (0xEC...0xEF).contains(row.opcode) {
            return false
        }
        // Far calls and jumps through memory; RDRAND, RDSEED and RDPID; FS and GS bases.
        if row.map == .primary, row.opcode == 0xFF, row.digit == 3 || row.digit == 5 { return false }
        if row.map == .map0F, row.opcode == 0xC7, row.digit.map({ $0 > 1 }) ?? true { return false }
        if row.map == .map0F, row.opcode == 0xAE, row.mod == .register { return false }
        return true
    }

    /// A random instruction of a row.
    package static func generate(
        _ row: Int, bits: Int, using random: inout some RandomNumberGenerator
    ) -> GeneratedInstruction {
        var generator = InstructionGenerator(row: OpcodeTable.shared.rows[row], bits: bits)
        generator.build(using: &random)
        var made = GeneratedInstruction(name: name(row), bytes: generator.bytes)
        decode(&made, generator, bits: bits)
        return made
    }

    /// Opcodes that some processors define and this one does not, or that must never run here: 3DNow!, SSE4A, AVX-512 and
    /// its masks, control-flow enforcement, direct stores, system instructions.
    private static func mayBeDefined(_ map: UInt8, _ opcode: UInt8, isVEX: Bool) -> Bool {
        switch (map, isVEX) {
        case (0, _): [0x62, 0x8F, 0xD5].contains(opcode)
        case (1, false): [0x01, 0x09, 0x0E, 0x0F, 0x2B, 0x78, 0x79, 0xA6, 0xA7, 0xAE, 0xC7].contains(opcode)
        case (1, true): (0x41...0x4B).contains(opcode) || (0x90...0x99).contains(opcode)
        case (2, false): (0x80...0x83).contains(opcode) || opcode >= 0xF5
        case (2, true):
            (0x50...0x53).contains(opcode) || (0xB0...0xB5).contains(opcode) || (0x48...0x4B).contains(opcode)
        default: isVEX && (0x30...0x33).contains(opcode)
        }
    }

    /// Random bytes that the decoder takes for no instruction, nor is any known that other processors would; nil where
    /// this draw brought none.
    package static func generateUndefined(
        bits: Int, using random: inout some RandomNumberGenerator
    ) -> GeneratedInstruction? {
        let is64 = bits == 64
        var bytes: [UInt8] = []
        let isVEX = Bool.random(using: &random)
        let map = UInt8.random(in: isVEX ? 1...3 : 0...3, using: &random)
        if isVEX {
            let extensions: UInt8 = is64 ? UInt8.random(in: 0...7, using: &random) : 7
            let last = UInt8.random(in: 0...255, using: &random)
            bytes += [0xC4, extensions << 5 | map, is64 ? last : last | 0x40]
        } else {
            let choices: [UInt8?] = [nil, 0x66, 0xF3, 0xF2]
            let prefix = choices.randomElement(using: &random) ?? nil
            if let prefix { bytes.append(prefix) }
            if is64, Bool.random(using: &random) { bytes.append(0x40 | UInt8.random(in: 0...15, using: &random)) }
            if map > 0 { bytes.append(0x0F) }
            if map > 1 { bytes.append(map == 2 ? 0x38 : 0x3A) }
        }
        let opcode = UInt8.random(in: 0...255, using: &random)
        if mayBeDefined(map, opcode, isVEX: isVEX) { return nil }
        bytes += [opcode, UInt8.random(in: 0...255, using: &random)]
        let length = bytes.count
        bytes += [UInt8](repeating: 0xCC, count: 12)
        var made = GeneratedInstruction(name: "undefined", bytes: bytes)
        var generator = InstructionGenerator(row: OpcodeTable.shared.rows[0], bits: bits)
        generator.bytes = bytes
        decode(&made, generator, bits: bits)
        // An escape inside the bytes may have made another opcode of them.
        if made.isDefined || !isVEX && map == 0 && [0x0F, 0xC4, 0xC5].contains(opcode) { return nil }
        made.bytes = Array(bytes.prefix(max(length, made.bytes.count)))
        return made
    }

    private static func decode(_ made: inout GeneratedInstruction, _ generator: InstructionGenerator, bits: Int) {
        let width: CodeWidth = bits == 64 ? .bits64 : bits == 32 ? .bits32 : .bits16
        let flat = bits == 16 ? 0 : CodeMode.flatBit
        // The stack is as wide as the code.
        let mode = CodeMode(
            rawValue: width.rawValue | (width.rawValue + 1) << 2 | flat | CodeMode.userBit | CodeMode.protectedBit)
        made.bytes.withUnsafeBufferPointer { buffer in
            var decoder = InstructionDecoder(
                bytes: buffer.baseAddress!, available: buffer.count, mode: mode, offset: 0)
            guard case .complete = decoder.decode(), decoder.row != nil else { return }
            made.isDefined = true
            fill(&made, decoder.instruction, generator)
        }
        if made.isDefined { return keepOutOfItself(&made, generator.row.immediate) }
        // Nothing behind an undefined instruction may run.
        for place in generator.operandEnd..<made.bytes.count { made.bytes[place] = 0xCC }
    }

    /// A relative branch that lands in its own bytes might never end.
    private static func keepOutOfItself(_ made: inout GeneratedInstruction, _ form: ImmediateForm) {
        let count = made.bytes.count
        guard form == .relativeByte, let last = made.bytes.last else { return }
        let target = count + Int(Int8(bitPattern: last))
        if (0..<count).contains(target) { made.bytes[count - 1] = 0x10 }
    }

    private static func fill(
        _ made: inout GeneratedInstruction, _ instruction: Instruction, _ generator: InstructionGenerator
    ) {
        made.bytes.removeLast(made.bytes.count - Int(instruction.length))
        made.hasMemoryOperand = instruction.prefixes.contains(.memory)
        (made.opcode, made.map) = (instruction.opcode, instruction.map)
        made.isVEX = instruction.prefixes.contains(.vex)
        (made.reg, made.rm) = (Int(instruction.reg), Int(instruction.rm))
        made.immediate = UInt64(generator.bytes[Int(instruction.length) - 1])
        made.operandSize = Int(instruction.operandSize)
        made.scale = Int(instruction.scale)
        made.displacement = instruction.displacement
        made.indexIsVector = generator.row.flags.contains(.vectorIndex)
        if instruction.base < 16 { made.base = Int(instruction.base) }
        // A gather's selector moved the index away.
        if made.indexIsVector {
            made.index = Int(instruction.detail)
        } else if instruction.index < 16 {
            made.index = Int(instruction.index)
        }
        if instruction.base == Instruction.ripRegister { made.relativePlace = generator.displacementPlace }
    }
}

/// Puts an encoding together.
private struct InstructionGenerator {
    let row: OpcodeRow
    let bits: Int
    private var is64: Bool { bits == 64 }
    /// Addresses have 16 bits: another form of modrm, and no SIB.
    private var has16BitAddress = false
    var bytes: [UInt8] = []
    var displacementPlace = 0
    /// Bytes up to here are prefixes, opcode and operands; immediates follow.
    var operandEnd = 0

    init(row: OpcodeRow, bits: Int) {
        self.row = row
        self.bits = bits
        has16BitAddress = bits == 16
    }

    private static let immediateBytes = 10
    /// Segment prefixes whose segments the host's process has.
    private static let overrides64: [UInt8] = [0x26, 0x2E, 0x36, 0x3E, 0x65],
        overrides: [UInt8] = [0x26, 0x2E, 0x36, 0x3E]

    mutating func build(using random: inout some RandomNumberGenerator) {
        if let vex = row.vex { vexPrefix(vex, &random) } else { legacyPrefixes(&random) }
        if row.vex == nil, row.map != .primary { bytes.append(0x0F) }
        if row.vex == nil, row.map == .map0F38 { bytes.append(0x38) }
        if row.vex == nil, row.map == .map0F3A { bytes.append(0x3A) }
        bytes.append(row.opcode)
        if row.flags.contains(.modRM) { operands(&random) }
        operandEnd = bytes.count
        for _ in 0..<Self.immediateBytes { bytes.append(UInt8.random(in: 0...255, using: &random)) }
    }

    private func chance(_ percent: Int, _ random: inout some RandomNumberGenerator) -> Bool {
        Int.random(in: 0..<100, using: &random) < percent
    }

    private var isString: Bool {
        row.map == .primary && ((0xA4...0xA7).contains(row.opcode) || (0xAA...0xAF).contains(row.opcode))
    }

    private mutating func legacyPrefixes(_ random: inout some RandomNumberGenerator) {
        if chance(4, &random) {
            bytes.append((is64 ? Self.overrides64 : Self.overrides).randomElement(using: &random) ?? 0x3E)
        }
        if bits != 32, chance(4, &random) {
            bytes.append(0x67)
            has16BitAddress = false
        }
        let canLock = row.flags.contains(.lockable)
        if chance(canLock ? 20 : 1, &random) { bytes.append(0xF0) }
        var choices: [UInt8?] = []
        for (option, byte) in [(OpcodePrefixes.none, UInt8?.none), (.x66, 0x66), (.xF3, 0xF3), (.xF2, 0xF2)]
        where row.prefix.contains(option) { choices.append(byte) }
        // Processors disagree about 66 before near branches in 64-bit code, and about F2 and F3 before LOOP.
        let isBranch = is64 && row.size == .branch
        if isBranch { choices.removeAll { $0 == 0x66 } }
        if row.map == .primary, (0xE0...0xE3).contains(row.opcode) { choices.removeAll { $0 == 0xF2 || $0 == 0xF3 } }
        let isPlain = row.prefix.contains(.none)
        let usual = isString ? 30 : 75
        let prefix = isPlain && chance(usual, &random) ? nil : choices.randomElement(using: &random)!
        // A mandatory F3 or F2 may have 66 beside it.
        if let prefix, prefix != 0x66, !isBranch, chance(15, &random) { bytes.append(0x66) }
        if let prefix { bytes.append(prefix) }
        if is64, chance(60, &random) { bytes.append(0x40 | UInt8.random(in: 0...15, using: &random)) }
    }

    private mutating func vexPrefix(_ vex: VEXForm, _ random: inout some RandomNumberGenerator) {
        func choose(_ bit: VEXForm.Bit, _ random: inout some RandomNumberGenerator) -> UInt8 {
            switch bit {
            case .zero: 0
            case .one: 1
            case .any: UInt8.random(in: 0...1, using: &random)
            }
        }
        let pp = UInt8(row.prefix.rawValue.trailingZeroBitCount)
        let l = choose(vex.l, &random)
        let w = choose(vex.w, &random)
        let vvvv: UInt8 = vex.usesV ? UInt8.random(in: is64 ? 0...15 : 8...15, using: &random) : 15
        let extensions: UInt8 = is64 ? UInt8.random(in: 0...7, using: &random) : 7
        if row.map == .map0F, w == 0, extensions & 3 == 3, chance(50, &random) {
            bytes += [0xC5, (extensions & 4) << 5 | vvvv << 3 | l << 2 | pp]
        } else {
            bytes += [0xC4, extensions << 5 | row.map.rawValue, w << 7 | vvvv << 3 | l << 2 | pp]
        }
    }

    private mutating func displacement16(_ mod: UInt8, _ rm: UInt8, _ random: inout some RandomNumberGenerator) {
        displacementPlace = bytes.count
        if mod == 1 { bytes.append(UInt8.random(in: 0...255, using: &random)) }
        guard mod == 2 || mod == 0 && rm == 6 else { return }
        let value = UInt16.random(in: 0..<0x4000, using: &random)
        bytes += [UInt8(truncatingIfNeeded: value), UInt8(truncatingIfNeeded: value >> 8)]
    }

    private mutating func operands(_ random: inout some RandomNumberGenerator) {
        let reg = row.digit ?? UInt8.random(in: 0...7, using: &random)
        let isRegister = row.mod == .register || row.mod == .any && chance(45, &random)
        if isRegister {
            bytes.append(0xC0 | reg << 3 | (row.rm ?? UInt8.random(in: 0...7, using: &random)))
            return
        }
        let mod = UInt8.random(in: 0...2, using: &random)
        var rm = UInt8.random(in: 0...7, using: &random)
        if row.flags.contains(.vectorIndex) { rm = 4 }
        bytes.append(mod << 6 | reg << 3 | rm)
        if has16BitAddress { return displacement16(mod, rm, &random) }
        var base = rm
        if rm == 4 {
            let sib = UInt8.random(in: 0...255, using: &random)
            bytes.append(sib)
            base = sib & 7
        }
        displacementPlace = bytes.count
        if mod == 1 { bytes.append(UInt8.random(in: 0...255, using: &random)) }
        if mod == 2 || mod == 0 && base == 5 {
            let value = Int32.random(in: -512...512, using: &random)
            for shift in [0, 8, 16, 24] { bytes.append(UInt8(truncatingIfNeeded: value >> Int32(shift))) }
        }
    }
}
