// SPDX-License-Identifier: Apache-2.0

import HostSystem
import MachineModel
import RandomKit
import Testing

/// Remembers what it was asked and answers with a number of its own.
private final class Window: RegisterWindow {
    let answer: UInt64
    private(set) var reads: [UInt64] = []
    private(set) var writes: [UInt64: UInt64] = [:]

    init(_ answer: UInt64) { self.answer = answer }

    func read(offset: UInt64, size: Int) -> UInt64 {
        reads.append(offset)
        return answer
    }

    func write(offset: UInt64, size: Int, value: UInt64) { writes[offset] = value }
}

@Suite struct AddressSpaceTests {
    private let space = AddressSpace(machineLock: Lock())

    @Test func windowsSeeTheirOwnOffsets() {
        let low = Window(1), high = Window(2)
        space.map(low, at: 0x100, count: 0x10, name: "low")
        space.map(high, at: 0x200, count: 0x10, name: "high")
        #expect(space.read(0x104, size: 4) == 1)
        #expect(space.read(0x20f, size: 1) == 2)
        space.write(0x208, size: 2, value: 0x1_2345)
        #expect(low.reads == [4] && high.reads == [0xf])
        // Only the bytes of the access arrive.
        #expect(high.writes == [8: 0x2345])
    }

    @Test(arguments: [(1, UInt64(0xff)), (2, 0xffff), (4, 0xffff_ffff), (8, UInt64.max)])
    func nothingThereReadsAsOnes(_ size: Int, _ ones: UInt64) {
        space.map(Window(UInt64.max), at: 0x100, count: 0x10, name: "one")
        #expect(space.read(0xff, size: size) == ones)
        #expect(space.read(0x110, size: size) == ones)
        // A window's answer is cut to the access.
        #expect(space.read(0x100, size: size) == ones)
    }

    @Test func unassignedAccessesAreTold() {
        var told: [String] = []
        space.unassignedAccess = { told.append("\($0) \($1) \($2)") }
        _ = space.read(5, size: 2)
        space.write(6, size: 1, value: 0)
        #expect(told == ["5 2 false", "6 1 true"])
    }

    @Test func theHighestPriorityAnswersAndThenTheLatest() {
        let below = Window(1), above = Window(2), latest = Window(3)
        let top = space.map(above, at: 0x100, count: 0x20, name: "above", priority: 1)
        space.map(below, at: 0, count: 0x1000, name: "below")
        #expect(space.read(0x110, size: 1) == 2)
        #expect(space.read(0x120, size: 1) == 1)
        space.unmap(top)
        #expect(space.read(0x110, size: 1) == 1)
        space.map(latest, at: 0, count: 0x1000, name: "latest")
        #expect(space.read(0x110, size: 1) == 3)
    }

    @Test func theEndOfTheSpaceIsReachable() {
        let last = Window(9)
        space.map(last, at: UInt64.max - 0xf, count: 0x10, name: "last")
        #expect(space.read(UInt64.max, size: 1) == 9)
        #expect(space.read(0, size: 1) == 0xff)
    }

    /// Against a plain search through all windows, for random maps, removals and addresses.
    @Test func lookUpsAgreeWithAPlainSearch() {
        var random = SeededGenerator(seed: 11)
        var model: [(base: UInt64, count: UInt64, priority: Int, identifier: Int)] = []
        for _ in 0..<2000 {
            if model.count < 12 || Bool.random(using: &random) && model.count < 24 {
                let base = UInt64.random(in: 0..<256, using: &random)
                let count = UInt64.random(in: 1..<64, using: &random)
                let priority = Int.random(in: 0..<3, using: &random)
                let window = Window(0)
                let identifier = space.map(window, at: base, count: count, name: "w", priority: priority)
                model.append((base, count, priority, identifier))
            } else {
                let place = Int.random(in: 0..<model.count, using: &random)
                space.unmap(model.remove(at: place).identifier)
            }
            for _ in 0..<8 {
                let address = UInt64.random(in: 0..<330, using: &random)
                let holders = model.filter { address >= $0.base && address - $0.base < $0.count }
                let best = holders.map(\.priority).max()
                let found = space.mapping(at: address)
                #expect(found?.priority == best)
                #expect(found == nil || holders.contains { $0.identifier == found?.identifier })
            }
        }
    }
}

@Suite struct ManualClockTests {
    @Test func timersCallBackInTheirOrder() {
        let clock = ManualClock(epoch: 1_000)
        var called: [String] = []
        let late = clock.makeTimer { called.append("late \(clock.now)") }
        let early = clock.makeTimer { called.append("early \(clock.now)") }
        let never = clock.makeTimer { called.append("never") }
        late.arm(at: 50)
        early.arm(at: 20)
        never.arm(at: 40)
        never.cancel()
        clock.advance(by: 60)
        #expect(called == ["early 20", "late 50"])
        #expect(clock.now == 60 && clock.wallClock == 1_060)
        #expect(late.deadline == nil)
    }

    @Test func aTimerMayArmItselfAgain() {
        let clock = ManualClock()
        var ticks = 0
        var timer: (any MachineTimer)?
        timer = clock.makeTimer {
            ticks += 1
            timer?.arm(at: clock.now + 10)
        }
        timer?.arm(at: 10)
        clock.advance(by: 100)
        #expect(ticks == 10)
        timer?.cancel()
    }

    @Test func aPastDeadlineIsDueAtOnce() {
        let clock = ManualClock()
        clock.advance(by: 100)
        var called = false
        let timer = clock.makeTimer { called = true }
        timer.arm(at: 5)
        clock.advance(by: 0)
        #expect(called && clock.now == 100)
    }
}
