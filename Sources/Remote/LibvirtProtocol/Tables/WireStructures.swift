// SPDX-License-Identifier: Apache-2.0

public import ManagementModel
public import XDRCoding

/// A virtual processor: its state, its time in nanoseconds and the host's processor that runs it.
public struct VcpuInfo: XDRValue, Equatable, Sendable {
    public var number: UInt32
    public var state: Int32
    public var time: UInt64
    public var processor: Int32

    public init(number: UInt32, state: Int32, time: UInt64, processor: Int32) {
        self.number = number
        self.state = state
        self.time = time
        self.processor = processor
    }

    public init(from reader: inout XDRReader) throws(XDRError) {
        number = try UInt32(from: &reader)
        state = try Int32(from: &reader)
        time = try UInt64(from: &reader)
        processor = try Int32(from: &reader)
    }

    public func encode(to writer: inout XDRWriter) {
        number.encode(to: &writer)
        state.encode(to: &writer)
        time.encode(to: &writer)
        processor.encode(to: &writer)
    }
}

/// One figure of a machine's memory.
public struct DomainMemoryStat: XDRValue, Equatable, Sendable {
    public var tag: Int32
    public var value: UInt64

    public init(tag: Int32, value: UInt64) {
        self.tag = tag
        self.value = value
    }

    public init(from reader: inout XDRReader) throws(XDRError) {
        tag = try Int32(from: &reader)
        value = try UInt64(from: &reader)
    }

    public func encode(to writer: inout XDRWriter) {
        tag.encode(to: &writer)
        value.encode(to: &writer)
    }
}

/// One end of a display's connection.
public struct DomainEventGraphicsAddress: XDRValue, Equatable, Sendable {
    public var family: Int32
    public var node: String
    public var service: String

    public init(family: Int32, node: String, service: String) {
        self.family = family
        self.node = node
        self.service = service
    }

    public init(from reader: inout XDRReader) throws(XDRError) {
        family = try Int32(from: &reader)
        node = try String(from: &reader)
        service = try String(from: &reader)
    }

    public func encode(to writer: inout XDRWriter) {
        family.encode(to: &writer)
        node.encode(to: &writer)
        service.encode(to: &writer)
    }
}

/// Who connected to a display.
public struct DomainEventGraphicsIdentity: XDRValue, Equatable, Sendable {
    public var type: String
    public var name: String

    public init(type: String, name: String) {
        self.type = type
        self.name = name
    }

    public init(from reader: inout XDRReader) throws(XDRError) {
        type = try String(from: &reader)
        name = try String(from: &reader)
    }

    public func encode(to writer: inout XDRWriter) {
        type.encode(to: &writer)
        name.encode(to: &writer)
    }
}

/// A figure of the host.
public struct NodeStatistic: XDRValue, Equatable, Sendable {
    public var field: String
    public var value: UInt64

    public init(field: String, value: UInt64) {
        self.field = field
        self.value = value
    }

    public init(from reader: inout XDRReader) throws(XDRError) {
        field = try String(from: &reader)
        value = try UInt64(from: &reader)
    }

    public func encode(to writer: inout XDRWriter) {
        field.encode(to: &writer)
        value.encode(to: &writer)
    }
}

/// A disk in error.
public struct DomainDiskError: XDRValue, Equatable, Sendable {
    public var disk: String
    public var error: Int32

    public init(disk: String, error: Int32) {
        self.disk = disk
        self.error = error
    }

    public init(from reader: inout XDRReader) throws(XDRError) {
        disk = try String(from: &reader)
        error = try Int32(from: &reader)
    }

    public func encode(to writer: inout XDRWriter) {
        disk.encode(to: &writer)
        error.encode(to: &writer)
    }
}

/// An address that was leased.
public struct NetworkDhcpLease: XDRValue, Equatable, Sendable {
    public var interface: String
    public var expiry: Int64
    public var type: Int32
    public var mac: String?
    public var iaid: String?
    public var address: String
    public var prefix: UInt32
    public var hostname: String?
    public var clientID: String?

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
    public var domain: DomainHandle
    public var parameters: [TypedParameter]

    public init(domain: DomainHandle, parameters: [TypedParameter]) {
        self.domain = domain
        self.parameters = parameters
    }

    public init(from reader: inout XDRReader) throws(XDRError) {
        domain = try DomainHandle(from: &reader)
        parameters = try [TypedParameter](from: &reader)
    }

    public func encode(to writer: inout XDRWriter) {
        domain.encode(to: &writer)
        parameters.encode(to: &writer)
    }
}

/// A file system that the guest has mounted.
public struct DomainFsinfo: XDRValue, Equatable, Sendable {
    public var mountPoint: String
    public var name: String
    public var type: String
    public var aliases: [String]

    public init(mountPoint: String, name: String, type: String, aliases: [String]) {
        self.mountPoint = mountPoint
        self.name = name
        self.type = type
        self.aliases = aliases
    }

    public init(from reader: inout XDRReader) throws(XDRError) {
        mountPoint = try String(from: &reader)
        name = try String(from: &reader)
        type = try String(from: &reader)
        aliases = try [String](from: &reader)
    }

    public func encode(to writer: inout XDRWriter) {
        mountPoint.encode(to: &writer)
        name.encode(to: &writer)
        type.encode(to: &writer)
        aliases.encode(to: &writer)
    }
}

/// An I/O thread and its processors.
public struct DomainIothreadInfo: XDRValue, Equatable, Sendable {
    public var number: UInt32
    public var processors: Bytes

    public init(number: UInt32, processors: Bytes) {
        self.number = number
        self.processors = processors
    }

    public init(from reader: inout XDRReader) throws(XDRError) {
        number = try UInt32(from: &reader)
        processors = try Bytes(from: &reader)
    }

    public func encode(to writer: inout XDRWriter) {
        number.encode(to: &writer)
        processors.encode(to: &writer)
    }
}

/// A guest's network interface.
public struct DomainInterface: XDRValue, Equatable, Sendable {
    public var name: String
    public var mac: String?
    public var addresses: [DomainInterfaceAddress]

    public init(name: String, mac: String?, addresses: [DomainInterfaceAddress]) {
        self.name = name
        self.mac = mac
        self.addresses = addresses
    }

    public init(from reader: inout XDRReader) throws(XDRError) {
        name = try String(from: &reader)
        mac = try Optional<String>(from: &reader)
        addresses = try [DomainInterfaceAddress](from: &reader)
    }

    public func encode(to writer: inout XDRWriter) {
        name.encode(to: &writer)
        mac.encode(to: &writer)
        addresses.encode(to: &writer)
    }
}

/// An address of a guest's interface.
public struct DomainInterfaceAddress: XDRValue, Equatable, Sendable {
    public var type: Int32
    public var address: String
    public var prefix: UInt32

    public init(type: Int32, address: String, prefix: UInt32) {
        self.type = type
        self.address = address
        self.prefix = prefix
    }

    public init(from reader: inout XDRReader) throws(XDRError) {
        type = try Int32(from: &reader)
        address = try String(from: &reader)
        prefix = try UInt32(from: &reader)
    }

    public func encode(to writer: inout XDRWriter) {
        type.encode(to: &writer)
        address.encode(to: &writer)
        prefix.encode(to: &writer)
    }
}

/// An error as it is sent.
public struct WireError: XDRValue, Equatable, Sendable {
    public var code: Int32
    public var domain: Int32
    public var message: String?
    public var level: Int32
    public var machine: DomainHandle?
    public var text1: String?
    public var text2: String?
    public var text3: String?
    public var number1: Int32
    public var number2: Int32
    public var network: NetworkHandle?

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
