// SPDX-License-Identifier: Apache-2.0

internal import Glibc
internal import Diagnostics
internal import HostInventory
internal import HostSystem
internal import JSONCoding
public import ManagementModel
internal import ManagementXML
internal import StateStore
internal import XMLTree

/// How a machine moves to another host, in libvirt's bits.
public struct MigrationOptions: OptionSet, Sendable {
    public let rawValue: UInt32
    public init(rawValue: UInt32) { self.rawValue = rawValue }
    /// The guest runs on while its memory is copied.
    public static let live = MigrationOptions(rawValue: 1)
    /// The two services talk to each other; the client only waits.
    public static let peerToPeer = MigrationOptions(rawValue: 2)
    /// The memory goes through the services' own connection.
    public static let tunnelled = MigrationOptions(rawValue: 4)
    /// The machine has a definition at its new host.
    public static let persistent = MigrationOptions(rawValue: 8)
    /// It has none at its old one any more.
    public static let undefinesSource = MigrationOptions(rawValue: 16)
    /// It does not go on by itself.
    public static let paused = MigrationOptions(rawValue: 32)
    /// Disks that both hosts see are not checked for.
    public static let unsafe = MigrationOptions(rawValue: 512)
    /// Only the definition moves.
    public static let offline = MigrationOptions(rawValue: 1024)
    /// A guest that writes faster than its memory is copied is slowed down.
    public static let autoConverge = MigrationOptions(rawValue: 8192)
    /// Changes of the definition are refused meanwhile, and the end at an error: both are so anyway.
    static let implied = MigrationOptions(rawValue: 256 | 4096)

    /// All that can be done.
    static let known: MigrationOptions = [
        .live, .peerToPeer, .persistent, .undefinesSource, .paused, .unsafe, .offline, .autoConverge, .implied,
    ]
}

// Moving machines between hosts: what the old host does (begin, perform, confirm) and the new one (prepare, finish).
extension MachineDriver {
    private static func check(_ options: MigrationOptions) throws {
        if options.contains(.tunnelled) {
            throw ManagementError(
                .argumentUnsupported,
                "tunnelled migration is not there; leave it out and the emulators connect directly")
        }
        let strange = options.subtracting(.known).rawValue
        guard strange == 0 else {
            throw ManagementError(
                .argumentUnsupported,
                "migration with the flags 0x\(String(strange, radix: 16)) is not there (disks that are not shared, TLS and the like)"
            )
        }
    }

    // MARK: The old host

    /// Says whether a machine can move, and gives the document for its new host.
    public func beginMigration(_ uuid: UniqueID, document text: String?, _ options: MigrationOptions) throws -> String {
        try Self.check(options)
        let machine = try machine(uuid)
        return try machine.job.withLock {
            let facts = machine.facts
            guard facts.snapshotCount == 0 else {
                throw ManagementError(
                    .operationInvalid, "cannot migrate domain with \(facts.snapshotCount) snapshots")
            }
            var definition: DomainDefinition
            if options.contains(.offline) {
                guard !facts.isActive else {
                    throw ManagementError(.operationInvalid, "cannot perform offline migration on an active domain")
                }
                guard options.contains(.persistent) else {
                    throw ManagementError(
                        .operationInvalid, "offline migration must be specified with the persistent flag set")
                }
                definition = try self.definition(of: machine)
            } else {
                let live = try machine.requireLive()
                guard live.operation == nil, live.diskJobs.isEmpty else {
                    throw ManagementError(.operationInvalid, "domain has an active job")
                }
                definition = live.definition
                if !options.contains(.unsafe) { try requireSharedDisks(definition) }
            }
            if let text {
                let given = try DomainDefinition(parsing: text, context)
                guard given.uuid == uuid else {
                    throw ManagementError(.invalidArg, "the document is another machine's")
                }
                definition = given
            }
            return definition.printed()
        }
    }

    /// File systems that several hosts see: NFS, CIFS, SMB2, Ceph, GFS2, OCFS2, FUSE, AFS.
    private static let sharedFileSystems: Set<UInt32> = [
        0x6969, 0xff53_4d42, 0xfe53_4d42, 0x00c3_6400, 0x0116_1970, 0x7461_636f, 0x6573_5546, 0x5346_414f,
    ]

    private func requireSharedDisks(_ definition: DomainDefinition) throws {
        for disk in definition.devices where disk.name == "disk" && disk[child: "readonly"] == nil {
            guard disk["type"] == "file", let path = disk[child: "source"]?["file"] else { continue }
            let kind = FileAttributes.fileSystem(of: path)
            guard kind.map(Self.sharedFileSystems.contains) ?? true else {
                throw ManagementError(
                    .migrateUnsafe, "Migration without shared storage is unsafe ('\(path)' is on this host alone)")
            }
        }
    }

    /// Copies a machine's memory to where its new host waits for it. The guest then stands still here, until the client
    /// says that it runs there (`confirmMigration`).
    /// - Parameters:
    ///   - address: `tcp:HOST:PORT`.
    ///   - bandwidth: MiB each second; 0 for no limit.
    public func performMigration(
        _ uuid: UniqueID, to address: String, bandwidth: UInt64, _ options: MigrationOptions
    ) throws {
        try Self.check(options)
        guard !options.contains(.offline) else { return }
        guard address.hasPrefix("tcp:") else {
            throw ManagementError(.invalidArg, "the address '\(address)' is not one to migrate to (tcp:HOST:PORT)")
        }
        let machine = try machine(uuid)
        try machine.job.withLock {
            let live = try machine.requireLive()
            let wasRunning = machine.facts.state.isRunning
            begin(machine, RunningOperation.migrationOut)
            do {
                let (limit, overflow) = bandwidth.multipliedReportingOverflow(by: 1 << 20)
                let speed = bandwidth == 0 || overflow ? UInt64(1 << 53) : limit
                try live.monitor.execute(
                    "migrate-set-parameters", ["max-bandwidth": JSONValue(Int(clamping: speed))])
                if options.contains(.autoConverge) {
                    let capability: JSONValue = ["capability": "auto-converge", "state": true]
                    try live.monitor.execute("migrate-set-capabilities", ["capabilities": .array([capability])])
                }
                if wasRunning && !options.contains(.live) {
                    try live.monitor.execute("stop")
                    machine.change { facts, _ in facts.state = .pausedForMigration }
                    emit(machine, Lifecycle.suspendedForMigration)
                }
                let plain = address.hasPrefix("tcp://") ? "tcp:" + address.dropFirst("tcp://".count) : address
                try live.monitor.execute("migrate", ["uri": .string(plain)])
                try waitForMigration(machine, live.monitor)
            } catch {
                end(machine)
                if wasRunning { goOn(machine, live) }
                if let failure = error as? MonitorClient.Failure { throw Self.error(of: failure) }
                throw error
            }
            finishOperation(machine, live)
            machine.change { facts, running in
                facts.state = .pausedForMigration
                running?.ranBeforeMigration = wasRunning
            }
            saveStatus(machine)
        }
    }

    /// The guest goes on at its old host.
    private func goOn(_ machine: Machine, _ live: LiveMachine) {
        do {
            try live.monitor.execute("cont")
            machine.change { facts, running in
                facts.state = .runningMigrationCancelled
                running?.ranBeforeMigration = nil
            }
            saveStatus(machine)
            emit(machine, Lifecycle.resumedMigrated)
        } catch { Console.shared.error("'\(machine.facts.name)' does not go on after its migration failed: \(error)") }
    }

    /// The last step: the guest runs at its new host, or goes on at the old one.
    public func confirmMigration(_ uuid: UniqueID, cancelled: Bool, _ options: MigrationOptions) throws {
        let machine = try machine(uuid)
        machine.job.withLock {
            if !options.contains(.offline), let live = machine.live {
                guard !cancelled else {
                    if live.ranBeforeMigration ?? false { goOn(machine, live) }
                    return
                }
                machine.change { _, running in running?.ending = .shutOffMigrated }
                endProcess(live)
                finish(machine, .shutOffMigrated, Lifecycle.stoppedMigrated)
            }
        }
        if !cancelled, options.contains(.undefinesSource), (try? facts(uuid).isPersistent) ?? false {
            try undefine(uuid, [.snapshots, .keepsVariables, .checkpoints])
        }
    }

    // MARK: The new host

    /// Ports at which machines wait for their memory, as with libvirt.
    private static let migrationPorts = 49152..<49216

    /// Starts an emulator that waits for a machine's memory.
    /// - Parameters:
    ///   - address: `tcp://HOST:PORT` that the client wants; nil for this host's name and a free port.
    ///   - name: the machine's name here; nil for the one that it has.
    /// - Returns: the machine and where its memory goes.
    public func prepareMigration(
        document text: String, address: String?, host: String, name: String?, _ options: MigrationOptions
    ) throws -> (machine: MachineReference, address: String) {
        try Self.check(options)
        var definition = try DomainDefinition(parsing: text, context)
        if let name {
            definition.name = name
            definition.order()
        }
        if options.contains(.offline) { return (try define(definition.printed()), "") }
        definition = try adjusted(definition, by: "migrate")
        let place = try Self.place(address, host)
        let (machine, isNew) = try claim(definition)
        return try machine.job.withLock {
            guard machine.live == nil else {
                throw ManagementError(.operationInvalid, "domain is already active as '\(definition.name)'")
            }
            if isNew { machine.change { facts, _ in facts.takeSizes(definition) } }
            do {
                try launch(
                    machine, definition,
                    LaunchOptions(paused: true, incoming: "tcp:0.0.0.0:\(place.port)", origin: .migrated))
            } catch {
                if isNew { forget(machine) }
                throw error
            }
            machine.change { facts, _ in facts.state = .pausedForMigration }
            return (machine.facts.reference, "tcp:\(place.host):\(place.port)")
        }
    }

    private static func place(_ address: String?, _ host: String) throws -> (host: String, port: Int) {
        guard let address else { return (host, try freePort()) }
        guard address.hasPrefix("tcp:") else {
            throw ManagementError(
                .argumentUnsupported, "the address '\(address)' is not one to migrate to (tcp://HOST[:PORT])")
        }
        let rest = address.dropFirst(address.hasPrefix("tcp://") ? "tcp://".count : "tcp:".count).prefix { $0 != "/" }
        guard let colon = rest.lastIndex(of: ":"), !rest.hasSuffix("]") else { return (String(rest), try freePort()) }
        guard let port = Int(rest[rest.index(after: colon)...]), (1...65535).contains(port) else {
            throw ManagementError(.invalidArg, "the port of '\(address)' is none")
        }
        return (String(rest[..<colon]), port)
    }

    private static func freePort() throws -> Int {
        guard let port = migrationPorts.first(where: { LocalPorts.isFree($0) }) else {
            throw ManagementError(.internalError, "Unable to find an unused port in range 'migration' (49152-49215)")
        }
        return port
    }

    /// The memory has come: the guest goes on here; or it has not, and nothing of it stays.
    public func finishMigration(_ name: String, cancelled: Bool, _ options: MigrationOptions) throws -> MachineReference
    {
        let uuid = try find(named: name).uuid
        let machine = try machine(uuid)
        if options.contains(.offline) {
            guard cancelled else { return machine.facts.reference }
            try undefine(uuid, [.snapshots, .keepsVariables, .checkpoints])
            throw ManagementError(.operationFailed, "the migration was given up")
        }
        return try machine.job.withLock {
            let live = try machine.requireLive()
            do {
                guard !cancelled else { throw ManagementError(.operationFailed, "the migration was given up") }
                try waitForMigration(machine, live.monitor)
                if !options.contains(.paused) {
                    try live.monitor.execute("cont")
                    machine.change { facts, _ in facts.state = .runningMigrated }
                } else {
                    machine.change { facts, _ in facts.state = .pausedForMigration }
                }
                if options.contains(.persistent) {
                    try store(try DomainDefinition(live.definition.root, context))
                    machine.change { facts, _ in facts.isPersistent = true }
                    emit(machine, Lifecycle.definedAdded)
                }
            } catch {
                machine.change { _, running in running?.ending = .shutOffFailed }
                endProcess(live)
                finish(machine, .shutOffFailed, Lifecycle.stoppedFailed)
                if let failure = error as? MonitorClient.Failure { throw Self.error(of: failure) }
                throw error
            }
            refreshChains(machine)
            saveStatus(machine)
            if !options.contains(.paused) { emit(machine, Lifecycle.resumedMigrated) }
            return machine.facts.reference
        }
    }

    /// Ends a machine whose client went away before its memory had come.
    public func abandonMigration(_ uuid: UniqueID) {
        guard let machine = try? machine(uuid), machine.facts.state == .pausedForMigration else { return }
        do { try destroy(uuid) } catch { Console.shared.info("\(error)") }
    }
}
