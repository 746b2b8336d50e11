// SPDX-License-Identifier: Apache-2.0

import BlockLayer
import DiskControllers
import GuestMemory
import RandomKit
import Testing

/// What a CD-ROM drive answers, by the tables of MMC-6 and SPC-3.
@Suite struct PacketCommandTests {
    private let memory = GuestMemory()

    private func drive(sectors: Int? = 40) -> CDROMCommands {
        CDROMCommands(
            medium: makeMedium(sectors.map { MemoryNode([UInt8](repeating: 1, count: $0 * 2048)) }, memory))
    }

    /// The bytes of an answer; nil where there are none.
    private func data(_ drive: CDROMCommands, _ block: [UInt8]) -> [UInt8]? {
        guard case .data(let bytes) = drive.execute(block + [UInt8](repeating: 0, count: 12 - block.count)) else {
            return nil
        }
        return bytes
    }

    /// Key, code and qualifier of a refusal; nil for success.
    private func refusal(_ drive: CDROMCommands, _ block: [UInt8]) -> [UInt8]? {
        guard case .failed(let sense) = drive.execute(block + [UInt8](repeating: 0, count: 12 - block.count)) else {
            return nil
        }
        return [sense.data[2], sense.data[12], sense.data[13]]
    }

    @Test func inquiryNamesIt() throws {
        let bytes = try #require(data(drive(sectors: nil), [0x12, 0, 0, 0, 96]))
        #expect(bytes.count == 36 && bytes[0] == 5 && bytes[1] == 0x80 && bytes[4] == 31)
        #expect(String(decoding: bytes[8..<32], as: UTF8.self) == "QEMU    QEMU DVD-ROM    ")
        #expect(data(drive(), [0x12, 0, 0, 0, 5])?.count == 5)
        #expect(refusal(drive(), [0x12, 1, 0, 0, 96]) == [5, 0x24, 0])
    }

    @Test func capacityIsTheLastSectorAndTheSize() {
        #expect(data(drive(sectors: 300), [0x25]) == [0, 0, 1, 43, 0, 0, 8, 0])
        #expect(refusal(drive(sectors: nil), [0x25]) == [2, 0x3A, 0])
    }

    @Test func theTableOfContentsHasOneTrackAndTheEnd() {
        let drive = drive(sectors: 300)
        #expect(
            data(drive, [0x43, 0, 0, 0, 0, 0, 1, 0, 100]) == [
                0, 18, 1, 1, 0, 0x14, 1, 0, 0, 0, 0, 0, 0, 0x16, 0xAA, 0, 0, 0, 1, 44,
            ])
        // By time: 450 frames are six seconds after the two of the lead-in.
        #expect(
            data(drive, [0x43, 2, 0, 0, 0, 0, 0xAA, 0, 100]) == [0, 10, 1, 1, 0, 0x16, 0xAA, 0, 0, 0, 6, 0])
        #expect(data(drive, [0x43, 0, 1, 0, 0, 0, 0, 0, 100]) == [0, 10, 1, 1, 0, 0x14, 1, 0, 0, 0, 0, 0])
        #expect(data(drive, [0x43, 0, 2, 0, 0, 0, 0, 0, 200])?.count == 4 + 4 * 11)
        #expect(refusal(drive, [0x43, 0, 5, 0, 0, 0, 0, 0, 100]) == [5, 0x24, 0])
        #expect(refusal(drive, [0x43, 0, 0, 0, 0, 0, 7, 0, 100]) == [5, 0x24, 0])
    }

    @Test func readsStayOnTheDisc() {
        let drive = drive(sectors: 40)
        for (block, isGood): ([UInt8], Bool) in [
            ([0x28, 0, 0, 0, 0, 39, 0, 0, 1], true), ([0x28, 0, 0, 0, 0, 39, 0, 0, 2], false),
            ([0x28, 0, 0, 0, 0, 40, 0, 0, 0], true), ([0x28, 0, 0xFF, 0xFF, 0xFF, 0xFF, 0, 0, 1], false),
            ([0xA8, 0, 0, 0, 0, 0, 0, 0, 0, 40], true), ([0xA8, 0, 0, 0, 0, 0, 0xFF, 0xFF, 0xFF, 0xFF], false),
            ([0xBE, 0, 0, 0, 0, 0, 0, 0, 1, 0x10], true), ([0xBE, 0, 0, 0, 0, 0, 0, 0, 1, 0xF8], false),
            ([0x2B, 0, 0, 0, 0, 39], true), ([0x2B, 0, 0, 0, 0, 40], false),
        ] { #expect((refusal(drive, block) == nil) == isGood, "\(block)") }
    }

    @Test func aReadSaysWhere() {
        guard case .read(let offset, let count) = drive().execute([0x28, 0, 0, 0, 0, 7, 0, 0, 3, 0, 0, 0]) else {
            Issue.record("no read")
            return
        }
        #expect(offset == 7 * 2048 && count == 3 * 2048)
    }

    @Test func modePagesTellTheLock() throws {
        let drive = drive()
        let unlocked = try #require(data(drive, [0x5A, 0, 0x2A, 0, 0, 0, 0, 0, 100]))
        #expect(unlocked.count == 28 && unlocked[2] == 1 && unlocked[8] == 0x2A && unlocked[14] & 2 == 0)
        #expect(refusal(drive, [0x1E, 0, 0, 0, 1]) == nil)
        #expect(data(drive, [0x5A, 0, 0x2A, 0, 0, 0, 0, 0, 100])?[14] == 0x2B)
        #expect(data(drive, [0x1A, 0, 1, 0, 100])?.count == 12)
        #expect(data(drive, [0x5A, 0, 0x3F, 0, 0, 0, 0, 2, 0])?.count == 8 + 8 + 16 + 20)
        #expect(refusal(drive, [0x5A, 0, 0xEA, 0, 0, 0, 0, 0, 100]) == [5, 0x39, 0])
        #expect(refusal(drive, [0x5A, 0, 0x11, 0, 0, 0, 0, 0, 100]) == [5, 0x24, 0])
    }

    @Test func aLockedTrayStaysShutAndTheWishIsTold() throws {
        let drive = drive()
        var moves: [Bool] = []
        drive.trayMoved = { moves.append($0) }
        _ = drive.execute([0x1E, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0])
        #expect(refusal(drive, [0x1B, 0, 0, 0, 2]) == [5, 0x53, 2])
        #expect(!drive.open(force: false))
        let event: [UInt8] = [0x4A, 1, 0, 0, 0x10, 0, 0, 0, 8]
        #expect(data(drive, event) == [0, 6, 4, 0x10, 1, 2, 0, 0])
        #expect(data(drive, event) == [0, 6, 4, 0x10, 0, 2, 0, 0])
        _ = drive.execute([0x1E, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0])
        #expect(refusal(drive, [0x1B, 0, 0, 0, 2]) == nil)
        #expect(moves == [true])
        #expect(refusal(drive, [0]) == [2, 0x3A, 2])
        #expect(refusal(drive, [0x1B, 0, 0, 0, 3]) == nil)
        #expect(moves == [true, false])
        // The first command finds that the disc may be another one, and no command after it.
        #expect(refusal(drive, [0]) == [6, 0x28, 0])
        #expect(refusal(drive, [0]) == nil)
    }

    @Test func profilesDependOnTheSize() throws {
        func profile(_ sectors: Int?) throws -> UInt8 {
            try #require(data(drive(sectors: sectors), [0x46, 0, 0, 0, 0, 0, 0, 0, 100]))[7]
        }
        #expect(try profile(nil) == 0 && profile(40) == 8)
        let only = try #require(data(drive(), [0x46, 2, 0, 3, 0, 0, 0, 0, 100]))
        #expect(only.count == 16 && only[3] == 12 && only[9] == 3)
        #expect(refusal(drive(), [0x46, 3, 0, 0, 0, 0, 0, 0, 100]) == [5, 0x24, 0])
    }

    @Test func theSenseIsToldOnce() {
        let drive = drive(sectors: nil)
        #expect(refusal(drive, [0]) == [2, 0x3A, 0])
        let first = data(drive, [3, 0, 0, 0, 18]), second = data(drive, [3, 0, 0, 0, 18])
        #expect(first?[2] == 2 && first?[12] == 0x3A)
        #expect(second?[2] == 0 && second?[12] == 0)
        #expect(data(drive, [3, 0, 0, 0, 4])?.count == 4)
    }

    @Test(arguments: [0x01, 0x2A, 0x55, 0xAA, 0xFF] as [UInt8]) func otherCommandsAreUnknown(code: UInt8) {
        #expect(refusal(drive(), [code]) == [5, 0x20, 0])
    }

    /// Any twelve bytes: an answer that is not longer than asked for, a read on the disc, or a refusal.
    @Test func anyPacketIsAnswered() {
        var random = SeededGenerator(seed: 9)
        let drive = drive(sectors: 64)
        let known: [UInt8] = [
            0, 3, 0x12, 0x1A, 0x1B, 0x1E, 0x25, 0x28, 0x2B, 0x35, 0x43, 0x46, 0x4A, 0x51, 0x5A, 0xA8, 0xAD, 0xBB, 0xBD,
            0xBE,
        ]
        for round in 0..<30_000 {
            var block = random.bytes(12)
            if round % 4 != 0 { block[0] = known[Int(random.next() % UInt64(known.count))] }
            switch drive.execute(block) {
            case .read(let offset, let count):
                #expect(offset >= 0 && count > 0 && offset + Int64(count) <= 64 * 2048)
            case .data(let bytes): #expect(bytes.count <= 65536)
            default: break
            }
        }
    }

    @Test func aShortPacketIsPadded() {
        for count in 0..<12 { _ = drive().execute([UInt8](repeating: 0xA8, count: count)) }
    }
}
