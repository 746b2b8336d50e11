// SPDX-License-Identifier: Apache-2.0

internal import Glibc
public import HostIO
public import HostSystem

/// Output to a file, input from another or none (`file`).
public final class FileStream: StreamBackend, @unchecked Sendable {
    private let path: String

    /// Opens the files.
    /// - Parameter appends: keeps what the file holds.
    public init(
        label: String, path: String, input: String? = nil, appends: Bool = false, loop: EventLoop
    ) throws(Errno) {
        self.path = path
        super.init(label: label, loop: loop)
        let flags = O_WRONLY | O_CREAT | (appends ? O_APPEND : O_TRUNC)
        let output = try FileDescriptor.open(path, flags: flags, mode: 0o666)
        var reader: FileDescriptor?
        if let input { reader = try FileDescriptor.open(input, flags: O_RDONLY | O_NONBLOCK) }
        try attach(StreamFiles(input: consume reader, output: consume output))
    }

    /// As `info chardev` calls it: the path is not shown.
    public override var filename: String { "file" }
}

/// A pair of FIFOs, PATH.in and PATH.out, or one FIFO or device for both directions (`pipe`).
public final class PipeStream: StreamBackend, @unchecked Sendable {
    /// Opens the FIFOs, each for both directions so that neither end has to come first.
    public init(label: String, path: String, loop: EventLoop) throws(Errno) {
        super.init(label: label, loop: loop)
        do throws(Errno) {
            let input = try FileDescriptor.open(path + ".in", flags: O_RDWR | O_NONBLOCK)
            let output = try FileDescriptor.open(path + ".out", flags: O_RDWR | O_NONBLOCK)
            try attach(StreamFiles(input: consume input, output: consume output))
        } catch {
            guard error == .noEntry else { throw error }
            try attach(StreamFiles(both: FileDescriptor.open(path, flags: O_RDWR | O_NONBLOCK)))
        }
    }

    /// As `info chardev` calls it: the path is not shown.
    public override var filename: String { "pipe" }
}

/// A pseudo-terminal of the host (`pty`): open while somebody has its other side open.
public final class PseudoTerminalStream: StreamBackend, @unchecked Sendable {
    /// The other side: "/dev/pts/3".
    public let path: String
    private let master: FileDescriptor
    private var poller: LoopTimer?
    /// A closed other side is not reported when it opens again, so it is looked at.
    private static let pollNanoseconds: UInt64 = 200_000_000

    /// Makes the pair.
    /// - Parameter link: a symbolic link to make to the other side.
    public init(label: String, link: String? = nil, loop: EventLoop) throws(Errno) {
        var ends: (master: Int32, slave: Int32) = (-1, -1)
        // Fills the two numbers on this frame; name, settings and size are not wanted.
        guard unsafe openpty(&ends.master, &ends.slave, nil, nil, nil) == 0 else { throw .current }
        let number = ends.master
        master = FileDescriptor(owning: number)
        let slave = FileDescriptor(owning: ends.slave)
        var name = [CChar](repeating: 0, count: 128)
        // ttyname_r writes at most the length it is given, terminated.
        guard unsafe ttyname_r(slave.number, &name, name.count) == 0 else { throw .current }
        path = String(decoding: name.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
        var settings = termios()
        // Both calls use the struct on this frame.
        if unsafe tcgetattr(number, &settings) == 0 {
            unsafe cfmakeraw(&settings)
            _ = unsafe tcsetattr(number, TCSAFLUSH, &settings)
        }
        if let link, unsafe symlink(path, link) != 0 { throw .current }
        super.init(label: label, loop: loop)
        try master.setNonBlocking(true)
        poller = loop.makeTimer { [weak self] in self?.look() }
        look()
    }

    /// With the path of the other side, which people and libvirt look for here.
    public override var filename: String { "pty:\(path)" }

    /// Whether the other side is open: poll(2) says hang-up while it is not.
    private func look() {
        var entry = pollfd(fd: master.number, events: Int16(POLLIN), revents: 0)
        // One entry, on this frame.
        _ = unsafe poll(&entry, 1, 0)
        if entry.revents & Int16(POLLHUP) == 0, !isOpen {
            do throws(Errno) { try attach(StreamFiles(both: master.duplicate())) } catch { detach() }
        } else if !isOpen {
            poller?.arm(at: monotonicNanoseconds() + Self.pollNanoseconds)
        }
    }

    /// Closed until the next look at the other side, which a timer does.
    public override func ended() {
        detach()
        poller?.arm(at: monotonicNanoseconds() + Self.pollNanoseconds)
    }

    /// Ends the timer that looks for somebody at the other side.
    public override func close() {
        poller?.cancel()
        super.close()
    }
}
