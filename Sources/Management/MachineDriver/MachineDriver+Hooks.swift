// SPDX-License-Identifier: Apache-2.0

internal import Diagnostics
internal import HostTools
internal import ManagementModel
internal import ManagementXML

// The administrator's scripts, which are told what happens to machines.
extension MachineDriver {
    /// Tells the scripts what is about to happen; one that fails refuses it.
    func tellHooks(_ operation: String, _ stage: String, _ definition: DomainDefinition) throws {
        try hooks.run(.qemu, definition.name, operation, stage, document: definition.printed())
    }

    /// Tells the scripts that a machine has ended, or did not start: they cannot refuse that.
    func tellHooksOfEnd(_ definition: DomainDefinition) {
        for operation in ["stopped", "release"] {
            do { try tellHooks(operation, "end", definition) } catch { Console.shared.warning("\(error)") }
        }
    }

    /// The document that a machine comes back with from saved memory, or comes with from another host: the scripts may
    /// write another one.
    func adjusted(_ definition: DomainDefinition, by operation: String) throws -> DomainDefinition {
        let text = try hooks.run(.qemu, definition.name, operation, "begin", document: definition.printed())
        guard text.contains(where: { !$0.isWhitespace }) else { return definition }
        let changed = try DomainDefinition(parsing: text, context)
        guard changed.uuid == definition.uuid, changed.name == definition.name else {
            throw ManagementError(
                .hookScriptFailed, "the document for '\(definition.name)' is of another machine", from: .hook)
        }
        return changed
    }
}
