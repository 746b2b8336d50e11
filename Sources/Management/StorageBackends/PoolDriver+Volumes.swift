// SPDX-License-Identifier: Apache-2.0

internal import Glibc
internal import HostTools
internal import HostSystem
public import ManagementModel
internal import StateStore
internal import XMLTree

// Volumes: made, copied, changed and removed.
extension PoolDriver {
    /// The beginning of the name of a volume that is being made.
    static let partialPrefix = ".roost-part-"

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
        // A logical volume is what its group said.
        if volume.isBlock { return volume }
        guard let fresh = Volume(name: volume.name, path: volume.path) else {
            throw ManagementError(.noStorageVol, "no storage vol with matching name '\(volume.name)'", from: .storage)
        }
        return fresh
    }

    /// Makes a volume, empty or as a copy of another one.
    public func createVolume(
        _ uuid: UniqueID, _ text: String, from source: Volume? = nil, preallocatesMetadata: Bool = false
    ) throws -> Volume {
        let pool = try activePool(uuid)
        var request = try VolumeRequest(parsing: text)
        request.preallocatesMetadata = preallocatesMetadata
        if preallocatesMetadata, request.format != "qcow2" {
            throw ManagementError(
                .configUnsupported,
                request.format == "raw"
                    ? "metadata preallocation is not supported for raw volumes"
                    : "metadata preallocation only available with qcow2", from: .storage)
        }
        guard pool.volumes[request.name] == nil, !StateFiles.exists(pool.path + "/" + request.name) else {
            guard source == nil else {
                throw ManagementError(
                    .internalError, "storage volume name '\(request.name)' already in use.", from: .storage)
            }
            throw ManagementError(.storageVolExist, "'\(request.name)'", from: .storage)
        }
        if pool.isLogical {
            try LogicalVolumes.create(pool, request)
            try refresh(uuid, reports: false)
            let made = try volume(uuid, named: request.name)
            if let source {
                do {
                    try tool(
                        ["convert", "-n", "-f", Self.driver(source.format), "-O", "raw", source.path, made.path],
                        made.path)
                } catch {
                    try LogicalVolumes.delete(pool, request.name)
                    try refresh(uuid, reports: false)
                    throw error
                }
            }
            return made
        }
        if request.format == "dir" {
            try wrapping("make '\(pool.path)/\(request.name)'") { () throws(Errno) in
                try StateFiles.makeFolder(pool.path + "/" + request.name, mode: request.mode)
            }
            try refresh(uuid, reports: false)
            return try volume(uuid, named: request.name)
        }
        // It gets its name when it is whole; what is left of one that never was is removed at the next start.
        let path = pool.path + "/" + request.name
        let partial = pool.path + "/" + Self.partialPrefix + request.name
        try? StateFiles.remove(partial)
        do {
            try make(request, partial, source)
            // chmod copies the path.
            _ = unsafe chmod(partial, request.mode)
            try wrapping("make '\(path)'") { () throws(Errno) in try StateFiles.move(partial, to: path) }
        } catch {
            try? StateFiles.remove(partial)
            throw error
        }
        try refresh(uuid, reports: false)
        return try volume(uuid, named: request.name)
    }

    private func make(_ request: VolumeRequest, _ path: String, _ source: Volume?) throws {
        if let source, source.isEncrypted || request.encryption != nil {
            // The same bytes have the same passphrase; anything else would have to be read with one and written with
            // another.
            guard source.isEncrypted, request.encryption != nil, request.format == source.format else {
                throw ManagementError(
                    .configUnsupported, "an encrypted volume can only be copied as it is, with its own secret",
                    from: .storage)
            }
            return try tool(["convert", "-f", "raw", "-O", "raw", source.path, path], path)
        }
        if let secret = request.encryption { return try makeEncrypted(request, secret, path) }
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
        if request.format == "qcow2" {
            arguments += ["-o", "compat=\(request.compatibility)" + request.preallocation]
        }
        try tool(arguments + [path, "\(request.capacity)"], path)
    }

    private func value(of secret: VolumeRequest.SecretReference) throws -> [UInt8] {
        switch secret {
        case .uuid(let uuid): try passphrase(uuid, nil)
        case .usage(let usage): try passphrase(nil, usage)
        }
    }

    /// Runs `body` with the words that tell the image tool of a passphrase, which is in a file of its own meanwhile.
    private func withPassphrase(_ value: [UInt8], _ body: ([String]) throws -> Void) throws {
        let file = runtime + "/.passphrase-\(UniqueID.random())"
        defer { try? StateFiles.remove(file) }
        try wrapping("write '\(file)'") { () throws(Errno) in
            let file = try FileDescriptor.open(file, flags: O_WRONLY | O_CREAT | O_EXCL, mode: 0o600)
            try file.writeAll(value)
        }
        try body(["--object", "secret,id=key,file=\(file)"])
    }

    private func makeEncrypted(
        _ request: VolumeRequest, _ secret: VolumeRequest.SecretReference, _ path: String
    ) throws {
        try withPassphrase(try value(of: secret)) { words in
            var arguments = ["create", "-q"] + words
            if request.format == "qcow2" {
                arguments += ["-f", "qcow2"]
                if let backing = request.backing {
                    arguments += ["-b", backing.path, "-F", Self.driver(backing.format)]
                }
                arguments += ["-o", "compat=1.1,encrypt.format=luks,encrypt.key-secret=key" + request.preallocation]
            } else {
                arguments += ["-f", "luks", "-o", "key-secret=key"]
            }
            try tool(arguments + [path, "\(request.capacity)"], path)
        }
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
        if volume.isBlock {
            try LogicalVolumes.delete(try pool(uuid), name)
        } else if volume.isFolder {
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
        guard size >= volume.allocation else {
            throw ManagementError(
                .invalidArg, "can't shrink capacity below existing allocation", from: .storage)
        }
        guard shrinks || size >= volume.capacity else {
            throw ManagementError(
                .invalidArg, "Can't shrink capacity below current capacity unless shrink flag explicitly specified",
                from: .storage)
        }
        if volume.isBlock {
            try LogicalVolumes.resize(try pool(uuid), name, to: size, shrinks: size < volume.capacity)
            return try refresh(uuid, reports: false)
        }
        let shrink = size < volume.capacity ? ["--shrink"] : []
        if volume.isEncrypted {
            try withPassphrase(try passphrase(nil, volume.path)) { words in
                let options =
                    volume.format == "qcow2" ? "driver=qcow2,encrypt.key-secret=key" : "driver=luks,key-secret=key"
                try tool(
                    ["resize", "-q"] + words + ["--image-opts"] + shrink
                        + [options + ",file.filename=" + volume.path, "\(size)"], volume.path)
            }
            return try refresh(uuid, reports: false)
        }
        try tool(["resize", "-q", "-f", Self.driver(volume.format)] + shrink + [volume.path, "\(size)"], volume.path)
        try refresh(uuid, reports: false)
    }

    /// Overwrites a volume with zeros. An image of another format is an empty raw one afterwards, as with libvirt.
    public func wipeVolume(_ uuid: UniqueID, named name: String) throws {
        let volume = try current(volume(uuid, named: name))
        guard !volume.isFolder else {
            throw ManagementError(.operationInvalid, "'\(name)' is a folder", from: .storage)
        }
        let probed = FilePermissions(volume.path)
        let isSparse = !volume.isBlock && (probed.map { $0.allocation < $0.size } ?? false)
        try wrapping("wipe '\(volume.path)'") { () throws(Errno) in
            let file = try FileDescriptor.open(volume.path, flags: O_WRONLY)
            if isSparse {
                // What has no blocks has nothing to overwrite: the file is as long as before, and empty.
                _ = try retrying { ftruncate(file.number, 0) }
                _ = try retrying { ftruncate(file.number, Int(volume.physical)) }
            } else {
                let chunk = [UInt8](repeating: 0, count: 1 << 20)
                var left = volume.physical
                while left > 0 {
                    let count = Int(min(left, UInt64(chunk.count)))
                    try file.writeAll(count == chunk.count ? chunk : Array(chunk.prefix(count)))
                    left -= UInt64(count)
                }
            }
            _ = try retrying { fdatasync(file.number) }
        }
        try refresh(uuid, reports: false)
    }
}
