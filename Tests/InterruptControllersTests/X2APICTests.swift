// SPDX-License-Identifier: Apache-2.0

import InterruptControllers
import MachineModel
import Testing

@Suite struct X2APICTests {
    let bench = Bench(processors: 3)
    private var apic: LocalAPIC { bench.apic }

    private func enterAll() {
        for (index, apic) in bench.apics.enumerated() {
            #expect(apic.writeModelSpecificRegister(0x1B, value: 0xFEE0_0C00 | (index == 0 ? 0x100 : 0)))
        }
    }
    private func write(_ index: UInt32, _ value: UInt64) -> Bool {
        apic.writeModelSpecificRegister(index, value: value)
    }

    /// SDM vol. 3, "x2APIC State Transitions": state after, or nil for #GP.
    @Test(
        arguments: [
            (0x800, 0x000, true), (0x800, 0x400, false), (0x800, 0xC00, true), (0x800, 0x800, true),
            (0x000, 0x800, true), (0x000, 0x400, false), (0x000, 0xC00, false), (0x000, 0x000, true),
            (0xC00, 0x800, false), (0xC00, 0x400, false), (0xC00, 0x000, true), (0xC00, 0xC00, true),
        ] as [(UInt64, UInt64, Bool)])
    func transitions(from: UInt64, to: UInt64, allowed: Bool) {
        let base: UInt64 = 0xFEE0_0100
        #expect(write(0x1B, base | from))
        #expect(write(0x1B, base | to) == allowed)
        #expect(apic.readModelSpecificRegister(0x1B) == base | (allowed ? to : from))
    }

    @Test func reservedBaseBitsFault() {
        for bit in [0, 1, 7, 9, 40, 52, 63] as [UInt64] { #expect(!write(0x1B, 0xFEE0_0900 | 1 << bit)) }
        #expect(write(0x1B, 0xFED4_0900))
        #expect(apic.registerPage == 0xFED4_0000)
    }

    @Test func registersFaultOutsideTheMode() {
        #expect(apic.readModelSpecificRegister(0x802) == nil)
        #expect(!write(0x808, 0))
        #expect(!write(0x832, 0x10000))
    }

    @Test func identifierAndLogicalDestination() {
        enterAll()
        let last = bench.apics[2]
        #expect(last.readModelSpecificRegister(0x802) == 2)
        #expect(last.readModelSpecificRegister(0x80D) == 4)
        #expect(apic.registerPage == nil)
    }

    @Test(
        arguments: [0x800, 0x801, 0x809, 0x80B, 0x80C, 0x80E, 0x829, 0x82F, 0x831, 0x83A, 0x83D, 0x83F, 0x8FF]
            as [UInt32])
    func unreadable(index: UInt32) {
        enterAll()
        #expect(apic.readModelSpecificRegister(index) == nil)
    }

    @Test(
        arguments: [
            (0x802, 0), (0x803, 0), (0x80A, 0), (0x80D, 0), (0x80E, 0), (0x810, 0), (0x820, 0), (0x831, 0), (0x839, 0),
            (0x80B, 1), (0x828, 1), (0x808, 0x100), (0x80F, 1 << 16), (0x830, 1 << 20), (0x830, 1 << 13),
            (0x832, 1 << 20), (0x838, 1 << 32), (0x83E, 4), (0x83F, 0x100), (0x835, 1 << 17),
        ] as [(UInt32, UInt64)])
    func faultingWrites(index: UInt32, value: UInt64) {
        enterAll()
        #expect(!write(index, value))
    }

    @Test func commandIsOneWrite() {
        enterAll()
        #expect(write(0x830, 2 << 32 | 0x4055))
        #expect(bench.apics[2].acknowledgeInterrupt() == 0x55)
        #expect(apic.readModelSpecificRegister(0x830) == 2 << 32 | 0x4055)
        // Logical: cluster 0, processors 0 and 2.
        #expect(write(0x830, 0b101 << 32 | 0x4856))
        #expect(bench.cpus.map(\.interruptRequest) == [true, false, false])
        #expect(write(0x830, 0xFFFF_FFFF << 32 | 0x4077))
        #expect(bench.cpus.map(\.interruptRequest) == [true, true, true])
        // 0xFF is an identifier here, not everyone.
        #expect(apic.acknowledgeInterrupt() == 0x77)
        #expect(write(0x830, 0xFF << 32 | 0x4088))
        #expect(apic.acknowledgeInterrupt() == nil)
    }

    @Test func selfInterruptAndEnd() {
        enterAll()
        #expect(write(0x83F, 0x33))
        #expect(apic.acknowledgeInterrupt() == 0x33)
        #expect(apic.readModelSpecificRegister(0x811) == 1 << 19)
        #expect(write(0x80B, 0))
        #expect(apic.readModelSpecificRegister(0x811) == 0)
    }

    @Test func messagesReachThoseInExtendedMode() {
        enterAll()
        bench.controllers.bus.deliver(address: 0xFEE0_1000, data: 0x60)
        #expect(bench.apics[1].acknowledgeInterrupt() == 0x60)
        bench.controllers.bus.deliver(address: 0xFEEF_F000, data: 0x61)
        #expect(bench.cpus.map(\.interruptRequest) == [true, false, true])
    }

    @Test func timerThroughRegisters() {
        enterAll()
        #expect(write(0x83E, 0xB))
        #expect(write(0x832, 0x44))
        #expect(write(0x838, 50_000))
        #expect(apic.readModelSpecificRegister(0x839) == 50_000)
        bench.clock.advance(by: 50_000)
        #expect(apic.acknowledgeInterrupt() == 0x44)
    }

    @Test func disablingForgetsAndKeepsTheIdentifier() {
        enterAll()
        let last = bench.apics[2]
        _ = last.writeModelSpecificRegister(0x808, value: 0x30)
        #expect(last.writeModelSpecificRegister(0x1B, value: 0xFEE0_0000))
        #expect(last.writeModelSpecificRegister(0x1B, value: 0xFEE0_0800))
        #expect(last.read(0x20) == 2 << 24)
        #expect(last.read(0x80) == 0)
        #expect(last.read(0xF0) == 0xFF)
    }

    @Test func initKeepsTheMode() {
        enterAll()
        #expect(write(0x830, 1 << 32 | 0xC500))
        #expect(bench.cpus[1].initializations == 1)
        #expect(bench.apics[1].readModelSpecificRegister(0x802) == 1)
    }
}
