// SPDX-License-Identifier: Apache-2.0

/// One machine, described completely: what `roost-vmm`'s arguments say, with every default filled in.
///
/// The parser in `MachineArguments` makes it; only the assembly reads it. Everything in it is validated as far as that
/// goes without opening files: identifiers are unique, references resolve, values are in range.
public struct MachineSpec: Equatable, Sendable {
    /// What the machine is called.
    public var identity = IdentitySpec()
    /// The mainboard and its switches.
    public var board = BoardSpec()
    /// Tried in order; the first that works is used (`-accel kvm -accel tcg`, `-machine accel=kvm:tcg`).
    public var accelerators: [AcceleratorSpec] = [AcceleratorSpec(kind: .software)]
    /// The processor's model and features.
    public var processor = ProcessorSpec()
    /// How many processors there are and how they are grouped.
    public var topology = TopologySpec()
    /// How much memory there is and what backs it.
    public var memory = MemorySpec()
    /// What is started, from where.
    public var boot = BootSpec()
    /// The firmware and what it is told.
    public var firmware = FirmwareSpec()
    /// Nodes of -blockdev and of -drive's files, in order; a node refers only to earlier ones.
    public var blockNodes: [BlockNodeSpec] = []
    /// -drive, -hda, -cdrom...; those with an interface have been turned into devices too.
    public var drives: [DriveSpec] = []
    /// All writes go to temporary files (`-snapshot`).
    public var isSnapshot = false
    /// The network back-ends.
    public var networks: [NetworkSpec] = []
    /// -chardev, and what -serial, -monitor and so on made, in order.
    public var characterDevices: [CharacterDeviceSpec] = []
    /// The monitors, in the order given.
    public var monitors: [MonitorSpec] = []
    /// Identifier of the character device of `-gdb`; nil without a debugger.
    public var debugger: String?
    /// Objects of -object.
    public var objects: [ObjectSpec] = []
    /// All devices in the order in which they are made: the board's optional ones, the defaults, then -device.
    public var devices: [DeviceSpec] = []
    /// What people see the screen with.
    public var display = DisplaySpec()
    /// What the guest's clock starts from and follows.
    public var clock = ClockSpec()
    /// What reset, shutdown and panic do.
    public var lifecycle = LifecycleSpec()
    /// How the process itself behaves.
    public var process = ProcessSpec()

    /// QEMU's default machine without any devices.
    public init() {}
}

/// `-name` and `-uuid`.
public struct IdentitySpec: Equatable, Sendable {
    /// The guest's name, for titles and `query-name`; nil when not given.
    public var name: String?
    /// `process=`: what ps shows instead of the program's name.
    public var processName: String?
    /// `debug-threads=on`: threads are named after what they do. Roost's always are.
    public var debugThreads = false
    /// SMBIOS and `query-uuid`; all zero when not given.
    public var uuid = GuestUUID()
    /// Everything at QEMU's default.
    public init() {}
}

/// A UUID of 16 bytes in the order in which it is written.
public struct GuestUUID: Equatable, Hashable, Sendable, CustomStringConvertible {
    /// The bytes as written.
    public var bytes: [UInt8]

    /// The null UUID.
    public init() { bytes = [UInt8](repeating: 0, count: 16) }

    /// Reads 8-4-4-4-12 hexadecimal digits.
    public init?(_ text: String) {
        let groups = text.split(separator: "-", omittingEmptySubsequences: false)
        guard groups.map(\.count) == [8, 4, 4, 4, 12] else { return nil }
        let digits = groups.joined().compactMap(\.hexDigitValue)
        guard digits.count == 32 else { return nil }
        bytes = (0..<16).map { UInt8(digits[$0 * 2] << 4 | digits[$0 * 2 + 1]) }
    }

    /// All bytes are zero.
    public var isNull: Bool { bytes.allSatisfy { $0 == 0 } }

    /// In lower case with hyphens.
    public var description: String {
        let digits = bytes.map { byte in
            let text = String(byte, radix: 16)
            return text.count == 1 ? "0" + text : text
        }
        let groups = [digits[0..<4], digits[4..<6], digits[6..<8], digits[8..<10], digits[10..<16]]
        return groups.map { $0.joined() }.joined(separator: "-")
    }
}

/// on, off, or as the device sees fit.
public enum OnOffAuto: String, Equatable, Sendable {
    case on, off, auto
    /// The value with `auto` decided.
    public func resolved(_ automatic: Bool) -> Bool { self == .auto ? automatic : self == .on }
}

/// `-fw_cfg` and `-smbios`.
public struct FirmwareSpec: Equatable, Sendable {
    /// An entry that the guest reads by name.
    public struct Entry: Equatable, Sendable {
        /// Where its content is.
        public enum Content: Equatable, Sendable {
            case file(String)
            case text(String)
        }
        /// The item's name, at most 55 bytes.
        public var name: String
        /// What the guest reads.
        public var content: Content
        /// An item of the firmware's configuration.
        public init(name: String, content: Content) {
            self.name = name
            self.content = content
        }
    }
    /// The entries, in the order given.
    public var entries: [Entry] = []
    /// SMBIOS fields by table type (0, 1, 2, 3, 4, 17) and QEMU's property name: [1]["serial"] = "42".
    public var smbios: [Int: [String: String]] = [:]
    /// OEM strings of SMBIOS type 11.
    public var oemStrings: [String] = []
    /// Everything at QEMU's default.
    public init() {}
}

/// `-rtc`.
public struct ClockSpec: Equatable, Sendable {
    /// What the guest's clock shows at power-on.
    public enum Base: Equatable, Sendable {
        case utc, localTime
        /// Seconds since 1970-01-01 UTC.
        case start(Int64)
    }
    /// What makes it go.
    public enum Source: String, Equatable, Sendable {
        /// Follows the host's clock, also when that is set.
        case host
        /// The host's monotonic clock.
        case realtime = "rt"
        /// The machine's own time, which stands still while it is stopped.
        case machine = "vm"
    }
    /// What the clock shows at the start.
    public var base = Base.utc
    /// Which clock it follows.
    public var source = Source.host
    /// `driftfix=slew`: lost RTC interrupts are delivered later. Roost's RTC never loses any.
    public var catchesUp = false
    /// Everything at QEMU's default.
    public init() {}
}

/// What follows the guest's reset, power-off and panic; `-S`.
public struct LifecycleSpec: Equatable, Sendable {
    /// What a guest's panic does.
    public enum PanicAction: String, Equatable, Sendable {
        case pause, shutdown
        case exitFailure = "exit-failure"
        case ignore = "none"
    }
    /// `-S`: made, but not started.
    public var startsPaused = false
    /// `-incoming`: where the machine's state comes from, "defer" for later; nil to start anew.
    public var incoming: String?
    /// `-loadvm`: the snapshot in the machine's disks that it goes on from; nil to start anew.
    public var snapshot: String?
    /// `-no-reboot`, `-action reboot=shutdown`.
    public var resetShutsDown = false
    /// `-no-shutdown`, `-action shutdown=pause`.
    public var shutdownPauses = false
    /// What a guest's panic does.
    public var panic = PanicAction.shutdown
    /// Everything at QEMU's default.
    public init() {}
}

/// What concerns the process rather than the machine.
public struct ProcessSpec: Equatable, Sendable {
    /// `-pidfile`.
    public var pidFile: String?
    /// Whether the process goes to the background once the machine is made.
    public var daemonizes = false
    /// Items of -d, as typed.
    public var logItems: String?
    /// `-D`.
    public var logFile: String?
    /// `-perfmap`.
    public var writesPerfMap = false
    /// Patterns of -trace.
    public var tracePatterns: [String] = []
    /// Files of `-trace events=`.
    public var traceEventFiles: [String] = []
    /// `-msg timestamp=on`.
    public var messagesShowTime = false
    /// `-msg guest-name=on`.
    public var messagesShowGuest = false
    /// `-echr`: the character code of Ctrl-a in the multiplexer's commands.
    public var terminalEscape: UInt8 = 1
    /// Directories of -L, searched for firmware before the usual ones.
    public var dataDirectories: [String] = []
    /// Descriptors of -add-fd.
    public var descriptorSets: [DescriptorSetEntry] = []
    /// `-sandbox on`; nil for off.
    public var sandbox: SandboxSpec?
    /// Everything at QEMU's default.
    public init() {}
}

/// `-sandbox on`: which groups of system calls the process gives up.
public struct SandboxSpec: Equatable, Sendable {
    /// `obsolete=allow`.
    public var allowsObsolete = false
    /// `elevateprivileges=deny` or `children`.
    public var deniesPrivileges = false
    /// `spawn=deny`.
    public var deniesSpawning = false
    /// `resourcecontrol=deny`.
    public var deniesResourceControl = false
    /// Everything at QEMU's default.
    public init() {}
}

/// `-add-fd fd=7,set=2,opaque=x`.
public struct DescriptorSetEntry: Equatable, Sendable {
    /// The descriptor's number in this process.
    public var descriptor: Int32
    /// The set that it joins.
    public var set: Int
    /// A word for whoever queries the set.
    public var opaque: String?
    /// A descriptor that was inherited, to be used through its set.
    public init(descriptor: Int32, set: Int, opaque: String?) {
        self.descriptor = descriptor
        self.set = set
        self.opaque = opaque
    }
}
