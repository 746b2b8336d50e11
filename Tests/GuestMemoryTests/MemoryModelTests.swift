// SPDX-License-Identifier: Apache-2.0

import GuestMemory
import RandomKit
import Testing

/// Guest memory beside plain arrays: regions that touch, holes, ROM and one that moves.
@Suite struct MemoryModelTests {
    private static let page: UInt64 = 0x1000

    /// What memory should be.
    private struct Model {
        struct Region {
            var start: UInt64?
            var bytes: [UInt8]
            var isReadOnly = false
        }
        var regions: [Region] = []

        /// The region of an address and the place in it.
        func place(_ address: UInt64) -> (region: Int, offset: Int)? {
            for (index, region) in regions.enumerated() {
                guard let start = region.start, address >= start, address - start < UInt64(region.bytes.count) else {
                    continue
                }
                return (index, Int(address - start))
            }
            return nil
        }

        func read(_ address: UInt64, _ count: Int) -> [UInt8]? {
            var bytes: [UInt8] = []
            for offset in 0..<UInt64(count) {
                guard let found = place(address &+ offset) else { return nil }
                bytes.append(regions[found.region].bytes[found.offset])
            }
            return bytes
        }

        /// As far as memory can be written: what lies before a hole is.
        mutating func write(_ bytes: [UInt8], _ address: UInt64) -> Bool {
            for (offset, byte) in bytes.enumerated() {
                guard let found = place(address &+ UInt64(offset)), !regions[found.region].isReadOnly else {
                    return false
                }
                regions[found.region].bytes[found.offset] = byte
            }
            return true
        }
    }

    private let memory = GuestMemory()
    private var model = Model()
    private var random: SeededGenerator

    private static let parts: [(start: UInt64, pages: Int, isReadOnly: Bool)] = [
        (0, 3, false), (0x3000, 1, false), (0x6000, 2, false), (0x8000, 1, true), (0xF_F000, 1, false),
    ]

    init() throws {
        random = SeededGenerator(seed: 4)
        for (index, part) in Self.parts.enumerated() {
            let count = Int(Self.page) * part.pages
            try memory.addRegion(
                name: "part\(index)", start: part.start, count: UInt64(count), isReadOnly: part.isReadOnly)
            model.regions.append(
                .init(start: part.start, bytes: [UInt8](repeating: 0, count: count), isReadOnly: part.isReadOnly))
        }
    }

    private mutating func address() -> UInt64 {
        // Around the borders, where it matters.
        let border: UInt64 = [0, 0x3000, 0x4000, 0x6000, 0x8000, 0x9000, 0xF_F000, 0x10_0000, 0x20_0000, 0x20_2000]
            .randomElement(using: &random)!
        return border &+ random.next() % 64 &- 32
    }

    @Test func readsAndWritesAgreeWithArrays() throws {
        var life = self
        let screen = try memory.addMovableRegion(name: "screen", count: 0x2000)
        life.model.regions.append(.init(start: nil, bytes: [UInt8](repeating: 0, count: 0x2000)))
        for round in 0..<20_000 {
            let address = life.address(), count = 1 + Int(life.random.next() % 80)
            switch life.random.next() % 8 {
            case 0...3:
                let bytes = (0..<count).map { _ in UInt8(truncatingIfNeeded: life.random.next()) }
                let isWritten = (try? memory.write(bytes, at: address)) != nil
                #expect(isWritten == life.model.write(bytes, address), "\(round): \(address) \(count)")
            case 4:
                // Aligned and not, inside one region or over a border.
                #expect((try? memory.load(UInt64.self, at: address)) == life.integer(address), "\(round): \(address)")
            case 5 where round % 16 == 0:
                let place: UInt64 = [0x20_0000, 0x30_0000, 0x1F_F000][Int(life.random.next() % 3)]
                memory.moveRegion(screen, to: place)
                life.model.regions[Self.parts.count].start = place
            default:
                #expect((try? memory.read(at: address, count: count)) == life.model.read(address, count), "\(round)")
            }
        }
    }

    /// One access stays in one region.
    private func integer(_ address: UInt64) -> UInt64? {
        guard model.place(address)?.region == model.place(address &+ 7)?.region else { return nil }
        return model.read(address, 8).map { $0.reversed().reduce(0) { $0 << 8 | UInt64($1) } }
    }

    @Test func nothingLiesAcrossTheEndOfTheAddressSpace() throws {
        for address: UInt64 in [.max, .max - 1, .max - 7, 1 << 63, 1 << 52] {
            for count in [1, 2, 8, 4096] {
                #expect(throws: GuestMemoryError.self) { try memory.read(at: address, count: count) }
                #expect(throws: GuestMemoryError.self) {
                    try memory.write([UInt8](repeating: 1, count: count), at: address)
                }
            }
            #expect(memory.region(at: address) == nil)
        }
    }

    @Test func aRegionThatIsNowhereIsAtNoAddress() throws {
        let screen = try memory.addMovableRegion(name: "screen", count: 0x2000)
        for address: UInt64 in [0 &- 0x2000, 0 &- 0x1000, .max - 7, .max] {
            #expect(memory.region(at: address) == nil)
            #expect(throws: GuestMemoryError.self) { try memory.read(at: address, count: 1) }
            #expect(throws: GuestMemoryError.self) { try memory.read(at: address, count: 0x3000) }
            #expect(throws: GuestMemoryError.self) { try memory.write([1], at: address) }
            #expect(throws: GuestMemoryError.self) { try memory.load(UInt8.self, at: address) }
        }
        memory.moveRegion(screen, to: 0x20_0000)
        #expect(memory.region(at: 0x20_1FFF) != nil)
    }
}
