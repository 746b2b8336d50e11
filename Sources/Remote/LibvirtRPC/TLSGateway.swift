// SPDX-License-Identifier: Apache-2.0

internal import Diagnostics
internal import Glibc
public import HostSystem
internal import LocalSockets
public import TransportSecurity

/// Takes clients over TLS: each has two threads that carry bytes between its session and a pair of sockets, of which the
/// server serves the other end like any client. A client's certificate is examined before anything is served.
public final class TLSGateway: @unchecked Sendable {
    private let server: RPCServer
    private let credentials: TLSCredentials
    private let allowedNames: [String]
    private let limit: Int
    private let lock = Lock()
    // Guarded by `lock`.
    private var count = 0

    /// - Parameters:
    ///   - allowedNames: distinguished names of clients that may come, with `*` for any text; empty for all that the
    ///     authority vouches for.
    ///   - limit: clients at a time.
    public init(_ server: RPCServer, _ credentials: TLSCredentials, allowedNames: [String], limit: Int) {
        self.server = server
        self.credentials = credentials
        self.allowedNames = allowedNames
        self.limit = limit
    }

    /// Serves clients of a listening socket, which becomes the gateway's.
    public func listen(on listener: consuming FileDescriptor) throws(Errno) {
        try listener.setNonBlocking(false)
        let number = listener.release()
        _ = try HostThread(name: "tls-accept") { [self] in
            while true {
                do throws(Errno) {
                    guard let client = try LocalSocket.accept(number) else { continue }
                    try take(client)
                } catch { Console.shared.warning("cannot accept a client over TLS: \(error)") }
            }
        }
    }

    private func take(_ client: consuming FileDescriptor) throws(Errno) {
        let hasRoom = lock.withLock {
            guard count < limit else { return false }
            count += 1
            return true
        }
        guard hasRoom else {
            return Console.shared.warning("a client over TLS is turned away: \(limit) are connected already")
        }
        try client.setNonBlocking(false)
        Self.bound(client.number)
        let number = client.release()
        do throws(Errno) {
            _ = try HostThread(name: "tls-client") { [self] in
                run(FileDescriptor(owning: number))
                lock.withLock { count -= 1 }
            }
        } catch {
            lock.withLock { count -= 1 }
            throw error
        }
    }

    /// Seconds that a client has for each step of the handshake.
    private static let handshakePatience = 10

    /// A client that says nothing does not keep its thread.
    private static func bound(_ socket: Int32, seconds: Int = handshakePatience) {
        var limit = timeval(tv_sec: seconds, tv_usec: 0)
        // The limit lives for the call.
        _ = unsafe setsockopt(socket, SOL_SOCKET, SO_RCVTIMEO, &limit, socklen_t(MemoryLayout<timeval>.size))
    }

    /// What libvirt's server says when it has examined a certificate.
    private static let welcome: [UInt8] = [1]

    private func run(_ client: consuming FileDescriptor) {
        do {
            let session = try TLSSession(credentials, descriptor: client.number)
            let name = try session.handshake()
            guard isAllowed(name) else {
                return Console.shared.warning("a client over TLS is refused: its name is '\(name ?? "")'")
            }
            Self.bound(client.number, seconds: 0)
            try Self.send(Self.welcome, session)
            var ends: [Int32] = [-1, -1]
            let kind = Int32(SOCK_STREAM.rawValue | SOCK_CLOEXEC.rawValue)
            // socketpair fills the two numbers.
            guard unsafe socketpair(AF_UNIX, kind, 0, &ends) == 0 else { throw Errno.current }
            let inner = FileDescriptor(owning: ends[0])
            let outer = FileDescriptor(owning: ends[1])
            try outer.setNonBlocking(true)
            server.serve(GatewayTransport(outer), readOnly: false)
            let (socket, pipe) = (client.number, inner.number)
            let sender = try HostThread(name: "tls-send") {
                Self.carryOut(from: pipe, session)
                // Wakes the receiver, which would wait for the client.
                shutdown(socket, Int32(SHUT_RDWR))
            }
            Self.carryIn(session, to: pipe)
            shutdown(pipe, Int32(SHUT_RDWR))
            sender.join()
        } catch { Console.shared.info("a client over TLS is refused: \(error)") }
    }

    private func isAllowed(_ name: String?) -> Bool {
        allowedNames.isEmpty
            || allowedNames.contains { Self.matches(Array($0.utf8)[...], Array((name ?? "").utf8)[...]) }
    }

    /// Whether a name fits a pattern in which `*` stands for any text.
    static func matches(_ pattern: ArraySlice<UInt8>, _ name: ArraySlice<UInt8>) -> Bool {
        let parts = pattern.split(separator: UInt8(ascii: "*"), omittingEmptySubsequences: false)
        var rest = name
        for (place, part) in parts.enumerated() {
            if place == 0 {
                guard rest.starts(with: part) else { return false }
                rest = rest.dropFirst(part.count)
            } else if place == parts.count - 1 {
                return rest.count >= part.count && rest.suffix(part.count).elementsEqual(part)
            } else if !part.isEmpty {
                guard rest.count >= part.count,
                    let found = rest.indices.first(where: { rest[$0...].starts(with: part) })
                else { return false }
                rest = rest[(found + part.count)...]
            }
        }
        return rest.isEmpty
    }

    private static let chunk = 65536

    private static func send(_ bytes: [UInt8], _ session: TLSSession) throws(TLSError) {
        var done = 0
        while done < bytes.count {
            // The rest of the array lives for the call.
            let sent: Result<Int, TLSError> = unsafe bytes.withUnsafeBytes { buffer in
                do throws(TLSError) {
                    return .success(try unsafe session.send(UnsafeRawBufferPointer(rebasing: buffer[done...])))
                } catch { return .failure(error) }
            }
            done += try sent.get()
        }
    }

    private static func carryOut(from pipe: Int32, _ session: TLSSession) {
        var bytes: [UInt8] = []
        var descriptors: [Int32] = []
        while true {
            bytes.removeAll(keepingCapacity: true)
            do {
                guard try LocalSocket.receive(pipe, limit: chunk, into: &bytes, descriptors: &descriptors) > 0 else {
                    return session.finish()
                }
                try send(bytes, session)
            } catch { return }
        }
    }

    private static func carryIn(_ session: TLSSession, to pipe: Int32) {
        var chunk = [UInt8](repeating: 0, count: Self.chunk)
        while true {
            // The array lives for the call.
            let read: Result<Int, TLSError> = unsafe chunk.withUnsafeMutableBytes { buffer in
                do throws(TLSError) { return .success(try unsafe session.receive(into: buffer)) } catch {
                    return .failure(error)
                }
            }
            guard case .success(let count) = read, count > 0 else { return }
            do throws(Errno) { try FileDescriptor.writeAll(Array(chunk.prefix(count)), to: pipe) } catch { return }
        }
    }
}

/// The server's end of a gateway's pair.
final class GatewayTransport: Transport {
    private let socket: FileDescriptor

    init(_ socket: consuming FileDescriptor) { self.socket = socket }

    var descriptor: Int32 { socket.number }
    var passesDescriptors: Bool { false }
    var isSecure: Bool { true }
    var peer: PeerCredentials? { nil }

    func receive(limit: Int, into buffer: inout [UInt8], descriptors: inout [Int32]) throws(Errno) -> Int {
        try LocalSocket.receive(socket.number, limit: limit, into: &buffer, descriptors: &descriptors)
    }

    func send(_ bytes: [UInt8], from offset: Int, passing descriptor: Int32) throws(Errno) -> Int {
        try LocalSocket.send(socket.number, bytes, from: offset)
    }
}
