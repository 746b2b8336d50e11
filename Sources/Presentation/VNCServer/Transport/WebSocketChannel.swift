// SPDX-License-Identifier: Apache-2.0

internal import ByteCoding
internal import Cryptography
internal import HostSystem

/// The WebSocket protocol (RFC 6455) over another channel, as browsers speak it: binary messages without extensions.
package final class WebSocketChannel: VNCChannel, @unchecked Sendable {
    private enum Opcode {
        static let continuation: UInt8 = 0, text: UInt8 = 1, binary: UInt8 = 2, close: UInt8 = 8, ping: UInt8 = 9
        static let pong: UInt8 = 10
    }
    private static let longestRequest = 4096
    private static let longestControl = 125
    private static let acceptKey = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"

    private let inner: any VNCChannel
    private let reader: VNCReader
    // Of the receiving thread: what is left of the current frame.
    private var remaining: UInt64 = 0
    private var mask: [UInt8] = [0, 0, 0, 0]
    private var maskPlace = 0
    private var isClosed = false
    /// Answers to pings are sent by the receiving thread, between the frames of the sending one.
    private let sendLock = Lock()

    /// Answers the opening request.
    /// - Throws: what a browser would not send; the client got an HTTP error.
    package init(_ inner: any VNCChannel) throws(VNCFailure) {
        self.inner = inner
        reader = VNCReader(inner)
        let fields = try Self.readRequest(reader)
        guard let key = fields["sec-websocket-key"], fields["upgrade"]?.lowercased() == "websocket",
            fields["sec-websocket-version"] == "13",
            let digest = try? Digest.sha1.hash(Array((key + Self.acceptKey).utf8))
        else {
            try? inner.send(Array("HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n".utf8))
            throw VNCFailure("not a WebSocket request")
        }
        var answer = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        answer += "Sec-WebSocket-Accept: \(Base64.encode(digest))\r\n"
        let offered = (fields["sec-websocket-protocol"] ?? "").split(separator: ",").map { $0.filter { $0 != " " } }
        if offered.contains("binary") { answer += "Sec-WebSocket-Protocol: binary\r\n" }
        try inner.send(Array((answer + "\r\n").utf8))
        reader.readsAhead = true
    }

    /// The header fields of a GET, by lower-case name.
    private static func readRequest(_ reader: VNCReader) throws(VNCFailure) -> [String: String] {
        var bytes: [UInt8] = []
        while !bytes.suffix(4).elementsEqual([13, 10, 13, 10]) {
            guard bytes.count < longestRequest else { throw VNCFailure("a WebSocket request is too long") }
            bytes.append(try reader.byte())
        }
        var fields: [String: String] = [:]
        for line in String(decoding: bytes, as: UTF8.self).split(whereSeparator: \.isNewline).dropFirst() {
            guard let colon = line.firstIndex(of: ":") else { continue }
            let value = line[line.index(after: colon)...].drop { $0 == " " }
            fields[line[..<colon].lowercased()] = String(value)
        }
        return fields
    }

    // MARK: receiving

    /// Bytes of binary messages, unmasked; answers pings on the way. 0 after a close.
    package func receive(into buffer: UnsafeMutableRawBufferPointer) throws(VNCFailure) -> Int {
        while remaining == 0 {
            if isClosed { return 0 }
            try beginFrame()
        }
        let count = Int(min(UInt64(buffer.count), remaining))
        guard count > 0 else { return 0 }
        let data = try reader.bytes(min(count, 65536))
        for (index, byte) in data.enumerated() {
            // `data` is no longer than the buffer.
            unsafe buffer[index] = byte ^ mask[maskPlace & 3]
            maskPlace &+= 1
        }
        remaining -= UInt64(data.count)
        return data.count
    }

    private func beginFrame() throws(VNCFailure) {
        let first = try reader.byte(), second = try reader.byte()
        guard first & 0x70 == 0, second & 0x80 != 0 else {
            throw VNCFailure("a WebSocket frame is not as it should be")
        }
        var count = UInt64(second & 0x7F)
        if count == 126 {
            count = UInt64(try reader.short())
        } else if count == 127 {
            count = UInt64(try reader.long()) << 32 | UInt64(try reader.long())
        }
        mask = try reader.bytes(4)
        maskPlace = 0
        switch first & 0x0F {
        case Opcode.binary, Opcode.continuation: remaining = count
        case Opcode.close:
            isClosed = true
            try sendFrame(Opcode.close, [])
        case Opcode.ping, Opcode.pong:
            guard count <= UInt64(Self.longestControl) else { throw VNCFailure("a WebSocket ping is too long") }
            let data = try reader.bytes(Int(count)).enumerated().map { $1 ^ mask[$0 & 3] }
            if first & 0x0F == Opcode.ping { try sendFrame(Opcode.pong, data) }
        default: throw VNCFailure("a WebSocket frame is of an unknown kind")
        }
    }

    // MARK: sending

    private static func header(_ opcode: UInt8, _ count: Int) -> [UInt8] {
        var header = [0x80 | opcode]
        if count < 126 {
            header.append(UInt8(count))
        } else if count <= 0xFFFF {
            header += [126, UInt8(count >> 8), UInt8(count & 0xFF)]
        } else {
            header.append(127)
            for shift in stride(from: 56, through: 0, by: -8) {
                header.append(UInt8(truncatingIfNeeded: count >> shift))
            }
        }
        return header
    }

    private func sendFrame(_ opcode: UInt8, _ data: [UInt8]) throws(VNCFailure) {
        try sendLock.withLock { () throws(VNCFailure) in try inner.send(Self.header(opcode, data.count) + data) }
    }

    /// One binary message; from any thread.
    package func send(_ bytes: UnsafeRawBufferPointer) throws(VNCFailure) {
        guard bytes.count > 0 else { return }
        try sendLock.withLock { () throws(VNCFailure) in
            try inner.send(Self.header(Opcode.binary, bytes.count))
            try unsafe inner.send(bytes)
        }
    }

    /// Ends the channel below without a closing handshake.
    package func shutDown() { inner.shutDown() }
}
