// SPDX-License-Identifier: Apache-2.0

/// A deadline that calls back once, with the machine lock held.
public protocol MachineTimer: AnyObject {
    /// Calls back when the clock reaches `deadline`; replaces an earlier deadline. The machine lock is held.
    /// - Parameter deadline: nanoseconds of the clock that made the timer; a past one calls back soon.
    func arm(at deadline: UInt64)
    /// Calls back no more. The machine lock is held.
    func cancel()
    /// The deadline it is armed for.
    var deadline: UInt64? { get }
}

/// The machine's time: nanoseconds since power-on that pass only while the machine runs.
public protocol MachineClock: AnyObject, Sendable {
    /// Nanoseconds since the machine was made, not counting the time it was stopped. Callable on any thread.
    var now: UInt64 { get }
    /// Wall-clock time of the guest in nanoseconds since 1970-01-01 UTC, for the RTC and `-rtc base=`.
    var wallClock: Int64 { get }
    /// A timer of this clock, not armed; `handler` runs with the machine lock held.
    func makeTimer(_ handler: @escaping () -> Void) -> any MachineTimer
}

/// A clock that moves only when a test says so.
public final class ManualClock: MachineClock, @unchecked Sendable {
    private final class ManualTimer: MachineTimer {
        let handler: () -> Void
        var deadline: UInt64?
        init(handler: @escaping () -> Void) { self.handler = handler }
        func arm(at deadline: UInt64) { self.deadline = deadline }
        func cancel() { deadline = nil }
    }

    /// The time now; only `advance` moves it.
    public private(set) var now: UInt64 = 0
    /// Wall clock at `now` = 0.
    public var epoch: Int64
    private var timers: [ManualTimer] = []

    /// A clock at 0.
    /// - Parameter epoch: the wall clock then, nanoseconds since 1970.
    public init(epoch: Int64 = 0) { self.epoch = epoch }

    /// The epoch and the time that tests let pass.
    public var wallClock: Int64 { epoch + Int64(now) }

    /// Fires only within `advance`, on the test's thread.
    public func makeTimer(_ handler: @escaping () -> Void) -> any MachineTimer {
        let timer = ManualTimer(handler: handler)
        timers.append(timer)
        return timer
    }

    /// Moves the time on and calls the timers that fall due, in order of their deadlines.
    public func advance(by nanoseconds: UInt64) {
        let target = now + nanoseconds
        while let next = timers.filter({ ($0.deadline ?? .max) <= target }).min(by: { $0.deadline! < $1.deadline! }) {
            now = max(now, next.deadline!)
            next.deadline = nil
            next.handler()
        }
        now = target
    }
}
