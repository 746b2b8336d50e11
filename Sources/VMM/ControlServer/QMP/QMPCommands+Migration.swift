// SPDX-License-Identifier: Apache-2.0

internal import ControlProtocol
internal import Diagnostics
internal import HostSystem
internal import JSONCoding

extension QMPCommandTable {
    private static func machine(_ context: QMPContext) throws(QMPError) -> any MigrationControlling {
        guard let machine = context.machine as? any MigrationControlling else {
            throw QMPError("this machine cannot be migrated")
        }
        return machine
    }

    private static func settings(_ context: QMPContext) -> MigrationSettings {
        (context.machine as? any MigrationControlling)?.migrationSettings ?? MigrationSettings()
    }

    private static func perform(_ body: () throws(UserError) -> Void) throws(QMPError) -> JSONValue {
        do throws(UserError) { try body() } catch { throw QMPError(error.description) }
        return [:]
    }

    static let migrationCommands = [
        QMPCommandDefinition(
            "migrate",
            [
                QMPParameter("uri", .string), QMPParameter("detach", .boolean, optional: true),
                QMPParameter("blk", .boolean, optional: true), QMPParameter("inc", .boolean, optional: true),
                QMPParameter("resume", .boolean, optional: true),
            ]
        ) { (context, arguments) throws(QMPError) in
            guard arguments.bool("resume") != true else {
                throw QMPError("Cannot resume if there is no paused migration")
            }
            for name in ["blk", "inc"] where arguments.bool(name) == true {
                throw QMPError("migrate with '\(name)' is not supported")
            }
            let named = context.server.namedDescriptors
            let source = try machine(context)
            if let problem = context.server.moveBlocker { throw QMPError(problem) }
            return try perform { () throws(UserError) in
                try source.beginMigration(to: arguments.string("uri")) { named[$0]?.number }
            }
        },
        QMPCommandDefinition("migrate_cancel") { (context, _) throws(QMPError) in
            try machine(context).cancelMigration()
            return [:]
        },
        QMPCommandDefinition("migrate-continue", [QMPParameter("state", .string, words: statuses)]) {
            (context, arguments) throws(QMPError) in
            let source = try machine(context)
            guard arguments.string("state") == "pre-switchover" else {
                throw QMPError("Migration not in expected state: \(arguments.string("state"))")
            }
            return try perform { () throws(UserError) in try source.continueMigration() }
        },
        QMPCommandDefinition("migrate-incoming", [QMPParameter("uri", .string)]) {
            (context, arguments) throws(QMPError) in
            let named = context.server.namedDescriptors
            let target = try machine(context)
            return try perform { () throws(UserError) in
                try target.beginIncoming(from: arguments.string("uri")) { named[$0]?.number }
            }
        },
        // Memory never follows a machine that runs already, so that there is nothing of these to go on with.
        QMPCommandDefinition("migrate-recover", [QMPParameter("uri", .string)]) { (_, _) throws(QMPError) in
            throw QMPError("Migrate recover can only be run when postcopy is paused.")
        },
        QMPCommandDefinition("migrate-pause") { (_, _) throws(QMPError) in
            throw QMPError("migrate-pause is currently only supported during postcopy-active state")
        },
        QMPCommandDefinition("migrate-start-postcopy") { (_, _) throws(QMPError) in
            throw QMPError("Enable postcopy with migrate_set_capability before the start of migration")
        },
        QMPCommandDefinition("query-migrate") { context, _ in
            guard let state = (context.machine as? any MigrationControlling)?.migrationState else { return [:] }
            return MigrationAnswers.report(state)
        },
        QMPCommandDefinition("query-migrate-parameters") { context, _ in
            let settings = settings(context)
            var object: JSONObject = [:]
            for parameter in MigrationSettings.table { object[parameter.name] = settings.value(parameter.name) }
            return .object(object)
        },
        QMPCommandDefinition("migrate-set-parameters", parameters) { (context, arguments) throws(QMPError) in
            let target = try machine(context)
            var settings = target.migrationSettings
            for member in arguments.object.members {
                if member.name == "block-bitmap-mapping" {
                    // Nothing maps nothing.
                    guard member.value.array?.isEmpty == true else {
                        throw QMPError("bitmaps of disks are not sent; leave block-bitmap-mapping out")
                    }
                    continue
                }
                if let problem = settings.set(member.name, member.value) { throw QMPError(problem) }
            }
            target.migrationSettings = settings
            return [:]
        },
        QMPCommandDefinition("query-migrate-capabilities") { context, _ in
            let settings = settings(context)
            return .array(
                MigrationSettings.capabilityTable.map {
                    ["state": .bool(settings.has($0.name)), "capability": .string($0.name)]
                })
        },
        QMPCommandDefinition("migrate-set-capabilities", [QMPParameter("capabilities", .array)]) {
            (context, arguments) throws(QMPError) in
            var settings = settings(context)
            for (place, entry) in (arguments["capabilities"]?.array ?? []).enumerated() {
                guard let name = entry["capability"]?.string else {
                    throw QMPError("Parameter 'capabilities[\(place)].capability' is missing")
                }
                guard let isOn = entry["state"]?.bool else {
                    throw QMPError("Parameter 'capabilities[\(place)].state' is missing")
                }
                if let problem = settings.set(capability: name, isOn) {
                    throw QMPError(problem)
                }
            }
            if let target = context.machine as? any MigrationControlling {
                if target.migrationState.map({ ["setup", "active", "device"].contains($0.status) }) == true {
                    throw QMPError("There's a migration process in progress")
                }
                target.migrationSettings = settings
            }
            return [:]
        },
    ]

    /// QMP's `MigrationStatus`.
    private static let statuses = [
        "none", "setup", "cancelling", "cancelled", "active", "postcopy-active", "postcopy-paused", "postcopy-recover",
        "completed", "failed", "colo", "pre-switchover", "device", "wait-unplug",
    ]

    private static let parameters =
        MigrationSettings.table.map { parameter in
            switch parameter.kind {
            case .flag: QMPParameter(parameter.name, .boolean, optional: true)
            case .number, .text, .word: QMPParameter(parameter.name, .any, optional: true)
            }
        } + [QMPParameter("block-bitmap-mapping", .array, optional: true)]
}

/// `query-migrate`.
enum MigrationAnswers {
    static func report(_ state: MigrationState) -> JSONValue {
        var object: JSONObject = ["status": .string(state.status)]
        if let problem = state.problem { object["error-desc"] = .string(problem) }
        if !state.socketAddresses.isEmpty { object["socket-address"] = .array(state.socketAddresses) }
        guard let memory = state.memory, ["failed", "cancelled", "setup"].contains(state.status) == false else {
            return .object(object)
        }
        object["setup-time"] = JSONValue(state.setupTime)
        object[state.status == "completed" ? "downtime" : "expected-downtime"] = JSONValue(state.downtime)
        object["total-time"] = JSONValue(state.totalTime)
        if state.throttle > 0 { object["cpu-throttle-percentage"] = .integer(Int64(state.throttle)) }
        let page: UInt64 = 4096
        let precopy = memory.transferred &- min(memory.downtimeBytes, memory.transferred)
        object["ram"] = [
            "total": JSONValue(memory.total), "postcopy-requests": 0, "dirty-sync-count": JSONValue(memory.rounds),
            "multifd-bytes": JSONValue(memory.channelBytes), "pages-per-second": JSONValue(memory.pageRate),
            "downtime-bytes": JSONValue(memory.downtimeBytes), "page-size": JSONValue(page),
            "remaining": JSONValue(memory.remaining), "postcopy-bytes": 0, "mbps": .double(memory.megabits),
            "transferred": JSONValue(memory.transferred), "dirty-sync-missed-zero-copy": 0,
            "precopy-bytes": JSONValue(precopy), "duplicate": JSONValue(memory.zero),
            "dirty-pages-rate": JSONValue(memory.dirtyRate), "skipped": 0,
            "normal-bytes": JSONValue(memory.normal &* page), "normal": JSONValue(memory.normal),
        ]
        return .object(object)
    }
}
