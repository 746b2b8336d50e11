// SPDX-License-Identifier: Apache-2.0

/// What stays the same about a machine while it exists.
public struct MachineFacts: Equatable, Sendable {
    /// `-name`.
    public var name: String?
    /// As text, 8-4-4-4-12.
    public var uuid = "00000000-0000-0000-0000-000000000000"
    /// "pc-q35-7.2".
    public var machineType: String
    /// "kvm" or "tcg".
    public var accelerator: String
    /// /dev/kvm could be used on this host.
    public var isKVMPresent = false
    /// QOM's name of the processor: "max-x86_64-cpu".
    public var processorType = "qemu64-x86_64-cpu"
    /// Processors that it has places for; 0 for as many as it has.
    public var maximumProcessors = 0
    /// QOM's paths of the processors that were added by themselves, by index.
    public var processorPaths: [Int: String] = [:]
    /// vCPUs in a socket, and so on, for `query-cpus-fast` and `query-hotpluggable-cpus`.
    public var dies = 1, cores = 1, threads = 1
    /// Bytes at start.
    public var memoryBytes: UInt64 = 0

    /// QOM's path of a processor: QEMU numbers the board's unnamed devices, and the I/O APIC stands between the first two.
    public func processorPath(_ index: Int) -> String {
        processorPaths[index] ?? "/machine/unattached/device[\(index == 0 ? 0 : index &+ 1)]"
    }

    /// A report of a machine of this type on this accelerator, all else at its default.
    public init(machineType: String, accelerator: String) {
        self.machineType = machineType
        self.accelerator = accelerator
    }
}

/// One disk as `query-block` and `info block` show it.
public struct BlockDeviceReport: Equatable, Sendable {
    /// The drive's identifier; empty for a node of -blockdev.
    public var device = ""
    /// QOM path or identifier of the device it is plugged into.
    public var qdev: String?
    /// nil for an empty drive.
    public var medium: Medium?
    /// Whether the guest can be given another medium.
    public var isRemovable = false
    /// Whether the guest has locked the tray.
    public var isLocked = false
    /// Whether the tray is open; `nil` for a device without one.
    public var trayOpen: Bool?
    /// "ok", "failed", "nospace"; nil where the device does not watch it.
    public var ioStatus: String?
    /// A drive, or a node that a device uses: what `query-block` lists. Other nodes stand in `query-named-block-nodes`.
    public var isBackend = true
    /// What the device has done since the start.
    public var statistics = BlockStatistics()
    /// Nothing known yet: the owner of the thing fills it in.
    public init() {}

    /// What is inserted: one open image and how it was opened.
    public struct Medium: Equatable, Sendable {
        /// The block node's name, generated (`#blockNNN`) where none was given.
        public var nodeName = ""
        /// The file's name.
        public var file = ""
        /// "raw", "qcow2"...
        public var format = "raw"
        /// Whether writes are refused.
        public var isReadOnly = false
        /// Whether a write completes before the host has it on disk (`cache.writeback`).
        public var writeBack = true
        /// Whether the host's page cache is passed by (`cache.direct`).
        public var isDirect = false
        /// Whether the guest's flushes are dropped (`cache.no-flush`).
        public var ignoresFlush = false
        /// `off`, `on` or `unmap`.
        public var detectZeroes = "off"
        /// The backing file as the image names it; `nil` without one.
        public var backingFile: String?
        /// How many images stand behind this one.
        public var backingDepth = 0
        /// Bytes the guest sees.
        public var virtualSize: UInt64 = 0
        /// Bytes on the host's disk; nil where unknown.
        public var actualSize: UInt64?
        /// The unit of allocation in bytes, where the format has one.
        public var clusterSize: Int?
        /// The format that the image names for its backing file, and where that file is.
        public var backingFormat: String?, fullBackingFile: String?
        /// The images behind this one, the nearest first.
        public var backingImages: [Medium] = []
        /// Snapshots inside the image.
        public var snapshots: [Snapshot] = []
        /// Limits by the names of `query-block`, and the group that shares them; those that are left out are none.
        public var limits: [String: UInt64] = [:], limitGroup: String?
        /// What notes the guest's writes, the newest first.
        public var dirtyBitmaps: [DirtyBitmap] = []
        /// Nothing known yet: the owner of the thing fills it in.
        public init() {}
    }

    /// A bitmap of what was written.
    public struct DirtyBitmap: Equatable, Sendable {
        /// What a person called it.
        public var name: String
        /// Bytes in marked pieces, and bytes of a piece.
        public var count: Int64, granularity: Int64
        /// Notes writes; a job has it; is kept in the image; cannot be used.
        public var isRecording: Bool, isBusy: Bool, isPersistent: Bool, isInconsistent: Bool

        /// Everything by name.
        public init(
            name: String, count: Int64, granularity: Int64, isRecording: Bool, isBusy: Bool, isPersistent: Bool,
            isInconsistent: Bool
        ) {
            (self.name, self.count, self.granularity) = (name, count, granularity)
            (self.isRecording, self.isBusy) = (isRecording, isBusy)
            (self.isPersistent, self.isInconsistent) = (isPersistent, isInconsistent)
        }
    }

    /// One snapshot inside an image.
    public struct Snapshot: Equatable, Sendable {
        /// The image format's own number for it, and what a person called it.
        public var identifier: String, name: String
        /// Since 1970, and nanoseconds of that second.
        public var seconds: Int64, nanoseconds: Int64
        /// The machine's clock in nanoseconds.
        public var clock: UInt64
        /// Bytes of machine state.
        public var stateSize: Int64

        /// Everything by name.
        public init(
            identifier: String, name: String, seconds: Int64, nanoseconds: Int64, clock: UInt64, stateSize: Int64
        ) {
            self.identifier = identifier
            self.name = name
            self.seconds = seconds
            self.nanoseconds = nanoseconds
            self.clock = clock
            self.stateSize = stateSize
        }
    }
}

/// Counters of one disk.
public struct BlockStatistics: Equatable, Sendable {
    /// Bytes that requests of each kind moved.
    public var readBytes: UInt64 = 0, writtenBytes: UInt64 = 0, unmappedBytes: UInt64 = 0
    /// Requests of each kind that succeeded.
    public var reads: UInt64 = 0, writes: UInt64 = 0, flushes: UInt64 = 0, unmaps: UInt64 = 0
    /// Time that reads and writes took in all, in nanoseconds.
    public var readNanoseconds: UInt64 = 0, writeNanoseconds: UInt64 = 0
    /// Time that flushes and discards took in all, in nanoseconds.
    public var flushNanoseconds: UInt64 = 0, unmapNanoseconds: UInt64 = 0
    /// Requests of each kind that ended in an error.
    public var failedReads: UInt64 = 0, failedWrites: UInt64 = 0, failedFlushes: UInt64 = 0, failedUnmaps: UInt64 = 0
    /// The highest byte written + 1.
    public var highestWrite: UInt64 = 0
    /// Since the last request ended; nil before the first.
    public var idleNanoseconds: UInt64?
    /// Nothing known yet: the owner of the thing fills it in.
    public init() {}
}

/// One function on a PCI bus, as `query-pci` and `info pci` show it.
public struct PCIFunctionReport: Equatable, Sendable {
    /// The address on the bus: bus 0...255, slot 0...31, function 0...7.
    public var bus = 0, slot = 0, function = 0
    /// The identifier of -device, or empty.
    public var identifier = ""
    /// The identifiers in the configuration space.
    public var vendor: UInt16 = 0, device: UInt16 = 0
    /// The board's identifiers; 0 for a bridge.
    public var subsystemVendor: UInt16 = 0, subsystem: UInt16 = 0
    /// Class and subclass: 0x0100.
    public var classCode: UInt16 = 0
    /// "Ethernet controller", or "Class 0255" for one without a name.
    public var className = ""
    /// 0 none, 1...4 for INTA...INTD.
    public var interruptPin = 0
    /// Configuration register 0x3C.
    public var interruptLine = 0
    /// The base address registers in use, in their order.
    public var regions: [Region] = []
    /// Nothing known yet: the owner of the thing fills it in.
    public init() {}

    /// One base address register.
    public struct Region: Equatable, Sendable {
        /// The register's number, 0...5; 6 for the expansion ROM.
        public var bar: Int
        /// Whether it lies among the ports.
        public var isIO: Bool
        /// Whether it takes two registers.
        public var is64Bit: Bool
        /// Whether reads have no side effect.
        public var isPrefetchable: Bool
        /// All ones while not mapped.
        public var address: UInt64
        /// The window's size in bytes.
        public var count: UInt64
        /// A region as the guest or its firmware placed it.
        public init(bar: Int, isIO: Bool, is64Bit: Bool, isPrefetchable: Bool, address: UInt64, count: UInt64) {
            self.bar = bar
            self.isIO = isIO
            self.is64Bit = is64Bit
            self.isPrefetchable = isPrefetchable
            self.address = address
            self.count = count
        }
    }
}

/// A device in `info qtree` and QOM.
public struct DeviceReport: Equatable, Sendable {
    /// "virtio-blk-pci".
    public var typeName: String
    /// The `id=` it was given; `nil` for a device without one.
    public var identifier: String?
    /// The bus it sits on: "pci.0"; devices of one bus are listed together.
    public var bus: String
    /// The bus's type, "PCI", "ISA", "System", "virtio-serial-bus".
    public var busType: String
    /// Properties in order, as text.
    public var properties: [(name: String, value: String)] = []

    /// A device on a bus, without properties or children yet.
    public init(typeName: String, identifier: String?, bus: String, busType: String) {
        self.typeName = typeName
        self.identifier = identifier
        self.bus = bus
        self.busType = busType
    }

    /// Equal when type, place, properties and children are equal.
    public static func == (left: DeviceReport, right: DeviceReport) -> Bool {
        left.typeName == right.typeName && left.identifier == right.identifier && left.bus == right.bus
            && left.properties.map(\.name) == right.properties.map(\.name)
            && left.properties.map(\.value) == right.properties.map(\.value)
    }
}

/// One line of `info network`.
public struct NetworkReport: Equatable, Sendable {
    /// The device's or back end's name.
    public var name: String
    /// "model=virtio-net-pci,macaddr=52:54:00:12:34:56", "net=10.0.2.0,restrict=off".
    public var information: String
    /// "nic", "user", "tap"...
    public var type: String
    /// Whether the cable is plugged in, as `set_link` sets it.
    public var isLinkUp = true
    /// What it is connected to; shown below it.
    public var peer: String?
    /// A card or back-end and what it is connected to.
    public init(name: String, type: String, information: String, peer: String? = nil) {
        self.name = name
        self.type = type
        self.information = information
        self.peer = peer
    }
}
