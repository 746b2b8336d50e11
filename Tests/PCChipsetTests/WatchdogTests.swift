// SPDX-License-Identifier: Apache-2.0

import MachineModel
import PCChipset
import Testing

@Suite struct WatchdogTests {
    private final class Fixture {
        let bench = Bench()
        var expiries = 0
        private(set) var power: PowerManagement!
        init() {
            power = PowerManagement(
                layout: .ich9, clock: bench.clock, interrupt: bench.wire.line, requests: bench.machine,
                watchdogExpired: { [unowned self] in expiries += 1 })
            _ = power.map(in: bench.ports, at: 0x600)
        }
        func out(_ register: UInt64, _ value: UInt64) { bench.out(0x660 + register, value, size: 2) }
        func get(_ register: UInt64) -> UInt64 { bench.in(0x660 + register, size: 2) }
    }
    private let fixture = Fixture()
    private let step: UInt64 = 600_000_000

    @Test func expiresAtTheSecondTimeout() {
        fixture.out(0x12, 10)
        fixture.out(0x00, 1)
        fixture.bench.clock.advance(by: step * 4)
        #expect(fixture.get(0) == 6)
        fixture.bench.clock.advance(by: step * 6)
        #expect(fixture.get(4) == 8)
        #expect(fixture.expiries == 0)
        fixture.bench.clock.advance(by: step * 10)
        #expect(fixture.expiries == 1)
        #expect(fixture.get(6) == 6)
        fixture.out(4, 8)
        #expect(fixture.get(4) == 0)
    }

    @Test func reloadingKeepsItQuiet() {
        for _ in 0..<10 {
            fixture.out(0, 1)
            fixture.bench.clock.advance(by: step * 3)
        }
        #expect(fixture.get(4) == 0)
    }

    @Test func haltAndLock() {
        fixture.out(0, 1)
        fixture.out(8, 0x0800)
        #expect(fixture.get(8) & 0x0800 != 0)
        fixture.bench.clock.advance(by: step * 100)
        #expect(fixture.expiries == 0)
        fixture.out(8, 0x1800)
        fixture.out(8, 0)
        #expect(fixture.get(8) & 0x1800 == 0x1800)
    }

    @Test func stateRoundTrips() {
        fixture.out(0, 1)
        let other = Fixture()
        other.power.watchdog.state = fixture.power.watchdog.state
        other.bench.clock.advance(by: step * 8)
        #expect(other.expiries == 1)
    }

    @Test func randomAccessesNeverTrap() { fixture.bench.abuse([0x660], spread: 0x24) }
}

@Suite struct SMBusHostTests {
    @Test func nobodyAnswers() {
        let bench = Bench()
        let host = SMBusHost(interrupt: bench.wire.line)
        bench.ports.map(host, at: 0x700, count: SMBusHost.portCount, name: "smbus")
        bench.out(0x704, 0xA1)
        bench.out(0x702, 0x48)
        #expect(bench.in(0x700) == 0x04)
        #expect(bench.in(0x702) == 0x08)
        #expect(!bench.wire.level)
        bench.out(0x702, 0x49)
        #expect(bench.wire.level)
        bench.out(0x700, 0xFF)
        #expect(bench.in(0x700) == 0)
        #expect(!bench.wire.level)
        bench.abuse([0x700], spread: 64)
        host.reset()
        #expect(host.state.control == 0 && host.state.data == [0, 0])
    }
}
