// SPDX-License-Identifier: Apache-2.0

public import MachineModel
public import StateCoding

/// What a saved machine keeps of every USB device.
public struct USBDeviceState: Equatable, Sendable, Codable {
    /// Given by the host; 0 after a reset.
    public var address: UInt8 = 0
    /// 0 until the host has configured the device.
    public var configuration: UInt8 = 0
    /// The host lets the device wake it.
    public var mayWake = false
    /// Halted endpoints by number; those to the host from bit 16 on.
    public var halted: UInt32 = 0
}

/// A device on a USB cable: its descriptors, the standard requests, and what is common to all endpoints.
///
/// A device model is a subclass that answers class requests and transfers of its endpoints. A transfer that it cannot
/// answer yet is `notReady`; later it calls `wake`. All is guarded by the machine lock.
public class USBDevice: Device, Stateful, @unchecked Sendable {
    /// The type's name: "usb-tablet".
    public let name: String
    /// What the person called it with `id=`.
    public var identifier: String?
    /// Speeds that it can run at, the best last.
    public let speeds: [USBSpeed]
    /// The speed that its port gave it.
    public internal(set) var speed: USBSpeed
    /// What it is plugged into.
    public internal(set) weak var host: (any USBHost)?
    let description: USBDescription
    /// The control transfer under way, for controllers that send it packet by packet; who has the device saves it.
    final var pipe = USBControlPipe()
    /// Address, configuration, halted endpoints.
    public internal(set) var common = USBDeviceState()

    private enum Request {
        static let getStatus: UInt16 = 0x8000, getInterfaceStatus: UInt16 = 0x8100, getEndpointStatus: UInt16 = 0x8200
        static let clearDeviceFeature: UInt16 = 0x0001, setDeviceFeature: UInt16 = 0x0003
        static let clearEndpointFeature: UInt16 = 0x0201, setEndpointFeature: UInt16 = 0x0203
        static let setAddress: UInt16 = 0x0005, getDescriptor: UInt16 = 0x8006
        static let getConfiguration: UInt16 = 0x8008, setConfiguration: UInt16 = 0x0009
        static let getInterface: UInt16 = 0x810A, setInterface: UInt16 = 0x010B
        /// Power modes at super speed.
        static let setSelect: UInt16 = 0x0030, setDelay: UInt16 = 0x0031
    }
    private enum Feature {
        static let halt: UInt16 = 0, remoteWakeUp: UInt16 = 1, powerModes = 48...50 as ClosedRange<UInt16>
    }

    init(name: String, description: USBDescription, speeds: [USBSpeed]) {
        self.name = name
        self.description = description
        self.speeds = speeds
        speed = speeds.last ?? .full
    }

    /// What its descriptor calls it: "QEMU USB Tablet".
    public var product: String { description.strings.count > 1 ? description.strings[1] : name }

    // MARK: life

    /// Power-on, and a reset on the cable. A subclass calls this too.
    public func reset() {
        common = USBDeviceState()
        pipe = USBControlPipe()
    }

    /// Whether it is that device, or has it on its cables.
    func holds(_ device: USBDevice) -> Bool { device === self }

    /// The device with an address: this one, or one on its cables.
    func find(address: UInt8) -> USBDevice? { common.address == address ? self : nil }

    /// The plug was pulled for good; what the device holds on the host is let go.
    public func removed() {}

    /// Tells the host that an endpoint has something to say.
    func wake(_ endpoint: Int, _ direction: USBDirection) {
        host?.endpointReady(self, endpoint: endpoint, direction: direction)
    }

    // MARK: transfers

    /// Does a control transfer.
    /// - Parameter data: what the host sends in the data stage; as long as the setup packet says.
    public final func control(_ setup: USBSetup, data: [UInt8] = []) -> USBOutcome {
        let outcome = standard(setup) ?? request(setup, data: data)
        if case .data(let bytes) = outcome, bytes.count > Int(setup.length) {
            return .data(Array(bytes.prefix(Int(setup.length))))
        }
        return outcome
    }

    /// Does a transfer to the host of at most `capacity` bytes.
    public final func read(endpoint: Int, capacity: Int) -> USBOutcome {
        guard isUsable(endpoint, .in), capacity >= 0 else { return .stalled }
        let outcome = send(endpoint: endpoint, capacity: capacity)
        if outcome == .stalled { halt(endpoint, .in) }
        return outcome
    }

    /// Does a transfer from the host.
    public final func write(endpoint: Int, data: [UInt8]) -> USBOutcome {
        guard isUsable(endpoint, .out) else { return .stalled }
        let outcome = receive(endpoint: endpoint, data: data)
        if outcome == .stalled { halt(endpoint, .out) }
        return outcome
    }

    private func isUsable(_ endpoint: Int, _ direction: USBDirection) -> Bool {
        common.configuration != 0 && !isHalted(endpoint, direction)
            && description.endpoints.contains { $0.number == endpoint && $0.direction == direction }
    }

    // MARK: for subclasses

    /// A request that is not one of the standard ones, and descriptors of a class.
    func request(_ setup: USBSetup, data: [UInt8]) -> USBOutcome { .stalled }
    /// A transfer to the host.
    func send(endpoint: Int, capacity: Int) -> USBOutcome { .stalled }
    /// A transfer from the host.
    func receive(endpoint: Int, data: [UInt8]) -> USBOutcome { .stalled }
    /// The host took the halt of an endpoint back.
    func haltCleared(endpoint: Int, direction: USBDirection) {}

    // MARK: halted endpoints

    private func bit(_ endpoint: Int, _ direction: USBDirection) -> UInt32 {
        1 << UInt32(endpoint & 15 | (direction == .in ? 16 : 0))
    }

    /// Whether an endpoint is halted.
    public func isHalted(_ endpoint: Int, _ direction: USBDirection) -> Bool {
        common.halted & bit(endpoint, direction) != 0
    }

    /// Halts an endpoint until the host takes it back.
    func halt(_ endpoint: Int, _ direction: USBDirection) { common.halted |= bit(endpoint, direction) }

    private func clearHalt(_ index: UInt16) {
        let endpoint = Int(index & 15), direction: USBDirection = index & 0x80 != 0 ? .in : .out
        common.halted &= ~bit(endpoint, direction)
        haltCleared(endpoint: endpoint, direction: direction)
    }

    // MARK: standard requests

    /// Answers the requests of USB 2.0, 9.4; nil for others.
    private func standard(_ setup: USBSetup) -> USBOutcome? {
        switch setup.code {
        case Request.getDescriptor:
            return description.descriptor(
                type: UInt8(truncatingIfNeeded: setup.value >> 8), index: UInt8(truncatingIfNeeded: setup.value),
                speed: speed
            ).map { .data($0) } ?? .stalled
        case Request.setAddress: common.address = UInt8(truncatingIfNeeded: setup.value & 0x7F)
        case Request.getConfiguration: return .data([common.configuration])
        case Request.setConfiguration:
            guard setup.value <= 1 else { return .stalled }
            common.configuration = UInt8(truncatingIfNeeded: setup.value)
            common.halted = 0
        case Request.getStatus:
            let isSelfPowered = description.attributes & 0x40 != 0
            return .data([(isSelfPowered ? 1 : 0) | (common.mayWake ? 2 : 0), 0])
        case Request.getInterfaceStatus: return .data([0, 0])
        case Request.getEndpointStatus:
            let isHalted = isHalted(Int(setup.index & 15), setup.index & 0x80 != 0 ? .in : .out)
            return .data([isHalted ? 1 : 0, 0])
        case Request.setDeviceFeature, Request.clearDeviceFeature: return feature(setup)
        case Request.setEndpointFeature where setup.value == Feature.halt:
            halt(Int(setup.index & 15), setup.index & 0x80 != 0 ? .in : .out)
        case Request.clearEndpointFeature where setup.value == Feature.halt: clearHalt(setup.index)
        case Request.getInterface: return .data([0])
        case Request.setInterface:
            guard setup.value == 0, setup.index == 0 else { return .stalled }
            common.halted = 0
        case Request.setSelect, Request.setDelay: break
        default: return nil
        }
        return .taken
    }

    private func feature(_ setup: USBSetup) -> USBOutcome {
        switch setup.value {
        case Feature.remoteWakeUp where description.attributes & 0x20 != 0:
            common.mayWake = setup.code == Request.setDeviceFeature
            return .taken
        // The link's power modes take no power here either way.
        case Feature.powerModes where speed == .superSpeed: return .taken
        default: return .stalled
        }
    }

    // MARK: saving

    /// As `Stateful` says; a subclass saves what it has.
    public func saveState(as name: String) throws(StateError) -> StateRecord {
        throw StateError("the state of device '\(name)' cannot be saved")
    }

    /// As `Stateful` says.
    public func checkState(_ record: StateRecord) throws(StateError) -> () -> Void {
        throw StateError("the state of device '\(record.name)' cannot be loaded")
    }
}
