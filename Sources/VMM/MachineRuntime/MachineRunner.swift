// SPDX-License-Identifier: Apache-2.0

public import CPUInterface
internal import Diagnostics
public import HostIO
public import HostSystem
public import MachineModel

/// Runs one machine: the event loop, the vCPU threads, and the life cycle between them.
///
///     prelaunch ──cont──▶ running ◀──cont── paused | io-error | debug
///                          │  ▲ │ ──stop──▶
///                          │  └─┴─ reset (all devices and vCPUs, then on)
///                          └──── power-off ──▶ shutdown (-no-shutdown) or the end
///
/// Life-cycle changes happen on the event loop's thread only; `request…` may be called anywhere, with or without the
/// machine lock, and post there. While the state is not `running`, every vCPU is parked outside `VirtualCPU.run`, so
/// its registers and the devices stand still.
public final class MachineRunner: @unchecked Sendable {
    /// Serialises every device model.
    public let lock: Lock
    /// The thread of all life-cycle changes, timers and streams.
    public let loop: EventLoop
    /// Stands still while the machine is stopped.
    public let clock: RuntimeClock
    /// Devices in the order of their reset. Complete before `run`.
    public var devices: [any Device] = []
    /// In the order of their indices, of which some may be missing. Changed on the loop's thread with `parking` held.
    public private(set) var processors: [any VirtualCPU] = []
    /// What the machine does on the guest's reset, power-off and crash.
    public var policy = LifecyclePolicy()
    /// Puts firmware or a kernel back into memory and sets the first processor's registers, after each reset.
    /// The machine lock is held.
    public var loadBootImage: () -> Void = {}
    /// Called before each reset, for logs. The machine lock is held.
    public var beforeReset: () -> Void = {}
    /// Told of a power-down request: ACPI's power button. The machine lock is held.
    public var pressPowerButton: () -> Void = {}

    /// The state; written on the loop's thread, read there or with `stateLock`.
    public private(set) var state = RunState.prelaunch {
        didSet {
            if state != oldValue {
                Trace.emit(.runStateChanged, "current_run_state \(oldValue.rawValue) new_state \(state.rawValue)")
            }
        }
    }
    private var observers: [(MachineEvent) -> Void] = []
    /// By the processor's index.
    private var threads: [Int: HostThread] = [:]
    /// The processor that is being taken out, whose thread ends; guarded by `parking`.
    private var leaving: Int?
    private var exitStatus: Int32 = 0
    /// Guards `allowed`, `outside` and `ending`, and carries the wake-ups of the vCPU threads.
    private let parking = Lock()
    private var allowed = false
    private var ending = false
    /// Counts the exits that the loop's thread has to decide about.
    private var pendingDecisions = 0
    private var outside: Set<Int> = []
    private var hasStartedThreads = false
    /// Armed while a guest that was asked to power down has time to do so.
    private var graceTimer: LoopTimer?
    private static let graceNanoseconds: UInt64 = 10_000_000_000
    /// The processors pause for a moment to run slower; guarded by `parking`.
    private var isThrottled = false
    private var throttlePercent = 0
    private var throttleTimer: LoopTimer?
    /// How long they run between two pauses.
    private static let throttleSlice: UInt64 = 10_000_000
    /// The processors that run while `allowed`; nil for all (a debugger's single step runs one).
    private var selected: Int?

    /// A machine without processors and devices.
    public init(lock: Lock, loop: EventLoop, clock: RuntimeClock) {
        self.lock = lock
        self.loop = loop
        self.clock = clock
    }

    /// The processor of an index; nil where there is none. On the loop's thread.
    public func processor(at index: Int) -> (any VirtualCPU)? { processors.first { $0.index == index } }

    /// Adds a processor: before `run`, or on the loop's thread while the machine exists; then it runs when the others do.
    /// - Precondition: there is none of its index.
    /// - Throws: the host's error when it has no room for the thread.
    public func add(processor: any VirtualCPU) throws(Errno) {
        precondition(self.processor(at: processor.index) == nil)
        parking.withLock {
            processors.insert(processor, at: processors.firstIndex { $0.index > processor.index } ?? processors.count)
            if hasStartedThreads { outside.insert(processor.index) }
        }
        guard hasStartedThreads else { return }
        do throws(Errno) { try startThread(of: processor) } catch {
            forget(processor.index)
            throw error
        }
    }

    /// Takes a processor out and ends its thread; on the loop's thread. The machine lock is not held.
    public func remove(processorAt index: Int) {
        guard let processor = processor(at: index) else { return }
        parking.withLock {
            leaving = index
            parking.broadcast()
        }
        processor.kick()
        threads.removeValue(forKey: index)?.join()
        parking.withLock { leaving = nil }
        forget(index)
    }

    private func forget(_ index: Int) {
        parking.withLock {
            processors.removeAll { $0.index == index }
            outside.remove(index)
        }
    }

    private func startThread(of processor: any VirtualCPU) throws(Errno) {
        threads[processor.index] = try HostThread(name: "CPU \(processor.index)/vmm") { [self] in serve(processor) }
    }

    /// Calls `observer` on the loop's thread for every event.
    public func observe(_ observer: @escaping (MachineEvent) -> Void) { observers.append(observer) }

    /// Runs the machine until it ends; on the thread that owns the event loop.
    /// - Parameter startPaused: `-S`.
    /// - Returns: the exit status for the process.
    /// - Throws: the host's error when it has no room for a vCPU's thread.
    public func run(startPaused: Bool) throws(Errno) -> Int32 {
        lock.withLock { resetAll() }
        outside = Set(processors.map(\.index))
        hasStartedThreads = true
        for processor in processors { try startThread(of: processor) }
        if !startPaused { resume() }
        loop.run()
        parkAll()
        parking.withLock {
            ending = true
            parking.broadcast()
        }
        for thread in threads.values { thread.join() }
        threads = [:]
        return exitStatus
    }

    // MARK: requests from anywhere

    /// Resets the machine soon, or shuts it down if the policy says so.
    public func requestReset(_ cause: ShutdownCause) {
        loop.post { [self] in performReset(cause) }
        kickAll()
    }

    /// Powers the machine off soon.
    public func requestShutdown(_ cause: ShutdownCause) {
        loop.post { [self] in shutDown(cause) }
        kickAll()
    }

    /// What SIGTERM means: the guest is asked to power down and gets a grace period; a second request, a guest that does
    /// not run or one that takes too long ends at once. So does a machine whose power-off pauses it (`-no-shutdown`):
    /// whoever manages it asks the guest through QMP, and means the process by a signal.
    public func requestShutdownBySignal() {
        loop.post { [self] in
            guard state == .running, graceTimer == nil, !policy.shutdownPauses else {
                shutDown(.hostSignal)
                return
            }
            performPowerdown()
            graceTimer = loop.makeTimer { [weak self] in self?.shutDown(.hostSignal) }
            graceTimer?.arm(at: monotonicNanoseconds() + Self.graceNanoseconds)
        }
    }

    /// Ends the process soon with this status, whatever the policy: `quit`, isa-debug-exit.
    public func requestExit(status: Int32, cause: ShutdownCause) {
        loop.post { [self] in
            parkAll()
            exitStatus = status
            notify(.shutdown(cause))
            loop.stop()
        }
        kickAll()
    }

    /// Presses the power button: the guest decides what follows.
    public func requestPowerdown() {
        loop.post { [self] in performPowerdown() }
    }

    /// Stops the vCPUs soon, for a device whose error policy is `stop`.
    /// - Parameter event: told to the watchers before the machine stops.
    public func requestStop(_ reason: RunState, event: MachineEvent? = nil) {
        loop.post { [self] in
            if let event { notify(event) }
            pause(reason)
        }
        kickAll()
    }

    // MARK: on the loop's thread

    /// Resets the machine, or shuts it down if the policy says so.
    public func performReset(_ cause: ShutdownCause) {
        if policy.resetShutsDown { shutDown(cause) } else { reset(cause) }
    }

    /// Presses the power button: the guest decides what follows.
    public func performPowerdown() {
        lock.withLock { pressPowerButton() }
        notify(.powerdown)
    }

    /// Powers the machine off, as the policy says.
    public func performShutdown(_ cause: ShutdownCause) { shutDown(cause) }

    /// Stops all vCPUs and the clock; on return nothing of the guest runs. Does nothing if it does not run.
    public func pause(_ reason: RunState = .paused) {
        guard state == .running else {
            if state != .prelaunch, reason != .paused { state = reason }
            return
        }
        parkAll()
        lock.withLock { clock.stop() }
        state = reason
        notify(.stopped)
    }

    /// Names why a machine that does not run stands still.
    /// - Precondition: it does not run.
    public func settle(_ reason: RunState) {
        precondition(state != .running && reason != .running)
        state = reason
    }

    /// Lets the vCPUs and the clock go on.
    public func resume() {
        guard state != .running, state != .shutdown else { return }
        state = .running
        lock.withLock { clock.start() }
        parking.withLock {
            allowed = true
            selected = nil
            parking.broadcast()
        }
        // QEMU reports RESUME for the first start as well.
        notify(.resumed)
    }

    /// Lets one vCPU go on alone, for a debugger's step.
    public func resume(only index: Int) {
        guard state != .running else { return }
        state = .running
        lock.withLock { clock.start() }
        parking.withLock {
            allowed = true
            selected = index
            parking.broadcast()
        }
    }

    /// Calls `body` while no vCPU runs, and lets a running machine go on afterwards: for a monitor that looks at
    /// registers. Time passes on, and nobody is told.
    public func whileParked<Result, Failure>(_ body: () throws(Failure) -> Result) throws(Failure) -> Result {
        let before = parking.withLock { (isAllowed: allowed, decisions: pendingDecisions) }
        parkAll()
        defer {
            parking.withLock {
                // A vCPU that came out for a reason waits for the decision that is on its way to this thread.
                if before.isAllowed && pendingDecisions == before.decisions && !ending { allowed = true }
                parking.broadcast()
            }
        }
        return try body()
    }

    /// Takes a part of their time from the processors, in per cent: 0 for none, 99 at most. On the loop's thread.
    public func setThrottle(_ percent: Int) {
        throttlePercent = min(max(percent, 0), 99)
        if throttleTimer == nil { throttleTimer = loop.makeTimer { [weak self] in self?.turnThrottle() } }
        if throttlePercent > 0 {
            throttleTimer?.arm(at: monotonicNanoseconds() &+ Self.throttleSlice)
        } else {
            throttleTimer?.cancel()
            setThrottled(false)
        }
    }

    private func setThrottled(_ value: Bool) {
        parking.withLock {
            isThrottled = value
            parking.broadcast()
        }
        if value { kickAll() }
    }

    private func turnThrottle() {
        guard throttlePercent > 0 else { return }
        let pauses = !parking.withLock { isThrottled }
        setThrottled(pauses)
        let share = UInt64(throttlePercent)
        let pause = Self.throttleSlice &* share / (100 &- share)
        throttleTimer?.arm(at: monotonicNanoseconds() &+ (pauses ? pause : Self.throttleSlice))
    }

    /// Puts every device and vCPU into the state of power-on.
    public func reset(_ cause: ShutdownCause) {
        let wasRunning = state == .running
        Trace.emit(.systemReset, "cause \(cause.rawValue)")
        parkAll()
        lock.withLock { resetAll() }
        notify(.reset(cause))
        if wasRunning {
            parking.withLock {
                allowed = true
                parking.broadcast()
            }
        } else if state == .shutdown || state == .internalError {
            state = .paused
        }
    }

    /// As `reset` of a machine that does not run, for a state that takes the place of all; nobody is told.
    public func resetForState() {
        precondition(state != .running)
        parkAll()
        lock.withLock { resetAll() }
        if state == .shutdown || state == .internalError { state = .paused }
    }

    private func shutDown(_ cause: ShutdownCause) {
        // A machine that is kept after its power-off still ends when a person or a manager wants it to.
        let ends = !policy.shutdownPauses || cause == .hostQMPQuit || cause == .hostSignal
        guard ends || state != .shutdown else { return }
        notify(.shutdown(cause))
        if !ends {
            pause(.shutdown)
        } else {
            parkAll()
            loop.stop()
        }
    }

    private func resetAll() {
        beforeReset()
        for device in devices { device.reset() }
        for processor in processors { processor.reset() }
        loadBootImage()
    }

    /// Tells the watchers of something, soon. Callable on any thread.
    public func announce(_ event: MachineEvent) { loop.post { [self] in notify(event) } }

    private func notify(_ event: MachineEvent) {
        for observer in observers { observer(event) }
    }

    /// On any thread.
    private func kickAll() {
        let all = parking.withLock { processors }
        for processor in all { processor.kick() }
    }

    /// Returns when every vCPU thread is outside `VirtualCPU.run`. The machine lock is not held: a vCPU may need it to
    /// get out.
    private func parkAll() {
        guard hasStartedThreads else { return }
        parking.lock()
        allowed = false
        parking.unlock()
        kickAll()
        parking.lock()
        while outside.count < processors.count { parking.wait() }
        parking.unlock()
    }

    // MARK: on the vCPUs' threads

    private func serve(_ processor: any VirtualCPU) {
        while enter(processor.index) {
            let exit = processor.run()
            leave(processor.index, holding: exit)
            handle(exit, of: processor)
        }
    }

    private func enter(_ index: Int) -> Bool {
        parking.withLock {
            while !ending && leaving != index && (isThrottled || !(allowed && (selected ?? index) == index)) {
                parking.wait()
            }
            if ending || leaving == index { return false }
            outside.remove(index)
            return true
        }
    }

    private func leave(_ index: Int, holding exit: CPUExit) {
        parking.withLock {
            outside.insert(index)
            // Nothing but a kick lets the guest go on before the loop's thread has decided.
            if exit != .kicked {
                allowed = false
                pendingDecisions += 1
            }
            parking.broadcast()
        }
        if exit != .kicked { kickAll() }
    }

    private func handle(_ exit: CPUExit, of processor: any VirtualCPU) {
        let index = processor.index
        switch exit {
        case .kicked: break
        case .shutdown: requestReset(.guestReset)
        case .debug(let stop):
            loop.post { [self] in
                pause(.debug)
                notify(.debug(cpu: index, MachineEvent.DebugStopReason(stop)))
            }
        case .failed(let text):
            loop.post { [self] in
                pause(.internalError)
                report(text)
            }
        }
    }

    /// Told what made a vCPU fail, on the loop's thread.
    public var report: (String) -> Void = { _ in }
}

extension MachineEvent.DebugStopReason {
    init(_ stop: DebugStop) {
        switch stop {
        case .step: self = .step
        case .breakpoint: self = .breakpoint
        case .watchpoint(let address): self = .watchpoint(address: address)
        }
    }
}
