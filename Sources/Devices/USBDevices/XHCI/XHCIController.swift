// SPDX-License-Identifier: Apache-2.0

public import GuestMemory
public import MachineModel
public import PCIBus
public import StateCoding

/// A USB 3 host controller (xHCI 1.1): QEMU's qemu-xhci and nec-usb-xhci.
///
/// Every port of the outside is two of the root hub, one for USB 2 and one for USB 3; a device shows at the one that fits
/// its speed. A doorbell makes the controller work through the endpoint's ring until the device is not ready; the device's
/// word makes it go on.
public final class XHCIController: PCIDevice, USBController, @unchecked Sendable {
    /// Which one it is.
    public enum Model: String, Sendable, CaseIterable {
        case qemu = "qemu-xhci"
        case nec = "nec-usb-xhci"
    }
    /// Most ports of a kind.
    public static let mostPorts = 15

    let model: Model
    let memory: GuestMemory
    let clock: any MachineClock
    public let busName: String
    /// Ports of USB 2 and of USB 3.
    let counts: (usb2: Int, usb3: Int)
    var registers = XHCIRegisterState()
    var slots = [XHCISlot](repeating: XHCISlot(), count: XHCI.slotCount)
    var interrupters = [XHCIInterrupter](repeating: XHCIInterrupter(), count: XHCI.interrupterCount)
    /// By port of the outside, from 1.
    private var plugged: [Int: USBDevice] = [:]
    /// Endpoints that are to be worked on when the work under way is done: devices speak up while they are spoken to.
    var pendingKicks: [(slot: Int, endpoint: Int)] = []
    var isWorking = false
    /// Goes on with rings that were longer than one turn.
    private(set) var laterTimer: (any MachineTimer)?
    private static let capabilityPlaces = (msi: 0x70, msix: 0x90, express: 0xA0)
    private static let releaseNumber = 0x60, usb3: UInt8 = 0x30

    /// A controller with empty ports.
    /// - Parameters:
    ///   - busName: what devices name it by, "usb.0".
    ///   - usb2Ports: 1...15, and so `usb3Ports`.
    public init(
        _ model: Model, busName: String, usb2Ports: Int = 4, usb3Ports: Int = 4, memory: GuestMemory,
        clock: any MachineClock
    ) {
        precondition((1...Self.mostPorts).contains(usb2Ports) && (1...Self.mostPorts).contains(usb3Ports))
        (self.model, self.memory, self.clock, self.busName) = (model, memory, clock, busName)
        counts = (usb2Ports, usb3Ports)
        super.init(
            name: model.rawValue,
            identity: PCIIdentity(
                vendor: model == .nec ? 0x1033 : 0x1B36, device: model == .nec ? 0x0194 : 0x000D,
                revision: model == .nec ? 3 : 1, classCode: 0x0C_0330, interruptPin: 1),
            hasExtendedSpace: true)
        config.set(Self.releaseNumber, Self.usb3)
        addBaseAddress(0, kind: .memory64, size: XHCI.windowCount)
        addWindow(XHCIWindow(self), toBaseAddress: 0, at: 0, count: XHCI.registerCount, name: "xhci")
        addMSIX(
            vectorCount: XHCI.interrupterCount, baseAddress: 0, tableOffset: XHCI.messageTable,
            pendingOffset: XHCI.messagePending, capabilityAt: Self.capabilityPlaces.msix)
        addExpress(.endpoint)
        laterTimer = clock.makeTimer { [weak self] in self?.work() }
        resetController()
    }

    // MARK: life

    public override func reset() {
        super.reset()
        for device in plugged.values { device.reset() }
        resetController()
    }

    public override func removed() {
        for device in plugged.values { device.removed() }
        laterTimer?.cancel()
        super.removed()
    }

    /// As after the reset bit of the command register.
    func resetController() {
        registers = XHCIRegisterState()
        registers.ports = [UInt32](
            repeating: XHCI.Port.power | XHCI.Link.noDevice << XHCI.Port.linkShift, count: portTotal)
        registers.frameStart = clock.now
        slots = [XHCISlot](repeating: XHCISlot(), count: XHCI.slotCount)
        interrupters = [XHCIInterrupter](repeating: XHCIInterrupter(), count: XHCI.interrupterCount)
        pendingKicks = []
        for (port, _) in plugged { showDevice(at: port) }
        setInterrupt(false)
    }

    /// Something that the driver named is no memory, or events are not read: nothing goes on until a reset.
    func fail() {
        registers.status |= XHCI.Status.controllerError | XHCI.Status.halted
        registers.command &= ~XHCI.Command.run
    }

    var isRunning: Bool { registers.command & XHCI.Command.run != 0 }

    // MARK: events

    /// Tells the driver something.
    func post(_ event: XHCIInterrupter.Event, to number: Int = 0) {
        guard interrupters.indices.contains(number), isRunning else { return }
        guard interrupters[number].append(event, memory) else { return fail() }
        raise(number)
    }

    /// Interrupts, unless the driver is still busy with the last one.
    func raise(_ number: Int) {
        let wasBusy = interrupters[number].dequeue & XHCI.Interrupter.handlerBusy != 0
        interrupters[number].dequeue |= XHCI.Interrupter.handlerBusy
        interrupters[number].management |= XHCI.Interrupter.pending
        registers.status |= XHCI.Status.event
        guard !wasBusy else { return }
        guard interrupters[number].management & XHCI.Interrupter.enabled != 0,
            registers.command & XHCI.Command.interrupts != 0
        else { return }
        if msix?.isEnabled == true {
            // The message takes the flag along (5.5.2.1).
            interrupters[number].management &= ~XHCI.Interrupter.pending
            signal(vector: number)
        }
        updatePin()
    }

    /// Follows the first interrupter's flags where there are no messages.
    func updatePin() {
        let both = XHCI.Interrupter.pending | XHCI.Interrupter.enabled
        setInterrupt(
            interrupters[0].management & both == both && registers.command & XHCI.Command.interrupts != 0
                && !usesMessages)
    }

    // MARK: ports

    var portTotal: Int { counts.usb2 + counts.usb3 }
    public var portCount: Int { max(counts.usb2, counts.usb3) }
    public var speeds: [USBSpeed] { [.full, .low, .high, .superSpeed] }
    public func device(at port: Int) -> USBDevice? { plugged[port] }

    /// The root hub's port, from 0, at which the device of an outside port shows; nil where the port is of another speed.
    private func hubPort(of device: USBDevice, at port: Int) -> Int? {
        if device.speed == .superSpeed { return port <= counts.usb3 ? counts.usb2 + port - 1 : nil }
        return port <= counts.usb2 ? port - 1 : nil
    }

    /// The device at a port of the root hub, from 1.
    func device(atHubPort number: Int) -> USBDevice? {
        guard (1...portTotal).contains(number) else { return nil }
        let outside = number > counts.usb2 ? number - counts.usb2 : number
        guard let device = plugged[outside], hubPort(of: device, at: outside) == number - 1 else { return nil }
        return device
    }

    /// The device at the end of a route through hubs that begins at a port of the root hub.
    func device(atHubPort number: Int, route: UInt32) -> USBDevice? {
        var found = device(atHubPort: number)
        var rest = route
        while rest != 0 {
            found = (found as? USBHub)?.device(at: Int(rest & 0xF))
            rest >>= 4
        }
        return found
    }

    /// The root hub's port of a device, or of the hub that it hangs on, from 0.
    func hubPort(of device: USBDevice) -> Int? {
        plugged.first { $0.value.holds(device) }.flatMap { hubPort(of: $0.value, at: $0.key) }
    }

    public func attach(_ device: USBDevice, at port: Int) {
        precondition((1...portCount).contains(port) && plugged[port] == nil)
        let usable: [USBSpeed] = port <= counts.usb3 ? [.full, .high, .superSpeed] : [.full, .high]
        device.speed = device.speeds.last { usable.contains($0) && ($0 == .superSpeed || port <= counts.usb2) } ?? .full
        device.host = self
        plugged[port] = device
        device.reset()
        showDevice(at: port)
    }

    public func detach(_ device: USBDevice) {
        guard let port = plugged.first(where: { $0.value === device })?.key else { return }
        let hub = hubPort(of: device, at: port)
        plugged[port] = nil
        device.host = nil
        device.removed()
        guard let hub else { return }
        let kept = registers.ports[hub] & (XHCI.Port.power | XHCI.Port.changes | XHCI.Port.writable)
        registers.ports[hub] = kept | XHCI.Link.noDevice << XHCI.Port.linkShift
        portChanged(hub, XHCI.Port.connectChanged)
    }

    /// The port says what is in it now.
    private func showDevice(at port: Int) {
        guard let device = plugged[port], let hub = hubPort(of: device, at: port) else { return }
        let isSuper = device.speed == .superSpeed
        let link = isSuper ? XHCI.Link.on : XHCI.Link.polling
        let kept = registers.ports[hub] & (XHCI.Port.power | XHCI.Port.changes | XHCI.Port.writable)
        registers.ports[hub] =
            kept | XHCI.Port.connected | (isSuper ? XHCI.Port.enabled : 0) | link << XHCI.Port.linkShift
            | UInt32(device.speed.rawValue) << XHCI.Port.speedShift
        portChanged(hub, XHCI.Port.connectChanged)
    }

    /// Notes what changed at a port, and tells the driver of what is new.
    func portChanged(_ hub: Int, _ change: UInt32) {
        guard registers.ports[hub] & change != change else { return }
        registers.ports[hub] |= change
        registers.status |= XHCI.Status.portChange
        post(
            XHCIInterrupter.Event(
                XHCI.BlockType.portEvent, parameter: UInt64(hub + 1) << 24, code: XHCI.Completion.success))
    }

    // MARK: saving

    private var xhciState: XHCIState {
        var slots = self.slots
        // What was to be worked on next is tried again by who goes on with this state.
        for next in pendingKicks { slots[next.slot - 1].endpoints[next.endpoint - 1]?.isWaiting = true }
        return XHCIState(function: pciState, registers: registers, slots: slots, interrupters: interrupters)
    }

    public override func saveState(as name: String) throws(StateError) -> StateRecord {
        try StateRecord(name: name, xhciState)
    }

    public override func checkState(_ record: StateRecord) throws(StateError) -> () -> Void {
        let state = try record.decode(replacing: xhciState)
        return { [self] in
            (registers, slots, interrupters) = (state.registers, state.slots, state.interrupters)
            pendingKicks = []
            apply(state.function)
            // What waited for devices is tried again: they may have changed meanwhile.
            for (number, slot) in slots.enumerated() {
                for (index, endpoint) in slot.endpoints.enumerated() where endpoint?.isWaiting == true {
                    pendingKicks.append((number + 1, index + 1))
                }
            }
            if !pendingKicks.isEmpty { laterTimer?.arm(at: clock.now) }
        }
    }
}
