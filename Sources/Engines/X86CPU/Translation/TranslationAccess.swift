// SPDX-License-Identifier: Apache-2.0

internal import GuestMemory

/// Where translated code finds the fields of `CPUState`, in bytes from its start.
package enum StateLayout {
    private static func offset<Field>(_ field: KeyPath<CPUState, Field>) -> Int32 {
        // All are stored properties.
        Int32(MemoryLayout<CPUState>.offset(of: field).unsafelyUnwrapped)
    }

    /// The 16 general registers, 64 bits each.
    package static let general = offset(\.gpr)
    /// RIP; up to date only between blocks.
    package static let rip = offset(\.rip)
    /// Pointer to the TLB for reads of the present access class.
    package static let readTLB = offset(\.readTLB)
    /// Pointer to the TLB for writes of the present access class.
    package static let writeTLB = offset(\.writeTLB)
    /// Bits that make translated code stop, 32 bits; others set them atomically.
    package static let attention = offset(\.attention)
    /// Pointer to YMM0...YMM15, 32 bytes each, XMM half first.
    package static let vectors = offset(\.ymm)
    /// The guest's MXCSR, while it is not loaded.
    package static let mxcsr = offset(\.mxcsr)
    /// The first of the translator's own fields.
    package static let translation = offset(\.translation)
    /// The host's RSP where translated code was entered.
    package static let hostStack = offset(\.translation.hostStack)
    /// The arithmetic flags: OF in bit 0, the others in bits 8...15.
    package static let savedFlags = offset(\.translation.savedFlags)
    /// The linear address of the page whose code runs.
    package static let codePage = offset(\.translation.codePage)
    /// What is added to addresses of code to find them in the table of jump targets: keys of user code and of the
    /// kernel's, each for this address space and for global pages.
    package static let userSpaceKey = offset(\.translation.userKeys.space)
    package static let userGlobalKey = offset(\.translation.userKeys.global)
    package static let kernelSpaceKey = offset(\.translation.kernelKeys.space)
    package static let kernelGlobalKey = offset(\.translation.kernelKeys.global)
    /// 64 bits to put a register in.
    package static let stash = offset(\.translation.stash)
    /// Room for the registers of stubs.
    package static let spill = offset(\.translation.spill)
    /// Host addresses for the groups of accesses in a block.
    package static let groups = offset(\.translation.groups)
    /// How many groups of accesses a block may have.
    package static let groupCount = 8
    /// How many site caches are filled.
    package static let filledSites = offset(\.translation.filledSites)
    /// Looks of the site whose looks are counted.
    package static let siteLooks = offset(\.translation.siteLooks)
    /// What the accesses of a loop add to the register that moves.
    package static let loopBases = offset(\.translation.loopBases)
    /// How many groups of accesses a loop may have.
    package static let loopGroupCount = 8
    /// The class that chooses the TLBs, one byte.
    package static let accessClass = offset(\.accessClass)
    /// The greatest value of `accessClass` whose rights the site caches may keep.
    package static let lastPlainClass = UInt8(AccessClass.supervisor.rawValue)
    /// Of `SoftCPU.codeMode`: user code; and 64-bit code, in the low two bits.
    package static let userBit = CodeMode.userBit, widthMask: UInt8 = 3, width64 = CodeWidth.bits64.rawValue
    /// Which units hold the guest's state: bit 0 vectors and MXCSR, bit 1 x87.
    package static let loadedUnits = offset(\.translation.loadedUnits)
    /// Pointer to the x87 state in FXSAVE64's form.
    package static let fxsave = offset(\.fxsave)
    /// The offset of the last x87 instruction, 64 bits.
    package static let fpuIP = offset(\.fpuIP)
    /// The offset of its memory operand, 64 bits.
    package static let fpuDP = offset(\.fpuDP)
    /// Its opcode, 16 bits.
    package static let fpuOpcode = offset(\.fpuOpcode)

    /// The base of a segment register by its number in instructions.
    package static func segmentBase(_ index: UInt8) -> Int32 {
        offset(\.segments) + Int32(index) * Int32(MemoryLayout<SegmentState>.stride)
            + Int32(MemoryLayout<SegmentState>.offset(of: \.base).unsafelyUnwrapped)
    }

    /// Entries of a TLB, and bytes of each: the tag first, then the host's page.
    package static let tlbEntries = TLBContext.size
    /// Bytes from one entry to the next.
    package static let tlbEntryBytes = MemoryLayout<TLBEntry>.stride
    /// Where in `CPUState.ymm` the value lies that MXCSR has for host code.
    package static let hostControl = Int32(VectorBlock.control + VectorBlock.controlHost)
}

/// An instruction as the decoder leaves it, with what the translator must know beyond.
package struct DecodedInstruction {
    /// How far the decoder came.
    package enum Status {
        case complete
        /// No defined instruction, or one whose operands are not allowed: its handler raises the exception.
        case undefined
        /// It goes on behind the bytes that were given.
        case incomplete
    }
    /// Whether `instruction` can be used.
    package var status: Status
    /// What the interpreter would run.
    package var instruction: Instruction
    /// Nothing behind it belongs to the same block.
    package var endsBlock: Bool
    /// Where it is one of the vector instructions that a table describes.
    package var vector: VectorDescription?
    /// F3 is part of the opcode. A processor without TZCNT, LZCNT or POPCNT ignores it, or knows no such instruction.
    package var hasMandatoryRepeat = false
}

/// What the tables say of a vector instruction.
package struct VectorDescription {
    /// It can raise exceptions of MXCSR.
    package var isFloatingPoint: Bool
    /// It writes RFLAGS, as COMISD and PTEST do.
    package var setsFlags: Bool
    /// It has MMX operands, so the x87 unit is in use.
    package var usesMMX: Bool
    /// modrm.reg, and a modrm.rm that is no memory, name general registers.
    package var regIsGeneral: Bool
    /// modrm.rm names a general register where it is no memory.
    package var rmIsGeneral: Bool
    /// Its memory operand is the destination.
    package var writesMemory: Bool
    /// Bytes of the memory operand.
    package var memoryBytes: Int
    /// The memory operand must be aligned to 16 bytes.
    package var isAligned: Bool
}

/// Decodes one instruction of code in a mode (`CodeMode.rawValue`), from `available` bytes.
package func decodeForTranslation(
    _ bytes: UnsafePointer<UInt8>, available: Int, mode: UInt8, offset: Int, on cpu: SoftCPU
) -> DecodedInstruction {
    var decoder = InstructionDecoder(
        bytes: bytes, available: available, mode: CodeMode(rawValue: mode),
        offset: UInt16(truncatingIfNeeded: offset), features: cpu.features.instructions)
    let result = decoder.decode()
    let flags = decoder.rowFlags
    let status: DecodedInstruction.Status =
        result == .needsMore
        ? .incomplete : result == .tooLong || decoder.row == nil ? .undefined : .complete
    var instruction = decoder.instruction
    if result == .tooLong {
        instruction.handler = tooLongHandler
        instruction.length = UInt8(InstructionDecoder.maximumLength)
    }
    instruction.counter = UInt16(truncatingIfNeeded: decoder.row ?? OpcodeTable.shared.count)
    let row = decoder.row.map { OpcodeTable.shared.rows[$0] }
    return DecodedInstruction(
        status: status, instruction: instruction, endsBlock: flags.contains(.endsBlock),
        vector: status == .complete && flags.contains(.vectorForm) ? describe(instruction) : nil,
        hasMandatoryRepeat: row.map { $0.prefix == .xF3 } ?? false)
}

/// Kinds of instructions that `Instruction.counter` tells apart: rows of the opcode table, and what is none.
package var instructionKindCount: Int { OpcodeTable.shared.count + 1 }

/// The mnemonic of such a kind.
package func instructionName(ofKind kind: Int) -> String {
    kind < OpcodeTable.shared.count ? OpcodeTable.shared.rows[kind].name : "(undefined)"
}

private func describe(_ instruction: Instruction) -> VectorDescription? {
    guard let operation = UnsafePointer<NativeOperation>(bitPattern: UInt(instruction.immediate))
    else { return nil }
    let traits = operation.pointee.traits
    return VectorDescription(
        isFloatingPoint: traits.contains(.floatingPoint),
        setsFlags: traits.contains(.setsFlags) || traits.contains(.string),
        usesMMX: traits.contains(.mmx), regIsGeneral: traits.contains(.regGeneral),
        rmIsGeneral: traits.contains(.rmGeneral),
        writesMemory: traits.contains(.memory) && traits.contains(.writesRM),
        memoryBytes: Int(operation.pointee.memoryBytes), isAligned: operation.pointee.alignmentMask != 0
    )
}

/// The memory operand of an x87 instruction that computes, by its opcode (D8...DF) and modrm; 0 bytes for a register form,
/// nil where it is none or works on the unit's state.
package func x87Operand(opcode: UInt8, modRM: UInt8) -> (bytes: Int, isWrite: Bool)? {
    if modRM >= 0xC0 { return X87.isRegisterForm(opcode: opcode, modRM: modRM) ? (0, false) : nil }
    return X87.memoryOperand(opcode: opcode, digit: modRM >> 3 & 7).map {
        (Int($0.count), $0.isWrite)
    }
}

/// What may change under the translator's feet: which instructions translated code may run without a check. Its bits are
/// part of the keys of code, above the eight of `SoftCPU.codeMode`.
package struct TranslationMode {
    /// All of them.
    package let bits: UInt64

    /// A mode by its bits.
    package init(bits: UInt64) { self.bits = bits }

    static let sse: UInt64 = 1 << 8, avx: UInt64 = 1 << 9, masked: UInt64 = 1 << 10, fpu: UInt64 = 1 << 11
    static let fs: UInt64 = 1 << 12, gs: UInt64 = 1 << 13

    /// SSE instructions raise neither #UD nor #NM (CR0.EM, CR0.TS, CR4.OSFXSR).
    package var hasSSE: Bool { bits & Self.sse != 0 }
    /// AVX instructions raise neither (CR0.TS, CR4.OSXSAVE and XCR0).
    package var hasAVX: Bool { bits & Self.avx != 0 }
    /// No exception of vector arithmetic is unmasked.
    package var masksVectorTraps: Bool { bits & Self.masked != 0 }
    /// x87 instructions are allowed, and none of its exceptions is unmasked or pending.
    package var hasFPU: Bool { bits & Self.fpu != 0 }
    /// Of 32-bit code: FS, and GS, can be used without a look at their limits and rights.
    package var isFSOpen: Bool { bits & Self.fs != 0 }
    package var isGSOpen: Bool { bits & Self.gs != 0 }
}

extension SoftCPU {
    /// The state that translated code runs on.
    package var translationState: UnsafeMutableRawPointer { UnsafeMutableRawPointer(state) }
    /// The translator's fields in that state.
    package var translation: UnsafeMutablePointer<TranslationState> {
        (UnsafeMutableRawPointer(state)
            + MemoryLayout<CPUState>.offset(of: \.translation).unsafelyUnwrapped)
            .assumingMemoryBound(to: TranslationState.self)
    }
    /// RIP, where the translator's helpers look and where they leave it.
    package var translationRIP: UInt64 {
        get { state.pointee.rip }
        set { state.pointee.rip = newValue }
    }
    /// Whether vector registers may be loaded with all 256 bits.
    package var hostHasAVX: Bool { HostFeatures.host.contains(.avx) }
    /// The part of `fetchKey` that says how code is decoded.
    package var codeMode: UInt8 { UInt8(truncatingIfNeeded: state.pointee.fetchKey) }
    /// The key of the code that runs now; changes with mode and address space.
    package var fetchKey: UInt64 { state.pointee.fetchKey }
    /// Instructions that the interpreter ran in blocks of its own.
    package var interpretedInstructions: UInt64 { state.pointee.instructionCount }
    /// What rip counts from.
    package var codeBase: UInt64 { state.is64Bit ? 0 : state.segment(SegmentRegister.cs).pointee.base }
    /// Forgets how data is translated.
    package func forgetDataTranslations() {
        let mmu = state.pointee.mmu
        mmu.pointee.contexts[mmu.pointee.current].flushData()
    }
    /// Somebody wants the processor to stop between blocks.
    package var isAttentionWanted: Bool { state.pointee.attention != 0 }

    /// What code that is translated now may run unchecked.
    package var translationMode: TranslationMode {
        let blocked = state.pointee.cr0 & (VectorControl.emulation | VectorControl.taskSwitched)
        let both = VectorControl.xcr0SSE | VectorControl.xcr0AVX
        var bits: UInt64 = 0
        if blocked == 0, state.pointee.cr4 & VectorControl.osFXSR != 0 { bits |= TranslationMode.sse }
        if blocked & VectorControl.taskSwitched == 0, state.pointee.cr4 & VectorControl.osXSAVE != 0,
            state.pointee.xcr0 & both == both
        {
            bits |= TranslationMode.avx
        }
        if state.pointee.mxcsr & 0x1F80 == 0x1F80 { bits |= TranslationMode.masked }
        if blocked == 0, state.fpuControl & FPUStatus.flags == FPUStatus.flags,
            state.fpuStatus & FPUStatus.summary == 0
        {
            bits |= TranslationMode.fpu
        }
        if !state.is64Bit {
            if isOpen(segment: SegmentRegister.fs) { bits |= TranslationMode.fs }
            if isOpen(segment: SegmentRegister.gs) { bits |= TranslationMode.gs }
        }
        return TranslationMode(bits: bits)
    }

    /// The guest-physical address of code; nil where its fetch faults.
    package func physicalCode(at linear: UInt64) -> UInt64? { try? state.translateFetch(linear) }

    /// Whether code that `physicalCode` found lies in a page of all address spaces.
    package func isGlobalCode(at linear: UInt64) -> Bool {
        let mmu = state.pointee.mmu
        return mmu.pointee.contexts[mmu.pointee.current].isGlobalCode(
            state.pointee.cpl == 3 ? TLBTable.userFetch : TLBTable.supervisorFetch, linear)
    }

    /// Copies code of a page (its number) after marking it as decoded.
    /// - Returns: false where the page is not memory.
    package func copyCode(page: UInt64, offset: Int, count: Int, to target: UnsafeMutableRawPointer)
        -> Bool
    {
        guard
            let host = environment.memory.hostPointer(
                at: page &* GuestMemory.pageSize, count: Int(GuestMemory.pageSize), writable: false)
        else { return false }
        codePages.mark(page: page, offset: offset, count: count, by: self)
        target.copyMemory(from: host + offset, byteCount: count)
        return true
    }

    /// Brings the flags into the form that translated code saves them in.
    package func saveFlagsForTranslation() { state.saveFlagsForTranslation() }
    /// Takes the flags from the form that translated code saves them in.
    package func takeFlagsOfTranslation() { state.takeFlagsOfTranslation() }
}

extension UnsafeMutablePointer where Pointee == CPUState {
    @inline(__always)
    fileprivate func saveFlagsForTranslation() {
        let image = arithmeticFlags
        pointee.translation.savedFlags =
            (image & ~Flag.overflow | 2) << 8 & 0xFF00 | (image & Flag.overflow != 0 ? 1 : 0)
    }

    @inline(__always)
    fileprivate func takeFlagsOfTranslation() {
        let saved = pointee.translation.savedFlags
        setArithmeticFlags(saved >> 8 & 0xFF | (saved & 1 != 0 ? Flag.overflow : 0))
    }
}

/// Runs one instruction by its handler on behalf of translated code, which has stored registers and flags.
/// - Parameter blockIP: the offset of the block that `instruction.offset` counts from.
/// - Returns: an `Outcome`; with `next` the flags are saved for translated code, else rip is set.
package func interpret(
    _ raw: UnsafeMutableRawPointer, _ instruction: UnsafePointer<Instruction>, blockIP: UInt64
) -> Int32 {
    let state = raw.assumingMemoryBound(to: CPUState.self)
    state.pointee.blockIP = blockIP
    state.takeFlagsOfTranslation()
    let outcome = instruction.pointee.handler(state, instruction)
    if outcome == Outcome.next.rawValue {
        state.saveFlagsForTranslation()
    } else if outcome == Outcome.fault.rawValue {
        state.settleFault(instruction)
    }
    return outcome
}

/// The pseudo instruction that stands behind the last one of a block.
package func resumeInstruction(offset: Int, ordinal: Int) -> Instruction {
    var last = Instruction(handler: resumeHandler)
    last.offset = UInt16(truncatingIfNeeded: offset)
    last.ordinal = UInt8(truncatingIfNeeded: ordinal)
    return last
}
