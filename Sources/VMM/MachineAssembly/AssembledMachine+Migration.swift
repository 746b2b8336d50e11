// SPDX-License-Identifier: Apache-2.0

internal import BlockJobs
internal import BlockLayer
internal import ControlServer
internal import Diagnostics
internal import JSONCoding
internal import MachineRuntime
internal import MachineSpec
internal import Migration

extension MigrationParameters {
    init(_ settings: MigrationSettings) {
        self.init()
        maximumBandwidth = settings.number("max-bandwidth")
        downtimeLimit = settings.number("downtime-limit")
        channels = settings.has("multifd") ? Int(settings.number("multifd-channels")) : 0
        slowsDown = settings.has("auto-converge")
        throttleInitial = Int(settings.number("cpu-throttle-initial"))
        throttleIncrement = Int(settings.number("cpu-throttle-increment"))
        throttleMaximum = Int(settings.number("max-cpu-throttle"))
        throttleTrigger = Int(settings.number("throttle-trigger-threshold"))
        pausesBeforeSwitch = settings.has("pause-before-switchover")
    }
}

extension AssembledMachine: MigrationControlling {
    func beginMigration(to uri: String, descriptors: (String) -> Int32?) throws(UserError) {
        if let status = outgoing?.report.status, !status.isFinal {
            throw UserError("There's a migration process in progress")
        }
        guard !isIncoming else { throw UserError("Guest is waiting for an incoming migration") }
        guard runner.state != .postMigrate else {
            throw UserError("Can't migrate the vm that was paused due to previous migration")
        }
        // A mirror that is ready can be ended while the move waits before its last part.
        guard !storage.devices.jobs.isCopying(butReady: true) else {
            throw UserError("a block job is under way; wait for its end, or cancel it")
        }
        let move = OutgoingMigration(
            self,
            to: try MigrationChannel.opener(uri, security: try moveSecurity(isServer: false), descriptors: descriptors),
            parameters: MigrationParameters(migrationSettings),
            passed: { [self] number in
                guard migrationSettings.has("events") else { return }
                control?.emit("MIGRATION_PASS", data: ["pass": JSONValue(number)])
            }
        ) { [self] report in
            if let problem = report.problem { messages.error("migration to '\(uri)' failed: \(problem)") }
            tellMigration(report.status.rawValue)
        }
        outgoing = move
        tellMigration("setup")
        try move.begin()
    }

    /// What `tls-creds` and its companions ask for; nil for connections in clear.
    private func moveSecurity(isServer: Bool) throws(UserError) -> MigrationSecurity? {
        let name = migrationSettings.text("tls-creds")
        guard !name.isEmpty else { return nil }
        return MigrationSecurity(
            try credentials(name, isServer: isServer), hostname: migrationSettings.text("tls-hostname"),
            authorizedName: migrationSettings.text("tls-authz"))
    }

    private func tellMigration(_ status: String) {
        guard migrationSettings.has("events") else { return }
        control?.emit("MIGRATION", data: ["status": .string(status)])
    }

    func cancelMigration() {
        guard let outgoing else { return }
        let before = outgoing.report.status
        outgoing.cancel()
        if before != .cancelling, outgoing.report.status == .cancelling { tellMigration("cancelling") }
    }

    func continueMigration() throws(UserError) {
        guard let outgoing else { throw UserError("Migration not in expected state: none") }
        try outgoing.switchOver()
    }

    var migrationSettings: MigrationSettings {
        get { settingsForMoves }
        set {
            settingsForMoves = newValue
            outgoing?.set(MigrationParameters(newValue))
        }
    }

    var migrationState: MigrationState? {
        guard let report = outgoing?.report else {
            guard let incomingStatus else { return nil }
            var state = MigrationState(status: incomingStatus)
            switch incomingPlace {
            case .inet(let host, let port)?:
                state.socketAddresses = [["port": .string(port), "host": .string(host), "type": "inet"]]
            case .unix(let path)?: state.socketAddresses = [["path": .string(path), "type": "unix"]]
            case nil: break
            }
            return state
        }
        var state = MigrationState(status: report.status.rawValue)
        state.problem = report.problem
        state.totalTime = report.totalTime
        state.downtime = report.downtime
        state.setupTime = report.setupTime
        state.throttle = report.throttle
        var memory = MigrationState.Memory()
        memory.transferred = report.transferred
        memory.remaining = report.remaining
        memory.total = report.total
        memory.downtimeBytes = report.downtimeBytes
        memory.channelBytes = report.channelBytes
        memory.normal = report.dataPages
        memory.zero = report.zeroPages
        memory.dirtyRate = report.dirtyRate
        memory.pageRate = report.pageRate
        memory.rounds = report.rounds
        memory.megabits = report.megabits
        state.memory = memory
        return state
    }

    /// `-incoming`: on the loop's thread, before anything has run.
    func awaitState() {
        guard let uri = spec.lifecycle.incoming else { return }
        isIncoming = true
        startsOnceFilled = !spec.lifecycle.startsPaused
        runner.settle(.inMigrate)
        guard uri != "defer" else { return }
        do throws(UserError) { try receive(from: uri) { _ in nil } } catch { refuse(error) }
    }

    func beginIncoming(from uri: String, descriptors: (String) -> Int32?) throws(UserError) {
        guard isIncoming, spec.lifecycle.incoming == "defer" else {
            throw UserError("'-incoming' was not specified on the command line")
        }
        guard incoming == nil else { throw UserError("The incoming migration has already been started") }
        try receive(from: uri, descriptors: descriptors)
    }

    private func receive(from uri: String, descriptors: (String) -> Int32?) throws(UserError) {
        let entrance = try MigrationChannel.entrance(
            uri, security: try moveSecurity(isServer: true), descriptors: descriptors)
        incomingPlace = entrance.place
        let move = IncomingMigration(
            self, from: entrance,
            began: { [self] in
                incomingStatus = "active"
                tellMigration("active")
            }
        ) { [self] problem in
            if let problem { return refuse(problem) }
            incomingStatus = "completed"
            tellMigration("completed")
            announce(AnnouncementSettings(migrationSettings))
        }
        incoming = move
        incomingStatus = "setup"
        try move.begin()
        tellMigration("setup")
    }

    /// A machine that gets no state is of no use.
    private func refuse(_ problem: UserError) {
        messages.error("load of migration failed: \(problem)")
        incomingStatus = "failed"
        tellMigration("failed")
        runner.requestExit(status: 1, cause: .hostError)
    }

    func diskFlush() -> @Sendable () throws(UserError) -> Void {
        // Exactly these requests may come from any thread, as a guest's do.
        let backends = storage.devices.roots.map(\.backend).filter { !$0.isReadOnly }
        return { () throws(UserError) in
            for backend in backends {
                do throws(BlockError) { try backend.flush() } catch {
                    throw UserError("cannot write the disk '\(backend.location.filename)' out: \(error)")
                }
            }
        }
    }

    func releaseDisks() throws(UserError) {
        guard !storage.devices.jobs.isCopying(butReady: false) else {
            throw UserError("a block job is still under way; end it while the move waits (pause-before-switchover)")
        }
        do throws(BlockError) { try storage.devices.deactivate() } catch {
            throw UserError("cannot hand the disks over: \(error)")
        }
    }

    func takeDisks() throws(UserError) {
        // `cont` takes them then.
        if isIncoming, !startsOnceFilled, migrationSettings.has("late-block-activate") { return }
        do throws(BlockError) { try storage.devices.activate() } catch {
            throw UserError("cannot open the disks: \(error)")
        }
    }

    func setThrottle(_ percent: Int) { runner.setThrottle(percent) }
}
