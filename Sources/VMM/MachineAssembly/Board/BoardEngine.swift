// SPDX-License-Identifier: Apache-2.0

internal import Diagnostics
internal import CPUInterface
internal import GuestMemory
internal import HostSystem
internal import InterruptControllers
internal import KVMEngine
internal import MachineModel
internal import StateCoding
internal import X86CPU

/// What a board needs of an execution engine: processors, and interrupt controllers that belong to it.
protocol BoardEngine: AnyObject {
    /// Takes the levels of the board's interrupt wires.
    var interrupts: any GSISink { get }
    /// Takes message-signalled interrupts.
    var messages: any MessageInterruptSink { get }
    /// Registers of interrupt controllers that are not the kernel's, and devices to reset.
    var devices: [any Device] { get }
    /// Maps those registers.
    /// - Parameter hasPIC: whether the 8259s are among them.
    func map(ports: AddressSpace, devices: AddressSpace, hasPIC: Bool)
    /// The vCPUs, in order.
    var processors: [any VirtualCPU] { get }
    /// What a saved machine keeps of processors and interrupt controllers: put back in this order, after all devices.
    var savedParts: [(name: String, part: any Stateful)] { get }
    /// Starts or stops noting which pages the processors write. They are parked.
    func setDirtyLogging(_ isOn: Bool) throws(UserError)
    /// Moves what was noted into the page flags, and has the next write to each page noted again. They are parked.
    func collectDirtyPages() throws(UserError)
    /// The NMI button.
    func raiseNonMaskableInterrupt()
    /// Called when memory, buses and devices are complete.
    func finish() throws(UserError)
    /// Does what firmware does, for a kernel that starts without one; after each reset. The machine lock is held.
    /// - Parameters:
    ///   - levelTriggered: ISA interrupts of PCI functions, a bit each.
    ///   - uncached: where device registers begin below 4 GiB.
    func configureAsFirmware(levelTriggered: UInt16, uncached: UInt64)
}

/// The software CPU and the software interrupt controllers.
final class SoftwareEngine: BoardEngine {
    let controllers = SoftwareInterruptControllers()

    /// The processor's time-stamp counter for its local APIC, which the processor owns.
    private final class Timestamp: TimestampCounter {
        private unowned let processor: SoftCPU
        init(_ processor: SoftCPU) { self.processor = processor }
        var timestamp: UInt64 { processor.timestamp }
        var timestampFrequency: UInt64 { SoftCPU.timestampFrequency }
    }
    private(set) var softProcessors: [SoftCPU] = []
    var processors: [any VirtualCPU] { softProcessors }
    private var pairs: [Pair] = []

    var interrupts: any GSISink { controllers }
    var messages: any MessageInterruptSink { controllers.bus }
    var devices: [any Device] { [controllers] }

    init(
        count: Int, environment: SoftCPU.Environment, machineLock: Lock, clock: any MachineClock,
        options: SoftwareEngineOptions, lookAfterTimers: @escaping (Bool) -> Void
    ) throws(UserError) {
        let turns = options.isSingleThreaded && count > 1 ? ProcessorTurns() : nil
        for index in 0..<count {
            let processor: SoftCPU
            do throws(Errno) { processor = try SoftCPU(index: index, environment: environment) } catch {
                throw UserError("the host has no room for vCPU \(index): \(error)")
            }
            processor.turns = turns
            try options.installTranslator(on: processor, of: count)
            processor.lookAfterTimers = lookAfterTimers
            let apic = LocalAPIC(
                identifier: UInt32(index), isBootstrap: index == 0, bus: controllers.bus, machineLock: machineLock,
                clock: clock, physicalAddressBits: environment.model.physicalAddressBits)
            apic.attach(processor, timestampCounter: Timestamp(processor))
            processor.localController = apic
            softProcessors.append(processor)
            pairs.append(Pair(processor, apic))
        }
    }

    func map(ports: AddressSpace, devices: AddressSpace, hasPIC: Bool) {
        if hasPIC { controllers.pic.map(in: ports) }
        devices.map(controllers.ioAPIC, at: IOAPIC.defaultBase, count: IOAPIC.windowSize, name: "ioapic")
        devices.map(
            MessageWindow(sink: controllers.bus), at: MessageWindow.base, count: MessageWindow.count, name: "apic-msi")
    }

    /// A processor and its local APIC, which need each other: the register page comes from the APIC, the time of its
    /// deadline from the processor.
    private final class Pair: Stateful {
        struct State: SavedState {
            var processor: [UInt8], controller: [UInt8]
        }
        let processor: SoftCPU
        let controller: LocalAPIC
        init(_ processor: SoftCPU, _ controller: LocalAPIC) {
            self.processor = processor
            self.controller = controller
        }

        func saveState(as name: String) throws(StateError) -> StateRecord {
            try StateRecord(
                name: name,
                State(
                    processor: try processor.saveState(as: name).payload,
                    controller: try controller.saveState(as: name).payload))
        }

        func checkState(_ record: StateRecord) throws(StateError) -> () -> Void {
            let state = try record.decode(replacing: State(processor: [], controller: []))
            let restoreProcessor = try processor.checkState(
                StateRecord(name: record.name, version: 1, payload: state.processor))
            let restoreController = try controller.checkState(
                StateRecord(name: record.name, version: 1, payload: state.controller))
            return {
                restoreController()
                restoreProcessor()
                restoreController()
            }
        }
    }

    var savedParts: [(name: String, part: any Stateful)] {
        [("pic", controllers.pic), ("ioapic", controllers.ioAPIC)]
            + pairs.enumerated().map { ("cpu\($0.offset)", $0.element) }
    }

    func setDirtyLogging(_ isOn: Bool) {}
    func collectDirtyPages() { for pair in pairs { pair.processor.forgetTranslations() } }

    func raiseNonMaskableInterrupt() { controllers.bus.raiseNonMaskableInterrupt() }
    func finish() {}

    func configureAsFirmware(levelTriggered: UInt16, uncached: UInt64) {
        controllers.pic.setLevelTriggered(levelTriggered)
        for processor in softProcessors {
            for (register, value) in MemoryTypeSetup.registers(uncached: uncached) {
                _ = processor.setModelSpecificRegister(register, to: value)
            }
        }
    }
}

/// The kernel's virtualization with its in-kernel interrupt controllers.
final class HardwareEngine: BoardEngine {
    private let machine: KVMMachine
    private var vCPUs: [KVMProcessor] = []
    private let physicalAddressBits: Int
    private let controllers: Controllers

    /// The kernel's PICs and I/O APIC.
    private final class Controllers: Device {
        private let machine: KVMMachine
        init(_ machine: KVMMachine) { self.machine = machine }
        var name: String { "kvm-irqchip" }
        func reset() { machine.resetInterruptControllers() }
    }

    private final class Wires: GSISink {
        let machine: KVMMachine
        init(_ machine: KVMMachine) { self.machine = machine }
        func setGSI(_ gsi: Int, level: Bool) { machine.setGSI(gsi, level: level) }
    }

    /// The PIC and the I/O APIC where they are ours.
    private let split: SplitControllers?
    let interrupts: any GSISink
    var messages: any MessageInterruptSink { machine }
    var devices: [any Device] { [split?.controllers ?? controllers] }
    var processors: [any VirtualCPU] { vCPUs }

    /// - Parameter isSplit: PIC and I/O APIC are ours, the local APICs the kernel's.
    init(
        system: KVMSystem, count: Int, memory: GuestMemory, ports: AddressSpace, devices: AddressSpace,
        physicalAddressBits: Int, isSplit: Bool, features: (Int) throws(UserError) -> [CPUIDEntry]
    ) throws(UserError) {
        self.physicalAddressBits = physicalAddressBits
        do throws(KVMUnusable) {
            machine = try KVMMachine(system: system, memory: memory, hasTimer: false, isSplit: isSplit)
        } catch { throw UserError(error.description) }
        split = isSplit ? SplitControllers(machine) : nil
        interrupts = split?.controllers ?? Wires(machine)
        controllers = Controllers(machine)
        machine.externalInterrupts = split
        for index in 0..<count {
            let table = try features(index)
            do throws(KVMUnusable) {
                vCPUs.append(
                    try KVMProcessor(machine: machine, index: index, features: table, ports: ports, devices: devices))
            } catch { throw UserError(error.description) }
        }
        split?.firstProcessor = vCPUs.first
    }

    /// The kernel's controllers answer by themselves.
    func map(ports: AddressSpace, devices: AddressSpace, hasPIC: Bool) {
        guard let split else { return }
        if hasPIC { split.controllers.pic.map(in: ports) }
        devices.map(split.controllers.ioAPIC, at: IOAPIC.defaultBase, count: IOAPIC.windowSize, name: "ioapic")
    }

    var savedParts: [(name: String, part: any Stateful)] {
        let own: [(name: String, part: any Stateful)] =
            split.map { [("pic", $0.controllers.pic), ("ioapic", $0.controllers.ioAPIC)] } ?? []
        return own + [("kvm", machine)] + vCPUs.map { ("cpu\($0.index)", $0) }
    }

    func setDirtyLogging(_ isOn: Bool) throws(UserError) {
        do throws(KVMUnusable) { try machine.setDirtyLogging(isOn) } catch { throw UserError(error.description) }
    }

    func collectDirtyPages() throws(UserError) {
        do throws(KVMUnusable) { try machine.collectDirtyPages() } catch { throw UserError(error.description) }
    }

    func raiseNonMaskableInterrupt() {
        for processor in vCPUs { processor.raiseNonMaskableInterrupt() }
    }

    /// The kernel's PIC stays edge-triggered: a kernel that starts without firmware programs the I/O APIC itself.
    func configureAsFirmware(levelTriggered: UInt16, uncached: UInt64) {
        split?.controllers.pic.setLevelTriggered(levelTriggered)
        for processor in vCPUs {
            processor.setFirmwareMemoryTypes(deviceStart: uncached, physicalAddressBits: physicalAddressBits)
        }
    }

    func finish() throws(UserError) {
        do throws(KVMUnusable) { try machine.commitRoutes() } catch { throw UserError(error.description) }
    }
}
