// SPDX-License-Identifier: Apache-2.0

internal import Diagnostics
internal import Glibc
public import HostSystem
public import ManagementModel
internal import StateStore
internal import XMLTree

/// What is known of a pool without its document.
public struct PoolFacts: Sendable {
    /// Name and UUID.
    public let reference: ObjectReference
    /// Whether volumes can be used now.
    public let isActive: Bool
    /// Whether it has a definition that stays.
    public let isPersistent: Bool
    /// Autostart: whether it is started when the service starts.
    public let startsWithService: Bool
    /// `dir`, `fs` and so on, as in the document.
    public let type: String
    /// Bytes.
    public let capacity: UInt64, allocation: UInt64, available: UInt64
    /// 0 inactive, 2 running.
    public var state: UInt8 { isActive ? 2 : 0 }
}

/// All storage pools and their volumes.
public final class PoolDriver: @unchecked Sendable {
    private let folder: String
    let runtime: String
    let imageTool: String
    let passphrase: @Sendable (_ uuid: UniqueID?, _ usage: String?) throws -> [UInt8]
    let events: EventHub
    let lock = Lock()
    // Guarded by `lock`.
    var pools: [UniqueID: Pool] = [:]

    /// - Parameters:
    ///   - folder: of definitions (/etc/libvirt/storage).
    ///   - runtime: of what a reboot ends (/run/libvirt/storage); nil for a folder below the definitions'.
    ///   - imageTool: the program that makes images.
    ///   - passphrase: the value of a secret, by its UUID or by the volume that it is for.
    public init(
        folder: String, runtime: String? = nil, imageTool: String, events: EventHub,
        passphrase: @escaping @Sendable (UniqueID?, String?) throws -> [UInt8] = { _, _ in
            throw ManagementError(.noSecret, "there are no secrets here", from: .secret)
        }
    ) throws(Errno) {
        self.passphrase = passphrase
        self.folder = folder
        self.runtime = runtime ?? folder + "/running"
        self.imageTool = imageTool
        self.events = events
        try StateFiles.makeFolder(folder + "/autostart")
        try StateFiles.makeFolder(self.runtime)
    }

    // MARK: Finding

    private static func facts(_ pool: Pool) -> PoolFacts {
        PoolFacts(
            reference: pool.reference, isActive: pool.isActive, isPersistent: pool.isPersistent,
            startsWithService: pool.startsWithService, type: pool.root["type"] ?? "dir", capacity: pool.capacity,
            allocation: pool.allocation, available: pool.available)
    }

    /// In no particular order.
    public var all: [PoolFacts] { lock.withLock { pools.values.map(Self.facts) } }

    func pool(_ uuid: UniqueID) throws -> Pool {
        guard let pool = lock.withLock({ pools[uuid] }) else {
            throw ManagementError(.noStoragePool, "no storage pool with matching uuid '\(uuid)'", from: .storage)
        }
        return pool
    }

    func activePool(_ uuid: UniqueID) throws -> Pool {
        let pool = try pool(uuid)
        guard pool.isActive else {
            throw ManagementError(.operationInvalid, "storage pool '\(pool.name)' is not active", from: .storage)
        }
        return pool
    }

    /// Throws `noStoragePool`.
    public func facts(_ uuid: UniqueID) throws -> PoolFacts { Self.facts(try pool(uuid)) }

    /// Throws `noStoragePool`.
    public func find(named name: String) throws -> ObjectReference {
        guard let found = lock.withLock({ pools.values.first { $0.name == name } }) else {
            throw ManagementError(.noStoragePool, "no storage pool with matching name '\(name)'", from: .storage)
        }
        return found.reference
    }

    /// The pool whose target is just this path; throws `noStoragePool`.
    public func find(path: String) throws -> ObjectReference {
        guard let found = lock.withLock({ pools.values.first { $0.path == path } }) else {
            throw ManagementError(.noStoragePool, "no storage pool with matching target path '\(path)'", from: .storage)
        }
        return found.reference
    }

    /// The document; its sizes are 0 where `inactive` or while the pool is not active.
    public func document(_ uuid: UniqueID, inactive: Bool) throws -> String {
        try pool(uuid).document(inactive: inactive)
    }

    // MARK: Definitions

    private func definitionPath(_ name: String) -> String { folder + "/" + name + ".xml" }
    private func statusPath(_ name: String) -> String { runtime + "/" + name + ".xml" }
    private func linkPath(_ name: String) -> String { folder + "/autostart/" + name + ".xml" }

    /// Defines a pool, or makes one that is gone when it stops.
    /// - Parameter builds: whether what a new one stands on is made first.
    public func add(_ text: String, persistent: Bool, builds: Bool = false) throws -> ObjectReference {
        var pool = try Pool(parsing: text)
        let old: Pool? = try lock.withLock {
            let old = pools[pool.uuid]
            for known in pools.values where known.name == pool.name && known.uuid != pool.uuid {
                throw ManagementError(
                    .operationFailed, "pool '\(pool.name)' already exists with uuid \(known.uuid)", from: .storage)
            }
            let (type, path) = (pool.root["type"], pool.path)
            if type == "dir",
                let rival = pools.values.first(where: {
                    $0.uuid != pool.uuid && $0.root["type"] == type && $0.path == path
                })
            {
                throw ManagementError(
                    .operationFailed, "Storage source conflict with pool: '\(rival.name)'", from: .storage)
            }
            if let known = old {
                guard persistent || !known.isActive else {
                    throw ManagementError(
                        .operationInvalid, "pool is already active as '\(known.name)'", from: .storage)
                }
                guard known.name == pool.name else {
                    throw ManagementError(
                        .operationFailed, "pool '\(known.name)' is already defined with uuid \(pool.uuid)",
                        from: .storage)
                }
                pool.isActive = known.isActive
                pool.isPersistent = known.isPersistent
                pool.startsWithService = known.startsWithService
                pool.volumes = known.volumes
            }
            if persistent {
                pool.isPersistent = true
                try wrapping("write the definition of pool '\(pool.name)'") { () throws(Errno) in
                    try StateFiles.write(definitionPath(pool.name), pool.document(inactive: true))
                }
            }
            pools[pool.uuid] = pool
            return old
        }
        if persistent {
            events.emit(.pool(pool.reference, 0, detail: 0))
        } else {
            do { try start(pool.uuid, builds: builds) } catch {
                lock.withLock { pools[pool.uuid] = old }
                throw error
            }
        }
        return pool.reference
    }

    func wrapping(_ what: String, _ body: () throws(Errno) -> Void) throws {
        do throws(Errno) { try body() } catch {
            throw ManagementError(.systemError, "cannot \(what): \(error)", from: .storage)
        }
    }

    /// Forgets a pool that is not active; its folder stays as it is.
    public func undefine(_ uuid: UniqueID) throws {
        let pool = try pool(uuid)
        guard !pool.isActive else {
            throw ManagementError(.operationInvalid, "storage pool '\(pool.name)' is still active", from: .storage)
        }
        try wrapping("remove the definition of pool '\(pool.name)'") { () throws(Errno) in
            try StateFiles.remove(definitionPath(pool.name))
            try StateFiles.remove(linkPath(pool.name))
        }
        lock.withLock { pools[uuid] = nil }
        events.emit(.pool(pool.reference, 1, detail: 0))
    }

    /// Throws `operationInvalid` for a pool without a stored definition.
    public func setAutostart(_ uuid: UniqueID, _ on: Bool) throws {
        let pool = try pool(uuid)
        guard pool.isPersistent else {
            throw ManagementError(.internalError, "pool has no config file", from: .storage)
        }
        try wrapping("change autostart of pool '\(pool.name)'") { () throws(Errno) in
            if on {
                try StateFiles.link(linkPath(pool.name), to: definitionPath(pool.name))
            } else {
                try StateFiles.remove(linkPath(pool.name))
            }
        }
        lock.withLock { pools[uuid]?.startsWithService = on }
    }

    /// Reads all definitions, and starts the pools that start with the service.
    public func recover() {
        StateFiles.sweep(folder)
        StateFiles.sweep(runtime)
        StateFiles.sweepLinks(folder + "/autostart", suffix: ".xml")
        for name in StateFiles.names(in: folder, suffix: ".xml") {
            do {
                guard let text = try StateFiles.read(definitionPath(name)) else { continue }
                var pool = try Pool(parsing: text)
                pool.isPersistent = true
                pool.startsWithService = StateFiles.exists(linkPath(name))
                lock.withLock { pools[pool.uuid] = pool }
                // One that was up is up again, whether or not it starts with the service.
                if pool.startsWithService || StateFiles.exists(statusPath(name)) { try start(pool.uuid, builds: false) }
            } catch { Console.shared.error("the storage pool '\(name)' is left out: \(error)") }
        }
    }

    // MARK: Life

    /// Makes the pool's folder.
    public func build(_ uuid: UniqueID) throws {
        let pool = try pool(uuid)
        try requireFolder(pool)
        if pool.isLogical {
            try LogicalVolumes.build(pool)
        } else {
            try wrapping("create path '\(pool.path)'") { () throws(Errno) in
                try StateFiles.makeFolder(pool.path, mode: 0o711)
            }
        }
        let created: Int32 = 4
        events.emit(.pool(pool.reference, created, detail: 0))
    }

    private func requireFolder(_ pool: Pool) throws {
        let type = pool.root["type"] ?? "dir"
        guard PoolMount.types.contains(type) else {
            throw ManagementError(
                .operationUnsupported, "pools of type '\(type)' cannot be used on this host", from: .storage)
        }
    }

    /// Makes the folder first where `builds`; mounts what the type wants, then lists the volumes.
    public func start(_ uuid: UniqueID, builds: Bool) throws {
        let pool = try pool(uuid)
        guard !pool.isActive else {
            throw ManagementError(.operationInvalid, "storage pool '\(pool.name)' is already active", from: .storage)
        }
        try requireFolder(pool)
        if builds { try build(uuid) }
        if pool.isLogical { try LogicalVolumes.start(pool) }
        guard pool.isLogical || FilePermissions(pool.path)?.isFolder ?? false else {
            throw ManagementError(
                .systemError, "cannot open directory '\(pool.path)': No such file or directory", from: .storage)
        }
        try PoolMount.attach(pool)
        for name in StateFiles.hiddenNames(in: pool.path, prefix: Self.partialPrefix) {
            try? StateFiles.remove(pool.path + "/" + Self.partialPrefix + name)
        }
        lock.withLock { pools[uuid]?.isActive = true }
        do { try refresh(uuid, reports: false) } catch {
            lock.withLock { pools[uuid]?.isActive = false }
            throw error
        }
        try wrapping("write the state of pool '\(pool.name)'") { () throws(Errno) in
            try StateFiles.write(statusPath(pool.name), pool.document(inactive: true))
        }
        events.emit(.pool(pool.reference, 2, detail: 0))
    }

    /// Unmounts what `start` mounted; volumes stay, and a pool without definition is forgotten.
    public func stop(_ uuid: UniqueID) throws {
        let pool = try activePool(uuid)
        if pool.isLogical { try LogicalVolumes.stop(pool) }
        try PoolMount.detach(pool)
        try wrapping("remove the state of pool '\(pool.name)'") { () throws(Errno) in
            try StateFiles.remove(statusPath(pool.name))
        }
        lock.withLock {
            pools[uuid]?.isActive = false
            pools[uuid]?.volumes = [:]
            if !pool.isPersistent { pools[uuid] = nil }
        }
        events.emit(.pool(pool.reference, 3, detail: 0))
    }

    /// Removes the pool's folder.
    public func delete(_ uuid: UniqueID) throws {
        let pool = try pool(uuid)
        guard !pool.isActive else {
            throw ManagementError(.operationInvalid, "storage pool '\(pool.name)' is still active", from: .storage)
        }
        if pool.isLogical {
            try LogicalVolumes.delete(pool)
            return events.emit(.pool(pool.reference, 5, detail: 0))
        }
        // rmdir copies the path.
        guard unsafe rmdir(pool.path) == 0 else {
            throw ManagementError(
                .systemError, "failed to remove pool '\(pool.path)': \(Errno.current)", from: .storage)
        }
        events.emit(.pool(pool.reference, 5, detail: 0))
    }

    /// Looks at the folder again.
    public func refresh(_ uuid: UniqueID, reports: Bool = true) throws {
        let pool = try activePool(uuid)
        var volumes: [String: Volume] = [:]
        if pool.isLogical {
            volumes = try LogicalVolumes.volumes(pool)
        } else {
            for name in StateFiles.names(in: pool.path, suffix: "") {
                if let volume = Volume(name: name, path: pool.path + "/" + name) { volumes[name] = volume }
            }
        }
        let space = pool.isLogical ? try LogicalVolumes.space(pool) : Self.space(pool.path)
        lock.withLock {
            pools[uuid]?.volumes = volumes
            pools[uuid]?.capacity = space.capacity
            pools[uuid]?.available = space.available
        }
        if reports { events.emit(.poolRefreshed(pool.reference)) }
    }

    private static func space(_ path: String) -> (capacity: UInt64, available: UInt64) {
        var information = statvfs()
        // statvfs copies the path and fills the struct on this frame.
        guard unsafe statvfs(path, &information) == 0 else { return (0, 0) }
        let block = UInt64(information.f_frsize)
        return (UInt64(information.f_blocks) &* block, UInt64(information.f_bfree) &* block)
    }
}
