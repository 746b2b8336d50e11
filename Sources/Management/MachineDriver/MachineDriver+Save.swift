// SPDX-License-Identifier: Apache-2.0

internal import Diagnostics
internal import Glibc
internal import HostSystem
internal import JSONCoding
public import ManagementModel
internal import ManagementXML
internal import StateStore
internal import XMLTree

/// What a restored machine does: as when it was saved, or what the caller says.
public enum WakeState: Sendable {
    case asSaved, running, paused
}

// Saving machines' memory to files and starting machines from them.
extension MachineDriver {
    /// Saves a machine's memory to a file and ends it.
    /// - Parameter text: a document to keep instead of the machine's own.
    public func save(
        _ uuid: UniqueID, called name: String? = nil, to path: String, document text: String? = nil,
        wake: WakeState = .asSaved
    ) throws {
        let machine = try machine(uuid, called: name)
        try machine.job.withLock { try save(machine, to: path, document: text, wake: wake) }
    }

    /// Saves a machine's memory where its next start looks for it.
    public func managedSave(_ uuid: UniqueID, called name: String? = nil, wake: WakeState = .asSaved) throws {
        let machine = try machine(uuid, called: name)
        try machine.job.withLock {
            guard machine.facts.isPersistent else {
                throw ManagementError(.operationInvalid, "cannot do managed save for transient domain")
            }
            try save(machine, to: folders.savedMemory(machine.facts.name), document: nil, wake: wake)
        }
    }

    /// The caller holds the machine's job.
    private func save(_ machine: Machine, to path: String, document text: String?, wake: WakeState) throws {
        let live = try machine.requireLive()
        let wasRunning = machine.facts.state.isRunning
        let wakes = wake == .asSaved ? wasRunning : wake == .running
        var document = live.definition
        if let text {
            let given = try DomainDefinition(parsing: text, context)
            guard given.uuid == document.uuid else {
                throw ManagementError(.configUnsupported, "Target domain uuid does not match source")
            }
            document = given
        }
        begin(machine, RunningOperation.save)
        do {
            if wasRunning {
                try live.monitor.execute("stop")
                machine.change { facts, _ in facts.state = .pausedForSave }
                emit(machine, Lifecycle.suspendedPaused)
            }
            try writeMemory(machine, live, to: path, SaveImage(document: document.printed(), wasRunning: wakes))
        } catch {
            end(machine)
            // The guest goes on as if nothing had been.
            if wasRunning, (try? live.monitor.execute("cont")) != nil {
                machine.change { facts, _ in facts.state = .runningSaveCancelled }
                emit(machine, Lifecycle.resumedUnpaused)
            }
            if let failure = error as? MonitorClient.Failure { throw Self.error(of: failure) }
            throw error
        }
        finishOperation(machine, live)
        machine.change { _, running in running?.ending = .shutOffSaved }
        endProcess(live)
        finish(machine, .shutOffSaved, Lifecycle.stoppedSaved)
    }

    /// Writes a save image; a file that is not whole is removed again.
    func writeMemory(_ machine: Machine, _ live: LiveMachine, to path: String, _ image: SaveImage) throws {
        do {
            let file = try FileDescriptor.open(path, flags: O_WRONLY | O_CREAT | O_TRUNC, mode: 0o600)
            try file.writeAll(image.head())
            try live.monitor.pass(file.number, named: "migrate")
            // A file takes all there is at once.
            _ = try live.monitor.execute(
                "migrate-set-parameters", ["max-bandwidth": JSONValue(Self.unlimitedBandwidth)])
            _ = try live.monitor.execute("migrate", ["uri": "fd:migrate"])
            try waitForMigration(machine, live.monitor)
            try SaveImage.finish(file)
        } catch {
            // unlink copies the path.
            _ = unsafe unlink(path)
            guard let error = error as? Errno else { throw error }
            throw ManagementError(.systemError, "failed to write '\(path)': \(error)")
        }
    }

    /// Bytes each second: more than any file takes.
    private static let unlimitedBandwidth = 1 << 53
    private static let migrationPause: UInt32 = 10

    /// Waits until the emulator has sent or taken all of the memory.
    func waitForMigration(_ machine: Machine, _ monitor: MonitorClient) throws {
        while true {
            let answer = try monitor.execute("query-migrate")
            switch answer["status"]?.string {
            case "completed": return
            case "failed":
                throw ManagementError(
                    .operationFailed, "job failed: \(answer["error-desc"]?.string ?? "the memory could not be copied")")
            case "cancelled": throw ManagementError(.operationAborted, "job: canceled by client")
            default: break
            }
            if machine.live?.operation?.isAborted ?? false {
                _ = try monitor.execute("migrate_cancel")
            }
            sleepMilliseconds(Self.migrationPause)
        }
    }

    /// The document in a file with saved memory.
    public func savedDocument(_ path: String, secure: Bool) throws -> String {
        let image = try openImage(path).image
        return DomainDefinition(complete: try XMLDocument.parse(image.document, as: "domain", called: path))
            .printed(secure: secure)
    }

    /// The document of a machine whose memory was saved.
    public func managedSaveDocument(_ uuid: UniqueID, secure: Bool) throws -> String {
        let name = try facts(uuid).name
        guard hasSavedMemory(name) else {
            throw ManagementError(.operationInvalid, "domain does not have managed save image")
        }
        return try savedDocument(folders.savedMemory(name), secure: secure)
    }

    fileprivate struct OpenImage: ~Copyable {
        let file: FileDescriptor
        let image: SaveImage
    }

    private func openImage(_ path: String) throws -> OpenImage {
        let file: FileDescriptor
        do throws(Errno) { file = try FileDescriptor.open(path, flags: O_RDONLY) } catch {
            throw ManagementError(.systemError, "Failed to open file '\(path)': \(error)")
        }
        let image = try SaveImage(reading: file, called: path)
        return OpenImage(file: file, image: image)
    }

    /// Replaces the document in a file with saved memory.
    public func setSavedDocument(_ path: String, _ text: String, wake: WakeState) throws {
        let old = try openImage(path).image
        let given = try DomainDefinition(parsing: text, context)
        guard
            given.uuid
                == DomainDefinition(complete: try XMLDocument.parse(old.document, as: "domain", called: path)).uuid
        else { throw ManagementError(.configUnsupported, "Target domain uuid does not match source") }
        // The new head may be longer than the old one: the file is written anew, beside the old one.
        let image = SaveImage(
            document: given.printed(), wasRunning: wake == .asSaved ? old.wasRunning : wake == .running)
        let temporary = path + ".new"
        do throws(Errno) {
            let source = try FileDescriptor.open(path)
            let target = try FileDescriptor.open(temporary, flags: O_RDWR | O_CREAT | O_TRUNC, mode: 0o600)
            try target.writeAll(image.head())
            try Self.copy(source, from: old.length, to: target)
            try SaveImage.finish(target)
            // rename copies both paths.
            guard unsafe Glibc.rename(temporary, path) == 0 else { throw Errno.current }
        } catch {
            _ = unsafe unlink(temporary)
            throw ManagementError(.systemError, "cannot write '\(path)': \(error)")
        }
    }

    private static func copy(
        _ source: borrowing FileDescriptor, from offset: Int64, to target: borrowing FileDescriptor
    ) throws(Errno) {
        var chunk = [UInt8](repeating: 0, count: 1 << 20)
        var place = offset
        while true {
            // The array lives for the call.
            let read: Result<Int, Errno> = unsafe chunk.withUnsafeMutableBytes { buffer in
                do throws(Errno) { return .success(try unsafe source.read(into: buffer, at: place)) } catch {
                    return .failure(error)
                }
            }
            let count = try read.get()
            if count == 0 { return }
            try target.writeAll(Array(chunk.prefix(count)))
            place += Int64(count)
        }
    }

    /// Replaces the document of a machine whose memory was saved.
    public func setManagedSaveDocument(_ uuid: UniqueID, _ text: String?, wake: WakeState) throws {
        let name = try facts(uuid).name
        guard hasSavedMemory(name) else {
            throw ManagementError(.operationInvalid, "domain does not have managed save image")
        }
        let path = folders.savedMemory(name)
        try setSavedDocument(path, try text ?? savedDocument(path, secure: true), wake: wake)
    }

    /// Removes the memory that the next start would use.
    public func removeSavedMemory(_ uuid: UniqueID) throws {
        let machine = try machine(uuid)
        try machine.job.withLock {
            let path = folders.savedMemory(machine.facts.name)
            guard StateFiles.exists(path) else {
                throw ManagementError(
                    .systemError, "Failed to remove managed save file '\(path)': No such file or directory")
            }
            try removing(path)
        }
    }

    // MARK: Starting from a file

    /// Starts a machine from a file with its memory.
    public func restore(_ path: String, document text: String?, wake: WakeState) throws {
        let opened = try openImage(path)
        let own = DomainDefinition(complete: try XMLDocument.parse(opened.image.document, as: "domain", called: path))
        var definition = own
        if let text {
            definition = try DomainDefinition(parsing: text, context)
            guard definition.uuid == own.uuid else {
                throw ManagementError(.configUnsupported, "Target domain uuid does not match source")
            }
        }
        // What a run gave its devices means nothing to the next one.
        definition = try adjusted(DomainDefinition(definition.root, context), by: "restore")
        let (machine, isNew) = try claim(definition)
        try machine.job.withLock {
            guard machine.live == nil else {
                if isNew { forget(machine) }
                throw ManagementError(
                    .operationInvalid, "domain '\(definition.name)' is already active", from: .domain)
            }
            machine.change { facts, _ in if !facts.isPersistent { facts.takeSizes(definition) } }
            do { try launch(machine, definition, opened.options(wake)) } catch {
                if isNew { forget(machine) }
                throw error
            }
        }
    }

    /// Starts a machine from the memory that was saved when it was stopped. The caller holds the machine's job.
    /// - Returns: whether there was any.
    func startFromSavedMemory(_ machine: Machine, wake: WakeState) throws -> Bool {
        let path = folders.savedMemory(machine.facts.name)
        guard StateFiles.exists(path) else { return false }
        let opened: OpenImage
        do { opened = try openImage(path) } catch {
            // What is not whole holds nothing; libvirt drops it, too.
            Console.shared.warning("\(error); '\(machine.facts.name)' starts anew")
            try removing(path)
            return false
        }
        let saved = try DomainDefinition(
            XMLDocument.parse(opened.image.document, as: "domain", called: path), context)
        let definition = try adjusted(saved, by: "restore")
        try launch(machine, definition, opened.options(wake))
        try removing(path)
        return true
    }
}

extension MachineDriver.OpenImage {
    fileprivate func options(_ wake: WakeState) -> LaunchOptions {
        LaunchOptions(
            paused: wake == .asSaved ? !image.wasRunning : wake == .paused, memory: file.number, origin: .restored)
    }
}
