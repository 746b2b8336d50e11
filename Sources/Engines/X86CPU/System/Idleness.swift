// SPDX-License-Identifier: Apache-2.0

internal import Glibc

/// Tells whether a processor's guest has come to rest, so that memory that a busy one filled is worth giving back. Asked
/// on the processor's thread before it sleeps.
struct Idleness {
    /// Decoded and translated code that an idle guest may keep, in bytes: what its timer ticks and housekeeping run.
    static let keptBytes = 1 << 20
    /// How long a sleep must last, and how long the times are that busy and idle ones are told apart by.
    static let patience = timespec(tv_sec: 1, tv_nsec: 0)
    /// An idle guest runs for less than this part of the time: of a translated one, whose code costs more to make anew,
    /// less is asked.
    private static let idleShare: Int64 = 16, translatedIdleShare: Int64 = 48

    private var began: Int64 = 0
    private var busyBefore: Int64 = 0

    /// Whether there is more than an idle guest may keep.
    func isWorthWatching(_ residentBytes: Int) -> Bool { residentBytes > Self.keptBytes }

    /// Whether the thread hardly ran in the time since it last was told, of at least a second.
    mutating func isIdle(isTranslated: Bool) -> Bool {
        let now = Self.nanoseconds(CLOCK_MONOTONIC_COARSE)
        let passed = now - began
        guard passed >= Int64(Self.patience.tv_sec) * Self.nanosecondsPerSecond else { return false }
        let busy = Self.nanoseconds(CLOCK_THREAD_CPUTIME_ID)
        let share = isTranslated ? Self.translatedIdleShare : Self.idleShare
        let isIdle = began != 0 && (busy - busyBefore) * share < passed
        began = now
        busyBefore = busy
        return isIdle
    }

    private static let nanosecondsPerSecond: Int64 = 1_000_000_000

    private static func nanoseconds(_ clock: clockid_t) -> Int64 {
        var time = timespec()
        clock_gettime(clock, &time)
        return Int64(time.tv_sec) * nanosecondsPerSecond + Int64(time.tv_nsec)
    }
}
