// SPDX-License-Identifier: Apache-2.0

internal import BlockLayer
internal import HostSystem

/// The server's side of one connection: the handshake, and then one request after the other.
final class NBDSession {
    let connection: NBDConnection
    let exports: NBDExportTable
    let security: NBDSecurity
    /// What the client has chosen or asked about last; an empty disk before.
    var export = NBDServedExport(node: MemoryNode(), isReadOnly: true)
    /// Told of the export that the client uses.
    var chose: (String) -> Void = { _ in }
    var hasStructuredReplies = false
    /// The contexts that the client chose, by their place among the export's.
    var chosen: [Int] = []
    var contexts: [NBDContext] = []
    let report: (String) -> Void
    var isEncrypted = false
    var noZeroes = false
    private var buffer = AlignedBuffer(count: 1 << 20).region

    init(
        _ connection: NBDConnection, _ exports: NBDExportTable, _ security: NBDSecurity,
        _ report: @escaping (String) -> Void
    ) {
        self.report = report
        self.connection = connection
        self.exports = exports
        self.security = security
    }

    /// Serves until the client goes.
    /// - Returns: whether it got as far as using the export.
    func run() -> Bool {
        do throws(BlockError) {
            guard try handshake() else { return false }
            chose(export.name)
        } catch {
            report("option negotiation failed: \(error.message)")
            return false
        }
        do throws(BlockError) {
            while try serveRequest() {}
        } catch {
            // The client went away or broke the protocol: there is nobody to tell.
        }
        return true
    }

    private struct Request {
        let flags: UInt16
        let command: UInt16
        let cookie: UInt64
        let offset: UInt64
        let count: UInt32
    }

    /// A failure that the client is told.
    private struct Refusal: Error {
        let number: UInt32
        init(_ number: UInt32) { self.number = number }
        init(_ error: BlockError) {
            let code = UInt32(truncatingIfNeeded: error.errno.code)
            switch error.kind {
            case .readOnly, .accessDenied: number = NBD.Failure.notPermitted
            case .noSpace: number = NBD.Failure.noSpace
            case .notSupported: number = NBD.Failure.notSupported
            case .outOfRange, .invalidArgument: number = NBD.Failure.invalid
            default: number = NBD.Failure.known.contains(code) ? code : NBD.Failure.inputOutput
            }
        }
    }

    /// - Returns: false when the client says goodbye.
    private func serveRequest() throws(BlockError) -> Bool {
        let header = try connection.receive(count: NBD.requestSize)
        guard header.bigEndian(at: 0, as: UInt32.self) == NBD.requestMagic else {
            throw BlockError(.invalidArgument, "invalid request magic")
        }
        let request = Request(
            flags: header.bigEndian(at: 4), command: header.bigEndian(at: 6), cookie: header.bigEndian(at: 8),
            offset: header.bigEndian(at: 16), count: header.bigEndian(at: 24))
        let command = NBD.Command(rawValue: request.command)
        if command == .disconnect { return false }
        var payload: ByteRegion?
        if command == .write {
            guard request.count <= UInt32(NBD.longestRequest) else {
                throw BlockError(.outOfRange, "a write of \(request.count) bytes is too long")
            }
            payload = memory(Int(request.count))
            if let payload { try connection.receive(payload) }
        }
        let result: Result<Answer, Refusal>
        do throws(Refusal) {
            result = .success(try perform(request, command, payload))
        } catch {
            result = .failure(error)
        }
        switch result {
        case .success(let answer): try reply(request, answer)
        case .failure(let refusal): try refuse(request, refusal.number)
        }
        return true
    }

    private enum Answer {
        case done
        case data(ByteRegion)
        /// For each context its number and its extents.
        case extents([(context: UInt32, list: [(UInt32, UInt32)])])
    }

    /// The session's own memory, which only grows.
    private func memory(_ count: Int) -> ByteRegion {
        if buffer.count < count { buffer = AlignedBuffer(count: count).region }
        return buffer.slice(0, count)
    }

    private func perform(
        _ request: Request, _ command: NBD.Command?, _ payload: ByteRegion?
    ) throws(Refusal) -> Answer {
        guard let command else { throw Refusal(NBD.Failure.invalid) }
        let isChange = [.write, .trim, .writeZeroes].contains(command)
        if isChange, export.refusesWrites { throw Refusal(NBD.Failure.notPermitted) }
        let range = try checkedRange(request, isChange: isChange)
        let isDurable = request.flags & NBD.CommandFlag.forceUnitAccess != 0
        do throws(BlockError) {
            switch command {
            case .read:
                guard range.count <= NBD.longestRequest else { throw BlockError(.invalidArgument, "too long") }
                let region = memory(range.count)
                try export.node.read(region, at: range.lowerBound)
                return .data(region)
            case .write:
                if let payload {
                    try export.node.write(payload, at: range.lowerBound, flags: isDurable ? .forceUnitAccess : [])
                }
            case .flush: try export.node.flush()
            case .trim:
                try export.node.discard(at: range.lowerBound, count: Int64(range.count))
                if isDurable { try export.node.flush() }
            case .writeZeroes: try zero(request, range, isDurable: isDurable)
            case .cache, .disconnect: break
            case .blockStatus:
                guard !chosen.isEmpty, range.count > 0 else { throw BlockError(.invalidArgument, "not negotiated") }
                let isOne = request.flags & NBD.CommandFlag.oneExtent != 0
                var parts: [(context: UInt32, list: [(UInt32, UInt32)])] = []
                for index in chosen {
                    let list = try extents(contexts[index], range, most: isOne ? 1 : Self.mostExtents)
                    parts.append((UInt32(index), list))
                }
                return .extents(parts)
            }
            return .done
        } catch {
            throw Refusal(error)
        }
    }

    private func checkedRange(_ request: Request, isChange: Bool) throws(Refusal) -> Range<Int64> {
        let length = UInt64(export.length)
        guard request.offset <= length, UInt64(request.count) <= length - request.offset else {
            throw Refusal(isChange ? NBD.Failure.noSpace : NBD.Failure.invalid)
        }
        return Int64(request.offset)..<Int64(request.offset) + Int64(request.count)
    }

    private func zero(_ request: Request, _ range: Range<Int64>, isDurable: Bool) throws(BlockError) {
        var flags: ZeroFlags = request.flags & NBD.CommandFlag.noHole != 0 ? [] : .mayUnmap
        if isDurable { flags.insert(.forceUnitAccess) }
        if request.flags & NBD.CommandFlag.fastZero != 0 { flags.insert(.noFallback) }
        try export.node.writeZeroes(at: range.lowerBound, count: Int64(range.count), flags: flags)
    }

    private static let mostExtents = 4096

    private func extents(
        _ context: NBDContext, _ range: Range<Int64>, most: Int
    ) throws(BlockError) -> [(UInt32, UInt32)] {
        var result: [(UInt32, UInt32)] = []
        var offset = range.lowerBound
        while offset < range.upperBound {
            let (count, flags) = try context.extent(of: export.node, at: offset, count: range.upperBound - offset)
            if let last = result.last, last.1 == flags {
                result[result.count - 1].0 += UInt32(count)
            } else {
                if result.count == most { break }
                result.append((UInt32(count), flags))
            }
            offset += count
        }
        return result
    }

    // MARK: Replies

    private func reply(_ request: Request, _ answer: Answer) throws(BlockError) {
        switch answer {
        case .done: try simple(request, 0, more: false)
        case .data(let region):
            guard hasStructuredReplies else {
                try simple(request, 0, more: region.count > 0)
                return try connection.send(region)
            }
            guard region.count > 0 else { return try chunk(request, NBD.Chunk.none, length: 0, more: false) }
            try chunk(request, NBD.Chunk.data, length: 8 + region.count, more: true)
            let place = AlignedBuffer(count: 8).region
            place.storeBigEndian(request.offset, at: 0)
            try connection.send(place, more: true)
            try connection.send(region)
        case .extents(let parts):
            for (index, part) in parts.enumerated() {
                try send(request, part.context, part.list, isLast: index == parts.count - 1)
            }
        }
    }

    private func send(
        _ request: Request, _ context: UInt32, _ list: [(UInt32, UInt32)], isLast: Bool
    ) throws(BlockError) {
        let content = AlignedBuffer(count: 4 + list.count * 8).region
        content.storeBigEndian(context, at: 0)
        for (index, extent) in list.enumerated() {
            content.storeBigEndian(extent.0, at: 4 + index * 8)
            content.storeBigEndian(extent.1, at: 8 + index * 8)
        }
        try chunk(request, NBD.Chunk.blockStatus, length: content.count, more: true, isLast: isLast)
        try connection.send(content)
    }

    private func refuse(_ request: Request, _ number: UInt32) throws(BlockError) {
        let needsChunk =
            request.command == NBD.Command.read.rawValue || request.command == NBD.Command.blockStatus.rawValue
        guard hasStructuredReplies, needsChunk else { return try simple(request, number, more: false) }
        try chunk(request, NBD.Chunk.error, length: 6, more: true)
        let content = AlignedBuffer(zeroed: 6).region
        content.storeBigEndian(number, at: 0)
        try connection.send(content)
    }

    private func simple(_ request: Request, _ error: UInt32, more: Bool) throws(BlockError) {
        let header = AlignedBuffer(count: NBD.simpleReplySize).region
        header.storeBigEndian(NBD.simpleReplyMagic, at: 0)
        header.storeBigEndian(error, at: 4)
        header.storeBigEndian(request.cookie, at: 8)
        try connection.send(header, more: more)
    }

    private func chunk(_ request: Request, _ type: UInt16, length: Int, more: Bool, isLast: Bool = true)
        throws(BlockError)
    {
        let header = AlignedBuffer(count: NBD.chunkSize).region
        header.storeBigEndian(NBD.chunkMagic, at: 0)
        header.storeBigEndian(isLast ? NBD.Chunk.done : 0, at: 4)
        header.storeBigEndian(type, at: 6)
        header.storeBigEndian(request.cookie, at: 8)
        header.storeBigEndian(UInt32(length), at: 16)
        try connection.send(header, more: more)
    }
}
