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
    /// The vCPUs, in the order of their indices.
    var processors: [any VirtualCPU] { get }
    /// Makes one more, in the state of power-on, or takes one up again that left. The machine lock is held.
    func addProcessor(_ index: Int) throws(UserError) -> any VirtualCPU
    /// Takes one out that no thread runs any more. Its parts are kept for the next of its index: the kernel takes none
    /// back, and other processors may look at them yet. The machine lock is held.
    func removeProcessor(_ index: Int)
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
    var softProcessors: [SoftCPU] { pairs.map(\.processor) }
    var processors: [any VirtualCPU] { softProcessors }
    /// In the order of their indices.
    private var pairs: [Pair] = []
    /// Those of processors that left.
    private var left: [Pair] = []
    private let parts: Parts

    /// What each processor is made of.
    struct Parts {
        var environment: SoftCPU.Environment
        var machineLock: Lock
        var clock: any MachineClock
        var options: SoftwareEngineOptions
        /// Processors at the start, and as many as there may be.
        var count: Int, possible: Int
        var lookAfterTimers: (Bool) -> Void
    }
    private let turns: ProcessorTurns?

    var interrupts: any GSISink { controllers }
    var messages: any MessageInterruptSink { controllers.bus }
    var devices: [any Device] { [controllers] }

    /// - Parameter present: indices of the processors at the start, ascending.
    init(_ parts: Parts, present: [Int]) throws(UserError) {
        self.parts = parts
        turns = parts.options.isSingleThreaded && parts.possible > 1 ? ProcessorTurns() : nil
        for index in present { pairs.append(try makePair(index)) }
    }

    private func makePair(_ index: Int) throws(UserError) -> Pair {
        let processor: SoftCPU
        do throws(Errno) { processor = try SoftCPU(index: index, environment: parts.environment) } catch {
            throw UserError("the host has no room for vCPU \(index): \(error)")
        }
        processor.turns = turns
        try parts.options.installTranslator(on: processor, of: parts.count, possible: parts.possible)
        processor.lookAfterTimers = parts.lookAfterTimers
        let apic = LocalAPIC(
            identifier: UInt32(index), isBootstrap: index == 0, bus: controllers.bus, machineLock: parts.machineLock,
            clock: parts.clock, physicalAddressBits: parts.environment.model.physicalAddressBits)
        apic.attach(processor, timestampCounter: Timestamp(processor))
        processor.localController = apic
        return Pair(processor, apic)
    }

    func addProcessor(_ index: Int) throws(UserError) -> any VirtualCPU {
        let pair: Pair
        if let place = left.firstIndex(where: { $0.processor.index == index }) {
            pair = left.remove(at: place)
            controllers.bus.plug(pair.controller)
            pair.processor.reset()
        } else {
            pair = try makePair(index)
        }
        pairs.insert(pair, at: pairs.firstIndex { $0.processor.index > index } ?? pairs.count)
        return pair.processor
    }

    /// The local APIC of a processor that is there.
    func controller(of index: Int) -> LocalAPIC? { pairs.first { $0.processor.index == index }?.controller }

    func removeProcessor(_ index: Int) {
        guard let place = pairs.firstIndex(where: { $0.processor.index == index }) else { return }
        let pair = pairs.remove(at: place)
        controllers.bus.unplug(pair.controller)
        left.append(pair)
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
            + pairs.map { ("cpu\($0.processor.index)", $0) }
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
    /// In the order of their indices.
    private var vCPUs: [KVMProcessor] = []
    /// Those that left: the kernel keeps them as long as the machine.
    private var left: [KVMProcessor] = []
    private let makeProcessor: (Int) throws(UserError) -> KVMProcessor
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

    /// - Parameters:
    ///   - present: indices of the processors at the start, ascending.
    ///   - isSplit: PIC and I/O APIC are ours, the local APICs the kernel's.
    init(
        system: KVMSystem, present: [Int], memory: GuestMemory, ports: AddressSpace, devices: AddressSpace,
        physicalAddressBits: Int, isSplit: Bool, features: @escaping (Int) throws(UserError) -> [CPUIDEntry]
    ) throws(UserError) {
        self.physicalAddressBits = physicalAddressBits
        do throws(KVMUnusable) {
            machine = try KVMMachine(system: system, memory: memory, hasTimer: false, isSplit: isSplit)
        } catch { throw UserError(error.description) }
        split = isSplit ? SplitControllers(machine) : nil
        interrupts = split?.controllers ?? Wires(machine)
        controllers = Controllers(machine)
        machine.externalInterrupts = split
        makeProcessor = { [machine] index throws(UserError) in
            let table = try features(index)
            do throws(KVMUnusable) {
                return try KVMProcessor(machine: machine, index: index, features: table, ports: ports, devices: devices)
            } catch { throw UserError(error.description) }
        }
        for index in present { vCPUs.append(try makeProcessor(index)) }
        split?.firstProcessor = vCPUs.first
    }

    func addProcessor(_ index: Int) throws(UserError) -> any VirtualCPU {
        let processor: KVMProcessor
        if let place = left.firstIndex(where: { $0.index == index }) {
            processor = left.remove(at: place)
        } else {
            processor = try makeProcessor(index)
        }
        processor.reset()
        vCPUs.insert(processor, at: vCPUs.firstIndex { $0.index > index } ?? vCPUs.count)
        return processor
    }

    func removeProcessor(_ index: Int) {
        guard let place = vCPUs.firstIndex(where: { $0.index == index }) else { return }
        left.append(vCPUs.remove(at: place))
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
