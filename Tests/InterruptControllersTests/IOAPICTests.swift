// SPDX-License-Identifier: Apache-2.0

import InterruptControllers
import MachineModel
import RandomKit
import Testing

@Suite struct IOAPICTests {
    let bench = Bench(processors: 3)
    private let level: UInt32 = 1 << 15
    private let masked: UInt32 = 1 << 16

    @Test func identifiesItself() {
        #expect(bench.ioRead(1) == 0x0017_0020)
        bench.ioWrite(0, 0xFFFF_FFFF)
        #expect(bench.ioRead(0) == 0x0F00_0000)
        #expect(bench.ioRead(0x10) == masked)
        #expect(bench.ioRead(0xFF) == 0)
    }

    @Test func edgeGoesToOneProcessor() {
        bench.redirect(20, 0x76, destination: 2)
        bench.routing.interruptLine(gsi: 20).pulse()
        #expect(!bench.cpus[0].interruptRequest)
        #expect(bench.apics[2].acknowledgeInterrupt() == 0x76)
    }

    @Test func timerArrivesAtPinTwo() {
        bench.redirect(2, 0x30)
        bench.redirect(0, 0x99)
        bench.routing.interruptLine(gsi: 0).pulse()
        // The PIC, not yet initialized, asks too; LINT0 is masked to see the I/O APIC alone.
        bench.apic.write(0x350, 0x10700)
        #expect(bench.apic.acknowledgeInterrupt() == 0x30)
        #expect(bench.apic.acknowledgeInterrupt() == nil)
    }

    @Test func maskedEdgeIsLostAndMaskedLevelWaits() {
        let edge = bench.routing.interruptLine(gsi: 20)
        bench.redirect(20, 0x50 | masked)
        edge.set(true)
        bench.redirect(20, 0x50)
        #expect(!bench.cpu.interruptRequest)

        let wire = bench.routing.interruptLine(gsi: 21)
        bench.redirect(21, 0x51 | level | masked)
        wire.set(true)
        #expect(!bench.cpu.interruptRequest)
        bench.redirect(21, 0x51 | level)
        #expect(bench.apic.acknowledgeInterrupt() == 0x51)
    }

    @Test func levelComesAgainAfterEOIWhileHeld() {
        bench.redirect(17, 0x61 | level)
        let wire = bench.routing.interruptLine(gsi: 17)
        wire.set(true)
        #expect(bench.ioRead(0x10 + 34) & 1 << 14 != 0)
        #expect(bench.apic.acknowledgeInterrupt() == 0x61)
        #expect(!bench.cpu.interruptRequest)
        bench.apic.endInterrupt()
        #expect(bench.apic.acknowledgeInterrupt() == 0x61)
        wire.set(false)
        bench.apic.endInterrupt()
        #expect(!bench.cpu.interruptRequest)
        #expect(bench.ioRead(0x10 + 34) & 1 << 14 == 0)
    }

    @Test func suppressedBroadcastNeedsTheEOIRegister() {
        bench.redirect(17, 0x61 | level)
        bench.apic.write(0xF0, 0x11FF)
        let wire = bench.routing.interruptLine(gsi: 17)
        wire.set(true)
        _ = bench.apic.acknowledgeInterrupt()
        bench.apic.endInterrupt()
        #expect(!bench.cpu.interruptRequest)
        bench.controllers.ioAPIC.write(offset: 0x40, size: 4, value: 0x61)
        #expect(bench.cpu.interruptRequest)
    }

    @Test func switchingToEdgeClearsRemoteIRR() {
        bench.redirect(17, 0x61 | level)
        bench.routing.interruptLine(gsi: 17).set(true)
        bench.redirect(17, 0x61 | masked)
        #expect(bench.ioRead(0x10 + 34) & 1 << 14 == 0)
    }

    @Test func wiredOrHoldsUntilTheLastDeviceLetsGo() {
        bench.redirect(18, 0x62 | level)
        let first = bench.routing.interruptLine(gsi: 18)
        let second = bench.routing.interruptLine(gsi: 18)
        first.set(true)
        second.set(true)
        first.set(false)
        _ = bench.apic.acknowledgeInterrupt()
        bench.apic.endInterrupt()
        #expect(bench.cpu.interruptRequest)
        second.set(false)
        _ = bench.apic.acknowledgeInterrupt()
        bench.apic.endInterrupt()
        #expect(!bench.cpu.interruptRequest)
    }

    @Test func logicalDestinationReachesSeveral() {
        for (index, apic) in bench.apics.enumerated() { apic.write(0xD0, UInt64(1 << index) << 24) }
        bench.redirect(19, 0x70 | 1 << 11, destination: 0b110)
        bench.routing.interruptLine(gsi: 19).pulse()
        #expect(bench.cpus.map(\.interruptRequest) == [false, true, true])
    }

    @Test func lowestPriorityPicksTheIdlest() {
        for (index, apic) in bench.apics.enumerated() {
            apic.write(0xD0, UInt64(1 << index) << 24)
            apic.write(0x80, UInt64(0x50 - index * 0x10))
        }
        bench.redirect(19, 0x90 | 1 << 11 | 1 << 8, destination: 0b111)
        bench.routing.interruptLine(gsi: 19).pulse()
        #expect(bench.cpus.map(\.interruptRequest) == [false, false, true])
    }

    @Test func equalPrioritiesTakeTurns() {
        bench.redirect(19, 0x90 | 1 << 8, destination: 0xFF)
        for _ in 0..<3 { bench.routing.interruptLine(gsi: 19).pulse() }
        #expect(bench.cpus.map(\.interruptRequest) == [true, true, true])
    }

    @Test func nonMaskableAndExternalModes() {
        bench.redirect(22, 4 << 8, destination: 1)
        bench.routing.interruptLine(gsi: 22).pulse()
        #expect(bench.cpus[1].nonMaskable == 1)
        bench.initializePIC()
        bench.apic.write(0x350, 0x10000)
        bench.redirect(23, 7 << 8)
        bench.routing.interruptLine(gsi: 3).pulse()
        bench.routing.interruptLine(gsi: 23).pulse()
        #expect(bench.apic.acknowledgeInterrupt() == 0x23)
    }

    @Test func messageSignalledInterrupts() {
        let window = MessageWindow(sink: bench.controllers.bus)
        window.write(offset: 0x1000, size: 4, value: 0x4041)
        #expect(bench.apics[1].acknowledgeInterrupt() == 0x41)
        bench.apics[1].endInterrupt()
        bench.controllers.bus.deliver(address: 0xFEEF_F000, data: 0x42)
        #expect(bench.cpus.map(\.interruptRequest) == [true, true, true])
        #expect(InterruptMessage(address: 0xFEE0_0000, data: 3 << 8) == nil)
    }

    @Test func stateRoundTrips() {
        bench.redirect(17, 0x61 | level, destination: 1)
        let other = Bench(processors: 2)
        other.controllers.ioAPIC.state = bench.controllers.ioAPIC.state
        #expect(other.ioRead(0x10 + 34) == 0x61 | level)
        #expect(other.ioRead(0x11 + 34) == 1 << 24)
    }

    @Test func randomAccessesNeverTrap() {
        var random = SeededGenerator(seed: 1)
        for _ in 0..<30_000 {
            let size = 1 << Int(random.next() % 4)
            let offset = random.next() & (random.next() & 1 == 0 ? 0xFFF : 0x50)
            bench.controllers.ioAPIC.write(offset: offset, size: size, value: random.next())
            _ = bench.controllers.ioAPIC.read(offset: offset, size: size)
            bench.routing.interruptLine(gsi: Int(random.next() % 24)).set(random.next() & 1 == 0)
            if random.next() & 7 == 0, bench.apic.acknowledgeInterrupt() != nil { bench.apic.endInterrupt() }
        }
    }
}
