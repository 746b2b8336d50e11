// SPDX-License-Identifier: Apache-2.0

import CPUInterface
import HostSystem
import InterruptControllers
import MachineModel
import Synchronization
import Testing

/// Processors on threads of their own, as the engine runs them: the locks' order must hold, and nothing may be lost.
@Suite struct ConcurrencyTests {
    private final class Counter: Sendable {
        let delivered = Atomic(0)
        let running = Atomic(0)
    }
    private struct Shared: @unchecked Sendable { let bench: Bench }

    private static let rounds = 4000

    /// What a vCPU thread does: sends IPIs, programs its timer, takes and ends interrupts.
    private static func runProcessor(_ apic: LocalAPIC, _ number: UInt64, _ counter: Counter) {
        for round in 0..<rounds {
            apic.write(0x310, (number + UInt64(round)) % 3 << 24)
            apic.write(0x300, 0x4000 | UInt64(0x40 + round % 64))
            if round % 16 == 0 { apic.write(0x380, UInt64(1000 + round)) }
            while let vector = apic.acknowledgeInterrupt() {
                if vector >= 0x30 { counter.delivered.add(1, ordering: .relaxed) }
                apic.endInterrupt()
            }
        }
        counter.running.subtract(1, ordering: .releasing)
    }

    @Test func processorsAndDevicesAtOnce() throws {
        let shared = Shared(bench: Bench(processors: 3))
        let counter = Counter()
        let bench = shared.bench
        bench.redirect(17, 0x70 | 1 << 15)
        for apic in bench.apics {
            apic.write(0x320, 0x35)
            apic.write(0x3E0, 0xB)
        }
        counter.running.store(3, ordering: .relaxed)
        var threads: [HostThread] = []
        for index in 0..<3 {
            threads.append(
                try HostThread(name: "vcpu") {
                    Self.runProcessor(shared.bench.apics[index], UInt64(index), counter)
                })
        }
        // The event loop: timers and device interrupts under the machine lock.
        let wire = bench.routing.interruptLine(gsi: 17)
        while counter.running.load(ordering: .acquiring) > 0 {
            bench.machineLock.withLock {
                bench.clock.advance(by: 500)
                wire.set(!wire.isAsserted)
            }
            bench.controllers.bus.deliver(address: 0xFEE0_1000, data: 0x90)
        }
        for thread in threads { thread.join() }
        bench.machineLock.withLock { wire.set(false) }
        // Whatever was pending at the end is still there to be taken, and then nothing is left.
        for apic in bench.apics {
            while let _ = apic.acknowledgeInterrupt() { apic.endInterrupt() }
            for offset in stride(from: UInt64(0), to: 0x80, by: 0x10) {
                #expect(apic.read(0x100 + offset) == 0)
                #expect(apic.read(0x200 + offset) == 0)
            }
        }
        #expect(bench.cpus.allSatisfy { !$0.interruptRequest })
        #expect(counter.delivered.load(ordering: .relaxed) > 100)
    }
}
