// SPDX-License-Identifier: Apache-2.0

public import JSONCoding

/// The error member of a QMP answer.
public struct QMPError: Error, Equatable, Sendable, CustomStringConvertible {
    /// What programs tell errors apart by; most are generic.
    public enum Class: String, Sendable {
        case generic = "GenericError"
        case commandNotFound = "CommandNotFound"
        case deviceNotActive = "DeviceNotActive"
        case deviceNotFound = "DeviceNotFound"
        case kvmMissingCapability = "KVMMissingCap"
    }
    /// The class that clients tell errors apart by; nearly all are `GenericError`.
    public var errorClass: Class
    /// For people.
    public var text: String

    /// An error whose `desc` is `text`, a sentence for people.
    public init(_ text: String, class errorClass: Class = .generic) {
        self.text = text
        self.errorClass = errorClass
    }

    /// The sentence alone, as the human monitor prints it.
    public var description: String { text }

    /// `{"class": ..., "desc": ...}`.
    public var json: JSONValue { ["class": .string(errorClass.rawValue), "desc": .string(text)] }
}

/// What a client sends.
public struct QMPCommand: Equatable, Sendable {
    /// The command's name in the schema, such as `query-status`.
    public var name: String
    /// The members of `arguments`; empty where the client sent none.
    public var arguments: JSONObject
    /// Echoed in the answer.
    public var identifier: JSONValue?
    /// Sent with `exec-oob`: not to wait for earlier commands.
    public var isOutOfBand = false

    /// A command as a client would send it.
    public init(name: String, arguments: JSONObject = [:], identifier: JSONValue? = nil) {
        self.name = name
        self.arguments = arguments
        self.identifier = identifier
    }

    /// Reads a client's message.
    /// - Throws: QEMU's errors for what is not a command.
    public init(_ message: JSONValue) throws(QMPError) {
        guard let object = message.object else { throw QMPError("QMP input must be a JSON object") }
        var name: String?
        arguments = [:]
        identifier = object["id"]
        for member in object.members {
            switch member.name {
            case "execute", "exec-oob":
                guard let text = member.value.string else {
                    throw QMPError("QMP input member '\(member.name)' must be a string")
                }
                guard name == nil else {
                    throw QMPError("QMP input members 'execute' and 'exec-oob' are mutually exclusive")
                }
                name = text
                isOutOfBand = member.name == "exec-oob"
            case "arguments":
                guard let given = member.value.object else {
                    throw QMPError("QMP input member 'arguments' must be an object")
                }
                arguments = given
            case "id": break
            default: throw QMPError("QMP input member '\(member.name)' is unexpected")
            }
        }
        guard let name else { throw QMPError("QMP input lacks member 'execute'") }
        self.name = name
    }

    /// As a client sends it.
    public var json: JSONValue {
        var object: JSONObject = ["execute": .string(name)]
        if !arguments.isEmpty { object["arguments"] = .object(arguments) }
        object["id"] = identifier
        return .object(object)
    }
}

/// An answer to one command.
public enum QMPResponse: Equatable, Sendable {
    case success(JSONValue, identifier: JSONValue?)
    case failure(QMPError, identifier: JSONValue?)

    /// As a server sends it.
    public var json: JSONValue {
        var object: JSONObject
        switch self {
        case .success(let value, let identifier):
            object = ["return": value]
            object["id"] = identifier
        case .failure(let error, let identifier):
            object = JSONObject()
            object["id"] = identifier
            object["error"] = error.json
        }
        return .object(object)
    }
}

/// Something that happened, sent to every client.
public struct QMPEvent: Equatable, Sendable {
    /// The event's name in the schema, such as `SHUTDOWN`.
    public var name: String
    /// What the event carries; `nil` for an event without data.
    public var data: JSONObject?
    /// Microseconds since 1970.
    public var microseconds: Int64

    /// An event that happened `microseconds` after the Unix epoch.
    public init(_ name: String, data: JSONObject? = nil, microseconds: Int64) {
        self.name = name
        self.data = data
        self.microseconds = microseconds
    }

    /// As a server sends it.
    public var json: JSONValue {
        var object: JSONObject = [
            "timestamp": [
                "seconds": .integer(microseconds / 1_000_000), "microseconds": .integer(microseconds % 1_000_000),
            ],
            "event": .string(name),
        ]
        if let data { object["data"] = .object(data) }
        return .object(object)
    }
}

/// Which release of the dialect is spoken.
public enum QMPVersion {
    /// The release of QEMU whose commands, names and defaults are offered.
    public static let emulated = (major: 7, minor: 2, micro: 22)
    /// What stands behind it: says that this is not QEMU itself.
    public static let package = "Roost"

    /// The answer to `query-version`.
    public static var json: JSONValue {
        [
            "qemu": [
                "micro": .integer(Int64(emulated.micro)), "minor": .integer(Int64(emulated.minor)),
                "major": .integer(Int64(emulated.major)),
            ],
            "package": .string(package),
        ]
    }

    /// The first message on a connection.
    public static var greeting: JSONValue { ["QMP": ["version": json, "capabilities": ["oob"]]] }
}
