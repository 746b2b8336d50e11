// SPDX-License-Identifier: Apache-2.0

public import MachineModel

/// The MC146818 real-time clock with 128 bytes of CMOS memory, at ports 0x70 and 0x71.
///
/// Time is not counted: the state keeps the distance between the chip's time and the machine's wall clock. Flags of
/// register C are brought up to date when somebody looks, and the host is woken only for an enabled interrupt.
public final class RealTimeClock: Device {
    /// QEMU's name, for `info qtree`, logs and saved states.
    public let name = "mc146818rtc"

    /// Register numbers.
    enum Register {
        static let seconds = 0x00
        static let secondsAlarm = 0x01
        static let minutes = 0x02
        static let minutesAlarm = 0x03
        static let hours = 0x04
        static let hoursAlarm = 0x05
        static let weekday = 0x06
        static let day = 0x07
        static let month = 0x08
        static let year = 0x09
        static let a = 0x0A
        static let b = 0x0B
        static let c = 0x0C
        static let d = 0x0D
        static let century = 0x32
        /// Where IBM's PS/2 had the century.
        static let centuryCopy = 0x37
        static let time = 0x00...0x09
    }

    /// Bits of registers A, B and C.
    enum Bits {
        static let updateInProgress: UInt8 = 0x80
        static let set: UInt8 = 0x80
        static let periodic: UInt8 = 0x40
        static let alarm: UInt8 = 0x20
        static let update: UInt8 = 0x10
        static let interrupt: UInt8 = 0x80
        static let binary: UInt8 = 0x04
        static let hours24: UInt8 = 0x02
        static let causes: UInt8 = 0x70
    }

    /// Everything that a saved machine keeps.
    public struct State: Equatable, Sendable, Codable {
        /// The CMOS memory with the clock's registers.
        public internal(set) var memory = [UInt8](repeating: 0, count: 128)
        /// The register that port 0x71 shows.
        public internal(set) var index: UInt8 = 0
        /// Chip time minus wall clock, in nanoseconds.
        public internal(set) var offset: Int64 = 0
        /// Chip time, in seconds, up to which the flags of register C are settled.
        public internal(set) var settledSecond: Int64 = 0
        /// Machine time up to which the periodic flag is settled.
        public internal(set) var settledTime: UInt64 = 0
    }

    var current = State()
    let clock: any MachineClock
    private let interrupt: InterruptLine
    private var timer: (any MachineTimer)?
    private var configuration: CMOSConfiguration
    /// Set by the HPET's legacy replacement: the chip then drives no interrupt. The machine lock is held.
    public var isInterruptSuppressed = false {
        didSet { if isInterruptSuppressed != oldValue { driveInterrupt() } }
    }
    private static let second: Int64 = 1_000_000_000
    /// The update takes place in the last 244 microseconds of a second.
    private static let updateLength: Int64 = 244_141
    /// The crystal, in hertz.
    private static let crystal: UInt64 = 32_768

    /// Changes what firmware tries first, from its next start on. The machine lock is held.
    public func setBootOrder(_ order: [CMOSConfiguration.BootDevice]) {
        configuration.bootOrder = order
        configuration.fill(&current.memory)
    }

    /// Changes how many processors firmware waits for, from its next start on. The machine lock is held.
    public func setProcessorCount(_ count: Int) {
        configuration.processorCount = count
        configuration.fill(&current.memory)
    }

    /// - Parameters:
    ///   - interrupt: ISA interrupt 8.
    ///   - timeOffset: nanoseconds that the chip's time is ahead of the clock's UTC, for `-rtc base=localtime`.
    public init(
        clock: any MachineClock, interrupt: InterruptLine, configuration: CMOSConfiguration, timeOffset: Int64 = 0
    ) {
        self.clock = clock
        self.interrupt = interrupt
        self.configuration = configuration
        current.offset = timeOffset
        configuration.fill(&current.memory)
        timer = clock.makeTimer { [unowned self] in
            settle()
            driveInterrupt()
        }
        reset()
        current.memory[Register.a] = 0x26
        current.memory[Register.b] = Bits.hours24
        current.memory[Register.d] = 0x80
        storeTime()
        settleAnew()
    }

    /// Maps ports 0x70 and 0x71.
    public func map(in ports: AddressSpace) {
        ports.map(
            ByteWindow(
                count: 2, read: { [self] in $0 == 0 ? 0xFF : readSelected() },
                write: { [self] in if $0 == 0 { current.index = $1 & 0x7F } else { writeSelected($1) } }),
            at: 0x70, count: 2, name: "rtc")
    }

    /// The reset pin: interrupts off, memory and time kept.
    public func reset() {
        isInterruptSuppressed = false
        current.memory[Register.b] &= ~(Bits.periodic | Bits.alarm | Bits.update | 0x08)
        current.memory[Register.c] = 0
        current.index = 0
        driveInterrupt()
    }

    /// What a saved machine keeps; setting it arms the timer anew.
    public var state: State {
        get { current }
        set {
            current = newValue
            if current.memory.count != 128 { current.memory = State().memory }
            driveInterrupt()
        }
    }

    /// One byte of CMOS memory, for the board to fill in at start. Addresses above 127 are ignored.
    public func setMemory(_ address: Int, _ value: UInt8) {
        if (0x0E..<128).contains(address) { current.memory[address] = value }
    }

    // MARK: Time

    /// Chip time in nanoseconds since 1970.
    private var chipTime: Int64 { clock.wallClock &+ current.offset }

    private var chipSecond: Int64 { Self.floorDivide(chipTime, Self.second) }

    private static func floorDivide(_ value: Int64, _ divisor: Int64) -> Int64 {
        value >= 0 ? value / divisor : (value &- (divisor - 1)) / divisor
    }

    /// Stopped by the SET bit or by holding the divider in reset.
    private var isStopped: Bool {
        current.memory[Register.b] & Bits.set != 0 || current.memory[Register.a] & 0x60 == 0x60
    }

    /// Writes the time of now into the time registers.
    private func storeTime() {
        let format = TimeFormat(registerB: current.memory[Register.b])
        format.store(CalendarTime(secondsSinceEpoch: chipSecond), in: &current.memory)
    }

    /// Makes the time registers the time of now.
    private func loadTime() {
        let format = TimeFormat(registerB: current.memory[Register.b])
        let seconds = format.load(from: current.memory).secondsSinceEpoch
        // The fraction of the second goes on.
        let fraction = chipTime &- chipSecond &* Self.second
        current.offset = seconds &* Self.second &+ fraction &- clock.wallClock
        settleAnew()
    }

    private func settleAnew() {
        current.settledSecond = chipSecond
        current.settledTime = clock.now
    }

    // MARK: Flags and the interrupt

    /// Period of the periodic interrupt in crystal ticks; nil for none.
    private var periodicTicks: UInt64? {
        let rate = current.memory[Register.a] & 0x0F
        let divider = current.memory[Register.a] >> 4 & 7
        guard rate != 0, divider <= 2 else { return nil }
        return 1 << UInt64(rate <= 2 ? rate + 6 : rate - 1)
    }

    /// Sets the flags of register C for what happened since the last call.
    private func settle() {
        var flags: UInt8 = 0
        let now = clock.now
        if let period = periodicTicks {
            let before = TickConversion.ticks(nanoseconds: current.settledTime, frequency: Self.crystal) / period
            let after = TickConversion.ticks(nanoseconds: now, frequency: Self.crystal) / period
            if after != before { flags |= Bits.periodic }
        }
        current.settledTime = now
        let second = chipSecond
        if !isStopped && second != current.settledSecond {
            flags |= Bits.update
            if let alarm = nextAlarm(after: current.settledSecond), alarm <= second { flags |= Bits.alarm }
        }
        current.settledSecond = second
        current.memory[Register.c] |= flags
    }

    private func nextAlarm(after second: Int64) -> Int64? {
        AlarmPattern(memory: current.memory, format: TimeFormat(registerB: current.memory[Register.b]))
            .next(after: second)
    }

    /// Drives the interrupt as registers B and C say, and wakes at the next event with an enabled interrupt.
    private func driveInterrupt() {
        let wanted = current.memory[Register.b] & current.memory[Register.c] & Bits.causes != 0
        if wanted {
            current.memory[Register.c] |= Bits.interrupt
        } else {
            current.memory[Register.c] &= ~Bits.interrupt
        }
        interrupt.set(wanted && !isInterruptSuppressed)
        if let deadline = nextDeadline() { timer?.arm(at: deadline) } else { timer?.cancel() }
    }

    private func nextDeadline() -> UInt64? {
        // Once the interrupt is asserted, nothing changes until register C is read.
        let enabled = current.memory[Register.b] & Bits.causes & ~current.memory[Register.c]
        guard enabled != 0, current.memory[Register.c] & Bits.interrupt == 0 else { return nil }
        var deadline = UInt64.max
        if enabled & Bits.periodic != 0, let period = periodicTicks {
            let ticks = TickConversion.ticks(nanoseconds: current.settledTime, frequency: Self.crystal)
            deadline = TickConversion.nanoseconds(ticks: (ticks / period + 1) * period, frequency: Self.crystal)
        }
        if !isStopped {
            if enabled & Bits.update != 0 {
                deadline = min(deadline, machineTime(ofSecond: current.settledSecond &+ 1))
            }
            if enabled & Bits.alarm != 0, let alarm = nextAlarm(after: current.settledSecond) {
                deadline = min(deadline, machineTime(ofSecond: alarm))
            }
        }
        return deadline == .max ? nil : deadline
    }

    /// The machine time at which the chip's second begins.
    private func machineTime(ofSecond second: Int64) -> UInt64 {
        let distance = second &* Self.second &- chipTime
        return distance <= 0 ? clock.now : clock.now.addingClamped(UInt64(distance))
    }

    // MARK: Registers

    private func readSelected() -> UInt8 {
        let index = Int(current.index)
        switch index {
        case Register.a:
            let toNext = Self.second - (chipTime &- chipSecond &* Self.second)
            let updates = !isStopped && toNext <= Self.updateLength
            return current.memory[index] & 0x7F | (updates ? Bits.updateInProgress : 0)
        case Register.c:
            settle()
            driveInterrupt()
            let value = current.memory[index]
            current.memory[index] = 0
            driveInterrupt()
            return value
        case Register.seconds, Register.minutes, Register.hours, Register.weekday...Register.year, Register.century,
            Register.centuryCopy:
            if !isStopped { storeTime() }
            return current.memory[index]
        default: return current.memory[index]
        }
    }

    private func writeSelected(_ value: UInt8) {
        let index = Int(current.index)
        switch index {
        case Register.seconds, Register.minutes, Register.hours, Register.weekday...Register.year, Register.century,
            Register.centuryCopy:
            if !isStopped { storeTime() }
            current.memory[index] = value
            if index == Register.centuryCopy { current.memory[Register.century] = value }
            if !isStopped { loadTime() }
        case Register.a:
            settle()
            change { current.memory[index] = value & 0x7F }
        case Register.b:
            settle()
            change { current.memory[index] = value & Bits.set != 0 ? value & ~Bits.update : value }
        case Register.c, Register.d: return
        default:
            settle()
            current.memory[index] = value
        }
        driveInterrupt()
    }

    /// Changes register A or B, and freezes or starts the time where it stops or goes on.
    private func change(_ body: () -> Void) {
        let wasStopped = isStopped
        if !wasStopped { storeTime() }
        body()
        if wasStopped && !isStopped {
            loadTime()
        } else if !wasStopped && !isStopped {
            storeTime()
        }
    }
}
