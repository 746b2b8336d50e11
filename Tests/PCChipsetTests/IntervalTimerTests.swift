// SPDX-License-Identifier: Apache-2.0

import MachineModel
import PCChipset
import Testing

@Suite struct IntervalTimerTests {
    let bench = Bench()
    let pit: IntervalTimer
    /// Nanoseconds of so many ticks, rounded up.
    private func ticks(_ count: UInt64) -> UInt64 { (count * 1_000_000_000 + 1_193_181) / 1_193_182 }

    init() {
        pit = IntervalTimer(clock: bench.clock, interrupt: bench.wire.line)
        pit.map(in: bench.ports)
    }

    private func program(_ control: UInt64, _ count: UInt64, channel: UInt64 = 0) {
        bench.out(0x43, control)
        bench.out(0x40 + channel, count & 0xFF)
        bench.out(0x40 + channel, count >> 8)
    }
    private func readCount(_ channel: UInt64) -> UInt64 {
        bench.in(0x40 + channel) | bench.in(0x40 + channel) << 8
    }

    @Test func rateGeneratorTicksAtItsRate() {
        program(0x34, 11_932)
        bench.clock.advance(by: 1_000_000_000)
        #expect(bench.wire.edges == 99 || bench.wire.edges == 100)
        #expect(!bench.wire.level)
    }

    @Test func squareWaveIsHalfHigh() {
        program(0x36, 2000)
        #expect(bench.wire.level)
        bench.clock.advance(by: ticks(1000))
        #expect(!bench.wire.level)
        bench.clock.advance(by: ticks(1000))
        #expect(bench.wire.level)
        bench.clock.advance(by: ticks(20_000))
        #expect((10...12).contains(bench.wire.edges))
    }

    @Test func terminalCountRisesOnce() {
        program(0x30, 5000)
        #expect(!bench.wire.level)
        bench.clock.advance(by: ticks(4999))
        #expect(!bench.wire.level)
        bench.clock.advance(by: ticks(2))
        #expect(bench.wire.level)
        bench.clock.advance(by: ticks(200_000))
        #expect(bench.wire.edges == 1)
    }

    @Test func strobeFiresOnce() {
        program(0x38, 5000)
        bench.clock.advance(by: ticks(4990))
        #expect(bench.wire.edges == 0)
        bench.clock.advance(by: ticks(1_000_000))
        #expect(bench.wire.edges == 1)
    }

    @Test func countIsLatched() {
        program(0x34, 10_000)
        bench.clock.advance(by: ticks(3000))
        bench.out(0x43, 0x00)
        bench.clock.advance(by: ticks(500))
        #expect(readCount(0) == 7000)
        #expect((6490...6500).contains(readCount(0)))
    }

    @Test func lowAndHighAccess() {
        bench.out(0x43, 0x14)
        bench.out(0x40, 100)
        bench.clock.advance(by: ticks(30))
        #expect(bench.in(0x40) == 70)
        #expect(bench.in(0x40) == 70)
        bench.out(0x43, 0x24)
        bench.out(0x40, 0x12)
        #expect(bench.in(0x40) == 0x12)
    }

    @Test func decimalCounting() {
        program(0xB5, 0x1234, channel: 2)
        bench.out(0x61, 1)
        #expect(readCount(2) == 0x1234)
        bench.clock.advance(by: ticks(235))
        #expect(readCount(2) == 0x0999)
    }

    @Test func readBackGivesStatusThenCount() {
        program(0x36, 1000)
        bench.out(0x43, 0xC2)
        #expect(bench.in(0x40) == 0x80 | 0x36)
        #expect(readCount(0) == 1000)
        bench.out(0x43, 0x36)
        bench.out(0x43, 0xE2)
        #expect(bench.in(0x40) & 0x40 != 0)
    }

    @Test func gateOfChannelTwoPausesAndPort61ShowsOut() {
        bench.out(0x61, 0)
        program(0xB0, 10_000, channel: 2)
        #expect(bench.in(0x61) & 0x20 == 0)
        bench.clock.advance(by: ticks(50_000))
        #expect(readCount(2) == 10_000)
        bench.out(0x61, 1)
        bench.clock.advance(by: ticks(4000))
        bench.out(0x61, 0)
        bench.clock.advance(by: ticks(50_000))
        #expect((5998...6000).contains(readCount(2)))
        #expect(bench.in(0x61) & 0x21 == 0)
        bench.out(0x61, 3)
        bench.clock.advance(by: ticks(6002))
        #expect(bench.in(0x61) & 0x23 == 0x23)
    }

    @Test func gateTriggersTheOneShot() {
        bench.out(0x61, 0)
        program(0xB2, 1000, channel: 2)
        #expect(bench.in(0x61) & 0x20 != 0)
        bench.out(0x61, 1)
        #expect(bench.in(0x61) & 0x20 == 0)
        bench.clock.advance(by: ticks(1001))
        #expect(bench.in(0x61) & 0x20 != 0)
    }

    @Test func refreshBitToggles() {
        var seen = Set<UInt64>()
        for _ in 0..<8 {
            seen.insert(bench.in(0x61) & 0x10)
            bench.clock.advance(by: 15_085)
        }
        #expect(seen == [0, 0x10])
    }

    @Test func zeroMeansTheLargestCount() {
        program(0x34, 0)
        bench.clock.advance(by: ticks(1))
        #expect(readCount(0) == 0xFFFF)
        bench.clock.advance(by: 1_000_000_000)
        #expect(bench.wire.edges == 18)
    }

    @Test func suppressedBySomeoneElse() {
        program(0x34, 1000)
        pit.isInterruptSuppressed = true
        bench.clock.advance(by: 100_000_000)
        #expect(bench.wire.edges == 0)
        pit.isInterruptSuppressed = false
        bench.clock.advance(by: 100_000_000)
        #expect(bench.wire.edges > 100)
    }

    @Test func tinyCountsDoNotHang() {
        program(0x34, 1)
        bench.clock.advance(by: 1_000_000_000)
        #expect(bench.wire.edges <= 50_001)
    }

    @Test func stateRoundTrips() {
        program(0x34, 11_932)
        let other = Bench()
        let copy = IntervalTimer(clock: other.clock, interrupt: other.wire.line)
        copy.state = pit.state
        #expect(copy.state == pit.state)
        other.clock.advance(by: 100_000_000)
        #expect((9...10).contains(other.wire.edges))
    }

    @Test func randomAccessesNeverTrap() { bench.abuse([0x40, 0x40, 0x61], spread: 4) }
}
