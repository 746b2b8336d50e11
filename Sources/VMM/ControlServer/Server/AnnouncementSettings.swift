// SPDX-License-Identifier: Apache-2.0

/// How often and when cards make themselves known to their networks (`announce-self`, and after a move).
public struct AnnouncementSettings: Equatable, Sendable {
    /// Milliseconds between the first and the second announcement, and between two at most.
    public var initial: Int64 = 50, maximum: Int64 = 550
    /// How many there are, the first at once.
    public var rounds: Int64 = 5
    /// Milliseconds by which each wait is longer than the one before.
    public var step: Int64 = 100
    /// The cards, by name; nil for all.
    public var cards: [String]?
    /// What a later call names to take the place of this one.
    public var identifier = ""

    /// QEMU's defaults.
    public init() {}

    /// What is set for moves.
    public init(_ settings: MigrationSettings) {
        initial = Int64(clamping: settings.number("announce-initial"))
        maximum = Int64(clamping: settings.number("announce-max"))
        rounds = Int64(clamping: settings.number("announce-rounds"))
        step = Int64(clamping: settings.number("announce-step"))
    }

    /// How long to wait after an announcement, in milliseconds; nil after the last.
    /// - Parameter done: how many there have been, at least one.
    public func delay(after done: Int64) -> UInt64? {
        guard done < rounds else { return nil }
        let (growth, overflows) = step.multipliedReportingOverflow(by: done - 1)
        let (wait, overflowsToo) = initial.addingReportingOverflow(growth)
        let longest = max(maximum, 0)
        guard !overflows, !overflowsToo, (0...longest).contains(wait) else { return UInt64(longest) }
        return UInt64(wait)
    }
}

/// A machine whose network cards can make themselves known.
public protocol SelfAnnouncing: ControlledMachine {
    /// Announces all cards or some, now and again a few times.
    func announce(_ settings: AnnouncementSettings)
}
