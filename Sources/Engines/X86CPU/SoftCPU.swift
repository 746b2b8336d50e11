// SPDX-License-Identifier: Apache-2.0

public import CPUInterface
public import GuestMemory
public import HostSystem
public import MachineModel

/// One virtual processor that runs in software.
///
/// Its architectural state is one `CPUState` block; the methods are spread over the folders by concern: `Memory` (paging
/// and TLBs), `Decoder`, `Interpreter` (instruction groups and the run loop), `System` (privileged state, exceptions,
/// segmentation), `Native` (floating point and vector instructions run by the host's own units).
public final class SoftCPU: @unchecked Sendable {
    /// What a processor is connected to; the same for all processors of a machine but for `localController`.
    public struct Environment {
        /// RAM and ROM.
        public let memory: GuestMemory
        /// Port space.
        public let ports: AddressSpace
        /// Device registers in guest-physical space.
        public let devices: AddressSpace
        /// Features that CPUID shows.
        public let model: CPUModel
        /// Where decoded code lies; shared by the machine's processors.
        let codePages: CodePages

        /// Everything by name; one for all processors of a machine. `memory` has all its regions.
        /// - Throws: the host's error when it has no room for the tables.
        public init(
            memory: GuestMemory, ports: AddressSpace, devices: AddressSpace, model: CPUModel
        ) throws(Errno) {
            codePages = try CodePages(memory)
            memory.codePageObserver = codePages
            memory.mapObserver = codePages
            self.memory = memory
            self.ports = ports
            self.devices = devices
            self.model = model
        }
    }

    /// Its place among the machine's processors, from 0.
    public let index: Int
    let environment: Environment
    /// The processor's local APIC; set once by the machine's assembly before it runs.
    public var localController: (any LocalInterruptController)?
    let state: State
    /// Decoded code.
    let blocks: BlockCache
    let codePages: CodePages
    /// Guards `postedCodeChanges`.
    let codeChangeLock = Lock()
    var postedCodeChanges = PostedCodeChanges()

    /// A processor in the state after RESET.
    /// - Throws: the host's error when it has no room for the tables.
    public init(index: Int, environment: Environment) throws(Errno) {
        self.index = index
        self.environment = environment
        codePages = environment.codePages
        features = SystemFeatures(environment.model)
        state = TranslationState.allocateState()
        blocks = try BlockCache(state: state)
        let mmu = UnsafeMutablePointer<MMUState>.allocate(capacity: 1)
        mmu.initialize(to: MMUState(environment.memory, physicalAddressBits: environment.model.physicalAddressBits))
        let context = mmu.pointee.contexts.pointee
        let fxsave = UnsafeMutableRawPointer.allocate(byteCount: 512, alignment: 64)
        fxsave.initializeMemory(as: UInt8.self, repeating: 0, count: 512)
        let ymm = UnsafeMutableRawPointer.allocate(byteCount: VectorBlock.byteCount, alignment: 64)
        let jumpCache = ZeroedMemory.allocate(JumpCache.count, of: JumpCacheEntry.self)
        state.initialize(
            to: CPUState(
                readTLB: context.table(TLBTable.read + AccessClass.supervisor.rawValue),
                writeTLB: context.table(TLBTable.write + AccessClass.supervisor.rawValue),
                tlbMask: UInt64(TLBContext.size - 1), mmu: mmu, jumpCache: jumpCache, fxsave: fxsave, ymm: ymm,
                owner: .passUnretained(self)))
        state.resetFloatingPoint()
        let flat = SegmentState(base: 0, limit: .max, attributes: 0, selector: 0)
        state.segment(SegmentRegister.flat).pointee = flat
        state.pointee.hasGigabytePages = features.hasGigabytePages
        codePages.add(self)
        reset()
    }

    deinit {
        codePages.remove(self)
        ZeroedMemory.deallocate(state.pointee.jumpCache, JumpCache.count)
        state.pointee.fxsave.deallocate()
        state.pointee.ymm.deallocate()
        state.pointee.mmu.pointee.deallocate()
        state.pointee.mmu.deinitialize(count: 1)
        state.pointee.mmu.deallocate()
        TranslationState.deallocate(state)
    }

    // MARK: touched on the processor's thread, or while it is stopped
    let features: SystemFeatures
    /// Turns decoded code into the host's; nil where all is interpreted.
    package var translator: (any CodeTranslator)?
    /// Shared by processors of which one runs at a time; nil where each runs when it wants.
    public var turns: ProcessorTurns?
    /// Why the engine cannot go on.
    package var failure: String?
    /// The outer loop's small rounds (exceptions, system calls) may be made without leaving translated code: it runs the
    /// processor itself.
    var goesOnInTranslatedCode = false
    /// The delivery of an exception under translated code shut the processor down.
    var hasShutDown = false
    var stored = StoredRegisters()
    /// Called now and then while the guest reads the time-stamp counter, as one does that waits for a timer: the machine's
    /// timers may be late; with true after a standstill of the host, when each that is due is wanted at once. On the
    /// processor's thread, without locks; set before it runs.
    public var lookAfterTimers: (_ catchesUp: Bool) -> Void = { _ in }
    /// Whether the guest was kept from its work while it watched the clock.
    var lateness = Lateness()
    /// How long the calling thread has run; tests have a host of their own.
    package var busyNanoseconds: () -> UInt64 = SoftCPU.threadNanoseconds
    /// Whether the guest works or mostly halts.
    var idleness = Idleness()
    /// After RESET or INIT, on an application processor.
    var waitsForStartup = false
    /// The kernel's number of the thread that runs it, 0 before.
    public internal(set) var hostThreadIdentifier = 0
    /// What to stop at.
    public var debugPoints = DebugPoints() {
        didSet {
            hasDebugPoints = !debugPoints.isEmpty
            state.updateWatches()
        }
    }
    private(set) var hasDebugPoints = false
    /// The instruction at which it stopped for the debugger must not stop it again.
    var isResumingFromDebugger = false
    /// Linear address of a debugger's watchpoint that the last instruction hit.
    var hitWatchpoint: UInt64?
}
