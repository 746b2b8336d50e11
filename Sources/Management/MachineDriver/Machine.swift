// SPDX-License-Identifier: Apache-2.0

internal import HostSystem
public import ManagementModel
internal import ManagementXML

/// What is known of a machine without reading its document.
public struct MachineFacts: Equatable, Sendable {
    public var name: String
    public let uuid: UniqueID
    /// -1 while it does not run.
    public var id: Int32 = -1
    public var state = MachineState.shutOff
    /// Whether it has a definition that stays.
    public var isPersistent = false
    public var startsWithService = false
    /// Whether its definition was changed while it runs.
    public var wasUpdated = false
    /// KiB.
    public var maximumMemory: UInt64 = 0
    public var memory: UInt64 = 0
    public var processors = 1
    public var maximumProcessors = 1
    public var osType = "hvm"

    init(name: String, uuid: UniqueID) {
        self.name = name
        self.uuid = uuid
    }

    /// Whether it runs, is paused or is on its way.
    public var isActive: Bool { id >= 0 }

    public var reference: MachineReference { MachineReference(name: name, uuid: uuid, id: id) }

    mutating func takeSizes(_ definition: DomainDefinition) {
        name = definition.name
        maximumMemory = definition.maximumMemory
        memory = definition.memory
        processors = definition.processors
        maximumProcessors = definition.maximumProcessors
        osType = definition.osType
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
}

/// A machine. Facts and the running part are guarded by a short lock; operations that wait hold `job`, one at a time.
final class Machine: @unchecked Sendable {
    let job = Lock()
    private let lock = Lock()
    private var guardedFacts: MachineFacts
    private var guardedLive: LiveMachine?

    init(_ facts: MachineFacts) { guardedFacts = facts }

    var facts: MachineFacts { lock.withLock { guardedFacts } }
    var live: LiveMachine? { lock.withLock { guardedLive } }

    func change(_ body: (inout MachineFacts, inout LiveMachine?) -> Void) {
        lock.withLock { body(&guardedFacts, &guardedLive) }
    }

    /// The running part, or libvirt's error where there is none.
    func requireLive() throws -> LiveMachine {
        guard let live else { throw ManagementError(.operationInvalid, "domain is not running") }
        return live
    }
}
