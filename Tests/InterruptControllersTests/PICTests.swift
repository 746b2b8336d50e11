// SPDX-License-Identifier: Apache-2.0

import InterruptControllers
import MachineModel
import RandomKit
import Testing

@Suite struct PICTests {
    let bench: Bench

    init() {
        bench = Bench()
        bench.initializePIC()
    }

    private func line(_ number: Int) -> InterruptLine { bench.routing.interruptLine(gsi: number) }
    private func end(_ port: UInt64 = 0x20) { bench.ports.write(port, size: 1, value: 0x20) }

    @Test func deliversThroughLINT0() {
        line(4).set(true)
        #expect(bench.cpu.interruptRequest)
        #expect(bench.apic.acknowledgeInterrupt() == 0x24)
        #expect(!bench.cpu.interruptRequest)
        #expect(bench.apic.acknowledgeInterrupt() == nil)
    }

    @Test func higherPriorityPreemptsAndLowerWaits() {
        line(5).pulse()
        #expect(bench.apic.acknowledgeInterrupt() == 0x25)
        line(6).pulse()
        #expect(!bench.cpu.interruptRequest)
        line(1).pulse()
        #expect(bench.apic.acknowledgeInterrupt() == 0x21)
        end()
        end()
        #expect(bench.apic.acknowledgeInterrupt() == 0x26)
    }

    @Test func secondaryArrivesThroughCascade() {
        line(8).pulse()
        line(12).pulse()
        #expect(bench.apic.acknowledgeInterrupt() == 0x28)
        #expect(!bench.cpu.interruptRequest)
        end(0xA0)
        end()
        #expect(bench.apic.acknowledgeInterrupt() == 0x2C)
    }

    @Test func maskHoldsAndReleases() {
        bench.ports.write(0x21, size: 1, value: 0x10)
        #expect(bench.ports.read(0x21, size: 1) == 0x10)
        line(4).pulse()
        #expect(!bench.cpu.interruptRequest)
        bench.ports.write(0x21, size: 1, value: 0)
        #expect(bench.cpu.interruptRequest)
    }

    @Test func levelTriggeredAsksAgainUntilDropped() {
        bench.ports.write(0x4D1, size: 1, value: 0xFF)
        #expect(bench.ports.read(0x4D1, size: 1) == 0xDE)
        let scI = line(9)
        scI.set(true)
        #expect(bench.apic.acknowledgeInterrupt() == 0x29)
        end(0xA0)
        end()
        #expect(bench.apic.acknowledgeInterrupt() == 0x29)
        scI.set(false)
        end(0xA0)
        end()
        #expect(!bench.cpu.interruptRequest)
    }

    @Test func edgeAsksOnce() {
        let timer = line(3)
        timer.set(true)
        #expect(bench.apic.acknowledgeInterrupt() == 0x23)
        end()
        #expect(!bench.cpu.interruptRequest)
        timer.set(false)
        timer.set(true)
        #expect(bench.cpu.interruptRequest)
    }

    @Test func readsRequestAndService() {
        line(3).pulse()
        bench.ports.write(0x20, size: 1, value: 0x0A)
        #expect(bench.ports.read(0x20, size: 1) == 0x08)
        _ = bench.apic.acknowledgeInterrupt()
        #expect(bench.ports.read(0x20, size: 1) == 0)
        bench.ports.write(0x20, size: 1, value: 0x0B)
        #expect(bench.ports.read(0x20, size: 1) == 0x08)
    }

    @Test func pollModeAcknowledges() {
        line(6).pulse()
        bench.ports.write(0x20, size: 1, value: 0x0C)
        #expect(bench.ports.read(0x20, size: 1) == 0x86)
        #expect(!bench.cpu.interruptRequest)
        bench.ports.write(0x20, size: 1, value: 0x0C)
        #expect(bench.ports.read(0x20, size: 1) == 0)
    }

    @Test func rotationMakesTheServedLowest() {
        line(0).pulse()
        #expect(bench.apic.acknowledgeInterrupt() == 0x20)
        bench.ports.write(0x20, size: 1, value: 0xA0)
        line(0).pulse()
        line(1).pulse()
        #expect(bench.apic.acknowledgeInterrupt() == 0x21)
        bench.ports.write(0x20, size: 1, value: 0x61)
        #expect(bench.apic.acknowledgeInterrupt() == 0x20)
    }

    @Test func setPriorityCommand() {
        bench.ports.write(0x20, size: 1, value: 0xC4)  // 4 is the lowest, 5 the highest.
        line(4).pulse()
        line(5).pulse()
        line(3).pulse()
        #expect(bench.apic.acknowledgeInterrupt() == 0x25)
    }

    @Test func specialMaskLetsLowerThrough() {
        line(1).pulse()
        _ = bench.apic.acknowledgeInterrupt()
        bench.ports.write(0x20, size: 1, value: 0x68)
        bench.ports.write(0x21, size: 1, value: 0x02)
        line(7).pulse()
        #expect(bench.apic.acknowledgeInterrupt() == 0x27)
    }

    @Test func automaticEndNeedsNoCommand() {
        bench.initializePIC(fourth: 0x03)
        line(2 + 1).pulse()
        line(8).pulse()
        line(9).pulse()
        #expect(bench.apic.acknowledgeInterrupt() == 0x28)
        #expect(bench.apic.acknowledgeInterrupt() == 0x29)
        #expect(bench.apic.acknowledgeInterrupt() == 0x23)
        #expect(bench.apic.acknowledgeInterrupt() == nil)
    }

    @Test func specialFullyNestedLetsTheSecondaryNest() {
        bench.initializePIC(fourth: 0x11)
        line(12).pulse()
        #expect(bench.apic.acknowledgeInterrupt() == 0x2C)
        line(8).pulse()
        #expect(bench.apic.acknowledgeInterrupt() == 0x28)
    }

    @Test func aVanishedRequestIsSpurious() {
        bench.ports.write(0x4D0, size: 1, value: 0x20)
        let wire = line(5)
        // The message asks the processor for an INTA, which finds nothing.
        wire.set(true)
        wire.set(false)
        bench.controllers.bus.send(InterruptMessage(vector: 0, delivery: .external, destination: 0))
        #expect(bench.apic.acknowledgeInterrupt() == 0x27)
    }

    @Test func stateRoundTrips() {
        line(4).set(true)
        let saved = bench.controllers.pic.state
        let other = Bench()
        other.controllers.pic.state = saved
        #expect(other.cpu.interruptRequest)
        #expect(other.apic.acknowledgeInterrupt() == 0x24)
    }

    @Test func randomAccessesNeverTrap() {
        var random = SeededGenerator(seed: 1)
        let places: [UInt64] = [0x20, 0x21, 0xA0, 0xA1, 0x4D0, 0x4D1]
        for _ in 0..<20_000 {
            let place = places[Int(random.next() % 6)]
            let size = 1 << Int(random.next() % 4)
            if random.next() & 1 == 0 { _ = bench.ports.read(place, size: size) }
            bench.ports.write(place, size: size, value: random.next())
            line(Int(random.next() % 26)).set(random.next() & 1 == 0)
            if random.next() & 3 == 0 { _ = bench.apic.acknowledgeInterrupt() }
        }
    }
}
