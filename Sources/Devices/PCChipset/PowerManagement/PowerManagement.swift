// SPDX-License-Identifier: Apache-2.0

public import MachineModel

/// The ACPI fixed hardware of PCs: PM1 event and control blocks, PM timer, GPE0 and the SMI command port.
///
/// ACPI 6, "Fixed Hardware Register Blocks"; layouts of the ICH9 (q35) and of the PIIX4 (pc).
public final class PowerManagement: Device {
    /// Whose register layout.
    public enum Layout: Sendable {
        /// q35: GPE0 of 16 bytes at +0x20, SMI_EN at +0x30.
        case ich9
        /// pc: 64 bytes, GPE0 of 4 bytes at its own ports (0xAFE0 on QEMU).
        case piix4

        /// Length of the block in ports.
        public var count: UInt64 { self == .ich9 ? 0x80 : 0x40 }
        /// Bytes of GPE0 status, and again of GPE0 enable.
        public var generalEventBytes: Int { self == .ich9 ? 8 : 2 }
        var enableCommand: UInt8 { self == .ich9 ? 0x02 : 0xF1 }
        var disableCommand: UInt8 { self == .ich9 ? 0x03 : 0xF0 }
    }

    /// Where QEMU's firmware puts the block.
    public static let usualBase: UInt64 = 0x600
    /// Where pc's GPE0 is.
    public static let piix4GeneralEventBase: UInt64 = 0xAFE0
    /// Ticks of the PM timer in a second.
    public static let timerFrequency: UInt64 = 3_579_545

    /// Bits of PM1 status and enable.
    public enum Event {
        static let timer: UInt16 = 1 << 0
        static let global: UInt16 = 1 << 5
        static let powerButton: UInt16 = 1 << 8
        static let sleepButton: UInt16 = 1 << 9
        static let realTimeClock: UInt16 = 1 << 10
        static let wake: UInt16 = 1 << 15
        static let interrupting = timer | global | powerButton | sleepButton | realTimeClock
    }

    /// Everything that a saved machine keeps.
    public struct State: Equatable, Sendable, Codable {
        /// PM1_STS (ACPI 6.4, 4.8.3.1.1).
        public internal(set) var status: UInt16 = 0
        /// PM1_EN (ACPI 6.4, 4.8.3.1.2).
        public internal(set) var enable: UInt16 = 0
        /// PM1_CNT (ACPI 6.4, 4.8.3.2.1).
        public internal(set) var control: UInt16 = 0
        /// Number of half-periods of the PM timer up to which the timer status is settled.
        public internal(set) var settledHalves: UInt64 = 0
        /// GPE0_STS, a bit an event.
        public internal(set) var generalStatus: UInt64 = 0
        /// GPE0_EN, a bit an event.
        public internal(set) var generalEnable: UInt64 = 0
        /// SMI_EN of the chipset.
        public internal(set) var managementEnable: UInt32 = 0
        /// SMI_STS of the chipset.
        public internal(set) var managementStatus: UInt32 = 0
        /// The last bytes written to 0xB2 and 0xB3.
        public internal(set) var command: UInt8 = 0
        /// APM_STS at port 0xB3.
        public internal(set) var commandStatus: UInt8 = 0
    }

    /// "ICH9-PM" or "PIIX4_PM" by the layout; part of the saved state.
    public let name: String
    let layout: Layout
    private var current = State()
    private let clock: any MachineClock
    private let interrupt: InterruptLine
    private unowned let requests: any MachineRequests
    /// Raises an SMI on all processors; nil on a machine without system-management mode.
    private let systemManagementInterrupt: (() -> Void)?
    private var timer: (any MachineTimer)?
    /// The ICH9's watchdog, behind ports 0x60...0x7F of the block; not part of the PIIX4's.
    public let watchdog: Watchdog
    /// The timer's status flag is set at each change of bit 23.
    private static let halfPeriod: UInt64 = 1 << 23
    private static let scienable: UInt16 = 1
    /// SMI_EN: global enable, and SMI at a write to port 0xB2.
    private static let globalManagement: UInt32 = 1 << 0
    private static let commandManagement: UInt32 = 1 << 5

    /// - Parameters:
    ///   - interrupt: the SCI, GSI 9.
    ///   - requests: asked for power off; must outlive this device.
    ///   - systemManagementInterrupt: raises an SMI on all processors; nil on a machine without that mode.
    ///   - watchdogExpired: the guest let its watchdog run out twice; nil for a machine strapped not to mind, as QEMU's
    ///     is unless told otherwise.
    public init(
        layout: Layout, clock: any MachineClock, interrupt: InterruptLine, requests: any MachineRequests,
        systemManagementInterrupt: (() -> Void)? = nil, watchdogExpired: (() -> Void)? = nil
    ) {
        watchdog = Watchdog(clock: clock, expired: watchdogExpired)
        self.layout = layout
        self.clock = clock
        self.interrupt = interrupt
        self.requests = requests
        self.systemManagementInterrupt = systemManagementInterrupt
        name = layout == .ich9 ? "ICH9-PM" : "PIIX4_PM"
        timer = clock.makeTimer { [unowned self] in update() }
        reset()
    }

    /// The block as a window of `layout.count` ports: the LPC or PM function maps it where its register says, or the
    /// board at `usualBase`.
    public private(set) lazy var registers: any RegisterWindow = BlockWindow(
        self,
        bytes: ByteWindow(
            count: layout.count, read: { [unowned self] in readByte($0) },
            write: { [unowned self] in writeByte($0, $1) }))

    /// Maps the block at a fixed place, for a board without a function that moves it.
    public func map(in ports: AddressSpace, at base: UInt64) -> Int {
        ports.map(registers, at: base, count: layout.count, name: "acpi-pm")
    }

    /// pc's GPE0: 2 bytes of status, 2 of enable.
    public func mapGeneralEvents(in ports: AddressSpace, at base: UInt64 = PowerManagement.piix4GeneralEventBase) -> Int
    {
        let count = UInt64(layout.generalEventBytes * 2)
        return ports.map(
            ByteWindow(
                count: count, read: { [self] in readGeneralEvent($0) }, write: { [self] in writeGeneralEvent($0, $1) }),
            at: base, count: count, name: "acpi-gpe0")
    }

    /// The SMI command port 0xB2 and its scratch byte 0xB3.
    public func mapCommandPort(in ports: AddressSpace) {
        ports.map(
            ByteWindow(
                count: 2, read: { [self] in $0 == 0 ? current.command : current.commandStatus },
                write: { [self] in if $0 == 0 { writeCommand($1) } else { current.commandStatus = $1 } }),
            at: 0xB2, count: 2, name: "apm")
    }

    /// Keeps the timer's count; without system-management mode ACPI is enabled at once.
    public func reset() {
        current = State()
        watchdog.reset()
        current.settledHalves = ticks() / Self.halfPeriod
        // Says to the firmware that system-management mode is set up already: it then leaves it alone.
        if systemManagementInterrupt == nil { current.managementEnable = Self.commandManagement }
        update()
    }

    /// What a saved machine keeps; setting it drives the SCI and arms the timer anew.
    public var state: State {
        get { current }
        set {
            current = newValue
            update()
        }
    }

    // MARK: Events

    /// The person at the power button: the guest shuts down if it listens. The machine lock is held.
    public func pressPowerButton() {
        current.status |= Event.powerButton
        update()
    }

    /// Sets a GPE0 status bit: hot-plug and the like. A bit beyond the block is ignored. The machine lock is held.
    public func raiseGeneralEvent(_ bit: Int) {
        guard (0..<layout.generalEventBytes * 8).contains(bit) else { return }
        current.generalStatus |= 1 << UInt64(bit)
        update()
    }

    /// Whether the guest's system listens to ACPI events, so that the power button means something to it.
    public var isACPIEnabled: Bool { current.control & Self.scienable != 0 }

    // MARK: Timer and SCI

    private func ticks() -> UInt64 {
        TickConversion.ticks(nanoseconds: clock.now, frequency: Self.timerFrequency)
    }

    /// The 24-bit PM timer.
    var timerValue: UInt32 { UInt32(truncatingIfNeeded: ticks() & 0xFF_FFFF) }

    private func settleTimer() {
        let halves = ticks() / Self.halfPeriod
        if halves != current.settledHalves { current.status |= Event.timer }
        current.settledHalves = halves
    }

    private func update() {
        settleTimer()
        interrupt.set(
            current.status & current.enable & Event.interrupting != 0
                || current.generalStatus & current.generalEnable != 0)
        if current.enable & Event.timer != 0 && current.status & Event.timer == 0 {
            let next = (current.settledHalves + 1) * Self.halfPeriod
            timer?.arm(at: TickConversion.nanoseconds(ticks: next, frequency: Self.timerFrequency))
        } else {
            timer?.cancel()
        }
    }

    // MARK: Registers

    func readByte(_ offset: UInt64) -> UInt8 {
        switch offset {
        case 0...1:
            settleTimer()
            return byte(UInt64(current.status), offset)
        case 2...3: return byte(UInt64(current.enable), offset - 2)
        case 4...5: return byte(UInt64(current.control), offset - 4)
        case 8...11: return byte(UInt64(timerValue), offset - 8)
        case 0x20...0x2F where layout == .ich9: return readGeneralEvent(offset - 0x20)
        case 0x30...0x33 where layout == .ich9: return byte(UInt64(current.managementEnable), offset - 0x30)
        case 0x34...0x37 where layout == .ich9: return byte(UInt64(current.managementStatus), offset - 0x34)
        default: return 0
        }
    }

    func writeByte(_ offset: UInt64, _ value: UInt8) {
        switch offset {
        case 0...1:
            settleTimer()
            current.status &= ~(UInt16(value) << UInt16(offset * 8))
        case 2...3: replace(&current.enable, offset - 2, value)
        case 4: replace(&current.control, 0, value)
        case 5: writeSleep(value)
        case 0x20...0x2F where layout == .ich9: return writeGeneralEvent(offset - 0x20, value)
        case 0x30...0x33 where layout == .ich9:
            if systemManagementInterrupt != nil { replace(&current.managementEnable, offset - 0x30, value) }
        case 0x34...0x37 where layout == .ich9:
            current.managementStatus &= ~(UInt32(value) << UInt32((offset - 0x34) * 8))
        default: return
        }
        update()
    }

    /// The high byte of PM1 control: sleep type 12:10 and sleep enable 13, which reads as 0.
    private func writeSleep(_ value: UInt8) {
        replace(&current.control, 1, value & ~0x20)
        guard value & 0x20 != 0 else { return }
        switch value >> 2 & 7 {
        // The types that the DSDT gives S5 and S4.
        case 0, 2: requests.requestPowerOff()
        // Other sleep states are not described to the guest; the write only keeps the type.
        default: break
        }
    }

    private func readGeneralEvent(_ offset: UInt64) -> UInt8 {
        let half = UInt64(layout.generalEventBytes)
        return offset < half ? byte(current.generalStatus, offset) : byte(current.generalEnable, offset - half)
    }

    private func writeGeneralEvent(_ offset: UInt64, _ value: UInt8) {
        let half = UInt64(layout.generalEventBytes)
        if offset < half {
            current.generalStatus &= ~(UInt64(value) << (offset * 8))
        } else {
            replace(&current.generalEnable, offset - half, value)
        }
        update()
    }

    private func writeCommand(_ value: UInt8) {
        current.command = value
        if value == layout.enableCommand {
            current.control |= Self.scienable
        } else if value == layout.disableCommand {
            current.control &= ~Self.scienable
        }
        let needed = Self.globalManagement | Self.commandManagement
        if current.managementEnable & needed == needed { systemManagementInterrupt?() }
        update()
    }

    private func byte(_ value: UInt64, _ offset: UInt64) -> UInt8 {
        UInt8(truncatingIfNeeded: value >> (offset * 8))
    }

    private func replace<Word: FixedWidthInteger & UnsignedInteger>(
        _ word: inout Word, _ offset: UInt64, _ value: UInt8
    ) {
        let shift = Word(offset * 8)
        word = word & ~(0xFF << shift) | Word(value) << shift
    }
}

/// Takes the PM timer and the watchdog's words whole, since their parts belong together, and the rest byte by byte.
private final class BlockWindow: RegisterWindow {
    private unowned let owner: PowerManagement
    private let bytes: any RegisterWindow
    private static let timerOffset: UInt64 = 8

    init(_ owner: PowerManagement, bytes: any RegisterWindow) {
        self.owner = owner
        self.bytes = bytes
    }

    func read(offset: UInt64, size: Int) -> UInt64 {
        if offset == Self.timerOffset && size >= 4 { return UInt64(owner.timerValue) }
        if owner.layout == .ich9 && Watchdog.ports.contains(offset) {
            return owner.watchdog.read(offset: offset - Watchdog.ports.lowerBound, size: size)
        }
        return bytes.read(offset: offset, size: size)
    }

    func write(offset: UInt64, size: Int, value: UInt64) {
        if owner.layout == .ich9 && Watchdog.ports.contains(offset) {
            return owner.watchdog.write(offset: offset - Watchdog.ports.lowerBound, size: size, value: value)
        }
        bytes.write(offset: offset, size: size, value: value)
    }
}
