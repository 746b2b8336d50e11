// SPDX-License-Identifier: Apache-2.0

import BootLoading
import Testing

@Suite struct MemoryMapTests {
    @Test func isAscendingWithoutOverlaps() {
        let map = MemoryMapEntry.standardPC(
            lowMemoryEnd: 0x8000_0000, highMemoryCount: 1 << 30,
            reserved: [0xFED1_C000..<0xFED2_0000, 0xB000_0000..<0xC000_0000])
        for (entry, next) in zip(map, map.dropFirst()) { #expect(entry.end <= next.start) }
        #expect(map.filter { $0.kind == .usable }.map(\.start) == [0, 0x10_0000, 1 << 32])
        #expect(map.filter { $0.kind == .usable }.map(\.end) == [0x9FC00, 0x8000_0000, 5 << 30])
        #expect(map.contains(MemoryMapEntry(start: 0xB000_0000, count: 0x1000_0000, kind: .reserved)))
    }

    @Test func leavesOutWhatIsEmpty() {
        let map = MemoryMapEntry.standardPC(lowMemoryEnd: 0x10_0000, highMemoryCount: 0)
        #expect(!map.contains { $0.count == 0 || $0.start == 0x10_0000 || $0.start == 1 << 32 })
    }
}
