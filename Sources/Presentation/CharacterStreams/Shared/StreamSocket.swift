// SPDX-License-Identifier: Apache-2.0

internal import CLinux
internal import Glibc
package import HostSystem

/// Where a stream socket is.
public enum StreamAddress: Equatable, Sendable {
    /// A path, or a name in the kernel's own name space.
    case unix(path: String, isAbstract: Bool)
    /// A host's name or number; empty for every address of a server.
    case tcp(host: String, port: UInt16, ipv4: Bool, ipv6: Bool)

    /// "unix:/run/x.sock", "tcp:127.0.0.1:4444".
    func text(scheme: String) -> String {
        switch self {
        case .unix(let path, let isAbstract): isAbstract ? "unix:\(path),abstract=on" : "unix:\(path)"
        case .tcp(let host, let port, _, _): "\(scheme):\(host.isEmpty ? "0.0.0.0" : host):\(port)"
        }
    }
}

/// A socket operation that failed: the step and the host's reason, as QEMU words it.
public struct StreamSocketError: Error, CustomStringConvertible, Sendable {
    /// One line: the step and the host's reason.
    public let description: String
    init(_ description: String) { self.description = description }
}

/// The calls on stream sockets, all non-blocking and closed on exec.
package enum StreamSocket {
    // The socket calls read addresses that live on the caller's frame for the length of the call.
    private static let backlog: Int32 = 16

    /// A socket that listens; a stale unix socket's path is taken over.
    package static func listen(_ address: StreamAddress) throws(StreamSocketError) -> FileDescriptor {
        switch address {
        case .unix(let path, let isAbstract):
            let file = try make(AF_UNIX)
            // A path that nobody listens on any more is in the way of bind.
            if !isAbstract { _ = unsafe unlink(path) }
            guard try unsafe withUnix(path, isAbstract, { unsafe bind(file.number, $0, $1) }) == 0 else {
                throw failure("Failed to bind socket to \(path)")
            }
            guard Glibc.listen(file.number, backlog) == 0 else { throw failure("Failed to listen on socket") }
            return file
        case .tcp(let host, let port, _, _):
            return try unsafe eachAddress(address, passive: true) { (family, place, length) throws(StreamSocketError) in
                let file = try make(family)
                var one: Int32 = 1
                // Four bytes of this frame.
                _ = unsafe setsockopt(file.number, SOL_SOCKET, SO_REUSEADDR, &one, 4)
                guard unsafe bind(file.number, place, length) == 0, Glibc.listen(file.number, backlog) == 0 else {
                    throw failure("Failed to find an available port: \(Errno.current)", host, port)
                }
                return file
            }
        }
    }

    /// A connected socket; waits until the connection is made or refused.
    package static func connect(_ address: StreamAddress) throws(StreamSocketError) -> FileDescriptor {
        switch address {
        case .unix(let path, let isAbstract):
            let file = try make(AF_UNIX)
            guard try unsafe withUnix(path, isAbstract, { unsafe Glibc.connect(file.number, $0, $1) }) == 0 else {
                throw failure("Failed to connect to '\(path)'")
            }
            return file
        case .tcp(let host, let port, _, _):
            return try unsafe eachAddress(address, passive: false) {
                (family, place, length) throws(StreamSocketError) in
                let file = try make(family)
                guard unsafe Glibc.connect(file.number, place, length) == 0 else {
                    throw failure("Failed to connect to '\(host):\(port)'")
                }
                return file
            }
        }
    }

    /// A datagram socket that sends to one place.
    package static func datagram(
        to remote: (host: String, port: UInt16), from local: (host: String, port: UInt16)?
    ) throws(StreamSocketError) -> FileDescriptor {
        let target = StreamAddress.tcp(host: remote.host, port: remote.port, ipv4: true, ipv6: true)
        return try unsafe eachAddress(target, passive: false, kind: SOCK_DGRAM) {
            (family, place, length) throws(StreamSocketError) in
            let file = try make(family, SOCK_DGRAM)
            if let local {
                let source = StreamAddress.tcp(
                    host: local.host, port: local.port, ipv4: family == AF_INET, ipv6: family == AF_INET6)
                _ = try unsafe eachAddress(source, passive: true, kind: SOCK_DGRAM) {
                    (_, place, length) throws(StreamSocketError) in
                    guard unsafe bind(file.number, place, length) == 0 else {
                        throw failure("Failed to bind socket to '\(local.host):\(local.port)'")
                    }
                    return true
                }
            }
            guard unsafe Glibc.connect(file.number, place, length) == 0 else {
                throw failure("Failed to connect to '\(remote.host):\(remote.port)'")
            }
            return FileDescriptor(owning: file.release())
        }
    }

    /// The next client of a listening socket; nil when there is none at the moment.
    package static func accept(_ listener: Int32) -> FileDescriptor? {
        // No peer address is asked for.
        let number = Glibc.accept(listener, nil, nil)
        guard number >= 0 else { return nil }
        _ = roost_fcntl(number, F_SETFD, Int(FD_CLOEXEC))
        return FileDescriptor(owning: number)
    }

    /// Small packets go out at once.
    package static func setNoDelay(_ descriptor: Int32) {
        var one: Int32 = 1
        // Four bytes of this frame; it fails only for a socket that is not TCP, which has no delay.
        _ = unsafe setsockopt(descriptor, Int32(IPPROTO_TCP), TCP_NODELAY, &one, 4)
    }

    /// "127.0.0.1:4444" of one side of a TCP connection; nil for other sockets.
    package static func name(of descriptor: Int32, peer: Bool) -> String? {
        var address = sockaddr_storage()
        var length = socklen_t(MemoryLayout<sockaddr_storage>.size)
        // sockaddr_storage holds every address; its length is passed along.
        return unsafe withUnsafeMutablePointer(to: &address) { pointer in
            unsafe pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { generic in
                let status =
                    peer
                    ? unsafe getpeername(descriptor, generic, &length)
                    : unsafe getsockname(descriptor, generic, &length)
                guard status == 0, unsafe generic.pointee.sa_family != sa_family_t(AF_UNIX) else { return nil }
                var host = [CChar](repeating: 0, count: Int(NI_MAXHOST))
                var service = [CChar](repeating: 0, count: 32)
                let flags = NI_NUMERICHOST | NI_NUMERICSERV
                guard unsafe getnameinfo(generic, length, &host, socklen_t(host.count), &service, 32, flags) == 0 else {
                    return nil
                }
                let isIPv6 = unsafe generic.pointee.sa_family == sa_family_t(AF_INET6)
                let name = text(host)
                return "\(isIPv6 ? "[\(name)]" : name):\(text(service))"
            }
        }
    }

    private static func text(_ characters: [CChar]) -> String {
        String(decoding: characters.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
    }

    private static func failure(_ what: String) -> StreamSocketError { StreamSocketError("\(what): \(Errno.current)") }

    private static func failure(_ what: String, _ host: String, _ port: UInt16) -> StreamSocketError {
        StreamSocketError("\(what) (\(host):\(port))")
    }

    private static func make(
        _ family: Int32, _ type: __socket_type = SOCK_STREAM
    ) throws(StreamSocketError) -> FileDescriptor {
        let kind = Int32(type.rawValue) | O_CLOEXEC
        do throws(Errno) { return FileDescriptor(owning: try retrying { socket(family, kind, 0) }) } catch {
            throw StreamSocketError("Failed to create socket: \(error)")
        }
    }

    private static func withUnix(
        _ path: String, _ isAbstract: Bool, _ body: (UnsafePointer<sockaddr>, socklen_t) -> Int32
    ) throws(StreamSocketError) -> Int32 {
        var address = sockaddr_un()
        address.sun_family = sa_family_t(AF_UNIX)
        let bytes = (isAbstract ? [0] : []) + Array(path.utf8)
        let capacity = MemoryLayout.size(ofValue: address.sun_path)
        guard bytes.count < capacity else {
            throw StreamSocketError(
                "UNIX socket path '\(path)' is too long: Path must be less than \(capacity) bytes")
        }
        // The path fits with its terminating zero, as was checked.
        unsafe withUnsafeMutableBytes(of: &address.sun_path) { unsafe $0.copyBytes(from: bytes) }
        let header = MemoryLayout<sa_family_t>.size
        let length = socklen_t(isAbstract ? header + bytes.count : MemoryLayout<sockaddr_un>.size)
        // sockaddr_un begins as every sockaddr does.
        return unsafe withUnsafePointer(to: &address) { pointer in
            unsafe pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { unsafe body($0, length) }
        }
    }

    /// Tries each address that a name stands for; the last failure counts.
    private static func eachAddress<Result: ~Copyable>(
        _ address: StreamAddress, passive: Bool, kind: __socket_type = SOCK_STREAM,
        _ body: (Int32, UnsafePointer<sockaddr>, socklen_t) throws(StreamSocketError) -> Result
    ) throws(StreamSocketError) -> Result {
        guard case .tcp(let host, let port, let ipv4, let ipv6) = address else {
            throw StreamSocketError("not a TCP address")
        }
        var hints = unsafe addrinfo()
        unsafe hints.ai_family = ipv4 && !ipv6 ? AF_INET : ipv6 && !ipv4 ? AF_INET6 : AF_UNSPEC
        unsafe hints.ai_socktype = Int32(kind.rawValue)
        unsafe hints.ai_flags = passive ? AI_PASSIVE : 0
        var list: UnsafeMutablePointer<addrinfo>?
        // getaddrinfo makes a list that is freed below; each entry's address is valid for its length.
        let status = unsafe getaddrinfo(host.isEmpty ? nil : host, String(port), &hints, &list)
        guard status == 0, let first = unsafe list else {
            let reason = unsafe String(cString: gai_strerror(status))
            throw StreamSocketError("address resolution failed for \(host):\(port): \(reason)")
        }
        defer { unsafe freeaddrinfo(first) }
        var failure = StreamSocketError("no address for \(host)")
        var entry: UnsafeMutablePointer<addrinfo>? = unsafe first
        while let candidate = unsafe entry {
            do throws(StreamSocketError) {
                return try unsafe body(
                    candidate.pointee.ai_family, candidate.pointee.ai_addr, candidate.pointee.ai_addrlen)
            } catch { failure = error }
            unsafe entry = candidate.pointee.ai_next
        }
        throw failure
    }
}
