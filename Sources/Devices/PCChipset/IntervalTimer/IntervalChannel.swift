// SPDX-License-Identifier: Apache-2.0

/// One counter of the 8254 as a function of time (Intel 8254 data sheet, "Mode Definitions").
///
/// Nothing is counted down: the state says when the count was loaded, and everything else follows from the time.
public struct IntervalChannel: Equatable, Sendable, Codable {
    enum ByteAccess: UInt8, Codable { case latch = 0, low, high, lowThenHigh }

    /// 0...5.
    public internal(set) var mode: UInt8 = 3
    /// Bit 0 of the control word: counts four decimal digits, so 0 means 10000.
    public internal(set) var isDecimal = false
    var access = ByteAccess.lowThenHigh
    /// The count register in ticks, 1...65536.
    public internal(set) var reload: UInt64 = 0x10000
    /// Machine time of the last load or trigger, while it counts.
    var start: UInt64?
    /// Ticks counted when the gate went low, in modes whose gate pauses.
    var pausedTicks: UInt64?
    /// A gate is high: channels 0 and 1 have theirs tied.
    public internal(set) var gate = true
    var latchedCount: UInt16?
    var latchedStatus: UInt8?
    var readsHighNext = false
    var pendingLow: UInt8?
    /// No count was loaded since the control word.
    var isNull = true

    static let frequency: UInt64 = 1_193_182

    private func tickCount(at now: UInt64) -> UInt64? {
        if let pausedTicks { return pausedTicks }
        guard let start else { return nil }
        return TickConversion.ticks(nanoseconds: now &- min(start, now), frequency: Self.frequency)
    }

    /// The level of OUT.
    func output(at now: UInt64) -> Bool {
        guard let ticks = tickCount(at: now) else { return mode != 0 }
        switch mode {
        case 0, 1: return ticks >= reload
        case 2: return !gate || ticks % reload != reload - 1
        case 3: return !gate || ticks % reload < (reload + 1) / 2
        default: return ticks != reload
        }
    }

    /// The value that a read shows, before BCD.
    private func counterValue(at now: UInt64) -> UInt64 {
        guard let ticks = tickCount(at: now) else { return reload }
        switch mode {
        case 2: return reload - ticks % reload
        case 3: return reload - ticks * 2 % reload
        default: return reload &- ticks
        }
    }

    func count(at now: UInt64) -> UInt16 {
        let value = counterValue(at: now)
        guard isDecimal else { return UInt16(truncatingIfNeeded: value) }
        // Counting on below zero wraps at 9999.
        let signed = Int64(bitPattern: value) % 10_000
        var rest = signed < 0 ? signed + 10_000 : signed
        var result: UInt16 = 0
        for digit in 0..<UInt16(4) {
            result |= UInt16(rest % 10) << (digit * 4)
            rest /= 10
        }
        return result
    }

    /// Machine time of the next rising or falling edge of OUT that matters after `now`; nil when none will come.
    func nextChange(after now: UInt64) -> UInt64? {
        guard let start, pausedTicks == nil, gate || mode == 1 || mode == 5 else { return nil }
        let ticks = tickCount(at: now) ?? 0
        let target: UInt64
        switch mode {
        case 0, 1:
            guard ticks < reload else { return nil }
            target = reload
        // One tick low and back: only the rising edge is worth a wake-up.
        case 2: target = (ticks / reload + 1) * reload
        case 3:
            let cycle = ticks / reload * reload
            let half = (reload + 1) / 2
            target = ticks % reload < half && half < reload ? cycle + half : cycle + reload
        default:
            guard ticks <= reload else { return nil }
            target = reload + 1
        }
        return start.addingClamped(TickConversion.nanoseconds(ticks: target, frequency: Self.frequency))
    }

    // MARK: Programming

    mutating func setControl(_ control: UInt8) {
        access = ByteAccess(rawValue: control >> 4 & 3) ?? .lowThenHigh
        let selected = control >> 1 & 7
        // Modes 2 and 3 ignore the highest bit.
        mode = selected > 5 ? selected & 3 : selected
        isDecimal = control & 1 != 0
        start = nil
        pausedTicks = nil
        latchedCount = nil
        latchedStatus = nil
        readsHighNext = false
        pendingLow = nil
        isNull = true
    }

    mutating func write(_ byte: UInt8, now: UInt64) {
        switch access {
        case .low: load(UInt16(byte), now: now)
        case .high: load(UInt16(byte) << 8, now: now)
        case .lowThenHigh, .latch:
            if let low = pendingLow {
                pendingLow = nil
                load(UInt16(byte) << 8 | UInt16(low), now: now)
            } else {
                pendingLow = byte
                // The first byte stops the count in mode 0.
                if mode == 0 {
                    start = nil
                    pausedTicks = nil
                }
            }
        }
    }

    private mutating func load(_ raw: UInt16, now: UInt64) {
        var value = UInt64(raw)
        if isDecimal {
            value = 0
            for digit in [12, 8, 4, 0] as [UInt16] { value = value * 10 + UInt64(raw >> digit & 0xF) }
            if value == 0 { value = 10_000 }
        } else if value == 0 {
            value = 0x10000
        }
        reload = value
        isNull = false
        // Modes 1 and 5 wait for the gate.
        guard mode != 1 && mode != 5 else { return }
        start = now
        pausedTicks = gate ? nil : 0
    }

    mutating func setGate(_ level: Bool, now: UInt64) {
        guard level != gate else { return }
        let ticks = tickCount(at: now)
        gate = level
        switch mode {
        case 0, 4:
            if !level {
                pausedTicks = ticks
            } else if let paused = pausedTicks {
                start = now &- min(now, TickConversion.nanoseconds(ticks: paused, frequency: Self.frequency))
                pausedTicks = nil
            }
        case 1, 5:
            if level && !isNull { start = now }
        default:
            guard start != nil else { return }
            start = now
            pausedTicks = level ? nil : 0
        }
    }

    // MARK: Reading

    mutating func latchCount(now: UInt64) {
        // A second latch command before the first was read is ignored.
        if latchedCount == nil { latchedCount = count(at: now) }
    }

    mutating func latchStatus(now: UInt64) {
        guard latchedStatus == nil else { return }
        latchedStatus =
            (output(at: now) ? 0x80 : 0) | (isNull ? 0x40 : 0) | access.rawValue << 4 | mode << 1
            | (isDecimal ? 1 : 0)
    }

    mutating func read(now: UInt64) -> UInt8 {
        if let status = latchedStatus {
            latchedStatus = nil
            return status
        }
        let value = latchedCount ?? count(at: now)
        let takesHigh: Bool
        switch access {
        case .low: takesHigh = false
        case .high: takesHigh = true
        case .lowThenHigh, .latch:
            takesHigh = readsHighNext
            readsHighNext.toggle()
        }
        if access == .low || takesHigh { latchedCount = nil }
        return UInt8(truncatingIfNeeded: takesHigh ? value >> 8 : value)
    }
}
