// SPDX-License-Identifier: Apache-2.0

import HostSystem
import Testing

@Suite struct MemoryMappingTests {
    private static let page = 4096

    @Test func discardedPagesReadAsZerosAndTheRestStays() throws {
        let mapping = try MemoryMapping.anonymous(count: 4 * Self.page)
        // All within the four pages.
        unsafe mapping.base.initializeMemory(as: UInt8.self, repeating: 0xAA, count: 4 * Self.page)
        mapping.discard(first: 2 * Self.page)
        let values = (0..<4).map { unsafe mapping.base.load(fromByteOffset: $0 * Self.page, as: UInt8.self) }
        #expect(values == [0, 0, 0xAA, 0xAA])
        mapping.discard(first: -1)
        mapping.discard(first: 1 << 40)
        let last = unsafe mapping.base.load(fromByteOffset: 3 * Self.page, as: UInt8.self)
        #expect(last == 0)
    }

    @Test func theProgramGoesOnWithoutItsPages() {
        let before = ["kept", "on", "the", "heap"].map { $0 + "!" }
        for _ in 0..<3 { ProgramPages.release() }
        #expect(before.joined() == "kept!on!the!heap!")
    }
}
