// SPDX-License-Identifier: Apache-2.0

public import ManagementModel
public import XDRCoding

/// A virtual processor: its state, its time in nanoseconds and the host's processor that runs it.
public struct VcpuInfo: XDRValue, Equatable, Sendable {
    /// The guest's processor, from 0.
    public var number: UInt32
    /// 0 offline, 1 running, 2 blocked.
    public var state: Int32
    /// Processor time used so far, in nanoseconds.
    public var time: UInt64
    /// The host's processor; -1 while offline, -2 where it is not known.
    public var processor: Int32

    /// One record of the reply to `domainGetVcpus`.
    public init(number: UInt32, state: Int32, time: UInt64, processor: Int32) {
        self.number = number
        self.state = state
        self.time = time
        self.processor = processor
    }

    /// Reads the fields in the order in which they are declared.
    public init(from reader: inout XDRReader) throws(XDRError) {
        number = try UInt32(from: &reader)
        state = try Int32(from: &reader)
        time = try UInt64(from: &reader)
        processor = try Int32(from: &reader)
    }

    /// Sends the fields in the order in which they are declared.
    public func encode(to writer: inout XDRWriter) {
        number.encode(to: &writer)
        state.encode(to: &writer)
        time.encode(to: &writer)
        processor.encode(to: &writer)
    }
}

/// One figure of a machine's memory.
public struct DomainMemoryStat: XDRValue, Equatable, Sendable {
    /// Which figure: libvirt's virDomainMemoryStatTags, such as 5 available, 6 balloon, 7 resident.
    public var tag: Int32
    /// KiB, or a count for the page faults (tags 2 and 3).
    public var value: UInt64

    /// One record of the reply to `domainMemoryStats`.
    public init(tag: Int32, value: UInt64) {
        self.tag = tag
        self.value = value
    }

    /// Reads the fields in the order in which they are declared.
    public init(from reader: inout XDRReader) throws(XDRError) {
        tag = try Int32(from: &reader)
        value = try UInt64(from: &reader)
    }

    /// Sends the fields in the order in which they are declared.
    public func encode(to writer: inout XDRWriter) {
        tag.encode(to: &writer)
        value.encode(to: &writer)
    }
}

/// One end of a display's connection.
public struct DomainEventGraphicsAddress: XDRValue, Equatable, Sendable {
    /// 0 IPv4, 1 IPv6, 2 a socket in the file system.
    public var family: Int32
    /// The address as text, or the socket's path.
    public var node: String
    /// The port as text; empty for a socket in the file system.
    public var service: String

    /// One end, as the machine's process reported it.
    public init(family: Int32, node: String, service: String) {
        self.family = family
        self.node = node
        self.service = service
    }

    /// Reads the fields in the order in which they are declared.
    public init(from reader: inout XDRReader) throws(XDRError) {
        family = try Int32(from: &reader)
        node = try String(from: &reader)
        service = try String(from: &reader)
    }

    /// Sends the fields in the order in which they are declared.
    public func encode(to writer: inout XDRWriter) {
        family.encode(to: &writer)
        node.encode(to: &writer)
        service.encode(to: &writer)
    }
}

/// Who connected to a display.
public struct DomainEventGraphicsIdentity: XDRValue, Equatable, Sendable {
    /// What kind of name it is, such as `x509dname` or `saslUsername`.
    public var type: String
    /// The name that was proven in this way.
    public var name: String

    /// One proven name; a connection may have several or none.
    public init(type: String, name: String) {
        self.type = type
        self.name = name
    }

    /// Reads the fields in the order in which they are declared.
    public init(from reader: inout XDRReader) throws(XDRError) {
        type = try String(from: &reader)
        name = try String(from: &reader)
    }

    /// Sends the fields in the order in which they are declared.
    public func encode(to writer: inout XDRWriter) {
        type.encode(to: &writer)
        name.encode(to: &writer)
    }
}

/// A figure of the host.
public struct NodeStatistic: XDRValue, Equatable, Sendable {
    /// libvirt's name of the figure, such as `user`, `idle`, `total` or `free`.
    public var field: String
    /// Nanoseconds for a processor's figures, KiB for those of memory.
    public var value: UInt64

    /// One record of the replies to `nodeGetCpuStats` and `nodeGetMemoryStats`.
    public init(field: String, value: UInt64) {
        self.field = field
        self.value = value
    }

    /// Reads the fields in the order in which they are declared.
    public init(from reader: inout XDRReader) throws(XDRError) {
        field = try String(from: &reader)
        value = try UInt64(from: &reader)
    }

    /// Sends the fields in the order in which they are declared.
    public func encode(to writer: inout XDRWriter) {
        field.encode(to: &writer)
        value.encode(to: &writer)
    }
}

/// A disk in error.
public struct DomainDiskError: XDRValue, Equatable, Sendable {
    /// The disk's target name, such as `vda`.
    public var disk: String
    /// 1 an error of unknown kind, 2 no space left on the host.
    public var error: Int32

    /// One record of the reply to `domainGetDiskErrors`; healthy disks have none.
    public init(disk: String, error: Int32) {
        self.disk = disk
        self.error = error
    }

    /// Reads the fields in the order in which they are declared.
    public init(from reader: inout XDRReader) throws(XDRError) {
        disk = try String(from: &reader)
        error = try Int32(from: &reader)
    }

    /// Sends the fields in the order in which they are declared.
    public func encode(to writer: inout XDRWriter) {
        disk.encode(to: &writer)
        error.encode(to: &writer)
    }
}

/// An address that was leased.
public struct NetworkDhcpLease: XDRValue, Equatable, Sendable {
    /// The network's bridge on the host.
    public var interface: String
    /// Seconds since 1970; 0 means that it does not expire.
    public var expiry: Int64
    /// 0 an IPv4 address, 1 an IPv6 address.
    public var type: Int32
    /// The guest's hardware address; nil where the lease file has none.
    public var mac: String?
    /// The identity association of DHCPv6; nil for IPv4.
    public var iaid: String?
    /// The leased address as text, without the prefix.
    public var address: String
    /// Bits of the network in the address.
    public var prefix: UInt32
    /// What the guest called itself; nil if it did not.
    public var hostname: String?
    /// The client identifier of DHCP, or the DUID of DHCPv6; nil if there was none.
    public var clientID: String?

    /// One record of the reply to `networkGetDhcpLeases`.
    public init(
        interface: String, expiry: Int64, type: Int32, mac: String?, iaid: String?, address: String, prefix: UInt32,
        hostname: String?, clientID: String?
    ) {
        self.interface = interface
        self.expiry = expiry
        self.type = type
        self.mac = mac
        self.iaid = iaid
        self.address = address
        self.prefix = prefix
        self.hostname = hostname
        self.clientID = clientID
    }

    /// Reads the fields in the order in which they are declared.
    public init(from reader: inout XDRReader) throws(XDRError) {
        interface = try String(from: &reader)
        expiry = try Int64(from: &reader)
        type = try Int32(from: &reader)
        mac = try Optional<String>(from: &reader)
        iaid = try Optional<String>(from: &reader)
        address = try String(from: &reader)
        prefix = try UInt32(from: &reader)
        hostname = try Optional<String>(from: &reader)
        clientID = try Optional<String>(from: &reader)
    }

    /// Sends the fields in the order in which they are declared.
    public func encode(to writer: inout XDRWriter) {
        interface.encode(to: &writer)
        expiry.encode(to: &writer)
        type.encode(to: &writer)
        mac.encode(to: &writer)
        iaid.encode(to: &writer)
        address.encode(to: &writer)
        prefix.encode(to: &writer)
        hostname.encode(to: &writer)
        clientID.encode(to: &writer)
    }
}

/// All figures of a machine.
public struct DomainStatsRecord: XDRValue, Equatable, Sendable {
    /// The machine that the figures are about; goes first.
    public var domain: DomainHandle
    /// The figures of the groups that were asked for, such as `vcpu.current`.
    public var parameters: [TypedParameter]

    /// One record of the reply to `connectGetAllDomainStats`.
    public init(domain: DomainHandle, parameters: [TypedParameter]) {
        self.domain = domain
        self.parameters = parameters
    }

    /// Reads the fields in the order in which they are declared.
    public init(from reader: inout XDRReader) throws(XDRError) {
        domain = try DomainHandle(from: &reader)
        parameters = try [TypedParameter](from: &reader)
    }

    /// Sends the fields in the order in which they are declared.
    public func encode(to writer: inout XDRWriter) {
        domain.encode(to: &writer)
        parameters.encode(to: &writer)
    }
}

/// A file system that the guest has mounted.
public struct DomainFsinfo: XDRValue, Equatable, Sendable {
    /// Where the guest has mounted it.
    public var mountPoint: String
    /// The guest's name of the block device, such as `vda1`.
    public var name: String
    /// The guest's word for the file system, such as `ext4`.
    public var type: String
    /// Target names of the machine's disks beneath it; empty where the guest did not say.
    public var aliases: [String]

    /// One record of the reply to `domainGetFsinfo`, from the guest agent.
    public init(mountPoint: String, name: String, type: String, aliases: [String]) {
        self.mountPoint = mountPoint
        self.name = name
        self.type = type
        self.aliases = aliases
    }

    /// Reads the fields in the order in which they are declared.
    public init(from reader: inout XDRReader) throws(XDRError) {
        mountPoint = try String(from: &reader)
        name = try String(from: &reader)
        type = try String(from: &reader)
        aliases = try [String](from: &reader)
    }

    /// Sends the fields in the order in which they are declared.
    public func encode(to writer: inout XDRWriter) {
        mountPoint.encode(to: &writer)
        name.encode(to: &writer)
        type.encode(to: &writer)
        aliases.encode(to: &writer)
    }
}

/// An I/O thread and its processors.
public struct DomainIothreadInfo: XDRValue, Equatable, Sendable {
    /// The thread's number in the machine's definition, from 1.
    public var number: UInt32
    /// A map of the host's processors it may use: bit 0 of byte 0 is processor 0.
    public var processors: Bytes

    /// One record of the reply to `domainGetIothreadInfo`.
    public init(number: UInt32, processors: Bytes) {
        self.number = number
        self.processors = processors
    }

    /// Reads the fields in the order in which they are declared.
    public init(from reader: inout XDRReader) throws(XDRError) {
        number = try UInt32(from: &reader)
        processors = try Bytes(from: &reader)
    }

    /// Sends the fields in the order in which they are declared.
    public func encode(to writer: inout XDRWriter) {
        number.encode(to: &writer)
        processors.encode(to: &writer)
    }
}

/// A guest's network interface.
public struct DomainInterface: XDRValue, Equatable, Sendable {
    /// The guest's name of the interface (agent), or the host's tap device (leases, ARP).
    public var name: String
    /// Its hardware address; nil where the source does not know it.
    public var mac: String?
    /// Its addresses, IPv4 and IPv6 as the source has them; may be empty.
    public var addresses: [DomainInterfaceAddress]

    /// One record of the reply to `domainInterfaceAddresses`.
    public init(name: String, mac: String?, addresses: [DomainInterfaceAddress]) {
        self.name = name
        self.mac = mac
        self.addresses = addresses
    }

    /// Reads the fields in the order in which they are declared.
    public init(from reader: inout XDRReader) throws(XDRError) {
        name = try String(from: &reader)
        mac = try Optional<String>(from: &reader)
        addresses = try [DomainInterfaceAddress](from: &reader)
    }

    /// Sends the fields in the order in which they are declared.
    public func encode(to writer: inout XDRWriter) {
        name.encode(to: &writer)
        mac.encode(to: &writer)
        addresses.encode(to: &writer)
    }
}

/// An address of a guest's interface.
public struct DomainInterfaceAddress: XDRValue, Equatable, Sendable {
    /// 0 IPv4, 1 IPv6.
    public var type: Int32
    /// The address as text, without the prefix.
    public var address: String
    /// Bits of the network in the address; 0 where the source does not tell.
    public var prefix: UInt32

    /// One address of a `DomainInterface`.
    public init(type: Int32, address: String, prefix: UInt32) {
        self.type = type
        self.address = address
        self.prefix = prefix
    }

    /// Reads the fields in the order in which they are declared.
    public init(from reader: inout XDRReader) throws(XDRError) {
        type = try Int32(from: &reader)
        address = try String(from: &reader)
        prefix = try UInt32(from: &reader)
    }

    /// Sends the fields in the order in which they are declared.
    public func encode(to writer: inout XDRWriter) {
        type.encode(to: &writer)
        address.encode(to: &writer)
        prefix.encode(to: &writer)
    }
}

/// An error as it is sent.
public struct WireError: XDRValue, Equatable, Sendable {
    /// libvirt's virErrorNumber: `ErrorCode.number`.
    public var code: Int32
    /// libvirt's virErrorDomain: the part that failed.
    public var domain: Int32
    /// The whole sentence for people; nil is shown as an unknown error.
    public var message: String?
    /// 0 none, 1 a warning, 2 an error.
    public var level: Int32
    /// The machine it is about, or nil; our server always sends nil.
    public var machine: DomainHandle?
    /// The format of the message, as libvirt's own server sends it.
    public var text1: String?
    /// The argument of the format; nil if there is none.
    public var text2: String?
    /// Unused: nil from our server.
    public var text3: String?
    /// Extra number, such as an errno; -1 where there is none.
    public var number1: Int32
    /// Second extra number; -1 where there is none.
    public var number2: Int32
    /// The network it is about, or nil; our server always sends nil.
    public var network: NetworkHandle?

    /// The eleven fields in the order of the wire (libvirt's remote_error).
    public init(
        code: Int32, domain: Int32, message: String?, level: Int32, machine: DomainHandle?, text1: String?,
        text2: String?, text3: String?, number1: Int32, number2: Int32, network: NetworkHandle?
    ) {
        self.code = code
        self.domain = domain
        self.message = message
        self.level = level
        self.machine = machine
        self.text1 = text1
        self.text2 = text2
        self.text3 = text3
        self.number1 = number1
        self.number2 = number2
        self.network = network
    }

    /// Reads the fields in the order in which they are declared.
    public init(from reader: inout XDRReader) throws(XDRError) {
        code = try Int32(from: &reader)
        domain = try Int32(from: &reader)
        message = try Optional<String>(from: &reader)
        level = try Int32(from: &reader)
        machine = try Optional<DomainHandle>(from: &reader)
        text1 = try Optional<String>(from: &reader)
        text2 = try Optional<String>(from: &reader)
        text3 = try Optional<String>(from: &reader)
        number1 = try Int32(from: &reader)
        number2 = try Int32(from: &reader)
        network = try Optional<NetworkHandle>(from: &reader)
    }

    /// Sends the fields in the order in which they are declared.
    public func encode(to writer: inout XDRWriter) {
        code.encode(to: &writer)
        domain.encode(to: &writer)
        message.encode(to: &writer)
        level.encode(to: &writer)
        machine.encode(to: &writer)
        text1.encode(to: &writer)
        text2.encode(to: &writer)
        text3.encode(to: &writer)
        number1.encode(to: &writer)
        number2.encode(to: &writer)
        network.encode(to: &writer)
    }
}
