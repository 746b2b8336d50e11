// SPDX-License-Identifier: Apache-2.0

internal import CharacterStreams
internal import CLinux
public import Diagnostics
internal import Glibc
internal import HostSystem
internal import TransportSecurity

/// The way of a saved machine: a socket, a pipe or a file. Used by one thread at a time.
public final class MigrationChannel: @unchecked Sendable {
    /// nil once it is closed.
    private var file: FileDescriptor?
    private let number: Int32
    /// The shell of `exec:`.
    private var child: pid_t = 0
    /// The other side can answer.
    public let isConversation: Bool
    /// nil for a connection in clear.
    private var encryption: TLSSession?
    /// Bytes written so far.
    public private(set) var transferred: UInt64 = 0

    fileprivate init(_ file: consuming FileDescriptor, child: pid_t = 0) {
        var kind: Int32 = 0
        var length = socklen_t(MemoryLayout<Int32>.size)
        // Four bytes of this frame.
        number = file.number
        isConversation = unsafe getsockopt(number, SOL_SOCKET, SO_TYPE, &kind, &length) == 0
        self.file = consume file
        self.child = child
    }

    /// Goes over to an encrypted connection, before anything else is said.
    fileprivate func encrypt(_ security: MigrationSecurity, host: String?) throws(UserError) {
        guard isConversation else {
            throw UserError("TLS needs a socket", remedy: "use tcp: or unix:, or take tls-creds away")
        }
        encryption = try security.session(on: number, host: host)
    }

    // MARK: opening

    fileprivate enum Address: Sendable {
        case command(String), descriptor(Int32), file(String), socket(StreamAddress)
    }

    private static func parse(
        _ uri: String, descriptors: (String) -> Int32?
    ) throws(UserError) -> Address {
        guard let colon = uri.firstIndex(of: ":") else { throw unknown(uri) }
        let rest = String(uri[uri.index(after: colon)...])
        switch uri[..<colon] {
        case "exec": return .command(rest)
        case "file": return .file(rest)
        case "unix": return .socket(.unix(path: rest, isAbstract: false))
        case "fd":
            guard let number = descriptors(rest) ?? Int32(rest), number >= 0 else {
                throw UserError("File descriptor named '\(rest)' has not been found")
            }
            return .descriptor(number)
        case "tcp":
            guard let last = rest.lastIndex(of: ":"), let port = UInt16(rest[rest.index(after: last)...]) else {
                throw UserError("error parsing address '\(rest)'")
            }
            var host = String(rest[..<last])
            if host.hasPrefix("["), host.hasSuffix("]") { host = String(host.dropFirst().dropLast()) }
            return .socket(.tcp(host: host, port: port, ipv4: true, ipv6: true))
        default: throw unknown(uri)
        }
    }

    private static func unknown(_ uri: String) -> UserError {
        UserError("Parameter 'uri' expects a valid migration protocol")
    }

    /// A way to somewhere, which `open` goes; a descriptor of somebody else's is duplicated at once.
    /// - Parameter descriptors: file descriptors by the names that `getfd` gave them.
    /// - Throws: no such kind of address, or no such descriptor.
    public static func opener(
        _ uri: String, security: MigrationSecurity? = nil, descriptors: (String) -> Int32? = { _ in nil }
    ) throws(UserError) -> Opener {
        var address = try parse(uri, descriptors: descriptors)
        if case .descriptor(let number) = address {
            address = .descriptor(
                try explaining(uri) { () throws(Errno) in
                    .success(try retrying { roost_fcntl(number, F_DUPFD_CLOEXEC, 0) })
                })
        }
        return Opener(uri: uri, address: address, security: security)
    }

    /// See `opener`.
    public struct Opener: Sendable {
        let uri: String
        fileprivate let address: Address
        let security: MigrationSecurity?
        /// Whether there can be more than one channel.
        public var allowsSeveral: Bool { if case .socket = address { true } else { false } }

        /// Goes the way; it may take its time. Only a socket's can be gone again.
        public func open() throws(UserError) -> MigrationChannel {
            let channel = try openInClear()
            guard let security else { return channel }
            var host: String?
            if case .socket(.tcp(let name, _, _, _)) = address { host = name }
            try channel.encrypt(security, host: host)
            return channel
        }

        private func openInClear() throws(UserError) -> MigrationChannel {
            try explaining(uri) { () throws(Errno) in
                switch address {
                case .command(let line): return .success(try spawn(line, childReads: true))
                case .descriptor(let number): return .success(MigrationChannel(FileDescriptor(owning: number)))
                case .file(let path):
                    return .success(
                        MigrationChannel(
                            try FileDescriptor.open(path, flags: O_WRONLY | O_CREAT | O_TRUNC, mode: filePermissions)))
                case .socket(let place):
                    let socket: FileDescriptor
                    do throws(StreamSocketError) { socket = try StreamSocket.connect(place) } catch {
                        return .failure(UserError(error.description))
                    }
                    try socket.setNonBlocking(false)
                    return .success(MigrationChannel(socket))
                }
            }
        }
    }

    /// Where channels come from: the first, and for a socket further ones.
    public final class Entrance: @unchecked Sendable {
        private let uri: String
        private let address: Address
        private let security: MigrationSecurity?
        // Used by the thread of the main channel alone.
        private var listener: FileDescriptor?
        /// Where a socket is listened on; nil for what is no socket.
        public let place: Place?

        /// Where a socket is.
        public enum Place: Sendable, Equatable {
            case inet(host: String, port: String)
            case unix(path: String)
        }

        fileprivate init(
            uri: String, address: Address, security: MigrationSecurity?, listener: consuming FileDescriptor?
        ) {
            self.uri = uri
            self.address = address
            self.security = security
            // The address is of the listener, which is kept.
            let number = listener?.number
            let name = number.flatMap { StreamSocket.name(of: $0, peer: false) }
            if case .socket(.unix(let path, _)) = address {
                place = .unix(path: path)
            } else if let name, let colon = name.lastIndex(of: ":") {
                let host = name[..<colon].drop { $0 == "[" }
                place = .inet(
                    host: String(host.hasSuffix("]") ? host.dropLast() : host),
                    port: String(name[name.index(after: colon)...]))
            } else {
                place = nil
            }
            self.listener = listener
        }

        /// The next channel; a socket waits for its client.
        public func next() throws(UserError) -> MigrationChannel {
            guard let number = listener?.number else {
                let channel = try openOnly()
                if let security { try channel.encrypt(security, host: nil) }
                return channel
            }
            while true {
                let channel = try explaining(uri) { () throws(Errno) in
                    guard let client = StreamSocket.accept(number) else { throw Errno.current }
                    return .success(MigrationChannel(client))
                }
                guard let security else { return channel }
                do throws(UserError) {
                    try channel.encrypt(security, host: nil)
                    return channel
                } catch {
                    // Whoever that was, the other side may still come.
                    Console.shared.warning("a client of '\(uri)' was turned away: \(error)")
                }
            }
        }

        private func openOnly() throws(UserError) -> MigrationChannel {
            try explaining(uri) { () throws(Errno) in
                switch address {
                case .command(let line): return .success(try spawn(line, childReads: false))
                case .descriptor(let number): return .success(MigrationChannel(FileDescriptor(owning: number)))
                case .file(let path): return .success(MigrationChannel(try FileDescriptor.open(path)))
                case .socket: return .failure(UserError("'\(uri)' has no further channels"))
                }
            }
        }

        /// No further channels.
        public func close() { listener = nil }
    }

    /// The way in, for the other side to come.
    public static func entrance(
        _ uri: String, security: MigrationSecurity? = nil, descriptors: (String) -> Int32? = { _ in nil }
    ) throws(UserError) -> Entrance {
        let address = try parse(uri, descriptors: descriptors)
        guard case .socket(let place) = address else {
            return Entrance(uri: uri, address: address, security: security, listener: nil)
        }
        return try explaining(uri) { () throws(Errno) in
            let listener: FileDescriptor
            do throws(StreamSocketError) { listener = try StreamSocket.listen(place) } catch {
                return .failure(UserError(error.description))
            }
            try listener.setNonBlocking(false)
            return .success(Entrance(uri: uri, address: address, security: security, listener: listener))
        }
    }

    /// A saved machine is the owner's alone.
    fileprivate static let filePermissions: UInt32 = 0o600

    fileprivate static func explaining<Value>(
        _ uri: String, _ open: () throws(Errno) -> Result<Value, UserError>
    ) throws(UserError) -> Value {
        let result: Result<Value, UserError>
        do throws(Errno) { result = try open() } catch { throw UserError("cannot open '\(uri)'", because: error) }
        return try result.get()
    }

    fileprivate static func spawn(_ line: String, childReads: Bool) throws(Errno) -> MigrationChannel {
        var ends: [Int32] = [0, 0]
        // Two descriptors into an array of two.
        _ = try retrying { unsafe pipe(&ends) }
        for end in ends { _ = roost_fcntl(end, F_SETFD, Int(FD_CLOEXEC)) }
        let mine = FileDescriptor(owning: childReads ? ends[1] : ends[0])
        let theirs = FileDescriptor(owning: childReads ? ends[0] : ends[1])
        var actions = unsafe posix_spawn_file_actions_t()
        // The actions live on this frame until they are destroyed.
        unsafe posix_spawn_file_actions_init(&actions)
        defer { unsafe posix_spawn_file_actions_destroy(&actions) }
        unsafe posix_spawn_file_actions_adddup2(&actions, theirs.number, childReads ? 0 : 1)
        // Copies that live until they are freed; the array of them ends with nil.
        var words: [UnsafeMutablePointer<CChar>?] = unsafe []
        let texts: [String] = ["/bin/sh", "-c", line]
        for text in texts { unsafe words.append(strdup(text)) }
        unsafe words.append(nil)
        defer { for index in texts.indices { unsafe free(words[index]) } }
        var child: pid_t = 0
        let status = unsafe posix_spawn(
            &child, "/bin/sh", &actions, nil, words, roost_environment())
        guard status == 0 else { throw Errno(status) }
        return MigrationChannel(mine, child: child)
    }

    // MARK: bytes

    /// Writes all of the bytes.
    public func write(_ bytes: [UInt8]) throws(UserError) {
        var done = 0
        while done < bytes.count {
            if let encryption {
                let count = try Self.send(bytes[done...], by: encryption)
                done += count
                transferred += UInt64(count)
                continue
            }
            // `done` is below the count. A side that is gone is an error and no signal; for pipes the process ignores it.
            let count = unsafe bytes.withUnsafeBytes {
                isConversation
                    ? unsafe Glibc.send(number, $0.baseAddress! + done, $0.count - done, Int32(MSG_NOSIGNAL))
                    : unsafe Glibc.write(number, $0.baseAddress! + done, $0.count - done)
            }
            if count < 0 {
                let error = Errno.current
                if error == .interrupted { continue }
                throw UserError("the other side is gone", because: error)
            }
            done += count
            transferred += UInt64(count)
        }
    }

    /// Reads exactly so many bytes.
    public func read(count: Int) throws(UserError) -> [UInt8] {
        var bytes = [UInt8](repeating: 0, count: count)
        var done = 0
        while done < count {
            if let encryption {
                let got = try Self.receive(into: &bytes, from: done, by: encryption)
                guard got > 0 else { throw UserError("the saved state ends too early") }
                done += got
                continue
            }
            // As above.
            let got = unsafe bytes.withUnsafeMutableBytes {
                unsafe Glibc.read(number, $0.baseAddress! + done, $0.count - done)
            }
            if got < 0 {
                let error = Errno.current
                if error == .interrupted { continue }
                throw UserError("cannot read the saved state", because: error)
            }
            guard got > 0 else { throw UserError("the saved state ends too early") }
            done += got
        }
        return bytes
    }

    /// Reading does not wait any more.
    public func setImpatient() throws(UserError) {
        var patience = timeval(tv_sec: 1, tv_usec: 0)
        // The struct lives on this frame for the call.
        let status = unsafe setsockopt(
            number, SOL_SOCKET, SO_RCVTIMEO, &patience, socklen_t(MemoryLayout<timeval>.size))
        guard status == 0 else { throw UserError("cannot hear the other side", because: Errno.current) }
    }

    /// Makes a thread that reads or writes return with an error. Callable on any thread.
    public func abort() {
        _ = Glibc.shutdown(number, Int32(SHUT_RDWR))
        if child != 0 { _ = kill(child, SIGTERM) }
    }

    /// Ends the way: everything was written.
    /// - Throws: what `exec:` ended with.
    public func finish() throws(UserError) {
        guard child != 0 else { return }
        // The end of the pipe is what the command waits for.
        file = nil
        var status: Int32 = 0
        // Filled on this frame.
        while unsafe waitpid(child, &status, 0) < 0, Errno.current == .interrupted {}
        child = 0
        guard status == 0 else { throw UserError("the command failed with status \(status >> 8 & 0xFF)") }
    }
}
