// SPDX-License-Identifier: Apache-2.0

import HostSystem
import MachineModel
import PCChipset
import RandomKit

/// Records what devices ask of the machine.
final class RecordingMachine: MachineRequests {
    var resets = 0
    var powerOffs = 0
    var exits: [Int32] = []
    var panics: [Bool] = []
    func requestReset() { resets += 1 }
    func requestPowerOff() { powerOffs += 1 }
    func requestExit(status: Int32) { exits.append(status) }
    func guestPanicked(isCrashLoaded: Bool) { panics.append(isCrashLoaded) }
}

/// Counts the rising edges of a wire.
final class RecordingLine {
    private(set) var edges = 0
    private(set) var level = false
    private(set) lazy var line = InterruptLine { [unowned self] level in
        self.level = level
        if level { edges += 1 }
    }
}

/// Port and memory space with a clock that tests move.
final class Bench {
    let clock: ManualClock
    let ports: AddressSpace
    let memory: AddressSpace
    let machine = RecordingMachine()
    let wire = RecordingLine()
    let second = RecordingLine()

    init(epoch: Int64 = 0) {
        clock = ManualClock(epoch: epoch)
        let lock = Lock()
        ports = AddressSpace(machineLock: lock)
        memory = AddressSpace(machineLock: lock)
    }

    func out(_ port: UInt64, _ value: UInt64, size: Int = 1) { ports.write(port, size: size, value: value) }
    func `in`(_ port: UInt64, size: Int = 1) -> UInt64 { ports.read(port, size: size) }

    /// Random accesses of every size at ports around `places`, while time goes on in random steps.
    func abuse(_ places: [UInt64], in space: AddressSpace? = nil, spread: UInt64 = 16, rounds: Int = 20_000) {
        let space = space ?? ports
        var random = SeededGenerator(seed: 1)
        for _ in 0..<rounds {
            let place = places[Int(random.next() % UInt64(places.count))] &+ random.next() % spread
            let size = 1 << Int(random.next() % 4)
            if random.next() & 3 == 0 {
                _ = space.read(place, size: size)
            } else {
                // Small values, single bits and full words all occur.
                let value = random.next() >> (random.next() & 63)
                space.write(place, size: size, value: value)
            }
            if random.next() & 15 == 0 { clock.advance(by: random.next() >> (random.next() % 24 + 34)) }
        }
    }
}
