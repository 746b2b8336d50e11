// SPDX-License-Identifier: Apache-2.0

internal import BlockLayer
internal import ByteCoding
internal import Glibc
internal import HostSystem

/// Sends requests to an export, one at a time; guarded by `lock`.
final class NBDConnection: @unchecked Sendable {
    let export: NBDExport
    private let socket: NBDSocket
    private let lock = Lock()
    private var nextHandle: UInt64 = 1
    /// Why nothing can be asked any more: an answer was not understood, or the server has gone.
    private var broken: BlockError?

    init(to address: NBDAddress, export name: String, context: String) throws(BlockError) {
        socket = try NBDSocket.connect(to: address)
        export = try NBDHandshake(socket: socket, export: name, contextName: context).run()
        guard export.size <= UInt64(Int64.max) else {
            throw BlockError(.outOfRange, "the export's size of \(export.size) bytes is too large", errno: Errno(EFBIG))
        }
    }

    /// One part of the answer to a request for block status.
    typealias Extent = (count: UInt32, state: UInt32)

    /// Sends a request and takes in all of its answer.
    /// - Parameters:
    ///   - data: what is sent with the request.
    ///   - into: what is read goes there.
    /// - Returns: the extents of an answer about block status.
    @discardableResult
    func request(
        _ command: NBDWire.Command, at offset: Int64 = 0, count: Int64 = 0, flags: UInt16 = 0,
        data: ByteRegion? = nil, into: ByteRegion? = nil
    ) throws(BlockError) -> [Extent] {
        try lock.withLock { () throws(BlockError) in
            if let broken { throw broken }
            let handle = nextHandle
            nextHandle &+= 1
            var answer = Answer(offset: offset, region: into)
            do throws(BlockError) {
                try send(command, offset, count, flags, handle, data)
                try receive(handle, &answer)
            } catch {
                broken = error
                throw error
            }
            if let failure = answer.failure { throw failure }
            return answer.extents
        }
    }

    /// Takes leave; what the server thinks of it does not matter.
    func disconnect() {
        lock.withLock {
            guard broken == nil else { return }
            try? send(.disconnect, 0, 0, 0, nextHandle, nil)
            broken = BlockError(.inputOutput, "the connection to the NBD server is closed")
        }
    }

    private struct Answer {
        let offset: Int64
        let region: ByteRegion?
        var failure: BlockError?
        var extents: [Extent] = []
    }

    private func send(
        _ command: NBDWire.Command, _ offset: Int64, _ count: Int64, _ flags: UInt16, _ handle: UInt64,
        _ data: ByteRegion?
    ) throws(BlockError) {
        var head = ByteBuilder(order: .big)
        head.append(NBDWire.request)
        head.append(flags)
        head.append(command.rawValue)
        head.append(handle)
        head.append(UInt64(bitPattern: offset))
        head.append(UInt32(truncatingIfNeeded: count))
        try socket.send(head.bytes)
        if let data { try socket.send(data) }
    }

    private func receive(_ handle: UInt64, _ answer: inout Answer) throws(BlockError) {
        while true {
            switch try socket.receive(UInt32.self) {
            case NBDWire.simpleReply: return try receiveSimple(handle, &answer)
            case NBDWire.structuredReply: if try receiveChunk(handle, &answer) { return }
            default: throw BlockError(.inputOutput, "the NBD server sent what is no answer")
            }
        }
    }

    private func receiveSimple(_ handle: UInt64, _ answer: inout Answer) throws(BlockError) {
        let error: UInt32 = try socket.receive()
        guard try socket.receive(UInt64.self) == handle else { throw wrongHandle }
        if error != 0 {
            answer.failure = Self.failure(error)
        } else if let region = answer.region {
            try socket.receive(region)
        }
    }

    private var wrongHandle: BlockError {
        BlockError(.inputOutput, "the NBD server answered a question that was not asked")
    }

    /// - Returns: whether the answer is complete.
    private func receiveChunk(_ handle: UInt64, _ answer: inout Answer) throws(BlockError) -> Bool {
        let flags: UInt16 = try socket.receive()
        let type: UInt16 = try socket.receive()
        guard try socket.receive(UInt64.self) == handle else { throw wrongHandle }
        let length: UInt32 = try socket.receive()
        switch type {
        case NBDWire.Chunk.data:
            guard length >= 8 else { throw badChunk }
            let offset: UInt64 = try socket.receive()
            try socket.receive(try part(of: answer, offset, UInt64(length) - 8))
        case NBDWire.Chunk.hole:
            guard length == 12 else { throw badChunk }
            let offset: UInt64 = try socket.receive()
            let count: UInt32 = try socket.receive()
            try part(of: answer, offset, UInt64(count)).fill(0)
        default:
            guard length <= NBDWire.longestReply else { throw badChunk }
            take(type, try socket.receive(count: Int(length)), &answer)
        }
        return flags & NBDWire.Chunk.isLast != 0
    }

    private var badChunk: BlockError { BlockError(.inputOutput, "the NBD server sent a malformed answer") }

    private func part(of answer: Answer, _ offset: UInt64, _ count: UInt64) throws(BlockError) -> ByteRegion {
        guard let region = answer.region, offset >= UInt64(answer.offset) else { throw badChunk }
        let start = offset - UInt64(answer.offset)
        guard start <= UInt64(region.count), count <= UInt64(region.count) - start else { throw badChunk }
        return region.slice(Int(start), Int(count))
    }

    private func take(_ type: UInt16, _ data: [UInt8], _ answer: inout Answer) {
        switch type {
        case NBDWire.Chunk.none: break
        case NBDWire.Chunk.blockStatus:
            guard data.load(UInt32.self, at: 0, order: .big) == export.context else { return }
            var place = 4
            while let count: UInt32 = data.load(at: place, order: .big),
                let state: UInt32 = data.load(at: place + 4, order: .big)
            {
                answer.extents.append((count, state))
                place += 8
            }
        default:
            let error: UInt32 = data.load(at: 0, order: .big) ?? UInt32(EIO)
            if answer.failure == nil { answer.failure = Self.failure(error) }
        }
    }

    /// The protocol's error numbers are Linux's.
    private static func failure(_ error: UInt32) -> BlockError {
        let known: Set<Int32> = [EPERM, EIO, ENOMEM, EINVAL, ENOSPC, EOVERFLOW, ENOTSUP, ESHUTDOWN]
        let number = Int32(truncatingIfNeeded: error)
        return BlockError(system: Errno(known.contains(number) ? number : EINVAL))
    }
}
