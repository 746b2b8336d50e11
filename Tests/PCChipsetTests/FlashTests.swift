// SPDX-License-Identifier: Apache-2.0

import GuestMemory
import HostSystem
import MachineModel
import PCChipset
import Testing

/// A chip of 64 KiB, and an image that it is stored in.
private final class Chip {
    let memory = GuestMemory()
    let space = AddressSpace(machineLock: Lock())
    var image: [UInt8]
    private(set) var flash: ParallelFlash!
    static let base: UInt64 = 0xFFFF_0000

    init(isReadOnly: Bool = false) throws {
        image = (0..<65536).map { UInt8(truncatingIfNeeded: $0 >> 8) }
        let region = try memory.addMovableRegion(name: "flash", count: 65536, isReadOnly: true)
        memory.moveRegion(region, to: Self.base)
        try memory.write(image, at: Self.base, force: true)
        flash = ParallelFlash(memory: memory, region: region, base: Self.base, isReadOnly: isReadOnly) {
            [unowned self] offset, bytes in
            image.replaceSubrange(offset..<offset + bytes.count, with: bytes)
            return true
        }
        flash.map(in: space)
    }

    func write(_ offset: UInt64, _ value: UInt64) { space.write(Self.base + offset, size: 1, value: value) }

    /// What a guest reads: ROM where it is mapped, else the chip.
    func read(_ offset: UInt64) -> UInt8 {
        (try? memory.load(UInt8.self, at: Self.base + offset)) ?? UInt8(space.read(Self.base + offset, size: 1))
    }
}

@Suite struct FlashTests {
    @Test func firmwareFindsAFlashAndNotRAMOrROM() throws {
        let chip = try Chip()
        chip.write(0x1200, 0x50)
        #expect(chip.read(0x1200) == 0x12)
        chip.write(0x1200, 0x70)
        #expect(chip.read(0x1200) == 0)
        chip.write(0x1200, 0xFF)
        #expect(chip.read(0x1200) == 0x12)
        chip.write(0, 0x98)
        #expect([chip.read(0x10), chip.read(0x11), chip.read(0x12)] == Array("QRY".utf8))
    }

    @Test func programsAndErases() throws {
        let chip = try Chip()
        chip.write(0x3001, 0x10)
        chip.write(0x3001, 0xAB)
        #expect(chip.read(0x3001) == 0x80)
        chip.write(0, 0xFF)
        #expect(chip.read(0x3001) == 0xAB && chip.image[0x3001] == 0xAB)
        chip.write(0x3800, 0x20)
        chip.write(0x3800, 0xD0)
        chip.write(0, 0xFF)
        #expect(chip.read(0x3000) == 0xFF && chip.read(0x3FFF) == 0xFF && chip.read(0x2FFF) == 0x2F)
        #expect(chip.image[0x3FFF] == 0xFF && chip.image[0x4000] == 0x40)
        chip.write(0x5000, 0xE8)
        chip.write(0x5000, 1)
        chip.write(0x5000, 0x11)
        chip.write(0x5001, 0x22)
        chip.write(0x5000, 0xD0)
        chip.write(0, 0xFF)
        #expect(chip.read(0x5000) == 0x11 && chip.image[0x5001] == 0x22)
    }

    @Test func readOnlyChipsSaySo() throws {
        let chip = try Chip(isReadOnly: true)
        chip.write(0x100, 0x40)
        chip.write(0x100, 0)
        #expect(chip.read(0x100) == 0x90)
        chip.flash.reset()
        #expect(chip.read(0x100) == 1 && chip.flash.tail(16) == [UInt8](repeating: 0xFF, count: 16))
    }

    @Test func rubbishDoesNoHarm() throws {
        let chip = try Chip()
        var random = SystemRandomNumberGenerator()
        for _ in 0..<20_000 {
            let offset = UInt64.random(in: 0..<65536, using: &random)
            chip.space.write(
                Chip.base + offset, size: [1, 2, 4, 8].randomElement(using: &random)!,
                value: UInt64.random(in: 0...UInt64.max, using: &random))
            _ = chip.read(offset)
        }
        chip.flash.reset()
        #expect(chip.flash.state.mode == .array)
    }
}
