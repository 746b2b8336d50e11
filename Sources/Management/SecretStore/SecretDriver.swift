// SPDX-License-Identifier: Apache-2.0

internal import ByteCoding
internal import Diagnostics
public import HostSystem
public import ManagementModel
internal import StateStore
internal import XMLTree

/// What is known of a secret without its value.
public struct SecretFacts: Sendable {
    /// Name of its files, and what clients find it by.
    public let uuid: UniqueID
    /// 0 none, 1 volume, 2 ceph, 3 iscsi, 4 tls, 5 vtpm.
    public let usageType: Int32
    /// What it is for: a volume's path, a name.
    public let usage: String
    /// Definition and value are only in this process's memory.
    public let isEphemeral: Bool
    /// Clients cannot read the value, only the service can.
    public let isPrivate: Bool
}

/// All secrets: passphrases of encrypted volumes and the like, kept where libvirt keeps them.
public final class SecretDriver: @unchecked Sendable {
    private struct Secret {
        var root: XMLElement
        var facts: SecretFacts
        var value: [UInt8]?
    }

    private let folder: String
    private let events: EventHub
    private let lock = Lock()
    // Guarded by `lock`.
    private var secrets: [UniqueID: Secret] = [:]

    private static let kinds = ["none", "volume", "ceph", "iscsi", "tls", "vtpm"]
    private static let usageElements = ["", "volume", "name", "target", "name", "name"]
    /// What a value may be long: libvirt's bound of one message.
    private static let valueLimit = 65536

    /// - Parameter folder: of definitions and values (/etc/libvirt/secrets).
    public init(folder: String, events: EventHub) throws(Errno) {
        self.folder = folder
        self.events = events
        try StateFiles.makeFolder(folder, mode: 0o700)
    }

    // MARK: Finding

    /// All secrets.
    public var all: [SecretFacts] { lock.withLock { secrets.values.map(\.facts) } }

    /// Throws `noSecret`.
    public func find(_ uuid: UniqueID) throws -> SecretFacts { try secret(uuid).facts }

    private func secret(_ uuid: UniqueID) throws -> Secret {
        guard let found = lock.withLock({ secrets[uuid] }) else {
            throw ManagementError(.noSecret, "no secret with matching uuid '\(uuid)'", from: .secret)
        }
        return found
    }

    /// The secret for a use.
    public func find(usageType: Int32, _ usage: String) throws -> SecretFacts {
        let found = lock.withLock {
            secrets.values.first { $0.facts.usageType == usageType && $0.facts.usage == usage }
        }
        guard let found else {
            throw ManagementError(.noSecret, "no secret with matching usage '\(usage)'", from: .secret)
        }
        return found.facts
    }

    /// The definition, never the value.
    public func document(_ uuid: UniqueID) throws -> String { try secret(uuid).root.printed() }

    // MARK: Defining

    private func definitionPath(_ uuid: UniqueID) -> String { folder + "/\(uuid).xml" }
    private func valuePath(_ uuid: UniqueID) -> String { folder + "/\(uuid)" + Self.valueSuffix }
    private static let valueSuffix = ".base64"

    /// Reads a document and fills in what it leaves out.
    private static func parse(_ text: String) throws -> Secret {
        var root: XMLElement
        do throws(XMLSyntaxError) { root = try XMLParser.parse(text) } catch {
            throw ManagementError(
                .xmlDetail, "(definition_of_secret):\(error.line): \(error.message)\n\(error.context)", from: .xml)
        }
        guard root.name == "secret" else {
            throw ManagementError(
                .xmlError, "unexpected root element <\(root.name)>, expecting <secret>", from: .secret)
        }
        for name in ["ephemeral", "private"] where ![nil, "yes", "no"].contains(root[name]) {
            throw ManagementError(.xmlError, "invalid value of '\(name)'", from: .secret)
        }
        let uuid: UniqueID
        if let written = root[child: "uuid"]?.text {
            guard let parsed = UniqueID(written) else {
                throw ManagementError(.internalError, "malformed uuid element", from: .secret)
            }
            uuid = parsed
        } else {
            uuid = .random()
        }
        root[child: "uuid"] = XMLElement("uuid", text: uuid.description)
        let usage = root[child: "usage"]
        let kind = usage?["type"] ?? "none"
        guard let type = kinds.firstIndex(of: kind) else {
            throw ManagementError(.configUnsupported, "unknown secret usage type \(kind)", from: .secret)
        }
        let id = type == 0 ? "" : usage?[child: usageElements[type]]?.text ?? ""
        guard type == 0 || !id.isEmpty else {
            throw ManagementError(
                .internalError,
                "\(kind) usage specified, but \(usageElements[type])\(type == 1 ? " path" : "") is missing",
                from: .secret)
        }
        let (ephemeral, isPrivate) = (root["ephemeral"] == "yes", root["private"] == "yes")
        root["ephemeral"] = nil
        root["private"] = nil
        root["ephemeral"] = ephemeral ? "yes" : "no"
        root["private"] = isPrivate ? "yes" : "no"
        let ranks = ["uuid", "description", "usage"]
        root.elements = root.elements.enumerated().sorted { left, right in
            let places = [left, right].map { ranks.firstIndex(of: $0.element.name) ?? ranks.count }
            return places[0] != places[1] ? places[0] < places[1] : left.offset < right.offset
        }.map(\.element)
        return Secret(
            root: root,
            facts: SecretFacts(
                uuid: uuid, usageType: Int32(type), usage: id, isEphemeral: ephemeral, isPrivate: isPrivate))
    }

    /// Defines a secret, or changes one's document.
    public func define(_ text: String) throws -> SecretFacts {
        var made = try Self.parse(text)
        let uuid = made.facts.uuid
        try lock.withLock {
            for known in secrets.values where known.facts.uuid != uuid && made.facts.usageType != 0 {
                guard known.facts.usageType != made.facts.usageType || known.facts.usage != made.facts.usage else {
                    throw ManagementError(
                        .internalError,
                        "a secret with UUID \(known.facts.uuid) already defined for use with \(known.facts.usage)",
                        from: .secret)
                }
            }
            if let known = secrets[uuid] {
                guard known.facts.usage == made.facts.usage, known.facts.usageType == made.facts.usageType else {
                    throw ManagementError(
                        .internalError,
                        "a secret with UUID \(uuid) is already defined for use with \(known.facts.usage)",
                        from: .secret)
                }
                guard !known.facts.isPrivate || made.facts.isPrivate else {
                    throw ManagementError(
                        .operationDenied, "cannot change private flag on existing secret", from: .secret)
                }
                made.value = known.value
            }
            // A value without a definition goes at the next start; a definition without its value would stay.
            if !made.facts.isEphemeral, let value = made.value { try write(valuePath(uuid), Base64.encode(value)) }
            if !made.facts.isEphemeral { try write(definitionPath(uuid), made.root.printed()) }
            secrets[uuid] = made
        }
        emit(made.facts, 0)
        return made.facts
    }

    private func emit(_ facts: SecretFacts, _ event: Int32) {
        events.emit(.secret(facts.uuid, usageType: facts.usageType, usageID: facts.usage, event, detail: 0))
    }

    private func write(_ path: String, _ text: String) throws {
        do throws(Errno) { try StateFiles.write(path, text) } catch {
            throw ManagementError(.systemError, "cannot write '\(path)': \(error)", from: .secret)
        }
    }

    /// Removes definition and value, also while something is encrypted with it.
    public func undefine(_ uuid: UniqueID) throws {
        let facts = try secret(uuid).facts
        do throws(Errno) {
            try StateFiles.remove(definitionPath(uuid))
            try StateFiles.remove(valuePath(uuid))
        } catch { throw ManagementError(.systemError, "cannot remove secret \(uuid): \(error)", from: .secret) }
        lock.withLock { secrets[uuid] = nil }
        emit(facts, 1)
    }

    // MARK: Values

    /// At most `valueLimit` bytes; written to a file unless the secret is ephemeral.
    public func setValue(_ uuid: UniqueID, _ value: [UInt8]) throws {
        let secret = try secret(uuid)
        guard value.count <= Self.valueLimit else {
            throw ManagementError(.invalidArg, "the value of secret \(uuid) is too long", from: .secret)
        }
        if !secret.facts.isEphemeral { try write(valuePath(uuid), Base64.encode(value)) }
        lock.withLock { secrets[uuid]?.value = value }
        events.emit(
            .secretValueChanged(uuid, usageType: secret.facts.usageType, usageID: secret.facts.usage))
    }

    /// A secret's value.
    /// - Parameter internally: whether the service itself needs it; clients do not get private ones.
    public func value(_ uuid: UniqueID, internally: Bool = false) throws -> [UInt8] {
        let secret = try secret(uuid)
        guard internally || !secret.facts.isPrivate else {
            throw ManagementError(.invalidSecret, "secret is private", from: .secret)
        }
        guard let value = secret.value else {
            throw ManagementError(.noSecret, "secret '\(uuid)' does not have a value", from: .secret)
        }
        return value
    }

    /// Reads all definitions and values.
    public func recover() {
        StateFiles.sweep(folder)
        for name in StateFiles.names(in: folder, suffix: Self.valueSuffix)
        where !StateFiles.exists(folder + "/" + name + ".xml") {
            // Its definition was removed, or never written.
            try? StateFiles.remove(folder + "/" + name + Self.valueSuffix)
        }
        for name in StateFiles.names(in: folder, suffix: ".xml") {
            do {
                guard let text = try StateFiles.read(folder + "/" + name + ".xml") else { continue }
                var made = try Self.parse(text)
                if let value = try StateFiles.read(valuePath(made.facts.uuid)) {
                    made.value = Base64.decode(value.utf8, passingOver: .lineEnds)
                }
                lock.withLock { secrets[made.facts.uuid] = made }
            } catch { Console.shared.error("the secret '\(name)' is left out: \(error)") }
        }
    }
}
