// SPDX-License-Identifier: Apache-2.0

internal import HostSystem
public import ManagementModel
internal import ManagementXML
internal import StateStore
internal import XMLTree

/// What goes with a definition, in libvirt's bits.
public struct UndefineOptions: OptionSet, Sendable {
    public let rawValue: UInt32
    public init(rawValue: UInt32) { self.rawValue = rawValue }
    /// Memory that was saved when the machine was stopped.
    public static let savedMemory = UndefineOptions(rawValue: 1)
    /// What is known of snapshots.
    public static let snapshots = UndefineOptions(rawValue: 2)
    /// The firmware's variables.
    public static let variables = UndefineOptions(rawValue: 4)
    /// The firmware's variables stay where they are.
    public static let keepsVariables = UndefineOptions(rawValue: 8)
    /// What is known of checkpoints; there are none.
    public static let checkpoints = UndefineOptions(rawValue: 16)
    /// All that there are.
    public static let known: UInt32 = 0x1f
}

extension MachineDriver {
    /// Removes a machine's definition; one that runs goes on without it.
    public func undefine(_ uuid: UniqueID, _ options: UndefineOptions) throws {
        let machine = try machine(uuid)
        try machine.job.withLock {
            let facts = machine.facts
            guard facts.isPersistent else {
                throw ManagementError(.operationInvalid, "cannot undefine transient domain")
            }
            if StateFiles.exists(folders.savedMemory(facts.name)) {
                guard options.contains(.savedMemory) else {
                    throw ManagementError(
                        .operationInvalid, "Refusing to undefine while domain managed save image exists")
                }
                try removing(folders.savedMemory(facts.name))
            }
            if !facts.isActive && machine.snapshots.count > 0 {
                guard options.contains(.snapshots) else {
                    throw ManagementError(
                        .operationInvalid,
                        "cannot delete inactive domain with \(machine.snapshots.count) snapshots")
                }
                try forgetSnapshots(machine)
            }
            let variables = try variableStore(of: definition(of: machine))
            if let variables, StateFiles.exists(variables), !options.contains(.keepsVariables) {
                guard options.contains(.variables) else {
                    throw ManagementError(.operationInvalid, "cannot undefine domain with nvram")
                }
                try removing(variables)
            }
            try removing(folders.definition(facts.name))
            try removing(folders.autostartLink(facts.name))
            machine.change { facts, _ in
                facts.isPersistent = false
                facts.startsWithService = false
            }
            emit(machine, Lifecycle.undefined)
            if !facts.isActive { forget(machine) }
        }
    }

    /// Where the variables of a machine's firmware are; nil for one that has none.
    private func variableStore(of definition: DomainDefinition) -> String? {
        guard let system = definition.root[child: "os"] else { return nil }
        if let path = system[child: "nvram"]?.text, !path.isEmpty { return path }
        return system["firmware"] == "efi" ? folders.variableStore(definition.name) : nil
    }
}
