// SPDX-License-Identifier: Apache-2.0

internal import HostSystem
internal import Synchronization

/// Roost's trace points: `-trace PATTERN`, `-trace events=FILE,file=FILE`, `-d trace:PATTERN`.
public enum Trace {
    private static let enabledLow = Atomic<UInt64>(0)
    private static let enabledHigh = Atomic<UInt64>(0)
    private static let numbers: [TracePoint: Int] = Dictionary(
        uniqueKeysWithValues: TracePoint.allCases.enumerated().map { ($1, $0) })

    /// Whether the point is wanted. While none is, this is two loads.
    public static func isEnabled(_ point: TracePoint) -> Bool {
        let low = enabledLow.load(ordering: .relaxed)
        let high = enabledHigh.load(ordering: .relaxed)
        guard low | high != 0, let number = numbers[point] else { return false }
        return (number < 64 ? low >> UInt64(number) : high >> UInt64(number - 64)) & 1 != 0
    }

    /// Writes `name text` to the log if the point is wanted.
    public static func emit(_ point: TracePoint, _ text: @autoclosure () -> String) {
        guard isEnabled(point) else { return }
        Log.shared.writeTrace(point.rawValue + " " + text())
    }

    /// Switches points on, or off with a leading `-`. `*` stands for any run of characters.
    /// - Throws: an error for a pattern that no point has.
    public static func enable(pattern: String) throws(UserError) {
        let isOff = pattern.hasPrefix("-")
        let glob = isOff ? String(pattern.dropFirst()) : pattern
        let matching = TracePoint.allCases.filter { matches($0.rawValue, glob) }
        guard !matching.isEmpty else {
            throw UserError("trace event '\(glob)' does not exist", remedy: "see '-trace help' for the list")
        }
        for point in matching { set(point, !isOff) }
    }

    /// Switches on what a file lists: one pattern a line, `#` begins a comment line.
    public static func enable(listedIn text: String) throws(UserError) {
        for line in text.split(whereSeparator: \.isNewline) where !line.hasPrefix("#") {
            let pattern = line.filter { !$0.isWhitespace }
            if !pattern.isEmpty { try enable(pattern: pattern) }
        }
    }

    /// Switches everything off.
    public static func disableAll() {
        enabledLow.store(0, ordering: .relaxed)
        enabledHigh.store(0, ordering: .relaxed)
    }

    /// What `-trace help` prints: one name a line.
    public static var help: String { TracePoint.allCases.map { $0.rawValue + "\n" }.joined() }

    private static func set(_ point: TracePoint, _ on: Bool) {
        guard let number = numbers[point] else { return }
        let bit: UInt64 = 1 << UInt64(number % 64)
        switch (number < 64, on) {
        case (true, true): enabledLow.bitwiseOr(bit, ordering: .relaxed)
        case (true, false): enabledLow.bitwiseAnd(~bit, ordering: .relaxed)
        case (false, true): enabledHigh.bitwiseOr(bit, ordering: .relaxed)
        case (false, false): enabledHigh.bitwiseAnd(~bit, ordering: .relaxed)
        }
    }

    /// Shell-like matching with `*` and `?`, in time of the product of both lengths at worst.
    static func matches(_ name: String, _ pattern: String) -> Bool {
        let name = Array(name.utf8), pattern = Array(pattern.utf8)
        var place = 0, at = 0
        var star: (pattern: Int, name: Int)?
        while place < name.count {
            if at < pattern.count, pattern[at] == name[place] || pattern[at] == UInt8(ascii: "?") {
                place += 1
                at += 1
            } else if at < pattern.count, pattern[at] == UInt8(ascii: "*") {
                star = (at, place)
                at += 1
            } else if let last = star {
                star = (last.pattern, last.name + 1)
                place = last.name + 1
                at = last.pattern + 1
            } else {
                return false
            }
        }
        return pattern[at...].allSatisfy { $0 == UInt8(ascii: "*") }
    }
}
