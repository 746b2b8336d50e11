// SPDX-License-Identifier: Apache-2.0

extension CDROMCommands {
    private enum Profile { static let cd = 0x0008, dvd = 0x0010 }
    private static let largestCD: UInt64 = 80 * 60 * 75
    private var sectors: UInt64 { isReady ? medium.count(of: Self.sectorSize) : 0 }
    private var profile: Int { !isReady ? 0 : sectors > Self.largestCD ? Profile.dvd : Profile.cd }
    private static let leadOut: UInt8 = 0xAA, firstTrack: UInt8 = 1, dataTrack: UInt8 = 0x14

    /// READ TOC: one data track from the start.
    func tableOfContents(_ command: CommandBlock) -> SCSIReply {
        let limit = command.word(7), usesTime = command[1] & 2 != 0
        // Old drives had the format in the control byte.
        let format = command[2] & 0xF != 0 ? command[2] & 0xF : command[9] >> 6
        var reply = ReplyBuilder()
        func address(_ sector: UInt64) {
            guard usesTime else { return reply.append(long: sector) }
            let frames = sector + 150
            reply.append(
                0, UInt8(truncatingIfNeeded: frames / 75 / 60), UInt8(truncatingIfNeeded: frames / 75 % 60),
                UInt8(truncatingIfNeeded: frames % 75))
        }
        switch format {
        case 0:
            let start = command[6]
            guard start <= Self.firstTrack || start == Self.leadOut else { return .failed(.invalidField) }
            reply.append(1, 1)
            if start <= Self.firstTrack {
                reply.append(0, Self.dataTrack, Self.firstTrack, 0)
                address(0)
            }
            reply.append(0, 0x16, Self.leadOut, 0)
            address(sectors)
        case 1:
            // One session that begins with track 1.
            reply.append(1, 1, 0, Self.dataTrack, 1, 0)
            address(0)
        case 2:
            reply.append(1, 1)
            for point: UInt8 in [0xA0, 0xA1, 0xA2, 1] {
                reply.append(1, Self.dataTrack, 0, point, 0, 0, 0, 0)
                let frames = point == 0xA2 ? sectors + 150 : 150
                switch point {
                case 0xA0, 0xA1: reply.append(1, 0, 0)
                default:
                    reply.append(
                        UInt8(truncatingIfNeeded: frames / 75 / 60), UInt8(truncatingIfNeeded: frames / 75 % 60),
                        UInt8(truncatingIfNeeded: frames % 75))
                }
            }
        default: return .failed(.invalidField)
        }
        var head = ReplyBuilder()
        head.append(word: reply.bytes.count)
        head.bytes += reply.bytes
        return .data(head.limited(to: limit))
    }

    /// GET CONFIGURATION: the profiles and what a read-only drive has.
    func configuration(_ command: CommandBlock) -> SCSIReply {
        let request = command[1] & 3, start = command.word(2)
        guard request != 3 else { return .failed(.invalidField) }
        var features = ReplyBuilder()
        func wants(_ feature: Int) -> Bool { request == 2 ? feature == start : feature >= start }
        if wants(0) {
            // The list of profiles, with the current one marked.
            features.append(0, 0, 3, 8)
            for candidate in [Profile.dvd, Profile.cd] {
                features.append(word: candidate)
                features.append(candidate == profile ? 1 : 0, 0)
            }
        }
        if wants(1) {
            // Core: ATAPI.
            features.append(0, 1, 0x0B, 8, 0, 0, 0, 2, 1, 0, 0, 0)
        }
        if wants(3) {
            // Removable: a tray that can be opened and locked.
            features.append(0, 3, 3, 4, 0x29, 0, 0, 0)
        }
        var reply = ReplyBuilder()
        reply.append(long: UInt64(features.bytes.count + 4))
        reply.append(0, 0)
        reply.append(word: profile)
        reply.bytes += features.bytes
        return .data(reply.limited(to: command.word(7)))
    }

    /// GET EVENT STATUS NOTIFICATION, polled: only media events.
    func eventStatus(_ command: CommandBlock) -> SCSIReply {
        guard command[1] & 1 != 0 else { return .failed(.invalidField) }
        let media: UInt8 = 1 << 4
        var reply = ReplyBuilder()
        if command[4] & media != 0 {
            reply.append(word: 6)
            reply.append(4, media)
            reply.append(takeEvent(), (isReady ? 2 : 0) | (state.isTrayOpen ? 1 : 0), 0, 0)
        } else {
            reply.append(word: 2)
            reply.append(0x80, media)
        }
        return .data(reply.limited(to: command.word(7)))
    }

    /// READ DISC INFORMATION: one closed session.
    func discInformation(_ command: CommandBlock) -> SCSIReply {
        guard command[1] & 7 == 0 else { return .failed(.invalidField) }
        var reply = ReplyBuilder()
        reply.append(word: 32)
        reply.append(0x0E, 1, 1, 1, 1, 0x20)
        reply.zeros(26)
        return .data(reply.limited(to: command.word(7)))
    }

    /// READ DISC STRUCTURE: the physical description and the copyright of a DVD.
    func discStructure(_ command: CommandBlock) -> SCSIReply {
        guard profile == Profile.dvd else { return .failed(Sense(5, 0x30, 0x02)) }
        var reply = ReplyBuilder()
        switch command[7] {
        case 0:
            let first: UInt64 = 0x3_0000
            reply.append(word: 2050)
            reply.append(0, 0, 1, 0x0F, 1, 0)
            reply.append(long: first)
            reply.append(long: first + sectors - 1)
            reply.zeros(2048 - 12)
        case 1:
            reply.append(word: 6)
            reply.zeros(6)
        default: return .failed(.invalidField)
        }
        return .data(reply.limited(to: command.word(8)))
    }

    /// MODE SENSE: error recovery and capabilities.
    func modeSense(_ command: CommandBlock, page: UInt8, limit: Int, isShort: Bool) -> SCSIReply {
        guard page >> 6 != 3 else { return .failed(.savingNotSupported) }
        var pages = ReplyBuilder()
        let number = page & 0x3F
        guard [0x01, 0x0E, 0x2A, 0x3F].contains(number) else { return .failed(.invalidField) }
        if number == 0x01 || number == 0x3F { pages.append(1, 6, 0, 5, 0, 0, 0, 0) }
        if number == 0x0E || number == 0x3F {
            pages.append(0x0E, 14)
            pages.zeros(14)
        }
        if number == 0x2A || number == 0x3F {
            // Reads CD-R, CD-RW and DVD; tray loader; locks, ejects.
            let locked: UInt8 = state.isLocked ? 2 : 0
            pages.append(0x2A, 18, 0x3B, 0, 0x70, 0, 0x29 | locked, 0)
            pages.append(word: 706)
            pages.append(word: 2)
            pages.append(word: 512)
            pages.append(word: 706)
            pages.zeros(4)
        }
        var reply = ReplyBuilder()
        let type: UInt8 = state.isTrayOpen ? 0x71 : medium.node == nil ? 0x70 : 0x01
        if isShort {
            reply.append(UInt8(truncatingIfNeeded: pages.bytes.count + 3), type, 0, 0)
        } else {
            reply.append(word: pages.bytes.count + 6)
            reply.append(type, 0, 0, 0, 0, 0)
        }
        reply.bytes += pages.bytes
        return .data(reply.limited(to: limit))
    }
}
