// SPDX-License-Identifier: Apache-2.0

import BlockLayer
import DiskControllers
import MachineModel
import Testing

@Suite struct IDETests {
    @Test func identifiesItselfAndShowsSignatures() throws {
        let guest = try Channel()
        guest.command(0xEC)
        #expect(guest.status == 0x58 && guest.interrupt.isAsserted)
        #expect(guest.read(7) == 0x58 && !guest.interrupt.isAsserted)
        let words = guest.readBlock(512)
        // The first letter of each pair is the high byte.
        #expect(String(decoding: words[54..<66], as: UTF8.self) == "EQUMH RADDSI")
        #expect(Int(words[120]) | Int(words[121]) << 8 == 256)
        #expect(guest.status == 0x50)
        // A disk's command makes the CD-ROM drive show what it is.
        guest.command(0xEC, drive: 1)
        #expect(guest.status & 1 == 1 && guest.read(4) == 0x14)
    }

    @Test(arguments: [0x20, 0xC4] as [UInt8]) func readsSectorsByProgrammedIO(code: UInt8) throws {
        let guest = try Channel()
        guest.command(code, sector: 5, count: 3)
        let block = code == 0xC4 ? 3 : 1
        for part in stride(from: 0, to: 3, by: block) {
            #expect(guest.interrupt.isAsserted && guest.read(7) == 0x58)
            let bytes = guest.readBlock(512 * block)
            #expect(bytes.first == UInt8(5 + part) && bytes.last == UInt8(5 + part + block - 1))
        }
        #expect(guest.status == 0x50)
    }

    @Test func writesSectorsAndReadsCylinders() throws {
        let guest = try Channel()
        guest.command(0x30, sector: 9, count: 2)
        #expect(guest.status == 0x58 && !guest.interrupt.isAsserted)
        for value: UInt8 in [0xA1, 0xA2] {
            guest.writeBlock([UInt8](repeating: value, count: 512))
            #expect(guest.interrupt.isAsserted)
            _ = guest.read(7)
        }
        #expect(guest.disk.content[9 * 512] == 0xA1 && guest.disk.content[10 * 512 + 511] == 0xA2)
        // Cylinder 0, head 1, sector 2 is the 64th sector after 63 of head 0.
        guest.out(6, 0xA1)
        for (register, value) in [(2, 1), (3, 2), (4, 0), (5, 0), (7, 0x20)] as [(UInt64, UInt64)] {
            guest.out(register, value)
        }
        #expect(guest.readBlock(512)[0] == 64)
    }

    @Test func refusesWhatIsNotThere() throws {
        let guest = try Channel()
        guest.command(0x20, sector: 255, count: 2)
        #expect(guest.status & 1 == 1 && guest.read(1) == 0x10)
        guest.command(0x99)
        #expect(guest.status & 1 == 1 && guest.read(1) == 0x04)
        guest.command(0x70)
        #expect(guest.status == 0x50)
    }

    @Test func resetGivesUpWhatIsUnderWay() throws {
        let guest = try Channel()
        guest.command(0x20, count: 4)
        guest.channel.controlBlock.write(offset: 0, size: 1, value: 4)
        #expect(guest.status == 0x90)
        guest.channel.controlBlock.write(offset: 0, size: 1, value: 0)
        #expect(guest.status == 0x50 && guest.read(2) == 1 && guest.read(3) == 1 && guest.read(4) == 0)
    }

    @Test func packetDriveReadsADisc() throws {
        let disc = MemoryNode((0..<40 * 2048).map { UInt8(truncatingIfNeeded: $0 / 2048) }, isReadOnly: true)
        let guest = try Channel(disc: disc)
        guest.packet([0x25])
        #expect(guest.read(7) == 0x58 && guest.read(2) == 2 && guest.read(4) == 8)
        #expect(guest.readBlock(8) == [0, 0, 0, 39, 0, 0, 8, 0])
        #expect(guest.interrupt.isAsserted && guest.read(7) == 0x50 && guest.read(2) == 3)
        // Twenty sectors are more than the drive takes from the disc at a time.
        guest.packet([0x28, 0, 0, 0, 0, 7, 0, 0, 20], limit: 0x1000)
        for part in 0..<10 {
            #expect(guest.read(7) == 0x58 && guest.read(5) == 0x10)
            let bytes = guest.readBlock(4096)
            #expect(bytes[0] == UInt8(7 + part * 2) && bytes[4095] == UInt8(8 + part * 2))
        }
        #expect(guest.read(7) == 0x50)
        guest.packet([0x28, 0, 0, 0, 0, 39, 0, 0, 2])
        #expect(guest.read(7) & 1 == 1 && guest.read(1) >> 4 == 5)
    }

    @Test func discsComeAndGo() throws {
        let guest = try Channel()
        let noMedium = [0x70, 0, 2, 0, 0, 0, 0, 10, 0, 0, 0, 0, 0x3A] as [UInt8]
        func sense() -> [UInt8] {
            guest.packet([3, 0, 0, 0, 18])
            return guest.readBlock(18)
        }
        guest.packet([0])
        #expect(guest.read(7) & 1 == 1)
        #expect(Array(sense().prefix(13)) == noMedium)
        guest.packet([0x1E, 0, 0, 0, 1])
        #expect(!guest.compactDisc.open(force: false) && guest.compactDisc.open(force: true))
        guest.compactDisc.change(to: MemoryNode([UInt8](repeating: 1, count: 4096)))
        guest.compactDisc.close()
        guest.packet([0])
        #expect(guest.read(1) >> 4 == 6 && sense()[12] == 0x28)
        guest.packet([0])
        #expect(guest.read(7) == 0x50)
    }
}
