// SPDX-License-Identifier: Apache-2.0

/// What firmware tables say about a machine: the facts its assembly knows.
public struct MachineDescription: Sendable {
    /// The boards, named as QEMU's.
    public enum Board: Sendable {
        case q35
        case pc
        case microvm
    }
    /// A 16550 on the ISA bus.
    public struct SerialPort: Equatable, Sendable {
        /// The first of 8 ports.
        public var port: UInt16
        /// ISA interrupt.
        public var interrupt: UInt8
        /// A serial port.
        public init(port: UInt16, interrupt: UInt8) {
            self.port = port
            self.interrupt = interrupt
        }
    }
    /// A virtio device in memory space.
    public struct VirtioDevice: Equatable, Sendable {
        /// First guest-physical address of its registers, below 4 GiB.
        public var base: UInt32
        /// Bytes of registers.
        public var count: UInt32
        /// Global interrupt number.
        public var interrupt: UInt32
        /// A virtio-mmio transport.
        public init(base: UInt32, count: UInt32 = 512, interrupt: UInt32) {
            self.base = base
            self.count = count
            self.interrupt = interrupt
        }
    }
    /// The ports of the ACPI fixed hardware.
    public struct FixedHardware: Equatable, Sendable {
        /// PM1 event block at 0, PM1 control block at 4, timer at 8.
        public var base: UInt16
        /// General-purpose events: first port and number of ports.
        public var events: UInt16
        /// Half of them status, half enable registers.
        public var eventCount: UInt8
        /// The port that switches to ACPI and back, with the two values; nil for a machine that is always in ACPI mode.
        public var command: (port: UInt16, enable: UInt8, disable: UInt8)?
        /// ISA interrupt of the system control interrupt.
        public var interrupt: UInt8 = 9

        /// Fixed hardware.
        public init(
            base: UInt16, events: UInt16, eventCount: UInt8, command: (port: UInt16, enable: UInt8, disable: UInt8)?
        ) {
            self.base = base
            self.events = events
            self.eventCount = eventCount
            self.command = command
        }

        /// As on QEMU's q35: everything in one block.
        public static let q35 = FixedHardware(base: 0x600, events: 0x620, eventCount: 16, command: (0xB2, 2, 3))
        /// As on QEMU's pc: the events lie apart.
        public static let pc = FixedHardware(base: 0x600, events: 0xAFE0, eventCount: 4, command: (0xB2, 0xF1, 0xF0))

        /// Written out, as the tuple is not equatable by itself; enable and disable go with the port.
        public static func == (left: FixedHardware, right: FixedHardware) -> Bool {
            left.base == right.base && left.events == right.events && left.eventCount == right.eventCount
                && left.command?.port == right.command?.port && left.interrupt == right.interrupt
        }
    }
    /// The generic event device of a machine without fixed hardware, as QEMU's microvm has it.
    public struct GenericEventDevice: Equatable, Sendable {
        /// The event selector, 4 bytes.
        public var selector: UInt32 = 0xFEA0_0000
        /// Sleep control, sleep status and reset, one byte each.
        public var registers: UInt32 = 0xFEA0_0200
        /// Global interrupt number.
        public var interrupt: UInt32 = 9
        /// QEMU's addresses.
        public init() {}
    }

    /// Chooses the devices of the DSDT.
    public var board: Board
    /// APIC identifiers of all processors that are possible, in order of their index.
    public var processors: [UInt32]
    /// Those that are not there now.
    public var absentProcessors: Set<Int> = []
    /// First of the ports that say which processors came or are to go; nil where none does.
    public var processorHotPlugPort: UInt16?
    /// Guest-physical address of the I/O APIC, whose first input is global interrupt 0.
    public var ioAPICAddress: UInt32 = 0xFEC0_0000
    /// Its identifier in the MADT.
    public var ioAPICIdentifier: UInt8 = 0
    /// nil on microvm.
    public var fixedHardware: FixedHardware?
    /// The port of an ACPI timer on a machine without fixed hardware.
    public var timerPort: UInt16?
    /// Only on machines without fixed hardware.
    public var eventDevice: GenericEventDevice?
    /// The port of the reset control register, and what makes it reset.
    public var resetPort: UInt16 = 0xCF9
    /// Written to `resetPort`.
    public var resetValue: UInt8 = 0x0F
    /// There is an HPET at FED00000h.
    public var hasHPET = true
    /// There is an i8042 at ports 60h and 64h.
    public var hasKeyboardController = true
    /// There is an MC146818 at ports 70h and 71h.
    public var hasRealTimeClock = true
    /// The 8259s.
    public var hasInterruptControllers = true
    /// The 8254.
    public var hasIntervalTimer = true
    /// There is a VGA card, so the FADT does not say that probing for one is in vain.
    public var hasVGA = false
    /// Slots of a conventional bus whose functions come and go; none where nothing does.
    public var hotPlugSlots: [Int] = []
    /// First port of fw_cfg.
    public var firmwareConfigPort: UInt16?
    /// COM ports in the order of their names.
    public var serialPorts: [SerialPort] = []
    /// virtio-mmio transports, which have no bus to find them on.
    public var virtioDevices: [VirtioDevice] = []
    /// There is a PCI bus.
    public var hasPCI = true
    /// Enhanced configuration space for buses 0...255.
    public var ecamBase: UInt64?
    /// Memory that the PCI host bridge passes on, each below or above 4 GiB.
    public var pciMemoryWindows: [Range<UInt64>] = []

    /// A board with its usual parts.
    /// - Parameters:
    ///   - lowMemoryEnd: where RAM below 4 GiB ends.
    ///   - highMemoryEnd: where RAM above 4 GiB ends; 4 GiB or less without any.
    public init(board: Board, processors: [UInt32], lowMemoryEnd: UInt64, highMemoryEnd: UInt64) {
        let controllers: UInt64 = 0xFEC0_0000
        let ecam: UInt64 = 0xB000_0000, ecamCount: UInt64 = 0x1000_0000
        let gibibyte: UInt64 = 1 << 30
        self.board = board
        self.processors = processors
        let high = max(highMemoryEnd, 4 * gibibyte)
        let highWindowStart = (high + gibibyte - 1) & ~(gibibyte - 1)
        let highWindow = highWindowStart..<highWindowStart + 32 * gibibyte
        switch board {
        case .q35:
            fixedHardware = .q35
            processorHotPlugPort = 0x0CD8
            ecamBase = ecam
            if lowMemoryEnd < ecam { pciMemoryWindows.append(lowMemoryEnd..<ecam) }
            pciMemoryWindows.append(ecam + ecamCount..<controllers)
            pciMemoryWindows.append(highWindow)
        case .pc:
            fixedHardware = .pc
            processorHotPlugPort = 0xAF00
            pciMemoryWindows = [min(lowMemoryEnd, controllers - 1 << 20)..<controllers, highWindow]
        case .microvm:
            eventDevice = GenericEventDevice()
            hasHPET = false
            hasKeyboardController = false
            hasPCI = false
        }
    }
}
