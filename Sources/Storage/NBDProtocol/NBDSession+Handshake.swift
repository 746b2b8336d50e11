// SPDX-License-Identifier: Apache-2.0

internal import BlockLayer
internal import HostSystem

extension NBDSession {
    /// A client that never comes to an end would keep a place that others wait for.
    private static let mostOptions = 1000

    /// - Returns: whether the client chose the export.
    func handshake() throws(BlockError) -> Bool {
        let greeting = AlignedBuffer(count: 18).region
        greeting.storeBigEndian(NBD.greeting, at: 0)
        greeting.storeBigEndian(NBD.optionMagic, at: 8)
        greeting.storeBigEndian(NBD.HandshakeFlag.fixedNewstyle | NBD.HandshakeFlag.noZeroes, at: 16)
        try connection.send(greeting)
        let flags: UInt32 = try connection.receive(count: 4).bigEndian(at: 0)
        let known = UInt32(NBD.HandshakeFlag.fixedNewstyle | NBD.HandshakeFlag.noZeroes)
        guard flags & ~known == 0 else { throw BlockError(.invalidArgument, "unknown client flags") }
        noZeroes = flags & UInt32(NBD.HandshakeFlag.noZeroes) != 0
        for _ in 0..<Self.mostOptions {
            let header: ByteRegion
            do throws(BlockError) { header = try connection.receive(count: 16) } catch {
                throw error.prefixed("Failed to read opts magic: ")
            }
            guard header.bigEndian(at: 0, as: UInt64.self) == NBD.optionMagic else {
                throw BlockError(.invalidArgument, "bad option magic")
            }
            let option: UInt32 = header.bigEndian(at: 8)
            let length = Int(header.bigEndian(at: 12) as UInt32)
            guard length <= NBD.longestOption else { throw BlockError(.outOfRange, "an option of \(length) bytes") }
            let content = try connection.receive(count: length).bytes
            if let isChosen = try answer(option, content) { return isChosen }
        }
        return false
    }

    /// - Returns: true to begin with requests, false to end, nil to go on.
    private func answer(_ number: UInt32, _ content: [UInt8]) throws(BlockError) -> Bool? {
        if security.credentials != nil, !isEncrypted { return try answerBeforeTLS(number, content) }
        switch NBD.Option(rawValue: number) {
        case .exportName:
            guard matches(String(decoding: content, as: UTF8.self)) else { return false }
            try sendOldInformation()
            return true
        case .abort: return goodbye(number)
        case .list: try list(number, content)
        case .info, .go: return try inform(number, content, goes: number == NBD.Option.go.rawValue)
        case .structuredReply:
            guard content.isEmpty else { return try invalid(number) }
            hasStructuredReplies = true
            try reply(number, NBD.OptionReply.ack)
        case .listMetaContext, .setMetaContext:
            try contexts(number, content, sets: number == NBD.Option.setMetaContext.rawValue)
        case .startTLS: try startTLS(number, content)
        case nil:
            try reply(
                number, NBD.OptionReply.unsupported, Array("Unsupported option 0x\(String(number, radix: 16))".utf8))
        }
        return nil
    }

    private func goodbye(_ number: UInt32) -> Bool {
        // Many a client is gone before it could read the answer.
        try? reply(number, NBD.OptionReply.ack)
        return false
    }

    /// Until the connection is encrypted a client may only ask for that, or go.
    private func answerBeforeTLS(_ number: UInt32, _ content: [UInt8]) throws(BlockError) -> Bool? {
        switch NBD.Option(rawValue: number) {
        case .startTLS: try startTLS(number, content)
        case .abort: return goodbye(number)
        case .exportName: throw BlockError(.invalidArgument, "Option 0x1 not permitted before TLS")
        default:
            let text = "Option 0x\(String(number, radix: 16)) not permitted before TLS"
            try reply(number, NBD.OptionReply.tlsRequired, Array(text.utf8))
        }
        return nil
    }

    private func startTLS(_ number: UInt32, _ content: [UInt8]) throws(BlockError) {
        guard content.isEmpty else { return try reply(number, NBD.OptionReply.invalid) }
        guard let credentials = security.credentials else {
            return try reply(number, NBD.OptionReply.policy, Array("TLS not configured".utf8))
        }
        guard !isEncrypted else { return try reply(number, NBD.OptionReply.invalid, Array("TLS already enabled".utf8)) }
        try reply(number, NBD.OptionReply.ack)
        let name = try connection.encrypt(credentials, hostname: nil)
        if let wanted = security.authorizedName, wanted != name {
            throw BlockError(.accessDenied, "TLS x509 authz check for \(name ?? "no certificate") is denied")
        }
        isEncrypted = true
        // What was agreed on in clear does not count.
        hasStructuredReplies = false
        chosen = []
    }

    private func invalid(_ option: UInt32) throws(BlockError) -> Bool? {
        try reply(option, NBD.OptionReply.invalid)
        return nil
    }

    /// Looks for an export and speaks of it from now on; what was agreed on for another one does not count.
    private func matches(_ name: String) -> Bool {
        guard let found = exports.find(name) else { return false }
        if found.name != export.name || found.node !== export.node {
            chosen = []
            contexts = found.contexts
        }
        export = found
        return true
    }

    func reply(_ option: UInt32, _ type: UInt32, _ content: [UInt8] = []) throws(BlockError) {
        let region = AlignedBuffer(count: 20 + content.count).region
        region.storeBigEndian(NBD.optionReplyMagic, at: 0)
        region.storeBigEndian(option, at: 8)
        region.storeBigEndian(type, at: 12)
        region.storeBigEndian(UInt32(content.count), at: 16)
        region.from(20).copy(from: content)
        try connection.send(region)
    }

    /// With structured replies a read is answered in one piece, asked for or not.
    private var flags: UInt16 { export.flags | (hasStructuredReplies ? NBD.ExportFlag.dontFragment : 0) }

    private func sendOldInformation() throws(BlockError) {
        let region = AlignedBuffer(zeroed: noZeroes ? 10 : 134).region
        region.storeBigEndian(UInt64(export.length), at: 0)
        region.storeBigEndian(flags, at: 8)
        try connection.send(region)
    }

    private func list(_ option: UInt32, _ content: [UInt8]) throws(BlockError) {
        guard content.isEmpty else { return try reply(option, NBD.OptionReply.invalid) }
        for export in exports.all {
            let name = Array(export.name.utf8)
            try reply(
                option, NBD.OptionReply.server,
                NBD.number32(name.count) + name + Array((export.description ?? "").utf8))
        }
        try reply(option, NBD.OptionReply.ack)
    }

    /// A length and so many bytes of text; nil when they are not there.
    private func text(_ content: inout ArraySlice<UInt8>) -> String? {
        guard let count = word(&content), count <= content.count else { return nil }
        let text = String(decoding: content.prefix(count), as: UTF8.self)
        content = content.dropFirst(count)
        return text
    }

    private func word(_ content: inout ArraySlice<UInt8>) -> Int? {
        guard content.count >= 4 else { return nil }
        let value = content.prefix(4).reduce(0) { $0 << 8 | Int($1) }
        content = content.dropFirst(4)
        return value
    }

    private func inform(_ option: UInt32, _ content: [UInt8], goes: Bool) throws(BlockError) -> Bool? {
        var rest = content[...]
        guard let name = text(&rest), rest.count >= 2 else { return try invalid(option) }
        guard matches(name) else {
            try reply(option, NBD.OptionReply.unknownExport, Array("export '\(name)' not present".utf8))
            return nil
        }
        let wanted = rest.dropFirst(2)
        func asks(_ kind: UInt16) -> Bool {
            stride(from: wanted.startIndex, to: wanted.endIndex - 1, by: 2).contains {
                UInt16(wanted[$0]) << 8 | UInt16(wanted[$0 + 1]) == kind
            }
        }
        func info(_ kind: UInt16, _ fields: ByteRegion) throws(BlockError) {
            try reply(option, NBD.OptionReply.info, [UInt8(kind >> 8), UInt8(kind & 0xff)] + fields.bytes)
        }
        if asks(NBD.Info.name) {
            try reply(option, NBD.OptionReply.info, [0, UInt8(NBD.Info.name)] + Array(export.name.utf8))
        }
        if asks(NBD.Info.description), let description = export.description {
            try reply(option, NBD.OptionReply.info, [0, UInt8(NBD.Info.description)] + Array(description.utf8))
        }
        let sizes = AlignedBuffer(count: 12).region
        sizes.storeBigEndian(UInt32(max(export.node.limits.requestAlignment, 1)), at: 0)
        sizes.storeBigEndian(UInt32(4096), at: 4)
        sizes.storeBigEndian(UInt32(NBD.longestRequest), at: 8)
        // Only who asks for the sizes promises to respect them.
        if asks(NBD.Info.blockSize) { try info(NBD.Info.blockSize, sizes) }
        let facts = AlignedBuffer(count: 10).region
        facts.storeBigEndian(UInt64(export.length), at: 0)
        facts.storeBigEndian(flags, at: 8)
        try info(NBD.Info.export, facts)
        try reply(option, NBD.OptionReply.ack)
        return goes ? true : nil
    }

    private func contexts(_ option: UInt32, _ content: [UInt8], sets: Bool) throws(BlockError) {
        guard hasStructuredReplies else { return try reply(option, NBD.OptionReply.invalid) }
        var rest = content[...]
        guard let name = text(&rest), let count = word(&rest), count <= 1000 else {
            return try reply(option, NBD.OptionReply.invalid)
        }
        guard matches(name) else { return try reply(option, NBD.OptionReply.unknownExport) }
        if sets { chosen = [] }
        var wanted = Set<Int>()
        if count == 0, !sets { wanted = Set(contexts.indices) }
        for _ in 0..<count {
            guard let query = text(&rest) else { return try reply(option, NBD.OptionReply.invalid) }
            for (index, context) in contexts.enumerated() where context.matches(query, isList: !sets) {
                wanted.insert(index)
            }
        }
        for index in wanted.sorted() {
            if sets { chosen.append(index) }
            try reply(
                option, NBD.OptionReply.metaContext, NBD.number32(sets ? index : 0) + Array(contexts[index].name.utf8))
        }
        try reply(option, NBD.OptionReply.ack)
    }
}
