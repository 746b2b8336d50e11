// SPDX-License-Identifier: Apache-2.0

import MachineModel
import PCChipset
import StateCoding
import Testing

@Suite struct ProcessorHotPlugTests {
    private static let base = ProcessorHotPlug.q35Ports
    private let bench = Bench()
    private let device: ProcessorHotPlug
    private final class Counts {
        var events = 0
        var ejected: [Int] = []
        var reports: [ProcessorHotPlug.Report] = []
    }
    private let counts = Counts()

    init() {
        device = ProcessorHotPlug(present: [true, true, false, false]) { [counts] in counts.events += 1 }
        device.ejected = { [counts] in counts.ejected.append($0) }
        device.reported = { [counts] in counts.reports.append($0) }
        device.map(in: bench.ports, at: Self.base)
    }

    /// What the tables' _INI does.
    private func useRegisters() { bench.out(Self.base, 0, size: 4) }
    private func select(_ index: UInt64) { bench.out(Self.base, index, size: 4) }
    private var flags: UInt64 { bench.in(Self.base + 4) }
    private var data: UInt64 { bench.in(Self.base + 8, size: 4) }

    @Test func theOldMapShowsWhoIsThere() {
        #expect(bench.in(Self.base) == 0b11 && bench.in(Self.base + 1) == 0)
        bench.out(Self.base, 0xFF)
        #expect(bench.in(Self.base) == 0b11)
        device.plug(3)
        #expect(bench.in(Self.base) == 0b1011)
        useRegisters()
        #expect(bench.in(Self.base, size: 4) == 0)
    }

    @Test func aProcessorThatCameIsToldOfOnce() {
        useRegisters()
        device.plug(2)
        #expect(counts.events == 1)
        select(0)
        bench.out(Self.base + 5, 0)
        #expect(data == 2 && flags == 0b11)
        bench.out(Self.base + 4, 2)
        #expect(flags == 1)
        // Nobody else has something to tell: the selector stays.
        bench.out(Self.base + 5, 0)
        #expect(data == 2 && flags & 0b110 == 0)
    }

    @Test func aProcessorGoesWhenTheGuestEjectsIt() {
        useRegisters()
        device.requestUnplug(1)
        select(0)
        bench.out(Self.base + 5, 0)
        #expect(data == 1 && flags == 0b101)
        bench.out(Self.base + 4, 4)
        #expect(flags == 1 && counts.ejected.isEmpty)
        bench.out(Self.base + 4, 8)
        #expect(counts.ejected == [1] && flags == 0 && !device.present[1])
        bench.out(Self.base + 4, 8)
        #expect(counts.ejected == [1])
    }

    @Test func theFirstProcessorStays() {
        useRegisters()
        select(0)
        bench.out(Self.base + 4, 8)
        #expect(counts.ejected.isEmpty && device.present[0])
    }

    @Test func theGuestReportsWhatBecameOfAnEvent() throws {
        useRegisters()
        select(1)
        bench.out(Self.base + 5, 1)
        bench.out(Self.base + 8, 3, size: 4)
        bench.out(Self.base + 5, 2)
        bench.out(Self.base + 8, 0x80, size: 4)
        let report = try #require(counts.reports.first)
        #expect(counts.reports.count == 1 && report.processor == 1 && report.event == 3 && report.status == 0x80)
        bench.out(Self.base + 5, 3)
        #expect(data == 1)
    }

    @Test func noRegisterAnswersForAProcessorThatIsImpossible() {
        useRegisters()
        select(4)
        #expect(flags == 0 && data == 0)
        bench.out(Self.base + 4, 8)
        bench.out(Self.base + 5, 2)
        bench.out(Self.base + 8, 1, size: 4)
        #expect(counts.ejected.isEmpty && counts.reports.isEmpty)
        select(3)
        #expect(flags == 0)
    }

    @Test func stateIsKept() throws {
        useRegisters()
        device.plug(3)
        device.requestUnplug(1)
        select(3)
        bench.out(Self.base + 5, 3)
        let record = try device.saveState(as: "x")
        let other = ProcessorHotPlug(present: [true, true, false, true]) {}
        try other.checkState(record)()
        #expect(other.state == device.state)
        #expect(other.read(offset: 8, size: 4) == 3 && other.read(offset: 4, size: 1) == 0b11)
    }

    /// Indices from a saved state that are none of this machine's do no harm.
    @Test func aForeignStateIsHarmless() {
        var state = ProcessorHotPlug.State()
        state.usesRegisters = true
        state.selector = .max
        state.removing = [77, -1]
        device.state = state
        #expect(flags == 0)
        bench.out(Self.base + 5, 0)
        #expect(data == 0)
    }

    @Test func survivesAbuse() {
        bench.abuse([Self.base], spread: 40)
        #expect(device.present[0])
    }
}
