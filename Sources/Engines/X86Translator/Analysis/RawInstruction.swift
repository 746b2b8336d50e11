// SPDX-License-Identifier: Apache-2.0

internal import X86CPU

/// The encoding of an instruction of 64-bit code that the decoder accepted, as far as it is emitted again.
struct RawInstruction {
    /// As `Encoding.prefix`; of several the one that counts.
    var prefix: UInt8 = 0
    var has66 = false
    var repeatPrefix: UInt8 = 0
    var isLocked = false
    var rex: UInt8 = 0
    var isVEX = false
    var isWide = false
    var is256 = false
    var vvvv: UInt8 = 0
    var map: UInt8 = 0
    var opcode: UInt8 = 0
    /// The byte after the opcode; no modrm byte for opcodes without.
    var modRM: UInt8 = 0
    /// Of 64-bit code; else of 32-bit code.
    var is64 = true
    /// Where the bytes after the opcode begin.
    var operandStart = 0

    /// - Parameter bytes: `count` bytes of one whole instruction.
    init(_ bytes: UnsafePointer<UInt8>, count: Int, is64: Bool) {
        self.is64 = is64
        var position = 0
        func byte(_ index: Int) -> UInt8 { index < count ? bytes[index] : 0 }
        prefixes: while position < count {
            switch byte(position) {
            case 0x66: has66 = true
            case 0xF2, 0xF3: repeatPrefix = byte(position)
            case 0xF0: isLocked = true
            case 0x26, 0x2E, 0x36, 0x3E, 0x64, 0x65, 0x67: break
            case 0x40...0x4F where is64:
                rex = byte(position)
                position += 1
                continue prefixes
            default: break prefixes
            }
            rex = 0
            position += 1
        }
        opcode = byte(position)
        position += 1
        if opcode == 0xC4 || opcode == 0xC5, is64 || byte(position) >= 0xC0 {
            position = parseVEX(byte(position), byte(position + 1), at: position)
            opcode = byte(position)
            position += 1
        } else {
            if opcode == 0x0F {
                map = 1
                opcode = byte(position)
                position += 1
                if opcode == 0x38 || opcode == 0x3A {
                    map = opcode == 0x38 ? 2 : 3
                    opcode = byte(position)
                    position += 1
                }
            }
            isWide = rex & 8 != 0
            prefix = repeatPrefix != 0 ? repeatPrefix : has66 ? 0x66 : 0
        }
        operandStart = position
        modRM = byte(position)
    }

    private mutating func parseVEX(_ first: UInt8, _ second: UInt8, at position: Int) -> Int {
        let isShort = opcode == 0xC5
        let last = isShort ? first : second
        isVEX = true
        map = isShort ? 1 : first & 0x1F
        rex = 0x40 | (first & 0x80 == 0 ? 4 : 0)
        if !isShort {
            rex |= (first & 0x40 == 0 ? 2 : 0) | (first & 0x20 == 0 ? 1 : 0)
            isWide = second & 0x80 != 0
        }
        // Outside 64-bit code there are eight registers.
        if !is64 { rex = 0x40 }
        vvvv = ~last >> 3 & (is64 ? 15 : 7)
        is256 = last & 4 != 0
        prefix = [0, 0x66, 0xF3, 0xF2][Int(last & 3)]
        return position + (isShort ? 1 : 2)
    }

    var digit: UInt8 { modRM >> 3 & 7 }
    /// modrm.reg and modrm.rm with REX.
    var reg: UInt8 { digit | (rex & 4) << 1 }
    var rm: UInt8 { modRM & 7 | (rex & 1) << 3 }
    /// The register in the opcode's low bits.
    var opcodeRegister: UInt8 { opcode & 7 | (rex & 1) << 3 }
    var isMemory: Bool { modRM < 0xC0 }

    /// Bytes of modrm, SIB and displacement.
    func operandBytes(_ bytes: UnsafePointer<UInt8>) -> Int {
        guard isMemory else { return 1 }
        let mod = modRM >> 6
        var count = 1
        var base = modRM & 7
        if base == 4 {
            base = bytes[operandStart + 1] & 7
            count += 1
        }
        if mod == 1 { count += 1 }
        if mod == 2 || mod == 0 && base == 5 { count += 4 }
        return count
    }
}
