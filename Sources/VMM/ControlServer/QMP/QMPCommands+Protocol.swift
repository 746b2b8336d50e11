// SPDX-License-Identifier: Apache-2.0

internal import MachineRuntime
internal import CommandLineKit
internal import ControlProtocol
internal import CPUInterface
internal import JSONCoding
internal import MachineSpec

extension QMPCommandTable {
    static let protocolCommands = [
        QMPCommandDefinition("qmp_capabilities", [QMPParameter("enable", .array, optional: true)]) {
            (_, arguments) throws(QMPError) in
            // Every command is answered at once, so that out-of-band ones need nothing more.
            if let other = arguments["enable"]?.array?.first(where: { $0.string != "oob" }) {
                throw QMPError("Parameter 'enable' does not accept value '\(other.string ?? other.printed())'")
            }
            return [:]
        },
        QMPCommandDefinition("query-version") { _, _ in QMPVersion.json },
        QMPCommandDefinition("query-commands") { _, _ in
            .array(all.map(\.name).sorted().map { ["name": .string($0)] })
        },
        QMPCommandDefinition("query-qmp-schema") { _, _ in QMPSchema.json },
        QMPCommandDefinition("query-command-line-options", [QMPParameter("option", .string, optional: true)]) {
            (_, arguments) throws(QMPError) in
            let flags = VMMFlags.table.flags.filter { flag in
                guard let wanted = arguments["option"]?.string else { return true }
                return CommandLineAnswers.group(of: flag.name) == wanted
            }
            if flags.isEmpty { throw QMPError("invalid option name: \(arguments.string("option"))") }
            return .array(
                flags.map { flag in
                    [
                        "option": .string(CommandLineAnswers.group(of: flag.name)),
                        "parameters": .array(CommandLineAnswers.parameters(of: flag.name)),
                    ]
                })
        },
        QMPCommandDefinition(
            "human-monitor-command",
            [QMPParameter("command-line", .string), QMPParameter("cpu-index", .integer, optional: true)]
        ) { (context, arguments) throws(QMPError) in
            let index = arguments.integer("cpu-index") ?? 0
            guard index == 0 || context.machine.runner.processors.contains(where: { Int64($0.index) == index }) else {
                throw QMPError("Parameter 'cpu-index' expects a CPU number")
            }
            let text = context.server.runHumanCommand(arguments.string("command-line"), processor: Int(index))
            return .string(text.split(separator: "\n", omittingEmptySubsequences: false).joined(separator: "\r\n"))
        },
    ]
}

/// `query-command-line-options`.
enum CommandLineAnswers {
    /// QEMU's name of a flag's group of options.
    static func group(of flag: String) -> String {
        switch flag {
        case "m": "memory"
        case "smp", "boot": flag + "-opts"
        default: flag
        }
    }

    private static let known: [String: [(name: String, type: String)]] = [
        "boot": [
            ("order", "string"), ("once", "string"), ("menu", "boolean"), ("splash", "string"),
            ("splash-time", "number"), ("reboot-timeout", "number"), ("strict", "boolean"),
        ],
        "smp": ["cpus", "sockets", "dies", "clusters", "cores", "threads", "maxcpus"].map { ($0, "number") },
        "m": [("size", "size"), ("slots", "number"), ("maxmem", "size")],
        "name": [("guest", "string"), ("process", "string"), ("debug-threads", "boolean")],
        "sandbox": [
            ("enable", "boolean"), ("obsolete", "string"), ("elevateprivileges", "string"), ("spawn", "string"),
            ("resourcecontrol", "string"),
        ],
        "action": [("reboot", "string"), ("shutdown", "string"), ("panic", "string")],
        "rtc": [("base", "string"), ("clock", "string"), ("driftfix", "string")],
        "msg": [("timestamp", "boolean"), ("guest-name", "boolean")],
        "overcommit": [("mem-lock", "boolean"), ("cpu-pm", "boolean")],
        "mon": [("mode", "string"), ("chardev", "string"), ("pretty", "boolean")],
        "fw_cfg": [("name", "string"), ("file", "string"), ("string", "string")],
        "add-fd": [("fd", "number"), ("set", "number"), ("opaque", "string")],
    ]

    static func parameters(of flag: String) -> [JSONValue] {
        if flag == "machine" {
            return MachineArguments.machineOptions.map {
                ["name": .string($0.name), "help": .string($0.summary), "type": .string($0.type)]
            }
        }
        return (known[flag] ?? []).map { ["name": .string($0.name), "type": .string($0.type)] }
    }
}

/// `query-qmp-schema`, made from the tables: what is not offered is not in it.
enum QMPSchema {
    static var json: JSONValue {
        var entries: [JSONValue] = []
        for kind in ["str", "int", "bool", "number", "any", "null"] {
            let name = kind == "str" ? "string" : kind == "bool" ? "boolean" : kind == "any" ? "value" : kind
            entries.append(["name": .string(kind), "meta-type": "builtin", "json-type": .string(name)])
        }
        entries.append(["name": "[any]", "meta-type": "array", "element-type": "any"])
        entries.append(["name": "0", "meta-type": "object", "members": []])
        for command in QMPCommandTable.all.sorted(by: { $0.name < $1.name }) {
            let argument = command.parameters.isEmpty ? "0" : "q_obj_\(command.name)-arg"
            entries.append([
                "name": .string(command.name), "meta-type": "command", "arg-type": .string(argument), "ret-type": "any",
            ])
            guard !command.parameters.isEmpty else { continue }
            entries.append([
                "name": .string(argument), "meta-type": "object",
                "members": .array(command.parameters.map(member)),
            ])
        }
        for event in QMPCommandTable.events {
            let argument = event.members.isEmpty ? "0" : "q_obj_\(event.name)-arg"
            entries.append([
                "name": .string(event.name), "meta-type": "event", "arg-type": .string(argument),
            ])
            guard !event.members.isEmpty else { continue }
            entries.append([
                "name": .string(argument), "meta-type": "object",
                "members": .array(event.members.map { ["name": .string($0.name), "type": .string($0.type)] }),
            ])
        }
        return .array(entries)
    }

    private static func member(_ parameter: QMPParameter) -> JSONValue {
        let type =
            switch parameter.kind {
            case .string: "str"
            case .integer: "int"
            case .boolean: "bool"
            case .number: "number"
            case .array: "[any]"
            case .object, .any: "any"
            }
        var object: JSONObject = ["name": .string(parameter.name), "type": .string(type)]
        if parameter.isOptional { object["default"] = .null }
        return .object(object)
    }
}
