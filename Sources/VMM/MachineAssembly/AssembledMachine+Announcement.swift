// SPDX-License-Identifier: Apache-2.0

internal import ControlServer
internal import HostIO
internal import HostSystem
internal import PacketPorts

/// Announcements that follow each other. On the loop's thread.
final class AnnouncementSeries {
    let settings: AnnouncementSettings
    /// How many there have been.
    var done: Int64 = 0
    var timer: LoopTimer?

    init(_ settings: AnnouncementSettings) { self.settings = settings }
}

extension AssembledMachine: SelfAnnouncing {
    private static let nanosecondsPerMillisecond: UInt64 = 1_000_000

    func announce(_ settings: AnnouncementSettings) {
        announcements.removeValue(forKey: settings.identifier)?.timer?.cancel()
        guard settings.rounds > 0 else { return }
        let series = AnnouncementSeries(settings)
        announcements[settings.identifier] = series
        series.timer = loop.makeTimer { [weak self, weak series] in if let series { self?.announceOnce(series) } }
        announceOnce(series)
    }

    private func announceOnce(_ series: AnnouncementSeries) {
        for card in networkCards where series.settings.cards?.contains(card.name) ?? true {
            // The driver knows the guest's own addresses; the frame only says where the card is.
            card.announce()
            guard let name = card.network else { continue }
            networks.ports.first { $0.identifier == name }?.port.announce(card.address)
        }
        series.done += 1
        guard let delay = series.settings.delay(after: series.done) else {
            announcements[series.settings.identifier] = nil
            return
        }
        series.timer?.arm(at: monotonicNanoseconds() &+ delay &* Self.nanosecondsPerMillisecond)
    }
}
