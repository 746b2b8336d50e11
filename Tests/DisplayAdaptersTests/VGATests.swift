// SPDX-License-Identifier: Apache-2.0

import DisplayAdapters
import DisplaySurfaces
import GuestMemory
import HostSystem
import MachineModel
import PCIBus
import Testing

/// A card on a bus, as firmware finds it.
private final class Card {
    let memory = GuestMemory()
    let ports: AddressSpace
    let space: AddressSpace
    let device: VGADevice
    /// Devices do not keep their bus.
    let bus: PCIBus
    static let frameBuffer: UInt64 = 0xE000_0000, registers: UInt64 = 0xF000_0000

    final class NoMessages: MessageInterruptSink {
        func deliver(address: UInt64, data: UInt32) {}
    }

    init() throws {
        let lock = Lock()
        try memory.addRegion(name: "ram", start: 0, count: 0x10_0000)
        let region = try memory.addMovableRegion(name: "vram", count: 1 << 20)
        ports = AddressSpace(machineLock: lock)
        space = AddressSpace(machineLock: lock)
        bus = PCIBus(name: "pci.0", ports: ports, memory: space, messages: NoMessages())
        device = VGADevice(memory: memory, region: region, rom: [0x55, 0xAA, 1] + [UInt8](repeating: 7, count: 3000))
        try bus.add(device)
        device.mapLegacy(ports: ports, memory: space)
        device.reset()
        device.writeConfig(offset: 0x10, size: 4, value: UInt32(Self.frameBuffer))
        device.writeConfig(offset: 0x18, size: 4, value: UInt32(Self.registers))
        device.writeConfig(offset: 4, size: 2, value: 3)
    }

    func indexed(_ port: UInt64, _ index: UInt64, _ value: UInt64) {
        ports.write(port, size: 1, value: index)
        ports.write(port + 1, size: 1, value: value)
    }

    func bochs(_ index: UInt64, _ value: UInt64) {
        ports.write(0x1CE, size: 2, value: index)
        ports.write(0x1CF, size: 2, value: value)
    }

    /// The palette's entry n is grey of n, and attribute n is entry n.
    func setColours() {
        ports.write(0x3C2, size: 1, value: 0x67)
        ports.write(0x3C8, size: 1, value: 0)
        for index in 0..<64 { for _ in 0..<3 { ports.write(0x3C9, size: 1, value: UInt64(index)) } }
        _ = ports.read(0x3DA, size: 1)
        for index in 0..<16 {
            ports.write(0x3C0, size: 1, value: UInt64(index))
            ports.write(0x3C0, size: 1, value: UInt64(index))
        }
        for (index, value) in [(0x10, 0), (0x12, 0xF)] as [(UInt64, UInt64)] {
            ports.write(0x3C0, size: 1, value: index)
            ports.write(0x3C0, size: 1, value: value)
        }
        ports.write(0x3C0, size: 1, value: 0x20)
    }

    var picture: DisplayImage {
        var image = DisplayImage(width: 1, height: 1)
        device.core.draw(into: &image)
        return image
    }
}

private func grey(_ index: UInt32) -> UInt32 { (index << 2 | index >> 4) * 0x1_0101 }

@Suite struct VGATests {
    @Test func linearModesShowTheFrameBuffer() throws {
        let card = try Card()
        #expect(card.ports.read(0x1CF, size: 2) == 0xB0C5)
        for (index, value) in [(1, 64), (2, 32), (3, 32), (4, 0x41)] as [(UInt64, UInt64)] { card.bochs(index, value) }
        try card.memory.store(UInt32(0xFF12_3456), at: Card.frameBuffer + UInt64((5 * 64 + 9) * 4))
        let image = card.picture
        #expect(image.width == 64 && image.height == 32 && image[9, 5] == 0x12_3456 && image[8, 5] == 0)
        card.bochs(3, 16)
        try card.memory.store(UInt16(0xF800), at: Card.frameBuffer)
        #expect(card.picture[0, 0] == 0xFF_0000)
        // The same registers through memory.
        #expect(card.space.read(Card.registers + 0x502, size: 2) == 64)
        card.space.write(Card.registers + 0x502, size: 2, value: 128)
        #expect(card.picture.width == 128)
        #expect(card.space.read(Card.registers, size: 8) == 0x00FF_FFFF_FFFF_FF00)
        #expect((0..<128).reduce(0) { $0 &+ card.space.read(Card.registers + $1, size: 1) } & 0xFF == 0)
    }

    @Test func textIsDrawnFromTheFontInPlaneTwo() throws {
        let card = try Card()
        card.setColours()
        for (index, value) in [(1, 79), (7, 0x1F), (9, 15), (0x12, 0x8F), (0x13, 40), (10, 0x20)]
            as [(UInt64, UInt64)]
        {
            card.indexed(0x3D4, index, value)
        }
        card.indexed(0x3C4, 1, 1)
        // The font is written through plane 2 alone.
        card.indexed(0x3C4, 2, 4)
        card.indexed(0x3C4, 4, 6)
        card.indexed(0x3CE, 5, 0)
        card.indexed(0x3CE, 6, 4)
        card.indexed(0x3CE, 8, 0xFF)
        for row in 0..<16 { card.space.write(0xA_0000 + 0x41 * 32 + UInt64(row), size: 1, value: 0x81) }
        card.indexed(0x3C4, 2, 3)
        card.indexed(0x3C4, 4, 2)
        card.indexed(0x3CE, 5, 0x10)
        card.indexed(0x3CE, 6, 0x0E)
        card.space.write(0xB_8000 + 82 * 2, size: 2, value: 0x1F41)
        let image = card.picture
        #expect(image.width == 640 && image.height == 400)
        #expect(image[16, 16] == grey(15) && image[17, 16] == grey(1) && image[23, 31] == grey(15))
        #expect(image[15, 16] == grey(0))
        #expect(card.space.read(0xB_8000 + 82 * 2, size: 2) == 0x1F41)
    }

    @Test func planarWritesGoThroughTheLatches() throws {
        let card = try Card()
        card.setColours()
        for (index, value) in [(1, 79), (7, 0x42), (0x12, 0xDF), (0x13, 40), (0x17, 0xE3), (0x18, 0xFF)]
            as [(UInt64, UInt64)]
        {
            card.indexed(0x3D4, index, value)
        }
        card.indexed(0x3C4, 1, 1)
        card.indexed(0x3C4, 2, 0xF)
        card.indexed(0x3C4, 4, 6)
        card.indexed(0x3CE, 6, 5)
        // Mode 2: the value is a colour, for the pixels of the bit mask.
        card.indexed(0x3CE, 5, 2)
        card.indexed(0x3CE, 8, 0x90)
        card.space.write(0xA_0000 + 80 * 3, size: 1, value: 0xA)
        let image = card.picture
        #expect(image[0, 3] == grey(10) && image[1, 3] == 0 && image[3, 3] == grey(10))
        // Read mode 1 finds the pixels of a colour.
        card.indexed(0x3CE, 5, 8)
        card.indexed(0x3CE, 2, 0xA)
        card.indexed(0x3CE, 7, 0xF)
        #expect(card.space.read(0xA_0000 + 80 * 3, size: 1) == 0x90)
        // Mode 1 copies all planes.
        card.indexed(0x3CE, 5, 1)
        _ = card.space.read(0xA_0000 + 80 * 3, size: 1)
        card.space.write(0xA_0000 + 80 * 4, size: 1, value: 0)
        #expect(card.picture[3, 4] == grey(10))
    }

    @Test func theROMIsThereWhenItIsEnabled() throws {
        let card = try Card()
        card.device.writeConfig(offset: 0x30, size: 4, value: .max)
        #expect(card.device.readConfig(offset: 0x30, size: 4) == 0xFFFF_F001)
        card.device.writeConfig(offset: 0x30, size: 4, value: 0xF100_0001)
        #expect(card.space.read(0xF100_0000, size: 4) == 0x0701_AA55)
        card.device.writeConfig(offset: 0x30, size: 4, value: 0xF100_0000)
        #expect(card.space.read(0xF100_0000, size: 4) == 0xFFFF_FFFF)
    }

    @Test func rubbishInRegistersDoesNoHarm() throws {
        let card = try Card()
        var random = SystemRandomNumberGenerator()
        for round in 0..<30_000 {
            let value = UInt64.random(in: 0...0xFFFF, using: &random)
            switch Int.random(in: 0..<4, using: &random) {
            case 0: card.ports.write(UInt64.random(in: 0x3B0..<0x3E0, using: &random), size: 1, value: value & 0xFF)
            case 1: card.bochs(UInt64.random(in: 0..<16, using: &random), value)
            case 2:
                let place = UInt64.random(in: 0xA_0000..<0xC_0000, using: &random)
                card.space.write(place, size: 4, value: value)
                _ = card.space.read(place, size: 8)
            default: card.space.write(Card.registers + value & 0xFFF, size: 2, value: value)
            }
            if round % 1000 == 0 { #expect(!card.picture.pixels.isEmpty) }
        }
    }
}
