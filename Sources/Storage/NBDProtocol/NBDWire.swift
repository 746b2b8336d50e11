// SPDX-License-Identifier: Apache-2.0

/// Numbers of the NBD protocol (the document "The NBD protocol" of the nbd project); all are big-endian on the wire.
enum NBD {
    /// A number as its four bytes on the wire.
    static func number32(_ value: Int) -> [UInt8] {
        (0..<4).map { UInt8(truncatingIfNeeded: value >> (24 - $0 * 8)) }
    }

    static let port: UInt16 = 10809
    static let greeting: UInt64 = 0x4e42_444d_4147_4943
    static let optionMagic: UInt64 = 0x4948_4156_454f_5054
    static let oldMagic: UInt64 = 0x0000_4202_8186_1253
    static let optionReplyMagic: UInt64 = 0x0003_e889_0455_65a9
    static let requestMagic: UInt32 = 0x2560_9513
    static let simpleReplyMagic: UInt32 = 0x6744_6698
    static let chunkMagic: UInt32 = 0x668e_33ef

    static let requestSize = 28
    static let simpleReplySize = 16
    static let chunkSize = 20
    /// What every server must take in one request.
    static let longestRequest = 32 << 20
    static let longestName = 4096
    /// Bounds what a peer can make us hold while negotiating.
    static let longestOption = 64 << 10
    static let allocationContext = "base:allocation"

    enum HandshakeFlag {
        static let fixedNewstyle: UInt16 = 1
        static let noZeroes: UInt16 = 2
    }

    enum Option: UInt32 {
        case exportName = 1, abort = 2, list = 3, startTLS = 5, info = 6, go = 7, structuredReply = 8
        case listMetaContext = 9, setMetaContext = 10

        /// As messages name it.
        var text: String {
            switch self {
            case .exportName: "export name"
            case .abort: "abort"
            case .list: "list"
            case .startTLS: "starttls"
            case .info: "info"
            case .go: "go"
            case .structuredReply: "structured reply"
            case .listMetaContext: "list meta context"
            case .setMetaContext: "set meta context"
            }
        }
    }

    enum OptionReply {
        static let ack: UInt32 = 1
        static let server: UInt32 = 2
        static let info: UInt32 = 3
        static let metaContext: UInt32 = 4
        static let errorBit: UInt32 = 1 << 31
        static let unsupported: UInt32 = errorBit | 1
        static let policy: UInt32 = errorBit | 2
        static let invalid: UInt32 = errorBit | 3
        static let tlsRequired: UInt32 = errorBit | 5
        static let unknownExport: UInt32 = errorBit | 6
        static let tooBig: UInt32 = errorBit | 9
    }

    enum Info {
        static let export: UInt16 = 0
        static let name: UInt16 = 1
        static let description: UInt16 = 2
        static let blockSize: UInt16 = 3
    }

    enum ExportFlag {
        static let hasFlags: UInt16 = 1
        static let readOnly: UInt16 = 2
        static let flush: UInt16 = 4
        static let forceUnitAccess: UInt16 = 8
        static let trim: UInt16 = 32
        static let writeZeroes: UInt16 = 64
        static let dontFragment: UInt16 = 128
        static let severalConnections: UInt16 = 256
        static let cache: UInt16 = 1024
        static let fastZero: UInt16 = 2048
    }

    enum Command: UInt16 {
        case read = 0, write = 1, disconnect = 2, flush = 3, trim = 4, cache = 5, writeZeroes = 6, blockStatus = 7
    }

    enum CommandFlag {
        static let forceUnitAccess: UInt16 = 1
        static let noHole: UInt16 = 2
        static let dontFragment: UInt16 = 4
        static let oneExtent: UInt16 = 8
        static let fastZero: UInt16 = 16
    }

    enum Chunk {
        static let done: UInt16 = 1
        static let none: UInt16 = 0
        static let data: UInt16 = 1
        static let hole: UInt16 = 2
        static let blockStatus: UInt16 = 5
        static let errorBit: UInt16 = 1 << 15
        static let error: UInt16 = errorBit | 1
        static let errorOffset: UInt16 = errorBit | 2
    }

    enum ExtentFlag {
        static let hole: UInt32 = 1
        static let zero: UInt32 = 2
    }

    /// Error numbers, which are Linux's own.
    enum Failure {
        static let notPermitted: UInt32 = 1
        static let inputOutput: UInt32 = 5
        static let invalid: UInt32 = 22
        static let noSpace: UInt32 = 28
        static let overflow: UInt32 = 75
        static let notSupported: UInt32 = 95
        static let shutdown: UInt32 = 108
        static let known: Set<UInt32> = [1, 5, 12, 22, 28, 75, 95, 108]
    }
}
