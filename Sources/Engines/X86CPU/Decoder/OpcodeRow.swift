// SPDX-License-Identifier: Apache-2.0

/// Which opcode table an instruction is in.
enum OpcodeMap: UInt8 {
    /// One-byte opcodes.
    case primary = 0
    /// 0F.
    case map0F = 1
    /// 0F 38.
    case map0F38 = 2
    /// 0F 3A.
    case map0F3A = 3
}

/// The effective mandatory prefixes with which a row matches: F3 or F2 (the last one) where there is one, else 66
/// where there is one, else none.
struct OpcodePrefixes: OptionSet {
    let rawValue: UInt8
    static let none = OpcodePrefixes(rawValue: 1)
    static let x66 = OpcodePrefixes(rawValue: 2)
    static let xF3 = OpcodePrefixes(rawValue: 4)
    static let xF2 = OpcodePrefixes(rawValue: 8)
    /// Not part of the opcode.
    static let any: OpcodePrefixes = [.none, .x66, .xF3, .xF2]
    /// 66 only chooses the operand size.
    static let noRepeat: OpcodePrefixes = [.none, .x66]
}

/// Code widths in which a row matches.
struct CodeWidths: OptionSet {
    let rawValue: UInt8
    static let bits16 = CodeWidths(rawValue: 1)
    static let bits32 = CodeWidths(rawValue: 2)
    static let bits64 = CodeWidths(rawValue: 4)
    static let all: CodeWidths = [.bits16, .bits32, .bits64]
    /// 16- and 32-bit code: real, V86, protected and compatibility mode.
    static let legacy: CodeWidths = [.bits16, .bits32]
}

/// What modrm.mod must be.
enum ModForm {
    case any
    /// mod = 3.
    case register
    /// mod != 3.
    case memory
}

/// How `Instruction.operandSize` comes about.
enum OperandSizeRule: Equatable {
    /// 0.
    case byte
    /// 16, 32 or 64 bits by code width, 66 and REX.W.
    case variable
    /// Opcode bit 0 clear: byte; set: variable.
    case byteOrVariable
    /// As `variable`, but 64 bits in 64-bit code without 66: PUSH, POP...
    case stack
    /// As `variable`, but always 64 bits in 64-bit code: near branches.
    case branch
    /// 32 bits, or 64 with REX.W (VEX.W) in 64-bit code.
    case doubleOrQuad
    /// log2 of the bytes.
    case fixed(UInt8)
}

/// What follows modrm and displacement.
enum ImmediateForm {
    case none
    /// 8 bits, sign-extended.
    case byte
    /// 8 bits, zero-extended.
    case byteUnsigned
    /// 16 bits, zero-extended.
    case word
    /// As wide as the operand up to 32 bits, sign-extended (Iz, and Ib for byte operands).
    case operand
    /// As wide as the operand up to 64 bits (Iv).
    case full
    /// 8 bits relative to the next instruction; `immediate` is the target relative to the block's start.
    case relativeByte
    /// 16 or 32 bits as `relativeByte`.
    case relative
    /// A memory operand by its offset alone (moffs): goes to `displacement`.
    case addressOffset
    /// 16- or 32-bit offset in the low half of `immediate`, selector from bit 32 on.
    case farPointer
    /// 16 bits, then 8 bits from bit 16 on (ENTER).
    case wordAndByte
    /// No bytes; `immediate` is 1.
    case one
}

/// Further properties of a row.
struct RowFlags: OptionSet {
    let rawValue: UInt16
    /// A modrm byte follows the opcode.
    static let modRM = RowFlags(rawValue: 1 << 0)
    /// The opcode's low three bits with REX.B are `rm`.
    static let registerInOpcode = RowFlags(rawValue: 1 << 1)
    /// modrm.mod is not looked at: the operand is a register (MOV CR, MOV DR).
    static let registerAlways = RowFlags(rawValue: 1 << 2)
    /// `reg` is a byte register.
    static let byteReg = RowFlags(rawValue: 1 << 3)
    /// `rm` is a byte register.
    static let byteRM = RowFlags(rawValue: 1 << 4)
    /// LOCK is allowed with a memory operand.
    static let lockable = RowFlags(rawValue: 1 << 5)
    /// Nothing after it is decoded into the same block. A handler that may return anything but `.next` and `.fault`
    /// does not need it, but code behind it is decoded in vain.
    static let endsBlock = RowFlags(rawValue: 1 << 6)
    /// #UD in real and V86 mode.
    static let protectedOnly = RowFlags(rawValue: 1 << 7)
    /// Implicit memory operands lie on the stack: sets `Prefixes.implicitStack`.
    static let implicitStack = RowFlags(rawValue: 1 << 8)
    /// The SIB byte's index is a vector register (gathers): required, and index 4 is a register.
    static let vectorIndex = RowFlags(rawValue: 1 << 9)
    /// May run only at CPL 0 or touches system state: left out when instructions are compared with the host.
    static let system = RowFlags(rawValue: 1 << 10)
    /// `Instruction.immediate` is the address of a `NativeOperation` made from `VectorForm`.
    static let vectorForm = RowFlags(rawValue: 1 << 11)
}

/// What a VEX row demands of the VEX prefix beyond map and pp.
struct VEXForm {
    enum Bit { case any, zero, one }
    var l = Bit.any
    var w = Bit.any
    /// vvvv names an operand; where not it must be 1111.
    var usesV = true
    /// W chooses the operand size only in 64-bit code and is ignored elsewhere.
    init(l: Bit = .any, w: Bit = .any, usesV: Bool = true) {
        self.l = l
        self.w = w
        self.usesV = usesV
    }
}

/// Chooses a handler for a decoded instruction, and may change its fields; nil raises #UD.
typealias HandlerSelector = @Sendable (inout Instruction, CodeMode) -> Handler?

/// One row of the opcode table: the conditions under which it applies, the operands' form, and the handler.
struct OpcodeRow {
    var map: OpcodeMap
    var opcode: UInt8
    /// For traces and tests: "ADD", "VPADDB"...
    var name: String
    var prefix: OpcodePrefixes
    /// modrm.reg, without REX.R; nil matches all.
    var digit: UInt8?
    /// modrm.rm, without REX.B; nil matches all. Only with `mod: .register`.
    var rm: UInt8?
    var mod: ModForm
    var vex: VEXForm?
    var widths: CodeWidths
    var size: OperandSizeRule
    var immediate: ImmediateForm
    var flags: RowFlags
    var select: HandlerSelector
    /// What CPUID must show for the row to apply; nil until the table is built, then by the name.
    var needs: InstructionFeatures?
    /// As `needs`, with VEX.L or REX.W.
    var needsWide: InstructionFeatures?
}
