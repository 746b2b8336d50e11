// SPDX-License-Identifier: Apache-2.0

internal import BlockLayer
internal import ByteCoding
internal import Glibc
internal import HostSystem

/// Where a server is.
enum NBDAddress: Sendable, Equatable {
    case unix(path: String)
    case tcp(host: String, port: String)

    /// As in messages.
    var text: String {
        switch self {
        case .unix(let path): path
        case .tcp(let host, let port): "\(host):\(port)"
        }
    }
}

/// A connected stream. Used by one thread at a time.
final class NBDSocket: @unchecked Sendable {
    private let number: Int32

    private init(_ number: Int32) { self.number = number }

    deinit { Glibc.close(number) }

    static func connect(to address: NBDAddress) throws(BlockError) -> NBDSocket {
        switch address {
        case .unix(let path): try connect(unix: path)
        case .tcp(let host, let port): try connect(host: host, port: port)
        }
    }

    private static func connect(unix path: String) throws(BlockError) -> NBDSocket {
        var address = sockaddr_un()
        address.sun_family = sa_family_t(AF_UNIX)
        let bytes = Array(path.utf8)
        let room = MemoryLayout.size(ofValue: address.sun_path)
        guard bytes.count < room else {
            throw BlockError(
                .invalidArgument, "UNIX socket path '\(path)' is too long", hint: "Path must be less than \(room) bytes"
            )
        }
        // The bytes fit into the field with a zero after them.
        unsafe withUnsafeMutableBytes(of: &address.sun_path) { unsafe $0.copyBytes(from: bytes) }
        let socket = try make(AF_UNIX, "Failed to create a socket")
        let size = socklen_t(MemoryLayout<sockaddr_un>.size)
        // The address lives on this frame for the call.
        let result = unsafe withUnsafePointer(to: &address) { pointer in
            unsafe pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { unsafe retry(socket.number, $0, size) }
        }
        guard result == 0 else { throw BlockError(system: Errno.current, "Failed to connect to '\(path)'") }
        return socket
    }

    private static func make(_ family: Int32, _ what: String) throws(BlockError) -> NBDSocket {
        let number = socket(family, Int32(SOCK_STREAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue), 0)
        guard number >= 0 else { throw BlockError(system: Errno.current, what) }
        return NBDSocket(number)
    }

    private static func retry(_ number: Int32, _ address: UnsafePointer<sockaddr>, _ size: socklen_t) -> Int32 {
        while true {
            // The caller keeps the address alive.
            let result = unsafe Glibc.connect(number, address, size)
            if result == 0 || errno != EINTR { return result }
        }
    }

    private static func connect(host: String, port: String) throws(BlockError) -> NBDSocket {
        var hints = unsafe addrinfo()
        unsafe hints.ai_socktype = Int32(SOCK_STREAM.rawValue)
        var list: UnsafeMutablePointer<addrinfo>?
        // The hints live on this frame; the list is freed below.
        let result = unsafe getaddrinfo(host, port, &hints, &list)
        guard result == 0 else {
            // gai_strerror returns static text.
            let reason = unsafe String(cString: gai_strerror(result))
            throw BlockError(.notFound, "address resolution failed for \(host):\(port): \(reason)")
        }
        defer { unsafe freeaddrinfo(list) }
        var failure = Errno(ECONNREFUSED)
        var next = unsafe list
        while let entry = unsafe next {
            // Entries are valid until the list is freed.
            unsafe next = entry.pointee.ai_next
            let socket = try make(unsafe entry.pointee.ai_family, "Failed to create a socket")
            if unsafe retry(socket.number, entry.pointee.ai_addr, entry.pointee.ai_addrlen) == 0 {
                var one: Int32 = 1
                // Small requests must not wait for one another; a socket without the option works too.
                _ = unsafe setsockopt(
                    socket.number, Int32(IPPROTO_TCP), TCP_NODELAY, &one, socklen_t(MemoryLayout<Int32>.size))
                return socket
            }
            failure = Errno.current
        }
        throw BlockError(system: failure, "Failed to connect to '\(host):\(port)'")
    }

    /// Sends all bytes.
    func send(_ region: ByteRegion) throws(BlockError) {
        var done = 0
        while done < region.count {
            let rest = region.from(done)
            // The kernel reads only inside the region, which the caller keeps alive.
            let count = unsafe Glibc.send(number, rest.base, rest.count, Int32(MSG_NOSIGNAL))
            if count < 0 {
                if errno == EINTR { continue }
                throw BlockError(system: Errno.current, "Unable to write to the NBD server")
            }
            done += count
        }
    }

    /// Sends an array.
    func send(_ bytes: [UInt8]) throws(BlockError) {
        try bytes.withRegion { (region) throws(BlockError) in try send(region) }
    }

    /// Receives exactly as many bytes as the region has.
    func receive(_ region: ByteRegion) throws(BlockError) {
        var done = 0
        while done < region.count {
            let rest = region.from(done)
            // The kernel writes only inside the region, which the caller keeps alive.
            let count = unsafe recv(number, rest.base, rest.count, 0)
            if count < 0 {
                if errno == EINTR { continue }
                throw BlockError(system: Errno.current, "Unable to read from the NBD server")
            }
            guard count > 0 else {
                throw BlockError(.inputOutput, "The NBD server closed the connection")
            }
            done += count
        }
    }

    /// Receives `count` bytes.
    func receive(count: Int) throws(BlockError) -> [UInt8] {
        let buffer = AlignedBuffer(count: count, alignment: 8)
        try receive(buffer.region)
        return buffer.region.bytes
    }

    /// Receives an integer.
    func receive<Value: FixedWidthInteger>(_ type: Value.Type = Value.self) throws(BlockError) -> Value {
        let bytes = try receive(count: Value.bitWidth / 8)
        return bytes.load(at: 0, order: .big) ?? 0
    }
}
