// SPDX-License-Identifier: Apache-2.0

/// One device to make.
public struct DeviceSpec: Equatable, Sendable {
    /// The name as typed: "virtio-blk-pci-non-transitional".
    public var typeName: String
    /// nil when not given.
    public var identifier: String?
    /// Where it is plugged in; nil chooses.
    public var placement = Placement()
    /// What it is, with its own properties.
    public var model: Model
    /// A device of this type, on the bus that its type goes to by default.
    public init(typeName: String, identifier: String?, model: Model) {
        self.typeName = typeName
        self.identifier = identifier
        self.model = model
    }

    /// `bus=`, `addr=`, `multifunction=`.
    public struct Placement: Equatable, Sendable {
        /// "pci.0", "pcie.0", or the identifier of a bridge.
        public var bus: String?
        /// 0...31; nil takes the next free slot.
        public var slot: Int?
        /// 0...7.
        public var function = 0
        /// Whether other functions may share its slot.
        public var isMultifunction = false
        /// `romfile=`: an option ROM; empty for none, nil for the device's own.
        public var romFile: String?
        /// `rombar=0` leaves the ROM out.
        public var hasROM = true
        /// Everything at QEMU's default.
        public init() {}
    }

    /// Each kind with its own settings.
    public enum Model: Equatable, Sendable {
        case virtioBlock(VirtioTransportSpec, VirtioBlockSpec)
        case virtioNetwork(VirtioTransportSpec, VirtioNetworkSpec)
        case virtioSerial(VirtioTransportSpec, maximumPorts: Int)
        /// virtconsole or virtserialport on a virtio-serial bus.
        case virtioPort(VirtioPortSpec)
        case virtioRandom(VirtioTransportSpec, VirtioRandomSpec)
        case virtioBalloon(VirtioTransportSpec, VirtioBalloonSpec)
        case isaSerial(ISASerialSpec)
        case isaDebugExit(port: UInt16, size: UInt16)
        /// The debug console of firmware: writes go to a character device, reads give `readback`.
        case isaDebugConsole(port: UInt16, readback: UInt8, characterDevice: String)
        /// Test devices of kvm-unit-tests.
        case pcTestDevice
        case pciTestDevice
        /// Tells of a guest's panic.
        case panicNotifier(port: UInt16, events: UInt8)
        case panicNotifierPCI(events: UInt8)
        /// A PCI Express port with one slot; the chassis number and port.
        case pcieRootPort(PCIeRootPortSpec)
        case pc(PCDeviceSpec)
    }
}

/// `-device pcie-root-port`.
public struct PCIeRootPortSpec: Equatable, Sendable {
    /// The port's number in its slot register.
    public var port: UInt8 = 0
    /// The case that the slot is in; no other port has the same pair of numbers.
    public var chassis: UInt8 = 0
    /// The slot's physical number, 0...8191, which systems name what is in it by; 0 for none.
    public var slot: UInt16 = 0
    /// Whether devices can be put in while the guest runs.
    public var isHotpluggable = true
    /// Everything at QEMU's default.
    public init() {}
}

/// How a virtio device is reached, and the rings' features.
public struct VirtioTransportSpec: Equatable, Sendable {
    /// Which transport carries the device.
    public enum Bus: Equatable, Sendable { case pci, mmio }
    /// Which generations of the interface the device offers.
    public enum Generation: Equatable, Sendable {
        /// Both, by the same function.
        case transitional
        case modernOnly
        case legacyOnly
    }
    /// Which transport carries the device.
    public var bus: Bus
    /// nil for the slot's own choice: transitional on a conventional bus, modern behind a PCI Express port.
    public var generation: Generation?
    /// MSI-X vectors; nil for the device's own number, 0 for none.
    public var vectors: Int?
    /// Whether VIRTIO_F_EVENT_IDX is offered (virtio 1.2, 2.7.10).
    public var eventIndex = true
    /// Whether VIRTIO_F_INDIRECT_DESC is offered (virtio 1.2, 2.7.5.3).
    public var indirectDescriptors = true
    /// Whether VIRTIO_F_RING_PACKED is offered (virtio 1.2, 2.8).
    public var packedRings = false
    /// The device uses an IOMMU's addresses (VIRTIO_F_ACCESS_PLATFORM).
    public var accessPlatform = false
    /// Kicks go straight to the device's thread.
    public var ioEventDescriptors = true
    /// The transport with QEMU's defaults.
    public init(bus: Bus) { self.bus = bus }
}

/// `virtio-blk`.
public struct VirtioBlockSpec: Equatable, Sendable {
    /// Identifier of a drive or name of a block node.
    public var drive: String
    /// The serial number that the guest reads, at most 20 bytes.
    public var serial: String?
    /// Queues; nil for one a vCPU.
    public var queueCount: Int?
    /// Entries of a queue, a power of two from 4 to 1024.
    public var queueSize = 256
    /// Bytes; nil for what the node says.
    public var logicalBlockSize: Int?
    /// The physical block in bytes, a power of two.
    public var physicalBlockSize: Int?
    /// The smallest request that is done well, in bytes; 0 for no advice.
    public var minimumIOSize = 0
    /// The request size that is done best, in bytes; 0 for no advice.
    public var optimalIOSize = 0
    /// Whether the guest may discard blocks.
    public var discard = true
    /// Whether the guest may write zeroes without sending them.
    public var writeZeroes = true
    /// `config-wce`: the guest may choose between write-back and write-through.
    public var configurableWriteCache = true
    /// `write-cache`.
    public var writeCache = OnOffAuto.auto
    /// Several writers share the node.
    public var shareReadWrite = false
    /// The place in the boot order; `nil` for none.
    public var bootIndex: Int?
    /// What a failed write does; `nil` for what the drive says.
    public var writeError: DriveSpec.ErrorAction?
    /// What a failed read does; `nil` for what the drive says.
    public var readError: DriveSpec.ErrorAction?
    /// Identifier of an iothread object; nil for a thread of its own.
    public var ioThread: String?
    /// A disk on the drive or block node of this name.
    public init(drive: String) { self.drive = drive }
}

/// `virtio-net`.
public struct VirtioNetworkSpec: Equatable, Sendable {
    /// Identifier of a network back end; nil for an unplugged cable.
    public var network: String?
    /// Six bytes; nil for the next of 52:54:00:12:34:56...
    public var address: [UInt8]?
    /// The place in the boot order; `nil` for none.
    public var bootIndex: Int?
    /// Bytes; nil when not announced.
    public var hostMTU: UInt16?
    /// Entries in each receive queue, a power of two, 256...1024.
    public var receiveQueueSize = 256
    /// Entries in each transmit queue, a power of two, 256...1024.
    public var transmitQueueSize = 256
    /// Offloads by their QEMU names ("csum", "guest_tso4", "mrg_rxbuf"...) that were switched off.
    public var disabledFeatures: Set<String> = []
    /// Everything at QEMU's default.
    public init() {}
}

/// `virtconsole`, `virtserialport`.
public struct VirtioPortSpec: Equatable, Sendable {
    /// Whether it is a console for the guest, not a plain port.
    public var isConsole: Bool
    /// The character device behind the port.
    public var characterDevice: String?
    /// What the guest finds in /sys/class/virtio-ports: "org.qemu.guest_agent.0".
    public var name: String?
    /// nil takes the next free number.
    public var number: Int?
    /// Identifier of the bus, "virtio-serial0.0"; nil for the first.
    public var bus: String?
    /// A port of the first controller, at the next free number.
    public init(isConsole: Bool) { self.isConsole = isConsole }
}

/// `virtio-rng`.
public struct VirtioRandomSpec: Equatable, Sendable {
    /// Identifier of an rng object; nil for a built-in one.
    public var object: String?
    /// Bytes in a period; nil for no limit.
    public var maximumBytes: UInt64?
    /// Milliseconds.
    public var period: UInt32 = 65536
    /// Everything at QEMU's default.
    public init() {}
}

/// `virtio-balloon`.
public struct VirtioBalloonSpec: Equatable, Sendable {
    /// Whether the guest may take pages back when it runs out.
    public var deflateOnOutOfMemory = false
    /// Whether the guest reports free pages by itself.
    public var freePageReporting = false
    /// Everything at QEMU's default.
    public init() {}
}

/// `isa-serial`.
public struct ISASerialSpec: Equatable, Sendable {
    /// 0...3 for COM1...COM4; nil takes the next free one.
    public var index: Int?
    /// The first port; `nil` for the usual one of this index.
    public var port: UInt16?
    /// The ISA interrupt, 0...15; `nil` for the usual one of this index.
    public var interrupt: Int?
    /// nil swallows the output.
    public var characterDevice: String?
    /// Everything at QEMU's default.
    public init() {}
}
