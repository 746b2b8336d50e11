// SPDX-License-Identifier: Apache-2.0

public import ManagementModel
public import XDRCoding

/// Calls: Connection. Number, the name that clients know the call by, and whether it changes anything; argument and result types are in the order of the wire.
extension Procedures {
    /// Takes name, flags.
    public static let connectOpen = Procedure<Message<String?, UInt32>, Message<>>(1, "virConnectOpen")
    /// Takes nothing and gives nothing.
    public static let connectClose = Procedure<Message<>, Message<>>(2, "virConnectClose")
    /// Takes nothing; gives type.
    public static let connectGetType = Procedure<Message<>, Message<String>>(3, "virConnectGetType")
    /// Takes nothing; gives version.
    public static let connectGetVersion = Procedure<Message<>, Message<UInt64>>(4, "virConnectGetVersion")
    /// Takes type; gives max processors.
    public static let connectGetMaxVcpus = Procedure<Message<String?>, Message<Int32>>(5, "virConnectGetMaxVcpus")
    /// Takes nothing; gives model, memory, processors, MHz, nodes, sockets, cores, threads.
    public static let nodeGetInfo = Procedure<
        Message<>, Message<ModelName, UInt64, Int32, Int32, Int32, Int32, Int32, Int32>
    >(6, "virNodeGetInfo")
    /// Takes nothing; gives capabilities.
    public static let connectGetCapabilities = Procedure<Message<>, Message<String>>(7, "virConnectGetCapabilities")
    /// Takes most names; gives names.
    public static let connectListDefinedDomains = Procedure<Message<Int32>, Message<[String]>>(
        21, "virConnectListDefinedDomains")
    /// Takes nothing; gives count.
    public static let connectNumOfDefinedDomains = Procedure<Message<>, Message<Int32>>(
        25, "virConnectNumOfDefinedDomains")
    /// Takes most ids; gives ids.
    public static let connectListDomains = Procedure<Message<Int32>, Message<[Int32]>>(37, "virConnectListDomains")
    /// Takes nothing; gives count.
    public static let connectNumOfDomains = Procedure<Message<>, Message<Int32>>(51, "virConnectNumOfDomains")
    /// Takes nothing; gives hostname.
    public static let connectGetHostname = Procedure<Message<>, Message<String>>(59, "virConnectGetHostname")
    /// Takes feature; gives supported.
    public static let connectSupportsFeature = Procedure<Message<Int32>, Message<Int32>>(
        60, "virConnectSupportsFeature")
    /// Takes nothing; gives types.
    public static let authList = Procedure<Message<>, Message<[Int32]>>(66, "auth")
    /// Takes nothing; gives mechanisms.
    public static let authSaslInit = Procedure<Message<>, Message<String>>(67, "virAuthSaslInit")
    /// Takes mechanism, whether there is data, data; gives complete, whether there is data, data.
    public static let authSaslStart = Procedure<Message<String, Int32, [WireByte]>, Message<Int32, Int32, [WireByte]>>(
        68, "virAuthSaslStart")
    /// Takes whether there is data, data; gives complete, whether there is data, data.
    public static let authSaslStep = Procedure<Message<Int32, [WireByte]>, Message<Int32, Int32, [WireByte]>>(
        69, "virAuthSaslStep")
    /// Takes nothing; gives complete.
    public static let authPolkit = Procedure<Message<>, Message<Int32>>(70, "virAuthPolkit")
    /// Takes start cell, most cells; gives cells.
    public static let nodeGetCellsFreeMemory = Procedure<Message<Int32, Int32>, Message<[UInt64]>>(
        101, "virNodeGetCellsFreeMemory")
    /// Takes nothing; gives free memory.
    public static let nodeGetFreeMemory = Procedure<Message<>, Message<UInt64>>(102, "virNodeGetFreeMemory")
    /// Takes nothing; gives remaining callbacks.
    public static let connectDomainEventRegister = Procedure<Message<>, Message<Int32>>(
        105, "virConnectDomainEventRegister")
    /// Takes nothing; gives remaining callbacks.
    public static let connectDomainEventDeregister = Procedure<Message<>, Message<Int32>>(
        106, "virConnectDomainEventDeregister")
    /// Takes nothing; gives URI.
    public static let connectGetURI = Procedure<Message<>, Message<String>>(110, "virConnectGetURI")
    /// Takes nothing; gives model, domain of interpretation.
    public static let nodeGetSecurityModel = Procedure<Message<>, Message<[WireByte], [WireByte]>>(
        122, "virNodeGetSecurityModel")
    /// Takes native format, native config, flags; gives domain document.
    public static let connectDomainXMLFromNative = Procedure<Message<String, String, UInt32>, Message<String>>(
        135, "virConnectDomainXMLFromNative", .write)
    /// Takes native format, domain document, flags; gives native config.
    public static let connectDomainXMLToNative = Procedure<Message<String, String, UInt32>, Message<String>>(
        136, "virConnectDomainXMLToNative", .write)
    /// Takes nothing; gives secure.
    public static let connectIsSecure = Procedure<Message<>, Message<Int32>>(149, "virConnectIsSecure")
    /// Takes nothing; gives version.
    public static let connectGetLibVersion = Procedure<Message<>, Message<UInt64>>(157, "virConnectGetLibVersion")
    /// Takes document, flags; gives result.
    public static let connectCompareCpu = Procedure<Message<String, UInt32>, Message<Int32>>(
        158, "virConnectCompareCPU")
    /// Takes document processors, flags; gives processor.
    public static let connectBaselineCpu = Procedure<Message<[String], UInt32>, Message<String>>(
        162, "virConnectBaselineCPU")
    /// Takes event.
    public static let connectDomainEventRegisterAny = Procedure<Message<Int32>, Message<>>(
        167, "virConnectDomainEventRegisterAny")
    /// Takes event.
    public static let connectDomainEventDeregisterAny = Procedure<Message<Int32>, Message<>>(
        168, "virConnectDomainEventDeregisterAny")
    /// Takes flags; gives system information.
    public static let connectGetSysinfo = Procedure<Message<UInt32>, Message<String>>(203, "virConnectGetSysinfo")
    /// Takes processor count, room for parameters, flags; gives parameters, their count.
    public static let nodeGetCpuStats = Procedure<Message<Int32, Int32, UInt32>, Message<[NodeStatistic], Int32>>(
        227, "virNodeGetCPUStats")
    /// Takes room for parameters, cell count, flags; gives parameters, their count.
    public static let nodeGetMemoryStats = Procedure<Message<Int32, Int32, UInt32>, Message<[NodeStatistic], Int32>>(
        228, "virNodeGetMemoryStats")
    /// Takes target, duration, flags.
    public static let nodeSuspendForDuration = Procedure<Message<UInt32, UInt64, UInt32>, Message<>>(
        250, "virNodeSuspendForDuration", .write)
    /// Takes whether a list is wanted, flags; gives domains, their count.
    public static let connectListAllDomains = Procedure<Message<Int32, UInt32>, Message<[DomainHandle], UInt32>>(
        273, "virConnectListAllDomains")
    /// Takes parameters, flags.
    public static let nodeSetMemoryParameters = Procedure<Message<[TypedParameter], UInt32>, Message<>>(
        288, "virNodeSetMemoryParameters", .write)
    /// Takes room for parameters, flags; gives parameters, their count.
    public static let nodeGetMemoryParameters = Procedure<Message<Int32, UInt32>, Message<[TypedParameter], Int32>>(
        289, "virNodeGetMemoryParameters")
    /// Takes need map, need online, flags; gives processor map, online, result.
    public static let nodeGetCpuMap = Procedure<Message<Int32, Int32, UInt32>, Message<Bytes, UInt32, Int32>>(
        293, "virNodeGetCPUMap")
    /// Takes architecture, whether a list is wanted, flags; gives models, their count.
    public static let connectGetCpuModelNames = Procedure<Message<String, Int32, UInt32>, Message<[String], Int32>>(
        312, "virConnectGetCPUModelNames")
    /// Takes event, domain; gives callback.
    public static let connectDomainEventCallbackRegisterAny = Procedure<Message<Int32, DomainHandle?>, Message<Int32>>(
        316, "virConnectDomainEventRegisterAny")
    /// Takes callback.
    public static let connectDomainEventCallbackDeregisterAny = Procedure<Message<Int32>, Message<>>(
        317, "virConnectDomainEventDeregisterAny")
    /// Takes pages, start cell, cell count, flags; gives counts.
    public static let nodeGetFreePages = Procedure<Message<[UInt32], Int32, UInt32, UInt32>, Message<[UInt64]>>(
        340, "virNodeGetFreePages")
    /// Takes emulator, architecture, machine type, virtualization type, flags; gives capabilities.
    public static let connectGetDomainCapabilities = Procedure<
        Message<String?, String?, String?, String?, UInt32>, Message<String>
    >(342, "virConnectGetDomainCapabilities", .write)
    /// Takes domains, stats, flags; gives result stats.
    public static let connectGetAllDomainStats = Procedure<
        Message<[DomainHandle], UInt32, UInt32>, Message<[DomainStatsRecord]>
    >(344, "virConnectGetAllDomainStats")
    /// Takes page sizes, page counts, start cell, cell count, flags; gives result.
    public static let nodeAllocPages = Procedure<Message<[UInt32], [UInt64], Int32, UInt32, UInt32>, Message<Int32>>(
        347, "virNodeAllocPages", .write)
    /// Takes nothing and gives nothing.
    public static let connectRegisterCloseCallback = Procedure<Message<>, Message<>>(
        360, "virConnectRegisterCloseCallback")
    /// Takes nothing and gives nothing.
    public static let connectUnregisterCloseCallback = Procedure<Message<>, Message<>>(
        361, "virConnectUnregisterCloseCallback")
    /// Takes emulator, architecture, machine type, virtualization type, processor document, flags; gives result.
    public static let connectCompareHypervisorCpu = Procedure<
        Message<String?, String?, String?, String?, String, UInt32>, Message<Int32>
    >(393, "virConnectCompareHypervisorCPU", .write)
    /// Takes emulator, architecture, machine type, virtualization type, document processors, flags; gives
    /// processor.
    public static let connectBaselineHypervisorCpu = Procedure<
        Message<String?, String?, String?, String?, [String], UInt32>, Message<String>
    >(394, "virConnectBaselineHypervisorCPU", .write)
    /// Takes room for parameters, flags; gives parameters, their count.
    public static let nodeGetSevInfo = Procedure<Message<Int32, UInt32>, Message<[TypedParameter], Int32>>(
        395, "virNodeGetSEVInfo", .write)
    /// Takes parameters, flags.
    public static let connectSetIdentity = Procedure<Message<[TypedParameter], UInt32>, Message<>>(
        419, "virConnectSetIdentity")
}
