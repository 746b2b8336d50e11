// SPDX-License-Identifier: Apache-2.0

public import BlockLayer
public import TransportSecurity

/// What a server says of one of its exports.
public struct NBDListedExport: Sendable {
    /// The name that clients ask for.
    public let name: String
    /// The server's words for people.
    public let description: String?
    /// In bytes.
    public let size: Int64
    /// The transmission flags.
    public let flags: UInt16
    /// Smallest, best and largest request in bytes; nil where the server does not say.
    public let blockSizes: (minimum: Int, preferred: Int, maximum: Int)?
    /// The contexts that block status can be told in.
    public let contexts: [String]

    /// The flags by the names that qemu-nbd prints.
    public var flagNames: [String] {
        Self.names.filter { flags & $0.bit != 0 }.map(\.name)
    }

    private static let names: [(bit: UInt16, name: String)] = [
        (2, "readonly"), (4, "flush"), (8, "fua"), (16, "rotational"), (32, "trim"), (64, "zeroes"), (128, "df"),
        (256, "multi"), (512, "resize"), (1024, "cache"), (2048, "fast-zero"),
    ]
}

/// Asks servers what they have.
public enum NBDListing {
    private static let mostExports = 10_000

    /// All exports of a server.
    /// - Parameter hostname: what the server's certificate must be made out to; by default the address's host.
    public static func exports(
        of address: NBDAddress, credentials: TLSCredentials? = nil, hostname: String? = nil
    ) throws(BlockError) -> [NBDListedExport] {
        let connection = try NBDConnection.connect(address)
        defer { connection.disconnect() }
        var host = hostname
        if host == nil, case .tcp(let name, _) = address { host = name }
        let security = credentials.map { NBDNegotiation.Security(credentials: $0, hostname: host) }
        var negotiation = NBDNegotiation(connection, name: "", security: security)
        guard try negotiation.greet() else {
            throw BlockError(.notSupported, "The NBD server is too old to list its exports")
        }
        return try negotiation.list(most: mostExports)
    }
}

extension NBDNegotiation {
    fileprivate mutating func list(most: Int) throws(BlockError) -> [NBDListedExport] {
        let isStructured = try simpleOption(.structuredReply)
        try sendOption(.list, [])
        var names: [(String, String?)] = []
        listing: while true {
            let reply = try readReply(.list)
            switch reply.type {
            case NBD.OptionReply.ack: break listing
            case NBD.OptionReply.server:
                guard names.count < most, reply.content.count >= 4 else {
                    throw BlockError(.invalidArgument, "The NBD server's list of exports is broken")
                }
                let count = Int(reply.content.bigEndian(at: 0) as UInt32)
                guard count <= reply.content.count - 4 else {
                    throw BlockError(.invalidArgument, "incorrect option name length")
                }
                names.append((text(reply.content.slice(4, count)) ?? "", text(reply.content.from(4 + count))))
            default: throw refusal(reply, .list)
            }
        }
        var exports: [NBDListedExport] = []
        for (name, description) in names {
            guard try inform(name) else { continue }
            exports.append(
                NBDListedExport(
                    name: name, description: export.description ?? description, size: export.size,
                    flags: export.flags,
                    blockSizes: export.hasBlockSizes
                        ? (export.minimumBlock, export.preferredBlock ?? 0, export.maximumBlock) : nil,
                    contexts: isStructured ? try contexts(of: name) : []))
        }
        try sendOption(.abort, [])
        return exports
    }

    /// Asks about one export.
    /// - Returns: false where the server does not tell.
    private mutating func inform(_ name: String) throws(BlockError) -> Bool {
        export = NBDExport()
        let bytes = Array(name.utf8)
        try sendOption(
            .info,
            NBD.number32(bytes.count) + bytes + [0, 2, 0, UInt8(NBD.Info.blockSize), 0, UInt8(NBD.Info.description)])
        while true {
            let reply = try readReply(.info)
            switch reply.type {
            case NBD.OptionReply.ack: return true
            case NBD.OptionReply.info: try take(reply.content)
            case NBD.OptionReply.unsupported, NBD.OptionReply.unknownExport: return false
            default: throw refusal(reply, .info)
            }
        }
    }

    private func contexts(of name: String) throws(BlockError) -> [String] {
        let bytes = Array(name.utf8)
        try sendOption(.listMetaContext, NBD.number32(bytes.count) + bytes + NBD.number32(0))
        var found: [String] = []
        while true {
            let reply = try readReply(.listMetaContext)
            guard reply.type == NBD.OptionReply.metaContext else { return found }
            if reply.content.count > 4, let name = text(reply.content.from(4)) { found.append(name) }
        }
    }
}
