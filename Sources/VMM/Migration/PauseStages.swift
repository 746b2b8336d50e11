// SPDX-License-Identifier: Apache-2.0

internal import Diagnostics
internal import HostSystem

/// What the time that a guest stands still goes into, for `-trace migration_pause`.
struct PauseStages {
    private let side: String
    private var last = monotonicNanoseconds()
    private static let microsecond: UInt64 = 1000

    /// Begins now.
    init(_ side: String) { self.side = side }

    /// A stage has ended.
    mutating func pass(_ stage: @autoclosure () -> String) {
        let now = monotonicNanoseconds(), spent = (now &- last) / Self.microsecond
        Trace.emit(.migrationPause, "side \(side) stage \(stage()) us \(spent)")
        last = monotonicNanoseconds()
    }
}
