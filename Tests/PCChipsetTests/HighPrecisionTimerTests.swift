// SPDX-License-Identifier: Apache-2.0

import MachineModel
import PCChipset
import Testing

@Suite struct HighPrecisionTimerTests {
    private final class Messages: MessageInterruptSink {
        var sent: [(UInt64, UInt32)] = []
        func deliver(address: UInt64, data: UInt32) { sent.append((address, data)) }
    }
    private final class Fixture {
        let bench = Bench()
        let inputs = (0..<24).map { _ in RecordingLine() }
        let messages = Messages()
        var legacy: [Bool] = []
        private(set) var hpet: HighPrecisionTimer!

        init(withMessages: Bool = false) {
            hpet = HighPrecisionTimer(
                clock: bench.clock, lines: inputs.map(\.line), legacyTimer: bench.wire.line,
                legacyClock: bench.second.line, routes: 0xFF_0104, messages: withMessages ? messages : nil,
                legacyReplacement: { [unowned self] in legacy.append($0) })
            bench.memory.map(
                hpet, at: HighPrecisionTimer.defaultBase, count: HighPrecisionTimer.windowSize, name: "hpet")
        }
        func read(_ offset: UInt64, _ size: Int = 8) -> UInt64 { bench.memory.read(0xFED0_0000 + offset, size: size) }
        func write(_ offset: UInt64, _ value: UInt64, _ size: Int = 8) {
            bench.memory.write(0xFED0_0000 + offset, size: size, value: value)
        }
    }

    private let fixture = Fixture()

    @Test func capabilities() {
        #expect(fixture.read(0) == 0x0098_9680_8086_A201)
        #expect(fixture.read(4, 4) == 10_000_000)
        #expect(fixture.read(0x100) == 0x00FF_0104_0000_0030)
    }

    @Test func counterRunsAndStands() {
        fixture.write(0xF0, 1000)
        fixture.write(0x10, 1)
        fixture.bench.clock.advance(by: 5000)
        #expect(fixture.read(0xF0) == 1500)
        fixture.write(0xF0, 7)
        #expect(fixture.read(0xF0) == 1500)
        fixture.write(0x10, 0)
        fixture.bench.clock.advance(by: 5000)
        #expect(fixture.read(0xF0) == 1500)
        fixture.write(0xF4, 2, 4)
        #expect(fixture.read(0xF0) == 2 << 32 | 1500)
    }

    @Test func oneShotEdge() {
        fixture.write(0x10, 1)
        fixture.write(0x100, 0x4 | 2 << 9)
        fixture.write(0x108, 10_000)
        fixture.bench.clock.advance(by: 99_990)
        #expect(fixture.inputs[2].edges == 0)
        fixture.bench.clock.advance(by: 10)
        #expect(fixture.inputs[2].edges == 1)
        fixture.bench.clock.advance(by: 1_000_000_000)
        #expect(fixture.inputs[2].edges == 1)
    }

    @Test func levelStaysUntilAcknowledged() {
        fixture.write(0x10, 1)
        fixture.write(0x120, 0x6 | 16 << 9)
        fixture.write(0x128, 10_000)
        fixture.bench.clock.advance(by: 200_000)
        #expect(fixture.inputs[16].level)
        #expect(fixture.read(0x20) == 2)
        fixture.write(0x20, 2)
        #expect(!fixture.inputs[16].level)
    }

    @Test func periodicAsLinuxProgramsIt() {
        fixture.write(0x10, 3)
        fixture.write(0x100, 0x14C, 4)
        fixture.write(0x108, fixture.read(0xF0, 4) + 100_000, 4)
        fixture.write(0x108, 100_000, 4)
        let before = fixture.bench.wire.edges
        fixture.bench.clock.advance(by: 10_000_000)
        #expect(fixture.bench.wire.edges - before == 10)
        #expect(fixture.legacy == [true])
    }

    @Test func legacyReplacementRoutesTheSecondToTheClock() {
        fixture.write(0x10, 3)
        fixture.write(0x120, 0x4)
        fixture.write(0x128, 5000)
        fixture.bench.clock.advance(by: 60_000)
        #expect(fixture.bench.second.edges == 1)
        fixture.hpet.reset()
        #expect(fixture.legacy == [true, false])
    }

    @Test func changingTheRouteDoesNotFireAgain() {
        fixture.write(0x10, 1)
        fixture.write(0x100, 0x4 | 2 << 9)
        fixture.write(0x108, 1000)
        fixture.bench.clock.advance(by: 100_000)
        fixture.write(0x100, 0x4 | 17 << 9)
        fixture.bench.clock.advance(by: 100_000)
        #expect(fixture.inputs[2].edges == 1)
        #expect(fixture.inputs[17].edges == 0)
        fixture.write(0x108, 50_000)
        fixture.bench.clock.advance(by: 1_000_000)
        #expect(fixture.inputs[17].edges == 1)
    }

    @Test func unroutableInputStaysSilent() {
        fixture.write(0x10, 1)
        fixture.write(0x100, 0x4 | 5 << 9)
        fixture.write(0x108, 1000)
        fixture.bench.clock.advance(by: 100_000)
        #expect(fixture.inputs.allSatisfy { $0.edges == 0 })
    }

    @Test func messages() {
        let fixture = Fixture(withMessages: true)
        fixture.write(0x10, 1)
        fixture.write(0x110, 0xFEE0_1000 << 32 | 0x41)
        fixture.write(0x100, 0x4004)
        fixture.write(0x108, 1000)
        fixture.bench.clock.advance(by: 100_000)
        #expect(fixture.messages.sent.map(\.0) == [0xFEE0_1000])
        #expect(fixture.messages.sent.map(\.1) == [0x41])
    }

    @Test func shortPeriodsAreCoalesced() {
        fixture.write(0x10, 1)
        fixture.write(0x100, 0xC | 2 << 9)
        fixture.write(0x108, 1)
        fixture.bench.clock.advance(by: 1_000_000_000)
        #expect(fixture.inputs[2].edges <= 50_002)
    }

    @Test func stateRoundTrips() {
        fixture.write(0x10, 1)
        fixture.write(0x100, 0x4 | 2 << 9)
        fixture.write(0x108, 10_000)
        let other = Fixture()
        other.hpet.state = fixture.hpet.state
        other.bench.clock.advance(by: 100_000)
        #expect(other.inputs[2].edges == 1)
    }

    @Test func randomAccessesNeverTrap() {
        fixture.bench.abuse(
            [0xFED0_0000, 0xFED0_00F0, 0xFED0_0100, 0xFED0_0120, 0xFED0_03F0], in: fixture.bench.memory, spread: 0x20)
    }
}
