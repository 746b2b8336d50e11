// SPDX-License-Identifier: Apache-2.0

import Glibc
import GuestMemory
import Testing

@Suite struct GuestMemoryTests {
    func memory() throws -> GuestMemory {
        let memory = GuestMemory()
        try memory.addRegion(name: "low", start: 0, count: 0x2000)
        try memory.addRegion(name: "next", start: 0x2000, count: 0x1000)
        try memory.addRegion(name: "rom", start: 0xF000, count: 0x1000, isReadOnly: true)
        return memory
    }

    @Test func aFileBacksARegionFromItsOffset() throws {
        var template = Array("/tmp/roost-memory-XXXXXX".utf8CString)
        // Both calls use the terminated array, which lives as long as this function.
        let file = unsafe mkstemp(&template)
        unsafe unlink(&template)
        defer { close(file) }
        #expect(ftruncate(file, 0x4000) == 0)
        var backing = MemoryBacking()
        backing.descriptor = file
        backing.offset = 0x1000
        backing.isShared = true
        backing.preallocates = true
        backing.isLeftOutOfDumps = true
        backing.isMergeable = true
        let memory = GuestMemory()
        try memory.addRegion(name: "file", start: 0x8000, count: 0x2000, backing: backing)
        try memory.write([1, 2, 3], at: 0x9000)
        var bytes = [UInt8](repeating: 0, count: 3)
        // Three bytes into an array of three.
        let count = unsafe pread(file, &bytes, 3, 0x2000)
        #expect(count == 3 && bytes == [1, 2, 3])
    }

    @Test func whatCannotBeMappedIsAnError() {
        var backing = MemoryBacking()
        backing.descriptor = 9999
        let memory = GuestMemory()
        #expect(throws: (any Error).self) {
            try memory.addRegion(name: "file", start: 0, count: 0x1000, backing: backing)
        }
        #expect(memory.regions.isEmpty)
    }

    @Test func spansAdjacentRegions() throws {
        let memory = try memory()
        let bytes = (0..<100).map { UInt8($0) }
        try memory.write(bytes, at: 0x1FD0)
        #expect(try memory.read(at: 0x1FD0, count: 100) == bytes)
    }

    @Test(arguments: [(0x3000, 1), (0x2FFF, 2), (0xFFFF_FFFF_FFFF_FFFF as UInt64, 2), (0x5000, 8)])
    func refusesHoles(address: UInt64, count: Int) throws {
        let memory = try memory()
        #expect(throws: GuestMemoryError.self) { try memory.read(at: address, count: count) }
        #expect(throws: GuestMemoryError.self) { try memory.write([UInt8](repeating: 1, count: count), at: address) }
    }

    @Test func romTakesOnlyForcedWrites() throws {
        let memory = try memory()
        #expect(throws: GuestMemoryError.self) { try memory.write([1], at: 0xF000) }
        #expect(throws: GuestMemoryError.self) { try memory.store(UInt8(1), at: 0xF000) }
        try memory.write([0x5A], at: 0xF000, force: true)
        #expect(try memory.load(UInt8.self, at: 0xF000) == 0x5A)
    }

    @Test func integersAreLittleEndian() throws {
        let memory = try memory()
        try memory.store(0x0102_0304 as UInt32, at: 0x11)
        #expect(try memory.read(at: 0x11, count: 4) == [4, 3, 2, 1])
        #expect(try memory.load(UInt16.self, at: 0x12) == 0x0203)
    }

    @Test func movableRegionsKeepTheirContentAndYieldToOthers() throws {
        let memory = try memory()
        let screen = try memory.addMovableRegion(name: "vram", count: 0x2000)
        #expect(!memory.region(screen).isMapped)
        memory.moveRegion(screen, to: 0x8000)
        try memory.write([7, 8], at: 0x9FFE)
        memory.moveRegion(screen, to: 0x10_0000)
        #expect(memory.region(at: 0x8000) == nil)
        #expect(try memory.read(at: 0x10_1FFE, count: 2) == [7, 8])
        // ROM is there already: the region is nowhere.
        memory.moveRegion(screen, to: 0xE000)
        #expect(!memory.region(screen).isMapped && memory.region(at: 0xF000)?.name == "rom")
        #expect(memory.region(at: 0xE000) == nil)
    }
}
