// SPDX-License-Identifier: Apache-2.0

internal import LibvirtProtocol
internal import XDRCoding

/// A stream beside a connection's calls: a volume's content, or a console in both directions.
public final class ClientStream {
    /// What the server has sent.
    public enum Packet: Equatable, Sendable {
        case data([UInt8])
        /// So many zero bytes.
        case hole(Int64)
        case end
    }

    private let connection: ServerConnection
    private let header: FrameHeader

    init(connection: ServerConnection, header: FrameHeader) {
        self.connection = connection
        self.header = header
    }

    /// Sends data, in packets that every server takes.
    public func send(_ bytes: [UInt8]) throws(ClientError) {
        var rest = bytes[...]
        while !rest.isEmpty {
            let part = rest.prefix(FrameHeader.streamChunk)
            rest = rest.dropFirst(part.count)
            var header = header
            header.status = FrameStatus.more.rawValue
            try connection.send(header.frame(capacity: part.count) { $0.raw(part) })
        }
    }

    /// The next packet; waits for it.
    public func receive() throws(ClientError) -> Packet {
        let frame = try connection.nextPacket(of: header.serial)
        try ServerConnection.check(frame)
        guard frame.header.status == FrameStatus.more.rawValue else { return .end }
        var payload = frame.payload
        guard frame.header.type == FrameType.streamHole.rawValue else {
            let bytes = Array(payload.rest())
            // A packet without data is how servers say that nothing follows.
            return bytes.isEmpty ? .end : .data(bytes)
        }
        do throws(XDRError) { return .hole(try Int64(from: &payload)) } catch { throw .brokenProtocol("\(error)") }
    }

    /// Ends the stream and waits until the server has taken everything.
    public func finish() throws(ClientError) {
        try end(.ok)
    }

    /// Gives the stream up.
    public func abort() throws(ClientError) {
        try end(.error)
    }

    private func end(_ status: FrameStatus) throws(ClientError) {
        var header = header
        header.status = status.rawValue
        try connection.send(header.frame())
        while true {
            let frame = try connection.nextPacket(of: header.serial)
            try ServerConnection.check(frame)
            if frame.header.status == FrameStatus.ok.rawValue { return }
        }
    }
}
