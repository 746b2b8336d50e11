// SPDX-License-Identifier: Apache-2.0

public import ManagementModel
public import XDRCoding

/// Calls: Connection. Number, the name that clients know the call by, and whether it changes anything; argument and result types are in the order of the wire.
extension Procedures {
    public static let connectOpen = Procedure<Message<String?, UInt32>, Message<>>(1, "virConnectOpen")
    public static let connectClose = Procedure<Message<>, Message<>>(2, "virConnectClose")
    public static let connectGetType = Procedure<Message<>, Message<String>>(3, "virConnectGetType")
    public static let connectGetVersion = Procedure<Message<>, Message<UInt64>>(4, "virConnectGetVersion")
    public static let connectGetMaxVcpus = Procedure<Message<String?>, Message<Int32>>(5, "virConnectGetMaxVcpus")
    public static let nodeGetInfo = Procedure<
        Message<>, Message<ModelName, UInt64, Int32, Int32, Int32, Int32, Int32, Int32>
    >(6, "virNodeGetInfo")
    public static let connectGetCapabilities = Procedure<Message<>, Message<String>>(7, "virConnectGetCapabilities")
    public static let connectListDefinedDomains = Procedure<Message<Int32>, Message<[String]>>(
        21, "virConnectListDefinedDomains")
    public static let connectNumOfDefinedDomains = Procedure<Message<>, Message<Int32>>(
        25, "virConnectNumOfDefinedDomains")
    public static let connectListDomains = Procedure<Message<Int32>, Message<[Int32]>>(37, "virConnectListDomains")
    public static let connectNumOfDomains = Procedure<Message<>, Message<Int32>>(51, "virConnectNumOfDomains")
    public static let connectGetHostname = Procedure<Message<>, Message<String>>(59, "virConnectGetHostname")
    public static let connectSupportsFeature = Procedure<Message<Int32>, Message<Int32>>(
        60, "virConnectSupportsFeature")
    public static let authList = Procedure<Message<>, Message<[Int32]>>(66, "auth")
    public static let authSaslInit = Procedure<Message<>, Message<String>>(67, "virAuthSaslInit")
    public static let authSaslStart = Procedure<Message<String, Int32, [WireByte]>, Message<Int32, Int32, [WireByte]>>(
        68, "virAuthSaslStart")
    public static let authSaslStep = Procedure<Message<Int32, [WireByte]>, Message<Int32, Int32, [WireByte]>>(
        69, "virAuthSaslStep")
    public static let authPolkit = Procedure<Message<>, Message<Int32>>(70, "virAuthPolkit")
    public static let nodeGetCellsFreeMemory = Procedure<Message<Int32, Int32>, Message<[UInt64]>>(
        101, "virNodeGetCellsFreeMemory")
    public static let nodeGetFreeMemory = Procedure<Message<>, Message<UInt64>>(102, "virNodeGetFreeMemory")
    public static let connectDomainEventRegister = Procedure<Message<>, Message<Int32>>(
        105, "virConnectDomainEventRegister")
    public static let connectDomainEventDeregister = Procedure<Message<>, Message<Int32>>(
        106, "virConnectDomainEventDeregister")
    public static let connectGetURI = Procedure<Message<>, Message<String>>(110, "virConnectGetURI")
    public static let nodeGetSecurityModel = Procedure<Message<>, Message<[WireByte], [WireByte]>>(
        122, "virNodeGetSecurityModel")
    public static let connectDomainXMLFromNative = Procedure<Message<String, String, UInt32>, Message<String>>(
        135, "virConnectDomainXMLFromNative", .write)
    public static let connectDomainXMLToNative = Procedure<Message<String, String, UInt32>, Message<String>>(
        136, "virConnectDomainXMLToNative", .write)
    public static let connectIsSecure = Procedure<Message<>, Message<Int32>>(149, "virConnectIsSecure")
    public static let connectGetLibVersion = Procedure<Message<>, Message<UInt64>>(157, "virConnectGetLibVersion")
    public static let connectCompareCpu = Procedure<Message<String, UInt32>, Message<Int32>>(
        158, "virConnectCompareCPU")
    public static let connectBaselineCpu = Procedure<Message<[String], UInt32>, Message<String>>(
        162, "virConnectBaselineCPU")
    public static let connectDomainEventRegisterAny = Procedure<Message<Int32>, Message<>>(
        167, "virConnectDomainEventRegisterAny")
    public static let connectDomainEventDeregisterAny = Procedure<Message<Int32>, Message<>>(
        168, "virConnectDomainEventDeregisterAny")
    public static let connectGetSysinfo = Procedure<Message<UInt32>, Message<String>>(203, "virConnectGetSysinfo")
    public static let nodeGetCpuStats = Procedure<Message<Int32, Int32, UInt32>, Message<[NodeStatistic], Int32>>(
        227, "virNodeGetCPUStats")
    public static let nodeGetMemoryStats = Procedure<Message<Int32, Int32, UInt32>, Message<[NodeStatistic], Int32>>(
        228, "virNodeGetMemoryStats")
    public static let nodeSuspendForDuration = Procedure<Message<UInt32, UInt64, UInt32>, Message<>>(
        250, "virNodeSuspendForDuration", .write)
    public static let connectListAllDomains = Procedure<Message<Int32, UInt32>, Message<[DomainHandle], UInt32>>(
        273, "virConnectListAllDomains")
    public static let nodeSetMemoryParameters = Procedure<Message<[TypedParameter], UInt32>, Message<>>(
        288, "virNodeSetMemoryParameters", .write)
    public static let nodeGetMemoryParameters = Procedure<Message<Int32, UInt32>, Message<[TypedParameter], Int32>>(
        289, "virNodeGetMemoryParameters")
    public static let nodeGetCpuMap = Procedure<Message<Int32, Int32, UInt32>, Message<Bytes, UInt32, Int32>>(
        293, "virNodeGetCPUMap")
    public static let connectGetCpuModelNames = Procedure<Message<String, Int32, UInt32>, Message<[String], Int32>>(
        312, "virConnectGetCPUModelNames")
    public static let connectDomainEventCallbackRegisterAny = Procedure<Message<Int32, DomainHandle?>, Message<Int32>>(
        316, "virConnectDomainEventRegisterAny")
    public static let connectDomainEventCallbackDeregisterAny = Procedure<Message<Int32>, Message<>>(
        317, "virConnectDomainEventDeregisterAny")
    public static let nodeGetFreePages = Procedure<Message<[UInt32], Int32, UInt32, UInt32>, Message<[UInt64]>>(
        340, "virNodeGetFreePages")
    public static let connectGetDomainCapabilities = Procedure<
        Message<String?, String?, String?, String?, UInt32>, Message<String>
    >(342, "virConnectGetDomainCapabilities", .write)
    public static let connectGetAllDomainStats = Procedure<
        Message<[DomainHandle], UInt32, UInt32>, Message<[DomainStatsRecord]>
    >(344, "virConnectGetAllDomainStats")
    public static let nodeAllocPages = Procedure<Message<[UInt32], [UInt64], Int32, UInt32, UInt32>, Message<Int32>>(
        347, "virNodeAllocPages", .write)
    public static let connectRegisterCloseCallback = Procedure<Message<>, Message<>>(
        360, "virConnectRegisterCloseCallback")
    public static let connectUnregisterCloseCallback = Procedure<Message<>, Message<>>(
        361, "virConnectUnregisterCloseCallback")
    public static let connectCompareHypervisorCpu = Procedure<
        Message<String?, String?, String?, String?, String, UInt32>, Message<Int32>
    >(393, "virConnectCompareHypervisorCPU", .write)
    public static let connectBaselineHypervisorCpu = Procedure<
        Message<String?, String?, String?, String?, [String], UInt32>, Message<String>
    >(394, "virConnectBaselineHypervisorCPU", .write)
    public static let nodeGetSevInfo = Procedure<Message<Int32, UInt32>, Message<[TypedParameter], Int32>>(
        395, "virNodeGetSEVInfo", .write)
    public static let connectSetIdentity = Procedure<Message<[TypedParameter], UInt32>, Message<>>(
        419, "virConnectSetIdentity")
}
