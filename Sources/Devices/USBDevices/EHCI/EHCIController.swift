// SPDX-License-Identifier: Apache-2.0

public import GuestMemory
public import MachineModel
public import PCIBus
public import StateCoding

/// A USB 2 host controller (EHCI specification 1.0) with six ports: QEMU's usb-ehci, ich9-usb-ehci1 and ich9-usb-ehci2.
///
/// Its ports run at high speed alone. A device that cannot is plugged into the companion, a UHCI controller, which has the
/// port of the same number. While there is a schedule, a timer walks it each millisecond, and sooner when a device speaks up.
public final class EHCIController: PCIDevice, USBController, @unchecked Sendable {
    /// Which one it is.
    public enum Model: String, Sendable, CaseIterable {
        case standard = "usb-ehci"
        case ich9First = "ich9-usb-ehci1"
        case ich9Second = "ich9-usb-ehci2"

        var device: UInt16 {
            switch self {
            case .standard: 0x24CD
            case .ich9First: 0x293A
            case .ich9Second: 0x293C
            }
        }
    }

    /// What a saved machine keeps; the devices have sections of their own.
    struct State: SavedState, Equatable {
        var function: PCIDeviceState
        var registers: EHCI.Registers
        var pipes: [USBControlPipe]

        func problem(replacing current: State) -> String? {
            if let problem = function.problem(replacing: current.function) { return problem }
            guard registers.ports.count == current.registers.ports.count, pipes.count == current.pipes.count,
                pipes.allSatisfy(\.isSound), registers.index <= EHCI.indexMask
            else { return "its values cannot be" }
            return nil
        }
    }

    public let busName: String
    let memory: GuestMemory
    let clock: any MachineClock
    var registers = EHCI.Registers()
    /// By port.
    /// Controllers that have the ports of the slow devices, with their first port, from 1.
    private(set) var companions: [(firstPort: Int, controller: UHCIController)] = []
    private var plugged = [USBDevice?](repeating: nil, count: EHCI.portCount)
    private var timer: (any MachineTimer)?
    /// When FRINDEX was what `registers.index` says.
    private var indexTime: UInt64 = 0
    /// The frame that the periodic schedule was last walked for.
    var lastFrame: UInt32 = 0
    /// The schedules are being walked: devices speak up while they are spoken to.
    private var isWorking = false

    /// A controller with empty ports.
    /// - Parameter busName: what devices name it by, "usb.0".
    public init(_ model: Model, busName: String, memory: GuestMemory, clock: any MachineClock) {
        (self.busName, self.memory, self.clock) = (busName, memory, clock)
        super.init(
            name: model.rawValue,
            identity: PCIIdentity(
                vendor: 0x8086, device: model.device, revision: model == .standard ? 0x10 : 3, classCode: 0x0C_0320,
                interruptPin: 4))
        let release = 0x60, usb2: UInt16 = 0x2020
        // The release and the length of a frame, which cannot be changed.
        config.set(release, usb2)
        config.set(EHCI.Capability.legacyPlace, UInt32(1))
        // Who owns the controller is for the driver to say.
        config.setWritable(EHCI.Capability.legacyPlace, UInt32(0x0100_0000))
        addBaseAddress(0, kind: .memory32, size: EHCI.windowCount, name: "ehci", window: EHCIWindow(self))
        timer = clock.makeTimer { [weak self] in self?.work() }
        indexTime = clock.now
    }

    /// Gives the slow devices of two ports to a companion.
    /// - Returns: false where there are no such ports, or another has them.
    public func add(_ companion: UHCIController, firstPort: Int) -> Bool {
        guard firstPort >= 1, firstPort + companion.portCount - 1 <= EHCI.portCount,
            !companions.contains(where: { abs($0.firstPort - firstPort) < companion.portCount })
        else { return false }
        companions.append((firstPort, companion))
        return true
    }

    // MARK: life

    public override func reset() {
        super.reset()
        for device in plugged { device?.reset() }
        resetController()
    }

    public override func removed() {
        timer?.cancel()
        for device in plugged { device?.removed() }
        super.removed()
    }

    func resetController() {
        registers = EHCI.Registers()
        indexTime = clock.now
        lastFrame = 0
        for (index, device) in plugged.enumerated() where device != nil {
            registers.ports[index] |= EHCI.Port.connected | EHCI.Port.connectChanged
        }
        timer?.cancel()
        updatePin()
    }

    func updatePin() { setInterrupt(registers.status & registers.interrupts & EHCI.Status.causes != 0) }

    /// Something that the driver named is no memory: nothing goes on until a reset.
    func fail() {
        registers.command &= ~EHCI.Command.run
        registers.status |= EHCI.Status.hostError | EHCI.Status.halted
        followSchedules()
    }

    // MARK: time

    var isRunning: Bool { registers.command & EHCI.Command.run != 0 }

    /// FRINDEX now: eight steps a millisecond while the controller runs.
    var frameIndex: UInt32 {
        guard isRunning else { return registers.index }
        let steps = (clock.now &- indexTime) / EHCI.microframe
        return (registers.index &+ UInt32(truncatingIfNeeded: steps)) & EHCI.indexMask
    }

    func setFrameIndex(_ value: UInt32) {
        registers.index = value & EHCI.indexMask
        indexTime = clock.now
        lastFrame = registers.index >> 3
    }

    /// There is a schedule to walk.
    var works: Bool {
        isRunning && registers.command & (EHCI.Command.periodic | EHCI.Command.asynchronous) != 0
    }

    /// The status says which schedules run, and the timer walks them.
    func followSchedules() {
        registers.status &= ~(EHCI.Status.periodic | EHCI.Status.asynchronous)
        guard isRunning else {
            timer?.cancel()
            return
        }
        if registers.command & EHCI.Command.periodic != 0 { registers.status |= EHCI.Status.periodic }
        if registers.command & EHCI.Command.asynchronous != 0 { registers.status |= EHCI.Status.asynchronous }
        if works { timer?.arm(at: clock.now &+ EHCI.microframe) } else { timer?.cancel() }
    }

    private func work() {
        guard works, !isWorking else { return }
        isWorking = true
        let index = frameIndex
        if index < registers.index { registers.status |= EHCI.Status.rollover }
        registers.index = index
        // Only whole steps are over.
        indexTime = clock.now &- (clock.now &- indexTime) % EHCI.microframe
        if isBusMaster {
            if registers.command & EHCI.Command.periodic != 0 { runPeriodic(to: index >> 3) }
            if isRunning, registers.command & EHCI.Command.asynchronous != 0 { runAsynchronous() }
        }
        if registers.command & EHCI.Command.doorbell != 0 { ringBack() }
        isWorking = false
        updatePin()
        if works { timer?.arm(at: clock.now &+ EHCI.frameTime) }
    }

    // MARK: ports

    public var portCount: Int { EHCI.portCount }
    public var speeds: [USBSpeed] { companions.isEmpty ? [.high] : [.full, .low, .high] }

    private func companion(at port: Int) -> (controller: UHCIController, port: Int)? {
        let found = companions.first { ($0.firstPort..<$0.firstPort + $0.controller.portCount).contains(port) }
        return found.map { ($0.controller, port - $0.firstPort + 1) }
    }

    public func device(at port: Int) -> USBDevice? {
        guard plugged.indices.contains(port - 1) else { return nil }
        return plugged[port - 1] ?? companion(at: port).flatMap { $0.controller.device(at: $0.port) }
    }

    /// Whether a device can be used in a port.
    public func takes(_ device: USBDevice, at port: Int) -> Bool {
        device.speeds.contains(.high) || companion(at: port) != nil
    }

    public func attach(_ device: USBDevice, at port: Int) {
        precondition(plugged.indices.contains(port - 1) && plugged[port - 1] == nil)
        if !device.speeds.contains(.high), let slow = companion(at: port) {
            return slow.controller.attach(device, at: slow.port)
        }
        device.speed = .high
        device.host = self
        plugged[port - 1] = device
        device.reset()
        registers.ports[port - 1] |= EHCI.Port.connected | EHCI.Port.connectChanged
        portChanged()
    }

    public func detach(_ device: USBDevice) {
        guard let index = plugged.firstIndex(where: { $0 === device }) else {
            for companion in companions { companion.controller.detach(device) }
            return
        }
        plugged[index] = nil
        device.host = nil
        device.removed()
        var port = registers.ports[index]
        if port & EHCI.Port.enabled != 0 { port |= EHCI.Port.enableChanged }
        registers.ports[index] =
            port & ~(EHCI.Port.connected | EHCI.Port.enabled | EHCI.Port.suspended) | EHCI.Port.connectChanged
        portChanged()
    }

    private func portChanged() {
        registers.status |= EHCI.Status.portChange
        updatePin()
    }

    public func endpointReady(_ device: USBDevice, endpoint: Int, direction: USBDirection) {
        guard let index = plugged.firstIndex(where: { $0 === device }) else { return }
        if registers.ports[index] & EHCI.Port.suspended != 0 {
            guard device.common.mayWake else { return }
            registers.ports[index] |= EHCI.Port.resume
            return portChanged()
        }
        if works, !isWorking { timer?.arm(at: clock.now) }
    }

    /// The device that has an address; only ports that are enabled pass packets on.
    func device(with address: UInt8) -> USBDevice? {
        for (index, device) in plugged.enumerated() {
            guard let device, device.common.address == address else { continue }
            let state = registers.ports[index] & (EHCI.Port.enabled | EHCI.Port.suspended)
            if state == EHCI.Port.enabled { return device }
        }
        return nil
    }

    /// - Returns: whether there is a device to reset.
    func resetDevice(_ index: Int) -> Bool {
        plugged[index]?.reset()
        return plugged[index] != nil
    }

    // MARK: saving

    private var ehciState: State {
        var now = registers
        now.index = frameIndex
        return State(function: pciState, registers: now, pipes: plugged.map { $0?.pipe ?? USBControlPipe() })
    }

    public override func saveState(as name: String) throws(StateError) -> StateRecord {
        try StateRecord(name: name, ehciState)
    }

    public override func checkState(_ record: StateRecord) throws(StateError) -> () -> Void {
        let state = try record.decode(replacing: ehciState)
        return { [self] in
            registers = state.registers
            for (device, pipe) in zip(plugged, state.pipes) { device?.pipe = pipe }
            setFrameIndex(state.registers.index)
            apply(state.function)
            followSchedules()
            updatePin()
        }
    }
}
