// SPDX-License-Identifier: Apache-2.0

import InterruptControllers
import MachineModel
import Testing

@Suite struct LocalAPICTimerTests {
    let bench = Bench()
    private var apic: LocalAPIC { bench.apic }
    private let periodic: UInt64 = 1 << 17
    private let deadlineMode: UInt64 = 2 << 17

    private func acknowledge() -> UInt8? {
        let vector = apic.acknowledgeInterrupt()
        if vector != nil { apic.endInterrupt() }
        return vector
    }

    @Test func oneShotCountsDownOnce() {
        apic.write(0x3E0, 0xB)  // Divide by 1.
        apic.write(0x320, 0x40)
        apic.write(0x380, 100_000)
        bench.clock.advance(by: 40_000)
        #expect(apic.read(0x390) == 60_000)
        bench.clock.advance(by: 59_999)
        #expect(!bench.cpu.interruptRequest)
        bench.clock.advance(by: 1)
        #expect(acknowledge() == 0x40)
        #expect(apic.read(0x390) == 0)
        #expect(apic.read(0x380) == 100_000)
        bench.clock.advance(by: 1_000_000)
        #expect(!bench.cpu.interruptRequest)
    }

    @Test(arguments: [(0, 2), (1, 4), (2, 8), (3, 16), (8, 32), (9, 64), (10, 128), (11, 1)] as [(UInt64, UInt64)])
    func divider(configuration: UInt64, divisor: UInt64) {
        apic.write(0x3E0, configuration)
        apic.write(0x320, 0x40)
        apic.write(0x380, 1000)
        bench.clock.advance(by: 500 * divisor)
        #expect(apic.read(0x390) == 500)
        bench.clock.advance(by: 500 * divisor)
        #expect(acknowledge() == 0x40)
    }

    @Test func periodicRepeats() {
        apic.write(0x3E0, 0xB)
        apic.write(0x320, periodic | 0x41)
        apic.write(0x380, 1_000_000)
        for _ in 0..<5 {
            bench.clock.advance(by: 1_000_000)
            #expect(acknowledge() == 0x41)
        }
        apic.write(0x380, 0)
        bench.clock.advance(by: 5_000_000)
        #expect(!bench.cpu.interruptRequest)
    }

    @Test func shortPeriodsAreCoalesced() {
        apic.write(0x3E0, 0xB)
        apic.write(0x320, periodic | 0x41)
        apic.write(0x380, 1)
        // A callback for each nanosecond would not come to an end.
        bench.clock.advance(by: 1_000_000_000)
        #expect(acknowledge() == 0x41)
    }

    @Test func changeOfModeKeepsTheCount() {
        apic.write(0x3E0, 0xB)
        apic.write(0x320, 0x40)
        apic.write(0x380, 1_000_000)
        bench.clock.advance(by: 600_000)
        apic.write(0x320, periodic | 0x40)
        #expect(apic.read(0x390) == 400_000)
        bench.clock.advance(by: 500_000)
        #expect(apic.read(0x390) == 900_000)
        apic.write(0x320, 0x40)
        bench.clock.advance(by: 900_000)
        #expect(apic.read(0x390) == 0)
        apic.write(0x320, periodic | 0x40)
        #expect(apic.read(0x390) == 0)
    }

    @Test func maskedTimerIsSilent() {
        apic.write(0x3E0, 0xB)
        apic.write(0x320, 0x1_0040)
        apic.write(0x380, 100_000)
        bench.clock.advance(by: 200_000)
        apic.write(0x320, 0x40)
        #expect(!bench.cpu.interruptRequest)
    }

    @Test func timestampDeadline() {
        apic.write(0x320, deadlineMode | 0x42)
        apic.write(0x380, 1000)
        #expect(apic.read(0x380) == 0)
        #expect(apic.writeModelSpecificRegister(0x6E0, value: 2_000_000))
        #expect(apic.readModelSpecificRegister(0x6E0) == 2_000_000)
        bench.clock.advance(by: 999_999)
        #expect(!bench.cpu.interruptRequest)
        bench.clock.advance(by: 2)
        #expect(acknowledge() == 0x42)
        #expect(apic.readModelSpecificRegister(0x6E0) == 0)
        // A deadline in the past fires at once, and 0 disarms.
        #expect(apic.writeModelSpecificRegister(0x6E0, value: 1))
        #expect(acknowledge() == 0x42)
        _ = apic.writeModelSpecificRegister(0x6E0, value: .max)
        _ = apic.writeModelSpecificRegister(0x6E0, value: 4_000_000)
        _ = apic.writeModelSpecificRegister(0x6E0, value: 0)
        bench.clock.advance(by: 10_000_000)
        #expect(!bench.cpu.interruptRequest)
    }

    @Test func deadlineIsIgnoredInOtherModes() {
        apic.write(0x320, 0x42)
        #expect(apic.writeModelSpecificRegister(0x6E0, value: 1))
        #expect(apic.readModelSpecificRegister(0x6E0) == 0)
        #expect(!bench.cpu.interruptRequest)
        apic.write(0x320, deadlineMode | 0x42)
        _ = apic.writeModelSpecificRegister(0x6E0, value: 2_000_000)
        apic.write(0x320, 0x42)
        bench.clock.advance(by: 5_000_000)
        #expect(!bench.cpu.interruptRequest)
    }

    @Test func timerRunsOnInARestoredState() {
        apic.write(0x3E0, 0xB)
        apic.write(0x320, periodic | 0x41)
        apic.write(0x380, 1_000_000)
        let other = Bench()
        other.apic.state = apic.state
        other.clock.advance(by: 1_000_000)
        #expect(other.apic.acknowledgeInterrupt() == 0x41)
    }
}
