// SPDX-License-Identifier: Apache-2.0

internal import ControlServer
internal import Diagnostics
internal import JSONCoding
internal import MachineRuntime
internal import MachineSpec
internal import Migration

extension AssembledMachine: MigrationControlling {
    func beginMigration(to uri: String, descriptors: (String) -> Int32?) throws(UserError) {
        if let status = outgoing?.report.status, status == .active || status == .setup || status == .cancelling {
            throw UserError("There's a migration process in progress")
        }
        guard !isIncoming else { throw UserError("Guest is waiting for an incoming migration") }
        guard runner.state != .postMigrate else {
            throw UserError("Can't migrate the vm that was paused due to previous migration")
        }
        let move = OutgoingMigration(
            self, channel: try MigrationChannel.outgoing(uri, descriptors: descriptors),
            parameters: migrationParameters
        ) { [self] report in
            if let problem = report.problem { messages.error("migration to '\(uri)' failed: \(problem)") }
            control?.emit("MIGRATION", data: ["status": .string(report.status.rawValue)])
        }
        outgoing = move
        control?.emit("MIGRATION", data: ["status": "setup"])
        try move.begin()
        control?.emit("MIGRATION", data: ["status": "active"])
    }

    func cancelMigration() { outgoing?.cancel() }

    var migrationLimits: (bandwidth: UInt64, downtime: UInt64) {
        get { (migrationParameters.maximumBandwidth, migrationParameters.downtimeLimit) }
        set {
            migrationParameters.maximumBandwidth = newValue.bandwidth
            migrationParameters.downtimeLimit = newValue.downtime
        }
    }

    var migrationState: MigrationState? {
        guard let report = outgoing?.report else { return nil }
        return MigrationState(
            status: report.status.rawValue, problem: report.problem, totalTime: report.totalTime,
            downtime: report.downtime, setupTime: report.setupTime, transferred: report.transferred,
            remaining: report.remaining, total: report.total, pages: report.dataPages, rounds: report.rounds)
    }

    /// `-incoming`: on the loop's thread, before anything has run.
    func awaitState() {
        guard let uri = spec.lifecycle.incoming else { return }
        isIncoming = true
        runner.settle(.inMigrate)
        guard uri != "defer" else { return }
        do throws(UserError) { try receive(from: uri) } catch { refuse(error) }
    }

    func beginIncoming(from uri: String) throws(UserError) {
        guard isIncoming, spec.lifecycle.incoming == "defer" else {
            throw UserError("'-incoming' was not specified on the command line")
        }
        guard incoming == nil else { throw UserError("The incoming migration has already been started") }
        try receive(from: uri)
    }

    private func receive(from uri: String) throws(UserError) {
        let move = IncomingMigration(self) { () throws(UserError) in
            try MigrationChannel.incoming(uri)
        } ended: { [self] problem in
            if let problem { return refuse(problem) }
            control?.emit("MIGRATION", data: ["status": "completed"])
        }
        incoming = move
        try move.begin()
        control?.emit("MIGRATION", data: ["status": "setup"])
    }

    /// A machine that gets no state is of no use.
    private func refuse(_ problem: UserError) {
        messages.error("load of migration failed: \(problem)")
        control?.emit("MIGRATION", data: ["status": "failed"])
        runner.requestExit(status: 1, cause: .hostError)
    }
}
