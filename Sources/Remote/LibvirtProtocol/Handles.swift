// SPDX-License-Identifier: Apache-2.0

public import ManagementModel
public import XDRCoding

extension UniqueID: XDRValue {
    public init(from reader: inout XDRReader) throws(XDRError) {
        self.init(bytes: try reader.fixed(Self.byteCount))
    }
    public func encode(to writer: inout XDRWriter) {
        // Sixteen bytes without a length, which need no padding: two words of 64 bits.
        writer.hyper(high)
        writer.hyper(low)
    }
}

/// A machine: resolved by its UUID; the rest may be stale.
public struct DomainHandle: XDRValue, Hashable, Sendable {
    public var name: String
    public var uuid: UniqueID
    public var id: Int32

    public init(name: String, uuid: UniqueID, id: Int32) {
        self.name = name
        self.uuid = uuid
        self.id = id
    }

    public init(from reader: inout XDRReader) throws(XDRError) {
        name = try String(from: &reader)
        uuid = try UniqueID(from: &reader)
        id = try Int32(from: &reader)
    }

    public func encode(to writer: inout XDRWriter) {
        name.encode(to: &writer)
        uuid.encode(to: &writer)
        id.encode(to: &writer)
    }
}

/// A network.
public struct NetworkHandle: XDRValue, Hashable, Sendable {
    public var name: String
    public var uuid: UniqueID

    public init(name: String, uuid: UniqueID) {
        self.name = name
        self.uuid = uuid
    }

    public init(from reader: inout XDRReader) throws(XDRError) {
        name = try String(from: &reader)
        uuid = try UniqueID(from: &reader)
    }

    public func encode(to writer: inout XDRWriter) {
        name.encode(to: &writer)
        uuid.encode(to: &writer)
    }
}

/// A machine's connection to a network.
public struct NetworkPortHandle: XDRValue, Hashable, Sendable {
    public var network: NetworkHandle
    public var uuid: UniqueID

    public init(network: NetworkHandle, uuid: UniqueID) {
        self.network = network
        self.uuid = uuid
    }

    public init(from reader: inout XDRReader) throws(XDRError) {
        network = try NetworkHandle(from: &reader)
        uuid = try UniqueID(from: &reader)
    }

    public func encode(to writer: inout XDRWriter) {
        network.encode(to: &writer)
        uuid.encode(to: &writer)
    }
}

/// A network filter.
public struct NWFilterHandle: XDRValue, Hashable, Sendable {
    public var name: String
    public var uuid: UniqueID

    public init(name: String, uuid: UniqueID) {
        self.name = name
        self.uuid = uuid
    }

    public init(from reader: inout XDRReader) throws(XDRError) {
        name = try String(from: &reader)
        uuid = try UniqueID(from: &reader)
    }

    public func encode(to writer: inout XDRWriter) {
        name.encode(to: &writer)
        uuid.encode(to: &writer)
    }
}

/// A network filter in use.
public struct NWFilterBindingHandle: XDRValue, Hashable, Sendable {
    public var portDevice: String
    public var filterName: String

    public init(portDevice: String, filterName: String) {
        self.portDevice = portDevice
        self.filterName = filterName
    }

    public init(from reader: inout XDRReader) throws(XDRError) {
        portDevice = try String(from: &reader)
        filterName = try String(from: &reader)
    }

    public func encode(to writer: inout XDRWriter) {
        portDevice.encode(to: &writer)
        filterName.encode(to: &writer)
    }
}

/// A network interface of the host.
public struct InterfaceHandle: XDRValue, Hashable, Sendable {
    public var name: String
    public var mac: String

    public init(name: String, mac: String) {
        self.name = name
        self.mac = mac
    }

    public init(from reader: inout XDRReader) throws(XDRError) {
        name = try String(from: &reader)
        mac = try String(from: &reader)
    }

    public func encode(to writer: inout XDRWriter) {
        name.encode(to: &writer)
        mac.encode(to: &writer)
    }
}

/// A storage pool.
public struct PoolHandle: XDRValue, Hashable, Sendable {
    public var name: String
    public var uuid: UniqueID

    public init(name: String, uuid: UniqueID) {
        self.name = name
        self.uuid = uuid
    }

    public init(from reader: inout XDRReader) throws(XDRError) {
        name = try String(from: &reader)
        uuid = try UniqueID(from: &reader)
    }

    public func encode(to writer: inout XDRWriter) {
        name.encode(to: &writer)
        uuid.encode(to: &writer)
    }
}

/// A storage volume.
public struct VolumeHandle: XDRValue, Hashable, Sendable {
    public var pool: String
    public var name: String
    public var key: String

    public init(pool: String, name: String, key: String) {
        self.pool = pool
        self.name = name
        self.key = key
    }

    public init(from reader: inout XDRReader) throws(XDRError) {
        pool = try String(from: &reader)
        name = try String(from: &reader)
        key = try String(from: &reader)
    }

    public func encode(to writer: inout XDRWriter) {
        pool.encode(to: &writer)
        name.encode(to: &writer)
        key.encode(to: &writer)
    }
}

/// A device of the host.
public struct NodeDeviceHandle: XDRValue, Hashable, Sendable {
    public var name: String

    public init(name: String) {
        self.name = name
    }

    public init(from reader: inout XDRReader) throws(XDRError) {
        name = try String(from: &reader)
    }

    public func encode(to writer: inout XDRWriter) {
        name.encode(to: &writer)
    }
}

/// A secret.
public struct SecretHandle: XDRValue, Hashable, Sendable {
    public var uuid: UniqueID
    public var usageType: Int32
    public var usageID: String

    public init(uuid: UniqueID, usageType: Int32, usageID: String) {
        self.uuid = uuid
        self.usageType = usageType
        self.usageID = usageID
    }

    public init(from reader: inout XDRReader) throws(XDRError) {
        uuid = try UniqueID(from: &reader)
        usageType = try Int32(from: &reader)
        usageID = try String(from: &reader)
    }

    public func encode(to writer: inout XDRWriter) {
        uuid.encode(to: &writer)
        usageType.encode(to: &writer)
        usageID.encode(to: &writer)
    }
}

/// A checkpoint of a machine.
public struct CheckpointHandle: XDRValue, Hashable, Sendable {
    public var name: String
    public var domain: DomainHandle

    public init(name: String, domain: DomainHandle) {
        self.name = name
        self.domain = domain
    }

    public init(from reader: inout XDRReader) throws(XDRError) {
        name = try String(from: &reader)
        domain = try DomainHandle(from: &reader)
    }

    public func encode(to writer: inout XDRWriter) {
        name.encode(to: &writer)
        domain.encode(to: &writer)
    }
}

/// A snapshot of a machine.
public struct SnapshotHandle: XDRValue, Hashable, Sendable {
    public var name: String
    public var domain: DomainHandle

    public init(name: String, domain: DomainHandle) {
        self.name = name
        self.domain = domain
    }

    public init(from reader: inout XDRReader) throws(XDRError) {
        name = try String(from: &reader)
        domain = try DomainHandle(from: &reader)
    }

    public func encode(to writer: inout XDRWriter) {
        name.encode(to: &writer)
        domain.encode(to: &writer)
    }
}
