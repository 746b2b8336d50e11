// SPDX-License-Identifier: Apache-2.0

/// The numbers of the NBD protocol (https://github.com/NetworkBlockDevice/nbd/blob/master/doc/proto.md). All integers on
/// the wire are big-endian.
enum NBDWire {
    static let greeting: UInt64 = 0x4e42_444d_4147_4943
    static let newStyle: UInt64 = 0x4948_4156_454f_5054
    static let oldStyle: UInt64 = 0x0042_0281_8612_53
    static let optionReply: UInt64 = 0x0003_e889_0455_65a9
    static let request: UInt32 = 0x2560_9513
    static let simpleReply: UInt32 = 0x6744_6698
    static let structuredReply: UInt32 = 0x668e_33ef
    /// The zero bytes after the old answers.
    static let oldPadding = 124
    static let defaultPort = "10809"
    static let longestName = 4096
    /// The longest answer to an option that makes sense.
    static let longestReply: UInt32 = 32 << 20

    /// Both sides' flags of the handshake.
    enum Handshake {
        static let fixedNewStyle: UInt16 = 1
        static let noZeroes: UInt16 = 2
    }

    enum Option: UInt32 {
        case exportName = 1
        case go = 7
        case structuredReply = 8
        case setMetaContext = 10

        var name: String {
            switch self {
            case .exportName: "export name"
            case .go: "go"
            case .structuredReply: "structured reply"
            case .setMetaContext: "set meta context"
            }
        }
    }

    enum Reply {
        static let acknowledged: UInt32 = 1
        static let info: UInt32 = 3
        static let metaContext: UInt32 = 4
        static let errorBit: UInt32 = 1 << 31
        static let unsupported: UInt32 = errorBit + 1
        static let policy: UInt32 = errorBit + 2
        static let invalid: UInt32 = errorBit + 3
        static let platform: UInt32 = errorBit + 4
        static let needsTLS: UInt32 = errorBit + 5
        static let unknown: UInt32 = errorBit + 6
        static let shutdown: UInt32 = errorBit + 7
        static let needsBlockSize: UInt32 = errorBit + 8
    }

    enum Info {
        static let export: UInt16 = 0
        static let blockSize: UInt16 = 3
    }

    /// What an export can do.
    enum Export {
        static let isReadOnly: UInt16 = 2
        static let canFlush: UInt16 = 4
        static let canForceUnitAccess: UInt16 = 8
        static let canTrim: UInt16 = 32
        static let canWriteZeroes: UInt16 = 64
        static let canZeroFast: UInt16 = 2048
    }

    enum Command: UInt16 {
        case read = 0
        case write = 1
        case disconnect = 2
        case flush = 3
        case trim = 4
        case writeZeroes = 6
        case blockStatus = 7
    }

    enum CommandFlag {
        static let forceUnitAccess: UInt16 = 1
        static let noHole: UInt16 = 2
        static let onlyOne: UInt16 = 8
        static let fast: UInt16 = 16
    }

    enum Chunk {
        static let isLast: UInt16 = 1
        static let none: UInt16 = 0
        static let data: UInt16 = 1
        static let hole: UInt16 = 2
        static let blockStatus: UInt16 = 5
        static let error: UInt16 = 0x8001
        static let errorAtOffset: UInt16 = 0x8002
    }

    /// States in answers to `blockStatus` for "base:allocation".
    enum State {
        static let hole: UInt32 = 1
        static let zero: UInt32 = 2
    }
}
