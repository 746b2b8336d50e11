// SPDX-License-Identifier: Apache-2.0

internal import CLinux
public import Diagnostics
internal import Glibc
internal import HostSystem

/// A service in the background: the process that was started ends when the service is ready, with what became of it;
/// another one goes on.
///
///     started ──fork──▶ waits for a byte ──▶ exit 0, or 1 without one
///        └──▶ new session ──fork──▶ prepares ── ready() ──▶ serves
public struct Background: ~Copyable {
    private let pipe: FileDescriptor
    private static let isReady: UInt8 = 1

    /// Goes to the background; returns in the process that goes on. The caller has made no thread yet.
    public static func enter() throws(UserError) -> Background {
        var ends: [Int32] = [-1, -1]
        // The kernel fills the two numbers.
        guard unsafe Glibc.pipe(&ends) == 0 else { throw failure() }
        for end in ends { _ = roost_fcntl(end, F_SETFD, Int(FD_CLOEXEC)) }
        let reader = FileDescriptor(owning: ends[0]), writer = FileDescriptor(owning: ends[1])
        let child = roost_fork()
        guard child >= 0 else { throw failure() }
        if child > 0 {
            // With this end open the read below would never see the end of the pipe.
            drop(writer)
            waitAndLeave(reader.number, for: child)
        }
        guard setsid() >= 0 else { throw failure() }
        // Not the leader of its session, it cannot get a terminal by opening one.
        let grandchild = roost_fork()
        guard grandchild >= 0 else { throw failure() }
        if grandchild > 0 { _exit(0) }
        umask(0o027)
        return Background(pipe: writer)
    }

    /// The service is ready: cuts the ties to the terminal and lets the first process end.
    /// - Parameters:
    ///   - directory: where to go on, so that no file system is kept busy; nil to stay.
    ///   - keepsErrors: standard error stays what it is.
    public consuming func ready(in directory: String? = "/", keepsErrors: Bool = false) throws(UserError) {
        do throws(Errno) {
            // The string lives for the call.
            let null = try FileDescriptor.open("/dev/null", flags: O_RDWR)
            if let directory, unsafe chdir(directory) != 0 { throw Errno.current }
            for standard in Int32(0)...(keepsErrors ? 1 : 2) { _ = try retrying { dup2(null.number, standard) } }
            try pipe.writeAll([Self.isReady])
        } catch { throw UserError("cannot go to the background", because: error) }
    }

    private static func waitAndLeave(_ reader: Int32, for child: Int32) -> Never {
        var status: Int32 = 0
        // The first child ends as soon as it has made the second.
        while unsafe waitpid(child, &status, 0) < 0 && Errno.current == .interrupted {}
        var byte: UInt8 = 0
        var count: Int
        // One byte on this frame.
        repeat { count = unsafe Glibc.read(reader, &byte, 1) } while count < 0 && Errno.current == .interrupted
        _exit(count == 1 && byte == isReady ? 0 : 1)
    }

    private static func drop(_ file: consuming FileDescriptor) {}

    private static func failure() -> UserError { UserError("cannot go to the background", because: Errno.current) }
}
