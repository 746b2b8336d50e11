// SPDX-License-Identifier: Apache-2.0

internal import BlockLayer
internal import ByteCoding

/// What the handshake found out about an export.
struct NBDExport: Sendable {
    var size: UInt64 = 0
    var flags: UInt16 = 0
    var smallestBlock: UInt32 = 0
    var largestBlock: UInt32 = 0
    var hasStructuredReplies = false
    /// The number of the context that block status is asked for, if the server has it.
    var context: UInt32?
}

/// The handshake of a connection.
struct NBDHandshake {
    let socket: NBDSocket
    /// The export's name; empty for the default one.
    let export: String
    /// The context to ask the block status of.
    let contextName: String

    /// Agrees on everything up to the first request.
    func run() throws(BlockError) -> NBDExport {
        guard try socket.receive(UInt64.self) == NBDWire.greeting else {
            throw BlockError(.invalidArgument, "Server did not send a greeting: it is no NBD server")
        }
        switch try socket.receive(UInt64.self) {
        case NBDWire.newStyle: return try newStyle()
        case NBDWire.oldStyle: return try oldStyle()
        default: throw BlockError(.invalidArgument, "Bad server magic received")
        }
    }

    private func oldStyle() throws(BlockError) -> NBDExport {
        guard export.isEmpty else {
            throw BlockError(.invalidArgument, "Server does not support non-empty export names")
        }
        var result = NBDExport()
        result.size = try socket.receive()
        let flags: UInt32 = try socket.receive()
        result.flags = UInt16(truncatingIfNeeded: flags)
        _ = try socket.receive(count: NBDWire.oldPadding)
        return result
    }

    private func newStyle() throws(BlockError) -> NBDExport {
        let flags: UInt16 = try socket.receive()
        let isFixed = flags & NBDWire.Handshake.fixedNewStyle != 0
        let skipsZeroes = flags & NBDWire.Handshake.noZeroes != 0
        var own = ByteBuilder(order: .big)
        own.append(UInt32(flags & (NBDWire.Handshake.fixedNewStyle | NBDWire.Handshake.noZeroes)))
        try socket.send(own.bytes)
        var result = NBDExport()
        if isFixed {
            result.hasStructuredReplies = try askForStructuredReplies()
            if result.hasStructuredReplies { result.context = try askForContext() }
            if try go(&result) { return result }
        }
        try send(.exportName, Array(export.utf8))
        result.size = try socket.receive()
        result.flags = try socket.receive()
        if !skipsZeroes { _ = try socket.receive(count: NBDWire.oldPadding) }
        return result
    }

    // MARK: Options

    private func send(_ option: NBDWire.Option, _ data: [UInt8]) throws(BlockError) {
        var message = ByteBuilder(order: .big)
        message.append(NBDWire.newStyle)
        message.append(option.rawValue)
        message.append(UInt32(data.count))
        message.append(bytes: data)
        try socket.send(message.bytes)
    }

    private func reply(to option: NBDWire.Option) throws(BlockError) -> (type: UInt32, data: [UInt8]) {
        guard try socket.receive(UInt64.self) == NBDWire.optionReply else {
            throw BlockError(.invalidArgument, "Unexpected option reply magic")
        }
        guard try socket.receive(UInt32.self) == option.rawValue else {
            throw BlockError(.invalidArgument, "Unexpected option type in a reply")
        }
        let type: UInt32 = try socket.receive()
        let length: UInt32 = try socket.receive()
        guard length <= NBDWire.longestReply else {
            throw BlockError(.invalidArgument, "option reply is too long (\(length) bytes)")
        }
        return (type, try socket.receive(count: Int(length)))
    }

    /// The error for an option that the server refuses; nil when it does not know it.
    private func refusal(_ option: NBDWire.Option, _ type: UInt32, _ data: [UInt8]) -> BlockError? {
        let words = String(decoding: data, as: UTF8.self)
        let report = words.isEmpty ? nil : "server reported: \(words)"
        func error(_ text: String, _ hint: String? = nil) -> BlockError {
            let lines = [hint, report].compactMap(\.self)
            return BlockError(.invalidArgument, text, hint: lines.isEmpty ? nil : lines.joined(separator: "\n"))
        }
        let number = "option \(option.rawValue) (\(option.name))"
        switch type {
        case NBDWire.Reply.unsupported: return nil
        case NBDWire.Reply.policy: return error("Denied by server for \(number)")
        case NBDWire.Reply.invalid: return error("Invalid parameters for \(number)")
        case NBDWire.Reply.platform: return error("Server lacks support for \(number)")
        case NBDWire.Reply.needsTLS:
            return error("TLS negotiation required before \(number)", "Did you forget a valid tls-creds?")
        case NBDWire.Reply.unknown: return error("Requested export not available")
        case NBDWire.Reply.shutdown: return error("Server shutting down before \(number)")
        case NBDWire.Reply.needsBlockSize: return error("Server requires INFO_BLOCK_SIZE for \(number)")
        default: return error("Unknown error code when asking for \(number)")
        }
    }

    private func askForStructuredReplies() throws(BlockError) -> Bool {
        try send(.structuredReply, [])
        let (type, data) = try reply(to: .structuredReply)
        if type == NBDWire.Reply.acknowledged { return true }
        // A server that wants TLS says so again when asked for the export.
        if type & NBDWire.Reply.errorBit == 0 { throw unexpected(type, data) }
        return false
    }

    private func unexpected(_ type: UInt32, _ data: [UInt8]) -> BlockError {
        BlockError(.invalidArgument, "Unexpected reply type \(type) with \(data.count) bytes")
    }

    private func askForContext() throws(BlockError) -> UInt32? {
        var data = ByteBuilder(order: .big)
        data.append(UInt32(export.utf8.count))
        data.append(text: export)
        data.append(UInt32(1))
        data.append(UInt32(contextName.utf8.count))
        data.append(text: contextName)
        try send(.setMetaContext, data.bytes)
        var found: UInt32?
        while true {
            let (type, data) = try reply(to: .setMetaContext)
            switch type {
            case NBDWire.Reply.acknowledged: return found
            case NBDWire.Reply.metaContext:
                if String(decoding: data.dropFirst(4), as: UTF8.self) == contextName {
                    found = data.load(at: 0, order: .big)
                }
            default:
                guard type & NBDWire.Reply.errorBit != 0 else { throw unexpected(type, data) }
                // What is wrong with the export is said when it is asked for.
                return nil
            }
        }
    }

    /// Asks for the export.
    /// - Returns: false when the server is too old for this way of asking.
    private func go(_ result: inout NBDExport) throws(BlockError) -> Bool {
        var data = ByteBuilder(order: .big)
        data.append(UInt32(export.utf8.count))
        data.append(text: export)
        data.append(UInt16(1))
        data.append(NBDWire.Info.blockSize)
        try send(.go, data.bytes)
        while true {
            let (type, data) = try reply(to: .go)
            switch type {
            case NBDWire.Reply.acknowledged: return true
            case NBDWire.Reply.info: read(info: data, &result)
            default:
                guard type & NBDWire.Reply.errorBit != 0 else { throw unexpected(type, data) }
                guard let error = refusal(.go, type, data) else { return false }
                throw error
            }
        }
    }

    private func read(info data: [UInt8], _ result: inout NBDExport) {
        switch data.load(UInt16.self, at: 0, order: .big) {
        case NBDWire.Info.export:
            result.size = data.load(at: 2, order: .big) ?? 0
            result.flags = data.load(at: 10, order: .big) ?? 0
        case NBDWire.Info.blockSize:
            result.smallestBlock = data.load(at: 2, order: .big) ?? 0
            result.largestBlock = data.load(at: 10, order: .big) ?? 0
        default: break
        }
    }
}
