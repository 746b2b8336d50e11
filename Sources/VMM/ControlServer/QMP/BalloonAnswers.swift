// SPDX-License-Identifier: Apache-2.0

internal import ControlProtocol
internal import JSONCoding

/// The balloon's statistics as QOM shows them.
enum BalloonAnswers {
    static let interval = "guest-stats-polling-interval"
    /// QEMU's names, all of which are always there; what the guest does not tell is all ones.
    private static let names = [
        "stat-swap-in", "stat-swap-out", "stat-major-faults", "stat-minor-faults", "stat-free-memory",
        "stat-total-memory", "stat-available-memory", "stat-disk-caches", "stat-htlb-pgalloc", "stat-htlb-pgfail",
    ]

    static func statistics(_ machine: any ControlledMachine) throws(QMPError) -> JSONValue {
        guard let found = (machine as? any BalloonStatisticsKeeping)?.balloonStatistics else {
            throw QMPError("No balloon device has been activated")
        }
        var values = JSONObject()
        for (tag, name) in names.enumerated() { values[name] = JSONValue(found.values[tag] ?? .max) }
        return ["stats": .object(values), "last-update": .integer(found.lastUpdate)]
    }
}
