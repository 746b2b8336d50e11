// SPDX-License-Identifier: Apache-2.0

public import ManagementModel
public import XDRCoding

/// Calls: Domain. Number, the name that clients know the call by, and whether it changes anything; argument and result types are in the order of the wire.
extension Procedures {
    public static let domainAttachDevice = Procedure<Message<DomainHandle, String>, Message<>>(
        8, "virDomainAttachDevice", .write)
    public static let domainCreate = Procedure<Message<DomainHandle>, Message<>>(9, "virDomainCreate", .write)
    public static let domainCreateXML = Procedure<Message<String, UInt32>, Message<DomainHandle>>(
        10, "virDomainCreateXML", .write)
    public static let domainDefineXML = Procedure<Message<String>, Message<DomainHandle>>(
        11, "virDomainDefineXML", .write)
    public static let domainDestroy = Procedure<Message<DomainHandle>, Message<>>(12, "virDomainDestroy", .write)
    public static let domainDetachDevice = Procedure<Message<DomainHandle, String>, Message<>>(
        13, "virDomainDetachDevice", .write)
    public static let domainGetXMLDesc = Procedure<Message<DomainHandle, UInt32>, Message<String>>(
        14, "virDomainGetXMLDesc")
    public static let domainGetAutostart = Procedure<Message<DomainHandle>, Message<Int32>>(15, "virDomainGetAutostart")
    public static let domainGetInfo = Procedure<
        Message<DomainHandle>, Message<WireByte, UInt64, UInt64, WireShort, UInt64>
    >(16, "virDomainGetInfo")
    public static let domainGetMaxMemory = Procedure<Message<DomainHandle>, Message<UInt64>>(
        17, "virDomainGetMaxMemory")
    public static let domainGetMaxVcpus = Procedure<Message<DomainHandle>, Message<Int32>>(18, "virDomainGetMaxVcpus")
    public static let domainGetOsType = Procedure<Message<DomainHandle>, Message<String>>(19, "virDomainGetOSType")
    public static let domainGetVcpus = Procedure<Message<DomainHandle, Int32, Int32>, Message<[VcpuInfo], Bytes>>(
        20, "virDomainGetVcpus")
    public static let domainLookupById = Procedure<Message<Int32>, Message<DomainHandle>>(22, "virDomainLookupByID")
    public static let domainLookupByName = Procedure<Message<String>, Message<DomainHandle>>(
        23, "virDomainLookupByName")
    public static let domainLookupByUUID = Procedure<Message<UniqueID>, Message<DomainHandle>>(
        24, "virDomainLookupByUUID")
    public static let domainPinVcpu = Procedure<Message<DomainHandle, UInt32, Bytes>, Message<>>(
        26, "virDomainPinVcpu", .write)
    public static let domainReboot = Procedure<Message<DomainHandle, UInt32>, Message<>>(27, "virDomainReboot", .write)
    public static let domainResume = Procedure<Message<DomainHandle>, Message<>>(28, "virDomainResume", .write)
    public static let domainSetAutostart = Procedure<Message<DomainHandle, Int32>, Message<>>(
        29, "virDomainSetAutostart", .write)
    public static let domainSetMaxMemory = Procedure<Message<DomainHandle, UInt64>, Message<>>(
        30, "virDomainSetMaxMemory", .write)
    public static let domainSetMemory = Procedure<Message<DomainHandle, UInt64>, Message<>>(
        31, "virDomainSetMemory", .write)
    public static let domainSetVcpus = Procedure<Message<DomainHandle, UInt32>, Message<>>(
        32, "virDomainSetVcpus", .write)
    public static let domainShutdown = Procedure<Message<DomainHandle>, Message<>>(33, "virDomainShutdown", .write)
    public static let domainSuspend = Procedure<Message<DomainHandle>, Message<>>(34, "virDomainSuspend", .write)
    public static let domainUndefine = Procedure<Message<DomainHandle>, Message<>>(35, "virDomainUndefine", .write)
    public static let domainCoreDump = Procedure<Message<DomainHandle, String, UInt32>, Message<>>(
        53, "virDomainCoreDump", .write)
    public static let domainRestore = Procedure<Message<String>, Message<>>(54, "virDomainRestore", .write)
    public static let domainSave = Procedure<Message<DomainHandle, String>, Message<>>(55, "virDomainSave", .write)
    public static let domainGetSchedulerType = Procedure<Message<DomainHandle>, Message<String, Int32>>(
        56, "virDomainGetSchedulerType")
    public static let domainGetSchedulerParameters = Procedure<Message<DomainHandle, Int32>, Message<[TypedParameter]>>(
        57, "virDomainGetSchedulerParameters")
    public static let domainSetSchedulerParameters = Procedure<Message<DomainHandle, [TypedParameter]>, Message<>>(
        58, "virDomainSetSchedulerParameters", .write)
    public static let domainBlockStats = Procedure<
        Message<DomainHandle, String>, Message<Int64, Int64, Int64, Int64, Int64>
    >(64, "virDomainBlockStats")
    public static let domainInterfaceStats = Procedure<
        Message<DomainHandle, String>, Message<Int64, Int64, Int64, Int64, Int64, Int64, Int64, Int64>
    >(65, "virDomainInterfaceStats")
    public static let domainBlockPeek = Procedure<
        Message<DomainHandle, String, UInt64, UInt32, UInt32>, Message<Bytes>
    >(103, "virDomainBlockPeek", .write)
    public static let domainMemoryPeek = Procedure<Message<DomainHandle, UInt64, UInt32, UInt32>, Message<Bytes>>(
        104, "virDomainMemoryPeek", .write)
    public static let domainGetSecurityLabel = Procedure<Message<DomainHandle>, Message<[WireByte], Int32>>(
        121, "virDomainGetSecurityLabel")
    public static let domainIsActive = Procedure<Message<DomainHandle>, Message<Int32>>(150, "virDomainIsActive")
    public static let domainIsPersistent = Procedure<Message<DomainHandle>, Message<Int32>>(
        151, "virDomainIsPersistent")
    public static let domainMemoryStats = Procedure<Message<DomainHandle, UInt32, UInt32>, Message<[DomainMemoryStat]>>(
        159, "virDomainMemoryStats")
    public static let domainAttachDeviceFlags = Procedure<Message<DomainHandle, String, UInt32>, Message<>>(
        160, "virDomainAttachDeviceFlags", .write)
    public static let domainDetachDeviceFlags = Procedure<Message<DomainHandle, String, UInt32>, Message<>>(
        161, "virDomainDetachDeviceFlags", .write)
    public static let domainGetJobInfo = Procedure<
        Message<DomainHandle>,
        Message<Int32, UInt64, UInt64, UInt64, UInt64, UInt64, UInt64, UInt64, UInt64, UInt64, UInt64, UInt64>
    >(163, "virDomainGetJobInfo")
    public static let domainAbortJob = Procedure<Message<DomainHandle>, Message<>>(164, "virDomainAbortJob", .write)
    public static let domainUpdateDeviceFlags = Procedure<Message<DomainHandle, String, UInt32>, Message<>>(
        174, "virDomainUpdateDeviceFlags", .write)
    public static let domainManagedSave = Procedure<Message<DomainHandle, UInt32>, Message<>>(
        182, "virDomainManagedSave", .write)
    public static let domainHasManagedSaveImage = Procedure<Message<DomainHandle, UInt32>, Message<Int32>>(
        183, "virDomainHasManagedSaveImage")
    public static let domainManagedSaveRemove = Procedure<Message<DomainHandle, UInt32>, Message<>>(
        184, "virDomainManagedSaveRemove", .write)
    public static let domainGetBlockInfo = Procedure<
        Message<DomainHandle, String, UInt32>, Message<UInt64, UInt64, UInt64>
    >(194, "virDomainGetBlockInfo")
    public static let domainCreateWithFlags = Procedure<Message<DomainHandle, UInt32>, Message<DomainHandle>>(
        196, "virDomainCreateWithFlags", .write)
    public static let domainSetMemoryParameters = Procedure<Message<DomainHandle, [TypedParameter], UInt32>, Message<>>(
        197, "virDomainSetMemoryParameters", .write)
    public static let domainGetMemoryParameters = Procedure<
        Message<DomainHandle, Int32, UInt32>, Message<[TypedParameter], Int32>
    >(198, "virDomainGetMemoryParameters")
    public static let domainSetVcpusFlags = Procedure<Message<DomainHandle, UInt32, UInt32>, Message<>>(
        199, "virDomainSetVcpusFlags", .write)
    public static let domainGetVcpusFlags = Procedure<Message<DomainHandle, UInt32>, Message<Int32>>(
        200, "virDomainGetVcpusFlags", .write)
    public static let domainOpenConsole = Procedure<Message<DomainHandle, String?, UInt32>, Message<>>(
        201, "virDomainOpenConsole", .write)
    public static let domainIsUpdated = Procedure<Message<DomainHandle>, Message<Int32>>(202, "virDomainIsUpdated")
    public static let domainSetMemoryFlags = Procedure<Message<DomainHandle, UInt64, UInt32>, Message<>>(
        204, "virDomainSetMemoryFlags", .write)
    public static let domainSetBlkioParameters = Procedure<Message<DomainHandle, [TypedParameter], UInt32>, Message<>>(
        205, "virDomainSetBlkioParameters", .write)
    public static let domainGetBlkioParameters = Procedure<
        Message<DomainHandle, Int32, UInt32>, Message<[TypedParameter], Int32>
    >(206, "virDomainGetBlkioParameters")
    public static let domainInjectNmi = Procedure<Message<DomainHandle, UInt32>, Message<>>(
        210, "virDomainInjectNMI", .write)
    public static let domainScreenshot = Procedure<Message<DomainHandle, UInt32, UInt32>, Message<String?>>(
        211, "virDomainScreenshot", .write)
    public static let domainGetState = Procedure<Message<DomainHandle, UInt32>, Message<Int32, Int32>>(
        212, "virDomainGetState")
    public static let domainSetSchedulerParametersFlags = Procedure<
        Message<DomainHandle, [TypedParameter], UInt32>, Message<>
    >(219, "virDomainSetSchedulerParametersFlags", .write)
    public static let domainGetSchedulerParametersFlags = Procedure<
        Message<DomainHandle, Int32, UInt32>, Message<[TypedParameter]>
    >(223, "virDomainGetSchedulerParametersFlags")
    public static let domainPinVcpuFlags = Procedure<Message<DomainHandle, UInt32, Bytes, UInt32>, Message<>>(
        225, "virDomainPinVcpuFlags", .write)
    public static let domainSendKey = Procedure<Message<DomainHandle, UInt32, UInt32, [UInt32], UInt32>, Message<>>(
        226, "virDomainSendKey", .write)
    public static let domainGetControlInfo = Procedure<Message<DomainHandle, UInt32>, Message<UInt32, UInt32, UInt64>>(
        229, "virDomainGetControlInfo")
    public static let domainGetVcpuPinInfo = Procedure<
        Message<DomainHandle, Int32, Int32, UInt32>, Message<Bytes, Int32>
    >(230, "virDomainGetVcpuPinInfo")
    public static let domainUndefineFlags = Procedure<Message<DomainHandle, UInt32>, Message<>>(
        231, "virDomainUndefineFlags", .write)
    public static let domainSaveFlags = Procedure<Message<DomainHandle, String, String?, UInt32>, Message<>>(
        232, "virDomainSaveFlags", .write)
    public static let domainRestoreFlags = Procedure<Message<String, String?, UInt32>, Message<>>(
        233, "virDomainRestoreFlags", .write)
    public static let domainDestroyFlags = Procedure<Message<DomainHandle, UInt32>, Message<>>(
        234, "virDomainDestroyFlags", .write)
    public static let domainSaveImageGetXMLDesc = Procedure<Message<String, UInt32>, Message<String>>(
        235, "virDomainSaveImageGetXMLDesc", .write)
    public static let domainSaveImageDefineXML = Procedure<Message<String, String, UInt32>, Message<>>(
        236, "virDomainSaveImageDefineXML", .write)
    public static let domainBlockJobAbort = Procedure<Message<DomainHandle, String, UInt32>, Message<>>(
        237, "virDomainBlockJobAbort", .write)
    public static let domainGetBlockJobInfo = Procedure<
        Message<DomainHandle, String, UInt32>, Message<Int32, Int32, UInt64, UInt64, UInt64>
    >(238, "virDomainGetBlockJobInfo")
    public static let domainBlockJobSetSpeed = Procedure<Message<DomainHandle, String, UInt64, UInt32>, Message<>>(
        239, "virDomainBlockJobSetSpeed", .write)
    public static let domainBlockPull = Procedure<Message<DomainHandle, String, UInt64, UInt32>, Message<>>(
        240, "virDomainBlockPull", .write)
    public static let domainBlockStatsFlags = Procedure<
        Message<DomainHandle, String, Int32, UInt32>, Message<[TypedParameter], Int32>
    >(243, "virDomainBlockStatsFlags")
    public static let domainReset = Procedure<Message<DomainHandle, UInt32>, Message<>>(245, "virDomainReset", .write)
    public static let domainOpenGraphics = Procedure<Message<DomainHandle, UInt32, UInt32>, Message<>>(
        249, "virDomainOpenGraphics", .write)
    public static let domainBlockResize = Procedure<Message<DomainHandle, String, UInt64, UInt32>, Message<>>(
        251, "virDomainBlockResize", .write)
    public static let domainSetBlockIoTune = Procedure<
        Message<DomainHandle, String, [TypedParameter], UInt32>, Message<>
    >(252, "virDomainSetBlockIoTune", .write)
    public static let domainGetBlockIoTune = Procedure<
        Message<DomainHandle, String?, Int32, UInt32>, Message<[TypedParameter], Int32>
    >(253, "virDomainGetBlockIoTune")
    public static let domainSetNumaParameters = Procedure<Message<DomainHandle, [TypedParameter], UInt32>, Message<>>(
        254, "virDomainSetNumaParameters", .write)
    public static let domainGetNumaParameters = Procedure<
        Message<DomainHandle, Int32, UInt32>, Message<[TypedParameter], Int32>
    >(255, "virDomainGetNumaParameters")
    public static let domainSetInterfaceParameters = Procedure<
        Message<DomainHandle, String, [TypedParameter], UInt32>, Message<>
    >(256, "virDomainSetInterfaceParameters", .write)
    public static let domainGetInterfaceParameters = Procedure<
        Message<DomainHandle, String, Int32, UInt32>, Message<[TypedParameter], Int32>
    >(257, "virDomainGetInterfaceParameters")
    public static let domainShutdownFlags = Procedure<Message<DomainHandle, UInt32>, Message<>>(
        258, "virDomainShutdownFlags", .write)
    public static let domainPmSuspendForDuration = Procedure<Message<DomainHandle, UInt32, UInt64, UInt32>, Message<>>(
        261, "virDomainPMSuspendForDuration", .write)
    public static let domainGetCpuStats = Procedure<
        Message<DomainHandle, UInt32, Int32, UInt32, UInt32>, Message<[TypedParameter], Int32>
    >(262, "virDomainGetCPUStats")
    public static let domainGetDiskErrors = Procedure<
        Message<DomainHandle, UInt32, UInt32>, Message<[DomainDiskError], Int32>
    >(263, "virDomainGetDiskErrors")
    public static let domainSetMetadata = Procedure<
        Message<DomainHandle, Int32, String?, String?, String?, UInt32>, Message<>
    >(264, "virDomainSetMetadata", .write)
    public static let domainGetMetadata = Procedure<Message<DomainHandle, Int32, String?, UInt32>, Message<String>>(
        265, "virDomainGetMetadata")
    public static let domainBlockRebase = Procedure<Message<DomainHandle, String, String?, UInt64, UInt32>, Message<>>(
        266, "virDomainBlockRebase", .write)
    public static let domainPmWakeup = Procedure<Message<DomainHandle, UInt32>, Message<>>(
        267, "virDomainPMWakeup", .write)
    public static let domainGetHostname = Procedure<Message<DomainHandle, UInt32>, Message<String>>(
        277, "virDomainGetHostname", .write)
    public static let domainGetSecurityLabelList = Procedure<
        Message<DomainHandle>, Message<[Message<[WireByte], Int32>], Int32>
    >(278, "virDomainGetSecurityLabelList")
    public static let domainPinEmulator = Procedure<Message<DomainHandle, Bytes, UInt32>, Message<>>(
        279, "virDomainPinEmulator", .write)
    public static let domainGetEmulatorPinInfo = Procedure<Message<DomainHandle, Int32, UInt32>, Message<Bytes, Int32>>(
        280, "virDomainGetEmulatorPinInfo")
    public static let domainBlockCommit = Procedure<
        Message<DomainHandle, String, String?, String?, UInt64, UInt32>, Message<>
    >(290, "virDomainBlockCommit", .write)
    public static let domainFstrim = Procedure<Message<DomainHandle, String?, UInt64, UInt32>, Message<>>(
        294, "virDomainFSTrim", .write)
    public static let domainSendProcessSignal = Procedure<Message<DomainHandle, Int64, UInt32, UInt32>, Message<>>(
        295, "virDomainSendProcessSignal", .write)
    public static let domainOpenChannel = Procedure<Message<DomainHandle, String?, UInt32>, Message<>>(
        296, "virDomainOpenChannel", .write)
    public static let domainGetJobStats = Procedure<Message<DomainHandle, UInt32>, Message<Int32, [TypedParameter]>>(
        298, "virDomainGetJobStats")
    public static let domainSetMemoryStatsPeriod = Procedure<Message<DomainHandle, Int32, UInt32>, Message<>>(
        308, "virDomainSetMemoryStatsPeriod", .write)
    public static let domainCreateXMLWithFiles = Procedure<Message<String, UInt32>, Message<DomainHandle>>(
        309, "virDomainCreateXMLWithFiles", .write)
    public static let domainCreateWithFiles = Procedure<Message<DomainHandle, UInt32>, Message<DomainHandle>>(
        310, "virDomainCreateWithFiles", .write)
    public static let domainCoreDumpWithFormat = Procedure<Message<DomainHandle, String, UInt32, UInt32>, Message<>>(
        334, "virDomainCoreDumpWithFormat", .write)
    public static let domainFsfreeze = Procedure<Message<DomainHandle, [String], UInt32>, Message<Int32>>(
        335, "virDomainFSFreeze", .write)
    public static let domainFsthaw = Procedure<Message<DomainHandle, [String], UInt32>, Message<Int32>>(
        336, "virDomainFSThaw", .write)
    public static let domainGetTime = Procedure<Message<DomainHandle, UInt32>, Message<Int64, UInt32>>(
        337, "virDomainGetTime", .write)
    public static let domainSetTime = Procedure<Message<DomainHandle, Int64, UInt32, UInt32>, Message<>>(
        338, "virDomainSetTime", .write)
    public static let domainOpenGraphicsFd = Procedure<Message<DomainHandle, UInt32, UInt32>, Message<>>(
        343, "virDomainOpenGraphicsFD", .write)
    public static let domainBlockCopy = Procedure<
        Message<DomainHandle, String, String, [TypedParameter], UInt32>, Message<>
    >(345, "virDomainBlockCopy", .write)
    public static let domainGetFsinfo = Procedure<Message<DomainHandle, UInt32>, Message<[DomainFsinfo], UInt32>>(
        349, "virDomainGetFSInfo", .write)
    public static let domainDefineXMLFlags = Procedure<Message<String, UInt32>, Message<DomainHandle>>(
        350, "virDomainDefineXMLFlags", .write)
    public static let domainGetIothreadInfo = Procedure<
        Message<DomainHandle, UInt32>, Message<[DomainIothreadInfo], UInt32>
    >(351, "virDomainGetIOThreadInfo")
    public static let domainPinIothread = Procedure<Message<DomainHandle, UInt32, Bytes, UInt32>, Message<>>(
        352, "virDomainPinIOThread", .write)
    public static let domainInterfaceAddresses = Procedure<
        Message<DomainHandle, UInt32, UInt32>, Message<[DomainInterface]>
    >(353, "virDomainInterfaceAddresses", .write)
    public static let domainAddIothread = Procedure<Message<DomainHandle, UInt32, UInt32>, Message<>>(
        355, "virDomainAddIOThread", .write)
    public static let domainDelIothread = Procedure<Message<DomainHandle, UInt32, UInt32>, Message<>>(
        356, "virDomainDelIOThread", .write)
    public static let domainSetUserPassword = Procedure<Message<DomainHandle, String?, String?, UInt32>, Message<>>(
        357, "virDomainSetUserPassword", .write)
    public static let domainRename = Procedure<Message<DomainHandle, String?, UInt32>, Message<Int32>>(
        358, "virDomainRename", .write)
    public static let domainGetPerfEvents = Procedure<Message<DomainHandle, UInt32>, Message<[TypedParameter]>>(
        365, "virDomainGetPerfEvents")
    public static let domainSetPerfEvents = Procedure<Message<DomainHandle, [TypedParameter], UInt32>, Message<>>(
        366, "virDomainSetPerfEvents", .write)
    public static let domainGetGuestVcpus = Procedure<Message<DomainHandle, UInt32>, Message<[TypedParameter]>>(
        371, "virDomainGetGuestVcpus", .write)
    public static let domainSetGuestVcpus = Procedure<Message<DomainHandle, String, Int32, UInt32>, Message<>>(
        372, "virDomainSetGuestVcpus", .write)
    public static let domainSetVcpu = Procedure<Message<DomainHandle, String, Int32, UInt32>, Message<>>(
        384, "virDomainSetVcpu", .write)
    public static let domainSetBlockThreshold = Procedure<Message<DomainHandle, String, UInt64, UInt32>, Message<>>(
        386, "virDomainSetBlockThreshold", .write)
    public static let domainManagedSaveGetXMLDesc = Procedure<Message<DomainHandle, UInt32>, Message<String>>(
        388, "virDomainManagedSaveGetXMLDesc")
    public static let domainManagedSaveDefineXML = Procedure<Message<DomainHandle, String?, UInt32>, Message<>>(
        389, "virDomainManagedSaveDefineXML", .write)
    public static let domainSetLifecycleAction = Procedure<Message<DomainHandle, UInt32, UInt32, UInt32>, Message<>>(
        390, "virDomainSetLifecycleAction", .write)
    public static let domainDetachDeviceAlias = Procedure<Message<DomainHandle, String, UInt32>, Message<>>(
        392, "virDomainDetachDeviceAlias", .write)
    public static let domainGetLaunchSecurityInfo = Procedure<Message<DomainHandle, UInt32>, Message<[TypedParameter]>>(
        396, "virDomainGetLaunchSecurityInfo")
    public static let domainSetIothreadParams = Procedure<
        Message<DomainHandle, UInt32, [TypedParameter], UInt32>, Message<>
    >(402, "virDomainSetIOThreadParams", .write)
    public static let domainGetGuestInfo = Procedure<Message<DomainHandle, UInt32, UInt32>, Message<[TypedParameter]>>(
        418, "virDomainGetGuestInfo", .write)
    public static let domainAgentSetResponseTimeout = Procedure<Message<DomainHandle, Int32, UInt32>, Message<Int32>>(
        420, "virDomainAgentSetResponseTimeout", .write)
    public static let domainAuthorizedSshKeysGet = Procedure<Message<DomainHandle, String, UInt32>, Message<[String]>>(
        424, "virDomainAuthorizedSSHKeysGet", .write)
    public static let domainAuthorizedSshKeysSet = Procedure<
        Message<DomainHandle, String, [String], UInt32>, Message<>
    >(425, "virDomainAuthorizedSSHKeysSet", .write)
    public static let domainGetMessages = Procedure<Message<DomainHandle, UInt32>, Message<[String]>>(
        426, "virDomainGetMessages")
    public static let domainStartDirtyRateCalc = Procedure<Message<DomainHandle, Int32, UInt32>, Message<>>(
        427, "virDomainStartDirtyRateCalc", .write)
    public static let domainSetLaunchSecurityState = Procedure<
        Message<DomainHandle, [TypedParameter], UInt32>, Message<>
    >(439, "virDomainSetLaunchSecurityState", .write)
    public static let domainSaveParams = Procedure<Message<DomainHandle, [TypedParameter], UInt32>, Message<>>(
        440, "virDomainSaveParams", .write)
    public static let domainRestoreParams = Procedure<Message<[TypedParameter], UInt32>, Message<>>(
        441, "virDomainRestoreParams", .write)
    public static let domainAbortJobFlags = Procedure<Message<DomainHandle, UInt32>, Message<>>(
        442, "virDomainAbortJobFlags", .write)
    public static let domainFdAssociate = Procedure<Message<DomainHandle, String, UInt32>, Message<>>(
        443, "virDomainFDAssociate", .write)
}
