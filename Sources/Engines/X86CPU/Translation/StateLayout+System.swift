// SPDX-License-Identifier: Apache-2.0

// What translated code of system instructions reads and changes.
extension StateLayout {
    private static func place<Field>(_ field: KeyPath<CPUState, Field>) -> Int32 {
        // All are stored properties.
        Int32(MemoryLayout<CPUState>.offset(of: field).unsafelyUnwrapped)
    }

    /// Where a string instruction's destination is put down between its steps.
    package static let stringTarget = place(\.translation.stringTarget)
    /// Of `CodeMode.rawValue`: which bits tell the width of code, and what they are for 64-bit code.
    package static let codeWidthMask: UInt8 = 3, codeWidth64 = CodeWidth.bits64.rawValue
    /// RFLAGS without the arithmetic flags, 64 bits.
    package static let systemFlags = place(\.systemFlags)
    /// The current privilege level, one byte.
    package static let privilege = place(\.cpl)
    /// Levels and edges from outside, 32 bits, changed atomically by others.
    package static let signals = place(\.signals)
    /// CR4, 64 bits.
    package static let control4 = place(\.cr4)
    /// The class that chooses the TLBs, one byte.
    package static let accessRights = place(\.accessClass)
    /// What RDTSC adds to the host's counter.
    package static let timeOffset = place(\.tscOffset)
    /// The host's counter from which on a read of the guest's is the interpreter's.
    package static let timerLook = place(\.timerLook)
    /// IA32_TSC_AUX, which RDTSCP gives.
    package static let timeAuxiliary = place(\.tscAux)
    /// IA32_KERNEL_GS_BASE, which SWAPGS swaps.
    package static let otherGSBase = place(\.kernelGSBase)
    /// EFER, 64 bits.
    package static let extendedFeatures = place(\.efer)
    /// IA32_STAR, IA32_LSTAR and IA32_FMASK: the selectors, the target and what is cleared of the flags by SYSCALL.
    package static let systemSelectors = place(\.star), systemTarget = place(\.lstar), systemMask = place(\.syscallMask)
    /// What says of which mode decoded code is; 64 bits, of which the low byte is `CodeMode.rawValue`.
    package static let fetchKey = place(\.fetchKey)

    /// Fields of a segment register, by its number, from `segmentBase`: limit and attributes of 32 bits, and the selector.
    package static let segmentLimit = Int32(MemoryLayout<SegmentState>.offset(of: \.limit).unsafelyUnwrapped)
    package static let segmentAttributes = Int32(MemoryLayout<SegmentState>.offset(of: \.attributes).unsafelyUnwrapped)
    package static let segmentSelector = Int32(MemoryLayout<SegmentState>.offset(of: \.selector).unsafelyUnwrapped)
}

/// Values in those fields.
package enum SystemValue {
    /// RFLAGS.IF and RFLAGS.DF.
    package static let interruptFlag = Int32(Flag.interrupt), directionFlag = Int32(Flag.direction)
    /// RFLAGS.AC, which STAC and CLAC change.
    package static let accessFlag = Int32(Flag.alignmentCheck)
    /// What PUSHF does not show.
    package static let hiddenFlags = Int32(Flag.virtual8086 | Flag.resume)
    /// OF in RFLAGS.
    package static let overflowShift = UInt8(Flag.overflow.trailingZeroBitCount)
    /// The arithmetic flags that LAHF gives.
    package static let lowFlags = Int32(Flag.arithmetic & 0xFF)
    /// RFLAGS.TF.
    package static let trapFlag = Int32(Flag.trap)
    /// What SYSRET takes from R11 (AMD's and Intel's manuals agree).
    package static let returnedFlags = Int32(SystemCalls.returnedFlags)
    /// The six arithmetic flags, which are not kept in `StateLayout.systemFlags`.
    package static let arithmeticFlags = Int32(Flag.arithmetic)
    /// EFER.SCE, in the lowest byte.
    package static let systemCallEnable = UInt8(ExtendedFeature.systemCall)
    /// The bit of `signals` for INTR.
    package static let interruptRequest = Int32(Attention.interrupt)
    /// CR4.TSD: RDTSC is for the supervisor alone.
    package static let timeStampDisable = UInt8(ControlRegister4.timeStampDisable)
    /// CR4.SMAP: the byte of CR4 and the bit in it.
    package static let smapByte = Int32(ControlRegister4.smap.trailingZeroBitCount / 8)
    /// The bit in that byte.
    package static let smapBit = UInt8(1 << (ControlRegister4.smap.trailingZeroBitCount % 8))
    /// The class of user code whose alignment is not checked.
    package static let user = UInt8(AccessClass.user.rawValue)
    /// The class of supervisor code that may not touch user pages.
    package static let supervisor = UInt8(AccessClass.supervisor.rawValue)
    /// The class of supervisor code that may.
    package static let supervisorWithUserAccess = UInt8(AccessClass.supervisorWithUserAccess.rawValue)
    /// Bytes from the TLBs of the one of these classes to those of the other.
    package static let tlbDistance = Int32(TLBContext.size * MemoryLayout<TLBEntry>.stride)
}

/// What SYSCALL and SYSRET load into segment registers of 64-bit code.
package enum SystemSegment {
    /// Attributes of the code segment at a privilege.
    package static func codeAttributes(privilege: UInt32) -> Int32 {
        Int32(bitPattern: SystemCalls.code(0, privilege: privilege, isLong: true).attributes)
    }
    /// Attributes of the stack segment at a privilege.
    package static func stackAttributes(privilege: UInt32) -> Int32 {
        Int32(bitPattern: SystemCalls.stack(0, privilege: privilege).attributes)
    }
    /// Where they lie among the segment registers.
    package static let code = UInt8(SegmentRegister.cs), stack = UInt8(SegmentRegister.ss)
}

extension SoftCPU {
    /// CPUID offers RDTSCP; without, it raises #UD.
    package var showsRDTSCP: Bool { features.has.contains(.rdtscp) }

    /// Whether data in FS (4) or GS (5) needs no look at limit and rights: 32-bit code's, where limits count.
    package func isOpen(segment index: Int) -> Bool {
        let segment = state.segment(index).pointee
        let looked =
            SegmentAttribute.unusable | SegmentAttribute.codeOrData | SegmentAttribute.code
            | SegmentAttribute.expandDown | SegmentAttribute.readWrite
        return segment.limit == .max
            && segment.attributes & looked == SegmentAttribute.codeOrData | SegmentAttribute.readWrite
    }
}

extension CodeMode {
    /// The translator knows it: 64-bit code, and 32-bit code in flat segments.
    var isTranslatable: Bool { is64 || width == .bits32 && isProtected && isFlat && stackWidth == 2 }
}
