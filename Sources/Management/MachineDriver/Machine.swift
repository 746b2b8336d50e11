// SPDX-License-Identifier: Apache-2.0

internal import HostSystem
public import ManagementModel
internal import ManagementXML
internal import XMLTree

/// A disk of a definition: what the guest calls it, and its image.
struct DiskPlace: Equatable, Sendable {
    let target: String
    let path: String?
}

/// What is known of a machine without reading its document.
public struct MachineFacts: Equatable, Sendable {
    /// Changes when the machine is renamed; the UUID does not.
    public var name: String
    /// What the machine is kept under for as long as it exists.
    public let uuid: UniqueID
    /// -1 while it does not run.
    public var id: Int32 = -1
    /// What it does now, and why.
    public var state = MachineState.shutOff
    /// Whether it has a definition that stays.
    public var isPersistent = false
    /// Autostart: whether it is started when the service starts.
    public var startsWithService = false
    /// Whether its definition was changed while it runs.
    public var wasUpdated = false
    /// KiB.
    public var maximumMemory: UInt64 = 0
    /// What the guest has now in KiB; less than the maximum when ballooned.
    public var memory: UInt64 = 0
    /// Processors that are plugged in now.
    public var processors = 1
    /// Processors that it may have while it runs.
    public var maximumProcessors = 1
    /// `<os><type>`: `hvm` for everything that this emulator runs.
    public var osType = "hvm"
    /// How many snapshots have metadata here.
    public var snapshotCount = 0
    /// Disks of the definition.
    var disks: [DiskPlace] = []

    init(name: String, uuid: UniqueID) {
        self.name = name
        self.uuid = uuid
    }

    /// Whether it runs, is paused or is on its way.
    public var isActive: Bool { id >= 0 }

    /// How events name it, with the number of this run.
    public var reference: MachineReference { MachineReference(name: name, uuid: uuid, id: id) }

    mutating func takeSizes(_ definition: DomainDefinition) {
        name = definition.name
        maximumMemory = definition.maximumMemory
        memory = definition.memory
        processors = definition.processors
        maximumProcessors = definition.maximumProcessors
        osType = definition.osType
        disks = definition.devices.filter { $0.name == "disk" }.map { disk in
            DiskPlace(
                target: disk[child: "target"]?["dev"] ?? "",
                path: disk[child: "source"]?["file"] ?? disk[child: "source"]?["dev"])
        }
    }
}

/// What there is of a machine only while it runs.
struct LiveMachine: Sendable {
    /// The document with names, terminals and ports.
    var definition: DomainDefinition
    /// The emulator's process.
    var process: Int32
    var monitor: MonitorClient
    /// The folder of its sockets.
    var sockets: String
    /// Whether the emulator is a child of this process, so that its end must be waited for.
    var isChild: Bool
    /// Why it will end, once that is known.
    var ending: MachineState?
    /// Whether the guest's power-off is a reboot that the service was asked for.
    var restartsOnShutdown = false
    /// Whether the guest ran before its memory was copied to another host; nil when it was not.
    var ranBeforeMigration: Bool?
    /// What is being done that takes long, for those who ask how far it is.
    var operation: RunningOperation?
    /// Devices that the guest has let go of and that have not been cleared away.
    var released: Set<String> = []
    /// Devices whose guest refused to let go of them.
    var refused: Set<String> = []
    /// The backup that is being made.
    var backup: Backup?
    /// Jobs on disks, by the name of the job.
    var diskJobs: [String: DiskJob] = [:]
    /// The end of jobs that nobody has looked at: an error, or nothing for success.
    var endedJobs: [String: String?] = [:]
}

/// An operation that copies a machine's memory.
struct RunningOperation: Sendable {
    /// libvirt's number of the operation.
    var kind: Int32
    /// Nanoseconds of the monotonic clock.
    var started: UInt64
    /// Whether the client asked to give it up.
    var isAborted = false

    static let save: Int32 = 3, restore: Int32 = 4, dump: Int32 = 5, migrationOut: Int32 = 1, migrationIn: Int32 = 2
    static let snapshot: Int32 = 6, snapshotRevert: Int32 = 7, backup: Int32 = 9
}

/// A machine. Facts and the running part are guarded by a short lock; operations that wait hold `job`, one at a time.
final class Machine: @unchecked Sendable {
    let job = Lock()
    private let lock = Lock()
    private var guardedFacts: MachineFacts
    private var guardedLive: LiveMachine?
    private var guardedOperation: [TypedParameter] = []
    private var guardedSnapshots = SnapshotTree()
    private var guardedCheckpoints = SnapshotTree()
    private var guardedLimit: UInt64?
    private var guardedPatience: UInt64?

    init(_ facts: MachineFacts) { guardedFacts = facts }

    var facts: MachineFacts { lock.withLock { guardedFacts } }
    var live: LiveMachine? { lock.withLock { guardedLive } }

    func change(_ body: (inout MachineFacts, inout LiveMachine?) -> Void) {
        lock.withLock {
            body(&guardedFacts, &guardedLive)
            lock.broadcast()
        }
    }

    /// Waits until what `change` did makes `condition` true.
    /// - Returns: false when the time is up, in nanoseconds of the monotonic clock.
    func wait(until deadline: UInt64, _ condition: (MachineFacts, LiveMachine?) -> Bool) -> Bool {
        lock.withLock {
            while !condition(guardedFacts, guardedLive) {
                guard lock.wait(until: deadline) else { return condition(guardedFacts, guardedLive) }
            }
            return true
        }
    }

    /// What was measured of the last operation that took long; the figures that a client asks for once.
    var finishedOperation: [TypedParameter] {
        get { lock.withLock { guardedOperation } }
        set { lock.withLock { guardedOperation = newValue } }
    }

    /// All snapshots.
    var snapshots: SnapshotTree {
        get { lock.withLock { guardedSnapshots } }
        set {
            lock.withLock {
                guardedSnapshots = newValue
                guardedFacts.snapshotCount = newValue.count
            }
        }
    }

    /// What a migration may send, in MiB/s, as a client said last; nil when none did.
    var migrationLimit: UInt64? {
        get { lock.withLock { guardedLimit } }
        set { lock.withLock { guardedLimit = newValue } }
    }

    /// Nanoseconds that its guest's agent may take to answer, as a client said; nil for the usual time.
    var agentPatience: UInt64? {
        get { lock.withLock { guardedPatience } }
        set { lock.withLock { guardedPatience = newValue } }
    }

    /// All checkpoints; `current` is the one that the next one follows.
    var checkpoints: SnapshotTree {
        get { lock.withLock { guardedCheckpoints } }
        set { lock.withLock { guardedCheckpoints = newValue } }
    }

    /// The running part, or libvirt's error where there is none.
    func requireLive() throws -> LiveMachine {
        guard let live else { throw ManagementError(.operationInvalid, "domain is not running") }
        return live
    }
}
