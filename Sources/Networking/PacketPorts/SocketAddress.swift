// SPDX-License-Identifier: Apache-2.0

public import Diagnostics
internal import CLinux
internal import Glibc
internal import HostSystem

/// An IPv4 address and port of the host.
public struct SocketAddress: Equatable, Sendable {
    /// In host order: 127.0.0.1 is 0x7F000001.
    public var address: UInt32
    /// In host order; 0 lets the kernel choose.
    public var port: UInt16

    /// Both parts.
    public init(address: UInt32, port: UInt16) {
        self.address = address
        self.port = port
    }

    /// "host:port" as QEMU's socket options have it; an empty host is every address, a name is looked up.
    /// - Throws: QEMU's text for what cannot be read.
    public init(parsing text: String) throws(UserError) {
        guard let colon = text.firstIndex(of: ":") else {
            throw UserError("host address '\(text)' doesn't contain ':' separating host from port")
        }
        let host = String(text[..<colon]), service = String(text[text.index(after: colon)...])
        guard let number = UInt32(service) else { throw UserError("port number '\(service)' is invalid") }
        // QEMU takes the low 16 bits of whatever number it reads.
        port = UInt16(truncatingIfNeeded: number)
        if host.isEmpty {
            address = 0
        } else if let numeric = Self.numeric(host) {
            address = numeric
        } else if let found = Self.lookUp(host) {
            address = found
        } else {
            throw UserError("can't resolve host address '\(host)'")
        }
    }

    /// An address in dotted form (or the shorter ones of inet_aton); nil for anything else.
    public static func numeric(_ text: String) -> UInt32? {
        var parsed = in_addr()
        // inet_aton reads the string and fills the struct of this frame.
        return unsafe inet_aton(text, &parsed) == 1 ? UInt32(bigEndian: parsed.s_addr) : nil
    }

    private static func lookUp(_ host: String) -> UInt32? {
        var hints = unsafe addrinfo()
        unsafe hints.ai_family = AF_INET
        var list: UnsafeMutablePointer<addrinfo>?
        // getaddrinfo makes a list that is freed below; its first entry's address is a sockaddr_in, as AF_INET asks.
        guard unsafe getaddrinfo(host, nil, &hints, &list) == 0, let first = unsafe list else { return nil }
        defer { unsafe freeaddrinfo(first) }
        guard let raw = unsafe UnsafeRawPointer(first.pointee.ai_addr) else { return nil }
        return unsafe UInt32(bigEndian: raw.load(as: sockaddr_in.self).sin_addr.s_addr)
    }

    /// 224.0.0.0/4.
    public var isMulticast: Bool { address >> 28 == 0xE }

    /// The address without the port, in dotted form.
    public var host: String {
        [24, 16, 8, 0].map { String(address >> UInt32($0) & 0xFF) }.joined(separator: ".")
    }

    /// "127.0.0.1:1234".
    public var text: String { "\(host):\(port)" }

    var native: sockaddr_in {
        var value = sockaddr_in()
        value.sin_family = sa_family_t(AF_INET)
        value.sin_port = port.bigEndian
        value.sin_addr.s_addr = address.bigEndian
        return value
    }

    init(_ native: sockaddr_in) {
        address = UInt32(bigEndian: native.sin_addr.s_addr)
        port = UInt16(bigEndian: native.sin_port)
    }

    /// Lends the address in the form that the socket calls take.
    func withNative<Result>(_ body: (UnsafePointer<sockaddr>, socklen_t) -> Result) -> Result {
        var value = native
        // sockaddr_in begins as every sockaddr does; the length says how far it may be read.
        return unsafe withUnsafePointer(to: &value) { pointer in
            unsafe pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                unsafe body($0, socklen_t(MemoryLayout<sockaddr_in>.size))
            }
        }
    }
}

/// The socket calls that the ports need, non-blocking and closed on exec.
enum SocketCall {
    static func make(_ type: __socket_type) throws(Errno) -> FileDescriptor {
        // SOCK_NONBLOCK and SOCK_CLOEXEC have the values of the flags of open(2).
        let flags = Int32(type.rawValue) | O_NONBLOCK | O_CLOEXEC
        return FileDescriptor(owning: try retrying { socket(AF_INET, flags, 0) })
    }

    static func accept(_ listener: Int32) throws(Errno) -> FileDescriptor {
        // No peer address is asked for.
        let file = FileDescriptor(owning: try retrying { Glibc.accept(listener, nil, nil) })
        _ = try retrying { roost_fcntl(file.number, F_SETFD, Int(FD_CLOEXEC)) }
        try file.setNonBlocking(true)
        return file
    }

    static func set(_ descriptor: Int32, level: Int32, _ option: Int32, _ value: Int32) throws(Errno) {
        var value = value
        // The kernel reads four bytes of this frame.
        _ = try retrying { unsafe setsockopt(descriptor, level, option, &value, 4) }
    }

    static func bind(_ descriptor: Int32, _ address: SocketAddress) throws(Errno) {
        let status = unsafe address.withNative { unsafe Glibc.bind(descriptor, $0, $1) }
        if status != 0 { throw Errno.current }
    }

    static func connect(_ descriptor: Int32, _ address: SocketAddress) throws(Errno) {
        let status = unsafe address.withNative { unsafe Glibc.connect(descriptor, $0, $1) }
        if status != 0, Errno.current != Errno(EINPROGRESS) { throw Errno.current }
    }

    static func localAddress(_ descriptor: Int32) -> SocketAddress? {
        var value = sockaddr_in()
        var count = socklen_t(MemoryLayout<sockaddr_in>.size)
        // The kernel fills at most `count` bytes of the struct on this frame.
        let status = unsafe withUnsafeMutablePointer(to: &value) { pointer in
            unsafe pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                unsafe getsockname(descriptor, $0, &count)
            }
        }
        return status == 0 ? SocketAddress(value) : nil
    }

    /// The error that a connection ended with; nil for none.
    static func pendingError(_ descriptor: Int32) -> Errno? {
        var value: Int32 = 0
        var count = socklen_t(4)
        // As in localAddress.
        guard unsafe getsockopt(descriptor, SOL_SOCKET, SO_ERROR, &value, &count) == 0 else { return Errno.current }
        return value == 0 ? nil : Errno(value)
    }
}
