// SPDX-License-Identifier: Apache-2.0

internal import ByteCoding

/// What a PCI Express function is (PCI Express Base 3.0, 7.8.2, "Device/Port Type").
public enum PCIExpressKind: UInt16, Sendable {
    case endpoint = 0
    case rootPort = 4
    case rootComplexIntegratedEndpoint = 9
}

extension PCIDevice {
    /// Adds a capability in front of the list, at the next free place.
    /// - Parameters:
    ///   - body: what follows the identifier and the next pointer; read-only until `config.setWritable` says otherwise.
    ///   - offset: where, a multiple of 4 from 0x40; nil for the next free place.
    /// - Returns: the offset of the capability.
    /// - Precondition: it fits in the first 256 bytes.
    @discardableResult
    public func addCapability(_ identifier: UInt8, body: [UInt8], at offset: Int? = nil) -> Int {
        let place = offset ?? nextCapability
        precondition(place >= PCIRegister.headerEnd && place % 4 == 0)
        precondition(place + 2 + body.count <= PCIConfigSpace.conventionalSize, "\(name): no room for a capability")
        config.set(place, identifier)
        config.set(place + 1, config.get(PCIRegister.capabilities, as: UInt8.self))
        for (index, byte) in body.enumerated() { config.set(place + 2 + index, byte) }
        config.set(PCIRegister.capabilities, UInt8(place))
        config.set(PCIRegister.status, setting: PCIStatus.capabilitiesList)
        nextCapability = max(nextCapability, (place + 2 + body.count + 3) & ~3)
        return place
    }

    /// The capabilities from the head of the list.
    public var capabilities: [(identifier: UInt8, offset: Int)] {
        var found: [(identifier: UInt8, offset: Int)] = []
        var place = Int(config.get(PCIRegister.capabilities, as: UInt8.self))
        while place >= PCIRegister.headerEnd, found.count < 48 {
            found.append((config.get(place), place))
            place = Int(config.get(place + 1, as: UInt8.self))
        }
        return found
    }

    /// Adds power management, version 3, with D0 and D3hot (PCI Power Management 1.2, 3.2).
    /// - Returns: the offset of the capability.
    @discardableResult
    public func addPowerManagement() -> Int {
        let noSoftReset: UInt16 = 1 << 3
        let stateMask: UInt16 = 3
        var body = ByteBuilder()
        body.append(UInt16(3))
        body.append(noSoftReset)
        body.append(UInt16(0))
        let place = addCapability(PCICapabilityID.powerManagement, body: body.bytes)
        config.setWritable(place + 4, stateMask)
        return place
    }

    /// Adds the PCI Express capability, version 2, without a link for an integrated endpoint.
    /// - Returns: the offset of the capability.
    /// - Precondition: the function has extended configuration space.
    @discardableResult
    public func addExpress(_ kind: PCIExpressKind) -> Int {
        precondition(config.count == PCIConfigSpace.extendedSize)
        let roleBasedErrorReporting: UInt32 = 1 << 15
        let writableControl: UInt16 = 0x7FFF & ~(1 << 8 | 1 << 9)
        var body = ByteBuilder()
        body.append(kind.rawValue << 4 | 2)
        body.append(roleBasedErrorReporting)
        body.pad(to: 0x3C - 2)
        if kind != .rootComplexIntegratedEndpoint {
            let lanesAndSpeed: UInt32 = 1 << 4 | 1
            body.patch(lanesAndSpeed, at: 0x0C - 2)
            body.patch(UInt16(lanesAndSpeed), at: 0x12 - 2)
        }
        let place = addCapability(PCICapabilityID.express, body: body.bytes)
        config.setWritable(place + 8, writableControl)
        config.setClearable(place + 10, UInt16(0xF))
        return place
    }
}
