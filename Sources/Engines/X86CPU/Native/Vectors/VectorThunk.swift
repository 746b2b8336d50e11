// SPDX-License-Identifier: Apache-2.0

/// One way in which a form was encoded: what a thunk is made for.
struct VectorEncoding {
    var form: VectorForm
    var isVEX: Bool
    var is256: Bool
    var wide: Bool
    var isMemory: Bool
    /// The immediate byte; 0 where it only names a register.
    var immediate: UInt8

    /// Thunk registers of the operands: modrm.reg, vvvv, r/m; the implicit or fourth operand is register 0.
    private static let reg: UInt8 = 1, vvvv: UInt8 = 2, rm: UInt8 = 3, extra: UInt8 = 0

    private var destination: VectorOperandKind { form.operands[0] }
    private var writesNothing: Bool { form.traits.contains(.setsFlags) || form.traits.contains(.string) }
    /// The first operand is vvvv; legacy encoding writes r/m instead.
    private var writesRM: Bool { !writesNothing && (destination.isRM || destination == .vvvv && !isVEX) }
    private var writesReg: Bool { !writesNothing && destination.isReg }
    private var usesVVVV: Bool { isVEX && form.operands.contains(.vvvv) }
    private var usesExtra: Bool { form.operands.contains { $0 == .immediateRegister || $0 == .implicitZero } }

    /// The r/m operand is a register of the host in the thunk, not memory.
    private var rmInRegister: Bool { !isMemory && form.rm != .rmGeneral && form.rm != nil }

    var operationTraits: NativeOperation.Traits {
        var traits: NativeOperation.Traits = []
        if isVEX { traits.insert(.avx) }
        if form.traits.contains(.floatingPoint) { traits.insert(.floatingPoint) }
        if form.traits.contains(.setsFlags) { traits.insert(.setsFlags) }
        if form.traits.contains(.string) { traits.insert(.string) }
        if form.reg == .regMMX { traits.formUnion([.regMMX, .mmx]) }
        if form.reg == .regGeneral { traits.insert(.regGeneral) }
        if !isMemory, form.rm == .rmMMX || form.rm == .rmMMXRegister { traits.formUnion([.rmMMX, .mmx]) }
        if !isMemory, form.rm == .rmGeneral { traits.insert(.rmGeneral) }
        if writesRM { traits.insert(.writesRM) }
        if writesReg { traits.insert(.writesReg) }
        if isMemory { traits.insert(.memory) }
        return traits
    }

    var memoryBytes: UInt8 { form.size.bytes(is256: is256, wide: wide) }

    var alignmentMask: UInt8 { isMemory && !isVEX && memoryBytes == 16 && !form.traits.contains(.unaligned) ? 15 : 0 }

    /// The thunk's code.
    func assemble() -> [UInt8] {
        var assembler = Assembler()
        loadOperands(&assembler)
        if form.traits.contains(.string) {
            runString(&assembler)
        } else {
            run(&assembler)
        }
        if form.usesMMX { assembler.emptyMMX() }
        if isVEX { assembler.zeroUpper() }
        assembler.ret()
        return assembler.code
    }

    private func loadOperands(_ assembler: inout Assembler) {
        switch form.reg {
        case .regVector: assembler.loadVector(Self.reg, .rdi, avx: isVEX)
        case .regMMX: assembler.loadMMX(Self.reg, .rdi)
        default: break
        }
        if usesVVVV { assembler.loadVector(Self.vvvv, .rsi, avx: true) }
        if usesExtra { assembler.loadVector(Self.extra, .r8, avx: isVEX) }
        guard rmInRegister else { return }
        switch form.rm {
        case .rmMMX, .rmMMXRegister: assembler.loadMMX(Self.rm, .rdx)
        default: assembler.loadVector(Self.rm, .rdx, avx: isVEX)
        }
    }

    private func emitInstruction(_ assembler: inout Assembler) {
        let operand: EmittedOperand = rmInRegister ? .register(Self.rm) : .memory(.rdx)
        // A general register as destination is RAX.
        let reg = form.digit ?? (form.reg == .regGeneral ? HostRegister.rax.rawValue : Self.reg)
        let byte = form.hasImmediate ? immediate : nil
        if isVEX {
            assembler.vex(
                form.prefix, map: form.map, form.opcode, reg: reg, vvvv: usesVVVV ? Self.vvvv : 0, operand,
                is256: is256, wide: wide, immediate: byte)
        } else {
            assembler.legacy(
                form.prefix, map: form.map, form.opcode, reg: reg, operand, wide: wide, immediate: byte)
        }
    }

    private func run(_ assembler: inout Assembler) {
        let usesControl = form.traits.contains(.floatingPoint)
        if usesControl { assembler.loadControl(.rcx, 0) }
        emitInstruction(&assembler)
        if form.traits.contains(.setsFlags) { assembler.captureFlags() }
        if usesControl {
            assembler.storeControl(.rcx, Int32(VectorBlock.controlStored))
            assembler.loadControl(.rcx, Int32(VectorBlock.controlHost))
        }
        if writesReg {
            switch destination {
            case .regVector: assembler.storeVector(Self.reg, .rdi, avx: isVEX)
            case .regMMX: assembler.storeMMX(Self.reg, .rdi)
            default: assembler.store(.rax, .rdi)
            }
        } else if writesRM, rmInRegister {
            if form.rm == .rmMMX || form.rm == .rmMMXRegister {
                assembler.storeMMX(Self.rm, .rdx)
            } else {
                assembler.storeVector(Self.rm, .rdx, avx: isVEX)
            }
        } else if destination == .vvvv, isVEX {
            assembler.storeVector(Self.vvvv, .rsi, avx: true)
        }
    }

    /// PCMPxSTRx: r8 points to the general registers, rsi to XMM0's place.
    private func runString(_ assembler: inout Assembler) {
        // The r/m operand is taken into its register before RDX is needed for the length.
        if isMemory { assembler.loadVector(Self.rm, .rdx, avx: isVEX) }
        assembler.load(.rax, .r8, Int32(Register.rax * 8))
        assembler.load(.rdx, .r8, Int32(Register.rdx * 8))
        assembler.load(.rcx, .r8, Int32(Register.rcx * 8))
        if isVEX {
            assembler.vex(
                form.prefix, map: form.map, form.opcode, reg: Self.reg, .register(Self.rm), is256: false, wide: wide,
                immediate: immediate)
        } else {
            assembler.legacy(
                form.prefix, map: form.map, form.opcode, reg: Self.reg, .register(Self.rm), wide: wide,
                immediate: immediate)
        }
        let isIndex = form.opcode & 1 != 0
        if isIndex {
            assembler.store(.rcx, .r8, Int32(Register.rcx * 8))
        } else {
            assembler.storeVector(0, .rsi, avx: isVEX)
        }
        assembler.captureFlags()
    }
}

extension NativeLibrary {
    /// The operation for an encoding of the form with this index in `VectorForm.all`.
    func vectorOperation(_ index: Int, _ encoding: VectorEncoding) -> UnsafePointer<NativeOperation>? {
        let bits: UInt64 =
            (encoding.isVEX ? 1 : 0) | (encoding.is256 ? 2 : 0) | (encoding.wide ? 4 : 0) | (encoding.isMemory ? 8 : 0)
        let key = NativeKeySpace.vector << 60 | UInt64(index) << 16 | UInt64(encoding.immediate) << 8 | bits
        return operation(key) {
            (
                encoding.assemble(),
                { code in
                    NativeOperation(
                        code: code, traits: encoding.operationTraits, memoryBytes: encoding.memoryBytes,
                        alignmentMask: encoding.alignmentMask)
                }
            )
        }
    }
}

/// The top bits of `NativeLibrary` keys, by what makes the code.
enum NativeKeySpace {
    static let vector: UInt64 = 0, x87: UInt64 = 1
}
