// SPDX-License-Identifier: Apache-2.0

internal import BlockLayer
internal import CLinux
internal import Glibc
internal import HostSystem
internal import TransportSecurity

/// Where an NBD server is.
public enum NBDAddress: Sendable, Equatable {
    /// A socket in the file system.
    case unix(path: String)
    /// A host's name or number, and a port or a service's name.
    case tcp(host: String, port: String)
}

/// A connected stream socket on which whole messages are sent and received, in clear or encrypted.
///
/// `encryption` is set during the handshake, when one thread alone has the connection.
final class NBDConnection: @unchecked Sendable {
    private let descriptor: FileDescriptor
    private var encryption: TLSSession?

    init(_ descriptor: consuming FileDescriptor) {
        self.descriptor = descriptor
        var one: Int32 = 1
        // Four bytes of this frame; it fails only for a socket that is not TCP, which has no delay.
        _ = unsafe setsockopt(self.descriptor.number, Int32(IPPROTO_TCP), TCP_NODELAY, &one, 4)
    }

    /// Goes over to an encrypted connection.
    /// - Returns: the name in the peer's certificate, where it was asked for.
    func encrypt(_ credentials: TLSCredentials, hostname: String?) throws(BlockError) -> String? {
        do throws(TLSError) {
            let session = try TLSSession(credentials, descriptor: descriptor.number, hostname: hostname)
            let name = try session.handshake()
            encryption = session
            return name
        } catch {
            throw BlockError(.inputOutput, error.description)
        }
    }

    private func receive(_ session: TLSSession, _ region: ByteRegion) throws(BlockError) -> Int {
        do throws(TLSError) {
            // Written only inside the region, which lives for the call.
            return try unsafe session.receive(into: region.buffer)
        } catch {
            throw BlockError(.inputOutput, error.description)
        }
    }

    private func send(_ session: TLSSession, _ region: ByteRegion) throws(BlockError) -> Int {
        do throws(TLSError) {
            // Read only inside the region, which lives for the call.
            return try unsafe session.send(UnsafeRawBufferPointer(region.buffer))
        } catch {
            throw BlockError(.inputOutput, error.description)
        }
    }

    /// Fills the region.
    func receive(_ region: ByteRegion) throws(BlockError) {
        var done = 0
        while done < region.count {
            let rest = region.from(done)
            let count = if let encryption { try receive(encryption, rest) } else { try receiveClear(rest) }
            guard count > 0 else {
                throw BlockError(.inputOutput, "Unexpected end-of-file before all data were read")
            }
            done += count
        }
    }

    private func receiveClear(_ region: ByteRegion) throws(BlockError) -> Int {
        do throws(Errno) {
            // The kernel writes only inside the region, which lives for the call.
            return try retrying { unsafe recv(descriptor.number, region.base, region.count, Int32(MSG_WAITALL)) }
        } catch {
            throw BlockError(system: error, "Unable to read from socket")
        }
    }

    func receive(count: Int) throws(BlockError) -> ByteRegion {
        let region = AlignedBuffer(count: count).region
        try receive(region)
        return region
    }

    /// Sends the region; `more` says that the next part follows at once.
    func send(_ region: ByteRegion, more: Bool = false) throws(BlockError) {
        var done = 0
        while done < region.count {
            let rest = region.from(done)
            let count = if let encryption { try send(encryption, rest) } else { try sendClear(rest, more: more) }
            done += count
        }
    }

    private func sendClear(_ region: ByteRegion, more: Bool) throws(BlockError) -> Int {
        let flags = Int32(MSG_NOSIGNAL) | (more ? Int32(MSG_MORE) : 0)
        do throws(Errno) {
            // The kernel reads only inside the region, which lives for the call.
            return try retrying { unsafe Glibc.send(descriptor.number, region.base, region.count, flags) }
        } catch {
            throw BlockError(system: error, "Unable to write to socket")
        }
    }

    func send(_ bytes: [UInt8], more: Bool = false) throws(BlockError) {
        try bytes.withRegion { (region) throws(BlockError) in try send(region, more: more) }
    }

    /// Ends both directions; whoever is waiting in a call wakes up.
    func shutdown() {
        encryption?.finish()
        disconnect()
    }

    /// Ends both directions without a goodbye.
    func disconnect() { _ = Glibc.shutdown(descriptor.number, Int32(SHUT_RDWR)) }

    // MARK: Making connections

    static func connect(_ address: NBDAddress) throws(BlockError) -> NBDConnection {
        switch address {
        case .unix(let path):
            let file = try make(AF_UNIX)
            let status = try unsafe withUnix(path) { unsafe Glibc.connect(file.number, $0, $1) }
            guard status == 0 else {
                throw BlockError(system: Errno.current, "Failed to connect to '\(path)'")
            }
            return NBDConnection(file)
        case .tcp(let host, let port):
            return NBDConnection(
                try unsafe eachAddress(host, port, passive: false) { (family, place, length) throws(BlockError) in
                    let file = try make(family)
                    guard unsafe Glibc.connect(file.number, place, length) == 0 else {
                        throw BlockError(system: Errno.current, "Failed to connect to '\(host):\(port)'")
                    }
                    return file
                })
        }
    }

    static func listen(_ address: NBDAddress) throws(BlockError) -> FileDescriptor {
        switch address {
        case .unix(let path):
            let file = try make(AF_UNIX)
            // A path that nobody listens on any more is in the way of bind.
            _ = unsafe unlink(path)
            let status = try unsafe withUnix(path) { unsafe bind(file.number, $0, $1) }
            guard status == 0 else {
                throw BlockError(system: Errno.current, "Failed to bind socket to \(path)")
            }
            guard Glibc.listen(file.number, backlog) == 0 else {
                throw BlockError(system: Errno.current, "Failed to listen on socket")
            }
            return file
        case .tcp(let host, let port):
            return try unsafe eachAddress(host, port, passive: true) { (family, place, length) throws(BlockError) in
                let file = try make(family)
                var one: Int32 = 1
                // Four bytes of this frame.
                _ = unsafe setsockopt(file.number, SOL_SOCKET, SO_REUSEADDR, &one, 4)
                guard unsafe bind(file.number, place, length) == 0, Glibc.listen(file.number, backlog) == 0 else {
                    throw BlockError(system: Errno.current, "Failed to find an available port")
                }
                return file
            }
        }
    }

    /// The port that a listening TCP socket got; nil for others.
    static func port(of descriptor: Int32) -> UInt16? {
        var address = sockaddr_in()
        var length = socklen_t(MemoryLayout<sockaddr_in>.size)
        // The struct is filled up to its own length.
        let status = unsafe withUnsafeMutablePointer(to: &address) { pointer in
            unsafe pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                unsafe getsockname(descriptor, $0, &length)
            }
        }
        let family = Int32(address.sin_family)
        return status == 0 && (family == AF_INET || family == AF_INET6) ? UInt16(bigEndian: address.sin_port) : nil
    }

    private static let backlog: Int32 = 64

    private static func make(_ family: Int32) throws(BlockError) -> FileDescriptor {
        do {
            let kind = Int32(SOCK_STREAM.rawValue) | O_CLOEXEC
            return FileDescriptor(owning: try retrying { socket(family, kind, 0) })
        } catch {
            throw BlockError(system: error, "Failed to create socket")
        }
    }

    private static func withUnix(
        _ path: String, _ body: (UnsafePointer<sockaddr>, socklen_t) -> Int32
    ) throws(BlockError) -> Int32 {
        var address = sockaddr_un()
        address.sun_family = sa_family_t(AF_UNIX)
        let bytes = Array(path.utf8)
        let capacity = MemoryLayout.size(ofValue: address.sun_path)
        guard bytes.count < capacity else {
            throw BlockError(
                .invalidArgument, "UNIX socket path '\(path)' is too long",
                hint: "Path must be less than \(capacity) bytes")
        }
        // The path fits with its terminating zero, as was checked; sockaddr_un begins as every sockaddr does.
        unsafe withUnsafeMutableBytes(of: &address.sun_path) { unsafe $0.copyBytes(from: bytes) }
        return unsafe withUnsafePointer(to: &address) { pointer in
            unsafe pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                unsafe body($0, socklen_t(MemoryLayout<sockaddr_un>.size))
            }
        }
    }

    /// Tries each address that a name stands for; the last failure counts.
    private static func eachAddress(
        _ host: String, _ port: String, passive: Bool,
        _ body: (Int32, UnsafePointer<sockaddr>, socklen_t) throws(BlockError) -> FileDescriptor
    ) throws(BlockError) -> FileDescriptor {
        var hints = unsafe addrinfo()
        unsafe hints.ai_family = passive && (host.isEmpty || host == "0.0.0.0") ? AF_INET : AF_UNSPEC
        unsafe hints.ai_socktype = Int32(SOCK_STREAM.rawValue)
        unsafe hints.ai_flags = passive ? AI_PASSIVE : 0
        var list: UnsafeMutablePointer<addrinfo>?
        // getaddrinfo makes a list that is freed below; each entry's address is valid for its length.
        let status = unsafe getaddrinfo(host.isEmpty ? nil : host, port, &hints, &list)
        guard status == 0, let first = unsafe list else {
            let reason = unsafe String(cString: gai_strerror(status))
            throw BlockError(.notFound, "address resolution failed for \(host):\(port): \(reason)")
        }
        defer { unsafe freeaddrinfo(first) }
        var failure = BlockError(.notFound, "no address for \(host)")
        var entry: UnsafeMutablePointer<addrinfo>? = unsafe first
        while let candidate = unsafe entry {
            do {
                return try unsafe body(
                    candidate.pointee.ai_family, candidate.pointee.ai_addr, candidate.pointee.ai_addrlen)
            } catch { failure = error }
            unsafe entry = candidate.pointee.ai_next
        }
        throw failure
    }
}
