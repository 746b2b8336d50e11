// SPDX-License-Identifier: Apache-2.0

internal import Diagnostics
internal import Glibc
internal import HostInventory
internal import HostSystem
internal import JSONCoding
public import ManagementModel
internal import ManagementXML
internal import StateStore
internal import XMLTree

// What the guest says of itself, and its sleep.
extension MachineDriver {
    /// How often the guest reports its memory, in seconds; 0 for never.
    public func setMemoryReports(_ uuid: UniqueID, seconds: Int32, _ scope: ProcessorScope) throws {
        guard seconds >= 0 else { throw ManagementError(.invalidArg, "argument out of range: \(seconds)") }
        let machine = try machine(uuid)
        func change(_ definition: inout DomainDefinition) throws {
            guard let place = definition.devices.firstIndex(where: { $0.name == "memballoon" && $0["model"] != "none" })
            else {
                throw ManagementError(
                    .operationInvalid, "Memory balloon model must be virtio to set the collection period")
            }
            definition.devices[place][child: "stats"] =
                seconds == 0 ? nil : XMLElement("stats", ["period": "\(seconds)"])
            definition.order()
        }
        try machine.job.withLock {
            let (live, configuration) = try resolve(machine, scope)
            if live {
                var running = try machine.requireLive().definition
                try change(&running)
                try onMonitorOf(machine) { try Self.setReports($0.monitor, running, seconds) }
                machine.change { _, live in live?.definition = running }
                saveStatus(machine)
            }
            if configuration {
                var definition = try definition(of: machine)
                try change(&definition)
                try keep(definition, of: machine)
            }
        }
    }

    /// Begins to measure how fast a guest writes its memory; the figures are among the statistics.
    /// - Parameters:
    ///   - seconds: 1 to 60.
    ///   - mode: 0 or 1 for samples of pages, 2 for bitmaps.
    public func startDirtyRate(_ uuid: UniqueID, seconds: Int32, mode: UInt32) throws {
        guard seconds >= 1, seconds <= 60 else {
            throw ManagementError(
                .invalidArg, "seconds=\(seconds) is invalid, please choose value within [1, 60].")
        }
        try onMonitor(uuid) { _, live in
            let usesBitmaps: UInt32 = 2
            try live.monitor.execute(
                "calc-dirty-rate",
                [
                    "calc-time": .integer(Int64(seconds)),
                    "mode": mode & usesBitmaps != 0 ? "dirty-bitmap" : "page-sampling",
                ])
        }
    }

    /// What was measured of how fast a guest writes its memory.
    func dirtyRateFigures(_ live: LiveMachine) -> [TypedParameter] {
        guard let answer = try? live.monitor.execute("query-dirty-rate") else { return [] }
        let states = ["unstarted", "measuring", "measured"]
        let state = states.firstIndex(of: answer["status"]?.string ?? "") ?? 0
        var list = [
            TypedParameter("dirtyrate.calc_status", .int(Int32(state))),
            TypedParameter("dirtyrate.calc_start_time", .long(answer["start-time"]?.integer ?? 0)),
            TypedParameter("dirtyrate.calc_period", .int(Int32(clamping: answer["calc-time"]?.integer ?? 0))),
            TypedParameter("dirtyrate.calc_mode", .text(answer["mode"]?.string ?? "page-sampling")),
        ]
        if let rate = answer["dirty-rate"]?.integer {
            list.append(TypedParameter("dirtyrate.megabytes_per_second", .long(rate)))
        }
        return list
    }

    private static func balloon(_ definition: DomainDefinition) -> String? {
        let device = definition.devices.first { $0.name == "memballoon" && $0["model"] != "none" }
        return (device?[child: "alias"]?["name"]).map { "/machine/peripheral/" + $0 }
    }

    private static func setReports(
        _ monitor: MonitorClient, _ definition: DomainDefinition, _ seconds: Int32
    ) throws {
        guard let path = balloon(definition) else { return }
        try monitor.execute(
            "qom-set",
            ["path": .string(path), "property": "guest-stats-polling-interval", "value": .integer(Int64(seconds))])
    }

    /// Asks for reports as the document wants them, at a start.
    func startMemoryReports(_ monitor: MonitorClient, _ definition: DomainDefinition) {
        let device = definition.devices.first { $0.name == "memballoon" && $0["model"] != "none" }
        guard let period = device?[child: "stats"]?["period"].flatMap({ Int32($0) }), period > 0 else { return }
        // A machine runs without them, too.
        do { try Self.setReports(monitor, definition, period) } catch {
            Console.shared.warning("the guest of '\(definition.name)' does not report its memory: \(error)")
        }
    }

    /// Names of what a guest reports, with libvirt's tags and what one of them is in bytes.
    private static let reports: [(name: String, tag: Int32, unit: UInt64)] = [
        ("stat-swap-in", 0, 1024), ("stat-swap-out", 1, 1024), ("stat-major-faults", 2, 1),
        ("stat-minor-faults", 3, 1), ("stat-free-memory", 4, 1024), ("stat-total-memory", 5, 1024),
        ("stat-available-memory", 8, 1024), ("stat-disk-caches", 10, 1024), ("stat-htlb-pgalloc", 11, 1),
        ("stat-htlb-pgfail", 12, 1),
    ]
    private static let actualTag: Int32 = 6, residentTag: Int32 = 7, updateTag: Int32 = 9

    /// What a running machine's memory is used for: sizes in KiB, and counts, by libvirt's tags.
    public func memoryFigures(_ uuid: UniqueID) throws -> [(tag: Int32, value: UInt64)] {
        let machine = try machine(uuid)
        let live = try machine.requireLive()
        var list: [(tag: Int32, value: UInt64)] = [(Self.actualTag, machine.facts.memory)]
        if let path = Self.balloon(live.definition),
            let answer = try? live.monitor.execute("qom-get", ["path": .string(path), "property": "guest-stats"])
        {
            for report in Self.reports {
                // A guest that does not count something says -1.
                guard let value = answer["stats"]?[report.name]?.unsigned, value < UInt64(Int64.max) else { continue }
                list.append((report.tag, value / report.unit))
            }
            list.append((Self.updateTag, answer["last-update"]?.unsigned ?? 0))
        }
        if let times = ProcessTimes(live.process) { list.append((Self.residentTag, times.residentKiB)) }
        return list
    }

    /// Wakes a guest that sleeps.
    public func wake(_ uuid: UniqueID) throws {
        let machine = try machine(uuid)
        try machine.job.withLock {
            _ = try machine.requireLive()
            try onMonitorOf(machine) { _ = try $0.monitor.execute("system_wakeup") }
        }
    }

    /// Puts a guest to sleep through its agent: 0 to memory, 1 to disk, 2 both.
    public func sleep(_ uuid: UniqueID, target: UInt32, seconds: UInt64) throws {
        guard seconds == 0 else {
            throw ManagementError(.argumentUnsupported, "Duration not supported. Use 0 for now")
        }
        let commands = ["guest-suspend-ram", "guest-suspend-disk", "guest-suspend-hybrid"]
        guard target < commands.count else {
            throw ManagementError(.argumentUnsupported, "Unknown suspend target: \(target)")
        }
        let machine = try machine(uuid)
        try machine.job.withLock {
            _ = try machine.requireLive()
            _ = try agentCommand(machine, commands[Int(target)])
        }
    }

    /// What the guest's agent says of its processors.
    public func guestProcessors(_ uuid: UniqueID) throws -> [TypedParameter] {
        let machine = try machine(uuid)
        let list = try machine.job.withLock {
            _ = try machine.requireLive()
            return try agentCommand(machine, "guest-get-vcpus").array ?? []
        }
        func numbers(_ matches: (JSONValue) -> Bool) -> String {
            let found = list.filter(matches).compactMap { $0["logical-id"]?.unsigned }.filter { $0 < 4096 }
            var map = [UInt8](repeating: 0, count: 512)
            for number in found { map[Int(number / 8)] |= 1 << UInt8(number % 8) }
            return ProcessorSet.text(map)
        }
        return [
            TypedParameter("vcpus", .text(numbers { _ in true })),
            TypedParameter("online", .text(numbers { $0["online"]?.bool == true })),
            TypedParameter("offlinable", .text(numbers { $0["can-offline"]?.bool == true })),
        ]
    }

    /// Has the guest's agent start or stop processors.
    public func setGuestProcessors(_ uuid: UniqueID, _ text: String, online: Bool) throws {
        let machine = try machine(uuid)
        guard let map = ProcessorSet.map(text, length: 512), map.contains(where: { $0 != 0 }) else {
            throw ManagementError(.invalidArg, "cannot parse processors '\(text)'")
        }
        let numbers = (0..<4096).filter { map[$0 / 8] & (1 << UInt8($0 % 8)) != 0 }
        let wanted = numbers.map { JSONValue.object(["logical-id": .integer(Int64($0)), "online": .bool(online)]) }
        try machine.job.withLock {
            _ = try machine.requireLive()
            let done = try agentCommand(machine, "guest-set-vcpus", ["vcpus": .array(wanted)])
            guard done.integer == Int64(numbers.count) else {
                throw ManagementError(.internalError, "guest agent reports fewer processors changed than asked for")
            }
        }
    }

    /// What an emulator's command line would be for a document.
    public func nativeArguments(_ text: String) throws -> String {
        var definition = try DomainDefinition(parsing: text, context)
        let emulator = try facts(ofEmulator: definition.emulator)
        DeviceAliases.assign(to: &definition)
        definition.devices = definition.devices.map { device in
            guard device.name == "interface", device["type"] != "user", device[child: "target"]?["dev"] == nil else {
                return device
            }
            var device = device
            device[child: "target"] = XMLElement("target", ["dev": "vnet0"])
            return device
        }
        var builder = CommandLineBuilder(
            definition, emulator: emulator, socketFolder: folders.sockets(-1, definition.name))
        let words = try [definition.emulator] + builder.build()
        return words.map(Self.quoted).joined(separator: " ") + "\n"
    }

    /// Signs that a shell leaves as they are.
    private static let plain = Set("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789+,-./:_=")

    private static func quoted(_ word: String) -> String {
        guard word.isEmpty || !word.allSatisfy(plain.contains) else { return word }
        return "'" + word.split(separator: "'", omittingEmptySubsequences: false).joined(separator: "'\\''") + "'"
    }
}
