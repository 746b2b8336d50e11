// SPDX-License-Identifier: Apache-2.0

public import MachineModel

/// The 8254 programmable interval timer with the system control port 0x61 that gates its channel 2.
public final class IntervalTimer: Device {
    /// QEMU's name, for `info qtree`, logs and saved states.
    public let name = "i8254"

    /// Everything that a saved machine keeps.
    public struct State: Equatable, Sendable, Codable {
        /// Counters 0...2.
        public internal(set) var channels = [IntervalChannel](repeating: IntervalChannel(), count: 3)
        /// Bit 1 of port 0x61, which opens the way from OUT 2 to the speaker.
        public internal(set) var speakerEnabled = false
        /// Bits 2 and 3 of port 0x61: parity and channel check, which PCs keep and ignore.
        public internal(set) var controlBits: UInt8 = 0

        init() { channels[2].gate = false }
    }

    private var current = State()
    private let clock: any MachineClock
    private let interrupt: InterruptLine
    private var timer: (any MachineTimer)?
    /// Set by the HPET's legacy replacement: channel 0 then drives no interrupt. The machine lock is held.
    public var isInterruptSuppressed = false {
        didSet { if isInterruptSuppressed != oldValue { update() } }
    }
    /// A DRAM refresh every 15 microseconds flips bit 4 of port 0x61.
    private static let refreshPeriod: UInt64 = 15_085
    /// Changes of OUT that follow faster are coalesced, so that a guest cannot busy the host with a count of 1.
    private static let shortestPeriod: UInt64 = 20_000

    /// Periods that passed while the host was late are made up for, so many at most and so many nanoseconds apart: a guest
    /// that counts the timer's interrupts by the processor's clock takes a timer that lost some for a broken one.
    private static let mostOwed: UInt64 = 10, makingUp: UInt64 = 200_000
    private var owed: UInt64 = 0
    private let makesUpLostTicks: Bool
    /// When OUT 0 was to change, as the timer was armed.
    private var expected: UInt64?

    /// - Parameters:
    ///   - interrupt: ISA interrupt 0.
    ///   - makesUpLostTicks: interrupts that a late host missed come later; else they are lost.
    public init(clock: any MachineClock, interrupt: InterruptLine, makesUpLostTicks: Bool = true) {
        self.clock = clock
        self.makesUpLostTicks = makesUpLostTicks
        self.interrupt = interrupt
        timer = clock.makeTimer { [unowned self] in update(isExpiry: true) }
    }

    /// Maps 0x40...0x43 and 0x61.
    public func map(in ports: AddressSpace) {
        ports.map(
            ByteWindow(count: 4, read: { [self] in read($0) }, write: { [self] in write($0, $1) }), at: 0x40, count: 4,
            name: "pit")
        ports.map(
            ByteWindow(count: 1, read: { [self] _ in readControl() }, write: { [self] in writeControl($1) }), at: 0x61,
            count: 1, name: "pcspk")
    }

    /// All counters start over in mode 3 with a count of 65536; the speaker is off.
    public func reset() {
        current = State()
        isInterruptSuppressed = false
        timer?.cancel()
        update()
    }

    /// What a saved machine keeps; setting it arms the timer anew.
    public var state: State {
        get { current }
        set {
            current = newValue
            update()
        }
    }

    /// Drives the interrupt as OUT 0 stands, and wakes at its next change.
    ///
    /// In the modes whose OUT is high but for one tick the wire rests low and is pulsed at the end of that tick: the
    /// interrupt controllers look at the rising edge alone, and a change of mode then makes no edge of its own.
    private func update(isExpiry: Bool = false) {
        guard !isInterruptSuppressed else {
            interrupt.set(false)
            timer?.cancel()
            return
        }
        let now = clock.now
        let channel = current.channels[0]
        countMissed(channel, now, isExpiry: isExpiry)
        switch channel.mode {
        case 0, 1, 3: interrupt.set(channel.start != nil && channel.output(at: now))
        default:
            interrupt.set(false)
            if isExpiry { interrupt.pulse() }
        }
        if let next = channel.nextChange(after: now) {
            expected = next
            let later = max(next, now.addingClamped(Self.shortestPeriod))
            timer?.arm(at: owed > 0 ? min(later, now.addingClamped(Self.makingUp)) : later)
        } else {
            expected = nil
            timer?.cancel()
        }
    }

    /// Counts the periods that passed unseen in mode 2, the mode of systems' ticks.
    private func countMissed(_ channel: IntervalChannel, _ now: UInt64, isExpiry: Bool) {
        guard makesUpLostTicks, isExpiry, channel.mode == 2, let expected else { return owed = 0 }
        let period = TickConversion.nanoseconds(ticks: channel.reload, frequency: IntervalChannel.frequency)
        if now < expected {
            if owed > 0 { owed -= 1 }
        } else if period > Self.makingUp {
            owed = min(owed &+ (now &- expected) / period, Self.mostOwed)
        }
    }

    // MARK: Registers

    private func read(_ offset: UInt64) -> UInt8 {
        guard offset < 3 else { return 0 }
        return current.channels[Int(offset)].read(now: clock.now)
    }

    private func write(_ offset: UInt64, _ value: UInt8) {
        guard offset == 3 else {
            current.channels[Int(offset & 3)].write(value, now: clock.now)
            if offset == 0 { update() }
            return
        }
        let selected = Int(value >> 6)
        if selected == 3 {
            readBack(value)
        } else if value >> 4 & 3 == 0 {
            current.channels[selected].latchCount(now: clock.now)
        } else {
            current.channels[selected].setControl(value)
            if selected == 0 { update() }
        }
    }

    /// The read-back command: bits 5 and 4 are low for count and status, bits 3:1 choose the counters.
    private func readBack(_ command: UInt8) {
        for index in 0..<3 where command >> UInt8(index + 1) & 1 != 0 {
            if command & 0x20 == 0 { current.channels[index].latchCount(now: clock.now) }
            if command & 0x10 == 0 { current.channels[index].latchStatus(now: clock.now) }
        }
    }

    /// Port 0x61.
    private func readControl() -> UInt8 {
        let now = clock.now
        let channel = current.channels[2]
        return (channel.gate ? 0x01 : 0) | (current.speakerEnabled ? 0x02 : 0) | current.controlBits
            | (now / Self.refreshPeriod & 1 != 0 ? 0x10 : 0) | (channel.output(at: now) ? 0x20 : 0)
    }

    private func writeControl(_ value: UInt8) {
        current.channels[2].setGate(value & 0x01 != 0, now: clock.now)
        current.speakerEnabled = value & 0x02 != 0
        current.controlBits = value & 0x0C
    }
}
