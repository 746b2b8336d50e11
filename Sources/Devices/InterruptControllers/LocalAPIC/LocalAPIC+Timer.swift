// SPDX-License-Identifier: Apache-2.0

internal import HostSystem
internal import MachineModel

extension LocalAPIC {
    enum TimerMode { case oneShot, periodic, timestampDeadline }

    /// The counter runs at 1 GHz before the divider, so that a count is a nanosecond.
    ///
    /// A shorter period than this is delivered late and coalesced, so that a guest cannot busy the host with it.
    private static let shortestPeriod: UInt64 = 20_000

    var timerModeLocked: TimerMode {
        switch current[.timer] >> 17 & 3 {
        case 1: .periodic
        case 2: .timestampDeadline
        default: .oneShot
        }
    }

    /// Bits 0, 1 and 3 of the divide configuration: 2, 4, ... 128, then 1.
    private var dividerShiftLocked: UInt64 {
        let configuration = current.divideConfiguration
        return UInt64((configuration & 3 | configuration >> 1 & 4) + 1) & 7
    }

    private var periodLocked: UInt64 { UInt64(current.initialCount) << dividerShiftLocked }

    /// TMCCT.
    func currentCountLocked() -> UInt32 {
        guard let end = current.countEnd, timerModeLocked != .timestampDeadline else { return 0 }
        let now = clock.now
        let shift = dividerShiftLocked
        var left: UInt64
        if end > now {
            left = end - now
        } else {
            // The host's timer is late: a periodic count has begun anew meanwhile.
            let period = periodLocked
            guard timerModeLocked == .periodic, period > 0 else { return 0 }
            left = period - (now - end) % period
        }
        left = (left &+ (1 << shift) &- 1) >> shift
        return UInt32(truncatingIfNeeded: min(left, UInt64(current.initialCount)))
    }

    /// TMICT: a count of 0 stops the timer. Both locks are held, also in the functions below.
    func setInitialCountLocked(_ value: UInt32) {
        // In TSC-deadline mode the register is not writable.
        guard timerModeLocked != .timestampDeadline else { return }
        current.initialCount = value
        current.countEnd = value == 0 ? nil : clock.now &+ periodLocked
        armHostTimerLocked()
    }

    /// TDCR: what is left of the count goes on at the new speed.
    func setDivideConfigurationLocked(_ value: UInt32) {
        let left = UInt64(currentCountLocked())
        current.divideConfiguration = value & 0xB
        if current.countEnd != nil { current.countEnd = clock.now &+ left << dividerShiftLocked }
        armHostTimerLocked()
    }

    /// The timer's table entry. Between one-shot and periodic the count runs on; from or to TSC-deadline it stops.
    func setTimerEntryLocked(_ value: UInt32) {
        let before = timerModeLocked
        current[.timer] = value
        let after = timerModeLocked
        if before != after && (before == .timestampDeadline || after == .timestampDeadline) {
            current.countEnd = nil
            current.timestampDeadline = 0
            if after == .timestampDeadline { current.initialCount = 0 }
        }
        armHostTimerLocked()
    }

    /// IA32_TSC_DEADLINE; ignored outside TSC-deadline mode.
    func setTimestampDeadlineLocked(_ value: UInt64) {
        guard timerModeLocked == .timestampDeadline else { return }
        current.timestampDeadline = value
        fireTimestampDeadlineLocked()
        armHostTimerLocked()
    }

    /// The processor's TSC was written: the deadline lies elsewhere in time now. The machine lock is not held.
    public func timestampCounterChanged() {
        machineLock.withLock {
            bus.lock.withLock {
                guard current.timestampDeadline != 0 else { return }
                fireTimestampDeadlineLocked()
                armHostTimerLocked()
            }
        }
    }

    /// Machine time of the next expiry.
    func nextDeadlineLocked() -> UInt64? {
        guard timerModeLocked == .timestampDeadline else { return current.countEnd }
        guard current.timestampDeadline != 0, let counter = timestampCounter else { return nil }
        let timestamp = counter.timestamp
        guard current.timestampDeadline > timestamp else { return clock.now }
        let wide = (current.timestampDeadline - timestamp).multipliedFullWidth(by: 1_000_000_000)
        let frequency = max(counter.timestampFrequency, 1)
        // A quotient that does not fit lies further away than any machine lives.
        guard wide.high < frequency else { return nil }
        let (sum, overflow) = clock.now.addingReportingOverflow(frequency.dividingFullWidth(wide).quotient &+ 1)
        return overflow ? nil : sum
    }

    /// The host's timer fired; it may be early after a lazy cancel, or late.
    func timerExpiredLocked() {
        if timerModeLocked == .timestampDeadline {
            fireTimestampDeadlineLocked()
        } else if let end = current.countEnd, end <= clock.now {
            let period = periodLocked
            if timerModeLocked == .periodic && period > 0 {
                let now = clock.now
                current.countEnd = end &+ ((now - end) / period &+ 1) &* period
                signalLocked(current[.timer] & ~0x700)
                return armPeriodicLocked(from: now)
            }
            current.countEnd = nil
            signalLocked(current[.timer] & ~0x700)
        }
        armHostTimerLocked()
    }

    private func armPeriodicLocked(from now: UInt64) {
        guard let end = current.countEnd else { return }
        armHostTimerLocked(at: max(end, now &+ Self.shortestPeriod))
    }

    private func fireTimestampDeadlineLocked() {
        guard current.timestampDeadline != 0, let counter = timestampCounter,
            counter.timestamp >= current.timestampDeadline
        else { return }
        current.timestampDeadline = 0
        signalLocked(current[.timer] & ~0x700)
    }
}
