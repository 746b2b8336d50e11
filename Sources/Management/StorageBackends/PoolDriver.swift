// SPDX-License-Identifier: Apache-2.0

internal import Diagnostics
internal import Glibc
internal import HostTools
public import HostSystem
public import ManagementModel
internal import StateStore
internal import XMLTree

/// What is known of a pool without its document.
public struct PoolFacts: Sendable {
    public let reference: ObjectReference
    public let isActive: Bool
    public let isPersistent: Bool
    public let startsWithService: Bool
    public let type: String
    /// Bytes.
    public let capacity: UInt64, allocation: UInt64, available: UInt64
    /// 0 inactive, 2 running.
    public var state: UInt8 { isActive ? 2 : 0 }
}

/// All storage pools and their volumes.
public final class PoolDriver: @unchecked Sendable {
    private let folder: String
    private let runtime: String
    private let imageTool: String
    private let events: EventHub
    private let lock = Lock()
    // Guarded by `lock`.
    private var pools: [UniqueID: Pool] = [:]

    /// - Parameters:
    ///   - folder: of definitions (/etc/libvirt/storage).
    ///   - runtime: of what a reboot ends (/run/libvirt/storage); nil for a folder below the definitions'.
    ///   - imageTool: the program that makes images.
    public init(folder: String, runtime: String? = nil, imageTool: String, events: EventHub) throws(Errno) {
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

    public var all: [PoolFacts] { lock.withLock { pools.values.map(Self.facts) } }

    private func pool(_ uuid: UniqueID) throws -> Pool {
        guard let pool = lock.withLock({ pools[uuid] }) else {
            throw ManagementError(.noStoragePool, "no storage pool with matching uuid '\(uuid)'", from: .storage)
        }
        return pool
    }

    private func activePool(_ uuid: UniqueID) throws -> Pool {
        let pool = try pool(uuid)
        guard pool.isActive else {
            throw ManagementError(.operationInvalid, "storage pool '\(pool.name)' is not active", from: .storage)
        }
        return pool
    }

    public func facts(_ uuid: UniqueID) throws -> PoolFacts { Self.facts(try pool(uuid)) }

    public func find(named name: String) throws -> ObjectReference {
        guard let found = lock.withLock({ pools.values.first { $0.name == name } }) else {
            throw ManagementError(.noStoragePool, "no storage pool with matching name '\(name)'", from: .storage)
        }
        return found.reference
    }

    public func find(path: String) throws -> ObjectReference {
        guard let found = lock.withLock({ pools.values.first { $0.path == path } }) else {
            throw ManagementError(.noStoragePool, "no storage pool with matching target path '\(path)'", from: .storage)
        }
        return found.reference
    }

    public func document(_ uuid: UniqueID, inactive: Bool) throws -> String {
        try pool(uuid).document(inactive: inactive)
    }

    // MARK: Definitions

    private func definitionPath(_ name: String) -> String { folder + "/" + name + ".xml" }
    private func statusPath(_ name: String) -> String { runtime + "/" + name + ".xml" }
    private func linkPath(_ name: String) -> String { folder + "/autostart/" + name + ".xml" }

    /// Defines a pool, or makes one that is gone when it stops.
    public func add(_ text: String, persistent: Bool) throws -> ObjectReference {
        var pool = try Pool(parsing: text)
        try lock.withLock {
            for known in pools.values where known.name == pool.name && known.uuid != pool.uuid {
                throw ManagementError(
                    .operationFailed, "pool '\(pool.name)' already exists with uuid \(known.uuid)", from: .storage)
            }
            if let known = pools[pool.uuid] {
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
        }
        if persistent {
            events.emit(.pool(pool.reference, 0, detail: 0))
        } else {
            do { try start(pool.uuid, builds: false) } catch {
                lock.withLock { pools[pool.uuid] = nil }
                throw error
            }
        }
        return pool.reference
    }

    private func wrapping(_ what: String, _ body: () throws(Errno) -> Void) throws {
        do throws(Errno) { try body() } catch {
            throw ManagementError(.systemError, "cannot \(what): \(error)", from: .storage)
        }
    }

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

    public func setAutostart(_ uuid: UniqueID, _ on: Bool) throws {
        let pool = try pool(uuid)
        guard pool.isPersistent else {
            throw ManagementError(.operationInvalid, "pool has no config file", from: .storage)
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
        try wrapping("create path '\(pool.path)'") { () throws(Errno) in
            try StateFiles.makeFolder(pool.path, mode: 0o711)
        }
    }

    private func requireFolder(_ pool: Pool) throws {
        let type = pool.root["type"] ?? "dir"
        guard PoolMount.types.contains(type) else {
            throw ManagementError(
                .operationUnsupported, "pools of type '\(type)' cannot be used on this host", from: .storage)
        }
    }

    public func start(_ uuid: UniqueID, builds: Bool) throws {
        let pool = try pool(uuid)
        guard !pool.isActive else {
            throw ManagementError(.operationInvalid, "storage pool '\(pool.name)' is already active", from: .storage)
        }
        try requireFolder(pool)
        if builds { try build(uuid) }
        guard FilePermissions(pool.path)?.isFolder ?? false else {
            throw ManagementError(
                .systemError, "cannot open directory '\(pool.path)': No such file or directory", from: .storage)
        }
        try PoolMount.attach(pool)
        lock.withLock { pools[uuid]?.isActive = true }
        try refresh(uuid, reports: false)
        try wrapping("write the state of pool '\(pool.name)'") { () throws(Errno) in
            try StateFiles.write(statusPath(pool.name), pool.document(inactive: true))
        }
        events.emit(.pool(pool.reference, 2, detail: 0))
    }

    public func stop(_ uuid: UniqueID) throws {
        let pool = try activePool(uuid)
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
        for name in StateFiles.names(in: pool.path, suffix: "") {
            if let volume = Volume(name: name, path: pool.path + "/" + name) { volumes[name] = volume }
        }
        let space = Self.space(pool.path)
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

    // MARK: Volumes

    public func volumes(_ uuid: UniqueID) throws -> [Volume] {
        try activePool(uuid).volumes.values.sorted { $0.name < $1.name }
    }

    public func volume(_ uuid: UniqueID, named name: String) throws -> Volume {
        guard let volume = try activePool(uuid).volumes[name] else {
            throw ManagementError(.noStorageVol, "no storage vol with matching name '\(name)'", from: .storage)
        }
        return volume
    }

    /// The volume of a key, which is its path, and its pool.
    public func volume(path: String, isKey: Bool = false) throws -> (pool: ObjectReference, volume: Volume) {
        let found: (ObjectReference, Volume)? = lock.withLock {
            for pool in pools.values where pool.isActive {
                if let volume = pool.volumes.values.first(where: { $0.path == path }) {
                    return (pool.reference, volume)
                }
            }
            return nil
        }
        guard let found else {
            throw ManagementError(
                .noStorageVol, "no storage vol with matching \(isKey ? "key" : "path") '\(path)'", from: .storage)
        }
        return found
    }

    /// What the first look at a volume found, looked at again now.
    public func current(_ volume: Volume) throws -> Volume {
        guard let fresh = Volume(name: volume.name, path: volume.path) else {
            throw ManagementError(.noStorageVol, "no storage vol with matching name '\(volume.name)'", from: .storage)
        }
        return fresh
    }

    /// Makes a volume, empty or as a copy of another one.
    public func createVolume(_ uuid: UniqueID, _ text: String, from source: Volume? = nil) throws -> Volume {
        let pool = try activePool(uuid)
        let request = try VolumeRequest(parsing: text)
        guard pool.volumes[request.name] == nil, !StateFiles.exists(pool.path + "/" + request.name) else {
            throw ManagementError(.storageVolExist, "'\(request.name)'", from: .storage)
        }
        let path = pool.path + "/" + request.name
        do { try make(request, path, source) } catch {
            try? StateFiles.remove(path)
            throw error
        }
        // chmod copies the path.
        _ = unsafe chmod(path, request.mode)
        try refresh(uuid, reports: false)
        return try volume(uuid, named: request.name)
    }

    private func make(_ request: VolumeRequest, _ path: String, _ source: Volume?) throws {
        if let source {
            try tool(
                ["convert", "-f", Self.driver(source.format), "-O", Self.driver(request.format), source.path, path],
                path)
            if request.capacity > source.capacity {
                try tool(["resize", "-f", Self.driver(request.format), path, "\(request.capacity)"], path)
            }
            return
        }
        if request.format == "raw" { return try makeRaw(request, path) }
        var arguments = ["create", "-q", "-f", Self.driver(request.format)]
        if let backing = request.backing { arguments += ["-b", backing.path, "-F", Self.driver(backing.format)] }
        if request.format == "qcow2" { arguments += ["-o", "compat=\(request.compatibility)"] }
        try tool(arguments + [path, "\(request.capacity)"], path)
    }

    /// A file of exactly the size asked for, with space for what is to be allocated.
    private func makeRaw(_ request: VolumeRequest, _ path: String) throws {
        try wrapping("make '\(path)'") { () throws(Errno) in
            guard request.capacity <= UInt64(Int64.max), request.allocation <= UInt64(Int64.max) else {
                throw Errno(EFBIG)
            }
            let file = try FileDescriptor.open(path, flags: O_WRONLY | O_CREAT | O_EXCL, mode: request.mode)
            _ = try retrying { ftruncate(file.number, Int(request.capacity)) }
            let allocated = min(request.allocation, request.capacity)
            guard allocated > 0 else { return }
            let failure = posix_fallocate(file.number, 0, Int(allocated))
            if failure != 0 { throw Errno(failure) }
        }
    }

    /// Names of formats as images' tools know them.
    private static func driver(_ format: String) -> String { format == "iso" || format == "none" ? "raw" : format }

    private func tool(_ arguments: [String], _ path: String) throws {
        try HostTool.run(imageTool, arguments, to: "make or change '\(path)'", from: .storage)
    }

    public func deleteVolume(_ uuid: UniqueID, named name: String) throws {
        let volume = try volume(uuid, named: name)
        if volume.isFolder {
            // rmdir copies the path.
            guard unsafe rmdir(volume.path) == 0 else {
                throw ManagementError(.systemError, "cannot remove '\(volume.path)': \(Errno.current)", from: .storage)
            }
        } else {
            try wrapping("remove '\(volume.path)'") { () throws(Errno) in try StateFiles.remove(volume.path) }
        }
        try refresh(uuid, reports: false)
    }

    /// Changes what a guest sees of a volume, in bytes.
    public func resizeVolume(_ uuid: UniqueID, named name: String, to size: UInt64, shrinks: Bool) throws {
        let volume = try current(volume(uuid, named: name))
        guard shrinks || size >= volume.capacity else {
            throw ManagementError(
                .invalidArg, "Can't shrink capacity below current capacity unless shrink flag explicitly specified",
                from: .storage)
        }
        let shrink = size < volume.capacity ? ["--shrink"] : []
        try tool(["resize", "-q", "-f", Self.driver(volume.format)] + shrink + [volume.path, "\(size)"], volume.path)
        try refresh(uuid, reports: false)
    }

    /// Overwrites a volume with zeros.
    public func wipeVolume(_ uuid: UniqueID, named name: String) throws {
        let volume = try current(volume(uuid, named: name))
        try wrapping("wipe '\(volume.path)'") { () throws(Errno) in
            let file = try FileDescriptor.open(volume.path, flags: O_WRONLY)
            let chunk = [UInt8](repeating: 0, count: 1 << 20)
            var left = volume.physical
            while left > 0 {
                let count = Int(min(left, UInt64(chunk.count)))
                try file.writeAll(count == chunk.count ? chunk : Array(chunk.prefix(count)))
                left -= UInt64(count)
            }
            _ = try retrying { fdatasync(file.number) }
        }
    }
}
