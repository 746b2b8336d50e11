// SPDX-License-Identifier: Apache-2.0

import HostIO
import HostSystem
import MachineModel
import MachineRuntime
import Testing

/// The machine's time and its timers on the host's clock.
@Suite struct RuntimeClockTests {
    private let lock = Lock()
    private let loop: EventLoop
    private let clock: RuntimeClock
    private static let millisecond: UInt64 = 1_000_000

    init() throws {
        loop = try EventLoop()
        clock = RuntimeClock(loop: loop, machineLock: lock)
    }

    /// Lets the host's clock go on without looking at timers.
    private func pass(_ nanoseconds: UInt64) {
        let end = monotonicNanoseconds() + nanoseconds
        while monotonicNanoseconds() < end {}
    }

    @Test func timeStandsStillWhileTheMachineDoes() {
        #expect(clock.now == 0)
        lock.withLock { clock.start() }
        pass(Self.millisecond)
        lock.withLock { clock.stop() }
        let stopped = clock.now
        #expect(stopped >= Self.millisecond)
        pass(Self.millisecond)
        #expect(clock.now == stopped)
        lock.withLock { clock.start() }
        #expect(clock.now >= stopped)
    }

    @Test func startingAndStoppingTwiceChangesNothing() {
        lock.withLock {
            clock.stop()
            clock.start()
            clock.start()
            clock.stop()
            let time = clock.now
            clock.stop()
            #expect(clock.now == time)
        }
    }

    @Test func aStoppedClockTakesASavedTime() {
        clock.setStopped(at: 5_000_000_000_000)
        #expect(clock.now == 5_000_000_000_000)
        lock.withLock { clock.start() }
        clock.setStopped(at: 1)
        #expect(clock.now >= 5_000_000_000_000)
    }

    @Test func aTimerFiresOnce() {
        var fired = 0
        let timer = clock.makeTimer { fired += 1 }
        lock.withLock {
            clock.start()
            timer.arm(at: clock.now + Self.millisecond)
        }
        while fired == 0 { loop.runOnce(timeoutMilliseconds: 10) }
        pass(Self.millisecond)
        loop.runOnce(timeoutMilliseconds: 0)
        #expect(fired == 1)
    }

    @Test func aTimerOfAStoppedMachineWaits() {
        var fired = 0
        let timer = clock.makeTimer { fired += 1 }
        lock.withLock { timer.arm(at: 0) }
        pass(Self.millisecond)
        loop.runOnce(timeoutMilliseconds: 0)
        clock.runOverdue(isLate: true)
        #expect(fired == 0)
        lock.withLock { clock.start() }
        loop.runOnce(timeoutMilliseconds: 10)
        #expect(fired == 1)
    }

    @Test func aProcessorRunsWhatTheLoopIsLateFor() {
        var fired = 0
        let timer = clock.makeTimer { fired += 1 }
        lock.withLock {
            clock.start()
            timer.arm(at: clock.now + Self.millisecond)
        }
        clock.runOverdue()
        #expect(fired == 0)
        pass(2 * Self.millisecond)
        clock.runOverdue()
        #expect(fired == 1)
        // The loop finds nothing left to do.
        loop.runOnce(timeoutMilliseconds: 0)
        #expect(fired == 1)
    }

    @Test func aTimerThatArmsItselfAnewIsRunAgain() {
        var fired = 0
        var timer: (any MachineTimer)?
        let made = clock.makeTimer { [clock] in
            fired += 1
            if fired < 5 { timer?.arm(at: clock.now) }
        }
        timer = made
        lock.withLock {
            clock.start()
            made.arm(at: clock.now)
        }
        let end = monotonicNanoseconds() + 1_000_000_000
        while fired < 5, monotonicNanoseconds() < end { clock.runOverdue(isLate: true) }
        #expect(fired == 5)
    }

    @Test func cancelledAndMovedTimersDoNotFire() {
        var fired = 0
        let cancelled = clock.makeTimer { fired += 1 }, moved = clock.makeTimer { fired += 10 }
        lock.withLock {
            clock.start()
            cancelled.arm(at: clock.now)
            cancelled.cancel()
            moved.arm(at: clock.now)
            moved.arm(at: clock.now + 3_600_000_000_000)
        }
        pass(Self.millisecond)
        clock.runOverdue(isLate: true)
        loop.runOnce(timeoutMilliseconds: 0)
        #expect(fired == 0)
    }

    @Test func aDeadlineBeyondTheEndOfTimeNeverComes() {
        let timer = clock.makeTimer { Issue.record("fired") }
        clock.setStopped(at: 1 << 62)
        lock.withLock {
            clock.start()
            timer.arm(at: .max)
        }
        clock.runOverdue(isLate: true)
        loop.runOnce(timeoutMilliseconds: 0)
    }

    @Test func theWallClockIsTheHostsOrTheMachines() {
        clock.wallClockSource = .machine(start: 1000)
        #expect(clock.wallClock == 1000)
        clock.setStopped(at: 500)
        #expect(clock.wallClock == 1500)
        clock.wallClockSource = .host(offset: 0)
        let host = clock.wallClock
        clock.wallClockSource = .host(offset: 3_600_000_000_000)
        #expect(clock.wallClock - host >= 3_600_000_000_000)
    }
}
