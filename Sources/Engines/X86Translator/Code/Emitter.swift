// SPDX-License-Identifier: Apache-2.0

/// Host registers by number, and what they hold while translated code runs. All guest registers but four lie in the host
/// register of the same number: RSP lies in R9, and R9, R10 and R11 stay in memory.
enum Host {
    static let rax: UInt8 = 0, rcx: UInt8 = 1, rdx: UInt8 = 2, rbx: UInt8 = 3, rsp: UInt8 = 4, rbp: UInt8 = 5
    static let rsi: UInt8 = 6, rdi: UInt8 = 7
    /// The guest's RSP.
    static let guestStack: UInt8 = 9
    /// Free for each instruction: an address in the first, all else in the second.
    static let scratch0: UInt8 = 10, scratch1: UInt8 = 11

    /// Where a guest register lies; nil for one that stays in memory.
    @inline(__always)
    static func of(_ guest: UInt8) -> UInt8? {
        switch guest {
        case 4: guestStack
        case 9, 10, 11: nil
        default: guest
        }
    }

    /// The guest registers that lie in host registers.
    static let mapped: [(guest: UInt8, host: UInt8)] = (0..<16).compactMap { guest in
        of(guest).map { (guest, $0) }
    }
}

/// The modrm.rm operand of emitted code.
struct Place {
    var isRegister = false
    /// The register itself, or the base of an address; `none` for an address without.
    var base: UInt8
    var index: UInt8 = Place.none
    var scale: UInt8 = 0
    var displacement: Int32 = 0

    static let none: UInt8 = 0xFF

    static func register(_ number: UInt8) -> Place { Place(isRegister: true, base: number) }
    static func memory(_ base: UInt8, _ displacement: Int32 = 0) -> Place {
        Place(base: base, displacement: displacement)
    }
    static func indexed(_ base: UInt8, _ index: UInt8, scale: UInt8 = 0, _ displacement: Int32 = 0) -> Place {
        Place(base: base, index: index, scale: scale, displacement: displacement)
    }
    /// A field of the state, at which the host's RSP points.
    static func state(_ offset: Int32) -> Place { .memory(Host.rsp, offset) }
}

/// What stands before an opcode.
struct Encoding {
    var isLocked = false
    /// 66, F2, F3 or 0; in VEX encoding chooses pp.
    var prefix: UInt8 = 0
    var isWide = false
    /// 0 one-byte, 1 0F, 2 0F38, 3 0F3A.
    var map: UInt8 = 0
    /// A REX prefix stands even where no bit of it is needed: SPL, BPL, SIL, DIL.
    var needsREX = false
    var vex: (vvvv: UInt8, is256: Bool)?
}

/// Writes host code through its writable mapping.
struct Emitter {
    private(set) var cursor: UnsafeMutablePointer<UInt8>

    init(at place: UnsafeMutablePointer<UInt8>) { cursor = place }

    @inline(__always)
    mutating func byte(_ value: UInt8) {
        cursor.pointee = value
        cursor += 1
    }

    /// Clears bits of the byte that was written last.
    func limitLastByte(to mask: UInt8) { (cursor - 1).pointee &= mask }

    mutating func bytes(_ values: UInt8...) { for value in values { byte(value) } }

    @inline(__always)
    mutating func long(_ value: Int32) {
        UnsafeMutableRawPointer(cursor).storeBytes(of: value, as: Int32.self)
        cursor += 4
    }

    @inline(__always)
    mutating func quad(_ value: UInt64) {
        UnsafeMutableRawPointer(cursor).storeBytes(of: value, as: UInt64.self)
        cursor += 8
    }

    // MARK: encoding

    /// An instruction with a modrm byte; an immediate is the caller's.
    mutating func instruction(_ encoding: Encoding, _ opcode: UInt8, reg: UInt8, _ place: Place) {
        let r = reg >> 3 & 1
        let x = place.index == Place.none ? 0 : place.index >> 3 & 1
        let b = place.base == Place.none ? 0 : place.base >> 3 & 1
        if let vex = encoding.vex {
            byte(0xC4)
            byte((r ^ 1) << 7 | (x ^ 1) << 6 | (b ^ 1) << 5 | encoding.map)
            let pp: UInt8 = encoding.prefix == 0x66 ? 1 : encoding.prefix == 0xF3 ? 2 : encoding.prefix == 0xF2 ? 3 : 0
            byte((encoding.isWide ? 0x80 : 0) | (~vex.vvvv & 15) << 3 | (vex.is256 ? 4 : 0) | pp)
        } else {
            if encoding.isLocked { byte(0xF0) }
            if encoding.prefix != 0 { byte(encoding.prefix) }
            let rex: UInt8 = (encoding.isWide ? 8 : 0) | r << 2 | x << 1 | b
            if rex != 0 || encoding.needsREX { byte(0x40 | rex) }
            if encoding.map != 0 { byte(0x0F) }
            if encoding.map == 2 { byte(0x38) }
            if encoding.map == 3 { byte(0x3A) }
        }
        byte(opcode)
        operand(reg & 7, place)
    }

    private mutating func operand(_ reg: UInt8, _ place: Place) {
        if place.isRegister { return byte(0xC0 | reg << 3 | place.base & 7) }
        let hasIndex = place.index != Place.none
        if place.base == Place.none {
            // mod 0 with a SIB base of 5: index and displacement alone.
            byte(reg << 3 | 4)
            byte(place.scale << 6 | (hasIndex ? place.index & 7 : 4) << 3 | 5)
            return long(place.displacement)
        }
        let low = place.base & 7
        let mod: UInt8
        if place.displacement == 0, low != 5 {
            mod = 0
        } else {
            mod = Int32(Int8(truncatingIfNeeded: place.displacement)) == place.displacement ? 1 : 2
        }
        if hasIndex || low == 4 {
            byte(mod << 6 | reg << 3 | 4)
            byte(place.scale << 6 | (hasIndex ? place.index & 7 : 4) << 3 | low)
        } else {
            byte(mod << 6 | reg << 3 | low)
        }
        if mod == 1 { byte(UInt8(truncatingIfNeeded: place.displacement)) }
        if mod == 2 { long(place.displacement) }
    }

    /// A 64-bit (or 32-bit) instruction of the one-byte map.
    mutating func op(_ opcode: UInt8, _ reg: UInt8, _ place: Place, wide: Bool = true) {
        instruction(Encoding(isWide: wide), opcode, reg: reg, place)
    }

    // MARK: what translated code is made of

    mutating func load(_ register: UInt8, _ place: Place, wide: Bool = true) { op(0x8B, register, place, wide: wide) }
    mutating func store(_ place: Place, _ register: UInt8, wide: Bool = true) { op(0x89, register, place, wide: wide) }
    mutating func move(_ to: UInt8, _ from: UInt8, wide: Bool = true) { op(0x8B, to, .register(from), wide: wide) }
    mutating func address(_ to: UInt8, _ place: Place, wide: Bool = true) { op(0x8D, to, place, wide: wide) }

    /// ADD, OR, ADC, SBB, AND, SUB, XOR, CMP (0...7) with an immediate.
    mutating func arithmetic(_ number: UInt8, _ place: Place, _ value: Int32, wide: Bool = true) {
        if Int32(Int8(truncatingIfNeeded: value)) == value {
            op(0x83, number, place, wide: wide)
            byte(UInt8(truncatingIfNeeded: value))
        } else {
            op(0x81, number, place, wide: wide)
            long(value)
        }
    }

    /// MOV r32, imm32.
    mutating func constant(_ register: UInt8, _ value: UInt32) {
        if register >= 8 { byte(0x41) }
        byte(0xB8 | register & 7)
        long(Int32(bitPattern: value))
    }

    /// MOV r64, imm64.
    mutating func pointer(_ register: UInt8, _ value: UInt64) {
        byte(register >= 8 ? 0x49 : 0x48)
        byte(0xB8 | register & 7)
        quad(value)
    }

    // MARK: jumps

    /// JMP rel32. Gives the place of the displacement, for `link`.
    mutating func jump() -> UnsafeMutablePointer<UInt8> {
        byte(0xE9)
        return displacement()
    }

    /// Jcc rel32 by the condition's number.
    mutating func jump(if condition: UInt8) -> UnsafeMutablePointer<UInt8> {
        byte(0x0F)
        byte(0x80 | condition)
        return displacement()
    }

    mutating func call() -> UnsafeMutablePointer<UInt8> {
        byte(0xE8)
        return displacement()
    }

    private mutating func displacement() -> UnsafeMutablePointer<UInt8> {
        let place = cursor
        long(0)
        return place
    }

    mutating func jump(to target: UnsafeMutablePointer<UInt8>) { Self.link(jump(), to: target) }
    mutating func call(_ target: UnsafeMutablePointer<UInt8>) { Self.link(call(), to: target) }

    /// Makes the displacement at a place lead to code; both in the writable mapping.
    static func link(_ place: UnsafeMutablePointer<UInt8>, to target: UnsafeMutablePointer<UInt8>) {
        let distance = Int32(truncatingIfNeeded: target - (place + 4))
        UnsafeMutableRawPointer(place).storeBytes(of: distance, as: Int32.self)
    }

    /// Makes the displacement at a place lead to here.
    func linkHere(_ place: UnsafeMutablePointer<UInt8>) { Self.link(place, to: cursor) }

    /// Condition numbers.
    static let ifAboveOrEqual: UInt8 = 3, ifEqual: UInt8 = 4, ifNotEqual: UInt8 = 5, ifBelowOrEqual: UInt8 = 6
    static let ifAbove: UInt8 = 7
}
