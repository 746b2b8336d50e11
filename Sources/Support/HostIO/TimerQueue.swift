// SPDX-License-Identifier: Apache-2.0

internal import CLinux
internal import Glibc
internal import HostSystem

/// A one-shot timer of an event loop. All methods are callable on any thread.
public final class LoopTimer: @unchecked Sendable {
    fileprivate let handler: () -> Void
    /// Nanoseconds of the monotonic clock; guarded by the queue's lock.
    fileprivate var deadline: UInt64?
    private unowned let queue: TimerQueue

    fileprivate init(queue: TimerQueue, handler: @escaping () -> Void) {
        self.queue = queue
        self.handler = handler
    }

    /// Calls back once at `deadline`, in nanoseconds of `monotonicNanoseconds()`; replaces an earlier deadline.
    public func arm(at deadline: UInt64) { queue.set(self, deadline) }

    /// Calls back no more, unless the call is being made at this moment.
    public func cancel() { queue.set(self, nil) }

    /// Whether a deadline is set.
    public var isArmed: Bool { queue.deadline(of: self) != nil }
}

/// Timers behind one timerfd, which is set to the earliest of them.
final class TimerQueue: @unchecked Sendable {
    private let file: FileDescriptor
    private let lock = Lock()
    // A machine has a few dozen timers, of which a handful are armed: a plain list beats a heap.
    private var armed: [LoopTimer] = []
    private var programmed: UInt64 = .max

    init() throws(Errno) {
        file = FileDescriptor(
            owning: try retrying {
                timerfd_create(CLOCK_MONOTONIC, Int32(TFD_CLOEXEC | TFD_NONBLOCK))
            })
    }

    var descriptor: Int32 { file.number }

    func makeTimer(_ handler: @escaping () -> Void) -> LoopTimer { LoopTimer(queue: self, handler: handler) }

    func deadline(of timer: LoopTimer) -> UInt64? { lock.withLock { timer.deadline } }

    func set(_ timer: LoopTimer, _ deadline: UInt64?) {
        lock.withLock {
            let wasArmed = timer.deadline != nil
            timer.deadline = deadline
            if deadline == nil {
                if wasArmed { armed.removeAll { $0 === timer } }
                // A timerfd that fires for nothing is cheaper than setting it at each cancel.
            } else {
                if !wasArmed { armed.append(timer) }
                program()
            }
        }
    }

    /// The earliest deadline; all ones where no timer is armed.
    var earliest: UInt64 { lock.withLock { armed.lazy.compactMap(\.deadline).min() ?? .max } }

    /// Calls the handlers of all due timers; on the loop's thread.
    func fire() {
        var count: UInt64 = 0
        // Eight bytes of this frame.
        _ = unsafe Glibc.read(file.number, &count, 8)
        let due = lock.withLock { () -> [LoopTimer] in
            let now = monotonicNanoseconds()
            let due = armed.filter { ($0.deadline ?? .max) <= now }.sorted { $0.deadline! < $1.deadline! }
            for timer in due { timer.deadline = nil }
            armed.removeAll { $0.deadline == nil }
            programmed = .max
            program()
            return due
        }
        for timer in due { timer.handler() }
    }

    /// Sets the timerfd to the earliest deadline. The lock is held.
    private func program() {
        guard let earliest = armed.lazy.compactMap({ $0.deadline }).min(), earliest < programmed else { return }
        programmed = earliest
        var setting = itimerspec()
        // A zero value would disarm it.
        let value = max(earliest, 1)
        setting.it_value = timespec(tv_sec: Int(value / 1_000_000_000), tv_nsec: Int(value % 1_000_000_000))
        // The kernel copies the setting from this frame.
        _ = unsafe timerfd_settime(file.number, Int32(TFD_TIMER_ABSTIME), &setting, nil)
    }
}
