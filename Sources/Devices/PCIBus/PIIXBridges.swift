// SPDX-License-Identifier: Apache-2.0

public import MachineModel

/// The host bridge of pc (Intel 82441FX datasheet): 8086:1237 at 00.0.
///
/// PAM and SMRAM registers keep what firmware writes; the memory behind them is plain RAM at all times.
public final class I440FXHostBridge: PCIDevice, @unchecked Sendable {
    private enum Register {
        static let smram = 0x72
        static let smramReset: UInt8 = 0x02
    }

    /// Puts the bridge at 00.0 of an empty bus.
    public init(bus: PCIBus) throws(PCIBusError) {
        super.init(
            name: "i440FX", identity: PCIIdentity(vendor: 0x8086, device: 0x1237, revision: 2, classCode: 0x06_0000))
        makeDeviceRegistersWritable()
        try bus.add(self, at: PCIAddress(packed: 0))
        reset()
    }

    /// Everything is in configuration space.
    public override var hasMoreState: Bool { false }

    /// PAM registers to 0, SMRAM as the datasheet has it at power-on.
    public override func reset() {
        super.reset()
        clearDeviceRegisters()
        config.set(Register.smram, Register.smramReset)
    }
}

/// The ISA bridge of pc (Intel 82371SB datasheet): 8086:7000 at 01.0; takes four PIRQs to ISA interrupts.
public final class PIIX3Bridge: PCIDevice, PCIInterruptRouter, @unchecked Sendable {
    private enum Register {
        static let routes = 0x60
        /// Other registers with a value at power-on: X-bus select, top of memory, motherboard device routes and on.
        static let resets: [(offset: Int, value: UInt8)] = [
            (0x4C, 0x4D), (0x4E, 0x03), (0x69, 0x02), (0x70, 0x80), (0x76, 0x0C), (0x77, 0x0C), (0x78, 0x02),
            (0xA0, 0x08), (0xA8, 0x0F),
        ]
    }
    private static let isaInterruptCount = 16
    private let interrupts: [InterruptLine]
    private var lineLevels = [Bool](repeating: false, count: 4)
    /// What each interrupt was last told: others may drive the same line, so only changes are passed on.
    private var driven = [Bool](repeating: false, count: isaInterruptCount)

    /// Puts the bridge at 01.0 and makes it the bus's router.
    /// - Parameter interrupts: ISA interrupts 0...15, which reach the PICs and the I/O APIC.
    public init(bus: PCIBus, interrupts: [InterruptLine]) throws(PCIBusError) {
        precondition(interrupts.count >= Self.isaInterruptCount)
        self.interrupts = interrupts
        super.init(
            name: "PIIX3", identity: PCIIdentity(vendor: 0x8086, device: 0x7000, classCode: 0x06_0100),
            isMultifunction: true)
        makeDeviceRegistersWritable()
        try bus.add(self, at: PCIAddress(packed: 0x08))
        bus.router = self
        reset()
    }

    /// Four: PIRQA...PIRQD.
    public var interruptLineCount: Int { lineLevels.count }

    /// Rotates by slot, so that INTA of neighbours does not meet.
    public func interruptLine(slot: Int, pin: Int) -> Int { (slot + pin + 3) % 4 }

    /// Drives the ISA interrupt that the line's register names, or none.
    public func setInterruptLine(_ line: Int, level: Bool) {
        lineLevels[line] = level
        if let target = PIRQRoute.target(config.get(Register.routes + line)) { drive(target) }
    }

    private func drive(_ target: Int) {
        let level = lineLevels.indices.contains {
            lineLevels[$0] && PIRQRoute.target(config.get(Register.routes + $0)) == target
        }
        guard level != driven[target] else { return }
        driven[target] = level
        interrupts[target].set(level)
    }

    private func driveAll() {
        for target in 0..<Self.isaInterruptCount { drive(target) }
    }

    /// Sets what firmware sets: PCI interrupts on IRQ 10 and 11.
    public func configureAsFirmware() {
        for line in 0..<4 { config.set(Register.routes + line, PCIResourceAssignment.isaInterrupts[line]) }
        driveAll()
    }

    /// Everything is in configuration space.
    public override var hasMoreState: Bool { false }

    /// Turns off all routes to ISA interrupts.
    public override func reset() {
        super.reset()
        clearDeviceRegisters()
        config.set(PCIRegister.status, setting: 0x0200)
        for line in 0..<4 { config.set(Register.routes + line, PIRQRoute.disabled) }
        for entry in Register.resets { config.set(entry.offset, entry.value) }
        driveAll()
    }

    /// Drives all lines as the registers say.
    public override func stateRestored() { driveAll() }

    /// Puts new routes into effect at once.
    public override func writeConfig(offset: Int, size: Int, value: UInt32) {
        super.writeConfig(offset: offset, size: size, value: value)
        driveAll()
    }
}

/// Power management of pc (Intel 82371AB datasheet, 7): 8086:7113 at 01.3; it moves the ACPI block.
public final class PIIX4PowerManagement: PCIDevice, @unchecked Sendable {
    /// Ports of the ACPI block.
    public static let powerManagementCount: UInt64 = 64

    private enum Register {
        static let base = 0x40, control = 0x80
        static let systemManagementBusBase = 0x90, systemManagementBusControl = 0xD2
        /// Tells firmware that system management mode was set up and is to be left alone.
        static let deviceActivity = 0x5B
        static let systemManagementDone: UInt8 = 0x02
        static let enable: UInt8 = 1
        static let interrupt: UInt8 = 9
    }
    /// The ACPI registers, 64 ports from the base register; the chipset sets it.
    public var powerManagement: (any RegisterWindow)? { didSet { update() } }
    /// The SMBus host's registers, 64 ports from their own base register; the chipset sets it.
    public var systemManagementBus: (any RegisterWindow)? { didSet { update() } }
    private var window = MovableWindow()
    private var systemManagementBusWindow = MovableWindow()

    /// Puts the function at 01.3.
    public init(bus: PCIBus) throws(PCIBusError) {
        super.init(
            name: "PIIX4_PM",
            identity: PCIIdentity(
                vendor: 0x8086, device: 0x7113, revision: 3, classCode: 0x06_8000, interruptPin: 1))
        makeDeviceRegistersWritable()
        try bus.add(self, at: PCIAddress(packed: 0x0B))
        reset()
    }

    /// The ACPI block's registers are saved with the block.
    public override var hasMoreState: Bool { false }

    /// Turns off the ACPI block until firmware places it.
    public override func reset() {
        super.reset()
        clearDeviceRegisters()
        config.set(PCIRegister.status, setting: 0x0280)
        config.set(Register.base, UInt32(1))
        config.set(Register.deviceActivity, Register.systemManagementDone)
        update()
    }

    /// Moves the ACPI block to where the registers say.
    public override func stateRestored() { update() }

    /// Moves, enables or disables the ACPI block at once.
    public override func writeConfig(offset: Int, size: Int, value: UInt32) {
        super.writeConfig(offset: offset, size: size, value: value)
        update()
    }

    /// The first port of the ACPI block while it is enabled.
    public var powerManagementBase: UInt64? { window.base }

    /// Sets what firmware sets: the ACPI block at `base`, on interrupt 9, and the SMBus host at its own place.
    public func configureAsFirmware(powerManagementBase base: UInt16, systemManagementBusBase: UInt16 = 0x700) {
        config.set(Register.base, UInt32(base & 0xFFC0) | 1)
        config.set(Register.control, Register.enable)
        if systemManagementBus != nil {
            config.set(Register.systemManagementBusBase, UInt32(systemManagementBusBase & 0xFFC0) | 1)
            // Enabled, with its interrupt on IRQ 9.
            config.set(Register.systemManagementBusControl, UInt8(0x09))
        }
        config.set(PCIRegister.interruptLine, Register.interrupt)
        update()
    }

    private func update() {
        let base = UInt64(config.get(Register.base, as: UInt32.self) & 0xFFC0)
        let enabled = config.get(Register.control, as: UInt8.self) & Register.enable != 0
        window.move(
            to: enabled && base != 0 && powerManagement != nil ? base : nil, in: bus?.ports, window: powerManagement,
            count: Self.powerManagementCount, name: "piix4-pm")
        let busBase = UInt64(config.get(Register.systemManagementBusBase, as: UInt32.self) & 0xFFC0)
        let busEnabled = config.get(Register.systemManagementBusControl, as: UInt8.self) & Register.enable != 0
        systemManagementBusWindow.move(
            to: busEnabled && busBase != 0 && systemManagementBus != nil ? busBase : nil, in: bus?.ports,
            window: systemManagementBus, count: Self.powerManagementCount, name: "pm-smbus")
    }
}
