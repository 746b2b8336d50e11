// SPDX-License-Identifier: Apache-2.0

internal import Diagnostics
public import HostTools
public import HostSystem
public import ManagementModel
internal import StateStore
public import XMLTree

/// What is known of a network without its document.
public struct NetworkFacts: Sendable {
    /// Name and UUID.
    public let reference: ObjectReference
    /// Whether machines can be connected now.
    public let isActive: Bool
    /// Whether it has a definition that stays.
    public let isPersistent: Bool
    /// Autostart: whether it is started when the service starts.
    public let startsWithService: Bool
    /// The bridge that its machines are connected to.
    public let bridge: String
}

/// All virtual networks: isolated, NAT and routed ones on bridges of the service's own.
public final class NetworkDriver: @unchecked Sendable {
    private struct Network {
        var definition: NetworkDefinition
        /// What is up; it may differ from what the next start makes.
        var live: NetworkDefinition?
        var isActive = false
        var present: NetworkDefinition { live ?? definition }
        var isPersistent = false
        var startsWithService = false
    }

    private let folder: String
    private let runtime: String
    private let events: EventHub
    private let host: HostNetwork
    private let hooks: HookScripts
    private let lock = Lock()
    // Guarded by `lock`.
    private var networks: [UniqueID: Network] = [:]

    /// - Parameters:
    ///   - folder: of definitions (/etc/libvirt/qemu/networks).
    ///   - runtime: of what a reboot ends (/run/libvirt/network).
    ///   - state: of leases (/var/lib/libvirt/dnsmasq).
    ///   - hooks: the administrator's scripts.
    public init(
        folder: String, runtime: String, state: String, events: EventHub,
        hooks: HookScripts = HookScripts(folder: "/nonexistent")
    ) throws(Errno) {
        self.hooks = hooks
        self.folder = folder
        self.runtime = runtime
        self.events = events
        host = HostNetwork(state: state)
        for path in [folder + "/autostart", runtime, state] { try StateFiles.makeFolder(path) }
    }

    // MARK: Finding

    private func network(_ uuid: UniqueID) throws -> Network {
        guard let network = lock.withLock({ networks[uuid] }) else {
            throw ManagementError(.noNetwork, "no network with matching uuid '\(uuid)'", from: .network)
        }
        return network
    }

    private static func facts(_ network: Network) -> NetworkFacts {
        NetworkFacts(
            reference: network.definition.reference, isActive: network.isActive, isPersistent: network.isPersistent,
            startsWithService: network.startsWithService, bridge: network.present.bridge)
    }

    /// In no particular order.
    public var all: [NetworkFacts] { lock.withLock { networks.values.map(Self.facts) } }
    /// Throws `noNetwork`.
    public func facts(_ uuid: UniqueID) throws -> NetworkFacts { Self.facts(try network(uuid)) }

    /// Throws `noNetwork`.
    public func find(named name: String) throws -> NetworkFacts {
        guard let found = lock.withLock({ networks.values.first { $0.definition.name == name } }) else {
            throw ManagementError(.noNetwork, "no network with matching name '\(name)'", from: .network)
        }
        return Self.facts(found)
    }

    /// The bridge of a network that is up.
    public func bridge(ofNetwork name: String) throws -> String {
        let facts = try find(named: name)
        guard facts.isActive else {
            throw ManagementError(.operationInvalid, "network '\(name)' is not active", from: .network)
        }
        return facts.bridge
    }

    /// The `<vlan>` of a network's port group, or of the network.
    public func vlan(ofNetwork name: String, group: String?) -> XMLElement? {
        guard let uuid = try? find(named: name).reference.uuid, let root = try? network(uuid).present.root else {
            return nil
        }
        let groups = root.all("portgroup")
        let chosen = groups.first { $0["name"] == group } ?? groups.first { group == nil && $0["default"] == "yes" }
        return chosen?[child: "vlan"] ?? root[child: "vlan"]
    }

    /// A network's document: what is up, or what the next start makes.
    public func document(_ uuid: UniqueID, inactive: Bool = false) throws -> String {
        let network = try network(uuid)
        var root = (inactive ? network.definition : network.present).root
        if !inactive, network.isActive {
            // How many machines are connected.
            let ports = connections(network.present)
            if ports > 0 { root.attributes.insert(XMLAttribute("connections", "\(ports)"), at: 0) }
        }
        return root.printed(.init(foreign: ["metadata"]))
    }

    private func connections(_ definition: NetworkDefinition) -> Int {
        StateFiles.names(in: "/sys/class/net/\(definition.bridge)/brif", suffix: "").count { $0.hasPrefix("vnet") }
    }

    // MARK: Definitions

    private func path(_ name: String) -> String { folder + "/" + name + ".xml" }
    private func link(_ name: String) -> String { folder + "/autostart/" + name + ".xml" }
    private func status(_ name: String) -> String { runtime + "/" + name + ".xml" }

    private func wrapping(_ what: String, _ body: () throws(Errno) -> Void) throws {
        do throws(Errno) { try body() } catch {
            throw ManagementError(.systemError, "cannot \(what): \(error)", from: .network)
        }
    }

    /// Defines a network, or makes and starts one that is gone when it stops.
    public func add(_ text: String, persistent: Bool) throws -> ObjectReference {
        let (definition, old): (NetworkDefinition, Network?) = try lock.withLock {
            let bridges = Set(networks.values.map(\.definition.bridge))
            let made = try NetworkDefinition(parsing: text) { !bridges.contains($0) && !HostNetwork.exists($0) }
            for known in networks.values where known.definition.name == made.name && known.definition.uuid != made.uuid
            {
                throw ManagementError(
                    .operationFailed, "network '\(made.name)' already exists with uuid \(known.definition.uuid)",
                    from: .network)
            }
            let old = networks[made.uuid]
            if let old, old.definition.name != made.name {
                throw ManagementError(
                    .operationFailed,
                    "network '\(old.definition.name)' is already defined with uuid \(made.uuid)", from: .network)
            }
            if let old, old.isActive, !persistent {
                throw ManagementError(
                    .operationInvalid, "network is already active as '\(old.definition.name)'", from: .network)
            }
            for known in networks.values
            where known.definition.uuid != made.uuid && made.ownsBridge && known.definition.bridge == made.bridge {
                throw ManagementError(.internalError, "bridge name '\(made.bridge)' already in use.", from: .network)
            }
            if persistent {
                try wrapping("write the definition of network '\(made.name)'") { () throws(Errno) in
                    try StateFiles.write(path(made.name), made.root.printed(.init(foreign: ["metadata"])))
                }
            }
            var network = old ?? Network(definition: made)
            network.definition = made
            network.isPersistent = network.isPersistent || persistent
            networks[made.uuid] = network
            return (made, old)
        }
        if persistent {
            events.emit(.network(definition.reference, 0, detail: 0))
        } else {
            do { try start(definition.uuid) } catch {
                lock.withLock { networks[definition.uuid] = old }
                throw error
            }
        }
        return definition.reference
    }

    /// Removes the stored definition; an active network goes on until it is stopped.
    public func undefine(_ uuid: UniqueID) throws {
        let network = try network(uuid)
        let name = network.definition.name
        guard network.isPersistent else {
            throw ManagementError(.operationInvalid, "can't undefine transient network", from: .network)
        }
        try wrapping("remove the definition of network '\(name)'") { () throws(Errno) in
            try StateFiles.remove(path(name))
            try StateFiles.remove(link(name))
        }
        lock.withLock {
            networks[uuid]?.isPersistent = false
            networks[uuid]?.startsWithService = false
            if !network.isActive { networks[uuid] = nil }
        }
        events.emit(.network(network.definition.reference, 1, detail: 0))
    }

    /// Throws `operationInvalid` for a network without a stored definition.
    public func setAutostart(_ uuid: UniqueID, _ on: Bool) throws {
        let network = try network(uuid)
        let name = network.definition.name
        guard network.isPersistent else {
            throw ManagementError(.operationInvalid, "cannot set autostart for transient network", from: .network)
        }
        try wrapping("change autostart of network '\(name)'") { () throws(Errno) in
            if on { try StateFiles.link(link(name), to: path(name)) } else { try StateFiles.remove(link(name)) }
        }
        lock.withLock { networks[uuid]?.startsWithService = on }
    }

    /// Reads all definitions, finds the networks that are up, and starts those that start with the service.
    public func recover() {
        StateFiles.sweep(folder)
        StateFiles.sweepLinks(folder + "/autostart", suffix: ".xml")
        for name in StateFiles.names(in: folder, suffix: ".xml") {
            do {
                guard let text = try StateFiles.read(path(name)) else { continue }
                let definition = try NetworkDefinition(parsing: text) { _ in true }
                var network = Network(definition: definition, isPersistent: true)
                network.startsWithService = StateFiles.exists(link(name))
                network.isActive =
                    StateFiles.exists(status(name)) && (!definition.ownsBridge || HostNetwork.exists(definition.bridge))
                lock.withLock { networks[definition.uuid] = network }
                if network.isActive { try takeUp(definition, network) }
                if network.startsWithService && !network.isActive { try start(definition.uuid) }
            } catch { Console.shared.error("the network '\(name)' is left out: \(error)") }
        }
    }

    /// Goes on with a network that is up since before this process.
    private func takeUp(_ definition: NetworkDefinition, _ network: Network) throws {
        guard let text = try StateFiles.read(status(definition.name)) else { return }
        let live = try NetworkDefinition(parsing: text) { _ in true }
        lock.withLock { networks[definition.uuid]?.live = live }
        if live.ownsBridge { try host.repair(live) }
    }

    /// Puts back what others took away under networks that are up: rules, addresses, the name service.
    public func reload() {
        for network in lock.withLock({ Array(networks.values) }) where network.isActive && network.present.ownsBridge {
            do { try host.repair(network.present) } catch {
                Console.shared.error("the network '\(network.definition.name)' cannot be mended: \(error)")
            }
        }
    }

    /// Tells the administrator's scripts what happens to a network; one that fails refuses it.
    private func tellHooks(_ operation: String, _ stage: String, _ definition: NetworkDefinition) throws {
        func document() -> String {
            XMLElement("hookData", [:], [definition.root]).printed(.init(foreign: ["metadata"]))
        }
        try hooks.run(.network, definition.name, operation, stage, document: document())
    }

    // MARK: Changes

    /// Changes a part of a network: of what is up, of what the next start makes, or of both.
    public func update(_ uuid: UniqueID, _ change: NetworkChange, live: Bool, configuration: Bool) throws {
        let network = try network(uuid)
        let isLive = live || !configuration && network.isActive
        let isStored = configuration || !live && !network.isActive
        guard !isLive || network.isActive else {
            throw ManagementError(.operationInvalid, "network is not running", from: .network)
        }
        guard !isStored || network.isPersistent else {
            throw ManagementError(
                .operationInvalid, "can't update persistent config of a transient network", from: .network)
        }
        let name = network.definition.name
        var stored: NetworkDefinition?
        if isStored { stored = try change.applied(to: network.definition) }
        if isLive {
            let changed = try change.applied(to: network.present)
            if changed.ownsBridge { try host.apply(changed, replacing: network.present) }
            try wrapping("write the state of network '\(name)'") { () throws(Errno) in
                try StateFiles.write(status(name), changed.root.printed())
            }
            lock.withLock { networks[uuid]?.live = changed }
            try tellHooks("updated", "begin", changed)
        }
        if let stored {
            try wrapping("write the definition of network '\(name)'") { () throws(Errno) in
                try StateFiles.write(path(name), stored.root.printed(.init(foreign: ["metadata"])))
            }
            lock.withLock { networks[uuid]?.definition = stored }
        }
    }

    // MARK: Life

    /// Makes the bridge with addresses, rules and DHCP; all is taken back when a part fails.
    public func start(_ uuid: UniqueID) throws {
        let network = try network(uuid)
        guard !network.isActive else {
            throw ManagementError(.operationInvalid, "network is already active", from: .network)
        }
        let definition = network.definition
        if let mode = definition.forwarding, !["nat", "route", "open", "bridge"].contains(mode) {
            throw ManagementError(
                .configUnsupported, "networks with forward mode '\(mode)' cannot be started by this service",
                from: .network)
        }
        if definition.forwarding == "bridge" && !HostNetwork.exists(definition.bridge) {
            throw ManagementError(
                .operationInvalid, "the bridge '\(definition.bridge)' of network '\(definition.name)' is not there",
                from: .network)
        }
        try tellHooks("start", "begin", definition)
        do {
            if definition.ownsBridge { try host.bringUp(definition) }
            try tellHooks("started", "begin", definition)
        } catch {
            if definition.ownsBridge { host.takeDown(definition) }
            throw error
        }
        try wrapping("write the state of network '\(definition.name)'") { () throws(Errno) in
            try StateFiles.write(status(definition.name), definition.root.printed())
        }
        lock.withLock {
            networks[uuid]?.isActive = true
            networks[uuid]?.live = definition
        }
        events.emit(.network(definition.reference, 2, detail: 0))
    }

    /// Takes bridge, rules and DHCP away, under machines that are still connected too.
    public func stop(_ uuid: UniqueID) throws {
        let network = try network(uuid)
        guard network.isActive else {
            throw ManagementError(
                .operationInvalid, "network '\(network.definition.name)' is not active", from: .network)
        }
        if network.present.ownsBridge { host.takeDown(network.present) }
        try wrapping("remove the state of network '\(network.definition.name)'") { () throws(Errno) in
            try StateFiles.remove(status(network.definition.name))
        }
        lock.withLock {
            networks[uuid]?.isActive = false
            networks[uuid]?.live = nil
            if !network.isPersistent { networks[uuid] = nil }
        }
        do { try tellHooks("stopped", "end", network.present) } catch { Console.shared.warning("\(error)") }
        events.emit(.network(network.definition.reference, 3, detail: 0))
    }

    /// Addresses that are leased now: MAC, address, name, expiry in seconds since 1970.
    public func leases(_ uuid: UniqueID) throws -> [(
        mac: String, address: String, prefix: Int, name: String?, expiry: Int64
    )] {
        let definition = try network(uuid).present
        let addressings = try definition.addressings()
        let text = (try? StateFiles.read(host.leasesPath(definition))) ?? ""
        return text.split(separator: "\n").compactMap { line in
            let words = line.split(separator: " ")
            guard words.count >= 4, let expiry = Int64(words[0]) else { return nil }
            let address = String(words[2])
            let prefix = NetworkDefinition.prefix(of: address, in: addressings)
            return (String(words[1]), address, prefix, words[3] == "*" ? nil : String(words[3]), expiry)
        }
    }
}
