// SPDX-License-Identifier: Apache-2.0

import MachineModel
import PCChipset
import Testing

@Suite struct CalendarTimeTests {
    @Test(
        arguments: [
            (0, 1970, 1, 1, 5), (951_782_400, 2000, 2, 29, 3), (1_709_164_800, 2024, 2, 29, 5),
            (4_102_444_799, 2099, 12, 31, 5), (-86_400, 1969, 12, 31, 4),
        ] as [(Int64, Int, Int, Int, Int)])
    func knownDays(seconds: Int64, year: Int, month: Int, day: Int, weekday: Int) {
        let time = CalendarTime(secondsSinceEpoch: seconds)
        #expect((time.year, time.month, time.day) == (year, month, day))
        #expect(time.weekday == weekday)
        #expect(time.secondsSinceEpoch == seconds)
    }

    @Test func roundTripOverCenturies() {
        for seconds in stride(from: Int64(-4_000_000_000), to: 9_000_000_000, by: 7_654_321) {
            #expect(CalendarTime(secondsSinceEpoch: seconds).secondsSinceEpoch == seconds)
        }
    }
}

@Suite struct RealTimeClockTests {
    /// 2024-02-28 23:59:50 UTC.
    let bench = Bench(epoch: 1_709_164_790_000_000_000)
    let rtc: RealTimeClock
    private let second: UInt64 = 1_000_000_000

    init() {
        rtc = RealTimeClock(
            clock: bench.clock, interrupt: bench.wire.line,
            configuration: CMOSConfiguration(
                lowMemory: 2 << 30, highMemory: 1 << 30, processorCount: 4, bootOrder: [.cdrom, .disk]))
        rtc.map(in: bench.ports)
    }

    private func read(_ register: UInt64) -> UInt64 {
        bench.out(0x70, register)
        return bench.in(0x71)
    }
    private func write(_ register: UInt64, _ value: UInt64) {
        bench.out(0x70, register)
        bench.out(0x71, value)
    }

    @Test func showsTimeInBCDAcrossALeapDay() {
        #expect([9, 8, 7, 4, 2, 0].map(read) == [0x24, 0x02, 0x28, 0x23, 0x59, 0x50])
        #expect(read(0x32) == 0x20)
        bench.clock.advance(by: 10 * second)
        #expect([9, 8, 7, 6, 4, 2, 0].map(read) == [0x24, 0x02, 0x29, 5, 0, 0, 0])
    }

    @Test func binaryAndTwelveHours() {
        write(0x0B, 0x04)
        #expect(read(4) == 0x80 | 11)
        #expect(read(0) == 50)
        write(0x0B, 0x06)
        #expect(read(4) == 23)
        bench.clock.advance(by: 10 * second)
        write(0x0B, 0x00)
        #expect(read(4) == 0x12)
    }

    @Test func settingTheTime() {
        write(0x0B, 0x82)
        for (register, value) in [(0x32, 0x19), (9, 0x99), (8, 0x12), (7, 0x31), (4, 0x23), (2, 0x59), (0, 0x58)] {
            write(UInt64(register), UInt64(value))
        }
        bench.clock.advance(by: 5 * second)
        #expect(read(0) == 0x58)
        write(0x0B, 0x02)
        bench.clock.advance(by: 3 * second)
        #expect([0x32, 9, 8, 7, 4, 2, 0].map(read) == [0x20, 0, 1, 1, 0, 0, 1])
    }

    @Test func updateInProgressBeforeTheSecond() {
        bench.clock.advance(by: 100_000_000)
        #expect(read(0x0A) == 0x26)
        bench.clock.advance(by: 899_800_000)
        #expect(read(0x0A) == 0xA6)
        bench.clock.advance(by: 300_000)
        #expect(read(0x0A) == 0x26)
    }

    @Test func updateInterruptEachSecond() {
        write(0x0B, 0x12)
        _ = read(0x0C)
        bench.clock.advance(by: second)
        #expect(bench.wire.level)
        #expect(read(0x0C) & 0x90 == 0x90)
        #expect(!bench.wire.level)
        bench.clock.advance(by: 3 * second)
        #expect(bench.wire.edges == 2)
        #expect(read(0x0C) & 0x90 == 0x90)
        bench.clock.advance(by: second)
        #expect(bench.wire.edges == 3)
    }

    @Test func periodicInterruptAt1024Hertz() {
        write(0x0B, 0x42)
        var count = 0
        for _ in 0..<1000 {
            bench.clock.advance(by: 1_000_000)
            if bench.wire.level {
                count += 1
                #expect(read(0x0C) & 0xC0 == 0xC0)
            }
        }
        #expect((995...1000).contains(count))
    }

    @Test func alarmAtAnExactTime() {
        for (register, value) in [(1, 0x05), (3, 0x00), (5, 0x00)] { write(UInt64(register), UInt64(value)) }
        write(0x0B, 0x22)
        _ = read(0x0C)
        bench.clock.advance(by: 14 * second)
        #expect(!bench.wire.level)
        bench.clock.advance(by: second)
        #expect(bench.wire.level)
        #expect(read(0x0C) & 0xA0 == 0xA0)
        bench.clock.advance(by: 3600 * second)
        #expect(!bench.wire.level)
    }

    @Test func alarmWithWildcards() {
        for register in [1, 3, 5] as [UInt64] { write(register, 0xFF) }
        write(0x0B, 0x22)
        _ = read(0x0C)
        bench.clock.advance(by: second)
        #expect(read(0x0C) & 0x20 != 0)
        write(1, 0x30)
        _ = read(0x0C)
        bench.clock.advance(by: 38 * second)
        #expect(read(0x0C) & 0x20 == 0)
        bench.clock.advance(by: second)
        #expect(read(0x0C) & 0x20 != 0)
    }

    @Test func flagsAppearWithoutInterrupts() {
        _ = read(0x0C)
        bench.clock.advance(by: 2 * second)
        #expect(read(0x0C) == 0x50)
        #expect(read(0x0C) == 0)
        #expect(bench.wire.edges == 0)
    }

    @Test func firmwareBytes() {
        #expect(read(0x15) | read(0x16) << 8 == 640)
        #expect(read(0x17) | read(0x18) << 8 == 0xFFFF)
        #expect(read(0x34) | read(0x35) << 8 == ((2 << 30) - (16 << 20)) >> 16)
        #expect(read(0x5B) | read(0x5C) << 8 | read(0x5D) << 16 == 1 << 14)
        #expect(read(0x5F) == 3)
        #expect(read(0x3D) == 0x23)
        #expect(read(0x38) == 0)
        #expect(read(0x0D) == 0x80)
    }

    @Test func memoryKeepsAndResetKeepsIt() {
        write(0x40, 0xA5)
        write(0x0B, 0x72)
        rtc.reset()
        #expect(read(0x40) == 0xA5)
        #expect(read(0x0B) == 0x02)
        #expect(read(0x80 | 0x40) == 0xA5)
    }

    @Test func stateRoundTrips() {
        write(0x0B, 0x12)
        let other = Bench(epoch: 1_709_164_790_000_000_000)
        let copy = RealTimeClock(
            clock: other.clock, interrupt: other.wire.line,
            configuration: CMOSConfiguration(lowMemory: 0, highMemory: 0, processorCount: 1))
        copy.state = rtc.state
        other.clock.advance(by: second)
        #expect(other.wire.edges == 1)
        #expect(copy.state.memory[0x5F] == 3)
    }

    @Test func randomAccessesNeverTrap() { bench.abuse([0x70], spread: 2, rounds: 60_000) }
}
