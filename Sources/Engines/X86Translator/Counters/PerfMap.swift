// SPDX-License-Identifier: Apache-2.0

internal import Diagnostics
internal import Glibc
public import HostSystem

/// The file in which perf(1) looks up names of code that has no file of its own: lines of address, bytes and name, both
/// numbers in hexadecimal.
public final class PerfMap: Sendable {
    private let file: FileDescriptor

    /// Makes `/tmp/perf-PID.map`, or empties it.
    /// - Throws: the host's error.
    public init() throws(Errno) {
        file = try FileDescriptor.open(
            "/tmp/perf-\(getpid()).map", flags: O_WRONLY | O_CREAT | O_TRUNC | O_APPEND | O_NOFOLLOW, mode: 0o600)
    }

    /// Names code. A line that cannot be written is one name less for perf.
    func note(_ start: UnsafeRawPointer, count: Int, name: @autoclosure () -> String) {
        let line =
            String(UInt(bitPattern: start), radix: 16) + " " + String(count, radix: 16) + " " + name() + "\n"
        try? file.writeAll(Array(line.utf8))
    }
}
