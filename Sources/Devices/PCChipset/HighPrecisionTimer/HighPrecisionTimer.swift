// SPDX-License-Identifier: Apache-2.0

public import MachineModel

/// The high precision event timer (IA-PC HPET specification 1.0a): a 64-bit counter of 10 ns with comparators.
public final class HighPrecisionTimer: Device, RegisterWindow {
    /// QEMU's name, for `info qtree`, logs and saved states.
    public let name = "hpet"
    /// Where PCs have it, and how much it takes.
    public static let defaultBase: UInt64 = 0xFED0_0000
    /// The size of the register window in bytes.
    public static let windowSize: UInt64 = 0x400
    /// Nanoseconds and femtoseconds of one tick.
    static let tick: UInt64 = 10
    private static let tickFemtoseconds: UInt64 = 10_000_000

    /// One comparator.
    public struct Comparator: Equatable, Sendable, Codable {
        /// The writable bits of the configuration register.
        public internal(set) var configuration: UInt64 = 0
        /// The counter value at which the comparator fires.
        public internal(set) var value: UInt64 = .max
        /// Ticks between two interrupts in periodic mode.
        public internal(set) var period: UInt64 = 0
        /// Message value (low half) and address (high half).
        public internal(set) var message: UInt64 = 0
        /// The counter at which it fires next; nil when it does not.
        public internal(set) var due: UInt64?
    }

    /// Everything that a saved machine keeps.
    public struct State: Equatable, Sendable, Codable {
        /// Bit 0 runs the counter, bit 1 replaces the PIT and the RTC.
        public internal(set) var configuration: UInt64 = 0
        /// Level-triggered comparators that ask for an interrupt.
        public internal(set) var interruptStatus: UInt64 = 0
        /// The counter while it stands.
        public internal(set) var haltedCounter: UInt64 = 0
        /// Counter minus machine time in ticks, while it runs.
        public internal(set) var counterOffset: UInt64 = 0
        /// The comparators, three on a PC.
        public internal(set) var comparators: [Comparator]
    }

    /// Bits of a comparator's configuration.
    enum Configuration {
        static let level: UInt64 = 1 << 1
        static let enable: UInt64 = 1 << 2
        static let periodic: UInt64 = 1 << 3
        static let periodicCapable: UInt64 = 1 << 4
        static let wideCapable: UInt64 = 1 << 5
        static let setValue: UInt64 = 1 << 6
        static let narrow: UInt64 = 1 << 8
        static let message: UInt64 = 1 << 14
        static let messageCapable: UInt64 = 1 << 15
        static let writable: UInt64 = 0x7F4E
    }

    /// A shorter period or delay than this, in ticks, is served late and coalesced, so that a guest cannot busy the host.
    private static let shortestPeriod: UInt64 = 2000
    /// Periods that passed while the host was late are made up for, so many at most and so many ticks apart: a guest that
    /// counts a timer's interrupts by the processor's clock takes a timer that lost some for a broken one.
    private static let mostOwed: UInt64 = 10, makingUp: UInt64 = 20_000
    private var owed: [UInt64]
    var current: State
    private let clock: any MachineClock
    private var timers: [any MachineTimer] = []
    private let lines: [InterruptLine]
    private let legacyLines: (timer: InterruptLine, clock: InterruptLine)
    private let routes: UInt32
    private let messages: (any MessageInterruptSink)?
    private let legacyReplacement: (Bool) -> Void

    /// - Parameters:
    ///   - comparatorCount: 3...32.
    ///   - lines: one for each I/O APIC input 0..<24.
    ///   - legacyTimer: ISA interrupt 0, which comparator 0 drives in legacy replacement.
    ///   - legacyClock: ISA interrupt 8, for comparator 1.
    ///   - routes: the inputs that comparators may use: 0xFF0104 on q35, 0x4 on pc.
    ///   - messages: takes message-signalled interrupts; nil for a timer without them, as QEMU's is by default.
    ///   - legacyReplacement: told to silence the PIT and the RTC, or to let them speak again.
    public init(
        clock: any MachineClock, comparatorCount: Int = 3, lines: [InterruptLine], legacyTimer: InterruptLine,
        legacyClock: InterruptLine, routes: UInt32, messages: (any MessageInterruptSink)? = nil,
        legacyReplacement: @escaping (Bool) -> Void
    ) {
        self.clock = clock
        self.lines = lines
        legacyLines = (legacyTimer, legacyClock)
        self.routes = routes
        self.messages = messages
        self.legacyReplacement = legacyReplacement
        let count = max(3, min(comparatorCount, 32))
        owed = [UInt64](repeating: 0, count: count)
        current = State(comparators: [Comparator](repeating: Comparator(), count: count))
        timers = (0..<count).map { index in clock.makeTimer { [unowned self] in expired(index) } }
    }

    /// The counter stands at 0, no comparator is set, and the 8254 and RTC have their lines back.
    public func reset() {
        let wasLegacy = isLegacy
        current = State(comparators: [Comparator](repeating: Comparator(), count: current.comparators.count))
        for timer in timers { timer.cancel() }
        for line in lines { line.set(false) }
        legacyLines.timer.set(false)
        legacyLines.clock.set(false)
        if wasLegacy { legacyReplacement(false) }
    }

    /// What a saved machine keeps; setting it arms the timers anew.
    public var state: State {
        get { current }
        set {
            let count = current.comparators.count
            current = newValue
            if current.comparators.count != count {
                current.comparators = [Comparator](repeating: Comparator(), count: count)
            }
            legacyReplacement(isLegacy)
            for index in 0..<count { arm(index) }
        }
    }

    // MARK: Counter

    private var isRunning: Bool { current.configuration & 1 != 0 }
    private var isLegacy: Bool { current.configuration & 2 != 0 }

    private var counter: UInt64 {
        isRunning ? clock.now / Self.tick &+ current.counterOffset : current.haltedCounter
    }

    private func setConfiguration(_ value: UInt64) {
        let count = counter
        let wasRunning = isRunning
        let wasLegacy = isLegacy
        current.configuration = value & 3
        if isLegacy != wasLegacy { legacyReplacement(isLegacy) }
        if isRunning && !wasRunning {
            current.counterOffset = count &- clock.now / Self.tick
            for index in current.comparators.indices { schedule(index) }
        } else if !isRunning && wasRunning {
            current.haltedCounter = count
            for timer in timers { timer.cancel() }
        }
    }

    // MARK: Comparators

    private func isNarrow(_ index: Int) -> Bool { current.comparators[index].configuration & Configuration.narrow != 0 }
    private func isPeriodic(_ index: Int) -> Bool {
        current.comparators[index].configuration & Configuration.periodic != 0
    }

    /// Finds the counter at which a comparator matches next. A value that has just passed fires at once: the guest
    /// wrote it a moment too late, and waiting for the counter to wrap would hang it.
    private func schedule(_ index: Int) {
        owed[index] = 0
        guard current.comparators[index].configuration & Configuration.enable != 0 else {
            current.comparators[index].due = nil
            return timers[index].cancel()
        }
        let now = counter
        let value = current.comparators[index].value
        if isNarrow(index) {
            let distance = UInt32(truncatingIfNeeded: value) &- UInt32(truncatingIfNeeded: now)
            current.comparators[index].due = now &+ (Int32(bitPattern: distance) < 0 ? 0 : UInt64(distance))
        } else {
            let distance = value &- now
            current.comparators[index].due = now &+ (Int64(bitPattern: distance) < 0 ? 0 : distance)
        }
        arm(index)
    }

    private func arm(_ index: Int, notBefore delay: UInt64 = 0) {
        guard isRunning, let due = current.comparators[index].due else { return timers[index].cancel() }
        let distance = Int64(bitPattern: due &- counter)
        var ticks = max(distance < 0 ? 0 : UInt64(distance), delay)
        if owed[index] > 0 { ticks = min(ticks, Self.makingUp) }
        let (nanoseconds, overflow) = ticks.multipliedReportingOverflow(by: Self.tick)
        if overflow { return timers[index].cancel() }
        timers[index].arm(at: clock.now.addingClamped(nanoseconds))
    }

    private func expired(_ index: Int) {
        guard isRunning, let due = current.comparators[index].due else { return }
        let now = counter
        guard Int64(bitPattern: now &- due) >= 0 else {
            guard owed[index] > 0 else { return arm(index) }
            owed[index] -= 1
            arm(index)
            return raise(index)
        }
        let period =
            isNarrow(index)
            ? current.comparators[index].period & 0xFFFF_FFFF : current.comparators[index].period
        if isPeriodic(index) && period > 0 {
            let steps = (now &- due) / period &+ 1
            owed[index] = period > Self.makingUp ? min(owed[index] &+ steps &- 1, Self.mostOwed) : 0
            current.comparators[index].due = due &+ steps &* period
            let value = current.comparators[index].value &+ steps &* period
            current.comparators[index].value = isNarrow(index) ? value & 0xFFFF_FFFF : value
            arm(index, notBefore: Self.shortestPeriod)
        } else {
            // A narrow comparator matches again when the low half of the counter comes round.
            current.comparators[index].due = isNarrow(index) ? due &+ 1 << 32 : nil
            arm(index, notBefore: Self.shortestPeriod)
        }
        raise(index)
    }

    // MARK: Interrupts

    private func line(_ index: Int) -> InterruptLine? {
        if isLegacy && index == 0 { return legacyLines.timer }
        if isLegacy && index == 1 { return legacyLines.clock }
        let route = Int(current.comparators[index].configuration >> 9 & 0x1F)
        return route < lines.count && routes >> UInt32(route) & 1 != 0 ? lines[route] : nil
    }

    private func raise(_ index: Int) {
        let comparator = current.comparators[index]
        let isLevel = comparator.configuration & Configuration.level != 0
        if isLevel { current.interruptStatus |= 1 << UInt64(index) }
        guard comparator.configuration & Configuration.enable != 0 else { return }
        if comparator.configuration & Configuration.message != 0, let messages {
            messages.deliver(
                address: comparator.message >> 32, data: UInt32(truncatingIfNeeded: comparator.message))
        } else if isLevel {
            line(index)?.set(true)
        } else {
            line(index)?.pulse()
        }
    }

    /// Drives a comparator's wire after its configuration or status changed.
    private func updateLevel(_ index: Int) {
        let configuration = current.comparators[index].configuration
        let wanted = Configuration.enable | Configuration.level
        let isAsserted =
            configuration & (wanted | Configuration.message) == wanted
            && current.interruptStatus >> UInt64(index) & 1 != 0
        line(index)?.set(isAsserted)
    }

    // MARK: Registers

    /// Registers are 8 bytes; any aligned part can be read (section 2.3.2).
    public func read(offset: UInt64, size: Int) -> UInt64 {
        let value = readWord(offset & ~7)
        return value >> ((offset & 7) * 8)
    }

    /// Aligned halves or whole registers count; anything else is dropped.
    public func write(offset: UInt64, size: Int, value: UInt64) {
        // Registers take aligned halves or the whole (section 2.3.2); other accesses are undefined and dropped.
        switch (offset & 7, size) {
        case (0, 8): writeWord(offset, value, isHigh: false, isWhole: true)
        case (0, 4): writeWord(offset, value & 0xFFFF_FFFF, isHigh: false, isWhole: false)
        case (4, 4): writeWord(offset & ~7, value << 32, isHigh: true, isWhole: false)
        default: break
        }
    }

    private var capabilities: UInt64 {
        Self.tickFemtoseconds << 32 | 0x8086 << 16 | 1 << 15 | 1 << 13
            | UInt64(current.comparators.count - 1) << 8 | 0x01
    }

    private func readWord(_ offset: UInt64) -> UInt64 {
        switch offset {
        case 0x000: return capabilities
        case 0x010: return current.configuration
        case 0x020: return current.interruptStatus
        case 0x0F0: return counter
        default:
            guard let index = comparatorIndex(offset) else { return 0 }
            let comparator = current.comparators[index]
            switch offset & 0x1F {
            case 0x00: return comparator.configuration | fixedBits(index)
            case 0x08: return comparator.value
            case 0x10: return comparator.message
            default: return 0
            }
        }
    }

    private func comparatorIndex(_ offset: UInt64) -> Int? {
        guard offset >= 0x100, offset < Self.windowSize else { return nil }
        let index = Int((offset - 0x100) / 0x20)
        return index < current.comparators.count ? index : nil
    }

    /// What the read-only bits of a configuration register show.
    private func fixedBits(_ index: Int) -> UInt64 {
        UInt64(routes) << 32 | Configuration.periodicCapable | Configuration.wideCapable
            | (messages == nil ? 0 : Configuration.messageCapable)
    }

    private func writeWord(_ offset: UInt64, _ value: UInt64, isHigh: Bool, isWhole: Bool) {
        func merged(_ old: UInt64) -> UInt64 {
            if isWhole { return value }
            return isHigh ? old & 0xFFFF_FFFF | value : old & ~0xFFFF_FFFF | value
        }
        switch offset {
        case 0x010: setConfiguration(merged(current.configuration))
        case 0x020:
            let cleared = current.interruptStatus & value
            current.interruptStatus &= ~value
            for index in current.comparators.indices where cleared >> UInt64(index) & 1 != 0 { updateLevel(index) }
        // The counter is writable while it stands (section 2.3.7).
        case 0x0F0: if !isRunning { current.haltedCounter = merged(current.haltedCounter) }
        default:
            guard let index = comparatorIndex(offset) else { return }
            switch offset & 0x1F {
            case 0x00: configure(index, merged(current.comparators[index].configuration))
            case 0x08: writeComparator(index, merged)
            case 0x10: current.comparators[index].message = merged(current.comparators[index].message)
            default: break
            }
        }
    }

    private func configure(_ index: Int, _ value: UInt64) {
        let old = current.comparators[index].configuration
        var writable = Configuration.writable
        if messages == nil { writable &= ~Configuration.message }
        let before = line(index)
        current.comparators[index].configuration = value & writable
        let after = line(index)
        if before !== after { before?.set(false) }
        if isNarrow(index) {
            current.comparators[index].value &= 0xFFFF_FFFF
            current.comparators[index].period &= 0xFFFF_FFFF
        }
        updateLevel(index)
        // A comparator that already fired is not armed anew by a change of its route or trigger mode.
        let rearming = Configuration.enable | Configuration.periodic | Configuration.narrow
        if isRunning && (old ^ current.comparators[index].configuration) & rearming != 0 { schedule(index) }
    }

    /// A periodic comparator takes the period; the value itself only after "set value" was chosen.
    private func writeComparator(_ index: Int, _ merged: (UInt64) -> UInt64) {
        let mask: UInt64 = isNarrow(index) ? 0xFFFF_FFFF : .max
        let setsValue = current.comparators[index].configuration & Configuration.setValue != 0
        if !isPeriodic(index) || setsValue {
            current.comparators[index].value = merged(current.comparators[index].value) & mask
        }
        if isPeriodic(index) {
            current.comparators[index].period = merged(current.comparators[index].period) & mask & ~(1 << 63)
        }
        current.comparators[index].configuration &= ~Configuration.setValue
        if isRunning { schedule(index) }
    }
}
