// SPDX-License-Identifier: Apache-2.0

internal import CHostOracle
internal import RandomKit
internal import X86CPU

/// Random registers that are interesting for an instruction, and whose memory operand mostly exists.
enum OracleValues {
    /// Arithmetic flags, and the direction flag.
    static let arithmeticFlags: UInt64 = 0x8D5, direction: UInt64 = 0x400
    /// What a process always has: bit 1 and interrupts enabled.
    private static let fixedFlags: UInt64 = 0x202
    private static let rax = 0, rcx = 1, rbx = 3, rsp = 4, rsi = 6, rdi = 7

    private static func chance(_ percent: Int, _ random: inout SeededGenerator) -> Bool {
        Int.random(in: 0..<100, using: &random) < percent
    }

    /// 64 bits that are a boundary of some integer or floating-point format, once or in both halves.
    static func special(_ random: inout SeededGenerator) -> UInt64 {
        let singles: [UInt32] = [
            0, 0x8000_0000, 0x3F80_0000, 0xBF80_0000, 0x7F80_0000, 0xFF80_0000, 0x7FC0_0000, 0x7F80_0001, 0xFFC0_1234,
            1, 0x007F_FFFF, 0x0080_0000, 0x7F7F_FFFF, 0x4F00_0000, 0xCF00_0000, 0x3F00_0000, 0x5F00_0000, 0xFFFF_FFFF,
            0x4B80_0001, 0x3EAA_AAAB,
        ]
        let doubles: [UInt64] = [
            0, 1 << 63, 0x3FF0 << 48, 0xBFF0 << 48, 0x7FF0 << 48, 0xFFF0 << 48, 0x7FF8 << 48, 0x7FF0 << 48 | 1, 1,
            0x000F_FFFF_FFFF_FFFF, 1 << 52, 0x7FEF_FFFF_FFFF_FFFF, 0x41E0 << 48, 0xC1E0 << 48, 0x43E0 << 48,
            0xC3E0 << 48, 0x3FD5_5555_5555_5555, 0x3FE0 << 48, .max, 0x3690 << 48, 0x47EF_FFFF_F000_0000,
            0x380F_FFFF_FFFF_FFFF,
        ]
        if chance(50, &random) { return doubles.randomElement(using: &random) ?? 0 }
        let low = singles.randomElement(using: &random) ?? 0
        let high = singles.randomElement(using: &random) ?? 0
        return UInt64(high) << 32 | UInt64(low)
    }

    /// A double or two singles of moderate size.
    private static func moderate(_ random: inout SeededGenerator) -> UInt64 {
        if chance(50, &random) { return Double.random(in: -1000...1000, using: &random).bitPattern }
        let low = Float.random(in: -1000...1000, using: &random).bitPattern
        let high = Float.random(in: -1...1, using: &random).bitPattern
        return UInt64(high) << 32 | UInt64(low)
    }

    private static func lane(_ random: inout SeededGenerator) -> UInt64 {
        switch Int.random(in: 0..<4, using: &random) {
        case 0: special(&random)
        case 1: moderate(&random)
        default: random.next()
        }
    }

    private static func pointer(_ bits: Int, _ random: inout SeededGenerator) -> UInt64 {
        let data = OracleMap.data(bits: bits)
        let offset = UInt64.random(in: 0..<OracleMap.dataBytes - OracleMap.readOnlyBytes, using: &random)
        let alignment: UInt64 = [1, 1, 8, 16, 32, 32].randomElement(using: &random) ?? 1
        // Now and then beyond the writable part, or close to a page's end.
        if chance(3, &random) { return data + OracleMap.dataBytes - OracleMap.readOnlyBytes / 2 }
        if chance(2, &random) { return data + OracleMap.dataBytes + offset }
        if chance(6, &random) {
            return data + (offset & ~0xFFF) + 0xFFF - UInt64.random(in: 0..<16, using: &random)
        }
        return data + offset & ~(alignment - 1)
    }

    private static func integer(_ bits: Int, _ random: inout SeededGenerator) -> UInt64 {
        switch Int.random(in: 0..<100, using: &random) {
        case 0..<35: pointer(bits, &random)
        case 35..<55: UInt64.random(in: 0..<256, using: &random)
        case 55..<70:
            [0, 1, .max, 1 << 63, .max >> 1, 0x7FFF_FFFF, 0x8000_0000, 0xFFFF_FFFF, 0x8000, 0x7FFF, 0x80, 0x7F, 0xFF]
                .randomElement(using: &random) ?? 0
        default: random.next()
        }
    }

    /// Registers for the instruction, whose relative displacement is pointed at the data.
    static func state(
        for instruction: inout GeneratedInstruction, bits: Int, hasAVX: Bool, using random: inout SeededGenerator
    ) -> roost_oracle_state {
        var state = roost_oracle_state()
        var general = (0..<16).map { _ in integer(bits, &random) }
        general[rsp] =
            OracleMap.data + UInt64.random(in: 0x100..<0x3F00, using: &random) & ~(chance(90, &random) ? 7 : 0)
        let isString = instruction.map == 0 && (0xA4...0xAF).contains(instruction.opcode)
        if isString {
            general[rcx] = UInt64.random(in: 0..<64, using: &random)
            if chance(90, &random) {
                general[rsi] = pointer(bits, &random)
                general[rdi] = pointer(bits, &random)
            }
        }
        if instruction.name.contains("MASKMOV") { general[rdi] = pointer(bits, &random) }
        if instruction.name.hasPrefix("XLAT") { general[rbx] = pointer(bits, &random) }
        if instruction.name.hasPrefix("BT"), chance(70, &random) {
            general[instruction.reg & 15] = UInt64(bitPattern: Int64.random(in: -3000...3000, using: &random))
        }
        for index in 0..<16 {
            var value = SIMD4<UInt64>(lane(&random), lane(&random), lane(&random), lane(&random))
            if !hasAVX { (value[2], value[3]) = (0, 0) }
            state.setVectorRegister(index, value)
        }
        if instruction.hasMemoryOperand { place(bits, &instruction, &general, &state, &random) }
        if bits != 64 {
            for index in 0..<8 { general[index] &= 0xFFFF_FFFF }
            for index in 8..<16 { general[index] = 0 }
            for index in 8..<16 { state.setVectorRegister(index, .zero) }
        }
        for index in 0..<16 { state.setGeneral(index, general[index]) }
        state.rip = OracleMap.start(bits: bits)
        state.rflags = fixedFlags | random.next() & arithmeticFlags
        if chance(isString ? 30 : 5, &random) { state.rflags |= direction }
        state.image = floatingPoint(&random)
        return state
    }

    /// Chooses a place in the data and makes the address registers name it.
    private static func place(
        _ bits: Int, _ instruction: inout GeneratedInstruction, _ general: inout [UInt64],
        _ state: inout roost_oracle_state,
        _ random: inout SeededGenerator
    ) {
        let target = pointer(bits, &random)
        if let relative = instruction.relativePlace {
            // The displacement counts from the instruction's end.
            let distance = UInt32(
                truncatingIfNeeded: target &- OracleMap.start(bits: bits) &- UInt64(instruction.bytes.count))
            for byte in 0..<4 {
                instruction.bytes[relative + byte] = UInt8(truncatingIfNeeded: distance >> UInt32(byte * 8))
            }
            return
        }
        if instruction.indexIsVector, let index = instruction.index {
            let small = SIMD4<UInt64>(
                random.next() & 0x0000_003F_0000_003F, random.next() & 0x3F, random.next() & 0x3F, random.next() & 0x3F)
            state.setVectorRegister(index, small)
        } else if let index = instruction.index, index != instruction.base, chance(90, &random) {
            general[index] = UInt64.random(in: 0..<64, using: &random)
        }
        guard let base = instruction.base else { return }
        let wanted = target &- UInt64(bitPattern: instruction.displacement)
        if !instruction.indexIsVector, let index = instruction.index {
            if index == base {
                general[base] = wanted / (1 + 1 << UInt64(instruction.scale))
            } else {
                general[base] = wanted &- general[index] << UInt64(instruction.scale)
            }
        } else {
            general[base] = wanted
        }
    }

    /// An FXSAVE image: x87 registers of all kinds, mostly with masked exceptions, and MXCSR.
    private static func floatingPoint(_ random: inout SeededGenerator) -> [UInt8] {
        var image = [UInt8](repeating: 0, count: roost_oracle_state.imageBytes)
        func put(_ value: UInt64, _ count: Int, _ place: Int) {
            for byte in 0..<count { image[place + byte] = UInt8(truncatingIfNeeded: value >> UInt64(byte * 8)) }
        }
        let control = chance(60, &random) ? 0x37F : random.next() & 0xF3F | 0x40 | (chance(60, &random) ? 0x3F : 0)
        var status = random.next() & 0x7F00
        if chance(20, &random) { status |= random.next() & 0x7F & (chance(70, &random) ? control | 0x40 : 0x7F) }
        if status & ~control & 0x3F != 0 { status |= 0x8080 }
        put(control, 2, 0)
        put(status, 2, 2)
        put(chance(30, &random) ? 0xFF : random.next(), 1, 4)
        for index in 0..<8 {
            let (mantissa, exponent) = extended(&random)
            put(mantissa, 8, 32 + index * 16)
            put(exponent, 2, 40 + index * 16)
        }
        put(control32(&random), 4, 24)
        return image
    }

    private static func control32(_ random: inout SeededGenerator) -> UInt64 {
        var value: UInt64 = chance(75, &random) ? 0x1F80 : random.next() & 0x1F80
        if chance(30, &random) { value |= random.next() & 0x6000 }
        if chance(15, &random) { value |= random.next() & 0x8040 }
        if chance(20, &random) { value |= random.next() & 0x3F }
        return value
    }

    private static func extended(_ random: inout SeededGenerator) -> (UInt64, UInt64) {
        let top: UInt64 = 1 << 63
        switch Int.random(in: 0..<8, using: &random) {
        case 0: return (0, random.next() & 0x8000)
        case 1: return (top, random.next() & 0x8000 | 0x7FFF)
        case 2: return (random.next() | top, random.next() & 0x8000 | 0x7FFF)
        case 3: return (random.next() & ~top, random.next() & 0x8000)
        case 4: return (random.next(), random.next() & 0xFFFF)
        default:
            return (random.next() | top, random.next() & 0x8000 | UInt64.random(in: 0x3FF0...0x4020, using: &random))
        }
    }
}
