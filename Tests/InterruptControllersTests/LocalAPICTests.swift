// SPDX-License-Identifier: Apache-2.0

import InterruptControllers
import MachineModel
import RandomKit
import Testing

@Suite struct LocalAPICTests {
    let bench = Bench(processors: 3)
    private var apic: LocalAPIC { bench.apic }

    private func selfInterrupt(_ vector: UInt64) { apic.write(0x300, 0x4_4000 | vector) }

    @Test func resetValues() {
        let fresh = Bench(processors: 2, softwareEnabled: false)
        #expect(fresh.apics[1].read(0x20) == 0x0100_0000)
        #expect(fresh.apic.read(0x30) & 0xFF_00FF == 0x05_0014)
        #expect(fresh.apic.read(0xE0) == 0xFFFF_FFFF)
        #expect(fresh.apic.read(0xF0) == 0xFF)
        #expect(fresh.apic.read(0x350) == 0x700)
        #expect(fresh.apics[1].read(0x350) == 0x1_0000)
        #expect(fresh.apic.registerPage == 0xFEE0_0000)
        #expect(fresh.apic.readModelSpecificRegister(0x1B) == 0xFEE0_0900)
        #expect(fresh.apics[1].readModelSpecificRegister(0x1B) == 0xFEE0_0800)
    }

    @Test func priorityOrdersAndServiceBlocks() {
        selfInterrupt(0x41)
        selfInterrupt(0x62)
        selfInterrupt(0x43)
        #expect(apic.acknowledgeInterrupt() == 0x62)
        #expect(apic.read(0xA0) == 0x60)
        #expect(!bench.cpu.interruptRequest)
        apic.endInterrupt()
        #expect(apic.acknowledgeInterrupt() == 0x43)
        // 0x41 is of the same class as 0x43.
        #expect(apic.acknowledgeInterrupt() == nil)
        #expect(apic.read(0x120) == 1 << 3)
        #expect(apic.read(0x220) == 1 << 1)
        apic.endInterrupt()
        #expect(apic.acknowledgeInterrupt() == 0x41)
    }

    @Test func taskPriorityHoldsBack() {
        apic.taskPriorityClass = 5
        #expect(apic.read(0x80) == 0x50)
        selfInterrupt(0x5F)
        #expect(!bench.cpu.interruptRequest)
        apic.write(0x80, 0x4F)
        #expect(apic.taskPriorityClass == 4)
        #expect(bench.cpu.interruptRequest)
        #expect(apic.read(0xA0) == 0x4F)
    }

    @Test func softwareDisableMasksEverything() {
        apic.write(0x360, 0x400)
        apic.write(0xF0, 0xFF)
        #expect(apic.read(0x360) == 0x1_0400)
        apic.write(0x360, 0x400)
        #expect(apic.read(0x360) == 0x1_0400)
        selfInterrupt(0x50)
        #expect(!bench.cpu.interruptRequest)
        bench.controllers.bus.send(InterruptMessage(vector: 0, delivery: .nonMaskable, destination: 0))
        #expect(bench.cpu.nonMaskable == 1)
    }

    @Test func shorthands() {
        apic.write(0x300, 0x8_4051)
        #expect(bench.cpus.map(\.interruptRequest) == [true, true, true])
        let other = Bench(processors: 3)
        other.apics[1].write(0x300, 0xC_4051)
        #expect(other.cpus.map(\.interruptRequest) == [true, false, true])
    }

    @Test func initAndStartup() {
        apic.write(0x310, 1 << 24)
        apic.write(0x300, 0xC500)
        apic.write(0x300, 0x8500)  // De-assert does nothing.
        apic.write(0x300, 0x4699)
        #expect(bench.cpus[1].initializations == 1)
        #expect(bench.cpus[1].startups == [0x99])
        #expect(bench.apics[1].read(0xF0) == 0xFF)
        #expect(bench.apics[1].read(0x20) == 1 << 24)
    }

    @Test func clusterDestinations() {
        for (index, apic) in bench.apics.enumerated() {
            apic.write(0xE0, 0x0FFF_FFFF)
            apic.write(0xD0, UInt64(index == 2 ? 0x21 : 0x10 | 1 << index) << 24)
        }
        apic.write(0x310, 0x13 << 24)
        apic.write(0x300, 0x4851)
        #expect(bench.cpus.map(\.interruptRequest) == [true, true, false])
    }

    @Test func illegalVectorsAreReported() {
        apic.write(0x370, 0xEE)
        apic.write(0x300, 0x4_4005)
        #expect(apic.read(0x280) == 0)
        apic.write(0x280, 0)
        #expect(apic.read(0x280) == 1 << 5)
        #expect(apic.acknowledgeInterrupt() == 0xEE)
        apic.write(0x280, 0)
        #expect(apic.read(0x280) == 0)
        bench.controllers.bus.deliver(address: 0xFEE0_0000, data: 3)
        _ = apic.read(0x40)
        apic.write(0x280, 0)
        #expect(apic.read(0x280) == 1 << 6 | 1 << 7)
    }

    @Test func localPins() {
        apic.write(0x360, 0x400)
        bench.controllers.bus.raiseNonMaskableInterrupt()
        #expect(bench.cpu.nonMaskable == 1)
        #expect(bench.cpus[1].nonMaskable == 0)
        // A level-triggered fixed LINT0 shows remote IRR and comes again after EOI.
        bench.initializePIC()
        apic.write(0x350, 0x8044)
        let wire = bench.routing.interruptLine(gsi: 4)
        wire.set(true)
        #expect(apic.acknowledgeInterrupt() == 0x44)
        #expect(apic.read(0x350) & 1 << 14 != 0)
        apic.endInterrupt()
        #expect(apic.acknowledgeInterrupt() == 0x44)
        bench.ports.write(0x21, size: 1, value: 0xFF)
        apic.endInterrupt()
        #expect(!bench.cpu.interruptRequest)
    }

    @Test func performanceEntryMasksItself() {
        apic.write(0x340, 0x400)
        apic.raise(.performance)
        #expect(bench.cpu.nonMaskable == 1)
        #expect(apic.read(0x340) == 0x1_0400)
    }

    @Test func disabledAPICPassesINTRThrough() {
        bench.initializePIC()
        #expect(apic.writeModelSpecificRegister(0x1B, value: 0xFEE0_0100))
        #expect(!apic.isEnabled)
        #expect(apic.registerPage == nil)
        bench.routing.interruptLine(gsi: 1).pulse()
        #expect(apic.acknowledgeInterrupt() == 0x21)
    }

    @Test func oddAccessesAreHarmless() {
        apic.writeRegister(offset: 0x80, size: 1, value: 0x10)
        apic.writeRegister(offset: 0x84, size: 4, value: 0x10)
        #expect(apic.read(0x80) == 0)
        #expect(apic.readRegister(offset: 0x31, size: 1) == 0x105_0014 >> 8)
        #expect(apic.readRegister(offset: 0x34, size: 4) == 0)
    }

    @Test func randomAccessesNeverTrap() {
        var random = SeededGenerator(seed: 1)
        for round in 0..<60_000 {
            let target = bench.apics[Int(random.next() % 3)]
            let size = 1 << Int(random.next() % 4)
            let offset = random.next() & (random.next() & 1 == 0 ? 0xFFF : 0x3F0)
            switch random.next() % 6 {
            case 0: _ = target.readRegister(offset: offset, size: size)
            case 1: target.writeRegister(offset: offset, size: size, value: random.next())
            case 2: _ = target.readModelSpecificRegister(0x800 + UInt32(random.next() & 0xFF))
            case 3: _ = target.writeModelSpecificRegister(0x800 + UInt32(random.next() & 0xFF), value: random.next())
            case 4: _ = target.writeModelSpecificRegister(0x6E0, value: random.next() >> (random.next() & 63))
            default: _ = target.acknowledgeInterrupt()
            }
            if round % 97 == 0 {
                _ = target.writeModelSpecificRegister(0x1B, value: 0xFEE0_0000 | random.next() & 0xC00)
                _ = target.writeModelSpecificRegister(0x1B, value: random.next())
            }
            if round % 31 == 0 { bench.clock.advance(by: random.next() & 0xFFFFF) }
            bench.controllers.bus.deliver(address: random.next(), data: UInt32(truncatingIfNeeded: random.next()))
        }
    }
}
