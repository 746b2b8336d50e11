// SPDX-License-Identifier: Apache-2.0

import CPUInterface
import Glibc
import GuestMemory
import Testing
import X86CPU

/// A guest that counts a timer's interrupts by the time-stamp counter, on a host that stands still for a while.
@Suite struct TimeTests {
    /// Timers that are owed so many interrupts, and give one whenever they are looked after and the last was taken.
    private final class OwingTimers {
        var owed = 0
        var looks = 0

        func look(_ machine: SystemMachine) {
            looks += 1
            guard owed > 0, machine.controller.vectors.isEmpty else { return }
            owed -= 1
            machine.controller.request([TimeTests.vector], of: machine.cpu)
        }
    }

    private static let vector: UInt8 = 0x30
    /// inc ebx; iretq
    private static let handler: [UInt8] = [0xFF, 0xC3, 0x48, 0xCF], handlerPlace: UInt64 = 0x5000
    private static let readTime: [UInt8] = [0x0F, 0x31]
    /// mov esi, ebx
    private static let keepCount: [UInt8] = [0x89, 0xDE]
    private static let ticksOfStandstill = SoftCPU.timestampFrequency / 50

    private func makeMachine(_ timers: OwingTimers) throws -> SystemMachine {
        let machine = try SystemMachine()
        try machine.memory.write(Self.handler, at: Self.handlerPlace)
        try machine.setGate(Int(Self.vector), to: Self.handlerPlace)
        machine.cpu.lookAfterTimers = { [unowned machine] _ in timers.look(machine) }
        return machine
    }

    /// Lets the host's time pass while the thread has no processor of the host.
    private func standStill(_ machine: SystemMachine) {
        let start = machine.cpu.timestamp
        while machine.cpu.timestamp &- start < Self.ticksOfStandstill { usleep(1000) }
    }

    /// A thread that runs all the time has taken its interrupts as they came.
    @Test func timeInWhichTheThreadRunsIsNoStandstill() throws {
        let timers = OwingTimers()
        let machine = try makeMachine(timers)
        // A host on which the thread runs whenever time passes.
        machine.cpu.busyNanoseconds = { [unowned cpu = machine.cpu] in
            UInt64(Double(cpu.timestamp) / Double(SoftCPU.timestampFrequency) * 1e9)
        }
        try machine.run(Self.readTime)
        standStill(machine)
        timers.owed = 5
        // sti; nop; rdtsc; mov esi, ebx
        try machine.run([0xFB, 0x90] + Self.readTime + Self.keepCount)
        #expect(machine.cpu.registers.general[6] < 5)
    }

    @Test func interruptsThatAStandstillHeldUpGoBeforeTheTime() throws {
        let timers = OwingTimers()
        let machine = try makeMachine(timers)
        try machine.run(Self.readTime)
        standStill(machine)
        timers.owed = 5
        // sti; nop; rdtsc; mov esi, ebx
        try machine.run([0xFB, 0x90] + Self.readTime + Self.keepCount)
        #expect(machine.cpu.registers.general[6] == 5)
        #expect(timers.owed == 0)
    }

    @Test func withoutAStandstillTimeIsReadAtOnce() throws {
        let timers = OwingTimers()
        let machine = try makeMachine(timers)
        try machine.run(Self.readTime + Self.readTime)
        timers.owed = 1000
        let looks = timers.looks
        // sti; nop; then reads without end of the loop: mov ecx, 50; rdtsc; loop
        try machine.run([0xFB, 0x90, 0xB9, 50, 0, 0, 0] + Self.readTime + [0xE2, 0xFC])
        #expect(timers.looks - looks < 50)
    }

    @Test func aGuestThatTakesNoInterruptsIsNotKeptWaiting() throws {
        let timers = OwingTimers()
        let machine = try makeMachine(timers)
        try machine.run(Self.readTime)
        standStill(machine)
        timers.owed = 5
        // cli; rdtsc; mov esi, ebx
        try machine.run([0xFA] + Self.readTime + Self.keepCount)
        #expect(machine.cpu.registers.general[6] == 0)
    }

    @Test func aStormOfInterruptsDoesNotHoldTheTimeBack() throws {
        let timers = OwingTimers()
        let machine = try makeMachine(timers)
        try machine.run(Self.readTime)
        standStill(machine)
        timers.owed = .max
        // With interrupts off in the end, since more of them wait than any guest would take.
        let exit = try machine.run([0xFB, 0x90] + Self.readTime + [0xFA] + Self.keepCount, limit: 1_000_000_000)
        #expect(exit == nil)
        #expect(machine.cpu.registers.general[6] > 0)
        #expect(machine.cpu.registers.rip == SystemMachine.code + 8)
    }

    @Test func theCounterNeverGoesBack() throws {
        let machine = try makeMachine(OwingTimers())
        // rdtsc; mov esi, eax; mov edi, edx; rdtsc; sub eax, esi; sbb edx, edi
        for _ in 0..<100 {
            try machine.run(
                Self.readTime + [0x89, 0xC6, 0x89, 0xD7] + Self.readTime + [0x29, 0xF0, 0x19, 0xFA])
            #expect(machine.cpu.registers.general[2] < 0x8000_0000)
        }
    }
}
