// SPDX-License-Identifier: Apache-2.0

public import ManagementModel
public import XDRCoding

/// Calls: Storage. Number, the name that clients know the call by, and whether it changes anything; argument and result types are in the order of the wire.
extension Procedures {
    /// Takes nothing; gives count.
    public static let connectNumOfStoragePools = Procedure<Message<>, Message<Int32>>(71, "virConnectNumOfStoragePools")
    /// Takes most names; gives names.
    public static let connectListStoragePools = Procedure<Message<Int32>, Message<[String]>>(
        72, "virConnectListStoragePools")
    /// Takes nothing; gives count.
    public static let connectNumOfDefinedStoragePools = Procedure<Message<>, Message<Int32>>(
        73, "virConnectNumOfDefinedStoragePools")
    /// Takes most names; gives names.
    public static let connectListDefinedStoragePools = Procedure<Message<Int32>, Message<[String]>>(
        74, "virConnectListDefinedStoragePools")
    /// Takes type, src spec, flags; gives document.
    public static let connectFindStoragePoolSources = Procedure<Message<String, String?, UInt32>, Message<String>>(
        75, "virConnectFindStoragePoolSources", .write)
    /// Takes document, flags; gives pool.
    public static let storagePoolCreateXML = Procedure<Message<String, UInt32>, Message<PoolHandle>>(
        76, "virStoragePoolCreateXML", .write)
    /// Takes document, flags; gives pool.
    public static let storagePoolDefineXML = Procedure<Message<String, UInt32>, Message<PoolHandle>>(
        77, "virStoragePoolDefineXML", .write)
    /// Takes pool, flags.
    public static let storagePoolCreate = Procedure<Message<PoolHandle, UInt32>, Message<>>(
        78, "virStoragePoolCreate", .write)
    /// Takes pool, flags.
    public static let storagePoolBuild = Procedure<Message<PoolHandle, UInt32>, Message<>>(
        79, "virStoragePoolBuild", .write)
    /// Takes pool.
    public static let storagePoolDestroy = Procedure<Message<PoolHandle>, Message<>>(
        80, "virStoragePoolDestroy", .write)
    /// Takes pool, flags.
    public static let storagePoolDelete = Procedure<Message<PoolHandle, UInt32>, Message<>>(
        81, "virStoragePoolDelete", .write)
    /// Takes pool.
    public static let storagePoolUndefine = Procedure<Message<PoolHandle>, Message<>>(
        82, "virStoragePoolUndefine", .write)
    /// Takes pool, flags.
    public static let storagePoolRefresh = Procedure<Message<PoolHandle, UInt32>, Message<>>(
        83, "virStoragePoolRefresh", .write)
    /// Takes name; gives pool.
    public static let storagePoolLookupByName = Procedure<Message<String>, Message<PoolHandle>>(
        84, "virStoragePoolLookupByName")
    /// Takes UUID; gives pool.
    public static let storagePoolLookupByUUID = Procedure<Message<UniqueID>, Message<PoolHandle>>(
        85, "virStoragePoolLookupByUUID")
    /// Takes volume; gives pool.
    public static let storagePoolLookupByVolume = Procedure<Message<VolumeHandle>, Message<PoolHandle>>(
        86, "virStoragePoolLookupByVolume")
    /// Takes pool; gives state, capacity, allocation, available.
    public static let storagePoolGetInfo = Procedure<Message<PoolHandle>, Message<WireByte, UInt64, UInt64, UInt64>>(
        87, "virStoragePoolGetInfo")
    /// Takes pool, flags; gives document.
    public static let storagePoolGetXMLDesc = Procedure<Message<PoolHandle, UInt32>, Message<String>>(
        88, "virStoragePoolGetXMLDesc")
    /// Takes pool; gives autostart.
    public static let storagePoolGetAutostart = Procedure<Message<PoolHandle>, Message<Int32>>(
        89, "virStoragePoolGetAutostart")
    /// Takes pool, autostart.
    public static let storagePoolSetAutostart = Procedure<Message<PoolHandle, Int32>, Message<>>(
        90, "virStoragePoolSetAutostart", .write)
    /// Takes pool; gives count.
    public static let storagePoolNumOfVolumes = Procedure<Message<PoolHandle>, Message<Int32>>(
        91, "virStoragePoolNumOfVolumes")
    /// Takes pool, most names; gives names.
    public static let storagePoolListVolumes = Procedure<Message<PoolHandle, Int32>, Message<[String]>>(
        92, "virStoragePoolListVolumes")
    /// Takes pool, document, flags; gives volume.
    public static let storageVolCreateXML = Procedure<Message<PoolHandle, String, UInt32>, Message<VolumeHandle>>(
        93, "virStorageVolCreateXML", .write)
    /// Takes volume, flags.
    public static let storageVolDelete = Procedure<Message<VolumeHandle, UInt32>, Message<>>(
        94, "virStorageVolDelete", .write)
    /// Takes pool, name; gives volume.
    public static let storageVolLookupByName = Procedure<Message<PoolHandle, String>, Message<VolumeHandle>>(
        95, "virStorageVolLookupByName")
    /// Takes key; gives volume.
    public static let storageVolLookupByKey = Procedure<Message<String>, Message<VolumeHandle>>(
        96, "virStorageVolLookupByKey")
    /// Takes path; gives volume.
    public static let storageVolLookupByPath = Procedure<Message<String>, Message<VolumeHandle>>(
        97, "virStorageVolLookupByPath")
    /// Takes volume; gives type, capacity, allocation.
    public static let storageVolGetInfo = Procedure<Message<VolumeHandle>, Message<WireByte, UInt64, UInt64>>(
        98, "virStorageVolGetInfo")
    /// Takes volume, flags; gives document.
    public static let storageVolGetXMLDesc = Procedure<Message<VolumeHandle, UInt32>, Message<String>>(
        99, "virStorageVolGetXMLDesc")
    /// Takes volume; gives name.
    public static let storageVolGetPath = Procedure<Message<VolumeHandle>, Message<String>>(100, "virStorageVolGetPath")
    /// Takes pool, document, volume to clone, flags; gives volume.
    public static let storageVolCreateXMLFrom = Procedure<
        Message<PoolHandle, String, VolumeHandle, UInt32>, Message<VolumeHandle>
    >(125, "virStorageVolCreateXMLFrom", .write)
    /// Takes pool; gives active.
    public static let storagePoolIsActive = Procedure<Message<PoolHandle>, Message<Int32>>(
        154, "virStoragePoolIsActive")
    /// Takes pool; gives persistent.
    public static let storagePoolIsPersistent = Procedure<Message<PoolHandle>, Message<Int32>>(
        155, "virStoragePoolIsPersistent")
    /// Takes volume, flags.
    public static let storageVolWipe = Procedure<Message<VolumeHandle, UInt32>, Message<>>(
        165, "virStorageVolWipe", .write)
    /// Takes volume, offset, length, flags.
    public static let storageVolUpload = Procedure<Message<VolumeHandle, UInt64, UInt64, UInt32>, Message<>>(
        208, "virStorageVolUpload", .write)
    /// Takes volume, offset, length, flags.
    public static let storageVolDownload = Procedure<Message<VolumeHandle, UInt64, UInt64, UInt32>, Message<>>(
        209, "virStorageVolDownload", .write)
    /// Takes volume, algorithm, flags.
    public static let storageVolWipePattern = Procedure<Message<VolumeHandle, UInt32, UInt32>, Message<>>(
        259, "virStorageVolWipePattern", .write)
    /// Takes volume, capacity, flags.
    public static let storageVolResize = Procedure<Message<VolumeHandle, UInt64, UInt32>, Message<>>(
        260, "virStorageVolResize", .write)
    /// Takes whether a list is wanted, flags; gives pools, their count.
    public static let connectListAllStoragePools = Procedure<Message<Int32, UInt32>, Message<[PoolHandle], UInt32>>(
        281, "virConnectListAllStoragePools")
    /// Takes pool, whether a list is wanted, flags; gives vols, their count.
    public static let storagePoolListAllVolumes = Procedure<
        Message<PoolHandle, Int32, UInt32>, Message<[VolumeHandle], UInt32>
    >(282, "virStoragePoolListAllVolumes")
    /// Takes event, pool; gives callback.
    public static let connectStoragePoolEventRegisterAny = Procedure<Message<Int32, PoolHandle?>, Message<Int32>>(
        368, "virConnectStoragePoolEventRegisterAny")
    /// Takes callback.
    public static let connectStoragePoolEventDeregisterAny = Procedure<Message<Int32>, Message<>>(
        369, "virConnectStoragePoolEventDeregisterAny")
    /// Takes volume, flags; gives type, capacity, allocation.
    public static let storageVolGetInfoFlags = Procedure<
        Message<VolumeHandle, UInt32>, Message<WireByte, UInt64, UInt64>
    >(378, "virStorageVolGetInfoFlags")
    /// Takes path; gives pool.
    public static let storagePoolLookupByTargetPath = Procedure<Message<String>, Message<PoolHandle>>(
        391, "virStoragePoolLookupByTargetPath")
    /// Takes flags; gives capabilities.
    public static let connectGetStoragePoolCapabilities = Procedure<Message<UInt32>, Message<String>>(
        403, "virConnectGetStoragePoolCapabilities")
}
