// SPDX-License-Identifier: Apache-2.0

import MachineModel
import PCChipset
import Testing

@Suite struct PowerManagementTests {
    let bench = Bench()
    let power: PowerManagement
    private let base: UInt64 = 0x600

    init() {
        power = PowerManagement(
            layout: .ich9, clock: bench.clock, interrupt: bench.wire.line, requests: bench.machine)
        _ = power.map(in: bench.ports, at: 0x600)
        power.mapCommandPort(in: bench.ports)
    }

    @Test func timerRunsAtItsFrequency() {
        #expect(bench.in(base + 8, size: 4) == 0)
        bench.clock.advance(by: 1_000_000_000)
        #expect(bench.in(base + 8, size: 4) == 3_579_545)
        bench.clock.advance(by: 4_000_000_000)
        #expect(bench.in(base + 8, size: 4) == 5 * 3_579_545 & 0xFF_FFFF)
    }

    @Test func timerStatusAndInterruptAtBit23() {
        bench.out(base + 2, 1, size: 2)
        bench.clock.advance(by: 2_300_000_000)
        #expect(!bench.wire.level)
        bench.clock.advance(by: 100_000_000)
        #expect(bench.wire.level)
        #expect(bench.in(base, size: 2) == 1)
        bench.out(base, 1, size: 2)
        #expect(!bench.wire.level)
        bench.clock.advance(by: 2_400_000_000)
        #expect(bench.wire.edges == 2)
    }

    @Test func acpiEnableThroughTheCommandPort() {
        #expect(!power.isACPIEnabled)
        bench.out(0xB2, 0x02)
        #expect(bench.in(base + 4, size: 2) == 1)
        bench.out(0xB2, 0x03)
        #expect(bench.in(base + 4, size: 2) == 0)
        #expect(bench.in(0xB2) == 3)
        bench.out(0xB3, 0x5A)
        #expect(bench.in(0xB3) == 0x5A)
    }

    @Test func powerButtonRaisesTheSCI() {
        bench.out(base + 2, 0x100, size: 2)
        power.pressPowerButton()
        #expect(bench.wire.level)
        #expect(bench.in(base, size: 2) & 0x100 != 0)
        bench.out(base, 0x100, size: 2)
        #expect(!bench.wire.level)
    }

    @Test func softOff() {
        bench.out(base + 4, 0x0001, size: 2)
        #expect(bench.machine.powerOffs == 0)
        bench.out(base + 4, 0x2001, size: 2)
        #expect(bench.machine.powerOffs == 1)
        #expect(bench.in(base + 4, size: 2) == 1)
        bench.out(base + 4, 0x2401, size: 2)
        #expect(bench.machine.powerOffs == 1)
    }

    @Test func generalEvents() {
        bench.out(base + 0x28, 0x02)
        power.raiseGeneralEvent(1)
        #expect(bench.wire.level)
        #expect(bench.in(base + 0x20) == 2)
        bench.out(base + 0x20, 2)
        #expect(!bench.wire.level)
        power.raiseGeneralEvent(64)
        #expect(bench.in(base + 0x20, size: 8) == 0)
    }

    @Test func piix4Layout() {
        let bench = Bench()
        let power = PowerManagement(
            layout: .piix4, clock: bench.clock, interrupt: bench.wire.line, requests: bench.machine)
        _ = power.map(in: bench.ports, at: 0xB000)
        _ = power.mapGeneralEvents(in: bench.ports)
        power.mapCommandPort(in: bench.ports)
        bench.out(0xB2, 0xF1)
        #expect(power.isACPIEnabled)
        bench.out(0xAFE2, 0x0004, size: 2)
        power.raiseGeneralEvent(2)
        #expect(bench.wire.level)
        #expect(bench.in(0xAFE0, size: 4) == 0x0004_0004)
    }

    @Test func systemManagementIsMarkedDoneOrRaised() {
        #expect(bench.in(base + 0x30, size: 4) == 0x20)
        var raised = 0
        let other = Bench()
        let managed = PowerManagement(
            layout: .ich9, clock: other.clock, interrupt: other.wire.line, requests: other.machine,
            systemManagementInterrupt: { raised += 1 })
        _ = managed.map(in: other.ports, at: base)
        managed.mapCommandPort(in: other.ports)
        other.out(0xB2, 1)
        other.out(base + 0x30, 0x21, size: 4)
        other.out(0xB2, 1)
        #expect(raised == 1)
    }

    @Test func resetRegister() {
        let control = ResetControl(requests: bench.machine)
        control.map(in: bench.ports)
        bench.out(0xCF9, 0x02)
        #expect(bench.in(0xCF9) == 2)
        #expect(bench.machine.resets == 0)
        bench.out(0xCF9, 0x06)
        #expect(bench.machine.resets == 1)
    }

    @Test func stateRoundTrips() {
        bench.out(base + 2, 0x100, size: 2)
        power.pressPowerButton()
        let other = Bench()
        let copy = PowerManagement(
            layout: .ich9, clock: other.clock, interrupt: other.wire.line, requests: other.machine)
        copy.state = power.state
        #expect(other.wire.level)
        #expect(copy.state == power.state)
    }

    @Test func randomAccessesNeverTrap() { bench.abuse([0x600, 0x620, 0x670, 0xB2], spread: 32) }
}
