// SPDX-License-Identifier: Apache-2.0

internal import HostSystem
public import ManagementModel
internal import ManagementXML
internal import StateStore

// Other names. A file says which of two definitions counts until the old one is gone.
extension MachineDriver {
    /// Gives a machine that does not run another name.
    public func rename(_ uuid: UniqueID, to name: String) throws {
        let machine = try machine(uuid)
        try machine.job.withLock {
            let facts = machine.facts
            guard facts.isPersistent else {
                throw ManagementError(.operationInvalid, "cannot rename a transient domain")
            }
            guard !facts.isActive else {
                throw ManagementError(.operationInvalid, "cannot rename active domain")
            }
            guard !hasSavedMemory(facts.name) else {
                throw ManagementError(.operationInvalid, "cannot rename domain with a managed save image")
            }
            guard !name.isEmpty, !name.contains("/"), !name.contains("\n") else {
                throw ManagementError(.xmlError, "name \(name) cannot contain '/'", from: .none)
            }
            var definition = try definition(of: machine)
            definition.name = name
            definition.order()
            try renamed(machine, from: facts.name, to: name)
            do {
                // Until the old definition is gone it is said which of the two counts.
                do throws(Errno) { try StateFiles.write(folders.renaming(facts.name), name) } catch {
                    throw ManagementError(
                        .systemError, "cannot write '\(folders.renaming(facts.name))': \(error)")
                }
                do { try store(definition) } catch {
                    try? StateFiles.remove(folders.renaming(facts.name))
                    throw error
                }
            } catch {
                try renamed(machine, from: name, to: facts.name)
                throw error
            }
            do { try finishRename(from: facts.name, to: name) } catch {
                // Back to the old name, whose definition is there until the last step.
                try? moveFolders(from: name, to: facts.name)
                try? StateFiles.remove(folders.autostartLink(name))
                try? StateFiles.remove(folders.definition(name))
                try? StateFiles.remove(folders.renaming(facts.name))
                try renamed(machine, from: name, to: facts.name)
                throw error
            }
            let renamedDetail: Int32 = 2
            emit(machine, (Lifecycle.undefined.0, 1))
            machine.change { facts, _ in facts.name = name }
            emit(machine, (Lifecycle.definedAdded.0, renamedDetail))
        }
    }

    /// Removes what has the old name. What it does is done again when it was not finished.
    func finishRename(from old: String, to new: String) throws {
        do throws(Errno) {
            try moveFolders(from: old, to: new)
            if StateFiles.exists(folders.autostartLink(old)) || StateFiles.isLink(folders.autostartLink(old)) {
                try StateFiles.link(folders.autostartLink(new), to: folders.definition(new))
                try StateFiles.remove(folders.autostartLink(old))
            }
            try StateFiles.remove(folders.definition(old))
            try StateFiles.remove(folders.renaming(old))
        } catch { throw ManagementError(.systemError, "cannot remove the definition of '\(old)': \(error)") }
    }

    /// What a machine has besides its definition goes with its name; what has gone already stays where it is.
    private func moveFolders(from old: String, to new: String) throws(Errno) {
        for folder in [folders.snapshotFolder, folders.checkpointFolder] where StateFiles.exists(folder(old)) {
            // One that a machine of that name left behind is empty.
            StateFiles.removeFolder(folder(new))
            try StateFiles.move(folder(old), to: folder(new))
        }
    }
}
