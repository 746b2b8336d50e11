// SPDX-License-Identifier: Apache-2.0

import HostSystem
import MachineModel
import RandomKit
import Testing

/// Registers that say who they are and at which offset.
private final class Registers: RegisterWindow {
    let number: UInt64

    init(_ number: UInt64) { self.number = number }

    func read(offset: UInt64, size: Int) -> UInt64 { number << 32 | (offset & 0xffff_ffff) }
    func write(offset: UInt64, size: Int, value: UInt64) {}
}

/// Windows that lie over each other.
@Suite struct OverlapTests {
    private let space = AddressSpace(machineLock: Lock())

    @Test func theLastAddressesCanBeMapped() {
        let top = Registers(1)
        space.map(top, at: .max - 15, count: 16, name: "top")
        #expect(space.read(.max, size: 8) == 1 << 32 | 15)
        // One that lies over a part of it is found, also after the other has answered.
        let over = Registers(2)
        space.map(over, at: .max - 7, count: 4, name: "over", priority: 1)
        #expect(space.read(.max - 15, size: 8) == 1 << 32)
        #expect(space.read(.max - 7, size: 8) == 2 << 32)
        #expect(space.read(.max, size: 8) == 1 << 32 | 15)
    }

    @Test func amongEqualsTheOneMappedLastAnswers() {
        space.map(Registers(1), at: 10, count: 10, name: "first")
        let identifier = space.map(Registers(2), at: 0, count: 30, name: "second")
        #expect(space.read(15, size: 8) == 2 << 32 | 15)
        space.unmap(identifier)
        #expect(space.read(15, size: 8) == 1 << 32 | 5)
        space.map(Registers(3), at: 10, count: 1, name: "third")
        #expect(space.read(10, size: 8) == 3 << 32 && space.read(11, size: 8) == 1 << 32 | 1)
    }

    /// Windows that come and go, against a list that is gone through from the beginning.
    @Test func theWindowThatAnswersIsTheOneOfTheRule() {
        var random = SeededGenerator(seed: 1)
        var model: [(identifier: Int, base: UInt64, count: UInt64, priority: Int, number: UInt64)] = []
        for number in 1...600 as ClosedRange<UInt64> {
            if model.count > 6 || (Bool.random(using: &random) && !model.isEmpty) {
                let place = Int.random(in: 0..<model.count, using: &random)
                space.unmap(model.remove(at: place).identifier)
            } else {
                let base =
                    Bool.random(using: &random)
                    ? UInt64.random(in: 0..<64, using: &random) : .max - UInt64.random(in: 0..<64, using: &random)
                let room = base > 1 << 32 ? UInt64.max - base + 1 : 40
                let count = UInt64.random(in: 1...min(40, room), using: &random)
                let priority = Int.random(in: -1...1, using: &random)
                let identifier = space.map(
                    Registers(number), at: base, count: count, name: "w", priority: priority)
                model.append((identifier, base, count, priority, number))
            }
            #expect(space.mappings.map(\.base) == space.mappings.map(\.base).sorted())
            for _ in 0..<20 {
                let near = UInt64.random(in: 0..<100, using: &random)
                let address = Bool.random(using: &random) ? near : .max - near
                let expected = model.filter { address >= $0.base && address - $0.base < $0.count }
                    .max { ($0.priority, $0.identifier) < ($1.priority, $1.identifier) }
                let value = expected.map { $0.number << 32 | (address - $0.base) } ?? .max
                #expect(space.read(address, size: 8) == value)
            }
        }
    }
}
