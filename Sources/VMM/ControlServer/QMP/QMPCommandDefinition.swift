// SPDX-License-Identifier: Apache-2.0

internal import CharacterStreams
internal import ControlProtocol
internal import JSONCoding

/// One argument of a QMP command.
struct QMPParameter: Sendable {
    enum Kind: String, Sendable {
        case string, integer, boolean, number, object, array, any
    }
    let name: String
    let kind: Kind
    let isOptional: Bool
    /// The words that an enumeration takes; empty for a free text.
    var words: [String] = []

    init(_ name: String, _ kind: Kind, optional: Bool = false, words: [String] = []) {
        self.name = name
        self.kind = kind
        isOptional = optional
        self.words = words
    }

    func accepts(_ value: JSONValue) -> Bool {
        switch (kind, value) {
        case (.string, .string), (.integer, .integer), (.integer, .unsigned), (.boolean, .bool), (.object, .object),
            (.array, .array), (.number, .integer), (.number, .unsigned), (.number, .double), (.any, _):
            true
        default: false
        }
    }
}

/// The arguments of one command, checked against its parameters with QEMU's errors.
struct QMPArguments {
    private let values: JSONObject

    /// - Parameter takesOthers: further members are kept as they are.
    init(_ values: JSONObject, checkedBy parameters: [QMPParameter], takesOthers: Bool = false) throws(QMPError) {
        for parameter in parameters {
            guard let value = values[parameter.name] else {
                if parameter.isOptional { continue }
                throw QMPError("Parameter '\(parameter.name)' is missing")
            }
            guard parameter.accepts(value) else {
                throw QMPError("Invalid parameter type for '\(parameter.name)', expected: \(parameter.kind.rawValue)")
            }
            if let word = value.string, !parameter.words.isEmpty, !parameter.words.contains(word) {
                throw QMPError("Parameter '\(parameter.name)' does not accept value '\(word)'")
            }
        }
        if !takesOthers, let extra = values.names.first(where: { name in !parameters.contains { $0.name == name } }) {
            throw QMPError("Parameter '\(extra)' is unexpected")
        }
        self.values = values
    }

    subscript(_ name: String) -> JSONValue? { values[name] }
    /// All of them.
    var object: JSONObject { values }
    /// A required text; the check made sure of it.
    func string(_ name: String) -> String { values[name]?.string ?? "" }
    func integer(_ name: String) -> Int64? { values[name]?.integer }
    func bool(_ name: String) -> Bool? { values[name]?.bool }
}

/// What a command works with.
struct QMPContext {
    let server: ControlServer
    /// The connection it came by, for descriptors that are passed along; nil for a line of the human monitor.
    let stream: (any CharacterBackend)?
    var machine: any ControlledMachine { server.machine }
}

/// One QMP command: checking, dispatch, `query-commands` and `query-qmp-schema` all come from the table of these.
struct QMPCommandDefinition: Sendable {
    let name: String
    let parameters: [QMPParameter]
    /// What it takes depends on the arguments themselves (`blockdev-add`, `device_add`).
    var takesOthers = false
    let run: @Sendable (QMPContext, QMPArguments) throws(QMPError) -> JSONValue

    init(
        _ name: String, _ parameters: [QMPParameter] = [], takesOthers: Bool = false,
        _ run: @escaping @Sendable (QMPContext, QMPArguments) throws(QMPError) -> JSONValue
    ) {
        self.name = name
        self.parameters = parameters
        self.takesOthers = takesOthers
        self.run = run
    }
}

/// All commands.
enum QMPCommandTable {
    static let all: [QMPCommandDefinition] =
        protocolCommands + machineCommands + displayCommands + screenServerCommands + mediaCommands + processorCommands
        + translationCommands
        + blockCommands
        + characterCommands + objectCommands
        + deviceCommands + descriptorCommands + probingCommands + migrationCommands + jobCommands
        + blockChangeCommands + blockJobCommands + bitmapCommands + backupCommands + exportCommands
        + creationCommands + throttleCommands + dumpCommands + snapshotCommands
        + hotPlugCommands + inspectionCommands

    static let byName: [String: QMPCommandDefinition] = Dictionary(
        uniqueKeysWithValues: all.map { ($0.name, $0) })

    /// Events that can be sent, with the names of their data's members.
    static let events: [(name: String, members: [(name: String, type: String)])] = [
        ("SHUTDOWN", [("guest", "bool"), ("reason", "str")]), ("POWERDOWN", []),
        ("RESET", [("guest", "bool"), ("reason", "str")]), ("STOP", []), ("RESUME", []),
        ("GUEST_PANICKED", [("action", "str")]), ("GUEST_CRASHLOADED", [("action", "str")]),
        (
            "BLOCK_IO_ERROR",
            [
                ("device", "str"), ("node-name", "str"), ("operation", "str"), ("action", "str"), ("nospace", "bool"),
                ("reason", "str"),
            ]
        ), ("BALLOON_CHANGE", [("actual", "int")]), ("VSERPORT_CHANGE", [("id", "str"), ("open", "bool")]),
        ("DEVICE_DELETED", [("device", "str"), ("path", "str")]), ("ACPI_DEVICE_OST", [("info", "object")]),
        ("VNC_CONNECTED", [("server", "object"), ("client", "object")]),
        ("VNC_INITIALIZED", [("server", "object"), ("client", "object")]),
        ("VNC_DISCONNECTED", [("server", "object"), ("client", "object")]),
        ("DEVICE_TRAY_MOVED", [("device", "str"), ("id", "str"), ("tray-open", "bool")]),
        ("MIGRATION", [("status", "str")]), ("MIGRATION_PASS", [("pass", "int")]),
        ("JOB_STATUS_CHANGE", [("id", "str"), ("status", "str")]),
        ("BLOCK_JOB_READY", blockJobMembers), ("BLOCK_JOB_PENDING", [("type", "str"), ("id", "str")]),
        ("DUMP_COMPLETED", [("result", "object"), ("error", "str")]), ("BLOCK_EXPORT_DELETED", [("id", "str")]),
        ("BLOCK_JOB_COMPLETED", blockJobMembers + [("error", "str")]),
        ("BLOCK_JOB_CANCELLED", blockJobMembers),
        ("BLOCK_JOB_ERROR", [("device", "str"), ("operation", "str"), ("action", "str")]),
    ]

    private static let blockJobMembers = [
        ("type", "str"), ("device", "str"), ("len", "int"), ("offset", "int"), ("speed", "int"),
    ]
}
