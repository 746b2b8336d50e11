// SPDX-License-Identifier: Apache-2.0

internal import Glibc
public import HostIO
public import HostSystem

/// Standard input and output (`stdio`); the terminal is raw while the stream is open.
public final class StandardStream: StreamBackend, @unchecked Sendable {
    /// Opens the two descriptors.
    /// - Parameter signals: Ctrl-C ends the process as usual; without it the guest gets the character.
    public init(label: String, signals: Bool, loop: EventLoop) throws(Errno) {
        super.init(label: label, loop: loop)
        TerminalMode.enterRaw(signals: signals)
        let input = FileDescriptor(owning: try retrying { dup(0) })
        let output = FileDescriptor(owning: try retrying { dup(1) })
        try input.setNonBlocking(true)
        do throws(Errno) {
            try attach(StreamFiles(input: consume input, output: consume output))
        } catch {
            // A file or /dev/null as standard input cannot be watched: there is output alone.
            let output = FileDescriptor(owning: try retrying { dup(1) })
            try attach(StreamFiles(input: nil, output: consume output))
        }
    }

    /// As `info chardev` calls it.
    public override var filename: String { "stdio" }

    /// Input at its end leaves the output open.
    public override func ended() {
        do throws(Errno) {
            let output = FileDescriptor(owning: try retrying { dup(1) })
            try attach(StreamFiles(input: nil, output: consume output))
        } catch { detach() }
    }

    /// Gives the terminal its old mode back and lets standard input wait again.
    public override func close() {
        super.close()
        TerminalMode.restore()
        // Standard input may be shared with the shell, which expects it to wait.
        let flags = fcntl(0, F_GETFL)
        if flags >= 0 { _ = fcntl(0, F_SETFL, flags & ~O_NONBLOCK) }
    }
}
