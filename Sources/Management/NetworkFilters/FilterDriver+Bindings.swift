// SPDX-License-Identifier: Apache-2.0

internal import Diagnostics
internal import HostSystem
internal import ManagementModel
internal import XMLTree

// Filters in front of devices.
extension FilterDriver {
    /// All devices with filters, by name.
    public var bindings: [FilterBinding] { lock.withLock { bound.values.sorted { $0.device < $1.device } } }

    /// The filter of a device.
    public func binding(of device: String) throws -> FilterBinding {
        guard let found = lock.withLock({ bound[device] }) else {
            throw ManagementError(
                .noNwfilterBinding, "no nwfilter binding for port dev '\(device)'", from: .networkFilter)
        }
        return found
    }

    /// The rules of a binding, as nft reads them.
    package func rules(_ binding: FilterBinding, tracksConnections: Bool = true, rejects: Bool = true) throws -> String
    {
        try compile(binding, RuleCompiler.Abilities(tracksConnections: tracksConnections, rejects: rejects))
    }

    private func compile(_ binding: FilterBinding, _ abilities: RuleCompiler.Abilities) throws -> String {
        let documents = lock.withLock { filters.values.map { ($0.reference.name, $0.root) } }
        let byName = Dictionary(documents) { first, _ in first }
        var compiler = RuleCompiler(binding, abilities) { byName[$0] }
        return try compiler.compile()
    }

    /// What the kernel can do, looked up once.
    private func hostAbilities() throws -> RuleCompiler.Abilities {
        if let known = lock.withLock({ abilities }) { return known }
        let found = try host.abilities()
        if !found.tracksConnections {
            Console.shared.warning(
                "this host's kernel does not follow connections on bridges: filters let answers pass without looking for the question"
            )
        }
        lock.withLock { abilities = found }
        return found
    }

    /// Puts a filter in front of a device, in place of the one that it has.
    /// - Throws: for a filter that is not there or cannot be applied; the device then has the rules that it had.
    public func bind(_ binding: FilterBinding) throws {
        try changes.withLock {
            try host.apply(try compile(binding, hostAbilities()), to: binding.device)
            lock.withLock { bound[binding.device] = binding }
        }
    }

    /// The same for a binding's own document.
    public func bind(_ text: String) throws -> FilterBinding {
        let binding = try FilterBinding(parsing: text)
        guard lock.withLock({ bound[binding.device] }) == nil else {
            throw ManagementError(
                .operationFailed, "nwfilter binding for '\(binding.device)' already exists", from: .networkFilter)
        }
        try bind(binding)
        return binding
    }

    /// Takes the filter of a device away, also one that an earlier service put there.
    public func unbind(_ device: String) {
        guard RuleCompiler.isDeviceName(device) else { return }
        changes.withLock {
            lock.withLock { _ = bound.removeValue(forKey: device) }
            do { try host.remove(from: device) } catch { Console.shared.warning("\(error)") }
        }
    }

    /// Whether a filter, or one that refers to it, stands in front of a device.
    func isApplied(_ name: String) -> Bool { !devices(using: name).isEmpty }

    private func devices(using name: String) -> [FilterBinding] {
        lock.withLock {
            // All that refer to it, directly or not.
            var users: Set<String> = [name]
            var grew = true
            while grew {
                let found = filters.values.filter { filter in
                    !users.contains(filter.reference.name)
                        && filter.root.all("filterref").contains { users.contains($0["filter"] ?? "") }
                }
                grew = !found.isEmpty
                users.formUnion(found.map(\.reference.name))
            }
            return bound.values.filter { users.contains($0.filter) }.sorted { $0.device < $1.device }
        }
    }

    /// Applies a filter that was changed to all devices that it concerns.
    /// - Throws: when it cannot be applied to one of them; those before it have the new rules then.
    func reapply(_ name: String) throws {
        try changes.withLock {
            for binding in devices(using: name) {
                try host.apply(try compile(binding, hostAbilities()), to: binding.device)
            }
        }
    }
}
