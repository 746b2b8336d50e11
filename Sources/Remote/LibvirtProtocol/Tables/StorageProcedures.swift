// SPDX-License-Identifier: Apache-2.0

public import ManagementModel
public import XDRCoding

/// Calls: Storage. Number, the name that clients know the call by, and whether it changes anything; argument and result types are in the order of the wire.
extension Procedures {
    public static let connectNumOfStoragePools = Procedure<Message<>, Message<Int32>>(71, "virConnectNumOfStoragePools")
    public static let connectListStoragePools = Procedure<Message<Int32>, Message<[String]>>(
        72, "virConnectListStoragePools")
    public static let connectNumOfDefinedStoragePools = Procedure<Message<>, Message<Int32>>(
        73, "virConnectNumOfDefinedStoragePools")
    public static let connectListDefinedStoragePools = Procedure<Message<Int32>, Message<[String]>>(
        74, "virConnectListDefinedStoragePools")
    public static let connectFindStoragePoolSources = Procedure<Message<String, String?, UInt32>, Message<String>>(
        75, "virConnectFindStoragePoolSources", .write)
    public static let storagePoolCreateXML = Procedure<Message<String, UInt32>, Message<PoolHandle>>(
        76, "virStoragePoolCreateXML", .write)
    public static let storagePoolDefineXML = Procedure<Message<String, UInt32>, Message<PoolHandle>>(
        77, "virStoragePoolDefineXML", .write)
    public static let storagePoolCreate = Procedure<Message<PoolHandle, UInt32>, Message<>>(
        78, "virStoragePoolCreate", .write)
    public static let storagePoolBuild = Procedure<Message<PoolHandle, UInt32>, Message<>>(
        79, "virStoragePoolBuild", .write)
    public static let storagePoolDestroy = Procedure<Message<PoolHandle>, Message<>>(
        80, "virStoragePoolDestroy", .write)
    public static let storagePoolDelete = Procedure<Message<PoolHandle, UInt32>, Message<>>(
        81, "virStoragePoolDelete", .write)
    public static let storagePoolUndefine = Procedure<Message<PoolHandle>, Message<>>(
        82, "virStoragePoolUndefine", .write)
    public static let storagePoolRefresh = Procedure<Message<PoolHandle, UInt32>, Message<>>(
        83, "virStoragePoolRefresh", .write)
    public static let storagePoolLookupByName = Procedure<Message<String>, Message<PoolHandle>>(
        84, "virStoragePoolLookupByName")
    public static let storagePoolLookupByUUID = Procedure<Message<UniqueID>, Message<PoolHandle>>(
        85, "virStoragePoolLookupByUUID")
    public static let storagePoolLookupByVolume = Procedure<Message<VolumeHandle>, Message<PoolHandle>>(
        86, "virStoragePoolLookupByVolume")
    public static let storagePoolGetInfo = Procedure<Message<PoolHandle>, Message<WireByte, UInt64, UInt64, UInt64>>(
        87, "virStoragePoolGetInfo")
    public static let storagePoolGetXMLDesc = Procedure<Message<PoolHandle, UInt32>, Message<String>>(
        88, "virStoragePoolGetXMLDesc")
    public static let storagePoolGetAutostart = Procedure<Message<PoolHandle>, Message<Int32>>(
        89, "virStoragePoolGetAutostart")
    public static let storagePoolSetAutostart = Procedure<Message<PoolHandle, Int32>, Message<>>(
        90, "virStoragePoolSetAutostart", .write)
    public static let storagePoolNumOfVolumes = Procedure<Message<PoolHandle>, Message<Int32>>(
        91, "virStoragePoolNumOfVolumes")
    public static let storagePoolListVolumes = Procedure<Message<PoolHandle, Int32>, Message<[String]>>(
        92, "virStoragePoolListVolumes")
    public static let storageVolCreateXML = Procedure<Message<PoolHandle, String, UInt32>, Message<VolumeHandle>>(
        93, "virStorageVolCreateXML", .write)
    public static let storageVolDelete = Procedure<Message<VolumeHandle, UInt32>, Message<>>(
        94, "virStorageVolDelete", .write)
    public static let storageVolLookupByName = Procedure<Message<PoolHandle, String>, Message<VolumeHandle>>(
        95, "virStorageVolLookupByName")
    public static let storageVolLookupByKey = Procedure<Message<String>, Message<VolumeHandle>>(
        96, "virStorageVolLookupByKey")
    public static let storageVolLookupByPath = Procedure<Message<String>, Message<VolumeHandle>>(
        97, "virStorageVolLookupByPath")
    public static let storageVolGetInfo = Procedure<Message<VolumeHandle>, Message<WireByte, UInt64, UInt64>>(
        98, "virStorageVolGetInfo")
    public static let storageVolGetXMLDesc = Procedure<Message<VolumeHandle, UInt32>, Message<String>>(
        99, "virStorageVolGetXMLDesc")
    public static let storageVolGetPath = Procedure<Message<VolumeHandle>, Message<String>>(100, "virStorageVolGetPath")
    public static let storageVolCreateXMLFrom = Procedure<
        Message<PoolHandle, String, VolumeHandle, UInt32>, Message<VolumeHandle>
    >(125, "virStorageVolCreateXMLFrom", .write)
    public static let storagePoolIsActive = Procedure<Message<PoolHandle>, Message<Int32>>(
        154, "virStoragePoolIsActive")
    public static let storagePoolIsPersistent = Procedure<Message<PoolHandle>, Message<Int32>>(
        155, "virStoragePoolIsPersistent")
    public static let storageVolWipe = Procedure<Message<VolumeHandle, UInt32>, Message<>>(
        165, "virStorageVolWipe", .write)
    public static let storageVolUpload = Procedure<Message<VolumeHandle, UInt64, UInt64, UInt32>, Message<>>(
        208, "virStorageVolUpload", .write)
    public static let storageVolDownload = Procedure<Message<VolumeHandle, UInt64, UInt64, UInt32>, Message<>>(
        209, "virStorageVolDownload", .write)
    public static let storageVolWipePattern = Procedure<Message<VolumeHandle, UInt32, UInt32>, Message<>>(
        259, "virStorageVolWipePattern", .write)
    public static let storageVolResize = Procedure<Message<VolumeHandle, UInt64, UInt32>, Message<>>(
        260, "virStorageVolResize", .write)
    public static let connectListAllStoragePools = Procedure<Message<Int32, UInt32>, Message<[PoolHandle], UInt32>>(
        281, "virConnectListAllStoragePools")
    public static let storagePoolListAllVolumes = Procedure<
        Message<PoolHandle, Int32, UInt32>, Message<[VolumeHandle], UInt32>
    >(282, "virStoragePoolListAllVolumes")
    public static let connectStoragePoolEventRegisterAny = Procedure<Message<Int32, PoolHandle?>, Message<Int32>>(
        368, "virConnectStoragePoolEventRegisterAny")
    public static let connectStoragePoolEventDeregisterAny = Procedure<Message<Int32>, Message<>>(
        369, "virConnectStoragePoolEventDeregisterAny")
    public static let storageVolGetInfoFlags = Procedure<
        Message<VolumeHandle, UInt32>, Message<WireByte, UInt64, UInt64>
    >(378, "virStorageVolGetInfoFlags")
    public static let storagePoolLookupByTargetPath = Procedure<Message<String>, Message<PoolHandle>>(
        391, "virStoragePoolLookupByTargetPath")
    public static let connectGetStoragePoolCapabilities = Procedure<Message<UInt32>, Message<String>>(
        403, "virConnectGetStoragePoolCapabilities")
}
