// SPDX-License-Identifier: Apache-2.0

internal import Diagnostics
public import MachineModel

/// The LPC bridge of q35 (Intel I/O Controller Hub 9 datasheet, 13.1): 8086:2918 at 1f.0.
///
/// It takes PIRQA...PIRQH to GSI 16...23 and, as the routing registers say, to ISA interrupts; slots 0...24 rotate over
/// PIRQE...PIRQH, slots 25...31 go as their registers in the root complex block say. It also moves the ACPI block.
public final class ICH9Bridge: PCIDevice, PCIInterruptRouter, @unchecked Sendable {
    /// Ports of the ACPI block, and bytes of the root complex register block.
    public static let powerManagementCount: UInt64 = 128, rootComplexCount: UInt64 = 0x4000
    /// GSIs that the bridge drives.
    public static let interruptCount = 24
    /// Inputs of the I/O APIC before PIRQA.
    private static let firstPIRQInterrupt = 16

    private enum Register {
        static let powerManagementBase = 0x40, acpiControl = 0x44
        static let routesAD = 0x60, routesEH = 0x68
        static let rootComplexBase = 0xF0
        static let acpiEnable: UInt8 = 0x80
    }

    /// The ACPI registers (PM1, timer, GPE0, SMI), 128 ports from PMBASE; the chipset sets it.
    public var powerManagement: (any RegisterWindow)? { didSet { update() } }
    /// Where the ACPI registers assert the system control interrupt.
    public private(set) lazy var systemControlInterrupt = InterruptLine { [unowned self] level in
        sciLevel = level
        drive(sciTarget)
    }
    private let interrupts: [InterruptLine]
    private var lineLevels = [Bool](repeating: false, count: 8)
    private var sciLevel = false
    /// What each interrupt was last told: others may drive the same line, so only changes are passed on.
    private var driven = [Bool](repeating: false, count: interruptCount)
    private let rootComplex = ICH9RootComplexRegisters()
    private var powerManagementWindow = MovableWindow()
    private var rootComplexWindow = MovableWindow()

    /// Puts the bridge at 1f.0 and makes it the bus's router.
    /// - Parameter interrupts: GSI 0...23: the first 16 reach the PICs and the I/O APIC, the others the I/O APIC.
    public init(bus: PCIBus, interrupts: [InterruptLine]) throws(PCIBusError) {
        precondition(interrupts.count >= Self.interruptCount)
        self.interrupts = interrupts
        super.init(
            name: "ICH9-LPC", identity: PCIIdentity(vendor: 0x8086, device: 0x2918, revision: 2, classCode: 0x06_0100),
            isMultifunction: true)
        makeDeviceRegistersWritable()
        config.setWritable(Register.powerManagementBase, UInt32(0xFF80))
        config.setWritable(Register.acpiControl, UInt8(0x87))
        config.setWritable(Register.rootComplexBase, UInt32(0xFFFF_C001))
        try bus.add(self, at: PCIAddress(packed: 0xF8))
        bus.router = self
        rootComplex.changed = { [unowned self] in self.bus?.interruptRoutingChanged() }
        reset()
    }

    // MARK: Routing

    /// Eight: PIRQA...PIRQH.
    public var interruptLineCount: Int { lineLevels.count }

    /// The root complex's routing for slots 25...31, a rotation over PIRQE...PIRQH for others.
    public func interruptLine(slot: Int, pin: Int) -> Int {
        rootComplex.line(slot: slot, pin: pin) ?? (slot + pin) % 4 + 4
    }

    /// Drives the line's own GSI, and its ISA interrupt where a register names one.
    public func setInterruptLine(_ line: Int, level: Bool) {
        lineLevels[line] = level
        drive(Self.firstPIRQInterrupt + line)
        if let target = PIRQRoute.target(route(line)) { drive(target) }
    }

    private func route(_ line: Int) -> UInt8 {
        config.get(line < 4 ? Register.routesAD + line : Register.routesEH + line - 4)
    }

    /// The GSI of the system control interrupt: 9, 10, 11, 20 or 21 by the ACPI control register.
    private var sciTarget: Int {
        switch config.get(Register.acpiControl, as: UInt8.self) & 7 {
        case 1: 10
        case 2: 11
        case 4: 20
        case 5: 21
        default: 9
        }
    }

    private func drive(_ target: Int) {
        var level = sciLevel && target == sciTarget
        for line in lineLevels.indices where lineLevels[line] {
            if target == Self.firstPIRQInterrupt + line || target == PIRQRoute.target(route(line)) { level = true }
        }
        guard level != driven[target] else { return }
        driven[target] = level
        interrupts[target].set(level)
    }

    // MARK: Registers

    /// Everything is in configuration space.
    public override var hasMoreState: Bool { false }

    /// Turns off all routes to ISA interrupts and the ACPI block.
    public override func reset() {
        super.reset()
        clearDeviceRegisters()
        config.set(Register.powerManagementBase, UInt32(1))
        for line in 0..<4 {
            config.set(Register.routesAD + line, PIRQRoute.disabled)
            config.set(Register.routesEH + line, PIRQRoute.disabled)
        }
        rootComplex.reset()
        update()
    }

    /// Moves the ACPI block and drives all lines as the registers say.
    public override func stateRestored() { update() }

    /// Puts new routes and places into effect at once; reserved choices are logged.
    public override func writeConfig(offset: Int, size: Int, value: UInt32) {
        super.writeConfig(offset: offset, size: size, value: value)
        let selected = config.get(Register.acpiControl, as: UInt8.self) & 7
        if offset == Register.acpiControl, Self.reservedSelections.contains(selected) {
            Log.shared.write(.guestErrors, "ICH9 LPC: SCI IRQ SEL #\(selected) is reserved")
        }
        update()
    }

    /// Values of the SCI's interrupt select that name none.
    private static let reservedSelections: Set<UInt8> = [3, 6, 7]

    /// The root complex registers, for saving; a state of another size changes nothing. The machine lock is held.
    public var rootComplexState: [UInt8] {
        get { rootComplex.bytes }
        set { rootComplex.restore(newValue) }
    }

    /// The first port of the ACPI block while it is enabled.
    public var powerManagementBase: UInt64? { powerManagementWindow.base }

    /// Sets what firmware sets: the ACPI block at `base`, the root complex block, PCI interrupts on IRQ 10 and 11.
    public func configureAsFirmware(powerManagementBase base: UInt16) {
        config.set(Register.powerManagementBase, UInt32(base & 0xFF80) | 1)
        config.set(Register.acpiControl, Register.acpiEnable)
        config.set(Register.rootComplexBase, UInt32(truncatingIfNeeded: ICH9RootComplexRegisters.usualBase) | 1)
        for line in 0..<4 {
            let interrupt = PCIResourceAssignment.isaInterrupts[line]
            config.set(Register.routesAD + line, interrupt)
            config.set(Register.routesEH + line, interrupt)
        }
        update()
    }

    private func update() {
        let base = UInt64(config.get(Register.powerManagementBase, as: UInt32.self) & 0xFF80)
        let enabled = config.get(Register.acpiControl, as: UInt8.self) & Register.acpiEnable != 0
        powerManagementWindow.move(
            to: enabled && base != 0 && powerManagement != nil ? base : nil, in: bus?.ports, window: powerManagement,
            count: Self.powerManagementCount, name: "ich9-pm")
        let rootBase: UInt32 = config.get(Register.rootComplexBase)
        rootComplexWindow.move(
            to: rootBase & 1 != 0 ? UInt64(rootBase & 0xFFFF_C000) : nil, in: bus?.memory, window: rootComplex,
            count: Self.rootComplexCount, name: "lpc-rcrb-mmio")
        for target in 0..<Self.interruptCount { drive(target) }
    }
}

/// The root complex registers: they keep what is written; the interrupt route registers take effect.
final class ICH9RootComplexRegisters: RegisterWindow {
    /// Where firmware puts the block.
    static let usualBase: UInt64 = 0xFED1_C000
    /// The route register of each slot from 25: offsets of D25IR and on; slot 30 has none.
    private static let routeRegisters = [25: 0x3150, 26: 0x314C, 27: 0x3148, 28: 0x3146, 29: 0x3144, 31: 0x3140]
    /// INTA...INTD on PIRQA...PIRQD.
    private static let routeReset: UInt16 = 0x3210
    private static let registerArea = 0x3000..<0x3420

    private(set) var bytes = [UInt8](repeating: 0, count: Int(ICH9Bridge.rootComplexCount))
    /// Told after a write.
    var changed: () -> Void = {}

    func reset() {
        for index in bytes.indices { bytes[index] = 0 }
        for offset in Self.routeRegisters.values {
            bytes[offset] = UInt8(truncatingIfNeeded: Self.routeReset)
            bytes[offset + 1] = UInt8(truncatingIfNeeded: Self.routeReset >> 8)
        }
    }

    func restore(_ saved: [UInt8]) {
        guard saved.count == bytes.count else { return }
        bytes = saved
        changed()
    }

    /// The line of a pin of slots 25...31 but 30; nil for the others.
    func line(slot: Int, pin: Int) -> Int? {
        guard let offset = Self.routeRegisters[slot] else { return nil }
        let route = UInt16(bytes[offset]) | UInt16(bytes[offset + 1]) << 8
        return Int(route >> UInt16(pin * 4) & 7)
    }

    func read(offset: UInt64, size: Int) -> UInt64 {
        var value: UInt64 = 0
        for index in 0..<min(max(size, 0), 8) {
            let place = Int(truncatingIfNeeded: offset) &+ index
            if bytes.indices.contains(place) { value |= UInt64(bytes[place]) << UInt64(index * 8) }
        }
        return value
    }

    func write(offset: UInt64, size: Int, value: UInt64) {
        for index in 0..<min(max(size, 0), 8) {
            let place = Int(truncatingIfNeeded: offset) &+ index
            guard Self.registerArea.contains(place) else { continue }
            bytes[place] = UInt8(truncatingIfNeeded: value >> UInt64(index * 8))
        }
        changed()
    }
}
