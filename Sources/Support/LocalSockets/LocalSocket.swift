// SPDX-License-Identifier: Apache-2.0

internal import CLinux
internal import Glibc
public import HostSystem

/// Who is at the other end of a UNIX socket.
public struct PeerCredentials: Equatable, Sendable {
    /// The process that connected, by its number when it did; it may be gone.
    public let process: Int32
    /// Its effective user.
    public let user: UInt32
    /// Its effective group.
    public let group: UInt32
}

/// Stream sockets of the UNIX domain: listening, connecting, bytes and passed descriptors.
public enum LocalSocket {
    /// Descriptors taken with one read; more are closed.
    public static let descriptorLimit = 32

    /// A listening socket at `path`, non-blocking. A file of that name that nobody listens on is replaced.
    /// - Parameter mode: permission bits of the socket's file.
    /// - Throws: `EADDRINUSE` when another process listens there, `ENAMETOOLONG`, or the host's error.
    public static func listen(path: String, mode: UInt32, backlog: Int32 = 1024) throws(Errno) -> FileDescriptor {
        if (try? connect(path: path)) != nil { throw Errno(EADDRINUSE) }
        // The C library copies the path for each of these calls.
        unsafe unlink(path)
        let descriptor = try make()
        try unsafe withAddress(path) { unsafe Glibc.bind(descriptor.number, $0, $1) }
        _ = try retrying { unsafe chmod(path, mode) }
        _ = try retrying { Glibc.listen(descriptor.number, backlog) }
        try descriptor.setNonBlocking(true)
        return descriptor
    }

    /// A connection to the listener at `path`, blocking.
    public static func connect(path: String) throws(Errno) -> FileDescriptor {
        let descriptor = try make()
        // The address lives for the call.
        try unsafe withAddress(path) { unsafe Glibc.connect(descriptor.number, $0, $1) }
        return descriptor
    }

    /// The next connection of a listener, non-blocking; nil when there is none.
    public static func accept(_ listener: Int32) throws(Errno) -> FileDescriptor? {
        do throws(Errno) {
            // No address is asked for.
            let taken = FileDescriptor(owning: try retrying { Glibc.accept(listener, nil, nil) })
            _ = try retrying { roost_fcntl(taken.number, F_SETFD, Int(FD_CLOEXEC)) }
            try taken.setNonBlocking(true)
            return taken
        } catch Errno.wouldBlock {
            return nil
        } catch {
            if error.code == ECONNABORTED { return nil }
            throw error
        }
    }

    /// Who made the connection.
    public static func peer(of descriptor: Int32) throws(Errno) -> PeerCredentials {
        var process: Int32 = 0
        var user: UInt32 = 0
        var group: UInt32 = 0
        // The three numbers live on this frame.
        _ = try retrying { unsafe roost_peer_credentials(descriptor, &process, &user, &group) }
        return PeerCredentials(process: process, user: user, group: group)
    }

    /// Reads what is there, at most `limit` bytes, into `buffer`, behind what it holds.
    /// - Parameter descriptors: receives the numbers of descriptors that came along, which become the caller's.
    /// - Returns: the number of bytes, 0 at the end of the stream.
    /// - Throws: `.wouldBlock` when nothing is there, or the host's error.
    public static func receive(
        _ descriptor: Int32, limit: Int, into buffer: inout [UInt8], descriptors: inout [Int32]
    ) throws(Errno) -> Int {
        var passed = [Int32](repeating: -1, count: descriptorLimit)
        var passedCount: Int32 = 0
        // recvmsg writes at most `limit` bytes into the temporary buffer of that size and at most `descriptorLimit`
        // numbers into the array.
        let received: Result<Int, Errno> = unsafe withUnsafeTemporaryAllocation(
            byteCount: max(1, limit), alignment: 16
        ) { bytes in
            do throws(Errno) {
                let count = try retrying {
                    unsafe roost_receive_passed(
                        descriptor, bytes.baseAddress, bytes.count, &passed, Int32(descriptorLimit), &passedCount)
                }
                unsafe buffer.append(contentsOf: UnsafeRawBufferPointer(rebasing: bytes[..<count]))
                return .success(count)
            } catch { return .failure(error) }
        }
        descriptors += passed.prefix(Int(passedCount))
        return try received.get()
    }

    /// Sends bytes from `offset` on, and a descriptor with the first of them; says how many bytes went out.
    /// - Throws: `.wouldBlock` when the peer does not read, `EPIPE` when it is gone, or the host's error.
    public static func send(
        _ descriptor: Int32, _ bytes: [UInt8], from offset: Int = 0, passing passed: Int32 = -1
    ) throws(Errno) -> Int {
        guard offset < bytes.count else { return 0 }
        // The rest from `offset` lies inside the array for the call.
        return try retrying {
            unsafe bytes.withUnsafeBytes {
                unsafe roost_send(descriptor, $0.baseAddress! + offset, $0.count - offset, passed)
            }
        }
    }

    private static func make() throws(Errno) -> FileDescriptor {
        let kind = Int32(SOCK_STREAM.rawValue | SOCK_CLOEXEC.rawValue)
        return FileDescriptor(owning: try retrying { socket(AF_UNIX, kind, 0) })
    }

    private static func withAddress(
        _ path: String, _ body: (UnsafePointer<sockaddr>, socklen_t) -> Int32
    ) throws(Errno) {
        var address = sockaddr_un()
        address.sun_family = sa_family_t(AF_UNIX)
        let bytes = Array(path.utf8)
        let fits = unsafe withUnsafeMutableBytes(of: &address.sun_path) { place in
            guard bytes.count < place.count else { return false }
            // Checked: the path and its zero fit.
            unsafe place.copyBytes(from: bytes)
            return true
        }
        guard fits else { throw Errno(ENAMETOOLONG) }
        // A sockaddr_un is passed as the sockaddr that the call takes, with its own size.
        _ = try retrying {
            unsafe withUnsafePointer(to: &address) {
                unsafe $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                    unsafe body($0, socklen_t(MemoryLayout<sockaddr_un>.size))
                }
            }
        }
    }
}
