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

    static let migrationCommands = [
        QMPCommandDefinition(
            "migrate",
            [
                QMPParameter("uri", .string), QMPParameter("detach", .boolean, optional: true),
                QMPParameter("blk", .boolean, optional: true), QMPParameter("inc", .boolean, optional: true),
                QMPParameter("resume", .boolean, optional: true),
            ]
        ) { (context, arguments) throws(QMPError) in
            for name in ["blk", "inc", "resume"] where arguments.bool(name) == true {
                throw QMPError("migrate with '\(name)' is not supported")
            }
            let named = context.server.namedDescriptors
            let source = try machine(context)
            do throws(UserError) {
                try source.beginMigration(to: arguments.string("uri")) { named[$0]?.number }
            } catch { throw QMPError(error.description) }
            return [:]
        },
        QMPCommandDefinition("migrate_cancel") { (context, _) throws(QMPError) in
            try machine(context).cancelMigration()
            return [:]
        },
        QMPCommandDefinition("migrate-incoming", [QMPParameter("uri", .string)]) {
            (context, arguments) throws(QMPError) in
            let target = try machine(context)
            do throws(UserError) { try target.beginIncoming(from: arguments.string("uri")) } catch {
                throw QMPError(error.description)
            }
            return [:]
        },
        QMPCommandDefinition("query-migrate") { context, _ in
            guard let state = (context.machine as? any MigrationControlling)?.migrationState else { return [:] }
            return report(state)
        },
        QMPCommandDefinition("query-migrate-parameters") { (context, _) throws(QMPError) in
            let limits = try machine(context).migrationLimits
            return [
                "max-bandwidth": JSONValue(limits.bandwidth), "downtime-limit": JSONValue(limits.downtime),
                "announce-initial": 50, "announce-max": 550, "announce-rounds": 5, "announce-step": 100,
            ]
        },
        QMPCommandDefinition(
            "migrate-set-parameters",
            [
                QMPParameter("max-bandwidth", .integer, optional: true),
                QMPParameter("downtime-limit", .integer, optional: true),
            ]
        ) { (context, arguments) throws(QMPError) in
            let target = try machine(context)
            var limits = target.migrationLimits
            if let value = arguments["max-bandwidth"]?.unsigned { limits.bandwidth = value }
            if let value = arguments["downtime-limit"]?.unsigned {
                let most: UInt64 = 2_000_000
                guard value <= most else {
                    throw QMPError(
                        "Parameter 'downtime_limit' expects an integer in the range of 0 to 2000 seconds")
                }
                limits.downtime = value
            }
            target.migrationLimits = limits
            return [:]
        },
        QMPCommandDefinition("query-migrate-capabilities") { _, _ in
            .array(capabilities.map { ["capability": .string($0.name), "state": .bool($0.isOn)] })
        },
        QMPCommandDefinition("migrate-set-capabilities", [QMPParameter("capabilities", .array)]) {
            (_, arguments) throws(QMPError) in
            for entry in arguments["capabilities"]?.array ?? [] {
                let name = entry["capability"]?.string ?? ""
                guard let known = capabilities.first(where: { $0.name == name }) else {
                    throw QMPError("Parameter 'capability' does not accept value '\(name)'")
                }
                guard entry["state"]?.bool == known.isOn else {
                    throw QMPError("capability '\(name)' is always \(known.isOn ? "on" : "off")")
                }
            }
            return [:]
        },
    ]

    /// What this program does in every move, and what in none.
    private static let capabilities: [(name: String, isOn: Bool)] = [
        ("xbzrle", false), ("rdma-pin-all", false), ("auto-converge", false), ("zero-blocks", false),
        ("compress", false), ("events", true), ("postcopy-ram", false), ("x-colo", false), ("release-ram", false),
        ("return-path", true), ("pause-before-switchover", false), ("multifd", false), ("dirty-bitmaps", false),
        ("postcopy-blocktime", false), ("late-block-activate", false), ("x-ignore-shared", false),
        ("validate-uuid", false), ("background-snapshot", false), ("zero-copy-send", false),
        ("postcopy-preempt", false),
    ]

    private static func report(_ state: MigrationState) -> JSONValue {
        var object: JSONObject = ["status": .string(state.status)]
        if let problem = state.problem { object["error-desc"] = .string(problem) }
        object["total-time"] = JSONValue(state.totalTime)
        object["setup-time"] = JSONValue(state.setupTime)
        if state.status == "completed" { object["downtime"] = JSONValue(state.downtime) }
        object["ram"] = [
            "total": JSONValue(state.total), "transferred": JSONValue(state.transferred),
            "remaining": JSONValue(state.remaining), "normal": JSONValue(state.pages),
            "normal-bytes": JSONValue(state.pages &* 4096), "page-size": 4096,
            "dirty-sync-count": JSONValue(state.rounds), "duplicate": 0, "skipped": 0, "mbps": 0,
            "dirty-pages-rate": 0, "postcopy-requests": 0, "multifd-bytes": 0, "pages-per-second": 0,
        ]
        return .object(object)
    }
}
