// SPDX-License-Identifier: Apache-2.0

internal import CHostOracle
internal import X86CPU

/// Collects what differs between the host's outcome and ours.
struct OracleComparison {
    let instruction: GeneratedInstruction
    let before: roost_oracle_state
    let host: roost_oracle_state
    let hasAVX: Bool
    /// 16, or the 8 that 32-bit code reaches.
    let registerCount: Int
    private(set) var findings: [String] = []

    private static let breakpoint: UInt64 = 3, stackFault: UInt64 = 12, generalProtection: UInt64 = 13,
        pageFault: UInt64 = 14
    /// Page-fault error code: the access was a fetch.
    private static let fetch: UInt64 = 16

    init(
        instruction: GeneratedInstruction, before: roost_oracle_state, host: roost_oracle_state, hasAVX: Bool,
        registerCount: Int
    ) {
        self.registerCount = registerCount
        self.instruction = instruction
        self.before = before
        self.host = host
        self.hasAVX = hasAVX
    }

    static func hex(_ value: UInt64) -> String { "0x" + String(value, radix: 16) }

    mutating func note(_ what: String, _ theirs: UInt64, _ ours: UInt64) {
        findings.append("\(what): host \(Self.hex(theirs)), ours \(Self.hex(ours))")
    }

    /// Where the host went on, if the instruction completed.
    private var completedAt: UInt64? {
        if host.vector == Self.breakpoint { return host.rip &- 1 }
        let isFetch = host.vector == Self.pageFault && host.error & Self.fetch != 0
        return isFetch && host.rip != before.rip ? host.rip : nil
    }

    /// A near branch to a non-canonical address: processors fault at the branch or behind it.
    ///
    /// A return into the instruction's own bytes runs what was never meant to run.
    func isSkipped(_ ours: roost_oracle_state, _ stop: ExecutionStop) -> Bool {
        let isInside = stop == .limit && ours.rip &- before.rip < UInt64(instruction.bytes.count)
        // Bit 17 of MXCSR exists on AMD's processors only.
        let isMisaligned = host.mxcsr & 1 << 17 != 0
        return host.vector == Self.generalProtection && host.rip != before.rip || isInside || isMisaligned
    }

    /// Compares registers and how the instruction ended.
    mutating func compare(_ ours: roost_oracle_state, _ stop: ExecutionStop, faultAddress: UInt64) {
        compareEnd(ours, stop, faultAddress)
        for index in 0..<registerCount where host.general(index) != ours.general(index) {
            if undefinedRegister == index { continue }
            // Outside 64-bit code the upper halves are not reached, and the host's kernel may leave traces in RSP's.
            if registerCount == 8, (host.general(index) ^ ours.general(index)) & 0xFFFF_FFFF == 0 { continue }
            note("register \(index)", host.general(index), ours.general(index))
        }
        let flags = (OracleValues.arithmeticFlags | OracleValues.direction) & ~undefinedFlags
        if (host.rflags ^ ours.rflags) & flags != 0 {
            note(
                "flags (of \(Self.hex(flags)), before \(Self.hex(before.rflags)))", host.rflags & flags,
                ours.rflags & flags)
        }
        for index in 0..<registerCount {
            let theirs = host.vectorRegister(index)
            let mine = ours.vectorRegister(index)
            for lane in 0..<(hasAVX ? 4 : 2) where theirs[lane] != mine[lane] {
                note("vector \(index), lane \(lane)", theirs[lane], mine[lane])
            }
        }
        compareFloatingPoint(host.image, ours.image)
    }

    /// In 32-bit code an operand that runs over the end of 4 GiB raises #GP, #SS or #PF: the processors differ.
    private func wrapsAround(_ address: UInt64) -> Bool {
        let isLimit = host.vector == Self.generalProtection || host.vector == Self.stackFault
        return registerCount == 8 && isLimit && (address &+ 0x1000) & 0xFFFF_FFFF < 0x1100
    }

    /// The host's kernel does not tell whether a page of its own half is present.
    private var errorBits: UInt64 { host.vector == Self.pageFault && host.address >> 63 != 0 ? ~1 : .max }

    /// Images that hold what only the host knows: the mask of MXCSR and the x87 pointers.
    private var isImage: Bool { ["FXSAVE", "FNSAVE", "FNSTENV"].contains(instruction.name) }

    /// The data is not compared.
    var ignoresData: Bool { isImage || isDoubleShift && shiftCount > operandBits }

    private var isDoubleShift: Bool { instruction.name == "SHLD" || instruction.name == "SHRD" }

    /// Processors differ in which byte of these operands they touch first.
    private var addressBits: UInt64 {
        let isFree = isImage || instruction.name.contains("MASKMOV") || instruction.name.contains("FXRSTOR")
        return isFree ? 0 : .max
    }

    private mutating func compareEnd(_ ours: roost_oracle_state, _ stop: ExecutionStop, _ faultAddress: UInt64) {
        if let target = completedAt {
            if case .fault(let vector, _) = stop {
                findings.append("host completed, ours raised exception \(vector)")
            } else if target != ours.rip {
                note("next instruction", target, ours.rip)
            }
            return
        }
        guard case .fault(let vector, let code) = stop else {
            findings.append(
                "host raised exception \(host.vector), error code \(Self.hex(host.error)), address "
                    + "\(Self.hex(host.address)); ours completed")
            return
        }
        if vector == UInt8(Self.pageFault), wrapsAround(faultAddress) { return }
        // An operand may be misaligned and beyond its segment's limit at once.
        let isEither = registerCount == 8 && instruction.map != 0 && vector == UInt8(Self.stackFault)
        if isEither, host.vector == Self.generalProtection { return }
        if UInt64(vector) != host.vector { note("exception", host.vector, UInt64(vector)) }
        if let code, (UInt64(code) ^ host.error) & errorBits != 0 { note("error code", host.error, UInt64(code)) }
        if host.vector == Self.pageFault, (host.address ^ faultAddress) & addressBits != 0 {
            note("faulting address", host.address, faultAddress)
        }
        if ours.rip != before.rip { note("faulting instruction", before.rip, ours.rip) }
    }

    private mutating func compareFloatingPoint(_ theirs: [UInt8], _ ours: [UInt8]) {
        func word(_ bytes: [UInt8], _ place: Int, _ count: Int) -> UInt64 {
            (0..<count).reduce(0) { $0 | UInt64(bytes[place + $1]) << UInt64($1 * 8) }
        }
        for (name, place, count) in [("x87 control", 0, 2), ("x87 status", 2, 2), ("x87 tags", 4, 1), ("MXCSR", 24, 4)]
        {
            let (a, b) = (word(theirs, place, count), word(ours, place, count))
            if a != b { note("\(name) (before \(Self.hex(word(before.image, place, count))))", a, b) }
        }
        for index in 0..<8 {
            for (place, count) in [(32 + index * 16, 8), (40 + index * 16, 2)] {
                let (a, b) = (word(theirs, place, count), word(ours, place, count))
                if a != b { note("ST\(index) bytes \(place & 15)...", a, b) }
            }
        }
    }

    // MARK: what the manuals leave undefined

    private static let carry: UInt64 = 1, parity: UInt64 = 4, auxiliary: UInt64 = 16, zero: UInt64 = 64
    private static let sign: UInt64 = 128, overflow: UInt64 = 0x800

    /// Arithmetic flags that the manuals leave undefined after this instruction.
    private var undefinedFlags: UInt64 {
        let name = instruction.name
        switch name {
        case "AND", "OR", "XOR", "TEST": return Self.auxiliary
        case "MUL", "IMUL": return Self.sign | Self.zero | Self.auxiliary | Self.parity
        case "DIV", "IDIV": return completedAt == nil ? 0 : OracleValues.arithmeticFlags
        case "SHL", "SHR", "SAR", "SAL": return shiftFlags
        case "ROL", "ROR", "RCL", "RCR": return shiftCount == 1 ? 0 : Self.overflow
        case "SHLD", "SHRD": return shiftCount == 0 ? 0 : doubleShiftFlags
        case "BT", "BTS", "BTR", "BTC": return Self.overflow | Self.sign | Self.auxiliary | Self.parity
        case "BSF", "BSR": return OracleValues.arithmeticFlags & ~Self.zero
        case "TZCNT", "LZCNT": return Self.overflow | Self.sign | Self.auxiliary | Self.parity
        case "ANDN", "BLSI", "BLSR", "BLSMSK", "BZHI": return Self.auxiliary | Self.parity
        case "BEXTR": return Self.sign | Self.auxiliary | Self.parity
        case "AAA", "AAS": return Self.overflow | Self.sign | Self.zero | Self.parity
        case "AAM", "AAD": return completedAt == nil ? 0 : Self.overflow | Self.auxiliary | Self.carry
        case "DAA", "DAS": return Self.overflow
        default: return 0
        }
    }

    private var isByImmediate: Bool {
        instruction.map == 0 && (0xC0...0xC1).contains(instruction.opcode)
            || instruction.map == 1 && (instruction.opcode == 0xA4 || instruction.opcode == 0xAC)
    }

    private var shiftCount: UInt64 {
        if instruction.map == 0, instruction.opcode == 0xD0 || instruction.opcode == 0xD1 { return 1 }
        let count = isByImmediate ? instruction.immediate : before.general(1)
        return count & (instruction.operandSize == 3 ? 63 : 31)
    }

    private var operandBits: UInt64 { 8 << UInt64(instruction.operandSize) }

    private var shiftFlags: UInt64 {
        if shiftCount == 0 { return 0 }
        var flags = Self.auxiliary
        if shiftCount != 1 { flags |= Self.overflow }
        // SHL and SHR by the operand's width or more leave CF undefined.
        if shiftCount >= operandBits, instruction.name != "SAR" { flags |= Self.carry }
        return flags
    }

    private var doubleShiftFlags: UInt64 {
        if shiftCount > operandBits { return OracleValues.arithmeticFlags }
        return Self.auxiliary | (shiftCount == 1 ? 0 : Self.overflow)
    }

    /// A register whose value is undefined afterwards.
    private var undefinedRegister: Int? {
        isDoubleShift && shiftCount > operandBits && !instruction.hasMemoryOperand ? instruction.rm : nil
    }
}
