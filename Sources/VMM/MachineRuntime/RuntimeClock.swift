// SPDX-License-Identifier: Apache-2.0

internal import Glibc
public import HostIO
public import HostSystem
public import MachineModel
internal import Synchronization

/// The machine's time on the host's monotonic clock: passes while the machine runs, stands still while it is stopped.
///
/// Timers fire on the event loop's thread, which takes the machine lock for their handlers.
public final class RuntimeClock: MachineClock, @unchecked Sendable {
    /// What the guest's wall clock is made of (`-rtc base=`, `clock=`).
    public enum WallClock: Equatable, Sendable {
        /// The host's clock plus this many nanoseconds, following when the host's is set.
        case host(offset: Int64)
        /// Started at this time, in nanoseconds since 1970, and passing with the machine's own time.
        case machine(start: Int64)
    }

    private let loop: EventLoop
    private let machineLock: Lock
    // Guards what follows: the clock is read by vCPU threads that do not hold the machine lock.
    private let lock = Lock()
    private var isRunning = false
    /// While running: monotonic time minus machine time. While stopped: unused.
    private var offset: UInt64 = 0
    /// While stopped: the machine time it stands at.
    private var stoppedAt: UInt64 = 0
    // Weak through a box: a device that goes away takes its timers along.
    private var timers: [WeakTimer] = []
    /// No timer is due before. Not the event loop's own list: its thread may have taken a timer off and then lost the
    /// processor before it could run it. Changed with the machine lock held.
    private let earliest = Atomic<UInt64>(.max)
    /// How wall-clock time is told; set before the machine runs.
    public var wallClockSource: WallClock = .host(offset: 0)

    private struct WeakTimer { weak var timer: RuntimeTimer? }

    /// A stopped clock at 0.
    /// - Parameters:
    ///   - machineLock: held while a timer's handler runs.
    public init(loop: EventLoop, machineLock: Lock) {
        self.loop = loop
        self.machineLock = machineLock
    }

    /// Nanoseconds that the machine ran; from any thread.
    public var now: UInt64 {
        lock.withLock { isRunning ? monotonicNanoseconds() &- offset : stoppedAt }
    }

    /// Nanoseconds since 1970 as `-rtc` wants them: of the host, or of the machine's own time.
    public var wallClock: Int64 {
        switch wallClockSource {
        case .machine(let start): return start &+ Int64(truncatingIfNeeded: now)
        case .host(let offset):
            var time = timespec()
            // clock_gettime fills the struct on this frame.
            unsafe clock_gettime(CLOCK_REALTIME, &time)
            return Int64(time.tv_sec) &* 1_000_000_000 &+ Int64(time.tv_nsec) &+ offset
        }
    }

    /// Fires on the event loop's thread with the machine lock held, never while stopped.
    public func makeTimer(_ handler: @escaping () -> Void) -> any MachineTimer {
        let timer = RuntimeTimer(clock: self, handler: handler)
        timer.hostTimer = loop.makeTimer { [weak timer, machineLock] in
            machineLock.withLock { timer?.fire() }
        }
        lock.withLock {
            timers.removeAll { $0.timer == nil }
            timers.append(WeakTimer(timer: timer))
        }
        return timer
    }

    /// Runs what is due for so long that the host evidently keeps the event loop's thread from its work, while a
    /// processor's thread has the time: a guest that waits for a timer's interrupt in a loop sees it in time. Called on a
    /// processor's thread that holds no locks.
    /// - Parameter isLate: the host evidently does not keep up: whatever is due is run.
    public func runOverdue(isLate: Bool = false) {
        guard lock.withLock({ isRunning }) else { return }
        let limit = now
        let late = limit > Self.overdueNanoseconds ? limit - Self.overdueNanoseconds : 0
        guard earliest.load(ordering: .relaxed) <= (isLate ? limit : late) else { return }
        machineLock.withLock {
            let time = now
            for entry in lock.withLock({ timers }) where (entry.timer?.deadline ?? .max) <= time { entry.timer?.fire() }
            let deadlines = lock.withLock { timers.map { $0.timer?.deadline ?? .max } }
            earliest.store(deadlines.min() ?? .max, ordering: .relaxed)
        }
    }

    /// A timer was armed. The machine lock is held.
    fileprivate func note(_ deadline: UInt64) {
        if deadline < earliest.load(ordering: .relaxed) { earliest.store(deadline, ordering: .relaxed) }
    }

    /// A host that keeps up is never as late.
    private static let overdueNanoseconds: UInt64 = 500_000

    /// Lets time pass. The machine lock is held.
    package func start() {
        lock.withLock {
            guard !isRunning else { return }
            offset = monotonicNanoseconds() &- stoppedAt
            isRunning = true
        }
        for timer in lock.withLock({ timers }) { timer.timer?.schedule() }
    }

    /// Stops time. The machine lock is held.
    package func stop() {
        lock.withLock {
            guard isRunning else { return }
            stoppedAt = monotonicNanoseconds() &- offset
            isRunning = false
        }
        for timer in lock.withLock({ timers }) { timer.timer?.unschedule() }
    }

    /// Sets the time of a stopped clock, as a saved machine left it. Armed timers keep their deadlines.
    public func setStopped(at time: UInt64) { lock.withLock { if !isRunning { stoppedAt = time } } }

    /// The host time of a machine time, while running.
    fileprivate func hostTime(of deadline: UInt64) -> UInt64? {
        lock.withLock {
            guard isRunning else { return nil }
            let (sum, overflow) = deadline.addingReportingOverflow(offset)
            return overflow ? UInt64.max : sum
        }
    }
}

/// A timer of the running machine; all of it under the machine lock.
private final class RuntimeTimer: MachineTimer {
    private let clock: RuntimeClock
    private let handler: () -> Void
    var hostTimer: LoopTimer?
    var deadline: UInt64?

    init(clock: RuntimeClock, handler: @escaping () -> Void) {
        self.clock = clock
        self.handler = handler
    }

    deinit { hostTimer?.cancel() }

    func arm(at deadline: UInt64) {
        self.deadline = deadline
        clock.note(deadline)
        schedule()
    }

    func cancel() {
        deadline = nil
        hostTimer?.cancel()
    }

    func schedule() {
        guard let deadline, let time = clock.hostTime(of: deadline) else { return }
        hostTimer?.arm(at: time)
    }

    func unschedule() { hostTimer?.cancel() }

    /// The host timer fired, perhaps for a deadline that was moved or cancelled since.
    func fire() {
        guard let deadline else { return }
        guard deadline <= clock.now else {
            schedule()
            return
        }
        self.deadline = nil
        handler()
    }
}
