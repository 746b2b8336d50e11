// SPDX-License-Identifier: Apache-2.0

internal import XDRCoding
internal import ClientKit
internal import CommandLineKit
internal import Diagnostics
internal import Glibc
internal import HostSystem
internal import JSONCoding
internal import LibvirtProtocol
internal import ManagementModel
internal import XMLTree

extension Verbs {
    static let machines: [Verb] = [
        Verb("list", options: [VerbOption("running", nil, "only those that run")], "show all machines", run: list),
        Verb("info", [.machine], "show one machine: what it is made of and how to reach it", run: info),
        Verb(
            "start", [.rest("NAME", .machine)], options: [VerbOption("paused", nil, "wait for 'roost resume'")],
            "start machines", run: start),
        Verb(
            "stop", [.rest("NAME", .machine)],
            options: [
                VerbOption("force", nil, "switch off at once, as by pulling the plug"),
                VerbOption("timeout", "SECONDS", "how long a machine may take to shut down (60)"),
            ], "shut machines down and wait until they have ended", run: stop),
        Verb("restart", [.machine], "ask a machine to restart") {
            let service = try Service($0.settings)
            _ = try service.server.call(
                Procedures.domainReboot, Message(try service.machine($0.words[0]), 0))
        },
        Verb("pause", [.machine], "hold a machine") {
            let service = try Service($0.settings)
            _ = try service.server.call(Procedures.domainSuspend, Message(try service.machine($0.words[0])))
        },
        Verb("resume", [.machine], "let a machine go on") {
            let service = try Service($0.settings)
            _ = try service.server.call(Procedures.domainResume, Message(try service.machine($0.words[0])))
        },
        Verb(
            "rm", [.rest("NAME", .machine)],
            options: [
                VerbOption("force", nil, "switch it off first if it runs"),
                VerbOption("keep-disks", nil, "keep the disks that 'roost up' or 'roost clone' made for it"),
            ], "remove machines, and the disks that were made for them", run: remove),
        Verb(
            "autostart", [.machine], options: [VerbOption("off", nil, "no longer")],
            "start a machine whenever the host starts"
        ) {
            let service = try Service($0.settings)
            _ = try service.server.call(
                Procedures.domainSetAutostart, Message(try service.machine($0.words[0]), $0.has("off") ? 0 : 1))
        },
        Verb("console", [.machine], "use a machine's serial console; Ctrl-] leaves it") {
            let service = try Service($0.settings)
            try ConsoleLink.attach(to: try service.machine($0.words[0]), of: service)
        },
        Verb("clone", [.machine, .required("NEW")], "copy a machine that does not run, with its disks") {
            try Cloning(service: try Service($0.settings)).clone($0.words[0], as: $0.words[1])
            try Output.say(
                "\($0.words[1]) is a copy of \($0.words[0]); start it with: roost start \($0.words[1])", $0.settings)
        },
    ]

    // MARK: Lists

    /// Parts of a machine's statistics (virDomainStatsTypes).
    private static let stateStatistics: UInt32 = 1, balloonStatistics: UInt32 = 4, vCPUStatistics: UInt32 = 8

    private static func list(_ invocation: Invocation) throws {
        let service = try Service(invocation.settings)
        let records = try service.server.call(
            Procedures.connectGetAllDomainStats,
            Message([], stateStatistics | balloonStatistics | vCPUStatistics, 0)
        ).fields
        var report = Report([
            .init(title: "NAME", key: "name"), .init(title: "STATE", key: "state"),
            .init(title: "CPUS", key: "cpus", isNumber: true), .init(title: "MEMORY", key: "memory", isNumber: true),
            .init(title: "UUID", key: "uuid"),
        ])
        for record in records.sorted(by: { $0.domain.name < $1.domain.name }) {
            let condition = MachineCondition(number: Int32(record.number("state.state") ?? 0))
            guard condition.isActive || !invocation.has("running") else { continue }
            report.rows.append([
                .init(record.domain.name), .init(condition.rawValue),
                .init(Int(record.number("vcpu.current") ?? 0)),
                // The balloon is counted in KiB.
                .init(bytes: UInt64(record.number("balloon.maximum") ?? 0) << 10),
                .init(record.domain.uuid.description),
            ])
        }
        try Output.write(report, invocation.settings)
    }

    private static func info(_ invocation: Invocation) throws {
        let service = try Service(invocation.settings)
        let machine = try service.machine(invocation.words[0])
        let document = try XMLParser.parse(try service.document(machine))
        let condition = try service.state(machine)
        let address = try MachineReach(service).find(machine, document)
        let devices = document[child: "devices"]
        let disks = devices?.all("disk").map { disk in
            "\(disk[child: "target"]?["dev"] ?? "?") \(disk[child: "source"]?["file"] ?? "empty")"
        }
        let facts: [(String, String, JSONValue)] = [
            ("Name", "name", .string(machine.name)), ("State", "state", .string(condition.rawValue)),
            ("UUID", "uuid", .string(machine.uuid.description)),
            ("CPUs", "cpus", .string(document[child: "vcpu"]?.text ?? "1")),
            (
                "Memory", "memory",
                .string(ByteAmount.text((UInt64(document[child: "memory"]?.text ?? "") ?? 0) << 10))
            ),
            ("Disks", "disks", .array((disks ?? []).map { .string($0) })),
            (
                "Networks", "networks",
                .array(
                    (devices?.all("interface") ?? []).map {
                        .string(
                            "\($0[child: "source"]?["network"] ?? $0["type"] ?? "?") \($0[child: "mac"]?["address"] ?? "")"
                        )
                    })
            ),
            ("Reach it", "address", address.map { .string($0.description) } ?? .null),
        ]
        if invocation.settings.json {
            return try Output.write(
                JSONValue.object(JSONObject(facts.map { ($0.1, $0.2) })).printed(pretty: true) + "\n")
        }
        for (title, _, value) in facts {
            let texts = value.array?.compactMap(\.string) ?? [value.string ?? "-"]
            for (place, text) in texts.enumerated() {
                let label = place == 0 ? title + ":" : ""
                try Output.write(label + String(repeating: " ", count: 12 - label.count) + text + "\n")
            }
        }
    }

    // MARK: Life

    /// Each of the machines that were named.
    private static func each(_ invocation: Invocation, _ body: (Service, DomainHandle) throws -> Void) throws {
        guard !invocation.words.isEmpty else {
            throw UserError("roost \(invocation.verb.name) needs NAME", remedy: "usage: \(invocation.verb.synopsis)")
        }
        let service = try Service(invocation.settings)
        // All names are looked up first: a mistyped one leaves everything as it was.
        for machine in try invocation.words.map(service.machine) { try body(service, machine) }
    }

    private static func start(_ invocation: Invocation) throws {
        try each(invocation) { service, machine in
            _ = try service.server.call(
                Procedures.domainCreateWithFlags, Message(machine, invocation.has("paused") ? 1 : 0))
            try Output.say("\(machine.name) runs", invocation.settings)
        }
    }

    private static func stop(_ invocation: Invocation) throws {
        let timeout = try invocation.number("timeout", in: 1...86400, default: 60)
        try each(invocation) { service, machine in
            if invocation.has("force") {
                _ = try service.server.call(Procedures.domainDestroy, Message(machine))
            } else {
                try shutDown(machine, of: service, seconds: timeout)
            }
            try Output.say("\(machine.name) has stopped", invocation.settings)
        }
    }

    private static func shutDown(_ machine: DomainHandle, of service: Service, seconds: Int) throws {
        _ = try service.server.call(Procedures.domainShutdown, Message(machine))
        var progress = Progress(machine.name)
        defer { progress.end() }
        while progress.elapsed < Double(seconds) {
            do throws(ClientError) {
                let number = try service.server.call(Procedures.domainGetState, Message(machine, 0)).fields.0
                if !MachineCondition(number: number).isActive { return }
            } catch {
                // A machine that is not defined is gone when it ends.
                if error.code != nil { return }
                throw error
            }
            progress.waiting("shutting down")
            usleep(100_000)
        }
        throw UserError(
            "\(machine.name) has not shut down in \(seconds) seconds",
            remedy: "switch it off with: roost stop --force \(machine.name)")
    }

    /// Saved state, snapshots' and checkpoints' records and firmware variables go with the definition.
    private static let undefineEverything: UInt32 = 1 | 2 | 4 | 16

    private static func remove(_ invocation: Invocation) throws {
        try each(invocation) { service, machine in
            if try service.state(machine).isActive {
                guard invocation.has("force") else {
                    throw UserError(
                        "\(machine.name) runs",
                        remedy: "stop it with: roost stop \(machine.name); or remove it with --force")
                }
                _ = try service.server.call(Procedures.domainDestroy, Message(machine))
            }
            let document = try XMLParser.parse(try service.document(machine, isInactive: true))
            _ = try service.server.call(Procedures.domainUndefineFlags, Message(machine, undefineEverything))
            if !invocation.has("keep-disks") {
                for path in OwnedFiles.paths(document) {
                    let volume = try service.server.call(Procedures.storageVolLookupByPath, Message(path)).fields
                    _ = try service.server.call(Procedures.storageVolDelete, Message(volume, 0))
                }
            }
            try Output.say("\(machine.name) is removed", invocation.settings)
        }
    }
}

extension DomainStatsRecord {
    /// The number of a name; nil where it is absent.
    func number(_ name: String) -> Int64? {
        switch parameters.first(where: { $0.name == name })?.value {
        case .int(let number): Int64(number)
        case .uint(let number): Int64(number)
        case .long(let number): number
        case .ulong(let number): Int64(clamping: number)
        default: nil
        }
    }
}
