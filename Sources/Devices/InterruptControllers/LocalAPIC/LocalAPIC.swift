// SPDX-License-Identifier: Apache-2.0

public import CPUInterface
public import HostSystem
public import MachineModel
internal import Synchronization

/// The guest's time-stamp counter as one processor sees it. Callable on any thread.
public protocol TimestampCounter: AnyObject, Sendable {
    /// What RDTSC would give now, with the offset of IA32_TSC and IA32_TSC_ADJUST.
    var timestamp: UInt64 { get }
    /// Ticks a second, more than 0.
    var timestampFrequency: UInt64 { get }
}

/// The local APIC of one vCPU of the software engine: xAPIC and x2APIC (SDM vol. 3, chapter "APIC").
///
/// State is guarded by the lock of the `APICBus`. What touches the timer takes the machine lock first, since timers
/// belong to the machine's clock; everything else, IPIs and EOIs among it, runs without the machine lock.
public final class LocalAPIC: LocalInterruptController, Device, @unchecked Sendable {
    /// QEMU's name, for `info qtree`, logs and saved states.
    public let name = "apic"
    let bus: APICBus
    let machineLock: Lock
    let clock: any MachineClock
    /// Identifier at power-on and on leaving x2APIC mode.
    let initialIdentifier: UInt32
    let isBootstrap: Bool
    /// Bits of IA32_APIC_BASE that must be 0.
    let reservedBaseBits: UInt64
    var current: State
    var signals: (any CPUSignals)?
    var timestampCounter: (any TimestampCounter)?
    private var hostTimer: (any MachineTimer)?
    private var requestsInterrupt = false
    /// A copy of `current.apicBase` that the processor reads without the lock at each access to its page.
    let publishedBase: Atomic<UInt64>

    /// A local APIC in the state of power-on, attached to the bus.
    /// - Parameters:
    ///   - identifier: 0 for the bootstrap processor; identifiers above 254 are reachable only in x2APIC mode.
    ///   - physicalAddressBits: MAXPHYADDR of the vCPU, 32...52.
    public init(
        identifier: UInt32, isBootstrap: Bool, bus: APICBus, machineLock: Lock, clock: any MachineClock,
        physicalAddressBits: Int
    ) {
        self.bus = bus
        self.machineLock = machineLock
        self.clock = clock
        self.isBootstrap = isBootstrap
        initialIdentifier = identifier
        let addressBits = UInt64(max(32, min(physicalAddressBits, 52)))
        reservedBaseBits = ~((1 << addressBits) - 1) | 0x2FF & ~APICBaseBits.bootstrap
        current = State(identifier: identifier, isBootstrap: isBootstrap)
        publishedBase = Atomic(current.apicBase)
        hostTimer = nil
        bus.attach(self)
        hostTimer = clock.makeTimer { [unowned self] in bus.lock.withLock { timerExpiredLocked() } }
    }

    /// Connects the processor. Called once, before the machine runs.
    /// - Parameter timestampCounter: nil makes TSC-deadline mode never fire; CPUID must not offer it then.
    public func attach(_ signals: any CPUSignals, timestampCounter: (any TimestampCounter)?) {
        self.signals = signals
        self.timestampCounter = timestampCounter
    }

    /// The state of power-on. The machine lock is held.
    public func reset() {
        bus.lock.withLock {
            let pins = current.pins
            current = State(identifier: initialIdentifier, isBootstrap: isBootstrap)
            current.pins = pins
            hostTimer?.cancel()
            publishLocked()
            updateRequestLocked()
        }
    }

    /// What a saved machine keeps; setting it arms the timer and drives the processor's INTR anew. The machine lock is
    /// held.
    public var state: State {
        get { bus.lock.withLock { current } }
        set {
            bus.lock.withLock {
                current = newValue
                publishLocked()
                armHostTimerLocked()
                updateRequestLocked()
            }
        }
    }

    /// INIT: everything but the identifier and the mode goes back to power-on.
    ///
    /// The machine lock may not be held, so the host's timer runs on and finds nothing to do.
    func initializeLocked() {
        var fresh = State(identifier: current.identifier, isBootstrap: isBootstrap)
        fresh.apicBase = current.apicBase
        fresh.pins = current.pins
        current = fresh
        publishLocked()
        updateRequestLocked()
    }

    func publishLocked() {
        publishedBase.store(current.apicBase, ordering: .releasing)
    }

    /// Tells the processor whether something is to be delivered; called after each change of what decides it.
    func updateRequestLocked() {
        let wants = hasExternalRequestLocked || hasDeliverableVectorLocked
        guard wants != requestsInterrupt else { return }
        requestsInterrupt = wants
        signals?.setInterruptRequest(wants)
    }

    var hasExternalRequestLocked: Bool {
        if !current.isEnabled { return current.pins[0] }
        if current.hasExternalMessage { return true }
        let entry = current[.lint0]
        return current.pins[0] && entry & (VectorEntryBits.masked | 0x700) == VectorEntryBits.externalInterrupt
    }

    var hasDeliverableVectorLocked: Bool {
        guard current.isEnabled, let highest = current.requested.highest else { return false }
        return highest & 0xF0 > current.processorPriority & 0xF0
    }

    /// Arms the host's timer for what `current` waits for. Both locks are held.
    func armHostTimerLocked() {
        guard let deadline = nextDeadlineLocked() else {
            if hostTimer?.deadline != nil { hostTimer?.cancel() }
            return
        }
        hostTimer?.arm(at: deadline)
    }

    func armHostTimerLocked(at deadline: UInt64) { hostTimer?.arm(at: deadline) }

    // MARK: LocalInterruptController

    /// CPUID shows the identifier of power-on, whatever software writes to the register.
    public var identifier: UInt32 { initialIdentifier }

    /// Bit 11 of IA32_APIC_BASE; read without a lock, on any thread.
    public var isEnabled: Bool { publishedBase.load(ordering: .relaxed) & APICBaseBits.enabled != 0 }

    /// Where the register page lies; nil while disabled or in x2APIC mode.
    public var registerPage: UInt64? {
        let base = publishedBase.load(ordering: .relaxed)
        guard base & (APICBaseBits.enabled | APICBaseBits.extended) == APICBaseBits.enabled else { return nil }
        return base & APICBaseBits.address
    }

    /// TPR bits 7:4, which MOV from and to CR8 see.
    public var taskPriorityClass: UInt8 {
        get { bus.lock.withLock { current.taskPriority >> 4 } }
        set {
            bus.lock.withLock {
                current.taskPriority = newValue << 4
                updateRequestLocked()
            }
        }
    }

    /// The vector that the processor takes now; nil when the request is gone again.
    public func acknowledgeInterrupt() -> UInt8? {
        bus.lock.withLock {
            defer { updateRequestLocked() }
            if hasExternalRequestLocked, let pic = bus.pic {
                current.hasExternalMessage = false
                return pic.acknowledgeLocked()
            }
            guard hasDeliverableVectorLocked, let vector = current.requested.highest else { return nil }
            current.requested.remove(vector)
            current.inService.insert(vector)
            return vector
        }
    }
}
