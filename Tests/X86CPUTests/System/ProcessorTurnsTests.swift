// SPDX-License-Identifier: Apache-2.0

import GuestMemory
import Glibc
import HostSystem
import Testing
import X86CPU

/// Processors of which one runs at a time (`-accel tcg,thread=single`).
@Suite struct ProcessorTurnsTests {
    /// A processor that runs on a thread of its own until it is kicked.
    private final class Runner: @unchecked Sendable {
        let machine: FlatMachine
        // Joined before it is looked at again.
        private var thread = pthread_t()

        init(_ code: [UInt8], _ turns: ProcessorTurns) throws {
            machine = try FlatMachine(code)
            machine.cpu.turns = turns
        }

        func start() {
            let context = Unmanaged.passRetained(self).toOpaque()
            // The thread takes the reference that was made for it.
            let failure = unsafe pthread_create(
                &thread, nil,
                { context in
                    let runner = unsafe Unmanaged<Runner>.fromOpaque(context!).takeRetainedValue()
                    _ = runner.machine.cpu.run()
                    return nil
                }, context)
            precondition(failure == 0)
        }

        func join() { _ = pthread_join(thread, nil) }

        /// What the loop of the test's programs has counted so far, as memory shows it.
        func count() throws -> UInt64 { try machine.memory.load(UInt64.self, at: 0x4000) }
    }

    /// 1: add qword [0x4000], 1; jmp 1b
    private static let counting: [UInt8] = [0x48, 0x83, 0x04, 0x25, 0, 0x40, 0, 0, 1, 0xEB, 0xF5]

    /// Neither of two that never halt keeps the other from running.
    @Test func bothGoOn() throws {
        let turns = ProcessorTurns()
        let runners = [try Runner(Self.counting, turns), try Runner(Self.counting, turns)]
        for runner in runners { runner.start() }
        var rounds = 0
        while try runners.contains(where: { try $0.count() < 1000 }), rounds < 50_000_000 {
            sched_yield()
            rounds += 1
        }
        for runner in runners { runner.machine.cpu.kick() }
        for runner in runners { runner.join() }
        for runner in runners { #expect(try runner.count() >= 1000) }
    }

    /// One that halts gives its turn away, and takes it again when it is kicked.
    @Test func whoSleepsDoesNotHoldOthersUp() throws {
        let turns = ProcessorTurns()
        let sleeping = try Runner([], turns)
        let working = try Runner(Self.counting, turns)
        sleeping.start()
        working.start()
        var rounds = 0
        while try working.count() < 1000, rounds < 50_000_000 {
            sched_yield()
            rounds += 1
        }
        sleeping.machine.cpu.kick()
        sleeping.join()
        working.machine.cpu.kick()
        working.join()
        #expect(try working.count() >= 1000)
    }
}
