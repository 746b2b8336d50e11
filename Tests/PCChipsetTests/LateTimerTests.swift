// SPDX-License-Identifier: Apache-2.0

import HostSystem
import MachineModel
import PCChipset
import Testing

/// A clock of a host that calls back when it gets to it.
private final class LateClock: MachineClock, @unchecked Sendable {
    private final class LateTimer: MachineTimer {
        let handler: () -> Void
        var deadline: UInt64?
        init(handler: @escaping () -> Void) { self.handler = handler }
        func arm(at deadline: UInt64) { self.deadline = deadline }
        func cancel() { deadline = nil }
    }
    private(set) var now: UInt64 = 0
    var wallClock: Int64 { Int64(now) }
    private var timers: [LateTimer] = []

    func makeTimer(_ handler: @escaping () -> Void) -> any MachineTimer {
        let timer = LateTimer(handler: handler)
        timers.append(timer)
        return timer
    }

    /// Lets time pass, and calls back once what fell due meanwhile.
    func pass(_ nanoseconds: UInt64) {
        now += nanoseconds
        for timer in timers where (timer.deadline ?? .max) <= now {
            timer.deadline = nil
            timer.handler()
        }
    }
}

@Suite struct LateTimerTests {
    private let clock = LateClock()
    private let wire = RecordingLine()
    private static let millisecond: UInt64 = 1_000_000

    /// The tick of 4 ms that Linux starts with, as the HPET's first comparator in legacy replacement.
    private func startComparator() -> HighPrecisionTimer {
        let timer = HighPrecisionTimer(
            clock: clock, lines: [], legacyTimer: wire.line, legacyClock: .unconnected(), routes: 4
        ) { _ in }
        let ticks = 4 * Self.millisecond / 10
        timer.write(offset: 0x100, size: 8, value: 0x4C)
        timer.write(offset: 0x108, size: 8, value: ticks)
        timer.write(offset: 0x108, size: 8, value: ticks)
        timer.write(offset: 0x10, size: 8, value: 3)
        return timer
    }

    private func startInterval(makesUpLostTicks: Bool = true) -> (IntervalTimer, AddressSpace) {
        let timer = IntervalTimer(clock: clock, interrupt: wire.line, makesUpLostTicks: makesUpLostTicks)
        let ports = AddressSpace(machineLock: Lock())
        timer.map(in: ports)
        // Mode 2, 4773 ticks of 838 ns.
        for (port, value): (UInt64, UInt64) in [(0x43, 0x34), (0x40, 0xA5), (0x40, 0x12)] {
            ports.write(port, size: 1, value: value)
        }
        return (timer, ports)
    }

    private func catchUp() {
        for _ in 0..<16 { clock.pass(Self.millisecond / 5) }
    }

    @Test func theComparatorMakesUpForLostPeriods() {
        let timer = startComparator()
        clock.pass(4 * Self.millisecond)
        #expect(wire.edges == 1)
        // The host is away for five periods.
        clock.pass(20 * Self.millisecond)
        #expect(wire.edges == 2)
        catchUp()
        #expect(wire.edges == 6)
        clock.pass(Self.millisecond)
        #expect(wire.edges == 7)
        _ = timer
    }

    @Test func theIntervalTimerMakesUpForLostPeriods() {
        let timer = startInterval()
        clock.pass(4 * Self.millisecond + 1000)
        #expect(wire.edges == 1)
        clock.pass(20 * Self.millisecond)
        catchUp()
        #expect(wire.edges == 6)
        _ = timer
    }

    @Test func periodsAreLostWhereThatIsWanted() {
        let timer = startInterval(makesUpLostTicks: false)
        clock.pass(4 * Self.millisecond + 1000)
        clock.pass(20 * Self.millisecond)
        for _ in 0..<15 { clock.pass(Self.millisecond / 5) }
        // The one that is late, and the next of the sixth period, which is on time.
        #expect(wire.edges == 3)
        clock.pass(2 * Self.millisecond)
        #expect(wire.edges == 4)
        _ = timer
    }

    @Test func notMoreThanTenAreMadeUp() {
        let timer = startComparator()
        clock.pass(4000 * Self.millisecond)
        for _ in 0..<10 { clock.pass(Self.millisecond / 5) }
        #expect((10...12).contains(wire.edges))
        _ = timer
    }

    @Test func aNewPeriodOwesNothing() {
        let timer = startInterval()
        clock.pass(100 * Self.millisecond)
        let before = wire.edges
        timer.1.write(0x43, size: 1, value: 0x34)
        timer.1.write(0x40, size: 1, value: 0xA5)
        timer.1.write(0x40, size: 1, value: 0x12)
        for _ in 0..<10 { clock.pass(Self.millisecond / 5) }
        #expect(wire.edges == before)
    }
}
