// SPDX-License-Identifier: Apache-2.0

internal import ByteCoding

/// How fast a device is on its cable; the numbers are those of xHCI's port registers (xHCI 1.1, 7.2.2.1.1).
public enum USBSpeed: UInt8, Sendable, Codable {
    case full = 1
    case low = 2
    case high = 3
    case superSpeed = 4

    /// Megabits a second, as lists of devices say it.
    public var megabits: String {
        switch self {
        case .low: "1.5"
        case .full: "12"
        case .high: "480"
        case .superSpeed: "5000"
        }
    }
}

/// Which way an endpoint's bytes go, seen from the host.
public enum USBDirection: Sendable {
    case out, `in`
}

/// The eight bytes that begin a control transfer (USB 2.0, 9.3).
public struct USBSetup: Equatable, Sendable {
    /// Bit 7: the data goes to the host; 6:5 standard, class or vendor; 4:0 device, interface or endpoint.
    public var requestType: UInt8
    public var request: UInt8
    public var value: UInt16
    public var index: UInt16
    /// Most bytes of the data stage.
    public var length: UInt16

    /// A request.
    public init(_ requestType: UInt8, _ request: UInt8, value: UInt16 = 0, index: UInt16 = 0, length: UInt16 = 0) {
        (self.requestType, self.request, self.value, self.index, self.length) =
            (requestType, request, value, index, length)
    }

    /// The request of a setup packet as a little-endian number.
    public init(packet: UInt64) {
        requestType = UInt8(truncatingIfNeeded: packet)
        request = UInt8(truncatingIfNeeded: packet >> 8)
        value = UInt16(truncatingIfNeeded: packet >> 16)
        index = UInt16(truncatingIfNeeded: packet >> 32)
        length = UInt16(truncatingIfNeeded: packet >> 48)
    }

    /// The request as a setup packet.
    public var packet: UInt64 {
        UInt64(requestType) | UInt64(request) << 8 | UInt64(value) << 16 | UInt64(index) << 32 | UInt64(length) << 48
    }

    /// The data stage goes to the host.
    public var isToHost: Bool { requestType & 0x80 != 0 }
    /// Type and request in one number, as USB's tables have them.
    var code: UInt16 { UInt16(requestType) << 8 | UInt16(request) }
}

/// What a device answers to a transfer.
public enum USBOutcome: Equatable, Sendable {
    /// Bytes for the host, at most as many as it asked for; fewer end the transfer.
    case data([UInt8])
    /// All bytes of the host were taken.
    case taken
    /// Not now: the device tells its host when it is worth trying again.
    case notReady
    /// The endpoint is halted, or the request is not one that the device knows.
    case stalled
}

/// A controller's side of a cable.
public protocol USBHost: AnyObject {
    /// A transfer that was `notReady` may go better now. The machine lock is held.
    func endpointReady(_ device: USBDevice, endpoint: Int, direction: USBDirection)
}

/// What devices are plugged into: a controller or a hub. The machine lock is held in all calls.
public protocol USBPortOwner: USBHost {
    /// Ports, numbered from 1.
    var portCount: Int { get }
    /// What is plugged into a port.
    func device(at port: Int) -> USBDevice?
    /// Plugs a device in, and tells the guest.
    /// - Precondition: the port exists and is free.
    func attach(_ device: USBDevice, at port: Int)
    /// Pulls the plug of a device, and tells the guest; does nothing for one that is not here.
    func detach(_ device: USBDevice)
}

/// A controller with ports. The machine lock is held in all calls.
public protocol USBController: USBPortOwner {
    /// "usb.0": what `bus=` calls it.
    var busName: String { get }
    /// Speeds that a port has.
    var speeds: [USBSpeed] { get }
}

/// A device on a cable, and where that leads.
public struct USBPlace {
    /// Ports from the controller on: "1", "2.1" behind a hub.
    public let path: String
    /// The device.
    public let device: USBDevice
    /// What it is plugged into.
    public let owner: any USBPortOwner
}

extension USBPortOwner {
    /// Everything on its cables, also behind hubs; a hub comes before what it has.
    /// - Parameter prefix: the path of the owner, with a dot behind it.
    public func places(below prefix: String = "") -> [USBPlace] {
        devices.flatMap { port, device in
            [USBPlace(path: prefix + String(port), device: device, owner: self)]
                + ((device as? USBHub)?.places(below: "\(prefix)\(port).") ?? [])
        }
    }

    /// Ports with nothing in them, also those of hubs: the controller's first.
    /// - Parameter prefix: the path of the owner, with a dot behind it.
    public func freePorts(below prefix: String = "") -> [(path: String, owner: any USBPortOwner, port: Int)] {
        let own = (1...max(portCount, 1)).filter { $0 <= portCount && device(at: $0) == nil }
        let root: any USBPortOwner = self
        return own.map { (path: prefix + String($0), owner: root, port: $0) }
            + devices.flatMap { port, device in
                (device as? USBHub)?.freePorts(below: "\(prefix)\(port).") ?? []
            }
    }

    /// Everything that is plugged in, by port.
    public var devices: [(port: Int, device: USBDevice)] {
        (1...max(portCount, 1)).compactMap { port in device(at: port).map { (port, $0) } }
    }
}
