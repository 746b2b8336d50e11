// SPDX-License-Identifier: Apache-2.0

internal import Diagnostics
public import HostSystem
public import LibvirtProtocol
internal import ManagementModel
public import XDRCoding

/// A call that is being answered.
public final class IncomingCall: @unchecked Sendable {
    /// The call as it came: header, arguments still encoded, descriptors.
    public let frame: Frame
    /// Where the reply goes.
    public let connection: ClientConnection
    // Touched by the handler alone, before the reply.
    private var replyDescriptors: [Int32] = []

    init(_ frame: Frame, on connection: ClientConnection) {
        self.frame = frame
        self.connection = connection
    }

    /// Opens the stream that the call asks for. Packets may be sent when the handler has returned.
    public func openStream(_ receiver: any StreamReceiver) throws -> ServerStream {
        let stream = ServerStream(call: frame.header, connection: connection, receiver: receiver)
        guard connection.add(stream) else {
            throw ManagementError(.rpc, "the connection has too many streams", from: .streams)
        }
        return stream
    }

    /// The next descriptor that came with the call, which becomes the caller's; nil when there is none.
    public func takeDescriptor() -> FileDescriptor? { frame.descriptors.take() }

    /// Sends a descriptor along with the reply.
    public func pass(_ descriptor: consuming FileDescriptor) { replyDescriptors.append(descriptor.release()) }

    func succeed(_ body: (inout XDRWriter) -> Void) {
        let descriptors = replyDescriptors
        replyDescriptors = []
        var header = FrameHeader(
            program: frame.header.program, procedure: frame.header.procedure,
            type: descriptors.isEmpty ? .reply : .replyWithDescriptors, serial: frame.header.serial)
        header.version = frame.header.version
        let bytes = header.frame(capacity: 256) { writer in
            if !descriptors.isEmpty { writer.word(UInt32(descriptors.count)) }
            body(&writer)
        }
        guard bytes.count <= FrameHeader.frameLimit else {
            for number in descriptors { _ = FileDescriptor(owning: number) }
            return fail(ManagementError(.rpc, "Unable to encode message payload", from: .rpc))
        }
        connection.send(bytes, descriptors: descriptors)
    }

    func fail(_ error: any Error) {
        for number in replyDescriptors { _ = FileDescriptor(owning: number) }
        replyDescriptors = []
        let told =
            switch error {
            case let error as ManagementError: error
            case is XDRError: ManagementError(.rpc, "Unable to decode message payload", from: .rpc)
            default: ManagementError(.internalError, "\(error)", from: .rpc)
            }
        let header = FrameHeader(
            program: frame.header.program, procedure: frame.header.procedure, type: .reply,
            serial: frame.header.serial, status: .error)
        connection.send(header.frame(capacity: 256) { WireError(told).encode(to: &$0) })
    }
}

/// Where a call is worked on.
public enum CallStyle: Sendable {
    /// At once, on the connection's loop: it must not wait for anything.
    case quick
    /// On a worker thread.
    case blocking
}

/// The calls that are there, each with what answers it. `Context` is what a connection's handler knows.
public final class CallTable<Context: AnyObject & Sendable>: @unchecked Sendable {
    /// What is checked before a call is answered.
    public struct Facts: Sendable {
        /// libvirt's name for the call, for messages and the log.
        public let name: String
        /// What is refused on read-only connections.
        public let access: Access
        /// Which thread answers.
        public let style: CallStyle
        /// Whether it is answered before the connection is opened.
        public let worksUnopened: Bool
    }

    /// Reads a call's arguments and writes them again.
    private typealias Echo = @Sendable (inout XDRReader) throws(XDRError) -> [UInt8]
    private typealias Body = @Sendable (Context, IncomingCall, inout XDRReader) throws -> (inout XDRWriter) -> Void
    private struct Key: Hashable {
        let program: UInt32
        let number: Int32
    }
    // Filled before the first connection, then only read.
    private var entries: [Key: (facts: Facts, echo: Echo, body: Body)] = [:]

    /// A table without calls.
    public init() {}

    /// Numbers of the calls of a program that are answered.
    public func numbers(of program: WireProgram) -> [Int32] {
        entries.keys.filter { $0.program == program.rawValue }.map(\.number).sorted()
    }

    /// Answers `procedure` with `body`.
    public func answer<each Argument: XDRValue, each Output: XDRValue>(
        _ procedure: Procedure<Message<repeat each Argument>, Message<repeat each Output>>,
        _ style: CallStyle = .quick, unopened: Bool = false,
        _ body: @escaping @Sendable (Context, IncomingCall, repeat each Argument) throws -> (repeat each Output)
    ) {
        let facts = Facts(name: procedure.name, access: procedure.access, style: style, worksUnopened: unopened)
        let key = Key(program: procedure.program.rawValue, number: procedure.number)
        precondition(entries[key] == nil, "\(procedure.name) is answered twice")
        entries[key] = (
            facts,
            { @Sendable reader throws(XDRError) in
                var writer = XDRWriter()
                try Message<repeat each Argument>(from: &reader).encode(to: &writer)
                return writer.bytes
            },
            { @Sendable context, call, reader in
                let arguments = try Message<repeat each Argument>(from: &reader)
                let results = try body(context, call, repeat each arguments.fields)
                let message = Message<repeat each Output>(repeat each results)
                return { message.encode(to: &$0) }
            }
        )
    }

    /// What is known of the call that `header` names; nil when there is no such call.
    public func facts(of header: FrameHeader) -> Facts? {
        entries[Key(program: header.program, number: header.procedure)]?.facts
    }

    /// The arguments of a call, read and written again, for tests of the codec; nil when there is no such call.
    package func echo(_ header: FrameHeader, _ payload: [UInt8]) throws(XDRError) -> [UInt8]? {
        guard let entry = entries[Key(program: header.program, number: header.procedure)] else { return nil }
        var reader = XDRReader(payload)
        return try entry.echo(&reader)
    }

    /// Answers a call, here or on a worker thread. The call's own errors go to the client.
    /// - Parameter check: refuses a call by throwing.
    public func dispatch(
        _ frame: Frame, on connection: ClientConnection, context: Context, check: (Facts) throws -> Void
    ) {
        let call = IncomingCall(frame, on: connection)
        let key = Key(program: frame.header.program, number: frame.header.procedure)
        do {
            guard
                frame.header.program == WireProgram.remote.rawValue || frame.header.program == WireProgram.qemu.rawValue
            else {
                throw ManagementError(
                    .rpc, "Cannot find program \(frame.header.program) version \(frame.header.version)", from: .rpc)
            }
            guard let entry = entries[key] else {
                throw ManagementError(.rpc, "unknown procedure: \(frame.header.procedure)", from: .rpc)
            }
            try check(entry.facts)
            switch entry.facts.style {
            case .quick: run(entry.body, call, context)
            case .blocking:
                connection.beginCall()
                connection.work { [self] in
                    run(entry.body, call, context)
                    connection.endCall()
                }
            }
        } catch { call.fail(error) }
    }

    private func run(_ body: Body, _ call: IncomingCall, _ context: Context) {
        do {
            var reader = call.frame.payload
            let reply = try body(context, call, &reader)
            call.succeed(reply)
        } catch { call.fail(error) }
    }
}
