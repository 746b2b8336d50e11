// SPDX-License-Identifier: Apache-2.0

internal import HostIO
internal import ControlProtocol
internal import Diagnostics
internal import Glibc
internal import HostInventory
internal import HostProcesses
internal import HostSystem
internal import JSONCoding
public import ManagementModel
internal import ManagementXML
internal import ProcessConfinement
internal import StateStore
internal import XMLTree

// Starting and ending machines.
extension MachineDriver {
    /// Starts a defined machine.
    /// - Parameters:
    ///   - forgets: whether memory that was saved is dropped instead of used.
    ///   - resetsVariables: whether the firmware begins with the variables of its maker.
    public func start(
        _ uuid: UniqueID, called name: String? = nil, paused: Bool, forgets: Bool = false,
        resetsVariables: Bool = false
    ) throws -> MachineReference {
        let machine = try machine(uuid, called: name)
        return try machine.job.withLock {
            guard machine.live == nil else { throw ManagementError(.operationInvalid, "domain is already running") }
            if forgets { try removing(folders.savedMemory(machine.facts.name)) }
            if try !startFromSavedMemory(machine, wake: paused ? .paused : .asSaved) {
                try launch(
                    machine, try definition(of: machine),
                    LaunchOptions(paused: paused, resetsVariables: resetsVariables))
            }
            return machine.facts.reference
        }
    }

    /// Makes and starts a machine that is gone when it stops.
    /// - Parameters:
    ///   - validates: whether what nobody knows in the document is refused.
    ///   - resetsVariables: whether the firmware begins with the variables of its maker.
    public func create(
        _ text: String, paused: Bool, validates: Bool = false, resetsVariables: Bool = false
    ) throws -> MachineReference {
        let definition = try DomainDefinition(parsing: text, context, validates: validates)
        try checkEngine(definition)
        let (machine, isNew) = try claim(definition)
        return try machine.job.withLock {
            guard machine.live == nil else {
                throw ManagementError(.operationInvalid, "domain '\(definition.name)' is already active", from: .domain)
            }
            machine.change { facts, _ in facts.takeSizes(definition) }
            do {
                try launch(machine, definition, LaunchOptions(paused: paused, resetsVariables: resetsVariables))
            } catch {
                if isNew { forget(machine) }
                throw error
            }
            return machine.facts.reference
        }
    }

    /// Starts the emulator and lets it run. The caller holds the machine's job.
    func launch(_ machine: Machine, _ definition: DomainDefinition, _ options: LaunchOptions) throws {
        var definition = definition
        let id = takeID()
        let sockets = folders.sockets(id, definition.name)
        try prepareFirmware(&definition, resets: options.resetsVariables)
        DeviceAliases.assign(to: &definition)
        choosePorts(&definition)
        CommandLineBuilder.nameChannels(&definition, socketFolder: sockets)
        do {
            try tellHooks("prepare", "begin", definition)
            try bringUp(machine, definition, options, id, sockets)
        } catch {
            tellHooksOfEnd(definition)
            throw error
        }
    }

    private func bringUp(
        _ machine: Machine, _ definition: DomainDefinition, _ options: LaunchOptions, _ id: Int32, _ sockets: String
    ) throws {
        var definition = definition
        let emulator = try facts(ofEmulator: definition.emulator)
        try taps.connect(&definition, user: confinement?.identity(of: id)?.user)
        let process: Int32
        do {
            var builder = CommandLineBuilder(definition, emulator: emulator, socketFolder: sockets)
            var arguments = try builder.build()
            if options.memory >= 0 || options.incoming != nil { arguments += ["-incoming", "defer"] }
            try tellHooks("start", "begin", definition)
            process = try spawn(definition, arguments, sockets, id)
        } catch {
            taps.disconnect(definition)
            throw error
        }
        do {
            do throws(Errno) { try StateFiles.write(folders.processNumber(definition.name), "\(process)") } catch {
                throw ManagementError(
                    .systemError, "cannot write '\(folders.processNumber(definition.name))': \(error)")
            }
            let monitor = try connect(machine, process, sockets, definition.name)
            try takeTerminals(&definition, monitor)
            let live = LiveMachine(
                definition: definition, process: process, monitor: monitor, sockets: sockets, isChild: true)
            machine.change { facts, running in
                facts.id = id
                facts.takeSizes(definition)
                facts.state = options.paused ? options.pausedState : .pausedStarting
                running = live
            }
            try addProcessors(machine, monitor, definition)
            try applyPinning(machine)
            startMemoryReports(monitor, definition)
            try Self.setPasswords(monitor, definition)
            try takeMemory(machine, monitor, options)
            try refreshChannels(machine, monitor)
            if !options.paused {
                try monitor.execute("cont")
                machine.change { facts, _ in facts.state = options.state }
            }
            refreshChains(machine)
            saveStatus(machine)
            try tellHooks("started", "begin", definition)
            if options.origin == .restored { emit(machine, options.started) }
            if !options.paused { emit(machine, options.resumed) }
            if options.origin != .restored { emit(machine, options.started) }
            if options.paused { emit(machine, Lifecycle.suspendedPaused) }
        } catch {
            kill(process, SIGKILL)
            let ending = try? ChildProcess.wait(process)
            machine.change { facts, running in
                running?.monitor.disconnect()
                running = nil
                facts.id = -1
                facts.state = .shutOffFailed
            }
            taps.disconnect(definition)
            release(definition)
            removeTraces(of: definition.name, sockets)
            throw explain(error, definition.name, ending)
        }
    }

    /// Reads the memory of a machine that does not boot.
    private func takeMemory(_ machine: Machine, _ monitor: MonitorClient, _ options: LaunchOptions) throws {
        if let snapshot = options.snapshot, let live = machine.live { return try human(live, "loadvm \"\(snapshot)\"") }
        if let address = options.incoming {
            try monitor.execute("migrate-incoming", ["uri": .string(address)])
            return
        }
        guard options.memory >= 0 else { return }
        begin(machine, RunningOperation.restore)
        defer { end(machine) }
        try monitor.pass(options.memory, named: "memory")
        try monitor.execute("migrate-incoming", ["uri": "fd:memory"])
        try waitForMigration(machine, monitor)
    }

    private func spawn(
        _ definition: DomainDefinition, _ arguments: [String], _ sockets: String, _ id: Int32
    ) throws -> Int32 {
        func failed(_ error: Errno) -> ManagementError {
            ManagementError(.systemError, "cannot start '\(definition.emulator)' for '\(definition.name)': \(error)")
        }
        do throws(Errno) { try StateFiles.makeFolder(sockets, mode: 0o700) } catch { throw failed(error) }
        let plan = try confine(definition, id: id, sockets: sockets)
        do throws(Errno) {
            let log = try FileDescriptor.open(
                folders.log(definition.name), flags: O_WRONLY | O_CREAT | O_TRUNC, mode: 0o600)
            try log.writeAll(
                Array(("starting up: " + ([definition.emulator] + arguments).joined(separator: " ") + "\n").utf8))
            let environment = [
                "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL=C", "HOME=\(sockets)",
            ]
            var words = [definition.emulator] + arguments
            if let plan, let confinement {
                words = [confinement.launcher, ConfinedLaunch.word] + plan.arguments + ["--"] + words
            }
            return try ChildProcess.start(
                words[0], Array(words.dropFirst()), environment: environment, output: log.number, newSession: true)
        } catch {
            release(definition)
            throw failed(error)
        }
    }

    /// Between two looks whether the emulator listens yet.
    private static let connectPause: UInt32 = 2000
    /// Looks before it is given up: half a minute.
    private static let connectTries = 15000

    private func connect(_ machine: Machine, _ process: Int32, _ sockets: String, _ name: String) throws
        -> MonitorClient
    {
        let path = CommandLineBuilder.monitorPath(sockets)
        for _ in 0..<Self.connectTries {
            if let client = try? makeMonitor(machine, process, path) {
                try client.start()
                return client
            }
            if let ending = try ChildProcess.poll(process) { throw EarlyEnd(ending: ending) }
            usleep(Self.connectPause)
        }
        throw ManagementError(.operationTimeout, "the emulator of '\(name)' did not open its monitor")
    }

    func makeMonitor(_ machine: Machine, _ process: Int32, _ path: String) throws(Errno) -> MonitorClient {
        try MonitorClient(
            path: path, loop: loop,
            onEvent: { [weak self, weak machine] event in
                if let self, let machine { handle(event, of: machine) }
            },
            onClose: { [weak self, weak machine] in
                if let self, let machine { workers.submit { self.ended(machine, process) } }
            })
    }

    private struct EarlyEnd: Error { let ending: ChildProcess.Ending }

    private static let logTail = 1024

    private func explain(_ error: any Error, _ name: String, _ ending: ChildProcess.Ending?) -> any Error {
        if let known = error as? ManagementError { return known }
        let log = (try? StateFiles.read(folders.log(name))) ?? ""
        let said = log.split(separator: "\n").dropFirst().joined(separator: "\n").suffix(Self.logTail)
        if case MonitorClient.Failure.refused(let refusal) = error {
            return ManagementError(.internalError, "unable to execute QEMU command: \(refusal.text)")
        }
        guard error is EarlyEnd else {
            return ManagementError(.internalError, "qemu unexpectedly closed the monitor: \(error): \(said)")
        }
        return ManagementError(.internalError, "process exited while connecting to monitor: \(said)")
    }

    /// The names of terminals that the emulator made.
    func takeTerminals(_ definition: inout DomainDefinition, _ monitor: MonitorClient) throws {
        guard definition.devices.contains(where: { $0["type"] == "pty" }) else { return }
        var terminals: [String: String] = [:]
        for entry in try monitor.execute("query-chardev").array ?? [] {
            if let label = entry["label"]?.string, let file = entry["filename"]?.string, file.hasPrefix("pty:") {
                terminals[label] = String(file.dropFirst(4))
            }
        }
        definition.devices = definition.devices.map { device in
            guard device["type"] == "pty", let alias = device[child: "alias"]?["name"],
                let path = terminals["char" + alias]
            else { return device }
            var device = device
            if device.name == "console" { device["tty"] = path }
            var source = device[child: "source"] ?? XMLElement("source")
            source["path"] = path
            if device[child: "source"] == nil {
                device.children.insert(.element(source), at: 0)
            } else {
                device[child: "source"] = source
            }
            return device
        }
    }

    // MARK: Ending

    /// Ends a machine at once.
    /// - Parameters:
    ///   - isGraceful: whether an emulator that does not end when it is told to is left alone, with an error.
    ///   - removesLog: whether what its process said is removed, too.
    public func destroy(
        _ uuid: UniqueID, called name: String? = nil, isGraceful: Bool = false, removesLog: Bool = false
    ) throws {
        let machine = try machine(uuid, called: name)
        try machine.job.withLock {
            let live = try machine.requireLive()
            machine.change { _, running in running?.ending = .shutOffDestroyed }
            if isGraceful {
                kill(live.process, SIGTERM)
                guard waitForEnd(live, tries: Self.politeTries) else {
                    machine.change { _, running in running?.ending = nil }
                    throw ManagementError(
                        .operationFailed, "failed to terminate process \(live.process) with SIGTERM: it goes on")
                }
            } else {
                endProcess(live)
            }
            let log = folders.log(machine.facts.name)
            finish(machine, .shutOffDestroyed, Lifecycle.stoppedDestroyed)
            if removesLog { try removing(log) }
        }
    }

    /// Ends the emulator and waits for its end.
    func endProcess(_ live: LiveMachine) {
        kill(live.process, SIGTERM)
        if !waitForEnd(live, tries: Self.politeTries) { kill(live.process, SIGKILL) }
        _ = waitForEnd(live, tries: Self.forcedTries)
    }

    private static let endPause: UInt32 = 5000
    private static let politeTries = 1000
    private static let forcedTries = 4000

    private func waitForEnd(_ live: LiveMachine, tries: Int) -> Bool {
        for _ in 0..<tries {
            if live.isChild {
                if (try? ChildProcess.poll(live.process)) != .some(nil) { return true }
            } else if kill(live.process, 0) != 0 {
                return true
            }
            usleep(Self.endPause)
        }
        return false
    }

    /// The monitor was closed: the emulator is gone.
    private func ended(_ machine: Machine, _ process: Int32) {
        machine.job.withLock {
            // Another one may run by now.
            guard let live = machine.live, live.process == process else { return }
            if !waitForEnd(live, tries: Self.politeTries) {
                kill(live.process, SIGKILL)
                _ = waitForEnd(live, tries: Self.forcedTries)
            }
            let state = live.ending ?? .shutOffCrashed
            let event: (Int32, Int32) =
                switch state {
                case .shutOffByGuest: Lifecycle.stoppedByGuest
                case .shutOffDestroyed: Lifecycle.stoppedDestroyed
                default: Lifecycle.stoppedCrashed
                }
            finish(machine, state, event)
        }
    }

    /// Forgets all that a running machine had. The caller holds the machine's job.
    func finish(_ machine: Machine, _ state: MachineState, _ event: (Int32, Int32)) {
        guard let live = machine.live else { return }
        live.monitor.disconnect()
        taps.disconnect(live.definition)
        release(live.definition)
        tellHooksOfEnd(live.definition)
        let reference = machine.facts.reference
        machine.change { facts, running in
            running = nil
            facts.id = -1
            facts.state = state
            facts.wasUpdated = false
        }
        removeTraces(of: machine.facts.name, live.sockets)
        events.emit(
            .machine(
                MachineReference(name: reference.name, uuid: reference.uuid, id: -1),
                .lifecycle(event.0, detail: event.1)))
        if machine.facts.isPersistent {
            if let definition = try? definition(of: machine) {
                machine.change { facts, _ in facts.takeSizes(definition) }
            }
        } else {
            forget(machine)
        }
    }

    func removeTraces(of name: String, _ sockets: String) {
        StateFiles.removeFolder(sockets + "/root")
        for file in StateFiles.names(in: sockets, suffix: "") { try? StateFiles.remove(sockets + "/" + file) }
        StateFiles.removeFolder(sockets)
        for path in [folders.status(name), folders.processNumber(name)] {
            do throws(Errno) { try StateFiles.remove(path) } catch {
                Console.shared.warning("cannot remove '\(path)': \(error)")
            }
        }
    }
}
