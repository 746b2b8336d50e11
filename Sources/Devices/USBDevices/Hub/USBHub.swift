// SPDX-License-Identifier: Apache-2.0

public import StateCoding

/// What a saved machine keeps of a hub.
struct USBHubState: SavedState, Equatable {
    var common = USBDeviceState()
    /// By port: status and changes (USB 2.0, 11.24.2.7).
    var status: [UInt16]
    var changes: [UInt16]
    /// By port: the control transfer of the device there, which the device has while the machine runs.
    var pipes: [USBControlPipe]

    func problem(replacing current: USBHubState) -> String? {
        guard status.count == current.status.count, changes.count == status.count, pipes.count == status.count,
            pipes.allSatisfy(\.isSound)
        else { return "its values cannot be" }
        return nil
    }
}

/// QEMU's usb-hub: a hub of USB 1.1 with eight ports, whose devices run at full speed.
public final class USBHub: USBDevice, USBPortOwner, @unchecked Sendable {
    /// Most ports, and how many there are where nobody says otherwise.
    public static let mostPorts = 8

    private enum Request {
        static let getHubDescriptor: UInt16 = 0xA006, getHubStatus: UInt16 = 0xA000, getPortStatus: UInt16 = 0xA300
        static let setHubFeature: UInt16 = 0x2003, clearHubFeature: UInt16 = 0x2001
        static let setPortFeature: UInt16 = 0x2303, clearPortFeature: UInt16 = 0x2301
    }
    private enum Feature {
        static let enable: UInt16 = 1, suspend: UInt16 = 2, reset: UInt16 = 4, power: UInt16 = 8
        /// The first of the changes, whose numbers are those of the status bits and 16.
        static let changes = 16...20 as ClosedRange<UInt16>
    }
    private enum Bit {
        static let connected: UInt16 = 1, enabled: UInt16 = 2, suspended: UInt16 = 4, reset: UInt16 = 0x10
        static let power: UInt16 = 0x100
    }
    private static let descriptorType: UInt8 = 0x29
    /// No power switching, over-current reported by port.
    private static let characteristics: UInt8 = 0x0A
    private static let pollInterval: UInt8 = 0xFF

    private var plugged: [USBDevice?]
    private var hub: USBHubState

    /// A hub with empty ports.
    /// - Parameter ports: 1...8.
    public init(ports: Int = USBHub.mostPorts) {
        precondition((1...Self.mostPorts).contains(ports))
        plugged = [USBDevice?](repeating: nil, count: ports)
        hub = USBHubState(
            status: [UInt16](repeating: Bit.power, count: ports), changes: [UInt16](repeating: 0, count: ports),
            pipes: [USBControlPipe](repeating: USBControlPipe(), count: ports))
        let mapCount = UInt16(ports / 8 + 1)
        var description = USBDescription(
            vendor: 0x0409, product: 0x55AA, release: 0x0101, strings: ["QEMU", "QEMU USB Hub", "314159"],
            attributes: 0xE0, power: 0, interface: (9, 0, 0),
            endpoints: [
                USBEndpoint(
                    number: 1, direction: .in, kind: .interrupt, packetSize: { _ in mapCount },
                    interval: { _ in USBHub.pollInterval })
            ])
        description.deviceClass = 9
        description.usbVersion = 0x0110
        super.init(name: "usb-hub", description: description, speeds: [.full])
    }

    // MARK: ports

    /// Ports, numbered from 1.
    public var portCount: Int { plugged.count }

    /// What is plugged into a port.
    public func device(at port: Int) -> USBDevice? { plugged.indices.contains(port - 1) ? plugged[port - 1] : nil }

    /// Plugs a device in, and tells the guest.
    /// - Precondition: the port exists and is free.
    public func attach(_ device: USBDevice, at port: Int) {
        precondition(plugged.indices.contains(port - 1) && plugged[port - 1] == nil)
        device.speed = .full
        device.host = self
        plugged[port - 1] = device
        device.reset()
        hub.status[port - 1] |= Bit.connected
        change(port - 1, Bit.connected)
    }

    /// Pulls the plug of a device, and tells the guest; does nothing for one that is not here.
    public func detach(_ device: USBDevice) {
        guard let index = plugged.firstIndex(where: { $0 === device }) else { return }
        plugged[index] = nil
        device.host = nil
        device.removed()
        device.pipe = USBControlPipe()
        let wasEnabled = hub.status[index] & Bit.enabled
        hub.status[index] &= ~(Bit.connected | Bit.enabled | Bit.suspended)
        change(index, Bit.connected | wasEnabled)
    }

    private func change(_ index: Int, _ bits: UInt16) {
        hub.changes[index] |= bits
        wake(1, .in)
    }

    public override func reset() {
        super.reset()
        for (index, device) in plugged.enumerated() {
            device?.reset()
            hub.status[index] = Bit.power | (device == nil ? 0 : Bit.connected)
            hub.changes[index] = device == nil ? 0 : Bit.connected
        }
    }

    public override func removed() { for device in plugged { device?.removed() } }

    /// A device speaks up: who waits for it is above.
    public func endpointReady(_ device: USBDevice, endpoint: Int, direction: USBDirection) {
        if let index = plugged.firstIndex(where: { $0?.holds(device) == true }),
            hub.status[index] & Bit.suspended != 0
        {
            guard device.common.mayWake else { return }
            hub.status[index] &= ~Bit.suspended
            change(index, Bit.suspended)
        }
        host?.endpointReady(device, endpoint: endpoint, direction: direction)
    }

    override func holds(_ device: USBDevice) -> Bool {
        super.holds(device) || plugged.contains { $0?.holds(device) == true }
    }

    /// Only ports that are enabled pass packets on.
    override func find(address: UInt8) -> USBDevice? {
        if let found = super.find(address: address) { return found }
        for (index, device) in plugged.enumerated()
        where hub.status[index] & (Bit.enabled | Bit.suspended) == Bit.enabled {
            if let found = device?.find(address: address) { return found }
        }
        return nil
    }

    // MARK: transfers

    override func send(endpoint: Int, capacity: Int) -> USBOutcome {
        // Bit 0 is the hub's own.
        let map = hub.changes.enumerated().reduce(UInt16(0)) { $1.element != 0 ? $0 | 2 << UInt16($1.offset) : $0 }
        guard map != 0 else { return .notReady }
        let bytes = [UInt8(truncatingIfNeeded: map), UInt8(truncatingIfNeeded: map >> 8)]
        return .data(Array(bytes.prefix(min(capacity, portCount / 8 + 1))))
    }

    override func request(_ setup: USBSetup, data: [UInt8]) -> USBOutcome {
        switch setup.code {
        case Request.getHubDescriptor: return .data(hubDescriptor)
        case Request.getHubStatus: return .data([0, 0, 0, 0])
        case Request.setHubFeature, Request.clearHubFeature:
            // Local power and over-current, neither of which this hub has.
            return setup.value <= 1 ? .taken : .stalled
        case Request.getPortStatus, Request.setPortFeature, Request.clearPortFeature: break
        default: return .stalled
        }
        let index = Int(setup.index & 0xFF) - 1
        guard plugged.indices.contains(index) else { return .stalled }
        switch setup.code {
        case Request.getPortStatus:
            return .data(
                [hub.status[index], hub.changes[index]].flatMap {
                    [UInt8(truncatingIfNeeded: $0), UInt8(truncatingIfNeeded: $0 >> 8)]
                })
        case Request.setPortFeature: return set(setup.value, index)
        default: return clear(setup.value, index)
        }
    }

    private var hubDescriptor: [UInt8] {
        let maps = portCount / 8 + 1
        return [UInt8(7 + 2 * maps), Self.descriptorType, UInt8(portCount), Self.characteristics, 0, 1, 0]
            + [UInt8](repeating: 0, count: maps) + [UInt8](repeating: 0xFF, count: maps)
    }

    private func set(_ feature: UInt16, _ index: Int) -> USBOutcome {
        switch feature {
        case Feature.suspend: hub.status[index] |= Bit.suspended
        case Feature.reset:
            guard let device = plugged[index] else { break }
            device.reset()
            hub.status[index] = hub.status[index] & ~Bit.suspended | Bit.enabled
            change(index, Bit.reset)
        case Feature.power: hub.status[index] |= Bit.power
        default: return .stalled
        }
        return .taken
    }

    private func clear(_ feature: UInt16, _ index: Int) -> USBOutcome {
        switch feature {
        case Feature.enable: hub.status[index] &= ~Bit.enabled
        case Feature.suspend:
            guard hub.status[index] & Bit.suspended != 0 else { break }
            hub.status[index] &= ~Bit.suspended
            change(index, Bit.suspended)
        case Feature.changes: hub.changes[index] &= ~(1 << (feature - Feature.changes.lowerBound))
        // Power is never switched off.
        case Feature.power: break
        default: return .stalled
        }
        return .taken
    }

    // MARK: saving

    private var saved: USBHubState {
        var state = hub
        state.common = common
        state.pipes = plugged.map { $0?.pipe ?? USBControlPipe() }
        return state
    }

    public override func saveState(as name: String) throws(StateError) -> StateRecord {
        try StateRecord(name: name, saved)
    }

    public override func checkState(_ record: StateRecord) throws(StateError) -> () -> Void {
        let state = try record.decode(replacing: saved)
        return { [self] in
            hub = state
            common = state.common
            for (device, pipe) in zip(plugged, state.pipes) { device?.pipe = pipe }
        }
    }
}
