// SPDX-License-Identifier: Apache-2.0

import BlockLayer
import DiskControllers
import GuestMemory
import HostSystem
import MachineModel
import PCIBus
import Testing

@Suite struct BusMasterTests {
    @Test func readsIntoScatteredMemory() throws {
        let guest = try IDEFunction()
        try guest.table([(0x2000, 512), (0x5000, 0x8000_0000 | 1024)])
        guest.command(0xC8, sector: 7, count: 3)
        #expect(guest.ports.read(0xC002, size: 1) & 5 == 0)
        guest.ports.write(0xC000, size: 1, value: 9)
        #expect(guest.ports.read(0xC002, size: 1) & 7 == 4)
        #expect(guest.ports.read(0x1F7, size: 1) == 0x50)
        #expect(try guest.memory.load(UInt8.self, at: 0x21FF) == 7)
        #expect(try guest.memory.load(UInt8.self, at: 0x5000) == 8)
        #expect(try guest.memory.load(UInt8.self, at: 0x53FF) == 9)
        guest.ports.write(0xC002, size: 1, value: 4)
        #expect(guest.ports.read(0xC002, size: 1) & 7 == 0)
    }

    @Test func writesAndStopsAtAShortTable() throws {
        let guest = try IDEFunction()
        try guest.memory.write([UInt8](repeating: 0xEE, count: 1024), at: 0x3000)
        try guest.table([(0x3000, 0x8000_0000 | 1024)])
        guest.ports.write(0xC000, size: 1, value: 1)
        guest.command(0xCA, sector: 20, count: 4)
        #expect(guest.disk.content[20 * 512] == 0xEE && guest.disk.content[22 * 512] == 22)
        // The table was too short for four sectors: no interrupt comes.
        #expect(guest.ports.read(0xC002, size: 1) & 5 == 0)
    }

    @Test func rubbishInRegistersAndTablesDoesNoHarm() throws {
        let guest = try IDEFunction()
        var random = SystemRandomNumberGenerator()
        let ports: [UInt64] = Array(0x1F0...0x1F7) + Array(0xC000...0xC007) + [0x3F6, 0x170, 0x177, 0xC00A]
        let commands: [UInt64] = [0x20, 0x24, 0x25, 0x30, 0x35, 0xC4, 0xC6, 0xC8, 0xCA, 0xEC, 0xEF, 0x06, 0xE7, 0xA0]
        for _ in 0..<20_000 {
            let port = ports.randomElement(using: &random)!
            var value = UInt64.random(in: 0...UInt64(UInt32.max), using: &random)
            if port == 0x1F7, Bool.random(using: &random) { value = commands.randomElement(using: &random)! }
            let size = [1, 2, 4].randomElement(using: &random)!
            if Bool.random(using: &random) {
                guest.ports.write(port, size: size, value: value)
            } else {
                _ = guest.ports.read(port, size: size)
            }
            if Int.random(in: 0..<50, using: &random) == 0 {
                try guest.memory.store(value | value << 32, at: 0x1000)
            }
        }
        guest.function.reset()
        guest.function.writeConfig(offset: 0x20, size: 4, value: 0xC000)
        guest.function.writeConfig(offset: 4, size: 2, value: 5)
        guest.ports.write(0x3F6, size: 1, value: 0)
        guest.command(0xEC, sector: 0, count: 1)
        #expect(guest.ports.read(0x1F7, size: 1) == 0x58)
    }
}
