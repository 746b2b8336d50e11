// SPDX-License-Identifier: Apache-2.0

internal import BlockLayer
internal import Glibc

/// The table of snapshots that `info` and `snapshot -l` print.
enum SnapshotText {
    static func table(_ snapshots: [SnapshotInformation]) -> [String] {
        [row("ID", "TAG", "VM SIZE", "DATE", "VM CLOCK", "ICOUNT")]
            + snapshots.map { snapshot in
                row(
                    snapshot.identifier, snapshot.name, ByteSize.text(snapshot.vmStateSize),
                    date(snapshot.dateSeconds), clock(snapshot.vmClock),
                    snapshot.instructionCount.map { String($0) } ?? "")
            }
    }

    private static func row(
        _ identifier: String, _ tag: String, _ size: String, _ date: String, _ clock: String, _ count: String
    ) -> String {
        left(identifier, 9) + " " + left(tag, 16) + " " + right(size, 8) + right(date, 20) + right(clock, 13)
            + right(count, 11)
    }

    private static func left(_ text: String, _ width: Int) -> String {
        text + String(repeating: " ", count: max(0, width - text.utf8.count))
    }

    private static func right(_ text: String, _ width: Int) -> String {
        String(repeating: " ", count: max(0, width - text.utf8.count)) + text
    }

    private static func two(_ value: Int32) -> String { value < 10 ? "0\(value)" : "\(value)" }

    /// In the host's time zone, as "2026-01-31 12:00:00".
    private static func date(_ seconds: Int64) -> String {
        var time = time_t(seconds)
        var parts = unsafe tm()
        // localtime_r fills the struct on this frame.
        unsafe localtime_r(&time, &parts)
        // Numbers are copied out of the struct on this frame.
        return
            unsafe "\(parts.tm_year + 1900)-\(two(parts.tm_mon + 1))-\(two(parts.tm_mday)) \(two(parts.tm_hour)):\(two(parts.tm_min)):\(two(parts.tm_sec))"
    }

    private static func clock(_ nanoseconds: UInt64) -> String {
        let seconds = nanoseconds / 1_000_000_000
        let milliseconds = Int(nanoseconds / 1_000_000 % 1000)
        let text = String(milliseconds)
        let hours = seconds / 3600
        return "\(hours < 10 ? "0" : "")\(hours):\(two(Int32(seconds / 60 % 60))):\(two(Int32(seconds % 60)))."
            + String(repeating: "0", count: 3 - text.count) + text
    }
}
