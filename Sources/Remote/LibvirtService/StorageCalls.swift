// SPDX-License-Identifier: Apache-2.0

internal import LibvirtProtocol
internal import LibvirtRPC
internal import ManagementCore
internal import ManagementModel
internal import ManagementXML
internal import StorageBackends
internal import XDRCoding

/// Storage pools and volumes.
enum StorageCalls {
    static func register(in table: CallTable<ServiceConnection>) {
        registerPoolListing(in: table)
        registerPools(in: table)
        registerVolumes(in: table)
        registerVolumeChanges(in: table)
    }

    // MARK: Pools

    private static let types = [
        "dir", "fs", "netfs", "logical", "disk", "iscsi", "scsi", "mpath", "rbd", "sheepdog", "gluster", "zfs",
        "vstorage",
        "iscsi-direct",
    ]

    /// Flags of a list: two alternatives each for active, persistent and autostart, then one for each type from bit 6 on.
    private static func matches(_ facts: PoolFacts, _ flags: UInt32) -> Bool {
        func group(_ yes: UInt32, _ no: UInt32, _ truth: Bool) -> Bool {
            flags & (yes | no) == 0 || flags & (truth ? yes : no) != 0
        }
        let typeMask = flags & ~0x3f
        let type = types.firstIndex(of: facts.type).map { UInt32(1) << UInt32($0 + 6) } ?? 0
        return group(2, 1, facts.isActive) && group(4, 8, facts.isPersistent) && group(16, 32, facts.startsWithService)
            && (typeMask == 0 || typeMask & type != 0)
    }

    private static func registerPoolListing(in table: CallTable<ServiceConnection>) {
        table.answer(Procedures.connectListAllStoragePools) { client, _, wanted, flags in
            let found = client.core.pools.all.filter { matches($0, flags) }
            return (wanted != 0 ? found.map { PoolHandle($0.reference) } : [], UInt32(found.count))
        }
        table.answer(Procedures.connectNumOfStoragePools) { client, _ in
            Int32(client.core.pools.all.count { $0.isActive })
        }
        table.answer(Procedures.connectListStoragePools) { client, _, limit in
            Array(client.core.pools.all.filter(\.isActive).map(\.reference.name).prefix(Int(max(0, limit))))
        }
        table.answer(Procedures.connectNumOfDefinedStoragePools) { client, _ in
            Int32(client.core.pools.all.count { !$0.isActive })
        }
        table.answer(Procedures.connectListDefinedStoragePools) { client, _, limit in
            Array(client.core.pools.all.filter { !$0.isActive }.map(\.reference.name).prefix(Int(max(0, limit))))
        }
        table.answer(Procedures.connectGetStoragePoolCapabilities) { _, _, _ in PoolCapabilities.document }
        table.answer(Procedures.storagePoolLookupByName) { client, _, name in
            PoolHandle(try client.core.pools.find(named: name))
        }
        table.answer(Procedures.storagePoolLookupByUUID) { client, _, uuid in
            PoolHandle(try client.core.pools.facts(uuid).reference)
        }
        table.answer(Procedures.storagePoolLookupByVolume) { client, _, volume in
            PoolHandle(try client.core.pools.find(named: volume.pool))
        }
        table.answer(Procedures.storagePoolLookupByTargetPath) { client, _, path in
            PoolHandle(try client.core.pools.find(path: path))
        }
    }

    private static func registerPools(in table: CallTable<ServiceConnection>) {
        table.answer(Procedures.storagePoolGetInfo) { client, _, pool in
            let facts = try client.core.pools.facts(pool.uuid)
            return (WireByte(facts.state), facts.capacity, facts.allocation, facts.available)
        }
        table.answer(Procedures.storagePoolGetXMLDesc, .blocking) { client, _, pool, flags in
            try client.core.pools.document(pool.uuid, inactive: flags & 1 != 0)
        }
        table.answer(Procedures.storagePoolGetAutostart) { client, _, pool in
            try client.core.pools.facts(pool.uuid).startsWithService ? 1 : 0
        }
        table.answer(Procedures.storagePoolIsActive) { client, _, pool in
            try client.core.pools.facts(pool.uuid).isActive ? 1 : 0
        }
        table.answer(Procedures.storagePoolIsPersistent) { client, _, pool in
            try client.core.pools.facts(pool.uuid).isPersistent ? 1 : 0
        }
        table.answer(Procedures.storagePoolDefineXML, .blocking) { client, _, text, flags in
            try Validation.check(text, flags, Grammar.pool, schema: "storagepool.rng")
            return PoolHandle(try client.core.pools.add(text, persistent: true))
        }
        table.answer(Procedures.storagePoolCreateXML, .blocking) { client, _, text, flags in
            // Whether what is there is kept or written over, it is made.
            let builds: UInt32 = 7
            return PoolHandle(try client.core.pools.add(text, persistent: false, builds: flags & builds != 0))
        }
        table.answer(Procedures.connectFindStoragePoolSources, .blocking) { client, _, type, source, _ in
            try client.core.pools.sources(ofType: type, source)
        }
        table.answer(Procedures.storagePoolBuild, .blocking) { client, _, pool, _ in
            try client.core.pools.build(pool.uuid)
        }
        table.answer(Procedures.storagePoolCreate, .blocking) { client, _, pool, flags in
            try client.core.pools.start(pool.uuid, builds: flags & 7 != 0)
        }
        table.answer(Procedures.storagePoolDestroy, .blocking) { client, _, pool in
            try client.core.pools.stop(pool.uuid)
        }
        table.answer(Procedures.storagePoolDelete, .blocking) { client, _, pool, _ in
            try client.core.pools.delete(pool.uuid)
        }
        table.answer(Procedures.storagePoolUndefine, .blocking) { client, _, pool in
            try client.core.pools.undefine(pool.uuid)
        }
        table.answer(Procedures.storagePoolRefresh, .blocking) { client, _, pool, _ in
            try client.core.pools.refresh(pool.uuid)
        }
        table.answer(Procedures.storagePoolSetAutostart, .blocking) { client, _, pool, on in
            try client.core.pools.setAutostart(pool.uuid, on != 0)
        }
    }

    // MARK: Volumes

    private static func registerVolumes(in table: CallTable<ServiceConnection>) {
        table.answer(Procedures.storagePoolNumOfVolumes) { client, _, pool in
            Int32(try client.core.pools.volumes(pool.uuid).count)
        }
        table.answer(Procedures.storagePoolListVolumes) { client, _, pool, limit in
            Array(try client.core.pools.volumes(pool.uuid).map(\.name).prefix(Int(max(0, limit))))
        }
        table.answer(Procedures.storagePoolListAllVolumes) { client, _, pool, wanted, _ in
            let volumes = try client.core.pools.volumes(pool.uuid)
            return (wanted != 0 ? volumes.map { VolumeHandle(pool.name, $0) } : [], UInt32(volumes.count))
        }
        table.answer(Procedures.storageVolLookupByName) { client, _, pool, name in
            VolumeHandle(pool.name, try client.core.pools.volume(pool.uuid, named: name))
        }
        table.answer(Procedures.storageVolLookupByKey) { client, _, key in
            let found = try client.core.pools.volume(path: key, isKey: true)
            return VolumeHandle(found.pool.name, found.volume)
        }
        table.answer(Procedures.storageVolLookupByPath) { client, _, path in
            let found = try client.core.pools.volume(path: path)
            return VolumeHandle(found.pool.name, found.volume)
        }
        table.answer(Procedures.storageVolGetInfo, .blocking) { client, _, handle in
            let volume = try client.current(handle)
            return (WireByte(UInt8(truncatingIfNeeded: volume.type)), volume.capacity, volume.allocation)
        }
        table.answer(Procedures.storageVolGetInfoFlags, .blocking) { client, _, handle, _ in
            let volume = try client.current(handle)
            return (WireByte(UInt8(truncatingIfNeeded: volume.type)), volume.capacity, volume.allocation)
        }
        table.answer(Procedures.storageVolGetXMLDesc, .blocking) { client, _, handle, _ in
            try client.current(handle).document
        }
        table.answer(Procedures.storageVolGetPath) { client, _, handle in try client.volume(handle).path }
    }

    /// VIR_STORAGE_VOL_CREATE_PREALLOC_METADATA.
    private static let preallocateMetadata: UInt32 = 1

    private static func registerVolumeChanges(in table: CallTable<ServiceConnection>) {
        table.answer(Procedures.storageVolCreateXML, .blocking) { client, _, pool, text, flags in
            try Validation.check(text, flags, bit: Validation.volumeBit, Grammar.volume, schema: "storagevol.rng")
            return VolumeHandle(
                pool.name,
                try client.core.pools.createVolume(
                    pool.uuid, text, preallocatesMetadata: flags & preallocateMetadata != 0))
        }
        table.answer(Procedures.storageVolCreateXMLFrom, .blocking) { client, _, pool, text, source, flags in
            try Validation.check(text, flags, bit: Validation.volumeBit, Grammar.volume, schema: "storagevol.rng")
            return VolumeHandle(
                pool.name,
                try client.core.pools.createVolume(
                    pool.uuid, text, from: try client.volume(source),
                    preallocatesMetadata: flags & preallocateMetadata != 0))
        }
        table.answer(Procedures.storageVolDelete, .blocking) { client, _, handle, _ in
            try client.core.pools.deleteVolume(try client.core.pools.find(named: handle.pool).uuid, named: handle.name)
        }
        table.answer(Procedures.storageVolWipe, .blocking) { client, _, handle, _ in
            try client.core.pools.wipeVolume(try client.core.pools.find(named: handle.pool).uuid, named: handle.name)
        }
        table.answer(Procedures.storageVolWipePattern, .blocking) { client, _, handle, pattern, _ in
            let zero: UInt32 = 0
            guard pattern == zero else {
                let names = [
                    "zero", "nnsa", "dod", "bsi", "gutmann", "schneier", "pfitzner7", "pfitzner33", "random", "trim",
                ]
                guard pattern < names.count else {
                    throw ManagementError(.invalidArg, "wiping algorithm \(pattern) not supported", from: .storage)
                }
                throw ManagementError(
                    .argumentUnsupported, "'\(names[Int(pattern)])' algorithm not supported", from: .storage)
            }
            try client.core.pools.wipeVolume(try client.core.pools.find(named: handle.pool).uuid, named: handle.name)
        }
        table.answer(Procedures.storageVolResize, .blocking) { client, _, handle, size, flags in
            let uuid = try client.core.pools.find(named: handle.pool).uuid
            let (delta, shrink): (UInt32, UInt32) = (2, 4)
            let old = try client.current(handle).capacity
            let target = flags & delta == 0 ? size : flags & shrink != 0 ? old &- min(old, size) : old &+ size
            try client.core.pools.resizeVolume(uuid, named: handle.name, to: target, shrinks: flags & shrink != 0)
        }
        table.answer(Procedures.storageVolDownload, .blocking) { client, call, handle, offset, length, flags in
            try VolumeStream.download(try client.current(handle), offset, length, sparse: flags & 1 != 0, call)
        }
        table.answer(Procedures.storageVolUpload, .blocking) { client, call, handle, offset, length, _ in
            try VolumeStream.upload(try client.current(handle), offset, length, call)
        }
    }
}

extension PoolHandle {
    init(_ reference: ObjectReference) { self.init(name: reference.name, uuid: reference.uuid) }
}

extension VolumeHandle {
    init(_ pool: String, _ volume: Volume) { self.init(pool: pool, name: volume.name, key: volume.key) }
}

extension ServiceConnection {
    /// The volume that a client means.
    func volume(_ handle: VolumeHandle) throws -> Volume {
        try core.pools.volume(try core.pools.find(named: handle.pool).uuid, named: handle.name)
    }

    /// The same, looked at now.
    func current(_ handle: VolumeHandle) throws -> Volume { try core.pools.current(try volume(handle)) }
}
