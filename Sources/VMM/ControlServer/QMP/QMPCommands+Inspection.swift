// SPDX-License-Identifier: Apache-2.0

internal import ByteCoding
internal import CharacterStreams
internal import ControlProtocol
internal import Diagnostics
internal import JSONCoding

extension QMPCommandTable {
    /// Texts of the human monitor, traces, and questions about what no machine of ours has.
    static let inspectionCommands =
        [("numa", "numa"), ("roms", "roms"), ("usb", "usb"), ("ramblock", "ramblock"), ("irq", "irq")].map {
            text("x-query-\($0.0)", $0.1)
        } + traces + streams + absent

    /// What `info` says, for programs that show it to people.
    private static func text(_ name: String, _ topic: String) -> QMPCommandDefinition {
        QMPCommandDefinition(name) { (context, _) throws(QMPError) in
            var call = HumanCall(monitor: HumanMonitor(server: context.server), name: "info", rest: "")
            do throws(HumanFailure) { try InfoTable.all.first { $0.names.contains(topic) }?.run(&call) } catch {
                switch error {
                case .usage(let text), .failed(let text): throw QMPError(text)
                }
            }
            return ["human-readable-text": .string(call.output)]
        }
    }

    private static let traces = [
        QMPCommandDefinition(
            "trace-event-get-state", [QMPParameter("name", .string), QMPParameter("vcpu", .integer, optional: true)]
        ) { (_, arguments) throws(QMPError) in
            let found = try points(arguments, ignoresUnknown: false)
            return .array(
                found.map {
                    [
                        "name": .string($0.rawValue), "state": Trace.isEnabled($0) ? "enabled" : "disabled",
                        "vcpu": false,
                    ]
                })
        },
        QMPCommandDefinition(
            "trace-event-set-state",
            [
                QMPParameter("name", .string), QMPParameter("enable", .boolean),
                QMPParameter("ignore-unavailable", .boolean, optional: true),
                QMPParameter("vcpu", .integer, optional: true),
            ]
        ) { (_, arguments) throws(QMPError) in
            let found = try points(arguments, ignoresUnknown: arguments.bool("ignore-unavailable") ?? false)
            let sign = arguments.bool("enable") == true ? "" : "-"
            for point in found {
                do throws(UserError) { try Trace.enable(pattern: sign + point.rawValue) } catch {
                    throw QMPError(error.description)
                }
            }
            return [:]
        },
    ]

    private static func points(_ arguments: QMPArguments, ignoresUnknown: Bool) throws(QMPError) -> [TracePoint] {
        let name = arguments.string("name")
        if arguments["vcpu"] != nil { throw QMPError("event \"\(name)\" is not vCPU-specific") }
        let found = TraceAnswers.points(name)
        guard !found.isEmpty || name.hasSuffix("*") || ignoresUnknown else {
            throw QMPError("unknown event \"\(name)\"")
        }
        return found
    }

    private static let streams = [
        QMPCommandDefinition(
            "ringbuf-write",
            [
                QMPParameter("device", .string), QMPParameter("data", .string),
                QMPParameter("format", .string, optional: true, words: ["utf8", "base64"]),
            ]
        ) { (context, arguments) throws(QMPError) in
            let name = arguments.string("device"), text = arguments.string("data")
            guard let stream = context.machine.characterDevices[name] else {
                throw QMPError("Device '\(name)' not found")
            }
            guard let ring = stream as? RingStream else { throw QMPError("\(name) is not a ringbuf device") }
            var bytes = Array(text.utf8)
            if arguments["format"]?.string == "base64" {
                guard let decoded = Base64.decode(text.utf8, passingOver: .whiteSpace) else {
                    throw QMPError("Base64 data '\(text)' is not valid")
                }
                bytes = decoded
            }
            _ = ring.send(bytes[...])
            return [:]
        }
    ]

    private static let absent = [
        QMPCommandDefinition("query-vm-generation-id") { (_, _) throws(QMPError) in
            throw QMPError("VM Generation ID device not found")
        },
        // Nothing of ACPI's memory hot plug is there, of which the guest could tell.
        QMPCommandDefinition("query-acpi-ospm-status") { _, _ in [] },
        QMPCommandDefinition("query-pr-managers") { _, _ in [] },
        QMPCommandDefinition("query-stats-schemas", [QMPParameter("provider", .string, optional: true)]) { _, _ in [] },
        QMPCommandDefinition(
            "query-stats",
            [
                QMPParameter("target", .string, words: ["vm", "vcpu"]),
                QMPParameter("providers", .array, optional: true), QMPParameter("vcpus", .array, optional: true),
            ]
        ) { _, _ in [] },
    ]
}
