// SPDX-License-Identifier: Apache-2.0

internal import CPUInterface
internal import GuestMemory

/// Indices of the general registers, in the order of instruction encoding.
enum Register {
    static let rax = 0, rcx = 1, rdx = 2, rbx = 3, rsp = 4, rbp = 5, rsi = 6, rdi = 7
}

/// Indices into `CPUState.segments`: the order of instruction encoding, then the two system segments.
enum SegmentRegister {
    static let es = 0, cs = 1, ss = 2, ds = 3, fs = 4, gs = 5, ldtr = 6, tr = 7
    /// Not a register: base 0, limit 4 GiB. What decoded memory operands name where segmentation does not apply.
    static let flat = 8
}

/// A segment register with its hidden part.
struct SegmentState {
    var base: UInt64 = 0
    /// Last valid offset in bytes, granularity applied.
    var limit: UInt32 = 0xFFFF
    /// As `X86Segment.attributes`.
    var attributes: UInt32 = 0
    var selector: UInt16 = 0
}

/// One entry of a translation lookaside buffer, in the form that the translator compares in one step:
/// an access of `size` bytes at `address` hits when `address ^ tag <= 4096 - size`.
struct TLBEntry {
    /// The linear address of the page.
    var tag: UInt64
    /// The host address of the page; in tables of code its guest-physical address.
    var page: UInt64

    /// The entry that no access hits at this place of the table: its page number differs in the lowest bit from every
    /// address that is looked up here, canonical or not. All zeros is as good but in a table's first place.
    static func invalid(at index: Int) -> TLBEntry { TLBEntry(tag: UInt64(index ^ 1) << 12, page: 0) }
}

/// How far memory accesses of the moment are trusted: each class has its own read and write TLB, so that a change of
/// privilege or of EFLAGS.AC under SMAP only switches two pointers.
enum AccessClass: Int {
    /// CPL 3.
    case user = 0
    /// CPL 0...2, and implicit accesses by the processor at any CPL.
    case supervisor = 1
    /// CPL 0...2 with EFLAGS.AC set while CR4.SMAP is on.
    case supervisorWithUserAccess = 2
    /// CPL 3 with alignment checks: never answered by a TLB.
    case alignmentChecked = 3
}

/// What asks the run loop for attention. `CPUState.attention` is a word of these bits, set by any thread with an
/// atomic OR and looked at between blocks.
enum Attention {
    static let interrupt: UInt32 = 1 << 0
    static let nonMaskable: UInt32 = 1 << 1
    static let initialize: UInt32 = 1 << 2
    static let startup: UInt32 = 1 << 3
    static let systemManagement: UInt32 = 1 << 4
    static let kick: UInt32 = 1 << 5
    /// Another vCPU or a device changed a page whose code this one may have decoded.
    static let codeChanged: UInt32 = 1 << 6
    /// A debug condition of the last instruction (single step, data breakpoint) waits to be raised.
    static let debugTrap: UInt32 = 1 << 7
    /// The A20 gate moved, or translations must be made anew for another reason.
    static let reconfigured: UInt32 = 1 << 8
    /// In `CPUState.signals` only: a second NMI came before the first was taken.
    static let nonMaskableAgain: UInt32 = 1 << 9
    /// Other processors wait for their turn.
    static let turnOver: UInt32 = 1 << 10
}

/// What is held back until after the next instruction.
enum InstructionShadow: UInt8, Codable {
    case none
    /// Interrupts, after STI.
    case interrupts
    /// Interrupts and debug traps, after a load of SS.
    case all
}

/// The kind of code that runs: part of the key of decoded blocks.
enum CodeWidth: UInt8 {
    /// Real mode, V86 mode and 16-bit segments.
    case bits16 = 0
    case bits32 = 1
    /// 64-bit mode (CS.L with EFER.LMA).
    case bits64 = 2
}

/// All state of one processor that instructions touch: one block of memory with a stable layout, reached through one
/// pointer. Native code addresses it by `MemoryLayout<CPUState>.offset(of:)`.
struct CPUState {
    // MARK: hot, first cache lines
    var gpr = InlineArray<16, UInt64>(repeating: 0)
    /// Always 0: the register that a memory operand without base or index names.
    private(set) var zero: UInt64 = 0
    /// Offset (not linear address) of the current block's first instruction, then of the next instruction once a block
    /// ends. While a block runs, an instruction's own offset is `blockIP + instruction.offset`.
    var rip: UInt64 = 0
    var blockIP: UInt64 = 0
    /// Arithmetic flags, lazily: see Flags.swift.
    var flagResult: UInt64 = 0
    var flagCarries: UInt64 = 0
    /// All bits of RFLAGS except OF, SF, ZF, AF, PF, CF, which `flagResult` and `flagCarries` hold. Bit 1 is set.
    var systemFlags: UInt64 = 2
    /// TLBs of the current access class; each has `tlbMask + 1` entries, indexed by (address >> 12) & tlbMask.
    var readTLB: UnsafeMutablePointer<TLBEntry>
    var writeTLB: UnsafeMutablePointer<TLBEntry>
    var tlbMask: UInt64 = 0
    /// Attention bits; other threads change it atomically.
    var attention: UInt32 = 0
    /// Current privilege level, 0...3.
    var cpl: UInt8 = 0
    var codeWidth: CodeWidth = .bits16
    /// SS.B, or 64-bit mode: the width of stack addresses, as log2 of bytes (1, 2, 3).
    var stackWidth: UInt8 = 1
    /// All of CS, DS, ES, SS have base 0 (64-bit mode, or flat 32-bit code): no segment check is needed then for
    /// DS, ES and SS when limits are 4 GiB as well.
    var isFlat: Bool = false
    /// Whose `readTLB` and `writeTLB` are in force.
    var accessClass = AccessClass.supervisor
    /// CPUID names 1 GiB pages.
    var hasGigabytePages: Bool = false
    /// What translated code works with.
    var translation = TranslationState()

    // MARK: segments and system registers
    var segments = InlineArray<9, SegmentState>(repeating: SegmentState())
    var gdtBase: UInt64 = 0
    var idtBase: UInt64 = 0
    var gdtLimit: UInt16 = 0xFFFF
    var idtLimit: UInt16 = 0xFFFF
    var cr0: UInt64 = 0x6000_0010
    var cr2: UInt64 = 0
    var cr3: UInt64 = 0
    var cr4: UInt64 = 0
    var efer: UInt64 = 0
    var xcr0: UInt64 = 1
    var xss: UInt64 = 0
    var debug = InlineArray<8, UInt64>(repeating: 0)
    /// PKRU.
    var pkru: UInt32 = 0
    /// Bits of DR6 that the pending fault #DB sets.
    var faultDebugBits: UInt64 = 0
    /// Levels and edges that came from outside, as `Attention` bits; other threads change it atomically.
    var signals: UInt32 = 0
    /// 1 while the thread sleeps, or is about to.
    var isSleeping: UInt32 = 0
    /// Of the last SIPI.
    var startupVector: UInt32 = 0
    /// 1 while the A20 gate is shut.
    var isLine20Masked: UInt32 = 0
    var shadow = InstructionShadow.none
    /// Between an NMI and the next IRET.
    var nonMaskableBlocked: Bool = false
    /// The last instruction (SYSCALL, SYSRET) traps by the TF that it leaves, not by the one it found.
    var stepsByResult: Bool = false
    /// The pending fault came up after a task switch: it is the new task's, and the instruction is done.
    var hasTaskFault: Bool = false
    /// Offset of a repeated string instruction that was left before its end, else `.max`: where an interrupt or trap
    /// finds it, the saved flags have RF.
    var suspendedStringIP: UInt64 = .max
    /// DR7 enables an instruction breakpoint.
    var hasInstructionBreakpoints: Bool = false
    /// Bits of DR6 that the debug trap to come will set.
    var pendingDebug: UInt64 = 0
    /// Translation beyond the control registers; alive as long as the processor.
    var mmu: UnsafeMutablePointer<MMUState>

    // MARK: decoded code
    /// Direct-mapped table of blocks by linear address, `JumpCache.count` entries.
    var jumpCache: UnsafeMutablePointer<JumpCacheEntry>
    /// What an entry of `jumpCache` must have been filled with to be valid: the mode of the code in the low bits, above
    /// them a count of everything that may have changed what an address holds.
    var fetchKey: UInt64 = 0
    /// Sleeping in HLT until an interrupt.
    var isHalted: Bool = false

    // MARK: fault in flight, valid while a handler returns `.fault`
    var faultVector: UInt8 = 0
    var faultHasErrorCode: Bool = false
    var faultErrorCode: UInt32 = 0
    /// The fault is a non-canonical access at `faultAddress`; the run loop chooses between #GP and #SS.
    var faultIsNonCanonical: Bool = false
    var faultAddress: UInt64 = 0

    // MARK: floating point and vectors
    /// The x87 and MMX state in the form of FXSAVE64 (bytes 0...159 are used; XMM lives in `ymm`). 16-byte aligned.
    var fxsave: UnsafeMutableRawPointer
    /// YMM0...YMM15, 32 bytes each, the XMM half first. 32-byte aligned.
    var ymm: UnsafeMutableRawPointer
    var mxcsr: UInt32 = 0x1F80
    /// FOP, FIP and FDP: the last non-control x87 instruction and the offset of its memory operand.
    var fpuOpcode: UInt16 = 0
    var fpuIP: UInt64 = 0
    var fpuDP: UInt64 = 0

    /// Time-stamp counter: guest TSC = host TSC + tscOffset.
    var tscOffset: UInt64 = 0
    /// The host's counter from which on a read of the guest's first looks after the machine's timers.
    var timerLook: UInt64 = 0
    var tscAux: UInt64 = 0
    /// Instructions retired, counted by block.
    var instructionCount: UInt64 = 0

    // MARK: model-specific registers that instructions read on hot paths
    var star: UInt64 = 0
    var lstar: UInt64 = 0
    var cstar: UInt64 = 0
    var syscallMask: UInt64 = 0
    var kernelGSBase: UInt64 = 0
    var sysenterCS: UInt64 = 0
    var sysenterESP: UInt64 = 0
    var sysenterEIP: UInt64 = 0

    /// The owning `SoftCPU`, unretained: set once, alive as long as this state. For slow paths only.
    var owner: Unmanaged<SoftCPU>
}

/// The processor's state, passed to every handler.
typealias State = UnsafeMutablePointer<CPUState>

extension UnsafeMutablePointer where Pointee == CPUState {
    /// The owning object, for slow paths.
    @inline(__always) var cpu: SoftCPU { pointee.owner._withUnsafeGuaranteedRef { $0 } }
}
