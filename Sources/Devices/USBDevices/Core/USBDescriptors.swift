// SPDX-License-Identifier: Apache-2.0

internal import ByteCoding

/// An endpoint beside the control endpoint.
public struct USBEndpoint: Equatable, Sendable {
    /// How its bytes come (USB 2.0, 9.6.6).
    public enum Kind: UInt8, Sendable {
        case bulk = 2
        case interrupt = 3
    }
    /// 1...15.
    public var number: Int
    public var direction: USBDirection
    public var kind: Kind
    /// Largest packet by speed, in bytes.
    public var packetSize: @Sendable (USBSpeed) -> UInt16
    /// bInterval by speed: milliseconds up to full speed, an exponent of microframes above.
    public var interval: @Sendable (USBSpeed) -> UInt8

    /// The address in descriptors: bit 7 for endpoints to the host.
    var address: UInt8 { UInt8(truncatingIfNeeded: number) | (direction == .in ? 0x80 : 0) }

    public static func == (left: USBEndpoint, right: USBEndpoint) -> Bool {
        left.address == right.address && left.kind == right.kind
    }
}

/// What a device with one configuration of one interface says of itself; descriptors are made from it for each speed.
public struct USBDescription: Sendable {
    var vendor: UInt16
    var product: UInt16
    /// bcdDevice.
    var release: UInt16 = 0
    /// By index from 1: manufacturer, product, serial number, and others.
    var strings: [String]
    /// Index of the configuration's string; 0 for none.
    var configurationString: UInt8 = 0
    /// Bit 7 always, 6 self-powered, 5 remote wake-up.
    var attributes: UInt8
    /// In 2 mA.
    var power: UInt8
    /// Class, subclass, protocol of the interface.
    var interface: (class: UInt8, subclass: UInt8, protocol: UInt8)
    /// A class descriptor between interface and endpoints.
    var classDescriptor: [UInt8] = []
    var endpoints: [USBEndpoint]
    /// bDeviceClass; 0 where the interface says it.
    var deviceClass: UInt8 = 0
    /// bcdUSB below super speed.
    var usbVersion: UInt16 = 0x0200

    private enum Kind {
        static let device: UInt8 = 1, configuration: UInt8 = 2, string: UInt8 = 3, interface: UInt8 = 4
        static let endpoint: UInt8 = 5, qualifier: UInt8 = 6, otherSpeed: UInt8 = 7, objectStore: UInt8 = 15
        static let capability: UInt8 = 16, companion: UInt8 = 48
    }
    /// American English.
    private static let language: UInt16 = 0x0409
    private static let deviceStrings: [UInt8] = [1, 2, 3]

    /// The descriptor of a type and index; nil where there is none.
    /// - Parameter offersHigh: the device runs at high speed, too, where it can.
    func descriptor(type: UInt8, index: UInt8, speed: USBSpeed) -> [UInt8]? {
        switch type {
        case Kind.device: device(speed)
        case Kind.configuration: index == 0 ? configuration(speed, type) : nil
        case Kind.string: string(index)
        // Only devices of USB 2 have another speed.
        case Kind.qualifier where usbVersion < 0x0200: nil
        case Kind.otherSpeed where usbVersion < 0x0200: nil
        case Kind.qualifier: speed == .high || speed == .full ? qualifier(speed) : nil
        case Kind.otherSpeed:
            speed == .high || speed == .full ? configuration(speed == .high ? .full : .high, type) : nil
        case Kind.objectStore: speed == .superSpeed ? objectStore : nil
        default: nil
        }
    }

    private func version(_ speed: USBSpeed) -> UInt16 { speed == .superSpeed ? 0x0300 : usbVersion }

    /// Largest packet of the control endpoint; an exponent at super speed.
    private func controlPacketSize(_ speed: USBSpeed) -> UInt8 {
        switch speed {
        case .superSpeed: 9
        case .high: 64
        case .full, .low: 8
        }
    }

    private func device(_ speed: USBSpeed) -> [UInt8] {
        var bytes = ByteBuilder()
        bytes.append(bytes: [18, Kind.device])
        bytes.append(version(speed))
        bytes.append(bytes: [deviceClass, 0, 0, controlPacketSize(speed)])
        bytes.append(vendor)
        bytes.append(product)
        bytes.append(release)
        bytes.append(bytes: Self.deviceStrings)
        bytes.append(UInt8(1))
        return bytes.bytes
    }

    private func qualifier(_ speed: USBSpeed) -> [UInt8] {
        let other: USBSpeed = speed == .high ? .full : .high
        var bytes = ByteBuilder()
        bytes.append(bytes: [10, Kind.qualifier])
        bytes.append(version(other))
        bytes.append(bytes: [0, 0, 0, controlPacketSize(other), 1, 0])
        return bytes.bytes
    }

    private func configuration(_ speed: USBSpeed, _ type: UInt8) -> [UInt8] {
        var body: [UInt8] = [
            9, Kind.interface, 0, 0, UInt8(endpoints.count), interface.class, interface.subclass, interface.protocol, 0,
        ]
        body += classDescriptor
        for endpoint in endpoints {
            let size = endpoint.packetSize(speed)
            body += [7, Kind.endpoint, endpoint.address, endpoint.kind.rawValue]
            body += [UInt8(truncatingIfNeeded: size), UInt8(truncatingIfNeeded: size >> 8), endpoint.interval(speed)]
            guard speed == .superSpeed else { continue }
            let burst: UInt8 = endpoint.kind == .bulk ? 15 : 0
            let perInterval = endpoint.kind == .interrupt ? size : 0
            body += [6, Kind.companion, burst, 0]
            body += [UInt8(truncatingIfNeeded: perInterval), UInt8(truncatingIfNeeded: perInterval >> 8)]
        }
        let count = body.count + 9
        let head: [UInt8] = [
            9, type, UInt8(truncatingIfNeeded: count), UInt8(truncatingIfNeeded: count >> 8), 1, 1,
            configurationString, attributes, power,
        ]
        return head + body
    }

    private func string(_ index: UInt8) -> [UInt8]? {
        guard index > 0 else {
            return [4, Kind.string, UInt8(truncatingIfNeeded: Self.language), UInt8(Self.language >> 8)]
        }
        guard Int(index) <= strings.count else { return nil }
        let longest = 126
        let units = strings[Int(index) - 1].utf16.prefix(longest)
        return [UInt8(units.count * 2 + 2), Kind.string]
            + units.flatMap { [UInt8(truncatingIfNeeded: $0), UInt8(truncatingIfNeeded: $0 >> 8)] }
    }

    /// USB 2.0 extension without link power management, and super speed with full speed as the least (USB 3.0, 9.6.2).
    private var objectStore: [UInt8] {
        let extensionBytes: [UInt8] = [7, Kind.capability, 2, 0, 0, 0, 0]
        let superSpeedBytes: [UInt8] = [10, Kind.capability, 3, 0, 0x0E, 0, 1, 10, 0xFF, 7]
        let count = 5 + extensionBytes.count + superSpeedBytes.count
        return [5, Kind.objectStore, UInt8(count), 0, 2] + extensionBytes + superSpeedBytes
    }
}
