// SPDX-License-Identifier: Apache-2.0

import ByteCoding
import FirmwareTables
import Testing

@Suite struct MultiprocessorTests {
    private static let address: UInt64 = 0xF_1230

    private func table(processors: Int = 2) -> [UInt8] {
        MultiprocessorTable(
            MachineDescription(
                board: .microvm, processors: (0..<processors).map(UInt32.init), lowMemoryEnd: 256 << 20,
                highMemoryEnd: 0)
        ).bytes(at: Self.address)
    }

    @Test func thePointerLeadsToTheTable() {
        let bytes = table()
        #expect(bytes.prefix(4) == Array("_MP_".utf8)[...] && bytes[8] == 1 && bytes[9] == 4)
        #expect(bytes.load(UInt32.self, at: 4) == UInt32(Self.address) + 16)
        #expect(bytes.prefix(16).reduce(0, &+) == 0)
        let body = bytes.dropFirst(16)
        #expect(body.prefix(4) == Array("PCMP".utf8)[...])
        #expect(bytes.load(UInt16.self, at: 20).map(Int.init) == body.count)
        #expect(body.reduce(0, &+) == 0)
    }

    @Test(arguments: [1, 2, 8]) func entriesAreCountedAndComplete(processors: Int) {
        let bytes = table(processors: processors)
        var place = 16 + 44
        var kinds: [UInt8: Int] = [:]
        while place < bytes.count {
            kinds[bytes[place], default: 0] += 1
            place += bytes[place] == 0 ? 20 : 8
        }
        #expect(place == bytes.count)
        #expect(kinds == [0: processors, 1: 1, 2: 1, 3: 15, 4: 2])
        #expect(bytes.load(UInt16.self, at: 16 + 34).map(Int.init) == kinds.values.reduce(0, +))
        // The first processor is the one that starts; the timer is on pin 2 of the I/O APIC.
        #expect(bytes[16 + 44 + 3] == 3)
        let timer = 16 + 44 + processors * 20 + 16
        #expect(bytes[timer] == 3 && bytes[timer + 5] == 0 && bytes[timer + 7] == 2)
    }
}
