// SPDX-License-Identifier: Apache-2.0

internal import CX86Native
internal import Glibc

/// Whether the host kept a processor from its work while the guest watched the clock, and what was done about it.
struct Lateness {
    /// Nanoseconds that the processor's thread had run for at the last look.
    var busy: UInt64 = 0
    /// Interrupts go before the time.
    var isCatchingUp = false
    /// Ticks of the host's counter that the processor waited for interrupts: since the last one, and altogether.
    var quiet: UInt64 = 0, total: UInt64 = 0
    /// Interrupts that went before the time.
    var taken = 0
}

// A guest that waits for a timer's interrupts by the time-stamp counter (Linux counts ticks so when it tries the timer's
// interrupt) sees both at once after its host was busy with others: the time has passed, and of the interrupts of that
// time one waits. So the counter that a guest reads is never later than the last look at the timers, and after a standstill
// the interrupts that come from it are taken first: none is lost by the guest's clock. How long that takes is counted in
// the processor's own time, since the host may well take it away again.
extension SoftCPU {
    /// In ticks of the host's counter: between looks at the timers; a standstill that matters; what counts at most of the
    /// time between two rounds of waiting, the rest of which the host took; the quiet that ends the waiting; all of it.
    private static let lookTicks = timestampFrequency / 4000
    private static let standstillTicks = timestampFrequency / 100
    private static let roundTicks = timestampFrequency / 20_000
    private static let quietTicks = timestampFrequency / 1000
    private static let mostTicks = timestampFrequency / 40
    /// More than the timers of a machine make up for.
    private static let mostInterrupts = 64

    /// The guest's counter; nil where an interrupt must be taken before the instruction that reads it.
    func readTime() -> UInt64? {
        let now = roost_rdtsc()
        let time = now < state.pointee.timerLook ? now : lookAtTimers(now)
        return time.map { $0 &+ state.pointee.tscOffset }
    }

    /// A processor that slept has missed nothing.
    func noteSleep() {
        state.pointee.timerLook = roost_rdtsc()
        lateness = Lateness(busy: busyNanoseconds())
    }

    /// - Returns: the host's counter before the last look; nil where an interrupt waits.
    private func lookAtTimers(_ now: UInt64) -> UInt64? {
        noteStandstill(now)
        var time = now
        while true {
            lookAfterTimers(lateness.isCatchingUp)
            guard lateness.isCatchingUp, canTakeInterrupt else { break }
            if hasDeliverableSignal, lateness.taken < Self.mostInterrupts {
                lateness.quiet = 0
                lateness.taken += 1
                state.pointee.timerLook = 0
                return nil
            }
            if hasDeliverableSignal || lateness.quiet > Self.quietTicks || lateness.total > Self.mostTicks {
                lateness.isCatchingUp = false
                break
            }
            let next = roost_rdtsc()
            let waited = min(next &- time, Self.roundTicks)
            lateness.quiet &+= waited
            lateness.total &+= waited
            time = next
        }
        state.pointee.timerLook = time &+ Self.lookTicks
        return time
    }

    /// Time in which the thread did not run is the host's: a guest that ran had its interrupts by itself.
    private func noteStandstill(_ now: UInt64) {
        let due = state.pointee.timerLook
        let busy = busyNanoseconds()
        let ran = (busy &- lateness.busy).multipliedFullWidth(by: Self.timestampFrequency)
        lateness.busy = busy
        guard due != 0, now &- due > Self.standstillTicks, ran.high < Self.nanosecondsPerSecond else { return }
        let ranTicks = Self.nanosecondsPerSecond.dividingFullWidth(ran).quotient
        guard now &- due > ranTicks, now &- due &- ranTicks > Self.standstillTicks else { return }
        lateness = Lateness(busy: busy, isCatchingUp: true)
    }

    private static let nanosecondsPerSecond: UInt64 = 1_000_000_000

    /// How long the calling thread has run.
    static func threadNanoseconds() -> UInt64 {
        var time = timespec()
        clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time)
        return UInt64(time.tv_sec) &* nanosecondsPerSecond &+ UInt64(time.tv_nsec)
    }

    /// An interrupt would be taken before the next instruction; who wants the processor to stop does not wait.
    private var canTakeInterrupt: Bool {
        state.pointee.systemFlags & Flag.interrupt != 0 && !needsStepping
            && state.pointee.attention & Attention.kick == 0
    }
}
