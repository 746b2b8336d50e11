// SPDX-License-Identifier: Apache-2.0

/// Parses one instruction from bytes (SDM vol. 2, chapter 2). Never reads more bytes than it was given.
struct InstructionDecoder {
    enum Result {
        /// The instruction stands in `instruction`; one that is not defined has the handler that raises #UD.
        case complete
        /// More than the available bytes belong to it.
        case needsMore
        /// Longer than 15 bytes: #GP(0).
        case tooLong
    }

    static let maximumLength = 15

    private let bytes: UnsafePointer<UInt8>
    private let available: Int
    private let mode: CodeMode
    private let features: InstructionFeatures
    private var position = 0
    private var overrun = false

    private(set) var instruction: Instruction
    /// The row that matched.
    private(set) var rowFlags: RowFlags = []
    /// Index of the row in `OpcodeTable.shared`; nil where none matched.
    private(set) var row: Int?

    private var rex: UInt8 = 0
    private var segmentOverride: UInt8?
    private var repeatPrefix: UInt8 = 0
    private var vexPrefix: UInt8 = 0
    private var modRM: UInt8 = 0

    private static let rexW: UInt8 = 8, rexR: UInt8 = 4, rexX: UInt8 = 2, rexB: UInt8 = 1

    /// - Parameters:
    ///   - available: readable bytes at `bytes`, at least 1.
    ///   - offset: bytes from the block's start to this instruction.
    ///   - features: what CPUID shows.
    init(
        bytes: UnsafePointer<UInt8>, available: Int, mode: CodeMode, offset: UInt16,
        features: InstructionFeatures = .all
    ) {
        self.bytes = bytes
        self.available = available
        self.mode = mode
        self.features = features
        instruction = Instruction(handler: invalidOpcodeHandler)
        instruction.offset = offset
    }

    @inline(__always)
    private mutating func next() -> UInt8 {
        guard position < available, position < Self.maximumLength else {
            overrun = true
            position += 1
            return 0
        }
        let byte = bytes[position]
        position += 1
        return byte
    }

    private mutating func next(count: Int) -> UInt64 {
        var value: UInt64 = 0
        for index in 0..<count { value |= UInt64(next()) << UInt64(index * 8) }
        return value
    }

    private mutating func nextSigned(count: Int) -> Int64 {
        let shift = Int64(64 - count * 8)
        return (Int64(bitPattern: next(count: count)) << shift) >> shift
    }

    /// Parses.
    mutating func decode() -> Result {
        parse()
        if overrun {
            return available >= Self.maximumLength ? .tooLong : .needsMore
        }
        instruction.length = UInt8(truncatingIfNeeded: position)
        return .complete
    }

    private mutating func parse() {
        var opcode = parsePrefixes()
        var map = UInt8(0)
        if isVEX(opcode) {
            guard parseVEX(opcode, &map) else { return }
            opcode = next()
        } else if opcode == 0x0F {
            map = 1
            opcode = next()
            if opcode == 0x38 || opcode == 0x3A {
                map = opcode == 0x38 ? 2 : 3
                opcode = next()
            }
        }
        if overrun { return }
        instruction.opcode = opcode
        instruction.map = map
        setPrefixBits()
        guard let index = match(map: map, opcode: opcode), !overrun else { return }
        complete(index)
    }

    private mutating func parsePrefixes() -> UInt8 {
        while !overrun {
            let byte = next()
            switch byte {
            case 0x66: instruction.prefixes.insert(.operandSize)
            case 0x67: instruction.prefixes.insert(.addressSize)
            case 0xF0: instruction.prefixes.insert(.lock)
            case 0xF2, 0xF3: repeatPrefix = byte
            // In 64-bit code these four are accepted and have no meaning.
            case 0x26, 0x2E, 0x36, 0x3E: if !mode.is64 { segmentOverride = (byte >> 3) & 3 }
            case 0x64, 0x65: segmentOverride = byte & 7
            case 0x40...0x4F where mode.is64:
                rex = byte
                continue
            default: return byte
            }
            // REX counts only directly before the opcode.
            rex = 0
        }
        return 0
    }

    private func peek() -> UInt8? { position < available && position < Self.maximumLength ? bytes[position] : nil }

    private mutating func isVEX(_ opcode: UInt8) -> Bool {
        guard opcode == 0xC4 || opcode == 0xC5 else { return false }
        if mode.is64 { return true }
        guard mode.isProtected else { return false }
        guard let second = peek() else {
            overrun = true
            return false
        }
        // Outside 64-bit code only a second byte that would be a register form of LES or LDS makes it VEX.
        return second & 0xC0 == 0xC0
    }

    /// - Returns: false where the combination is undefined.
    private mutating func parseVEX(_ opcode: UInt8, _ map: inout UInt8) -> Bool {
        let legacy = instruction.prefixes.intersection([.lock, .operandSize])
        guard legacy.isEmpty, repeatPrefix == 0, rex == 0 else { return false }
        let first = next()
        var last = first
        map = 1
        rex = first & 0x80 == 0 ? Self.rexR : 0
        if opcode == 0xC4 {
            rex |= (first & 0x40 == 0 ? Self.rexX : 0) | (first & 0x20 == 0 ? Self.rexB : 0)
            map = first & 0x1F
            last = next()
            if last & 0x80 != 0 { rex |= Self.rexW }
        }
        guard (1...3).contains(map) else { return false }
        if !mode.is64 { rex &= Self.rexW }
        vexPrefix = last & 3
        instruction.vvvv = (~last >> 3) & (mode.is64 ? 15 : 7)
        // vvvv's high bit does not name a register outside 64-bit code, but an unused vvvv is compared with 1111.
        instruction.detail = (~last >> 3) & 15
        instruction.prefixes.insert(.vex)
        if last & 4 != 0 { instruction.prefixes.insert(.vexL) }
        return true
    }

    private mutating func setPrefixBits() {
        let isVEX = instruction.prefixes.contains(.vex)
        if rex != 0, !isVEX { instruction.prefixes.insert(.rex) }
        if rex & Self.rexW != 0 { instruction.prefixes.insert(.rexW) }
        if repeatPrefix == 0xF3 { instruction.prefixes.insert(.repeatEqual) }
        if repeatPrefix == 0xF2 { instruction.prefixes.insert(.repeatNotEqual) }
        if segmentOverride != nil { instruction.prefixes.insert(.segmentOverride) }
    }

    private var effectivePrefix: OpcodePrefixes {
        if instruction.prefixes.contains(.vex) {
            // pp: none, 66, F3, F2.
            return OpcodePrefixes(rawValue: 1 << vexPrefix)
        }
        if repeatPrefix != 0 { return repeatPrefix == 0xF3 ? .xF3 : .xF2 }
        return instruction.prefixes.contains(.operandSize) ? .x66 : .none
    }

    private mutating func match(map: UInt8, opcode: UInt8) -> Int? {
        let table = OpcodeTable.shared
        let isVEX = instruction.prefixes.contains(.vex)
        let candidates = table.candidates(isVEX: isVEX, map: map, opcode: opcode)
        guard let first = candidates.first else { return nil }
        if table.rows[first].flags.contains(.modRM) {
            guard let byte = peek() else {
                overrun = true
                return nil
            }
            modRM = byte
        }
        let prefix = effectivePrefix
        let width = CodeWidths(rawValue: 1 << mode.width.rawValue)
        for index in candidates where matches(table.rows + index, prefix, width) { return index }
        return nil
    }

    @inline(__always)
    private func matches(_ row: UnsafeMutablePointer<OpcodeRow>, _ prefix: OpcodePrefixes, _ width: CodeWidths) -> Bool
    {
        guard row.pointee.prefix.contains(prefix), row.pointee.widths.contains(width) else { return false }
        if let digit = row.pointee.digit, digit != (modRM >> 3) & 7 { return false }
        if let rm = row.pointee.rm, rm != modRM & 7 { return false }
        switch row.pointee.mod {
        case .any: break
        case .register: if modRM < 0xC0 { return false }
        case .memory: if modRM >= 0xC0 { return false }
        }
        if row.pointee.flags.contains(.protectedOnly), !mode.isProtected { return false }
        let isWide = instruction.prefixes.contains(.vexL) || row.pointee.vex == nil && rex & Self.rexW != 0
        guard features.isSuperset(of: (isWide ? row.pointee.needsWide : row.pointee.needs) ?? []) else { return false }
        guard let vex = row.pointee.vex else { return true }
        return matches(vex.l, instruction.prefixes.contains(.vexL)) && matches(vex.w, rex & Self.rexW != 0)
            && (vex.usesV || instruction.detail == 0)
    }

    private func matches(_ demand: VEXForm.Bit, _ bit: Bool) -> Bool {
        switch demand {
        case .any: true
        case .zero: !bit
        case .one: bit
        }
    }

    private mutating func complete(_ index: Int) {
        let row = OpcodeTable.shared.rows + index
        let flags = row.pointee.flags
        setSizes(row.pointee.size)
        instruction.detail = 0
        let segmentOfOperand = parseOperands(flags)
        if overrun { return }
        parseImmediate(row.pointee.immediate)
        if overrun { return }
        setSegment(segmentOverride ?? segmentOfOperand)
        if flags.contains(.implicitStack) { instruction.prefixes.insert(.implicitStack) }
        if instruction.prefixes.contains(.lock),
            !(flags.contains(.lockable) && instruction.prefixes.contains(.memory))
        {
            return
        }
        instruction.length = UInt8(truncatingIfNeeded: position)
        resolveRelative(row.pointee.immediate)
        guard let handler = row.pointee.select(&instruction, mode) else { return }
        instruction.handler = handler
        rowFlags = flags
        self.row = index
    }

    private mutating func setSizes(_ rule: OperandSizeRule) {
        let toggled = instruction.prefixes.contains(.operandSize)
        let isQuad = mode.is64 && rex & Self.rexW != 0
        let variable: UInt8 = isQuad ? 3 : (mode.width == .bits16) != toggled ? 1 : 2
        switch rule {
        case .byte: instruction.operandSize = 0
        case .variable: instruction.operandSize = variable
        case .byteOrVariable: instruction.operandSize = instruction.opcode & 1 == 0 ? 0 : variable
        case .stack: instruction.operandSize = mode.is64 ? (toggled && !isQuad ? 1 : 3) : variable
        case .branch: instruction.operandSize = mode.is64 ? 3 : variable
        case .doubleOrQuad: instruction.operandSize = isQuad ? 3 : 2
        case .fixed(let size): instruction.operandSize = size
        }
        let toggledAddress = instruction.prefixes.contains(.addressSize)
        if mode.is64 {
            instruction.addressSize = toggledAddress ? 2 : 3
        } else {
            instruction.addressSize = (mode.width == .bits16) != toggledAddress ? 1 : 2
        }
        instruction.addressMask =
            instruction.addressSize == 3 ? .max : instruction.addressSize == 2 ? 0xFFFF_FFFF : 0xFFFF
    }

    /// - Returns: the operand's segment where no prefix overrides it.
    private mutating func parseOperands(_ flags: RowFlags) -> UInt8 {
        let dataSegment = UInt8(SegmentRegister.ds)
        if flags.contains(.registerInOpcode) {
            instruction.rm = (instruction.opcode & 7) | (rex & Self.rexB) << 3
        }
        var segment = dataSegment
        if flags.contains(.modRM) {
            modRM = next()
            instruction.reg = (modRM >> 3) & 7 | (rex & Self.rexR) << 1
            if modRM >= 0xC0 || flags.contains(.registerAlways) {
                instruction.rm = modRM & 7 | (rex & Self.rexB) << 3
            } else {
                instruction.prefixes.insert(.memory)
                segment = instruction.addressSize == 1 ? parseAddress16() : parseAddress(flags)
            }
        }
        if flags.contains(.byteReg) { instruction.reg = byteOffset(instruction.reg) }
        if flags.contains(.byteRM), !instruction.prefixes.contains(.memory) {
            instruction.rm = byteOffset(instruction.rm)
        }
        return segment
    }

    /// Where a byte register lies in the file of general registers.
    private func byteOffset(_ register: UInt8) -> UInt8 {
        if register >= 4, register < 8, !instruction.prefixes.contains(.rex) { return (register - 4) * 8 + 1 }
        return register * 8
    }

    /// 16-bit addressing (SDM vol. 2, table 2-1).
    private mutating func parseAddress16() -> UInt8 {
        let rm = modRM & 7
        let mod = modRM >> 6
        if mod == 0, rm == 6 {
            instruction.displacement = nextSigned(count: 2)
            return UInt8(SegmentRegister.ds)
        }
        let none = Instruction.noRegister
        let bx = UInt8(Register.rbx), bp = UInt8(Register.rbp), si = UInt8(Register.rsi), di = UInt8(Register.rdi)
        switch rm {
        case 0: (instruction.base, instruction.index) = (bx, si)
        case 1: (instruction.base, instruction.index) = (bx, di)
        case 2: (instruction.base, instruction.index) = (bp, si)
        case 3: (instruction.base, instruction.index) = (bp, di)
        case 4: (instruction.base, instruction.index) = (si, none)
        case 5: (instruction.base, instruction.index) = (di, none)
        case 6: (instruction.base, instruction.index) = (bp, none)
        default: (instruction.base, instruction.index) = (bx, none)
        }
        if mod == 1 { instruction.displacement = nextSigned(count: 1) }
        if mod == 2 { instruction.displacement = nextSigned(count: 2) }
        return UInt8(instruction.base == bp ? SegmentRegister.ss : SegmentRegister.ds)
    }

    /// 32- and 64-bit addressing (SDM vol. 2, tables 2-2 and 2-3).
    private mutating func parseAddress(_ flags: RowFlags) -> UInt8 {
        let rm = modRM & 7
        let mod = modRM >> 6
        var base = rm
        if rm == 4 {
            let sib = next()
            base = sib & 7
            let index = (sib >> 3) & 7 | (rex & Self.rexX) << 2
            instruction.scale = sib >> 6
            if index != 4 || flags.contains(.vectorIndex) { instruction.index = index }
        } else if flags.contains(.vectorIndex) {
            // A gather without SIB is undefined; an index that no selector accepts says so.
            instruction.index = Instruction.noRegister
        }
        if mod == 0, base == 5 {
            instruction.displacement = nextSigned(count: 4)
            // Without SIB, 64-bit code has RIP-relative addressing here; `resolveRelative` adds the length.
            if rm == 5, mode.is64 { instruction.base = Instruction.ripRegister }
            return UInt8(SegmentRegister.ds)
        }
        instruction.base = base | (rex & Self.rexB) << 3
        if mod == 1 { instruction.displacement = nextSigned(count: 1) }
        if mod == 2 { instruction.displacement = nextSigned(count: 4) }
        let usesStack = instruction.base == UInt8(Register.rsp) || instruction.base == UInt8(Register.rbp)
        return UInt8(usesStack ? SegmentRegister.ss : SegmentRegister.ds)
    }

    private mutating func setSegment(_ segment: UInt8) {
        let isSpecial = segment >= UInt8(SegmentRegister.fs)
        if segment == UInt8(SegmentRegister.ss) { instruction.prefixes.insert(.stackSegment) }
        let flatData = mode.isFlat && !isSpecial && segment != UInt8(SegmentRegister.cs)
        if mode.is64 {
            instruction.segment = isSpecial ? segment : UInt8(SegmentRegister.flat)
        } else if flatData {
            instruction.segment = UInt8(SegmentRegister.flat)
        } else {
            instruction.segment = segment
            instruction.prefixes.insert(.checkedSegment)
        }
    }

    private mutating func parseImmediate(_ form: ImmediateForm) {
        switch form {
        case .none: break
        case .one: instruction.immediate = 1
        case .byte, .relativeByte: instruction.immediate = UInt64(bitPattern: nextSigned(count: 1))
        case .byteUnsigned: instruction.immediate = next(count: 1)
        case .word: instruction.immediate = next(count: 2)
        case .operand, .relative:
            instruction.immediate = UInt64(bitPattern: nextSigned(count: min(4, 1 << Int(instruction.operandSize))))
        case .full: instruction.immediate = next(count: 1 << Int(instruction.operandSize))
        case .addressOffset:
            instruction.displacement = Int64(bitPattern: next(count: 1 << Int(instruction.addressSize)))
            instruction.prefixes.insert(.memory)
        case .farPointer:
            instruction.immediate = next(count: instruction.operandSize == 1 ? 2 : 4)
            instruction.immediate |= next(count: 2) << 32
        case .wordAndByte: instruction.immediate = next(count: 3)
        }
    }

    private mutating func resolveRelative(_ form: ImmediateForm) {
        let end = Int64(instruction.offset) &+ Int64(position)
        if instruction.base == Instruction.ripRegister { instruction.displacement &+= end }
        switch form {
        case .relative, .relativeByte: instruction.immediate &+= UInt64(bitPattern: end)
        default: break
        }
    }
}

/// Raises #UD: what bytes that are no instruction are decoded to.
let invalidOpcodeHandler: Handler = { state, instruction in
    handle(state, instruction) { state, _ throws(CPUFault) in throw state.fault(Vector.invalidOpcode) }
}

/// Raises #GP(0): what an instruction of more than 15 bytes is decoded to.
let tooLongHandler: Handler = { state, instruction in
    handle(state, instruction) { state, _ throws(CPUFault) in throw state.generalProtection() }
}
