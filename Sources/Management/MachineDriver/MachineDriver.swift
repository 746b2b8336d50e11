// SPDX-License-Identifier: Apache-2.0

internal import Diagnostics
public import HostInventory
internal import HostIO
internal import HostTools
public import HostSystem
public import ManagementModel
internal import ManagementXML
public import StateStore
public import XMLTree

/// All machines of this service: their definitions on disk and the processes that run.
public final class MachineDriver: @unchecked Sendable {
    /// Where definitions, states and sockets of machines are kept.
    public let folders: MachineFolders
    /// Told of every change; shared with the other drivers.
    public let events: EventHub
    /// The emulators that machines name.
    public let emulators: EmulatorCatalog
    let context: DomainContext
    /// The program that works on images.
    let imageToolPath: String
    /// Connects machines to networks.
    let taps: TapDevices
    /// How emulators are confined; nil leaves them the service's own rights.
    let confinement: MachineConfinement?
    /// The administrator's scripts.
    let hooks: HookScripts
    /// Reads all monitors.
    let loop: EventLoop
    /// Work after events that waits: ends of processes, restarts.
    let workers: WorkerPool
    /// Files that become definitions.
    private let spares: SpareFiles

    private let lock = Lock()
    // Guarded by `lock`.
    private var machines: [UniqueID: Machine] = [:]
    private var uuids: [String: UniqueID] = [:]
    private var nextID: Int32 = 1

    /// Threads for work after events.
    private static let workerCount = 4

    /// - Parameters:
    ///   - imageTool: the program that works on images of disks.
    ///   - confinement: how emulators are confined; nil leaves them the service's own rights.
    ///   - filters: puts network filters in front of interfaces; nil refuses interfaces that ask for one.
    ///   - vlan: gives the `<vlan>` of a network's port group, or of the network.
    ///   - switchProgram: the program that tells VLANs apart, and its first argument; nil leaves that to the kernel.
    ///   - bridge: gives the bridge of a network that is up.
    public init(
        folders: MachineFolders, emulator: EmulatorFacts, imageTool: String, events: EventHub,
        confinement: MachineConfinement? = nil, filters: InterfaceFilters? = nil,
        vlan: @escaping @Sendable (String, String?) -> XMLElement? = { _, _ in nil },
        switchProgram: (path: String, word: String)? = nil,
        bridge: @escaping @Sendable (String) throws -> String
    ) throws(Errno) {
        let switches = switchProgram.map {
            VLANSwitches(program: .init(path: $0.path, word: $0.word), folder: folders.running)
        }
        taps = TapDevices(bridge: bridge, filters: filters, vlan: vlan, switches: switches)
        self.confinement = confinement
        imageToolPath = imageTool
        self.folders = folders
        hooks = HookScripts(folder: folders.hooks)
        let emulators = EmulatorCatalog(standard: emulator)
        self.emulators = emulators
        self.events = events
        context = DomainContext(
            emulator: { ["x86_64", "i686"].contains($0) ? emulator.path : nil },
            canonicalMachine: { try emulators.facts(of: $1).canonical($0) ?? ($0.hasPrefix("pc-") ? $0 : nil) },
            hasDevice: { device, path in
                guard let devices = try? emulators.facts(of: path).devices else { return true }
                return devices.isEmpty || devices.contains(device)
            },
            variableStores: folders.variableStores)
        loop = try EventLoop()
        let workers = try WorkerPool(name: "machine-work", count: Self.workerCount)
        self.workers = workers
        spares = SpareFiles(folder: folders.definitions) { work in workers.submit(work) }
        try folders.make()
        let loop = loop
        _ = try HostThread(name: "monitors") { loop.run() }
    }

    // MARK: Finding

    /// All machines, by name.
    public var all: [MachineFacts] {
        lock.withLock { Array(machines.values) }.map(\.facts)
    }

    var allMachines: [Machine] { lock.withLock { Array(machines.values) } }

    /// The machine of a UUID.
    /// - Throws: libvirt's error for one that is not there.
    func machine(_ uuid: UniqueID, called name: String? = nil) throws -> Machine {
        guard let machine = lock.withLock({ machines[uuid] }) else {
            let suffix = name.map { " (\($0))" } ?? ""
            throw ManagementError(.noDomain, "no domain with matching uuid '\(uuid)'\(suffix)")
        }
        return machine
    }

    /// The facts of the machine of a UUID.
    public func facts(_ uuid: UniqueID, called name: String? = nil) throws -> MachineFacts {
        try machine(uuid, called: name).facts
    }

    /// The machine of that name; throws `noDomain`.
    public func find(named name: String) throws -> MachineFacts {
        guard let machine = lock.withLock({ uuids[name].flatMap { machines[$0] } }) else {
            throw ManagementError(.noDomain, "no domain with matching name '\(name)'")
        }
        return machine.facts
    }

    /// The machine that runs under that number; throws `noDomain`, also for a negative one.
    public func find(id: Int32) throws -> MachineFacts {
        guard id >= 0, let found = all.first(where: { $0.id == id }) else {
            throw ManagementError(.noDomain, "no domain with matching id \(id)")
        }
        return found
    }

    // MARK: Adding and removing

    /// The machine that a document means, made if it is new.
    /// - Throws: libvirt's error when the name or the UUID is another machine's.
    func claim(_ definition: DomainDefinition) throws -> (machine: Machine, isNew: Bool) {
        let (name, uuid) = (definition.name, definition.uuid)
        return try lock.withLock {
            if let existing = machines[uuid] {
                let known = existing.facts.name
                guard known == name else {
                    throw ManagementError(
                        .operationFailed, "domain '\(known)' is already defined with uuid \(uuid)", from: .domain)
                }
                return (existing, false)
            }
            if let other = uuids[name] {
                throw ManagementError(
                    .operationFailed, "domain '\(name)' already exists with uuid \(other)", from: .domain)
            }
            let machine = Machine(MachineFacts(name: name, uuid: uuid))
            machines[uuid] = machine
            uuids[name] = uuid
            return (machine, true)
        }
    }

    func forget(_ machine: Machine) {
        let facts = machine.facts
        lock.withLock {
            machines[facts.uuid] = nil
            uuids[facts.name] = nil
        }
    }

    func renamed(_ machine: Machine, from old: String, to new: String) throws {
        try lock.withLock {
            guard uuids[new] == nil else {
                throw ManagementError(.operationInvalid, "domain with name '\(new)' already exists")
            }
            uuids[old] = nil
            uuids[new] = machine.facts.uuid
        }
    }

    func takeID() -> Int32 {
        lock.withLock {
            defer { nextID += 1 }
            return nextID
        }
    }

    func reserve(id: Int32) { lock.withLock { nextID = max(nextID, id &+ 1) } }

    /// What the emulator of a machine has; asked once for each program.
    func facts(ofEmulator path: String) throws -> EmulatorFacts { try emulators.facts(of: path) }

    /// Does something that waits, on one of the driver's own threads.
    public func inBackground(_ body: @escaping @Sendable (MachineDriver) -> Void) {
        workers.submit { [self] in body(self) }
    }

    func emit(_ machine: Machine, _ event: (Int32, Int32)) {
        events.emit(.machine(machine.facts.reference, .lifecycle(event.0, detail: event.1)))
    }

    // MARK: Definitions

    private static let notice = """
        <!--
        This file is written by roostd. To change the machine use:
          virsh edit NAME
        -->


        """

    /// Writes a machine's definition.
    func store(_ definition: DomainDefinition) throws {
        do throws(Errno) {
            try StateFiles.write(
                folders.definition(definition.name), Self.notice + definition.printed(), from: spares)
        } catch {
            throw ManagementError(
                .systemError, "cannot write the definition '\(folders.definition(definition.name))': \(error)")
        }
    }

    /// The definition that stays.
    func definition(of machine: Machine) throws -> DomainDefinition {
        let facts = machine.facts
        if !facts.isPersistent, let live = machine.live { return live.definition }
        let path = folders.definition(facts.name)
        do {
            guard let text = try StateFiles.read(path) else {
                throw ManagementError(.systemError, "the definition '\(path)' is gone")
            }
            return DomainDefinition(complete: try XMLDocument.parse(text, as: "domain", called: path))
        } catch let error as Errno {
            throw ManagementError(.systemError, "cannot read '\(path)': \(error)")
        }
    }

    /// Defines a machine, or defines it anew.
    /// - Parameter validates: whether what nobody knows is refused instead of kept.
    public func define(_ text: String, validates: Bool = false) throws -> MachineReference {
        let definition = try DomainDefinition(parsing: text, context, validates: validates)
        try checkEngine(definition)
        let (machine, isNew) = try claim(definition)
        return try machine.job.withLock {
            do { try store(definition) } catch {
                if isNew { forget(machine) }
                throw error
            }
            machine.change { facts, _ in
                if !facts.isActive { facts.takeSizes(definition) } else { facts.wasUpdated = facts.isPersistent }
                facts.isPersistent = true
            }
            emit(machine, isNew ? Lifecycle.definedAdded : Lifecycle.definedUpdated)
            return machine.facts.reference
        }
    }

    /// A machine that wants KVM cannot be made where there is none. One that is defined already stays.
    func checkEngine(_ definition: DomainDefinition) throws {
        guard definition.type == "kvm", let emulator = try? facts(ofEmulator: definition.emulator), !emulator.hasKVM
        else { return }
        throw ManagementError(
            .configUnsupported, "Emulator '\(definition.emulator)' does not support virt type 'kvm'",
            from: .machineDriver)
    }

    /// Changes the definition that stays.
    func update(_ machine: Machine, _ body: (inout DomainDefinition) throws -> Void) throws {
        var definition = try definition(of: machine)
        try body(&definition)
        try store(definition)
        machine.change { facts, _ in if !facts.isActive { facts.takeSizes(definition) } }
    }

    func removing(_ path: String) throws {
        do throws(Errno) { try StateFiles.remove(path) } catch {
            throw ManagementError(.systemError, "cannot remove '\(path)': \(error)")
        }
    }

    /// Whether a machine starts with the service.
    public func setAutostart(_ uuid: UniqueID, _ on: Bool) throws {
        let machine = try machine(uuid)
        try machine.job.withLock {
            let facts = machine.facts
            guard facts.isPersistent else {
                throw ManagementError(.operationInvalid, "cannot set autostart for transient domain")
            }
            do throws(Errno) {
                let link = folders.autostartLink(facts.name)
                if on {
                    try StateFiles.link(link, to: folders.definition(facts.name))
                } else {
                    try StateFiles.remove(link)
                }
            } catch { throw ManagementError(.systemError, "cannot change autostart of '\(facts.name)': \(error)") }
            machine.change { facts, _ in facts.startsWithService = on }
        }
    }
}
