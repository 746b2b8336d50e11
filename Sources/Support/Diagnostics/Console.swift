// SPDX-License-Identifier: Apache-2.0

internal import Glibc
internal import HostSystem

/// Lines for the person at the terminal, on standard error: `roost-vmm: warning: text`.
///
/// Each line is written with one call, so that lines of several threads do not mix.
public final class Console: @unchecked Sendable {
    /// The one of this process.
    public static let shared = Console()

    // Guards the settings, which the option parser changes while threads may report.
    private let lock = Lock()
    private var programName = Console.defaultProgramName()
    private var showsTime = false
    private var guestName: String?
    private var redirection: ((String) -> Void)?

    /// What lines begin with; the last part of argv[0] unless set.
    public func setProgramName(_ name: String) { lock.withLock { programName = name } }

    /// The name that lines begin with.
    public var program: String { lock.withLock { programName } }

    /// `-msg timestamp=on`: lines begin with the time in UTC, in ISO 8601 with microseconds.
    public func setShowsTime(_ on: Bool) { lock.withLock { showsTime = on } }

    /// `-msg guest-name=on`: lines name the guest.
    public func setGuestName(_ name: String?) { lock.withLock { guestName = name } }

    /// Sends lines elsewhere, for tests; nil restores standard error.
    public func redirect(_ sink: ((String) -> Void)?) { lock.withLock { redirection = sink } }

    /// Something failed.
    public func error(_ text: String) { report(text) }

    /// Something failed.
    public func error(_ error: any Error) { report("\(error)") }

    /// Something is not as asked, and the program goes on.
    public func warning(_ text: String) { report("warning: " + text) }

    /// Something the person may want to know.
    public func info(_ text: String) { report("info: " + text) }

    private func report(_ text: String) {
        let (line, sink) = lock.withLock {
            let time = showsTime ? Self.timestamp() + " " : ""
            let guest = guestName.map { $0 + " " } ?? ""
            return ("\(time)\(guest)\(programName): \(text)\n", redirection)
        }
        if let sink { sink(line) } else { writeLine(line, to: STDERR_FILENO) }
    }

    private static func defaultProgramName() -> String {
        CommandLine.arguments.first?.split(separator: "/").last.map(String.init) ?? "roost"
    }

    /// Now, as 2026-01-31T12:00:00.000000Z.
    static func timestamp() -> String {
        var now = timespec()
        // Both calls fill structs on this frame.
        unsafe clock_gettime(CLOCK_REALTIME, &now)
        // Only the numbers of the struct are used, never its zone's name.
        var parts = unsafe tm()
        _ = unsafe gmtime_r(&now.tv_sec, &parts)
        func padded(_ number: Int, _ width: Int) -> String {
            let digits = String(number)
            return String(repeating: "0", count: max(0, width - digits.count)) + digits
        }
        let date = unsafe [Int(parts.tm_year) + 1900, Int(parts.tm_mon) + 1, Int(parts.tm_mday)]
        let time = unsafe [Int(parts.tm_hour), Int(parts.tm_min), Int(parts.tm_sec)]
        return date.map { padded($0, 2) }.joined(separator: "-") + "T"
            + time.map { padded($0, 2) }.joined(separator: ":") + "." + padded(now.tv_nsec / 1000, 6) + "Z"
    }
}

/// Writes a line with as few calls as the descriptor allows. A descriptor that takes no more (a closed pipe) loses it:
/// there is nobody left to tell.
func writeLine(_ line: String, to descriptor: Int32) {
    let bytes = Array(line.utf8)
    var done = 0
    while done < bytes.count {
        // `done` is below the count, so the rest lies inside the array for the call.
        let written = unsafe bytes.withUnsafeBytes {
            unsafe Glibc.write(descriptor, $0.baseAddress! + done, $0.count - done)
        }
        if written < 0 && Errno.current == .interrupted { continue }
        if written <= 0 { return }
        done += written
    }
}
