// SPDX-License-Identifier: Apache-2.0

public import ManagementModel
public import XDRCoding

extension UniqueID: XDRValue {
    /// Takes the 16 bytes as they are: no length word, no padding.
    public init(from reader: inout XDRReader) throws(XDRError) {
        self.init(bytes: try reader.fixed(Self.byteCount))
    }
    /// Sends the fields in the order in which they are declared.
    public func encode(to writer: inout XDRWriter) {
        // Sixteen bytes without a length, which need no padding: two words of 64 bits.
        writer.hyper(high)
        writer.hyper(low)
    }
}

/// A machine: resolved by its UUID; the rest may be stale.
public struct DomainHandle: XDRValue, Hashable, Sendable {
    /// Name when the handle was made; a rename since then does not matter.
    public var name: String
    /// What the server looks the machine up by.
    public var uuid: UniqueID
    /// Number of the running machine; -1 while it does not run.
    public var id: Int32

    /// A handle for clients; pass -1 as `id` of a machine that does not run.
    public init(name: String, uuid: UniqueID, id: Int32) {
        self.name = name
        self.uuid = uuid
        self.id = id
    }

    /// Reads the fields in the order in which they are declared.
    public init(from reader: inout XDRReader) throws(XDRError) {
        name = try String(from: &reader)
        uuid = try UniqueID(from: &reader)
        id = try Int32(from: &reader)
    }

    /// Sends the fields in the order in which they are declared.
    public func encode(to writer: inout XDRWriter) {
        name.encode(to: &writer)
        uuid.encode(to: &writer)
        id.encode(to: &writer)
    }
}

/// A network.
public struct NetworkHandle: XDRValue, Hashable, Sendable {
    /// Name when the handle was made, for messages alone.
    public var name: String
    /// What the server looks the network up by.
    public var uuid: UniqueID

    /// A handle for clients, from the network's present name.
    public init(name: String, uuid: UniqueID) {
        self.name = name
        self.uuid = uuid
    }

    /// Reads the fields in the order in which they are declared.
    public init(from reader: inout XDRReader) throws(XDRError) {
        name = try String(from: &reader)
        uuid = try UniqueID(from: &reader)
    }

    /// Sends the fields in the order in which they are declared.
    public func encode(to writer: inout XDRWriter) {
        name.encode(to: &writer)
        uuid.encode(to: &writer)
    }
}

/// A machine's connection to a network.
public struct NetworkPortHandle: XDRValue, Hashable, Sendable {
    /// The network to which the port belongs; goes first on the wire.
    public var network: NetworkHandle
    /// The port's own UUID, unique within its network.
    public var uuid: UniqueID

    /// A handle for the port of that UUID on `network`.
    public init(network: NetworkHandle, uuid: UniqueID) {
        self.network = network
        self.uuid = uuid
    }

    /// Reads the fields in the order in which they are declared.
    public init(from reader: inout XDRReader) throws(XDRError) {
        network = try NetworkHandle(from: &reader)
        uuid = try UniqueID(from: &reader)
    }

    /// Sends the fields in the order in which they are declared.
    public func encode(to writer: inout XDRWriter) {
        network.encode(to: &writer)
        uuid.encode(to: &writer)
    }
}

/// A network filter.
public struct NWFilterHandle: XDRValue, Hashable, Sendable {
    /// Name when the handle was made, for messages alone.
    public var name: String
    /// What the server looks the filter up by.
    public var uuid: UniqueID

    /// A handle for clients, from the filter's definition.
    public init(name: String, uuid: UniqueID) {
        self.name = name
        self.uuid = uuid
    }

    /// Reads the fields in the order in which they are declared.
    public init(from reader: inout XDRReader) throws(XDRError) {
        name = try String(from: &reader)
        uuid = try UniqueID(from: &reader)
    }

    /// Sends the fields in the order in which they are declared.
    public func encode(to writer: inout XDRWriter) {
        name.encode(to: &writer)
        uuid.encode(to: &writer)
    }
}

/// A network filter in use.
public struct NWFilterBindingHandle: XDRValue, Hashable, Sendable {
    /// The host's tap device on which the rules stand; it names the binding.
    public var portDevice: String
    /// Name of the filter whose rules those are.
    public var filterName: String

    /// A handle for clients, from the binding's two names.
    public init(portDevice: String, filterName: String) {
        self.portDevice = portDevice
        self.filterName = filterName
    }

    /// Reads the fields in the order in which they are declared.
    public init(from reader: inout XDRReader) throws(XDRError) {
        portDevice = try String(from: &reader)
        filterName = try String(from: &reader)
    }

    /// Sends the fields in the order in which they are declared.
    public func encode(to writer: inout XDRWriter) {
        portDevice.encode(to: &writer)
        filterName.encode(to: &writer)
    }
}

/// A network interface of the host.
public struct InterfaceHandle: XDRValue, Hashable, Sendable {
    /// The kernel's name of the interface: what it is looked up by.
    public var name: String
    /// Six hexadecimal pairs with colons; may be empty where the interface has none.
    public var mac: String

    /// A handle for clients, from what the host reports now.
    public init(name: String, mac: String) {
        self.name = name
        self.mac = mac
    }

    /// Reads the fields in the order in which they are declared.
    public init(from reader: inout XDRReader) throws(XDRError) {
        name = try String(from: &reader)
        mac = try String(from: &reader)
    }

    /// Sends the fields in the order in which they are declared.
    public func encode(to writer: inout XDRWriter) {
        name.encode(to: &writer)
        mac.encode(to: &writer)
    }
}

/// A storage pool.
public struct PoolHandle: XDRValue, Hashable, Sendable {
    /// Name when the handle was made, for messages alone.
    public var name: String
    /// What the server looks the pool up by.
    public var uuid: UniqueID

    /// A handle for clients, from the pool's definition.
    public init(name: String, uuid: UniqueID) {
        self.name = name
        self.uuid = uuid
    }

    /// Reads the fields in the order in which they are declared.
    public init(from reader: inout XDRReader) throws(XDRError) {
        name = try String(from: &reader)
        uuid = try UniqueID(from: &reader)
    }

    /// Sends the fields in the order in which they are declared.
    public func encode(to writer: inout XDRWriter) {
        name.encode(to: &writer)
        uuid.encode(to: &writer)
    }
}

/// A storage volume.
public struct VolumeHandle: XDRValue, Hashable, Sendable {
    /// Name of the pool that holds the volume: volumes have no UUID.
    public var pool: String
    /// Name within the pool.
    public var name: String
    /// Unique on the host: for pools of files the absolute path.
    public var key: String

    /// A handle for clients; the fields go in this order.
    public init(pool: String, name: String, key: String) {
        self.pool = pool
        self.name = name
        self.key = key
    }

    /// Reads the fields in the order in which they are declared.
    public init(from reader: inout XDRReader) throws(XDRError) {
        pool = try String(from: &reader)
        name = try String(from: &reader)
        key = try String(from: &reader)
    }

    /// Sends the fields in the order in which they are declared.
    public func encode(to writer: inout XDRWriter) {
        pool.encode(to: &writer)
        name.encode(to: &writer)
        key.encode(to: &writer)
    }
}

/// A device of the host.
public struct NodeDeviceHandle: XDRValue, Hashable, Sendable {
    /// The name that libvirt makes of the kind and the address, such as `pci_0000_00_02_0`.
    public var name: String

    /// A handle for clients, from the device's name.
    public init(name: String) {
        self.name = name
    }

    /// Reads the fields in the order in which they are declared.
    public init(from reader: inout XDRReader) throws(XDRError) {
        name = try String(from: &reader)
    }

    /// Sends the fields in the order in which they are declared.
    public func encode(to writer: inout XDRWriter) {
        name.encode(to: &writer)
    }
}

/// A secret.
public struct SecretHandle: XDRValue, Hashable, Sendable {
    /// What the server looks the secret up by.
    public var uuid: UniqueID
    /// What it is for: 0 nothing, 1 volume, 2 Ceph, 3 iSCSI, 4 TLS, 5 vTPM.
    public var usageType: Int32
    /// The volume, target or name it belongs to; empty for a type of 0.
    public var usageID: String

    /// A handle for clients; the fields go in this order.
    public init(uuid: UniqueID, usageType: Int32, usageID: String) {
        self.uuid = uuid
        self.usageType = usageType
        self.usageID = usageID
    }

    /// Reads the fields in the order in which they are declared.
    public init(from reader: inout XDRReader) throws(XDRError) {
        uuid = try UniqueID(from: &reader)
        usageType = try Int32(from: &reader)
        usageID = try String(from: &reader)
    }

    /// Sends the fields in the order in which they are declared.
    public func encode(to writer: inout XDRWriter) {
        uuid.encode(to: &writer)
        usageType.encode(to: &writer)
        usageID.encode(to: &writer)
    }
}

/// A checkpoint of a machine.
public struct CheckpointHandle: XDRValue, Hashable, Sendable {
    /// Name within the machine: checkpoints have no UUID.
    public var name: String
    /// The machine that has it; goes after the name.
    public var domain: DomainHandle

    /// A handle for the checkpoint of that name.
    public init(name: String, domain: DomainHandle) {
        self.name = name
        self.domain = domain
    }

    /// Reads the fields in the order in which they are declared.
    public init(from reader: inout XDRReader) throws(XDRError) {
        name = try String(from: &reader)
        domain = try DomainHandle(from: &reader)
    }

    /// Sends the fields in the order in which they are declared.
    public func encode(to writer: inout XDRWriter) {
        name.encode(to: &writer)
        domain.encode(to: &writer)
    }
}

/// A snapshot of a machine.
public struct SnapshotHandle: XDRValue, Hashable, Sendable {
    /// Name within the machine: snapshots have no UUID.
    public var name: String
    /// The machine that has it; goes after the name.
    public var domain: DomainHandle

    /// A handle for the snapshot of that name.
    public init(name: String, domain: DomainHandle) {
        self.name = name
        self.domain = domain
    }

    /// Reads the fields in the order in which they are declared.
    public init(from reader: inout XDRReader) throws(XDRError) {
        name = try String(from: &reader)
        domain = try DomainHandle(from: &reader)
    }

    /// Sends the fields in the order in which they are declared.
    public func encode(to writer: inout XDRWriter) {
        name.encode(to: &writer)
        domain.encode(to: &writer)
    }
}
