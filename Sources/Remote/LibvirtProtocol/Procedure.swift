// SPDX-License-Identifier: Apache-2.0

public import XDRCoding

/// The programs that share a connection.
public enum WireProgram: UInt32, Sendable {
    /// Everything that is not particular to one hypervisor.
    case remote = 0x2000_8086
    /// What only QEMU's driver has.
    case qemu = 0x2000_8087
    /// Are you there?
    case keepalive = 0x6b65_6570

    /// The only version there is.
    public static let version: UInt32 = 1
}

/// Whether a call changes anything; a read-only connection may not make those that do.
public enum Access: Sendable {
    case read
    case write
}

/// A call that clients may make: its number, its types, and what it is called where a message names it.
public struct Procedure<Arguments: XDRValue, Results: XDRValue>: Sendable {
    /// The program of whose numbers `number` is one.
    public let program: WireProgram
    /// The number in a call's header, as in libvirt's remote_protocol.x.
    public let number: Int32
    /// Part of libvirt's name for the call, for messages and the log.
    public let name: String
    /// A read-only connection may make only calls of `read`.
    public let access: Access

    init(_ number: Int32, _ name: String, _ access: Access = .read, program: WireProgram = .remote) {
        self.program = program
        self.number = number
        self.name = name
        self.access = access
    }
}

/// A message that the server sends on its own.
public struct EventMessage<Body: XDRValue>: Sendable {
    /// The program of whose numbers `number` is one.
    public let program: WireProgram
    /// The number in the header; messages and calls share one sequence.
    public let number: Int32

    init(_ number: Int32, _ program: WireProgram = .remote) {
        self.number = number
        self.program = program
    }
}

/// All calls (in Tables/).
public enum Procedures {}

/// All messages of the server (in Tables/).
public enum EventMessages {}

/// What a frame is.
public enum FrameType: UInt32, Sendable {
    case call = 0
    case reply = 1
    case message = 2
    case stream = 3
    case callWithDescriptors = 4
    case replyWithDescriptors = 5
    case streamHole = 6
}

/// How it went, or how a stream goes on.
public enum FrameStatus: UInt32, Sendable {
    case ok = 0
    case error = 1
    case more = 2
}

/// The six words after a frame's length.
public struct FrameHeader: Equatable, Sendable {
    /// First word: a `WireProgram`, or what a client made up.
    public var program: UInt32
    /// Second word: `WireProgram.version`; anything else is refused.
    public var version: UInt32
    /// Third word: the number of the call or message within the program.
    public var procedure: Int32
    /// Fourth word: a `FrameType`, unchecked.
    public var type: UInt32
    /// Fifth word: the caller's number for a call, repeated in the reply; 0 for a message.
    public var serial: UInt32
    /// Sixth word: a `FrameStatus`, unchecked.
    public var status: UInt32

    /// Bytes of length and header.
    public static let byteCount = 28
    /// The longest frame, its length included.
    public static let frameLimit = (32 << 20) + 4
    /// Bytes of data in one stream packet that every client takes.
    public static let streamChunk = 262_120
    /// Streams of one connection at a time.
    public static let streamLimit = 64
    /// File descriptors with one message.
    public static let descriptorLimit = 32

    /// A header to send, of the only version.
    public init(
        program: UInt32, procedure: Int32, type: FrameType, serial: UInt32, status: FrameStatus = .ok
    ) {
        self.program = program
        version = WireProgram.version
        self.procedure = procedure
        self.type = type.rawValue
        self.serial = serial
        self.status = status.rawValue
    }

    /// Reads the words behind the length.
    public init(from reader: inout XDRReader) throws(XDRError) {
        program = try reader.word()
        version = try reader.word()
        procedure = Int32(bitPattern: try reader.word())
        type = try reader.word()
        serial = try reader.word()
        status = try reader.word()
    }

    /// A frame of this header and what `body` writes.
    public func frame(capacity: Int = 64, _ body: (inout XDRWriter) -> Void = { _ in }) -> [UInt8] {
        var writer = XDRWriter(capacity: Self.byteCount + capacity)
        writer.word(0)
        for word in [program, version, UInt32(bitPattern: procedure), type, serial, status] { writer.word(word) }
        body(&writer)
        writer.patch(UInt32(truncatingIfNeeded: writer.bytes.count), at: 0)
        return writer.bytes
    }
}
