// SPDX-License-Identifier: Apache-2.0

import ControlServer
import Testing

@Suite struct AnnouncementSettingsTests {
    @Test func waitsGrowUpToTheLongest() {
        var settings = AnnouncementSettings()
        #expect((1...5).map { settings.delay(after: $0) } == [50, 150, 250, 350, nil])
        settings.rounds = 9
        #expect(settings.delay(after: 6) == 550 && settings.delay(after: 8) == 550 && settings.delay(after: 9) == nil)
    }

    @Test(arguments: [(Int64.max, Int64.max), (0, .min), (.min, 0), (-5, 1)])
    func numbersThatMeanNothing(initial: Int64, step: Int64) {
        var settings = AnnouncementSettings()
        (settings.initial, settings.step, settings.rounds) = (initial, step, .max)
        for done in [1, 2, Int64.max - 1] {
            let delay = settings.delay(after: done)
            #expect(delay != nil && delay! <= 550)
        }
        settings.maximum = -1
        #expect(settings.delay(after: 3) == 0)
        settings.rounds = 0
        #expect(settings.delay(after: 1) == nil)
    }
}
