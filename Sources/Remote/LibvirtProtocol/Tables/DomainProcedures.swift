// SPDX-License-Identifier: Apache-2.0

public import ManagementModel
public import XDRCoding

/// Calls: Domain. Number, the name that clients know the call by, and whether it changes anything; argument and result types are in the order of the wire.
extension Procedures {
    /// Takes domain, document.
    public static let domainAttachDevice = Procedure<Message<DomainHandle, String>, Message<>>(
        8, "virDomainAttachDevice", .write)
    /// Takes domain.
    public static let domainCreate = Procedure<Message<DomainHandle>, Message<>>(9, "virDomainCreate", .write)
    /// Takes document, flags; gives domain.
    public static let domainCreateXML = Procedure<Message<String, UInt32>, Message<DomainHandle>>(
        10, "virDomainCreateXML", .write)
    /// Takes document; gives domain.
    public static let domainDefineXML = Procedure<Message<String>, Message<DomainHandle>>(
        11, "virDomainDefineXML", .write)
    /// Takes domain.
    public static let domainDestroy = Procedure<Message<DomainHandle>, Message<>>(12, "virDomainDestroy", .write)
    /// Takes domain, document.
    public static let domainDetachDevice = Procedure<Message<DomainHandle, String>, Message<>>(
        13, "virDomainDetachDevice", .write)
    /// Takes domain, flags; gives document.
    public static let domainGetXMLDesc = Procedure<Message<DomainHandle, UInt32>, Message<String>>(
        14, "virDomainGetXMLDesc")
    /// Takes domain; gives autostart.
    public static let domainGetAutostart = Procedure<Message<DomainHandle>, Message<Int32>>(15, "virDomainGetAutostart")
    /// Takes domain; gives state, max memory, memory, nr virt processor, processor time.
    public static let domainGetInfo = Procedure<
        Message<DomainHandle>, Message<WireByte, UInt64, UInt64, WireShort, UInt64>
    >(16, "virDomainGetInfo")
    /// Takes domain; gives memory.
    public static let domainGetMaxMemory = Procedure<Message<DomainHandle>, Message<UInt64>>(
        17, "virDomainGetMaxMemory")
    /// Takes domain; gives count.
    public static let domainGetMaxVcpus = Procedure<Message<DomainHandle>, Message<Int32>>(18, "virDomainGetMaxVcpus")
    /// Takes domain; gives type.
    public static let domainGetOsType = Procedure<Message<DomainHandle>, Message<String>>(19, "virDomainGetOSType")
    /// Takes domain, maxinfo, bytes of a map; gives info, processor maps.
    public static let domainGetVcpus = Procedure<Message<DomainHandle, Int32, Int32>, Message<[VcpuInfo], Bytes>>(
        20, "virDomainGetVcpus")
    /// Takes id; gives domain.
    public static let domainLookupById = Procedure<Message<Int32>, Message<DomainHandle>>(22, "virDomainLookupByID")
    /// Takes name; gives domain.
    public static let domainLookupByName = Procedure<Message<String>, Message<DomainHandle>>(
        23, "virDomainLookupByName")
    /// Takes UUID; gives domain.
    public static let domainLookupByUUID = Procedure<Message<UniqueID>, Message<DomainHandle>>(
        24, "virDomainLookupByUUID")
    /// Takes domain, vcpu, processor map.
    public static let domainPinVcpu = Procedure<Message<DomainHandle, UInt32, Bytes>, Message<>>(
        26, "virDomainPinVcpu", .write)
    /// Takes domain, flags.
    public static let domainReboot = Procedure<Message<DomainHandle, UInt32>, Message<>>(27, "virDomainReboot", .write)
    /// Takes domain.
    public static let domainResume = Procedure<Message<DomainHandle>, Message<>>(28, "virDomainResume", .write)
    /// Takes domain, autostart.
    public static let domainSetAutostart = Procedure<Message<DomainHandle, Int32>, Message<>>(
        29, "virDomainSetAutostart", .write)
    /// Takes domain, memory.
    public static let domainSetMaxMemory = Procedure<Message<DomainHandle, UInt64>, Message<>>(
        30, "virDomainSetMaxMemory", .write)
    /// Takes domain, memory.
    public static let domainSetMemory = Procedure<Message<DomainHandle, UInt64>, Message<>>(
        31, "virDomainSetMemory", .write)
    /// Takes domain, processors.
    public static let domainSetVcpus = Procedure<Message<DomainHandle, UInt32>, Message<>>(
        32, "virDomainSetVcpus", .write)
    /// Takes domain.
    public static let domainShutdown = Procedure<Message<DomainHandle>, Message<>>(33, "virDomainShutdown", .write)
    /// Takes domain.
    public static let domainSuspend = Procedure<Message<DomainHandle>, Message<>>(34, "virDomainSuspend", .write)
    /// Takes domain.
    public static let domainUndefine = Procedure<Message<DomainHandle>, Message<>>(35, "virDomainUndefine", .write)
    /// Takes domain, to, flags.
    public static let domainCoreDump = Procedure<Message<DomainHandle, String, UInt32>, Message<>>(
        53, "virDomainCoreDump", .write)
    /// Takes from.
    public static let domainRestore = Procedure<Message<String>, Message<>>(54, "virDomainRestore", .write)
    /// Takes domain, to.
    public static let domainSave = Procedure<Message<DomainHandle, String>, Message<>>(55, "virDomainSave", .write)
    /// Takes domain; gives type, their count.
    public static let domainGetSchedulerType = Procedure<Message<DomainHandle>, Message<String, Int32>>(
        56, "virDomainGetSchedulerType")
    /// Takes domain, room for parameters; gives parameters.
    public static let domainGetSchedulerParameters = Procedure<Message<DomainHandle, Int32>, Message<[TypedParameter]>>(
        57, "virDomainGetSchedulerParameters")
    /// Takes domain, parameters.
    public static let domainSetSchedulerParameters = Procedure<Message<DomainHandle, [TypedParameter]>, Message<>>(
        58, "virDomainSetSchedulerParameters", .write)
    /// Takes domain, path; gives rd req, rd bytes, wr req, wr bytes, errs.
    public static let domainBlockStats = Procedure<
        Message<DomainHandle, String>, Message<Int64, Int64, Int64, Int64, Int64>
    >(64, "virDomainBlockStats")
    /// Takes domain, device; gives rx bytes, rx packets, rx errs, rx drop, tx bytes, tx packets, tx errs, tx
    /// drop.
    public static let domainInterfaceStats = Procedure<
        Message<DomainHandle, String>, Message<Int64, Int64, Int64, Int64, Int64, Int64, Int64, Int64>
    >(65, "virDomainInterfaceStats")
    /// Takes domain, path, offset, size, flags; gives buffer.
    public static let domainBlockPeek = Procedure<
        Message<DomainHandle, String, UInt64, UInt32, UInt32>, Message<Bytes>
    >(103, "virDomainBlockPeek", .write)
    /// Takes domain, offset, size, flags; gives buffer.
    public static let domainMemoryPeek = Procedure<Message<DomainHandle, UInt64, UInt32, UInt32>, Message<Bytes>>(
        104, "virDomainMemoryPeek", .write)
    /// Takes domain; gives label, enforcing.
    public static let domainGetSecurityLabel = Procedure<Message<DomainHandle>, Message<[WireByte], Int32>>(
        121, "virDomainGetSecurityLabel")
    /// Takes domain; gives active.
    public static let domainIsActive = Procedure<Message<DomainHandle>, Message<Int32>>(150, "virDomainIsActive")
    /// Takes domain; gives persistent.
    public static let domainIsPersistent = Procedure<Message<DomainHandle>, Message<Int32>>(
        151, "virDomainIsPersistent")
    /// Takes domain, max stats, flags; gives stats.
    public static let domainMemoryStats = Procedure<Message<DomainHandle, UInt32, UInt32>, Message<[DomainMemoryStat]>>(
        159, "virDomainMemoryStats")
    /// Takes domain, document, flags.
    public static let domainAttachDeviceFlags = Procedure<Message<DomainHandle, String, UInt32>, Message<>>(
        160, "virDomainAttachDeviceFlags", .write)
    /// Takes domain, document, flags.
    public static let domainDetachDeviceFlags = Procedure<Message<DomainHandle, String, UInt32>, Message<>>(
        161, "virDomainDetachDeviceFlags", .write)
    /// Takes domain; gives type, time elapsed, time remaining, data total, data processed, data remaining, memory
    /// total, memory processed, memory remaining, file total, file processed, file remaining.
    public static let domainGetJobInfo = Procedure<
        Message<DomainHandle>,
        Message<Int32, UInt64, UInt64, UInt64, UInt64, UInt64, UInt64, UInt64, UInt64, UInt64, UInt64, UInt64>
    >(163, "virDomainGetJobInfo")
    /// Takes domain.
    public static let domainAbortJob = Procedure<Message<DomainHandle>, Message<>>(164, "virDomainAbortJob", .write)
    /// Takes domain, document, flags.
    public static let domainUpdateDeviceFlags = Procedure<Message<DomainHandle, String, UInt32>, Message<>>(
        174, "virDomainUpdateDeviceFlags", .write)
    /// Takes domain, flags.
    public static let domainManagedSave = Procedure<Message<DomainHandle, UInt32>, Message<>>(
        182, "virDomainManagedSave", .write)
    /// Takes domain, flags; gives result.
    public static let domainHasManagedSaveImage = Procedure<Message<DomainHandle, UInt32>, Message<Int32>>(
        183, "virDomainHasManagedSaveImage")
    /// Takes domain, flags.
    public static let domainManagedSaveRemove = Procedure<Message<DomainHandle, UInt32>, Message<>>(
        184, "virDomainManagedSaveRemove", .write)
    /// Takes domain, path, flags; gives allocation, capacity, physical.
    public static let domainGetBlockInfo = Procedure<
        Message<DomainHandle, String, UInt32>, Message<UInt64, UInt64, UInt64>
    >(194, "virDomainGetBlockInfo")
    /// Takes domain, flags; gives domain.
    public static let domainCreateWithFlags = Procedure<Message<DomainHandle, UInt32>, Message<DomainHandle>>(
        196, "virDomainCreateWithFlags", .write)
    /// Takes domain, parameters, flags.
    public static let domainSetMemoryParameters = Procedure<Message<DomainHandle, [TypedParameter], UInt32>, Message<>>(
        197, "virDomainSetMemoryParameters", .write)
    /// Takes domain, room for parameters, flags; gives parameters, their count.
    public static let domainGetMemoryParameters = Procedure<
        Message<DomainHandle, Int32, UInt32>, Message<[TypedParameter], Int32>
    >(198, "virDomainGetMemoryParameters")
    /// Takes domain, processors, flags.
    public static let domainSetVcpusFlags = Procedure<Message<DomainHandle, UInt32, UInt32>, Message<>>(
        199, "virDomainSetVcpusFlags", .write)
    /// Takes domain, flags; gives count.
    public static let domainGetVcpusFlags = Procedure<Message<DomainHandle, UInt32>, Message<Int32>>(
        200, "virDomainGetVcpusFlags")
    /// Takes domain, device name, flags.
    public static let domainOpenConsole = Procedure<Message<DomainHandle, String?, UInt32>, Message<>>(
        201, "virDomainOpenConsole", .write)
    /// Takes domain; gives updated.
    public static let domainIsUpdated = Procedure<Message<DomainHandle>, Message<Int32>>(202, "virDomainIsUpdated")
    /// Takes domain, memory, flags.
    public static let domainSetMemoryFlags = Procedure<Message<DomainHandle, UInt64, UInt32>, Message<>>(
        204, "virDomainSetMemoryFlags", .write)
    /// Takes domain, parameters, flags.
    public static let domainSetBlkioParameters = Procedure<Message<DomainHandle, [TypedParameter], UInt32>, Message<>>(
        205, "virDomainSetBlkioParameters", .write)
    /// Takes domain, room for parameters, flags; gives parameters, their count.
    public static let domainGetBlkioParameters = Procedure<
        Message<DomainHandle, Int32, UInt32>, Message<[TypedParameter], Int32>
    >(206, "virDomainGetBlkioParameters")
    /// Takes domain, flags.
    public static let domainInjectNmi = Procedure<Message<DomainHandle, UInt32>, Message<>>(
        210, "virDomainInjectNMI", .write)
    /// Takes domain, screen, flags; gives MIME type.
    public static let domainScreenshot = Procedure<Message<DomainHandle, UInt32, UInt32>, Message<String?>>(
        211, "virDomainScreenshot", .write)
    /// Takes domain, flags; gives state, reason.
    public static let domainGetState = Procedure<Message<DomainHandle, UInt32>, Message<Int32, Int32>>(
        212, "virDomainGetState")
    /// Takes domain, parameters, flags.
    public static let domainSetSchedulerParametersFlags = Procedure<
        Message<DomainHandle, [TypedParameter], UInt32>, Message<>
    >(219, "virDomainSetSchedulerParametersFlags", .write)
    /// Takes domain, room for parameters, flags; gives parameters.
    public static let domainGetSchedulerParametersFlags = Procedure<
        Message<DomainHandle, Int32, UInt32>, Message<[TypedParameter]>
    >(223, "virDomainGetSchedulerParametersFlags")
    /// Takes domain, vcpu, processor map, flags.
    public static let domainPinVcpuFlags = Procedure<Message<DomainHandle, UInt32, Bytes, UInt32>, Message<>>(
        225, "virDomainPinVcpuFlags", .write)
    /// Takes domain, code set, hold time, keycodes, flags.
    public static let domainSendKey = Procedure<Message<DomainHandle, UInt32, UInt32, [UInt32], UInt32>, Message<>>(
        226, "virDomainSendKey", .write)
    /// Takes domain, flags; gives state, details, state time.
    public static let domainGetControlInfo = Procedure<Message<DomainHandle, UInt32>, Message<UInt32, UInt32, UInt64>>(
        229, "virDomainGetControlInfo")
    /// Takes domain, ncpumaps, bytes of a map, flags; gives processor maps, count.
    public static let domainGetVcpuPinInfo = Procedure<
        Message<DomainHandle, Int32, Int32, UInt32>, Message<Bytes, Int32>
    >(230, "virDomainGetVcpuPinInfo")
    /// Takes domain, flags.
    public static let domainUndefineFlags = Procedure<Message<DomainHandle, UInt32>, Message<>>(
        231, "virDomainUndefineFlags", .write)
    /// Takes domain, to, changed document, flags.
    public static let domainSaveFlags = Procedure<Message<DomainHandle, String, String?, UInt32>, Message<>>(
        232, "virDomainSaveFlags", .write)
    /// Takes from, changed document, flags.
    public static let domainRestoreFlags = Procedure<Message<String, String?, UInt32>, Message<>>(
        233, "virDomainRestoreFlags", .write)
    /// Takes domain, flags.
    public static let domainDestroyFlags = Procedure<Message<DomainHandle, UInt32>, Message<>>(
        234, "virDomainDestroyFlags", .write)
    /// Takes file, flags; gives document.
    public static let domainSaveImageGetXMLDesc = Procedure<Message<String, UInt32>, Message<String>>(
        235, "virDomainSaveImageGetXMLDesc", .write)
    /// Takes file, changed document, flags.
    public static let domainSaveImageDefineXML = Procedure<Message<String, String, UInt32>, Message<>>(
        236, "virDomainSaveImageDefineXML", .write)
    /// Takes domain, path, flags.
    public static let domainBlockJobAbort = Procedure<Message<DomainHandle, String, UInt32>, Message<>>(
        237, "virDomainBlockJobAbort", .write)
    /// Takes domain, path, flags; gives found, type, bandwidth, position, end.
    public static let domainGetBlockJobInfo = Procedure<
        Message<DomainHandle, String, UInt32>, Message<Int32, Int32, UInt64, UInt64, UInt64>
    >(238, "virDomainGetBlockJobInfo")
    /// Takes domain, path, bandwidth, flags.
    public static let domainBlockJobSetSpeed = Procedure<Message<DomainHandle, String, UInt64, UInt32>, Message<>>(
        239, "virDomainBlockJobSetSpeed", .write)
    /// Takes domain, path, bandwidth, flags.
    public static let domainBlockPull = Procedure<Message<DomainHandle, String, UInt64, UInt32>, Message<>>(
        240, "virDomainBlockPull", .write)
    /// Takes domain, path, room for parameters, flags; gives parameters, their count.
    public static let domainBlockStatsFlags = Procedure<
        Message<DomainHandle, String, Int32, UInt32>, Message<[TypedParameter], Int32>
    >(243, "virDomainBlockStatsFlags")
    /// Takes domain, flags.
    public static let domainReset = Procedure<Message<DomainHandle, UInt32>, Message<>>(245, "virDomainReset", .write)
    /// Takes domain, idx, flags.
    public static let domainOpenGraphics = Procedure<Message<DomainHandle, UInt32, UInt32>, Message<>>(
        249, "virDomainOpenGraphics", .write)
    /// Takes domain, disk, size, flags.
    public static let domainBlockResize = Procedure<Message<DomainHandle, String, UInt64, UInt32>, Message<>>(
        251, "virDomainBlockResize", .write)
    /// Takes domain, disk, parameters, flags.
    public static let domainSetBlockIoTune = Procedure<
        Message<DomainHandle, String, [TypedParameter], UInt32>, Message<>
    >(252, "virDomainSetBlockIoTune", .write)
    /// Takes domain, disk, room for parameters, flags; gives parameters, their count.
    public static let domainGetBlockIoTune = Procedure<
        Message<DomainHandle, String?, Int32, UInt32>, Message<[TypedParameter], Int32>
    >(253, "virDomainGetBlockIoTune")
    /// Takes domain, parameters, flags.
    public static let domainSetNumaParameters = Procedure<Message<DomainHandle, [TypedParameter], UInt32>, Message<>>(
        254, "virDomainSetNumaParameters", .write)
    /// Takes domain, room for parameters, flags; gives parameters, their count.
    public static let domainGetNumaParameters = Procedure<
        Message<DomainHandle, Int32, UInt32>, Message<[TypedParameter], Int32>
    >(255, "virDomainGetNumaParameters")
    /// Takes domain, device, parameters, flags.
    public static let domainSetInterfaceParameters = Procedure<
        Message<DomainHandle, String, [TypedParameter], UInt32>, Message<>
    >(256, "virDomainSetInterfaceParameters", .write)
    /// Takes domain, device, room for parameters, flags; gives parameters, their count.
    public static let domainGetInterfaceParameters = Procedure<
        Message<DomainHandle, String, Int32, UInt32>, Message<[TypedParameter], Int32>
    >(257, "virDomainGetInterfaceParameters")
    /// Takes domain, flags.
    public static let domainShutdownFlags = Procedure<Message<DomainHandle, UInt32>, Message<>>(
        258, "virDomainShutdownFlags", .write)
    /// Takes domain, target, duration, flags.
    public static let domainPmSuspendForDuration = Procedure<Message<DomainHandle, UInt32, UInt64, UInt32>, Message<>>(
        261, "virDomainPMSuspendForDuration", .write)
    /// Takes domain, room for parameters, start processor, processors, flags; gives parameters, their count.
    public static let domainGetCpuStats = Procedure<
        Message<DomainHandle, UInt32, Int32, UInt32, UInt32>, Message<[TypedParameter], Int32>
    >(262, "virDomainGetCPUStats")
    /// Takes domain, most errors, flags; gives errors, nerrors.
    public static let domainGetDiskErrors = Procedure<
        Message<DomainHandle, UInt32, UInt32>, Message<[DomainDiskError], Int32>
    >(263, "virDomainGetDiskErrors")
    /// Takes domain, type, metadata, key, URI, flags.
    public static let domainSetMetadata = Procedure<
        Message<DomainHandle, Int32, String?, String?, String?, UInt32>, Message<>
    >(264, "virDomainSetMetadata", .write)
    /// Takes domain, type, URI, flags; gives metadata.
    public static let domainGetMetadata = Procedure<Message<DomainHandle, Int32, String?, UInt32>, Message<String>>(
        265, "virDomainGetMetadata")
    /// Takes domain, path, base, bandwidth, flags.
    public static let domainBlockRebase = Procedure<Message<DomainHandle, String, String?, UInt64, UInt32>, Message<>>(
        266, "virDomainBlockRebase", .write)
    /// Takes domain, flags.
    public static let domainPmWakeup = Procedure<Message<DomainHandle, UInt32>, Message<>>(
        267, "virDomainPMWakeup", .write)
    /// Takes domain, flags; gives hostname.
    public static let domainGetHostname = Procedure<Message<DomainHandle, UInt32>, Message<String>>(
        277, "virDomainGetHostname", .write)
    /// Takes domain; gives labels, result.
    public static let domainGetSecurityLabelList = Procedure<
        Message<DomainHandle>, Message<[Message<[WireByte], Int32>], Int32>
    >(278, "virDomainGetSecurityLabelList")
    /// Takes domain, processor map, flags.
    public static let domainPinEmulator = Procedure<Message<DomainHandle, Bytes, UInt32>, Message<>>(
        279, "virDomainPinEmulator", .write)
    /// Takes domain, bytes of a map, flags; gives processor maps, result.
    public static let domainGetEmulatorPinInfo = Procedure<Message<DomainHandle, Int32, UInt32>, Message<Bytes, Int32>>(
        280, "virDomainGetEmulatorPinInfo")
    /// Takes domain, disk, base, top, bandwidth, flags.
    public static let domainBlockCommit = Procedure<
        Message<DomainHandle, String, String?, String?, UInt64, UInt32>, Message<>
    >(290, "virDomainBlockCommit", .write)
    /// Takes domain, mount point, minimum, flags.
    public static let domainFstrim = Procedure<Message<DomainHandle, String?, UInt64, UInt32>, Message<>>(
        294, "virDomainFSTrim", .write)
    /// Takes domain, process, signal, flags.
    public static let domainSendProcessSignal = Procedure<Message<DomainHandle, Int64, UInt32, UInt32>, Message<>>(
        295, "virDomainSendProcessSignal", .write)
    /// Takes domain, name, flags.
    public static let domainOpenChannel = Procedure<Message<DomainHandle, String?, UInt32>, Message<>>(
        296, "virDomainOpenChannel", .write)
    /// Takes domain, flags; gives type, parameters.
    public static let domainGetJobStats = Procedure<Message<DomainHandle, UInt32>, Message<Int32, [TypedParameter]>>(
        298, "virDomainGetJobStats")
    /// Takes domain, period, flags.
    public static let domainSetMemoryStatsPeriod = Procedure<Message<DomainHandle, Int32, UInt32>, Message<>>(
        308, "virDomainSetMemoryStatsPeriod", .write)
    /// Takes document, flags; gives domain.
    public static let domainCreateXMLWithFiles = Procedure<Message<String, UInt32>, Message<DomainHandle>>(
        309, "virDomainCreateXMLWithFiles", .write)
    /// Takes domain, flags; gives domain.
    public static let domainCreateWithFiles = Procedure<Message<DomainHandle, UInt32>, Message<DomainHandle>>(
        310, "virDomainCreateWithFiles", .write)
    /// Takes domain, to, dumpformat, flags.
    public static let domainCoreDumpWithFormat = Procedure<Message<DomainHandle, String, UInt32, UInt32>, Message<>>(
        334, "virDomainCoreDumpWithFormat", .write)
    /// Takes domain, mountpoints, flags; gives filesystems.
    public static let domainFsfreeze = Procedure<Message<DomainHandle, [String], UInt32>, Message<Int32>>(
        335, "virDomainFSFreeze", .write)
    /// Takes domain, mountpoints, flags; gives filesystems.
    public static let domainFsthaw = Procedure<Message<DomainHandle, [String], UInt32>, Message<Int32>>(
        336, "virDomainFSThaw", .write)
    /// Takes domain, flags; gives seconds, nseconds.
    public static let domainGetTime = Procedure<Message<DomainHandle, UInt32>, Message<Int64, UInt32>>(
        337, "virDomainGetTime", .write)
    /// Takes domain, seconds, nseconds, flags.
    public static let domainSetTime = Procedure<Message<DomainHandle, Int64, UInt32, UInt32>, Message<>>(
        338, "virDomainSetTime", .write)
    /// Takes domain, idx, flags.
    public static let domainOpenGraphicsFd = Procedure<Message<DomainHandle, UInt32, UInt32>, Message<>>(
        343, "virDomainOpenGraphicsFD", .write)
    /// Takes domain, path, destxml, parameters, flags.
    public static let domainBlockCopy = Procedure<
        Message<DomainHandle, String, String, [TypedParameter], UInt32>, Message<>
    >(345, "virDomainBlockCopy", .write)
    /// Takes domain, flags; gives info, result.
    public static let domainGetFsinfo = Procedure<Message<DomainHandle, UInt32>, Message<[DomainFsinfo], UInt32>>(
        349, "virDomainGetFSInfo", .write)
    /// Takes document, flags; gives domain.
    public static let domainDefineXMLFlags = Procedure<Message<String, UInt32>, Message<DomainHandle>>(
        350, "virDomainDefineXMLFlags", .write)
    /// Takes domain, flags; gives info, result.
    public static let domainGetIothreadInfo = Procedure<
        Message<DomainHandle, UInt32>, Message<[DomainIothreadInfo], UInt32>
    >(351, "virDomainGetIOThreadInfo")
    /// Takes domain, iothreads id, processor map, flags.
    public static let domainPinIothread = Procedure<Message<DomainHandle, UInt32, Bytes, UInt32>, Message<>>(
        352, "virDomainPinIOThread", .write)
    /// Takes domain, source, flags; gives ifaces.
    public static let domainInterfaceAddresses = Procedure<
        Message<DomainHandle, UInt32, UInt32>, Message<[DomainInterface]>
    >(353, "virDomainInterfaceAddresses")
    /// Takes domain, I/O thread, flags.
    public static let domainAddIothread = Procedure<Message<DomainHandle, UInt32, UInt32>, Message<>>(
        355, "virDomainAddIOThread", .write)
    /// Takes domain, I/O thread, flags.
    public static let domainDelIothread = Procedure<Message<DomainHandle, UInt32, UInt32>, Message<>>(
        356, "virDomainDelIOThread", .write)
    /// Takes domain, user, password, flags.
    public static let domainSetUserPassword = Procedure<Message<DomainHandle, String?, String?, UInt32>, Message<>>(
        357, "virDomainSetUserPassword", .write)
    /// Takes domain, new name, flags; gives code.
    public static let domainRename = Procedure<Message<DomainHandle, String?, UInt32>, Message<Int32>>(
        358, "virDomainRename", .write)
    /// Takes domain, flags; gives parameters.
    public static let domainGetPerfEvents = Procedure<Message<DomainHandle, UInt32>, Message<[TypedParameter]>>(
        365, "virDomainGetPerfEvents")
    /// Takes domain, parameters, flags.
    public static let domainSetPerfEvents = Procedure<Message<DomainHandle, [TypedParameter], UInt32>, Message<>>(
        366, "virDomainSetPerfEvents", .write)
    /// Takes domain, flags; gives parameters.
    public static let domainGetGuestVcpus = Procedure<Message<DomainHandle, UInt32>, Message<[TypedParameter]>>(
        371, "virDomainGetGuestVcpus", .write)
    /// Takes domain, processor map, state, flags.
    public static let domainSetGuestVcpus = Procedure<Message<DomainHandle, String, Int32, UInt32>, Message<>>(
        372, "virDomainSetGuestVcpus", .write)
    /// Takes domain, processor map, state, flags.
    public static let domainSetVcpu = Procedure<Message<DomainHandle, String, Int32, UInt32>, Message<>>(
        384, "virDomainSetVcpu", .write)
    /// Takes domain, device, threshold, flags.
    public static let domainSetBlockThreshold = Procedure<Message<DomainHandle, String, UInt64, UInt32>, Message<>>(
        386, "virDomainSetBlockThreshold", .write)
    /// Takes domain, flags; gives document.
    public static let domainManagedSaveGetXMLDesc = Procedure<Message<DomainHandle, UInt32>, Message<String>>(
        388, "virDomainManagedSaveGetXMLDesc")
    /// Takes domain, changed document, flags.
    public static let domainManagedSaveDefineXML = Procedure<Message<DomainHandle, String?, UInt32>, Message<>>(
        389, "virDomainManagedSaveDefineXML", .write)
    /// Takes domain, type, action, flags.
    public static let domainSetLifecycleAction = Procedure<Message<DomainHandle, UInt32, UInt32, UInt32>, Message<>>(
        390, "virDomainSetLifecycleAction", .write)
    /// Takes domain, alias, flags.
    public static let domainDetachDeviceAlias = Procedure<Message<DomainHandle, String, UInt32>, Message<>>(
        392, "virDomainDetachDeviceAlias", .write)
    /// Takes domain, flags; gives parameters.
    public static let domainGetLaunchSecurityInfo = Procedure<Message<DomainHandle, UInt32>, Message<[TypedParameter]>>(
        396, "virDomainGetLaunchSecurityInfo")
    /// Takes domain, I/O thread, parameters, flags.
    public static let domainSetIothreadParams = Procedure<
        Message<DomainHandle, UInt32, [TypedParameter], UInt32>, Message<>
    >(402, "virDomainSetIOThreadParams", .write)
    /// Takes domain, types, flags; gives parameters.
    public static let domainGetGuestInfo = Procedure<Message<DomainHandle, UInt32, UInt32>, Message<[TypedParameter]>>(
        418, "virDomainGetGuestInfo", .write)
    /// Takes domain, timeout, flags; gives result.
    public static let domainAgentSetResponseTimeout = Procedure<Message<DomainHandle, Int32, UInt32>, Message<Int32>>(
        420, "virDomainAgentSetResponseTimeout", .write)
    /// Takes domain, user, flags; gives keys.
    public static let domainAuthorizedSshKeysGet = Procedure<Message<DomainHandle, String, UInt32>, Message<[String]>>(
        424, "virDomainAuthorizedSSHKeysGet", .write)
    /// Takes domain, user, keys, flags.
    public static let domainAuthorizedSshKeysSet = Procedure<
        Message<DomainHandle, String, [String], UInt32>, Message<>
    >(425, "virDomainAuthorizedSSHKeysSet", .write)
    /// Takes domain, flags; gives msgs.
    public static let domainGetMessages = Procedure<Message<DomainHandle, UInt32>, Message<[String]>>(
        426, "virDomainGetMessages")
    /// Takes domain, seconds, flags.
    public static let domainStartDirtyRateCalc = Procedure<Message<DomainHandle, Int32, UInt32>, Message<>>(
        427, "virDomainStartDirtyRateCalc", .write)
    /// Takes domain, parameters, flags.
    public static let domainSetLaunchSecurityState = Procedure<
        Message<DomainHandle, [TypedParameter], UInt32>, Message<>
    >(439, "virDomainSetLaunchSecurityState", .write)
    /// Takes domain, parameters, flags.
    public static let domainSaveParams = Procedure<Message<DomainHandle, [TypedParameter], UInt32>, Message<>>(
        440, "virDomainSaveParams", .write)
    /// Takes parameters, flags.
    public static let domainRestoreParams = Procedure<Message<[TypedParameter], UInt32>, Message<>>(
        441, "virDomainRestoreParams", .write)
    /// Takes domain, flags.
    public static let domainAbortJobFlags = Procedure<Message<DomainHandle, UInt32>, Message<>>(
        442, "virDomainAbortJobFlags", .write)
    /// Takes domain, name, flags.
    public static let domainFdAssociate = Procedure<Message<DomainHandle, String, UInt32>, Message<>>(
        443, "virDomainFDAssociate", .write)
}
