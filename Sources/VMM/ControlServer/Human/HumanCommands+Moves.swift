// SPDX-License-Identifier: Apache-2.0

internal import Diagnostics
internal import JSONCoding

extension HumanCommandTable {
    fileprivate static func migration(_ call: HumanCall) throws(HumanFailure) -> any MigrationControlling {
        guard let machine = call.machine as? any MigrationControlling else {
            throw .failed("this machine cannot be migrated")
        }
        return machine
    }

    /// Moves and what can be set for them.
    static let moves = [
        HumanCommand("announce_self", "[interfaces] [id]", "Trigger GARP/RARP announcements") {
            (call) throws(HumanFailure) in
            let cards = try call.word(), identifier = try call.word()
            try call.finish()
            guard let machine = call.machine as? any SelfAnnouncing else { return }
            var settings = AnnouncementSettings()
            if let migrating = machine as? any MigrationControlling {
                settings = AnnouncementSettings(migrating.migrationSettings)
            }
            settings.cards = cards?.split(separator: ",").map(String.init)
            settings.identifier = identifier ?? ""
            machine.announce(settings)
        },
        HumanCommand("migrate", "[-d] uri", "migrate to URI (in the background, always)") {
            (call) throws(HumanFailure) in
            var words: [String] = []
            while let word = try call.word() { if word != "-d" { words.append(word) } }
            guard !words.isEmpty else { throw .failed("migrate: string expected") }
            let machine = try migration(call)
            if let problem = call.monitor.server.moveBlocker { throw .failed(problem) }
            do throws(UserError) {
                try machine.beginMigration(to: words.joined(separator: " ")) { _ in nil }
            } catch { throw .failed(error.description) }
        },
        HumanCommand("migrate_cancel", "", "cancel the current VM migration") { (call) throws(HumanFailure) in
            try call.finish()
            try migration(call).cancelMigration()
        },
        HumanCommand("migrate_continue", "state", "Continue migration from the given paused state") {
            (call) throws(HumanFailure) in
            let state = try call.requiredWord("string"), machine = try migration(call)
            guard state == "pre-switchover" else { throw .failed("Migration not in expected state: \(state)") }
            do throws(UserError) { try machine.continueMigration() } catch { throw .failed(error.description) }
        },
        HumanCommand("migrate_incoming", "uri", "Continue an incoming migration from an -incoming defer") {
            (call) throws(HumanFailure) in
            let uri = try call.requiredWord("string"), machine = try migration(call)
            do throws(UserError) { try machine.beginIncoming(from: uri) { _ in nil } } catch {
                throw .failed(error.description)
            }
        },
        HumanCommand("migrate_set_parameter", "parameter value", "Set the parameter for migration") {
            (call) throws(HumanFailure) in
            let name = try call.requiredWord("string"), text = try call.requiredWord("string")
            let machine = try migration(call)
            var settings = machine.migrationSettings
            guard let parameter = MigrationSettings.table.first(where: { $0.name == name }) else {
                throw .failed("invalid parameter value: \(name)")
            }
            if let problem = settings.set(name, parameter.value(of: text)) { throw .failed(problem) }
            machine.migrationSettings = settings
        },
        HumanCommand(
            "migrate_set_capability", "capability state", "Enable/Disable the usage of a capability for migration"
        ) { (call) throws(HumanFailure) in
            let name = try call.requiredWord("string"), state = try call.requiredWord("on or off")
            let machine = try migration(call)
            guard MigrationSettings.capabilityTable.contains(where: { $0.name == name }) else {
                throw .failed("invalid parameter value: \(name)")
            }
            guard state == "on" || state == "off" else {
                throw .usage("migrate_set_capability: 'state' expects 'on' or 'off'")
            }
            var settings = machine.migrationSettings
            if let problem = settings.set(capability: name, state == "on") { throw .failed(problem) }
            machine.migrationSettings = settings
        },
    ]
}

extension MigrationSettings.Parameter {
    private static let kibibyte: Int64 = 1024

    /// A value as a person writes it: sizes in MiB, or with K, M, G.
    fileprivate func value(of text: String) -> JSONValue {
        switch kind {
        case .flag: return text == "on" ? true : text == "off" ? false : .string(text)
        case .text, .word: return .string(text)
        case .number:
            let isSize = unit.contains("bytes")
            var digits = text[...]
            var shift: Int64 = isSize ? 20 : 0
            if isSize, let place = ["B", "K", "M", "G", "T"].firstIndex(of: text.suffix(1).uppercased()) {
                digits = text.dropLast()
                shift = Int64(place) * 10
            }
            guard let number = Int64(digits), number >= 0, number <= Int64.max >> shift else { return .string(text) }
            return .integer(number << shift)
        }
    }
}

extension InfoTable {
    /// Moves and what is set for them.
    static let moves = [
        HumanCommand("migrate", "", "show migration status") { (call) throws(HumanFailure) in
            guard let state = try HumanCommandTable.migration(call).migrationState else { return }
            call.print(describe(state))
        },
        HumanCommand("migrate_parameters", "", "show current migration parameters") { (call) throws(HumanFailure) in
            let settings = try HumanCommandTable.migration(call).migrationSettings
            // As QEMU's list, which lacks some.
            let hidden = ["multifd-zlib-level", "multifd-zstd-level"]
            for parameter in MigrationSettings.table where !hidden.contains(parameter.name) {
                let value = settings.value(parameter.name)
                let text: String
                switch value {
                case .bool(let flag): text = flag ? "on" : "off"
                case .string(let word): text = parameter.name.hasPrefix("tls") ? "'\(word)'" : word
                default: text = value.printed()
                }
                call.print("\(parameter.name): \(text)\(parameter.unit)\n")
            }
        },
        HumanCommand("migrate_capabilities", "", "show current migration capabilities") { (call) throws(HumanFailure) in
            let settings = try HumanCommandTable.migration(call).migrationSettings
            for capability in MigrationSettings.capabilityTable {
                call.print("\(capability.name): \(settings.has(capability.name) ? "on" : "off")\n")
            }
        },
    ]

    private static func describe(_ state: MigrationState) -> String {
        var text = "Migration status: \(state.status)"
        if let problem = state.problem { text += " (\(problem))" }
        text += "\n"
        guard let memory = state.memory, state.status != "failed" else { return text }
        let isDone = state.status == "completed"
        text += "total time: \(state.totalTime) ms\n"
        text += "\(isDone ? "downtime" : "expected downtime"): \(state.downtime) ms\nsetup: \(state.setupTime) ms\n"
        text += "transferred ram: \(memory.transferred >> 10) kbytes\n"
        // Two digits behind the point.
        let hundredths = UInt64(max(memory.megabits, 0) * 100)
        let rest = hundredths % 100
        text += "throughput: \(hundredths / 100).\(rest < 10 ? "0" : "")\(rest) mbps\n"
        text += "remaining ram: \(memory.remaining >> 10) kbytes\ntotal ram: \(memory.total >> 10) kbytes\n"
        text += "duplicate: \(memory.zero) pages\nskipped: 0 pages\nnormal: \(memory.normal) pages\n"
        text += "normal bytes: \(memory.normal << 2) kbytes\ndirty sync count: \(memory.rounds)\n"
        text += "page size: 4 kbytes\nmultifd bytes: \(memory.channelBytes >> 10) kbytes\n"
        text += "pages-per-second: \(memory.pageRate)\n"
        if memory.dirtyRate > 0, !isDone { text += "dirty pages rate: \(memory.dirtyRate) pages\n" }
        if state.throttle > 0 { text += "cpu throttle percentage: \(state.throttle)\n" }
        if memory.downtimeBytes > 0 { text += "downtime ram: \(memory.downtimeBytes >> 10) kbytes\n" }
        return text
    }
}
