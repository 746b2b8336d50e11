// SPDX-License-Identifier: Apache-2.0

internal import Glibc
internal import HostSystem
public import LibvirtProtocol
internal import LocalSockets
public import XDRCoding

/// A connection to a server that speaks libvirt's protocol: `roostd`, or libvirtd itself.
///
/// Calls wait for their replies; one thread at a time uses a connection. Messages that the server sends on its own while
/// a call waits are kept for `nextMessage`.
///
/// ```swift
/// let server = try ServerConnection(path: "/run/libvirt/libvirt-sock")
/// try server.open("qemu:///system")
/// let machines = try server.call(Procedures.connectListAllDomains, Message(1, 0)).fields.0
/// ```
public final class ServerConnection {
    /// A frame that the server sent.
    public struct Incoming {
        /// Says whether it is a reply, a message or part of a stream.
        public let header: FrameHeader
        /// What follows the header.
        public let payload: XDRReader
    }

    private let socket: FileDescriptor
    private var nextSerial: UInt32 = 1
    private var waiting: [Incoming] = []

    /// Messages that are kept when nobody asks for them; the oldest is dropped then.
    private static let messageLimit = 4096

    /// Connects to the socket at `path`.
    public init(path: String) throws(ClientError) {
        do throws(Errno) { socket = try LocalSocket.connect(path: path) } catch {
            throw .unreachable(path: path, error)
        }
    }

    /// The descriptor to wait on for what the server sends.
    public var descriptor: Int32 { socket.number }

    /// Authenticates as the caller's own user and opens a driver.
    /// - Parameter uri: a connection URI: "qemu:///system", "qemu:///session".
    public func open(_ uri: String, readOnly: Bool = false) throws(ClientError) {
        let methods = try call(Procedures.authList, Message()).fields
        guard methods.contains(0) || methods.isEmpty else {
            throw .brokenProtocol("it wants an authentication that a local client does not have")
        }
        _ = try call(Procedures.connectOpen, Message(uri, readOnly ? 1 : 0))
    }

    /// Makes a call and waits for its result.
    public func call<Arguments: XDRValue, Results: XDRValue>(
        _ procedure: Procedure<Arguments, Results>, _ arguments: Arguments
    ) throws(ClientError) -> Results {
        let serial = try send(procedure, arguments)
        return try results(procedure, of: try reply(serial))
    }

    /// Makes a call that opens a stream.
    public func openStream<Arguments: XDRValue, Results: XDRValue>(
        _ procedure: Procedure<Arguments, Results>, _ arguments: Arguments
    ) throws(ClientError) -> ClientStream {
        let serial = try send(procedure, arguments)
        _ = try results(procedure, of: try reply(serial))
        return ClientStream(
            connection: self,
            header: FrameHeader(
                program: procedure.program.rawValue, procedure: procedure.number, type: .stream, serial: serial))
    }

    private func send<Arguments: XDRValue, Results: XDRValue>(
        _ procedure: Procedure<Arguments, Results>, _ arguments: Arguments
    ) throws(ClientError) -> UInt32 {
        let serial = nextSerial
        nextSerial &+= 1
        let header = FrameHeader(
            program: procedure.program.rawValue, procedure: procedure.number, type: .call, serial: serial)
        try send(header.frame { arguments.encode(to: &$0) })
        return serial
    }

    func send(_ bytes: [UInt8]) throws(ClientError) {
        do throws(Errno) { try socket.writeAll(bytes) } catch { throw .connectionLost(error.description) }
    }

    private func results<Arguments: XDRValue, Results: XDRValue>(
        _ procedure: Procedure<Arguments, Results>, of reply: Incoming
    ) throws(ClientError) -> Results {
        try Self.check(reply)
        do throws(XDRError) {
            var payload = reply.payload
            return try Results(from: &payload)
        } catch { throw .brokenProtocol("the reply to \(procedure.name): \(error)") }
    }

    /// Throws the error that a frame carries.
    static func check(_ frame: Incoming) throws(ClientError) {
        guard frame.header.status == FrameStatus.error.rawValue else { return }
        let error: WireError
        do throws(XDRError) {
            var payload = frame.payload
            error = try WireError(from: &payload)
        } catch { throw .brokenProtocol("an error report: \(error)") }
        throw .refused(code: error.code, message: error.message ?? "error \(error.code)")
    }

    /// The reply to a call; messages that come first are kept.
    private func reply(_ serial: UInt32) throws(ClientError) -> Incoming {
        while true {
            let frame = try nextFrame()
            switch FrameType(rawValue: frame.header.type) {
            case .reply, .replyWithDescriptors:
                guard frame.header.serial == serial else { throw .brokenProtocol("a reply to another call") }
                return frame
            default: keep(frame)
            }
        }
    }

    func keep(_ frame: Incoming) {
        if waiting.count >= Self.messageLimit { waiting.removeFirst() }
        waiting.append(frame)
    }

    /// The next packet of a stream.
    func nextPacket(of serial: UInt32) throws(ClientError) -> Incoming {
        if let place = waiting.firstIndex(where: { $0.isPacket(of: serial) }) { return waiting.remove(at: place) }
        while true {
            let frame = try nextFrame()
            if frame.isPacket(of: serial) { return frame }
            keep(frame)
        }
    }

    /// Whether something that arrived waits to be taken, so that waiting on the descriptor would be in vain.
    public var hasWaiting: Bool { !waiting.isEmpty }

    /// The next message that the server sends on its own, at once if one was kept.
    public func nextMessage() throws(ClientError) -> Incoming {
        if let place = waiting.firstIndex(where: { $0.header.type == FrameType.message.rawValue }) {
            return waiting.remove(at: place)
        }
        while true {
            let frame = try nextFrame()
            if frame.header.type == FrameType.message.rawValue { return frame }
            keep(frame)
        }
    }

    /// Waits until the server has sent something.
    /// - Parameter milliseconds: how long at most.
    /// - Returns: false when the time is over.
    public func wait(milliseconds: Int32) -> Bool {
        if hasWaiting { return true }
        var wanted = pollfd(fd: socket.number, events: Int16(POLLIN), revents: 0)
        // One entry, on this frame.
        return unsafe poll(&wanted, 1, milliseconds) > 0
    }

    // MARK: Frames

    /// The next frame; pings are answered on the way.
    private func nextFrame() throws(ClientError) -> Incoming {
        while true {
            var lengthReader = XDRReader(try receive(4))
            let length = Int((try? lengthReader.word()) ?? 0)
            guard (FrameHeader.byteCount...FrameHeader.frameLimit).contains(length) else {
                throw .brokenProtocol("a frame of \(length) bytes")
            }
            var reader = XDRReader(try receive(length - 4))
            let header: FrameHeader
            do throws(XDRError) { header = try FrameHeader(from: &reader) } catch {
                throw .brokenProtocol("\(error)")
            }
            guard header.program == WireProgram.keepalive.rawValue else {
                return Incoming(header: header, payload: reader)
            }
            if header.procedure == Self.ping {
                let answer = FrameHeader(
                    program: header.program, procedure: Self.pong, type: .message, serial: 0)
                try send(answer.frame())
            }
        }
    }

    /// Procedures of the keepalive program.
    private static let ping: Int32 = 1, pong: Int32 = 2

    private func receive(_ count: Int) throws(ClientError) -> [UInt8] {
        var bytes = [UInt8](repeating: 0, count: count)
        var done = 0
        while done < count {
            let start = done
            // The part from `start` lies inside the array for the call.
            let result: Result<Int, Errno> = unsafe bytes.withUnsafeMutableBytes { buffer in
                do throws(Errno) {
                    return .success(
                        try unsafe socket.read(into: UnsafeMutableRawBufferPointer(rebasing: buffer[start...])))
                } catch { return .failure(error) }
            }
            do throws(Errno) {
                let received = try result.get()
                guard received > 0 else { throw Errno(ECONNRESET) }
                done += received
            } catch { throw .connectionLost(error.description) }
        }
        return bytes
    }
}

extension ServerConnection.Incoming {
    /// Whether it belongs to the stream that the call of this number opened.
    func isPacket(of serial: UInt32) -> Bool {
        header.serial == serial
            && (header.type == FrameType.stream.rawValue || header.type == FrameType.streamHole.rawValue)
    }

    /// What an event says; nil when this is another message.
    public func body<Body: XDRValue>(of event: EventMessage<Body>) throws(ClientError) -> Body? {
        guard header.type == FrameType.message.rawValue, header.program == event.program.rawValue,
            header.procedure == event.number
        else { return nil }
        do throws(XDRError) {
            var reader = payload
            return try Body(from: &reader)
        } catch { throw .brokenProtocol("event \(event.number): \(error)") }
    }
}
