// SPDX-License-Identifier: Apache-2.0

public import GuestMemory
public import MachineModel
public import PCIBus
public import StateCoding

/// A USB 1 host controller (UHCI Design Guide 1.1) with two ports: QEMU's piix3-usb-uhci, piix4-usb-uhci
/// and the companions of ich9-usb-ehci1.
///
/// While it runs, a timer makes a frame of each millisecond: the schedule in guest memory is walked once, and what is not
/// ready is asked again in the next frame.
public final class UHCIController: PCIDevice, USBController, @unchecked Sendable {
    /// Which one it is.
    public enum Model: String, Sendable, CaseIterable {
        case piix3 = "piix3-usb-uhci"
        case piix4 = "piix4-usb-uhci"
        case ich9First = "ich9-usb-uhci1"
        case ich9Second = "ich9-usb-uhci2"
        case ich9Third = "ich9-usb-uhci3"

        /// The function's number, its revision, and its interrupt pin from 1.
        var identity: (device: UInt16, revision: UInt8, pin: UInt8) {
            switch self {
            case .piix3: (0x7020, 1, 4)
            case .piix4: (0x7112, 1, 4)
            case .ich9First: (0x2934, 3, 1)
            case .ich9Second: (0x2935, 3, 2)
            case .ich9Third: (0x2936, 3, 3)
            }
        }
    }

    /// What a saved machine keeps; the devices have sections of their own.
    struct State: SavedState, Equatable {
        var function: PCIDeviceState
        var registers: Registers
        var pipes: [USBControlPipe]

        func problem(replacing current: State) -> String? {
            if let problem = function.problem(replacing: current.function) { return problem }
            guard registers.ports.count == current.registers.ports.count, pipes.count == current.pipes.count,
                pipes.allSatisfy(\.isSound)
            else { return "its values cannot be" }
            return nil
        }
    }

    struct Registers: Equatable, Sendable, Codable {
        var command: UInt16 = 0
        var status: UInt16 = UHCI.Status.halted
        var interrupts: UInt16 = 0
        var frame: UInt16 = 0
        var list: UInt32 = 0
        var modify: UInt8 = 0x40
        var ports = [UInt16](repeating: UHCI.Port.reserved, count: UHCI.portCount)
        /// Causes of the interrupt bit: completions that ask for one, and short packets.
        var causes: UInt8 = 0
    }

    public let busName: String
    let memory: GuestMemory
    let clock: any MachineClock
    var registers = Registers()
    private var plugged: [USBDevice?] = [nil, nil]
    private var timer: (any MachineTimer)?

    /// A controller with empty ports.
    /// - Parameter busName: what devices name it by, "usb.0".
    public init(_ model: Model, busName: String, memory: GuestMemory, clock: any MachineClock) {
        (self.busName, self.memory, self.clock) = (busName, memory, clock)
        super.init(
            name: model.rawValue,
            identity: PCIIdentity(
                vendor: 0x8086, device: model.identity.device, revision: model.identity.revision,
                classCode: 0x0C_0300, interruptPin: model.identity.pin))
        let release = 0x60, legacySupport = 0xC0
        config.set(release, UInt8(0x10))
        config.set(legacySupport, UInt16(0x2000))
        config.setWritable(legacySupport, UInt16(0x20BF))
        addBaseAddress(4, kind: .io, size: UHCI.portsCount, name: "uhci", window: UHCIWindow(self))
        timer = clock.makeTimer { [weak self] in self?.frameIsOver() }
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
        let devices = plugged
        registers = Registers()
        for (index, device) in devices.enumerated() where device != nil {
            registers.ports[index] |= UHCI.Port.connected | UHCI.Port.connectChanged
        }
        timer?.cancel()
        updatePin()
    }

    func updatePin() {
        let enabled = registers.interrupts, status = registers.status
        let completions = registers.causes & 1 != 0 && enabled & UHCI.Interrupt.complete != 0
        let shorts = registers.causes & 2 != 0 && enabled & UHCI.Interrupt.shortPacket != 0
        let errors = status & UHCI.Status.error != 0 && enabled & UHCI.Interrupt.error != 0
        let resumes = status & UHCI.Status.resume != 0 && enabled & UHCI.Interrupt.resume != 0
        setInterrupt(
            completions || shorts || errors || resumes
                || status & (UHCI.Status.hostError | UHCI.Status.processError) != 0)
    }

    // MARK: frames

    var isRunning: Bool { registers.command & UHCI.Command.run != 0 }

    func start() { timer?.arm(at: clock.now &+ UHCI.frameTime) }
    func stop() { timer?.cancel() }

    private func frameIsOver() {
        guard isRunning else { return }
        if isBusMaster { runFrame() }
        registers.frame = (registers.frame &+ 1) & UHCI.frameMask
        updatePin()
        if isRunning { start() }
    }

    // MARK: ports

    public var portCount: Int { UHCI.portCount }
    public var speeds: [USBSpeed] { [.full, .low] }
    public func device(at port: Int) -> USBDevice? { plugged.indices.contains(port - 1) ? plugged[port - 1] : nil }

    public func attach(_ device: USBDevice, at port: Int) {
        precondition(plugged.indices.contains(port - 1) && plugged[port - 1] == nil)
        device.speed = .full
        device.host = self
        plugged[port - 1] = device
        device.reset()
        registers.ports[port - 1] |= UHCI.Port.connected | UHCI.Port.connectChanged
        resume()
    }

    public func detach(_ device: USBDevice) {
        guard let index = plugged.firstIndex(where: { $0 === device }) else { return }
        plugged[index] = nil
        device.host = nil
        device.removed()
        var port = registers.ports[index]
        if port & UHCI.Port.enabled != 0 { port |= UHCI.Port.enableChanged }
        registers.ports[index] =
            port & ~(UHCI.Port.connected | UHCI.Port.enabled | UHCI.Port.suspended) | UHCI.Port.connectChanged
        resume()
    }

    /// The bus sleeps, and something happens on it.
    private func resume() {
        guard registers.command & UHCI.Command.suspend != 0 else { return }
        registers.command |= UHCI.Command.resume
        registers.status |= UHCI.Status.resume
        updatePin()
    }

    public func endpointReady(_ device: USBDevice, endpoint: Int, direction: USBDirection) {
        guard device.common.mayWake, let index = plugged.firstIndex(where: { $0?.holds(device) == true }) else {
            return
        }
        let port = registers.ports[index]
        guard port & UHCI.Port.suspended != 0 || registers.command & UHCI.Command.suspend != 0 else { return }
        if port & UHCI.Port.suspended != 0 { registers.ports[index] |= UHCI.Port.resume }
        resume()
    }

    /// The device that has an address; only ports that are enabled pass packets on.
    func device(with address: UInt8) -> USBDevice? {
        for (index, device) in plugged.enumerated() where registers.ports[index] & UHCI.Port.enabled != 0 {
            if let found = device?.find(address: address) { return found }
        }
        return nil
    }

    func resetDevice(_ index: Int) { plugged[index]?.reset() }

    // MARK: saving

    private var uhciState: State {
        State(function: pciState, registers: registers, pipes: plugged.map { $0?.pipe ?? USBControlPipe() })
    }

    public override func saveState(as name: String) throws(StateError) -> StateRecord {
        try StateRecord(name: name, uhciState)
    }

    public override func checkState(_ record: StateRecord) throws(StateError) -> () -> Void {
        let state = try record.decode(replacing: uhciState)
        return { [self] in
            registers = state.registers
            for (device, pipe) in zip(plugged, state.pipes) { device?.pipe = pipe }
            apply(state.function)
            isRunning ? start() : stop()
            updatePin()
        }
    }
}
