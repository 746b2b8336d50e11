// SPDX-License-Identifier: Apache-2.0

internal import Diagnostics
public import HostSystem
public import ManagementModel
internal import StateStore
internal import XMLTree

/// All definitions of network filters, and the devices that they stand in front of: the tap devices of interfaces with a
/// `<filterref>`. Their rules are in a table of the host's firewall for each device (`RuleCompiler`).
public final class FilterDriver: @unchecked Sendable {
    struct Filter {
        var root: XMLElement
        var reference: ObjectReference
    }

    private let folder: String
    let host: FilterHost
    let lock = Lock()
    /// Held while rules are changed, so that those that were made last are those that are there.
    let changes = Lock()
    // Guarded by `lock`.
    var filters: [UniqueID: Filter] = [:]
    var bound: [String: FilterBinding] = [:]
    var abilities: RuleCompiler.Abilities?

    /// - Parameters:
    ///   - folder: of definitions (/etc/libvirt/nwfilter).
    ///   - runtime: of rules on their way to the firewall; the definitions' unless given.
    public init(folder: String, runtime: String? = nil) throws(Errno) {
        self.folder = folder
        host = FilterHost(folder: runtime ?? folder)
        try StateFiles.makeFolder(folder)
        if let runtime { try StateFiles.makeFolder(runtime) }
    }

    /// All filters, by name.
    public var all: [ObjectReference] {
        lock.withLock { filters.values.map(\.reference) }.sorted { $0.name < $1.name }
    }

    /// The filter of a name.
    public func find(named name: String) throws -> ObjectReference {
        guard let found = lock.withLock({ filters.values.first { $0.reference.name == name } }) else {
            throw ManagementError(
                .noNwfilter, "no nwfilter with matching name '\(name)'", from: .networkFilter)
        }
        return found.reference
    }

    private func filter(_ uuid: UniqueID) throws -> Filter {
        guard let found = lock.withLock({ filters[uuid] }) else {
            throw ManagementError(
                .noNwfilter, "no nwfilter with matching uuid '\(uuid)'", from: .networkFilter)
        }
        return found
    }

    /// The filter of a UUID.
    public func find(_ uuid: UniqueID) throws -> ObjectReference { try filter(uuid).reference }
    /// A filter's document.
    public func document(_ uuid: UniqueID) throws -> String { try filter(uuid).root.printed() }

    private static func parse(_ text: String, known: (String) -> UniqueID?) throws -> Filter {
        var root: XMLElement
        do throws(XMLSyntaxError) { root = try XMLParser.parse(text) } catch {
            throw ManagementError(
                .xmlDetail, "(nwfilter_definition):\(error.line): \(error.message)\n\(error.context)", from: .xml)
        }
        guard root.name == "filter" else {
            throw ManagementError(
                .xmlError, "unexpected root element <\(root.name)>, expecting <filter>", from: .networkFilter)
        }
        guard let name = root["name"], !name.isEmpty, !name.contains("/") else {
            throw ManagementError(.internalError, "filter has no name", from: .networkFilter)
        }
        let chain = root["chain"] ?? "root"
        let chains = ["root", "mac", "vlan", "stp", "arp", "rarp", "ipv4", "ipv6"]
        guard chains.contains(where: { chain.hasPrefix($0) }) else {
            throw ManagementError(.invalidArg, "Invalid chain name '\(chain)'", from: .networkFilter)
        }
        root["chain"] = chain
        let written = root[child: "uuid"].flatMap { UniqueID($0.text) }
        if root[child: "uuid"] != nil && written == nil {
            throw ManagementError(.xmlError, "malformed uuid element", from: .networkFilter)
        }
        let uuid = written ?? known(name) ?? .random()
        root[child: "uuid"] = nil
        root.children.insert(.element(XMLElement("uuid", text: uuid.description)), at: 0)
        for rule in root.all("rule") {
            guard let action = rule["action"], let direction = rule["direction"] else {
                throw ManagementError(
                    .internalError, "rule node requires action and direction attributes", from: .networkFilter)
            }
            guard ["accept", "drop", "reject", "continue", "return"].contains(action) else {
                throw ManagementError(
                    .configUnsupported, "unknown rule action attribute value", from: .networkFilter)
            }
            guard ["in", "out", "inout"].contains(direction) else {
                throw ManagementError(
                    .configUnsupported, "unknown rule direction attribute value", from: .networkFilter)
            }
        }
        return Filter(root: root, reference: ObjectReference(name: name, uuid: uuid))
    }

    /// Defines a filter, or defines it anew.
    public func define(_ text: String) throws -> ObjectReference {
        let (reference, old) = try keep(text)
        do { try reapply(reference.name) } catch {
            // What cannot be applied where the old one is stays as it was.
            if let old { _ = try keep(old.printed()) }
            throw error
        }
        return reference
    }

    private func keep(_ text: String) throws -> (ObjectReference, old: XMLElement?) {
        try lock.withLock {
            let made = try Self.parse(text) { name in
                filters.values.first { $0.reference.name == name }?.reference.uuid
            }
            let reference = made.reference
            for known in filters.values where known.reference.name == reference.name {
                guard known.reference.uuid == reference.uuid else {
                    throw ManagementError(
                        .operationFailed,
                        "filter '\(reference.name)' already exists with uuid \(known.reference.uuid)",
                        from: .networkFilter)
                }
            }
            if let known = filters[reference.uuid], known.reference.name != reference.name {
                throw ManagementError(
                    .operationFailed,
                    "filter with same UUID but different name ('\(known.reference.name)') already exists",
                    from: .networkFilter)
            }
            do throws(Errno) { try StateFiles.write(path(reference.name), made.root.printed()) } catch {
                throw ManagementError(
                    .systemError, "cannot write '\(path(reference.name))': \(error)", from: .networkFilter)
            }
            let old = filters[reference.uuid]?.root
            filters[reference.uuid] = made
            return (reference, old)
        }
    }

    private func path(_ name: String) -> String { folder + "/" + name + ".xml" }

    /// Removes a filter that nothing refers to and that stands in front of no device.
    public func undefine(_ uuid: UniqueID) throws {
        let reference = try filter(uuid).reference
        let isUsed = isApplied(reference.name)
        try lock.withLock {
            let user = filters.values.first { filter in
                filter.root.all("filterref").contains { $0["filter"] == reference.name }
            }
            guard user == nil, !isUsed else {
                throw ManagementError(.operationInvalid, "nwfilter is in use", from: .networkFilter)
            }
            do throws(Errno) { try StateFiles.remove(path(reference.name)) } catch {
                throw ManagementError(
                    .systemError, "cannot remove '\(path(reference.name))': \(error)", from: .networkFilter)
            }
            filters[uuid] = nil
        }
    }

    /// Reads all definitions.
    public func recover() {
        StateFiles.sweep(folder)
        for name in StateFiles.names(in: folder, suffix: ".xml") {
            do {
                guard let text = try StateFiles.read(path(name)) else { continue }
                let made = try Self.parse(text) { _ in nil }
                lock.withLock { filters[made.reference.uuid] = made }
            } catch { Console.shared.error("the network filter '\(name)' is left out: \(error)") }
        }
    }
}
