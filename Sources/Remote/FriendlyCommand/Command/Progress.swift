// SPDX-License-Identifier: Apache-2.0

internal import Glibc
internal import HostSystem

/// A line on standard error that says how far something is; nothing where that is no terminal.
package struct Progress {
    private let label: String
    private let total: UInt64
    private let isShown = isatty(STDERR_FILENO) == 1
    private let start = Progress.now()
    private var shownAt: Double = 0

    private static let barWidth = 30
    /// The largest rate and the longest time that are shown.
    private static let mostShown = 0x1p62
    /// Seconds between two updates.
    private static let interval = 0.1

    /// - Parameter total: the bytes to come; 0 where that is not known.
    init(_ label: String, total: UInt64 = 0) {
        self.label = label
        self.total = total
    }

    private static func now() -> Double {
        var time = timespec()
        // The struct is on this frame.
        unsafe clock_gettime(CLOCK_MONOTONIC, &time)
        return Double(time.tv_sec) + Double(time.tv_nsec) / 1e9
    }

    /// Seconds since the start.
    var elapsed: Double { Self.now() - start }

    /// Says how much is done.
    mutating func update(_ done: UInt64) {
        guard isShown, elapsed - shownAt >= Self.interval || done == total else { return }
        shownAt = elapsed
        show(Self.line(label, done: done, total: total, seconds: elapsed))
    }

    /// Says what is being waited for.
    mutating func waiting(_ what: String) {
        guard isShown else { return }
        show("\(label): \(what) (\(Int(elapsed)) s)")
    }

    /// Takes the line away.
    func end() { if isShown { show("") } }

    private func show(_ line: String) {
        // To the line's start, and what was there is erased. A terminal that is gone shows nothing.
        try? FileDescriptor.writeAll(Array("\r\u{1B}[K\(line)".utf8), to: STDERR_FILENO)
    }

    /// "label [#####-----] 50 %  12 MiB/s  3 s left".
    package static func line(_ label: String, done: UInt64, total: UInt64, seconds: Double) -> String {
        let share = total == 0 ? 1 : min(1, Double(done) / Double(total))
        let full = Int(share * Double(barWidth))
        let bar = String(repeating: "#", count: full) + String(repeating: "-", count: barWidth - full)
        var line = "\(label) [\(bar)] \(Int(share * 100)) %"
        guard seconds > 0, done > 0 else { return line }
        let rate = Double(done) / seconds
        // The first moments say little, and what they say may be more than a number holds.
        line += "  \(ByteAmount.text(UInt64(min(rate, mostShown))))/s"
        if done < total { line += "  \(Int(min((Double(total - done) / rate).rounded(.up), mostShown))) s left" }
        return line
    }
}
