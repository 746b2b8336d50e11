// SPDX-License-Identifier: Apache-2.0

internal import BlockLayer
internal import HostSystem

/// A connection to an export, on which several threads may have requests under way.
///
/// ```
/// request: number it -> send (sendLock) -> whoever finds nobody reading reads replies for all -> mine is there
/// ```
///
/// After a failure of the connection every request fails. `lock` guards everything that changes.
final class NBDClient: @unchecked Sendable {
    let export: NBDExport
    private let connection: NBDConnection
    private let lock = Lock()
    private let sendLock = Lock()
    private var pending: [UInt64: Pending] = [:]
    private var nextCookie: UInt64 = 1
    private var isReading = false
    private var failure: BlockError?

    /// A request whose reply is awaited.
    private final class Pending {
        let region: ByteRegion?
        let offset: Int64
        var isDone = false
        var error: UInt32 = 0
        var filled = 0
        var extents: [(count: UInt32, flags: UInt32)] = []
        init(region: ByteRegion?, offset: Int64) {
            self.region = region
            self.offset = offset
        }
    }

    init(connection: NBDConnection, export: NBDExport) {
        self.connection = connection
        self.export = export
    }

    func read(_ region: ByteRegion, at offset: Int64) throws(BlockError) {
        _ = try transact(.read, at: offset, count: UInt32(region.count), receives: region)
    }

    func write(_ region: ByteRegion, at offset: Int64, flags: UInt16) throws(BlockError) {
        _ = try transact(.write, flags: flags, at: offset, count: UInt32(region.count), sends: region)
    }

    func command(_ command: NBD.Command, flags: UInt16 = 0, at offset: Int64 = 0, count: UInt32 = 0) throws(BlockError)
    {
        _ = try transact(command, flags: flags, at: offset, count: count)
    }

    func status(at offset: Int64, count: UInt32) throws(BlockError) -> (count: UInt32, flags: UInt32)? {
        try transact(.blockStatus, flags: NBD.CommandFlag.oneExtent, at: offset, count: count).extents.first
    }

    /// Tells the server that this is the end.
    func disconnect() {
        let isUsable = lock.withLock { failure == nil }
        // The connection ends either way.
        if isUsable { try? send(.disconnect, 0, 0, 0, 0, nil) }
        connection.shutdown()
    }

    /// Sends a request and waits for its reply.
    private func transact(
        _ command: NBD.Command, flags: UInt16 = 0, at offset: Int64, count: UInt32, sends: ByteRegion? = nil,
        receives: ByteRegion? = nil
    ) throws(BlockError) -> Pending {
        let request = Pending(region: receives, offset: offset)
        let cookie = try lock.withLock { () throws(BlockError) in
            if let failure { throw failure }
            let cookie = nextCookie
            nextCookie &+= 1
            pending[cookie] = request
            return cookie
        }
        do {
            try send(command, flags, cookie, offset, count, sends)
        } catch {
            fail(error)
        }
        try wait(for: request)
        guard request.error == 0 else {
            let number = NBD.Failure.known.contains(request.error) ? request.error : NBD.Failure.invalid
            throw BlockError(system: Errno(Int32(number)))
        }
        if let receives, request.filled < receives.count { throw broken("a reply lacks data") }
        return request
    }

    private func send(
        _ command: NBD.Command, _ flags: UInt16, _ cookie: UInt64, _ offset: Int64, _ count: UInt32,
        _ payload: ByteRegion?
    ) throws(BlockError) {
        let header = AlignedBuffer(count: NBD.requestSize).region
        header.storeBigEndian(NBD.requestMagic, at: 0)
        header.storeBigEndian(flags, at: 4)
        header.storeBigEndian(command.rawValue, at: 6)
        header.storeBigEndian(cookie, at: 8)
        header.storeBigEndian(UInt64(offset), at: 16)
        header.storeBigEndian(count, at: 24)
        try sendLock.withLock { () throws(BlockError) in
            try connection.send(header, more: payload != nil)
            if let payload { try connection.send(payload) }
        }
    }

    private func wait(for request: Pending) throws(BlockError) {
        lock.lock()
        defer { lock.unlock() }
        while !request.isDone {
            if let failure { throw failure }
            if isReading {
                lock.wait()
                continue
            }
            isReading = true
            lock.unlock()
            let result = readReply()
            lock.lock()
            isReading = false
            if let result, failure == nil { failure = result }
            lock.broadcast()
        }
    }

    private func fail(_ error: BlockError) {
        lock.withLock {
            if failure == nil { failure = error }
            lock.broadcast()
        }
        connection.disconnect()
    }

    private func broken(_ what: String) -> BlockError {
        BlockError(.inputOutput, "The NBD server breaks the protocol: \(what)")
    }

    // MARK: Replies

    /// Reads one reply or one part of one. Only the thread that set `isReading` is here.
    private func readReply() -> BlockError? {
        do throws(BlockError) {
            let magic: UInt32 = try connection.receive(count: 4).bigEndian(at: 0)
            switch magic {
            case NBD.simpleReplyMagic: try readSimple()
            case NBD.chunkMagic where export.hasStructuredReplies: try readChunk()
            default: throw broken("invalid reply magic \(magic)")
            }
            return nil
        } catch {
            connection.disconnect()
            return error
        }
    }

    private func request(_ cookie: UInt64) throws(BlockError) -> Pending {
        guard let request = lock.withLock({ pending[cookie] }) else {
            throw broken("a reply to a request that was not sent")
        }
        return request
    }

    private func finish(_ cookie: UInt64, _ request: Pending) {
        lock.withLock {
            pending[cookie] = nil
            request.isDone = true
        }
    }

    private func readSimple() throws(BlockError) {
        let header = try connection.receive(count: NBD.simpleReplySize - 4)
        let cookie: UInt64 = header.bigEndian(at: 4)
        let request = try request(cookie)
        request.error = header.bigEndian(at: 0)
        if let region = request.region, request.error == 0 {
            guard !export.hasStructuredReplies else { throw broken("a simple reply to a read") }
            try connection.receive(region)
            request.filled = region.count
        }
        finish(cookie, request)
    }

    private func readChunk() throws(BlockError) {
        let header = try connection.receive(count: NBD.chunkSize - 4)
        let flags: UInt16 = header.bigEndian(at: 0)
        let type: UInt16 = header.bigEndian(at: 2)
        let cookie: UInt64 = header.bigEndian(at: 4)
        let length = Int(header.bigEndian(at: 12) as UInt32)
        let request = try request(cookie)
        guard length <= NBD.longestRequest + 8 else { throw broken("a chunk of \(length) bytes") }
        switch type {
        case NBD.Chunk.none:
            guard length == 0 else { throw broken("an empty chunk with content") }
        case NBD.Chunk.data: try readData(request, length)
        case NBD.Chunk.hole: try readHole(request, length)
        case NBD.Chunk.blockStatus: try readExtents(request, length)
        case _ where type & NBD.Chunk.errorBit != 0: try readError(request, length)
        default: throw broken("a chunk of unknown type \(type)")
        }
        if flags & NBD.Chunk.done != 0 { finish(cookie, request) }
    }

    /// The part of the request's memory that a chunk speaks of.
    private func place(_ request: Pending, _ start: UInt64, _ count: Int) throws(BlockError) -> ByteRegion {
        guard let region = request.region, count > 0, start >= UInt64(request.offset),
            start - UInt64(request.offset) <= UInt64(region.count),
            count <= region.count - Int(start - UInt64(request.offset))
        else { throw broken("data outside of what was asked for") }
        return region.slice(Int(start - UInt64(request.offset)), count)
    }

    private func readData(_ request: Pending, _ length: Int) throws(BlockError) {
        guard length > 8 else { throw broken("a data chunk without data") }
        let start: UInt64 = try connection.receive(count: 8).bigEndian(at: 0)
        let part = try place(request, start, length - 8)
        try connection.receive(part)
        request.filled += part.count
    }

    private func readHole(_ request: Pending, _ length: Int) throws(BlockError) {
        guard length == 12 else { throw broken("a hole chunk of \(length) bytes") }
        let header = try connection.receive(count: 12)
        let part = try place(request, header.bigEndian(at: 0), Int(header.bigEndian(at: 8) as UInt32))
        part.fill(0)
        request.filled += part.count
    }

    private func readExtents(_ request: Pending, _ length: Int) throws(BlockError) {
        guard length >= 12, (length - 4) % 8 == 0, request.region == nil else {
            throw broken("a status chunk of \(length) bytes")
        }
        let content = try connection.receive(count: length)
        guard content.bigEndian(at: 0, as: UInt32.self) == export.contextNumber else { return }
        // One is asked for; what a server sends beyond it is not needed.
        request.extents = [(content.bigEndian(at: 4), content.bigEndian(at: 8))]
    }

    private func readError(_ request: Pending, _ length: Int) throws(BlockError) {
        guard length >= 6, length <= NBD.longestOption else { throw broken("an error chunk of \(length) bytes") }
        let content = try connection.receive(count: length)
        let error: UInt32 = content.bigEndian(at: 0)
        request.error = error == 0 ? NBD.Failure.inputOutput : error
    }
}
