// SPDX-License-Identifier: Apache-2.0

internal import Diagnostics
internal import DiskControllers
internal import FirmwareTables
internal import GuestMemory
internal import HostSystem
internal import InterruptControllers
internal import MachineModel
internal import MachineRuntime
internal import MachineSpec
internal import PCChipset
internal import PCIBus

/// The chips of a q35, pc or microvm board, wired: everything but the processors and what is plugged in.
final class PCBoard {
    /// What distinguishes one board from another of its kind.
    struct Options {
        var kind: BoardSpec.Kind
        var memory: BoardMemory
        var hasHPET = true
        var hasKeyboardController = true
        /// The 8254, and the registers of the speaker that share its third channel.
        var hasIntervalTimer = true
        /// Interrupts of the 8254 that a late host missed come later.
        var makesUpLostTicks = true
        var hasRealTimeClock = true
        var hasSystemManagementBus = true
        /// The AHCI controller of q35.
        var hasSATA = true
        /// Whether a microvm has the ACPI timer, which QEMU's has not.
        var hasPowerTimer = false
        /// Whether the guest finds ACPI tables: without them a microvm has no event device.
        var hasACPI = true
        /// For each processor that is possible, whether it is there at the start.
        var processors = [true]
        var bootOrder: [CMOSConfiguration.BootDevice] = [.disk, .cdrom, .network]
        /// Nanoseconds that the real-time clock is ahead of UTC.
        var clockOffset: Int64 = 0
    }

    let options: Options
    /// The root bus; a microvm has nothing on it and no way to it.
    let bus: PCIBus
    let routing: GSIRouting
    let clockChip: RealTimeClock
    let powerManagement: PowerManagement
    let firmwareConfig: FirmwareConfig
    let keyboardController: KeyboardController?
    let keyboard: PS2Keyboard?
    let mouse: PS2Mouse?
    /// Power button, power-off and reset of a microvm.
    let eventDevice: GenericEventDevice?
    /// The ACPI timer's port on a microvm whose guest has no other way to the frequency of its time-stamp counter.
    let timerPort: UInt16?
    /// Places for virtio devices in memory (microvm).
    let transports: VirtioTransports?
    /// In the order of reset.
    private(set) var devices: [any Device] = []
    private let q35: (host: Q35HostBridge, south: ICH9Bridge)?
    private let pc: (host: I440FXHostBridge, south: PIIX3Bridge, power: PIIX4PowerManagement)?
    private let configuration: PCIConfigPorts
    private let engine: any BoardEngine
    /// What makes functions of pc's bus come and go.
    private(set) var hotPlug: ACPIHotPlug?
    /// What makes processors come and go; nil on a microvm and without ACPI.
    private(set) var processorHotPlug: ProcessorHotPlug?
    /// The disk controllers that the chipset has: IDE channels on pc, SATA ports on q35.
    let ide: PIIXIDEController?
    let sata: AHCIController?
    /// In APIC mode, the I/O APIC pins that comparators of the HPET may use.
    private static let timerRoutes: (q35: UInt32, pc: UInt32) = (0xFF_0104, 0x4)
    /// The ACPI timer in its block.
    private static let timerOffset: UInt16 = 8
    private static let isaInterrupts = (timer: 0, keyboard: 1, clock: 8, power: 9, mouse: 12)

    /// Builds the board around an engine's interrupt controllers.
    init(
        _ options: Options, engine: any BoardEngine, ports: AddressSpace, space: AddressSpace, memory: GuestMemory,
        clock: any MachineClock, requests: any MachineRequests
    ) throws(UserError) {
        self.options = options
        self.engine = engine
        let routing = GSIRouting(sink: engine.interrupts)
        self.routing = routing
        func line(_ gsi: Int) -> InterruptLine { routing.interruptLine(gsi: gsi) }
        let isQ35 = options.kind == .q35, isPC = options.kind == .pc, isMicroVM = options.kind == .microvm
        bus = PCIBus(
            name: isQ35 ? "pcie.0" : "pci.0", ports: isMicroVM ? AddressSpace(machineLock: Lock()) : ports,
            memory: space, messages: engine.messages)
        configuration = PCIConfigPorts(bus: bus)
        let wires = (0..<GSIRouting.count).map { line($0) }
        do throws(PCIBusError) {
            q35 = isQ35 ? (try Q35HostBridge(bus: bus), try ICH9Bridge(bus: bus, interrupts: wires)) : nil
            pc =
                isPC
                ? (
                    try I440FXHostBridge(bus: bus), try PIIX3Bridge(bus: bus, interrupts: wires),
                    try PIIX4PowerManagement(bus: bus)
                ) : nil
            (ide, sata) = try Self.addDiskController(options, to: bus, memory: memory, ports: ports, line)
        } catch { throw UserError(error.description) }

        // The ICH9 routes the SCI itself; on pc it is wired to ISA interrupt 9.
        let controlInterrupt = q35?.south.systemControlInterrupt ?? line(Self.isaInterrupts.power)
        powerManagement = PowerManagement(
            layout: isQ35 ? .ich9 : .piix4, clock: clock, interrupt: isMicroVM ? .unconnected() : controlInterrupt,
            requests: requests)
        clockChip = RealTimeClock(
            clock: clock, interrupt: options.hasRealTimeClock ? line(Self.isaInterrupts.clock) : .unconnected(),
            configuration: CMOSConfiguration(
                lowMemory: options.memory.low, highMemory: options.memory.high,
                processorCount: options.processors.count { $0 },
                bootOrder: options.bootOrder),
            timeOffset: options.clockOffset)
        if options.hasRealTimeClock { clockChip.map(in: ports) }
        firmwareConfig = FirmwareConfig(memory: memory)
        firmwareConfig.map(in: ports)
        devices = [powerManagement, clockChip, firmwareConfig]
        timerPort = isMicroVM && options.hasPowerTimer ? UInt16(PowerManagement.usualBase) + Self.timerOffset : nil
        if isMicroVM {
            eventDevice =
                options.hasACPI
                ? GenericEventDevice(interrupt: line(Self.isaInterrupts.power), requests: requests) : nil
            transports = VirtioTransports(space: space, routing: routing, hasACPI: options.hasACPI)
        } else {
            (eventDevice, transports) = (nil, nil)
        }
        if options.hasKeyboardController {
            let keyboard = PS2Keyboard(), mouse = PS2Mouse()
            (self.keyboard, self.mouse) = (keyboard, mouse)
            keyboardController = KeyboardController(
                keyboardInterrupt: line(Self.isaInterrupts.keyboard),
                auxiliaryInterrupt: line(Self.isaInterrupts.mouse),
                keyboard: keyboard, auxiliary: mouse, requests: requests)
        } else {
            (keyboard, mouse) = (nil, nil)
            keyboardController = nil
        }
        addTimers(ports: ports, space: space, clock: clock)
        if let keyboardController {
            keyboardController.map(in: ports)
            devices.append(keyboardController)
        }
        if timerPort != nil {
            _ = powerManagement.map(in: ports, at: UInt64(PowerManagement.usualBase))
        }
        if let eventDevice {
            eventDevice.map(in: space)
            devices.append(eventDevice)
        }
        guard !isMicroVM else { return }
        try addChipset(ports: ports, requests: requests)
    }

    /// The controller that the chipset brings along.
    private static func addDiskController(
        _ options: Options, to bus: PCIBus, memory: GuestMemory, ports: AddressSpace,
        _ line: (Int) -> InterruptLine
    ) throws(PCIBusError) -> (PIIXIDEController?, AHCIController?) {
        switch options.kind {
        case .q35:
            guard options.hasSATA else { return (nil, nil) }
            let controller = AHCIController(memory: memory)
            controller.isMultifunction = true
            try bus.add(controller, at: PCIAddress(packed: 0xFA))
            return (nil, controller)
        case .pc:
            let controller = PIIXIDEController(
                memory: memory, ports: ports, interrupts: PIIXIDEController.places.map { line($0.interrupt) })
            try bus.add(controller, at: PCIAddress(packed: 0x09))
            return (controller, nil)
        case .microvm, .none: return (nil, nil)
        }
    }

    /// The interval timer and the HPET, each as far as the board has it.
    private func addTimers(ports: AddressSpace, space: AddressSpace, clock: any MachineClock) {
        let timer =
            options.hasIntervalTimer
            ? IntervalTimer(
                clock: clock, interrupt: routing.interruptLine(gsi: Self.isaInterrupts.timer),
                makesUpLostTicks: options.makesUpLostTicks) : nil
        if let timer {
            timer.map(in: ports)
            devices.append(timer)
        }
        guard options.hasHPET else { return }
        let hpet = HighPrecisionTimer(
            clock: clock, lines: (0..<GSIRouting.count).map { routing.interruptLine(gsi: $0) },
            legacyTimer: routing.interruptLine(gsi: Self.isaInterrupts.timer),
            legacyClock: routing.interruptLine(gsi: Self.isaInterrupts.clock),
            routes: q35 != nil ? Self.timerRoutes.q35 : Self.timerRoutes.pc
        ) { [clockChip] isReplaced in
            // Legacy replacement of the HPET takes over the lines of the PIT and the RTC.
            timer?.isInterruptSuppressed = isReplaced
            clockChip.isInterruptSuppressed = isReplaced
        }
        space.map(hpet, at: HighPrecisionTimer.defaultBase, count: HighPrecisionTimer.windowSize, name: "hpet")
        devices.append(hpet)
    }

    /// What pc and q35 have and a microvm does not.
    private func addChipset(ports: AddressSpace, requests: any MachineRequests) throws(UserError) {
        powerManagement.mapCommandPort(in: ports)
        q35?.south.powerManagement = powerManagement.registers
        pc?.power.powerManagement = powerManagement.registers
        if pc != nil { _ = powerManagement.mapGeneralEvents(in: ports) }
        if pc != nil {
            let slots = ACPIHotPlug(bus: bus) { [unowned powerManagement] in
                powerManagement.raiseGeneralEvent(ACPIHotPlug.event)
            }
            slots.map(in: ports)
            devices.append(slots)
            hotPlug = slots
        }
        if options.hasACPI {
            let processors = ProcessorHotPlug(present: options.processors) { [unowned powerManagement] in
                powerManagement.raiseGeneralEvent(ProcessorHotPlug.event)
            }
            processors.map(in: ports, at: q35 != nil ? ProcessorHotPlug.q35Ports : ProcessorHotPlug.pcPorts)
            devices.append(processors)
            processorHotPlug = processors
        }
        let direct = DMAController()
        direct.map(in: ports)
        let resetControl = ResetControl(requests: requests)
        resetControl.map(in: ports)
        let postCodes = PostCodePort { code in Trace.emit(.postCode, "0x\(String(code, radix: 16))") }
        postCodes.map(in: ports)
        devices += [direct, resetControl, postCodes]
        guard options.hasSystemManagementBus else { return }
        guard q35 != nil else {
            let host = SMBusHost(interrupt: routing.interruptLine(gsi: Self.isaInterrupts.power))
            devices.append(host)
            pc?.power.systemManagementBus = host
            return
        }
        weak var function: ICH9SystemManagementBus?
        let host = SMBusHost(interrupt: InterruptLine { level in function?.setInterrupt(level) })
        devices.append(host)
        do throws(PCIBusError) {
            let made = try ICH9SystemManagementBus(bus: bus, registers: host)
            function = made
        } catch { throw UserError(error.description) }
    }

    /// The person at the power button. The machine lock is held.
    func pressPowerButton() {
        if let eventDevice {
            eventDevice.pressPowerButton()
        } else if transports == nil {
            powerManagement.pressPowerButton()
        }
    }

    /// All that has state, but for PCI functions.
    var savedDevices: [(name: String, part: AnyObject)] {
        // Nobody reads the last progress code back.
        let named = (devices + [configuration]).filter { !($0 is PostCodePort) }.map { ($0.name, $0 as AnyObject) }
        var parts: [(name: String, part: AnyObject)] = named + [("watchdog", powerManagement.watchdog)]
        if let keyboard { parts.append(("ps2-keyboard", keyboard)) }
        if let mouse { parts.append(("ps2-mouse", mouse)) }
        return parts
    }

    /// Resets the PCI functions; the other devices are in `devices`.
    func resetBus() {
        configuration.reset()
        bus.reset()
    }

    /// Does what firmware does, for a kernel that starts without one. Every function is on the bus.
    func configureAsFirmware() throws(UserError) {
        guard transports == nil else {
            return engine.configureAsFirmware(levelTriggered: 0, uncached: VirtioTransports.base)
        }
        let base = UInt16(PowerManagement.usualBase)
        q35?.south.configureAsFirmware(powerManagementBase: base)
        q35?.host.enableECAM()
        pc?.south.configureAsFirmware()
        ide?.configureAsFirmware()
        pc?.power.configureAsFirmware(powerManagementBase: base)
        let assignment: PCIResourceAssignment =
            options.kind == .q35
            ? .q35(highMemoryEnd: options.memory.highEnd)
            : .pc(lowMemoryEnd: options.memory.low, highMemoryEnd: options.memory.highEnd)
        do throws(PCIBusError) { try assignment.apply(to: bus) } catch { throw UserError(error.description) }
        engine.configureAsFirmware(
            levelTriggered: PCIResourceAssignment.levelTriggeredInterrupts, uncached: assignment.memory.lowerBound)
    }

    /// Memory that a kernel must take for neither RAM nor free: configuration space and the root complex's registers.
    var reservedRanges: [Range<UInt64>] {
        guard q35 != nil else { return [] }
        let ecam = Q35HostBridge.defaultECAMBase
        let rootComplex: UInt64 = 0xFED1_C000
        return [
            ecam..<ecam + Q35HostBridge.ecamCount, rootComplex..<rootComplex + ICH9Bridge.rootComplexCount,
        ]
    }
}
