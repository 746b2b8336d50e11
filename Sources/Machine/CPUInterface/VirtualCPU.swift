// SPDX-License-Identifier: Apache-2.0

/// Why `VirtualCPU.run()` came back.
public enum CPUExit: Equatable, Sendable {
    /// `kick()` asked for it.
    case kicked
    /// A triple fault or a KVM shutdown exit: the machine resets or ends, as `-no-reboot` says.
    case shutdown
    /// A breakpoint, watchpoint or single step for the debugger.
    case debug(DebugStop)
    /// The engine cannot go on; the text says why.
    case failed(String)
}

/// What stopped a vCPU for the debugger.
public enum DebugStop: Equatable, Sendable {
    case step
    /// A software or hardware breakpoint at the current instruction.
    case breakpoint
    /// A watchpoint on this linear address.
    case watchpoint(address: UInt64)
}

/// What a debugger asks a vCPU to stop at.
public struct DebugPoints: Equatable, Sendable {
    /// A watched range of linear addresses.
    public struct Watch: Equatable, Sendable {
        /// Linear, and of any alignment.
        public var address: UInt64
        /// Bytes; 1 or more.
        public var count: Int
        /// Stop when it is read.
        public var onRead: Bool
        /// Stop when it is written.
        public var onWrite: Bool
        /// A range to watch, for the debugger's stub.
        public init(address: UInt64, count: Int, onRead: Bool, onWrite: Bool) {
            self.address = address
            self.count = count
            self.onRead = onRead
            self.onWrite = onWrite
        }
    }
    /// Linear addresses of instructions.
    public var breakpoints: Set<UInt64> = []
    /// Stop after an access to one of these; hardware engines take few (DR0...DR3).
    public var watchpoints: [Watch] = []
    /// Stop after one instruction.
    public var singleStep = false
    /// Nothing to stop at.
    public init() {}
    /// Nothing to stop at.
    public var isEmpty: Bool { breakpoints.isEmpty && watchpoints.isEmpty && !singleStep }
}

/// One virtual processor of any engine.
///
/// `run` is called on the vCPU's own thread and without the machine lock. While it runs only `kick` and the signals may
/// be called; everything else needs the vCPU to be stopped (out of `run`).
public protocol VirtualCPU: AnyObject, Sendable {
    /// 0 for the bootstrap processor.
    var index: Int { get }
    /// Runs guest code, sleeps while the guest halts, and comes back for what the runtime must decide.
    func run() -> CPUExit
    /// Makes `run` return `.kicked` soon; callable on any thread, also before `run`. Each kick is consumed once.
    func kick()
    /// The state after RESET; an application processor then waits for INIT and SIPI.
    func reset()
    /// All registers that a person or a debugger looks at.
    var registers: X86Registers { get set }
    /// What to stop at; replaces the earlier set.
    var debugPoints: DebugPoints { get set }
    /// Guest-physical address of a linear address through the current page tables, without faulting or setting A/D.
    func physicalAddress(ofLinear address: UInt64) -> UInt64?
    /// Sleeping in HLT, or waiting for SIPI.
    var isHalted: Bool { get }
    /// The host's thread number while it runs, for `query-cpus-fast`; 0 before.
    var hostThreadIdentifier: Int { get }
}

/// What an engine's vCPUs are told by the machine's interrupt controllers; thread-safe.
public protocol CPUSignals: AnyObject, Sendable {
    /// The level of INTR: the local APIC, or the PIC through it, has something to deliver.
    func setInterruptRequest(_ asserted: Bool)
    /// An edge on NMI.
    func raiseNonMaskableInterrupt()
    /// INIT, as the INIT IPI or reset of one processor.
    func raiseInit()
    /// A start-up IPI: begin at `vector` * 4096 in real mode, if waiting for it.
    func raiseStartup(vector: UInt8)
    /// A system-management interrupt.
    func raiseSystemManagementInterrupt()
}

/// What a software vCPU asks of its local APIC. Called on the vCPU's thread without the machine lock, which the
/// implementation takes where it needs it.
public protocol LocalInterruptController: AnyObject, Sendable {
    /// The vector to deliver now (the INTA cycle); nil when the request went away.
    func acknowledgeInterrupt() -> UInt8?
    /// Bits 7:4 of the task priority: what CR8 shows.
    var taskPriorityClass: UInt8 { get set }
    /// The guest-physical base of the register page while it is enabled in xAPIC mode, else nil.
    var registerPage: UInt64? { get }
    /// A register access, `offset` bytes into the page.
    func readRegister(offset: UInt64, size: Int) -> UInt64
    func writeRegister(offset: UInt64, size: Int, value: UInt64)
    /// IA32_APIC_BASE, IA32_TSC_DEADLINE and the x2APIC range 0x800...0x8FF; nil raises #GP.
    func readModelSpecificRegister(_ index: UInt32) -> UInt64?
    /// - Returns: false raises #GP.
    func writeModelSpecificRegister(_ index: UInt32, value: UInt64) -> Bool
    /// The processor's time-stamp counter was written: a deadline in its ticks lies elsewhere in time now.
    func timestampCounterChanged()
    /// CPUID.1:EDX.APIC follows the enable bit of IA32_APIC_BASE.
    var isEnabled: Bool { get }
    /// CPUID leaf 1 and leaf 0xB: the identifier.
    var identifier: UInt32 { get }
}
