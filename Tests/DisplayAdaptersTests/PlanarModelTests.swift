// SPDX-License-Identifier: Apache-2.0

import DisplayAdapters
import GuestMemory
import HostSystem
import MachineModel
import PCIBus
import RandomKit
import Testing

/// The planar modes beside a plain model of the graphics controller: four planes, latches, and one bit at a time.
@Suite struct PlanarModelTests {
    /// IBM VGA technical reference, "Graphics Controller Registers".
    private struct Model {
        var planes = [[UInt8]](repeating: [UInt8](repeating: 0, count: 0x1_0000), count: 4)
        var latches: [UInt8] = [0, 0, 0, 0]
        var graphics = [UInt8](repeating: 0, count: 9)
        var mapMask: UInt8 = 0xF

        mutating func read(_ address: Int) -> UInt8 {
            for plane in 0..<4 { latches[plane] = planes[plane][address] }
            guard graphics[5] & 8 != 0 else { return latches[Int(graphics[4] & 3)] }
            var value: UInt8 = 0
            for bit in 0..<8 {
                let matches = (0..<4).allSatisfy { plane in
                    graphics[7] >> plane & 1 == 0 || latches[plane] >> bit & 1 == graphics[2] >> plane & 1
                }
                if matches { value |= 1 << bit }
            }
            return value
        }

        mutating func write(_ address: Int, _ value: UInt8) {
            let count = Int(graphics[3] & 7)
            let rotated = UInt8(truncatingIfNeeded: (UInt16(value) << 8 | UInt16(value)) >> UInt16(count))
            for plane in 0..<4 where mapMask >> plane & 1 != 0 {
                planes[plane][address] = self.value(plane, value, rotated)
            }
        }

        private func value(_ plane: Int, _ value: UInt8, _ rotated: UInt8) -> UInt8 {
            let mode = graphics[5] & 3, latch = latches[plane]
            if mode == 1 { return latch }
            var result: UInt8 = 0
            for bit in 0..<8 {
                let old = latch >> bit & 1
                let setReset = graphics[0] >> plane & 1
                var new: UInt8
                var isWritten = graphics[8] >> bit & 1 != 0
                switch mode {
                case 0: new = graphics[1] >> plane & 1 != 0 ? setReset : rotated >> bit & 1
                case 2: new = value >> plane & 1
                default:
                    new = setReset
                    isWritten = isWritten && rotated >> bit & 1 != 0
                }
                switch graphics[3] >> 3 & 3 {
                case 1: new &= old
                case 2: new |= old
                case 3: new ^= old
                default: break
                }
                result |= (isWritten ? new : old) << bit
            }
            return result
        }
    }

    private final class NoMessages: MessageInterruptSink {
        func deliver(address: UInt64, data: UInt32) {}
    }

    private let ports: AddressSpace, space: AddressSpace
    private let bus: PCIBus
    private let device: VGADevice

    init() throws {
        let lock = Lock(), memory = GuestMemory()
        try memory.addRegion(name: "ram", start: 0, count: 0x1_0000)
        let region = try memory.addMovableRegion(name: "vram", count: 1 << 20)
        ports = AddressSpace(machineLock: lock)
        space = AddressSpace(machineLock: lock)
        bus = PCIBus(name: "pci.0", ports: ports, memory: space, messages: NoMessages())
        device = VGADevice(memory: memory, region: region, rom: [])
        try bus.add(device)
        device.mapLegacy(ports: ports, memory: space)
        device.reset()
        device.writeConfig(offset: 4, size: 2, value: 3)
        indexed(0x3C4, 2, 0xF)
        // Neither chained nor odd and even; the window is 64 KiB from 0xA0000.
        indexed(0x3C4, 4, 6)
        indexed(0x3CE, 6, 5)
        indexed(0x3CE, 5, 0)
        for index: UInt64 in [0, 1, 2, 3, 4, 7, 8] { indexed(0x3CE, index, 0) }
    }

    private func indexed(_ port: UInt64, _ index: UInt64, _ value: UInt64) {
        ports.write(port, size: 1, value: index)
        ports.write(port + 1, size: 1, value: value)
    }

    @Test(arguments: 1...4) func anyRegistersWorkAsTheModel(seed: Int) {
        var random = SeededGenerator(seed: UInt64(seed))
        var model = Model()
        let limits: [UInt64: UInt64] = [0: 0xF, 1: 0xF, 2: 0xF, 3: 0x1F, 4: 3, 5: 0xB, 7: 0xF, 8: 0xFF]
        for round in 0..<30_000 {
            // Few addresses, so that they meet again.
            let address = random.next() % 24 * 2731 % 0x1_0000
            switch random.next() % 6 {
            case 0:
                let index = [0, 1, 2, 3, 4, 5, 7, 8][Int(random.next() % 8)] as UInt64
                let value = random.next() & (limits[index] ?? 0)
                indexed(0x3CE, index, value)
                model.graphics[Int(index)] = UInt8(value)
            case 1:
                let mask = random.next() & 0xF
                indexed(0x3C4, 2, mask)
                model.mapMask = UInt8(mask)
            case 2, 3:
                let value = UInt8(truncatingIfNeeded: random.next())
                space.write(0xA_0000 + address, size: 1, value: UInt64(value))
                model.write(Int(address), value)
            default:
                let got = space.read(0xA_0000 + address, size: 1)
                #expect(got == UInt64(model.read(Int(address))), "round \(round)")
            }
        }
        // In the end every plane is what it should be.
        indexed(0x3CE, 5, 0)
        for plane in 0..<4 {
            indexed(0x3CE, 4, UInt64(plane))
            for step in 0..<24 {
                let address = UInt64(step) * 2731 % 0x1_0000
                #expect(space.read(0xA_0000 + address, size: 1) == UInt64(model.planes[plane][Int(address)]))
            }
        }
    }
}
