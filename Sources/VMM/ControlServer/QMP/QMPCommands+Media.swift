// SPDX-License-Identifier: Apache-2.0

internal import ControlProtocol
internal import Diagnostics
internal import JSONCoding

extension QMPCommandTable {
    private static let drive = [
        QMPParameter("device", .string, optional: true), QMPParameter("id", .string, optional: true),
    ]

    /// Media of drives that can be changed.
    static let mediaCommands = [
        QMPCommandDefinition("eject", drive + [QMPParameter("force", .boolean, optional: true)]) {
            (context, arguments) throws(QMPError) in
            try MediaActions.perform(context.machine, arguments) { (machine, name) throws(UserError) in
                try machine.openTray(name, force: arguments.bool("force") ?? false)
                try machine.setMedium(name, to: .none)
            }
        },
        QMPCommandDefinition("blockdev-open-tray", drive + [QMPParameter("force", .boolean, optional: true)]) {
            (context, arguments) throws(QMPError) in
            try MediaActions.perform(context.machine, arguments) { (machine, name) throws(UserError) in
                try machine.openTray(name, force: arguments.bool("force") ?? false)
            }
        },
        QMPCommandDefinition("blockdev-close-tray", drive) { (context, arguments) throws(QMPError) in
            try MediaActions.perform(context.machine, arguments) { (machine, name) throws(UserError) in
                try machine.closeTray(name)
            }
        },
        QMPCommandDefinition("blockdev-remove-medium", drive) { (context, arguments) throws(QMPError) in
            try MediaActions.perform(context.machine, arguments) { (machine, name) throws(UserError) in
                try machine.setMedium(name, to: .none)
            }
        },
        QMPCommandDefinition("blockdev-insert-medium", drive + [QMPParameter("node-name", .string)]) {
            (context, arguments) throws(QMPError) in
            try MediaActions.perform(context.machine, arguments) { (machine, name) throws(UserError) in
                try machine.setMedium(name, to: .node(arguments.string("node-name")))
            }
        },
        QMPCommandDefinition(
            "blockdev-change-medium",
            drive + [
                QMPParameter("filename", .string), QMPParameter("format", .string, optional: true),
                QMPParameter("force", .boolean, optional: true),
                QMPParameter(
                    "read-only-mode", .string, optional: true, words: ["retain", "read-only", "read-write"]),
            ]
        ) { (context, arguments) throws(QMPError) in
            try MediaActions.perform(context.machine, arguments) { (machine, name) throws(UserError) in
                try machine.openTray(name, force: arguments.bool("force") ?? false)
                try machine.setMedium(
                    name, to: .file(arguments.string("filename"), format: arguments["format"]?.string))
                try machine.closeTray(name)
            }
        },
    ]
}

/// What QMP and the human monitor do with media.
enum MediaActions {
    static func perform(
        _ machine: any ControlledMachine, _ arguments: QMPArguments,
        _ body: (any MediaControlling, String) throws(UserError) -> Void
    ) throws(QMPError) -> JSONValue {
        guard let name = arguments["id"]?.string ?? arguments["device"]?.string else {
            throw QMPError("Need exactly one of 'device' and 'id'")
        }
        guard let machine = machine as? any MediaControlling, machine.hasRemovableMedium(name) else {
            throw QMPError("Device '\(name)' not found", class: .deviceNotFound)
        }
        do throws(UserError) { try body(machine, name) } catch { throw QMPError(error.description) }
        return [:]
    }
}

extension HumanCommandTable {
    private static func media(_ call: HumanCall, _ name: String) throws(HumanFailure) -> any MediaControlling {
        guard let machine = call.machine as? any MediaControlling, machine.hasRemovableMedium(name) else {
            throw .failed("Device '\(name)' not found")
        }
        return machine
    }

    /// eject and change.
    static let media = [
        HumanCommand("eject", "[-f] device", "eject a removable medium (use -f to force it)") {
            (call) throws(HumanFailure) in
            let force = call.takeFlag("f")
            guard let name = try call.word() else { throw .usage("eject: block device name expected") }
            let machine = try media(call, name)
            do throws(UserError) {
                try machine.openTray(name, force: force)
                try machine.setMedium(name, to: .none)
            } catch { throw .failed(error.description) }
        },
        HumanCommand("change", "device filename [format]", "change a removable medium") { (call) throws(HumanFailure) in
            guard let name = try call.word(), let file = try call.word() else {
                throw .usage("change: block device name expected")
            }
            let format = try call.word()
            if name == "vnc" {
                guard ["password", "passwd"].contains(file), let password = format else {
                    throw .failed("Parameter 'target' expects 'password' and the new one")
                }
                return try call.screen { (server) throws(QMPError) in
                    try ScreenServerAnswers.setPassword(password, of: server)
                }
            }
            let machine = try media(call, name)
            do throws(UserError) {
                try machine.openTray(name, force: false)
                try machine.setMedium(name, to: .file(file, format: format))
                try machine.closeTray(name)
            } catch { throw .failed(error.description) }
        },
    ]
}
