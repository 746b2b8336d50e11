// SPDX-License-Identifier: Apache-2.0

internal import CLinux
internal import Diagnostics
internal import Glibc
internal import HostSystem

/// What a service manager gives a service and wants to know of it: sockets that listen already (LISTEN_FDS) and that
/// it is ready (NOTIFY_SOCKET), both as systemd does it.
enum ServiceManager {
    /// The first descriptor that is handed over.
    private static let firstDescriptor: Int32 = 3
    private static let socketLimit = 16

    /// A socket that was handed over.
    struct Activation {
        enum Kind: Equatable { case local(readOnly: Bool), network }
        let number: Int32
        let kind: Kind
    }

    /// The sockets that were handed over; none without a service manager. Taken once, while the process has one thread.
    static func takeSockets() -> [Activation] {
        defer { for name in ["LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES"] { unsafe unsetenv(name) } }
        guard let process = ThisProgram.variable("LISTEN_PID").flatMap({ Int32($0) }), process == getpid(),
            let count = ThisProgram.variable("LISTEN_FDS").flatMap({ Int($0) }), (1...socketLimit).contains(count)
        else { return [] }
        return (0..<Int32(count)).compactMap { place in
            let number = firstDescriptor + place
            _ = roost_fcntl(number, F_SETFD, Int(FD_CLOEXEC))
            _ = roost_fcntl(number, F_SETFL, Int(O_NONBLOCK))
            return kind(number).map { Activation(number: number, kind: $0) }
        }
    }

    private static func kind(_ number: Int32) -> Activation.Kind? {
        var address = sockaddr_storage()
        var length = socklen_t(MemoryLayout<sockaddr_storage>.size)
        // The storage holds an address of every family; getsockname writes at most its length.
        let failed = unsafe withUnsafeMutablePointer(to: &address) { place in
            unsafe place.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                unsafe getsockname(number, $0, &length)
            }
        }
        guard failed == 0 else { return nil }
        guard Int32(address.ss_family) == AF_UNIX else { return .network }
        let path = unsafe withUnsafeBytes(of: &address) { bytes in
            // A path begins behind the family and ends with a zero.
            unsafe String(decoding: bytes.dropFirst(2).prefix(Int(length) - 2).prefix { $0 != 0 }, as: UTF8.self)
        }
        return .local(readOnly: path.hasSuffix("-ro"))
    }

    /// Tells the service manager something (`READY=1`, `STOPPING=1`).
    static func notify(_ state: String) {
        guard let path = ThisProgram.variable("NOTIFY_SOCKET"), path.hasPrefix("/") || path.hasPrefix("@") else {
            return
        }
        var address = sockaddr_un()
        address.sun_family = sa_family_t(AF_UNIX)
        var bytes = Array(path.utf8)
        // An abstract name begins with a zero.
        if bytes[0] == UInt8(ascii: "@") { bytes[0] = 0 }
        let fits = unsafe withUnsafeMutableBytes(of: &address.sun_path) { place in
            guard bytes.count < place.count else { return false }
            // Checked: the name fits.
            unsafe place.copyBytes(from: bytes)
            return true
        }
        let kind = Int32(SOCK_DGRAM.rawValue | SOCK_CLOEXEC.rawValue)
        let number = socket(AF_UNIX, kind, 0)
        guard fits, number >= 0 else { return }
        let sender = FileDescriptor(owning: number)
        let length = socklen_t(MemoryLayout<sa_family_t>.size + bytes.count)
        let text = Array(state.utf8)
        // The address and the text live for the call.
        let sent = unsafe withUnsafePointer(to: &address) { place in
            unsafe place.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                unsafe sendto(sender.number, text, text.count, Int32(MSG_NOSIGNAL), $0, length)
            }
        }
        if sent < 0 { Console.shared.warning("cannot tell the service manager '\(state)': \(Errno.current)") }
    }

    /// Gives lines for the journal their level, where standard error goes there.
    static func useJournalLevels() {
        guard ThisProgram.variable("JOURNAL_STREAM") != nil else { return }
        Console.shared.redirect { line in
            let level = line.contains(": info: ") ? 6 : line.contains(": warning: ") ? 4 : 3
            _ = try? FileDescriptor.writeAll(Array("<\(level)>\(line)".utf8), to: STDERR_FILENO)
        }
    }
}
