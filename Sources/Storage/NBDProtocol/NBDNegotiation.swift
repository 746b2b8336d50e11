// SPDX-License-Identifier: Apache-2.0

internal import BlockLayer
internal import TransportSecurity

/// What a server says of an export.
struct NBDExport: Sendable {
    var name = ""
    var size: Int64 = 0
    var flags: UInt16 = 0
    var hasStructuredReplies = false
    /// The number of the context that was asked for; nil when the server has it not.
    var contextNumber: UInt32?
    var description: String?
    var preferredBlock: Int?
    /// What block status can be told in; filled in by listing.
    var contexts: [String] = []
    var minimumBlock = 1
    var hasBlockSizes = false
    var maximumBlock = NBD.longestRequest

    func can(_ flag: UInt16) -> Bool { flags & flag != 0 }
}

/// The client's side of the handshake.
struct NBDNegotiation {
    let connection: NBDConnection
    var export = NBDExport()
    private let context: String
    private let security: Security?
    private var isFixed = false
    private var noZeroes = false

    /// What the connection is encrypted with.
    struct Security {
        let credentials: TLSCredentials
        /// The name that the server's certificate is made out to; nil for a unix socket without one given.
        let hostname: String?
    }

    /// - Parameter context: what block status shall be told in.
    init(
        _ connection: NBDConnection, name: String, context: String = NBD.allocationContext, security: Security? = nil
    ) {
        self.connection = connection
        self.context = context
        self.security = security
        export.name = name
    }

    /// Runs the handshake to its end.
    mutating func run() throws(BlockError) -> NBDExport {
        if try greet() {
            do throws(BlockError) { try negotiate() } catch {
                // A goodbye; the failure before it is the one to tell.
                try? sendOption(.abort, [])
                throw error
            }
        } else {
            try readOldStyle()
        }
        guard export.size >= 0, export.can(NBD.ExportFlag.hasFlags) || export.flags == 0 else {
            throw BlockError(.outOfRange, "The NBD export is larger than a disk can be")
        }
        return export
    }

    /// Reads the greeting and, with a server that knows options, answers it and encrypts the connection.
    /// - Returns: whether the server knows options.
    mutating func greet() throws(BlockError) -> Bool {
        let greeting = try connection.receive(count: 16)
        guard greeting.bigEndian(at: 0, as: UInt64.self) == NBD.greeting else {
            throw BlockError(.invalidArgument, "Bad initial magic received: 0x\(hex(greeting.bigEndian(at: 0)))")
        }
        let magic: UInt64 = greeting.bigEndian(at: 8)
        if magic == NBD.oldMagic {
            if security != nil { throw BlockError(.invalidArgument, "Server does not support STARTTLS") }
            return false
        }
        guard magic == NBD.optionMagic else {
            throw BlockError(.invalidArgument, "Bad server magic received: 0x\(hex(magic))")
        }
        try answerGreeting()
        return true
    }

    private func hex(_ value: UInt64) -> String { String(value, radix: 16) }

    private mutating func readOldStyle() throws(BlockError) {
        guard export.name.isEmpty else {
            throw BlockError(.invalidArgument, "Server does not support non-empty export names")
        }
        let rest = try connection.receive(count: 8 + 4 + 124)
        export.size = Int64(truncatingIfNeeded: rest.bigEndian(at: 0, as: UInt64.self))
        export.flags = UInt16(truncatingIfNeeded: rest.bigEndian(at: 8, as: UInt32.self))
    }

    private mutating func answerGreeting() throws(BlockError) {
        let global: UInt16 = try connection.receive(count: 2).bigEndian(at: 0)
        isFixed = global & NBD.HandshakeFlag.fixedNewstyle != 0
        noZeroes = global & NBD.HandshakeFlag.noZeroes != 0
        var answer: UInt32 = 0
        if isFixed { answer |= UInt32(NBD.HandshakeFlag.fixedNewstyle) }
        if noZeroes { answer |= UInt32(NBD.HandshakeFlag.noZeroes) }
        let region = AlignedBuffer(count: 4).region
        region.storeBigEndian(answer, at: 0)
        try connection.send(region)
        guard let security else { return }
        guard isFixed else { throw BlockError(.invalidArgument, "Server does not support STARTTLS") }
        try sendOption(.startTLS, [])
        let reply = try readReply(.startTLS)
        guard reply.type == NBD.OptionReply.ack else {
            throw refusal(reply, .startTLS)
        }
        _ = try connection.encrypt(security.credentials, hostname: security.hostname)
    }

    private mutating func negotiate() throws(BlockError) {
        if isFixed {
            export.hasStructuredReplies = try simpleOption(.structuredReply)
            if export.hasStructuredReplies { try setContext() }
            if try go() { return }
        }
        try sendOption(.exportName, Array(export.name.utf8))
        let reply = try connection.receive(count: noZeroes ? 10 : 134)
        export.size = Int64(truncatingIfNeeded: reply.bigEndian(at: 0, as: UInt64.self))
        export.flags = reply.bigEndian(at: 8)
    }

    func sendOption(_ option: NBD.Option, _ payload: [UInt8]) throws(BlockError) {
        let region = AlignedBuffer(count: 16 + payload.count).region
        region.storeBigEndian(NBD.optionMagic, at: 0)
        region.storeBigEndian(option.rawValue, at: 8)
        region.storeBigEndian(UInt32(payload.count), at: 12)
        region.from(16).copy(from: payload)
        try connection.send(region)
    }

    func readReply(_ option: NBD.Option) throws(BlockError) -> (type: UInt32, content: ByteRegion) {
        let header: ByteRegion
        do throws(BlockError) {
            header = try connection.receive(count: 20)
        } catch {
            throw error.prefixed("Failed to read option reply: ")
        }
        guard header.bigEndian(at: 0, as: UInt64.self) == NBD.optionReplyMagic,
            header.bigEndian(at: 8, as: UInt32.self) == option.rawValue
        else { throw BlockError(.invalidArgument, "Unexpected option reply from the NBD server") }
        let length = Int(header.bigEndian(at: 16) as UInt32)
        guard length <= NBD.longestOption else {
            throw BlockError(.invalidArgument, "The NBD server's option reply of \(length) bytes is too long")
        }
        return (header.bigEndian(at: 12), try connection.receive(count: length))
    }

    /// Whether the server took an option without content.
    func simpleOption(_ option: NBD.Option) throws(BlockError) -> Bool {
        try sendOption(option, [])
        let reply = try readReply(option)
        // A server that wants encryption says so again for the option that matters.
        return reply.type == NBD.OptionReply.ack
    }

    /// What a server's refusal of an option means.
    func refusal(_ reply: (type: UInt32, content: ByteRegion), _ option: NBD.Option) -> BlockError {
        let name = "\(option.rawValue) (\(option.text))"
        var hints = text(reply.content).map { ["server reported: \($0)"] } ?? []
        switch reply.type {
        case NBD.OptionReply.unsupported:
            return BlockError(.notSupported, "Unsupported option type \(name)", hint: hints.first)
        case NBD.OptionReply.policy:
            return BlockError(.accessDenied, "Denied by server for option \(name)", hint: hints.first)
        case NBD.OptionReply.invalid:
            return BlockError(.invalidArgument, "Invalid parameters for option \(name)", hint: hints.first)
        case NBD.OptionReply.tlsRequired:
            hints.insert("Did you forget a valid tls-creds?", at: 0)
            return BlockError(
                .accessDenied, "TLS negotiation required before option \(name)", hint: hints.joined(separator: "\n"))
        case NBD.OptionReply.unknownExport:
            return BlockError(.notFound, "Requested export not available", hint: hints.first)
        default:
            return BlockError(
                .invalidArgument, "Unknown error code 0x\(hex(UInt64(reply.type))) for option \(name)",
                hint: hints.first)
        }
    }

    private mutating func setContext() throws(BlockError) {
        let name = Array(export.name.utf8)
        let wanted = Array(context.utf8)
        let payload = NBD.number32(name.count) + name + NBD.number32(1) + NBD.number32(wanted.count) + wanted
        try sendOption(.setMetaContext, payload)
        while true {
            let reply = try readReply(.setMetaContext)
            guard reply.type == NBD.OptionReply.metaContext else { return }
            guard reply.content.count > 4 else { continue }
            let found = String(decoding: reply.content.from(4).bytes, as: UTF8.self)
            if found == context { export.contextNumber = reply.content.bigEndian(at: 0) }
        }
    }

    /// - Returns: false where the server knows only the older option.
    private mutating func go() throws(BlockError) -> Bool {
        let name = Array(export.name.utf8)
        // One kind of information is asked for: block sizes, which obliges us to respect them.
        try sendOption(.go, NBD.number32(name.count) + name + [0, 1, 0, UInt8(NBD.Info.blockSize)])
        while true {
            let reply = try readReply(.go)
            switch reply.type {
            case NBD.OptionReply.ack: return true
            case NBD.OptionReply.info: try take(reply.content)
            case NBD.OptionReply.unsupported: return false
            default: throw refusal(reply, .go)
            }
        }
    }

    func text(_ region: ByteRegion) -> String? {
        region.count == 0 ? nil : String(decoding: region.bytes, as: UTF8.self)
    }

    mutating func take(_ content: ByteRegion) throws(BlockError) {
        guard content.count >= 2 else { return }
        let type: UInt16 = content.bigEndian(at: 0)
        if type == NBD.Info.export, content.count >= 12 {
            export.size = Int64(truncatingIfNeeded: content.bigEndian(at: 2, as: UInt64.self))
            export.flags = content.bigEndian(at: 10)
        } else if type == NBD.Info.description {
            export.description = text(content.from(2))
        } else if type == NBD.Info.blockSize, content.count >= 14 {
            let minimum = Int(content.bigEndian(at: 2) as UInt32)
            let maximum = Int(content.bigEndian(at: 10) as UInt32)
            guard minimum > 0, minimum <= 64 << 10, minimum & (minimum - 1) == 0, maximum >= minimum else {
                throw BlockError(.invalidArgument, "server minimum block size \(minimum) is not a valid power of two")
            }
            export.hasBlockSizes = true
            export.preferredBlock = Int(content.bigEndian(at: 6) as UInt32)
            export.minimumBlock = minimum
            export.maximumBlock = min(NBD.longestRequest, maximum / minimum * minimum)
        }
    }
}
