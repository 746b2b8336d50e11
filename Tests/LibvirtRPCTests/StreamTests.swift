// SPDX-License-Identifier: Apache-2.0

import ClientKit
import HostSystem
import LibvirtProtocol
import LibvirtRPC
import LocalSockets
import ManagementModel
import Synchronization
import Testing
import XDRCoding

/// What came in over a stream, and how it ended.
private final class Collector: StreamReceiver {
    private struct State {
        var bytes: [UInt8] = []
        var holes: [Int64] = []
        var endings: [String] = []
    }
    private let state = Mutex(State())
    private let lock = Lock()
    /// The first packet with this byte is refused.
    static let poison: UInt8 = 0xee

    func received(_ bytes: ArraySlice<UInt8>) throws {
        if bytes.first == Self.poison { throw ManagementError(.operationFailed, "poison") }
        state.withLock { $0.bytes += bytes }
    }
    func receivedHole(_ count: Int64) throws { state.withLock { $0.holes.append(count) } }
    func finished() throws { end("finished") }
    func aborted() { end("aborted") }

    private func end(_ how: String) {
        lock.withLock {
            state.withLock { $0.endings.append(how) }
            lock.broadcast()
        }
    }

    var bytes: [UInt8] { state.withLock { $0.bytes } }
    var holes: [Int64] { state.withLock { $0.holes } }

    /// How it ended; waits ten seconds for the end.
    var ending: [String] {
        let deadline = monotonicNanoseconds() + 10_000_000_000
        return lock.withLock {
            while state.withLock({ $0.endings.isEmpty }), lock.wait(until: deadline) {}
            return state.withLock { $0.endings }
        }
    }
}

private final class Opener: ConnectionHandler {
    private let table: CallTable<Opener>
    init(_ table: CallTable<Opener>) { self.table = table }
    func received(_ frame: Frame, on connection: ClientConnection) {
        table.dispatch(frame, on: connection, context: self) { _ in }
    }
    func closed() {}
}

@Suite struct StreamTests {
    private let path = "/tmp/roost-streams-\(UniqueID.random())"
    private let server: RPCServer
    private let volume = VolumeHandle(pool: "p", name: "v", key: "/v")

    init() throws {
        let table = CallTable<Opener>()
        let collectors = Shared()
        shared = collectors
        table.answer(Procedures.authList) { _, _ in [0] }
        table.answer(Procedures.connectOpen) { _, _, _, _ in }
        table.answer(Procedures.connectGetHostname) { _, _ in "here" }
        table.answer(Procedures.storageVolUpload) { _, call, _, _, _, _ in
            let collector = Collector()
            collectors.add(collector)
            _ = try call.openStream(collector)
        }
        // As many bytes as asked for, in pieces; every third piece is a hole; at a length of 13 it fails.
        table.answer(Procedures.storageVolDownload) { _, call, _, piece, length, _ in
            let stream = try call.openStream(Collector())
            let sent = Mutex((bytes: UInt64(0), pieces: 0))
            stream.produce {
                let (start, number) = sent.withLock { state in
                    defer {
                        state.bytes += piece
                        state.pieces += 1
                    }
                    return (state.bytes, state.pieces)
                }
                if start >= length {
                    if length == 13 { throw ManagementError(.operationFailed, "thirteen") }
                    return .end
                }
                return number % 3 == 2
                    ? .hole(Int64(piece)) : .data([UInt8](repeating: UInt8(number & 0xff), count: Int(piece)))
            }
        }
        var limits = RPCServer.Limits()
        limits.workers = 3
        limits.loops = 1
        server = try RPCServer(limits: limits) { _ in Opener(table) }
        server.listen(on: try LocalSocket.listen(path: path, mode: 0o700), readOnly: false)
        try server.start()
    }

    private final class Shared: Sendable {
        private let list = Mutex<[Collector]>([])
        func add(_ collector: Collector) { list.withLock { $0.append(collector) } }
        var all: [Collector] { list.withLock { $0 } }
    }
    private let shared: Shared

    private func connect() throws -> ServerConnection {
        let client = try ServerConnection(path: path)
        try client.open("test:///x")
        return client
    }

    private func upload(_ client: ServerConnection) throws -> ClientStream {
        try client.openStream(Procedures.storageVolUpload, Message(volume, 0, 0, 0))
    }

    @Test func whatIsSentArrivesInOrder() throws {
        let client = try connect()
        let stream = try upload(client)
        let content = (0..<3_000_000).map { UInt8(truncatingIfNeeded: $0 / 1000 &* 7) & 0x7f }
        for start in stride(from: 0, to: content.count, by: 700_001) {
            try stream.send(Array(content[start..<min(content.count, start + 700_001)]))
        }
        // Calls go on beside it.
        #expect(try client.call(Procedures.connectGetHostname, Message()).fields == "here")
        try stream.finish()
        let collector = try #require(shared.all.first)
        #expect(collector.bytes == content && collector.ending == ["finished"])
    }

    @Test func anErrorOfTheReceiverEndsTheStream() throws {
        let client = try connect()
        let stream = try upload(client)
        try stream.send([1, 2, 3])
        try stream.send([Collector.poison])
        #expect(throws: ClientError.self) { try stream.finish() }
        let collector = try #require(shared.all.first)
        #expect(collector.ending == ["aborted"] && collector.bytes == [1, 2, 3])
        // Late packets of a stream that has ended are dropped.
        try stream.send([4])
        #expect(try client.call(Procedures.connectGetHostname, Message()).fields == "here")
        #expect(collector.bytes == [1, 2, 3])
    }

    @Test func aStreamIsGivenUp() throws {
        let client = try connect()
        let stream = try upload(client)
        try stream.send([1])
        try stream.abort()
        #expect(shared.all.first?.ending == ["aborted"])
    }

    @Test func aLostConnectionEndsItsStreams() throws {
        do {
            let client = try connect()
            let streams = [try upload(client), try upload(client)]
            for stream in streams { try stream.send([5]) }
            #expect(try client.call(Procedures.connectGetHostname, Message()).fields == "here")
        }
        for collector in shared.all { #expect(collector.ending == ["aborted"]) }
        #expect(shared.all.count == 2)
    }

    @Test func streamsHaveALimit() throws {
        let client = try connect()
        var streams: [ClientStream] = []
        for _ in 0..<FrameHeader.streamLimit { streams.append(try upload(client)) }
        #expect(throws: ClientError.self) { try upload(client) }
        try streams[0].finish()
        _ = try upload(client)
        #expect(try client.call(Procedures.connectGetHostname, Message()).fields == "here")
    }

    @Test func whatIsProducedIsReceived() throws {
        let client = try connect()
        let stream = try client.openStream(Procedures.storageVolDownload, Message(volume, 300_000, 3_000_000, 0))
        var (length, holes, numbers): (Int, Int, Set<UInt8>) = (0, 0, [])
        loop: while true {
            switch try stream.receive() {
            case .data(let bytes):
                #expect(bytes.count <= FrameHeader.streamChunk)
                length += bytes.count
                numbers.formUnion(bytes)
            case .hole(let count): holes += Int(count)
            case .end: break loop
            }
        }
        #expect(length == 7 * 300_000 && holes == 3 * 300_000 && numbers == [0, 1, 3, 4, 6, 7, 9])
        try stream.finish()
    }

    /// A client that does not read is not sent everything at once.
    @Test func aSlowReaderGetsAllOfIt() throws {
        let client = try connect()
        let stream = try client.openStream(Procedures.storageVolDownload, Message(volume, 200_000, 30_000_000, 0))
        var length = 0
        var packets = 0
        while true {
            let packet = try stream.receive()
            if packet == .end { break }
            packets += 1
            if case .data(let bytes) = packet { length += bytes.count }
            if case .hole(let count) = packet { length += Int(count) }
        }
        #expect(length == 30_000_000 && packets >= 150)
    }

    @Test func anErrorOfTheProducerIsReported() throws {
        let client = try connect()
        let stream = try client.openStream(Procedures.storageVolDownload, Message(volume, 13, 13, 0))
        #expect(try stream.receive() == .data([UInt8](repeating: 0, count: 13)))
        #expect(throws: ClientError.refused(code: 9, message: "operation failed: thirteen")) { try stream.receive() }
        #expect(try client.call(Procedures.connectGetHostname, Message()).fields == "here")
    }
}
