// SPDX-License-Identifier: Apache-2.0

/// One device to make.
public struct DeviceSpec: Equatable, Sendable {
    /// The name as typed: "virtio-blk-pci-non-transitional".
    public var typeName: String
    /// nil when not given.
    public var identifier: String?
    /// Where it is plugged in; nil chooses.
    public var placement = Placement()
    public var model: Model
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
        public var isMultifunction = false
        /// `romfile=`: an option ROM; empty for none, nil for the device's own.
        public var romFile: String?
        /// `rombar=0` leaves the ROM out.
        public var hasROM = true
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
    public var port: UInt8 = 0
    public var chassis: UInt8 = 0
    public var isHotpluggable = true
    public init() {}
}

/// How a virtio device is reached, and the rings' features.
public struct VirtioTransportSpec: Equatable, Sendable {
    public enum Bus: Equatable, Sendable { case pci, mmio }
    /// Which generations of the interface the device offers.
    public enum Generation: Equatable, Sendable {
        /// Both, by the same function.
        case transitional
        case modernOnly
        case legacyOnly
    }
    public var bus: Bus
    /// nil for the slot's own choice: transitional on a conventional bus, modern behind a PCI Express port.
    public var generation: Generation?
    /// MSI-X vectors; nil for the device's own number, 0 for none.
    public var vectors: Int?
    public var eventIndex = true
    public var indirectDescriptors = true
    public var packedRings = false
    /// The device uses an IOMMU's addresses (VIRTIO_F_ACCESS_PLATFORM).
    public var accessPlatform = false
    /// Kicks go straight to the device's thread.
    public var ioEventDescriptors = true
    public init(bus: Bus) { self.bus = bus }
}

/// `virtio-blk`.
public struct VirtioBlockSpec: Equatable, Sendable {
    /// Identifier of a drive or name of a block node.
    public var drive: String
    public var serial: String?
    /// Queues; nil for one a vCPU.
    public var queueCount: Int?
    /// Entries of a queue, a power of two from 4 to 1024.
    public var queueSize = 256
    /// Bytes; nil for what the node says.
    public var logicalBlockSize: Int?
    public var physicalBlockSize: Int?
    public var minimumIOSize = 0
    public var optimalIOSize = 0
    public var discard = true
    public var writeZeroes = true
    /// `config-wce`: the guest may choose between write-back and write-through.
    public var configurableWriteCache = true
    /// `write-cache`.
    public var writeCache = OnOffAuto.auto
    /// Several writers share the node.
    public var shareReadWrite = false
    public var bootIndex: Int?
    public var writeError: DriveSpec.ErrorAction?
    public var readError: DriveSpec.ErrorAction?
    /// Identifier of an iothread object; nil for a thread of its own.
    public var ioThread: String?
    public init(drive: String) { self.drive = drive }
}

/// `virtio-net`.
public struct VirtioNetworkSpec: Equatable, Sendable {
    /// Identifier of a network back end; nil for an unplugged cable.
    public var network: String?
    /// Six bytes; nil for the next of 52:54:00:12:34:56...
    public var address: [UInt8]?
    public var bootIndex: Int?
    /// Bytes; nil when not announced.
    public var hostMTU: UInt16?
    public var receiveQueueSize = 256
    public var transmitQueueSize = 256
    /// Offloads by their QEMU names ("csum", "guest_tso4", "mrg_rxbuf"...) that were switched off.
    public var disabledFeatures: Set<String> = []
    public init() {}
}

/// `virtconsole`, `virtserialport`.
public struct VirtioPortSpec: Equatable, Sendable {
    public var isConsole: Bool
    public var characterDevice: String?
    /// What the guest finds in /sys/class/virtio-ports: "org.qemu.guest_agent.0".
    public var name: String?
    /// nil takes the next free number.
    public var number: Int?
    /// Identifier of the bus, "virtio-serial0.0"; nil for the first.
    public var bus: String?
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
    public init() {}
}

/// `virtio-balloon`.
public struct VirtioBalloonSpec: Equatable, Sendable {
    public var deflateOnOutOfMemory = false
    public var freePageReporting = false
    public init() {}
}

/// `isa-serial`.
public struct ISASerialSpec: Equatable, Sendable {
    /// 0...3 for COM1...COM4; nil takes the next free one.
    public var index: Int?
    public var port: UInt16?
    public var interrupt: Int?
    /// nil swallows the output.
    public var characterDevice: String?
    public init() {}
}
