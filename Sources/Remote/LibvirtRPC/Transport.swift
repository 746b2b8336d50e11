// SPDX-License-Identifier: Apache-2.0

public import HostSystem
public import LocalSockets

/// How bytes travel: a plain socket, or one under TLS. Used by the connection's loop thread for input, and under the
/// connection's lock for output.
public protocol Transport: AnyObject, Sendable {
    /// What to wait on for input and output.
    var descriptor: Int32 { get }
    /// Whether file descriptors can be passed.
    var passesDescriptors: Bool { get }
    /// Whether nobody on the way can read along (a UNIX socket, or TLS).
    var isSecure: Bool { get }
    /// Who is at the other end, where the transport knows.
    var peer: PeerCredentials? { get }
    /// Reads at most `limit` bytes behind what `buffer` holds; 0 at the end.
    func receive(limit: Int, into buffer: inout [UInt8], descriptors: inout [Int32]) throws(Errno) -> Int
    /// Sends bytes from `offset` on and says how many went out.
    func send(_ bytes: [UInt8], from offset: Int, passing descriptor: Int32) throws(Errno) -> Int
}

/// A connection over a UNIX socket.
public final class LocalTransport: Transport {
    private let socket: FileDescriptor
    /// The process that connected, as the kernel says; nil if it does not.
    public let peer: PeerCredentials?

    /// Takes over a connected, non-blocking socket.
    public init(_ socket: consuming FileDescriptor) {
        peer = try? LocalSocket.peer(of: socket.number)
        self.socket = socket
    }

    /// The socket's number.
    public var descriptor: Int32 { socket.number }
    /// Always: SCM_RIGHTS.
    public var passesDescriptors: Bool { true }
    /// Always: nobody is on the way.
    public var isSecure: Bool { true }

    /// As recvmsg(2); descriptors that came are appended and belong to the caller.
    public func receive(
        limit: Int, into buffer: inout [UInt8], descriptors: inout [Int32]
    ) throws(Errno) -> Int {
        try LocalSocket.receive(socket.number, limit: limit, into: &buffer, descriptors: &descriptors)
    }

    /// As sendmsg(2); a descriptor other than -1 goes with the first byte.
    public func send(_ bytes: [UInt8], from offset: Int, passing descriptor: Int32) throws(Errno) -> Int {
        try LocalSocket.send(socket.number, bytes, from: offset, passing: descriptor)
    }
}
