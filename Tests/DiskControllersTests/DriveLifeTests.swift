// SPDX-License-Identifier: Apache-2.0

import BlockLayer
import DiskControllers
import MachineModel
import RandomKit
import Testing

/// Drives beside a plain array: whatever commands come, the disk holds what was written and gives it back.
@Suite struct DriveLifeTests {
    private static let sectors = 400, sectorSize = 512

    /// A guest that keeps a copy of what it wrote.
    private struct Life {
        let guest: Channel
        var copy: [UInt8]
        var random: SeededGenerator
        var block = 16

        init(seed: UInt64) throws {
            guest = try Channel(sectors: DriveLifeTests.sectors)
            copy = guest.disk.content
            random = SeededGenerator(seed: seed)
        }

        mutating func pick(_ range: Range<Int>) -> Int { Int.random(in: range, using: &random) }

        /// Puts an address into the registers, in one of three forms, and starts a command.
        mutating func start(_ short: UInt8, _ long: UInt8, _ sector: Int, _ count: Int) {
            switch pick(0..<3) {
            case 0: guest.command(short, sector: UInt64(sector), count: UInt8(truncatingIfNeeded: count))
            case 1:
                // Cylinder, head and sector.
                let track = sector / 63
                guest.out(6, 0xA0 | UInt64(track % 16))
                guest.out(2, UInt64(count))
                guest.out(3, UInt64(sector % 63 + 1))
                guest.out(4, UInt64(track / 16 & 0xFF))
                guest.out(5, UInt64((track / 16) >> 8))
                guest.out(7, UInt64(short))
            default:
                // 48 bits: the high halves first.
                guest.out(6, 0xE0)
                for (register, value) in [(2, count >> 8), (3, sector >> 24), (4, 0), (5, 0)] {
                    guest.out(UInt64(register), UInt64(value & 0xFF))
                }
                for (register, value) in [(2, count), (3, sector), (4, sector >> 8), (5, sector >> 16)] {
                    guest.out(UInt64(register), UInt64(value & 0xFF))
                }
                guest.out(7, UInt64(long))
            }
        }

        mutating func read(multiple: Bool) {
            let count = pick(1..<40), sector = pick(0..<DriveLifeTests.sectors - count)
            start(multiple ? 0xC4 : 0x20, multiple ? 0x29 : 0x24, sector, count)
            var left = count
            var got: [UInt8] = []
            while left > 0 {
                let part = multiple ? min(block, left) : 1
                #expect(guest.read(7) == 0x58)
                got += guest.readBlock(part * DriveLifeTests.sectorSize)
                left -= part
            }
            #expect(guest.status == 0x50)
            let place = sector * DriveLifeTests.sectorSize
            #expect(got == Array(copy[place..<place + got.count]))
        }

        mutating func write(multiple: Bool) {
            let count = pick(1..<40), sector = pick(0..<DriveLifeTests.sectors - count)
            let bytes = (0..<count * DriveLifeTests.sectorSize).map { _ in UInt8(truncatingIfNeeded: random.next()) }
            start(multiple ? 0xC5 : 0x30, multiple ? 0x39 : 0x34, sector, count)
            var place = 0
            while place < bytes.count {
                let part = min((multiple ? block : 1) * DriveLifeTests.sectorSize, bytes.count - place)
                #expect(guest.status == 0x58)
                guest.writeBlock(Array(bytes[place..<place + part]))
                #expect(guest.interrupt.isAsserted)
                _ = guest.read(7)
                place += part
            }
            #expect(guest.status == 0x50)
            let start = sector * DriveLifeTests.sectorSize
            copy.replaceSubrange(start..<start + bytes.count, with: bytes)
        }

        mutating func setMultiple() {
            let wanted = [1, 2, 4, 8, 16, 3, 32][pick(0..<7)]
            guest.command(0xC6, count: UInt8(wanted))
            let isGood = wanted <= 16 && wanted != 3
            #expect((guest.status & 1 == 0) == isGood)
            if isGood { block = wanted }
        }

        /// Past the end: refused, nothing changed.
        mutating func beyond() {
            let code: UInt8 = [0x20, 0x30, 0x40, 0x24, 0x34][pick(0..<5)]
            guest.command(code, sector: UInt64(DriveLifeTests.sectors - pick(0..<3)), count: 9)
            #expect(guest.status == 0x51 && guest.read(1) == 0x10)
        }
    }

    @Test(arguments: 1...6) func whatIsReadIsWhatWasWritten(seed: Int) throws {
        var life = try Life(seed: UInt64(seed))
        for _ in 0..<150 {
            switch life.pick(0..<8) {
            case 0, 1: life.read(multiple: false)
            case 2: life.read(multiple: true)
            case 3, 4: life.write(multiple: false)
            case 5: life.write(multiple: true)
            case 6: life.setMultiple()
            default: life.beyond()
            }
        }
        #expect(life.guest.disk.content == life.copy)
    }

    @Test func aCountOfZeroIsTheMost() throws {
        let guest = try Channel(sectors: 300)
        guest.command(0x20, sector: 0, count: 0)
        for sector in 0..<256 { #expect(guest.readBlock(512).first == UInt8(truncatingIfNeeded: sector)) }
        #expect(guest.status == 0x50)
        // 65536 sectors are more than there are.
        guest.command(0x24, sector: 0, count: 0)
        #expect(guest.status == 0x51 && guest.read(1) == 0x10)
    }

    @Test func readMultipleNeedsItsSetting() throws {
        let guest = try Channel()
        guest.command(0xC6, count: 0)
        #expect(guest.status == 0x50)
        guest.command(0xC4, sector: 0, count: 4)
        #expect(guest.status == 0x51 && guest.read(1) == 0x04)
    }

    @Test func theLargestAddressIsTold() throws {
        let guest = try Channel(sectors: 300)
        guest.command(0xF8)
        #expect(guest.status == 0x50)
        #expect(Int(guest.read(3)) | Int(guest.read(4)) << 8 | Int(guest.read(5)) << 16 == 299)
        guest.command(0x27)
        #expect(Int(guest.read(3)) | Int(guest.read(4)) << 8 == 299)
    }

    @Test func featuresAreSetOrRefused() throws {
        let guest = try Channel()
        for feature: UInt8 in [0x02, 0x82, 0xAA, 0x55, 0x66, 0xCC] {
            guest.command(0xEF, feature: feature)
            #expect(guest.status == 0x50, "\(feature)")
        }
        guest.command(0xEF, feature: 0x77)
        #expect(guest.status == 0x51 && guest.read(1) == 0x04)
        // Ultra DMA 4 shows in word 88, and a mode that is none is refused.
        guest.command(0xEF, count: 0x44, feature: 3)
        guest.command(0xEC)
        let words = guest.readBlock(512)
        #expect(words[177] == 0x10 && words[176] == 0x3F)
        guest.command(0xEF, count: 0x38, feature: 3)
        #expect(guest.status == 0x51)
    }

    @Test func powerCommandsAnswer() throws {
        let guest = try Channel()
        for code: UInt8 in [0xE0, 0xE1, 0xE2, 0xE3, 0xE6, 0xE7, 0xEA, 0x91, 0x10, 0x70] {
            guest.command(code)
            #expect(guest.status == 0x50 && guest.interrupt.isAsserted, "\(code)")
            _ = guest.read(7)
        }
        guest.command(0xE5)
        #expect(guest.read(2) == 0xFF)
    }

    @Test func diagnosisSelectsTheFirstDrive() throws {
        let guest = try Channel()
        guest.out(6, 0xB0)
        guest.out(7, 0x90)
        #expect(guest.read(1) == 1 && guest.read(4) == 0 && guest.read(5) == 0)
        guest.out(6, 0xB0)
        #expect(guest.read(4) == 0x14 && guest.read(5) == 0xEB)
    }

    @Test func interruptsCanBeForbidden() throws {
        let guest = try Channel()
        guest.channel.controlBlock.write(offset: 0, size: 1, value: 2)
        guest.command(0x20)
        #expect(!guest.interrupt.isAsserted && guest.status == 0x58)
        guest.channel.controlBlock.write(offset: 0, size: 1, value: 0)
        #expect(guest.interrupt.isAsserted)
    }

    @Test func registersAreNotTouchedWhileACommandRuns() throws {
        let guest = try Channel()
        guest.command(0x20, sector: 3, count: 2)
        guest.out(3, 0x77)
        guest.out(7, 0xEC)
        #expect(guest.readBlock(512).first == 3 && guest.readBlock(512).first == 4)
    }

    /// Any writes to any register, of both drives: no trap, and a reset brings the drive back.
    @Test(arguments: 1...4) func anyWritesLeaveADriveThatWorks(seed: Int) throws {
        let disc = MemoryNode([UInt8](repeating: 7, count: 64 * 2048), isReadOnly: true)
        let guest = try Channel(disc: disc)
        var random = SeededGenerator(seed: UInt64(seed))
        for _ in 0..<20_000 {
            let value = random.next()
            let size = [1, 2, 4][Int(value >> 20 % 3)]
            switch value % 10 {
            case 0: guest.channel.controlBlock.write(offset: 0, size: 1, value: value >> 8)
            case 1: _ = guest.channel.commandBlock.read(offset: value >> 8 & 7, size: size)
            case 2...4: guest.channel.commandBlock.write(offset: 0, size: size, value: value >> 24)
            default: guest.channel.commandBlock.write(offset: value >> 8 & 7, size: 1, value: value >> 24)
            }
        }
        guest.channel.controlBlock.write(offset: 0, size: 1, value: 4)
        guest.channel.controlBlock.write(offset: 0, size: 1, value: 0)
        guest.command(0x20, sector: 1)
        #expect(guest.readBlock(512).count == 512 && guest.status == 0x50)
    }
}
