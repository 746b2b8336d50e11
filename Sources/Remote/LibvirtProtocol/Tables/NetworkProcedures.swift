// SPDX-License-Identifier: Apache-2.0

public import ManagementModel
public import XDRCoding

/// Calls: Network. Number, the name that clients know the call by, and whether it changes anything; argument and result types are in the order of the wire.
extension Procedures {
    public static let connectListDefinedNetworks = Procedure<Message<Int32>, Message<[String]>>(
        36, "virConnectListDefinedNetworks")
    public static let connectListNetworks = Procedure<Message<Int32>, Message<[String]>>(38, "virConnectListNetworks")
    public static let networkCreate = Procedure<Message<NetworkHandle>, Message<>>(39, "virNetworkCreate", .write)
    public static let networkCreateXML = Procedure<Message<String>, Message<NetworkHandle>>(
        40, "virNetworkCreateXML", .write)
    public static let networkDefineXML = Procedure<Message<String>, Message<NetworkHandle>>(
        41, "virNetworkDefineXML", .write)
    public static let networkDestroy = Procedure<Message<NetworkHandle>, Message<>>(42, "virNetworkDestroy", .write)
    public static let networkGetXMLDesc = Procedure<Message<NetworkHandle, UInt32>, Message<String>>(
        43, "virNetworkGetXMLDesc")
    public static let networkGetAutostart = Procedure<Message<NetworkHandle>, Message<Int32>>(
        44, "virNetworkGetAutostart")
    public static let networkGetBridgeName = Procedure<Message<NetworkHandle>, Message<String>>(
        45, "virNetworkGetBridgeName")
    public static let networkLookupByName = Procedure<Message<String>, Message<NetworkHandle>>(
        46, "virNetworkLookupByName")
    public static let networkLookupByUUID = Procedure<Message<UniqueID>, Message<NetworkHandle>>(
        47, "virNetworkLookupByUUID")
    public static let networkSetAutostart = Procedure<Message<NetworkHandle, Int32>, Message<>>(
        48, "virNetworkSetAutostart", .write)
    public static let networkUndefine = Procedure<Message<NetworkHandle>, Message<>>(49, "virNetworkUndefine", .write)
    public static let connectNumOfDefinedNetworks = Procedure<Message<>, Message<Int32>>(
        50, "virConnectNumOfDefinedNetworks")
    public static let connectNumOfNetworks = Procedure<Message<>, Message<Int32>>(52, "virConnectNumOfNetworks")
    public static let networkIsActive = Procedure<Message<NetworkHandle>, Message<Int32>>(152, "virNetworkIsActive")
    public static let networkIsPersistent = Procedure<Message<NetworkHandle>, Message<Int32>>(
        153, "virNetworkIsPersistent")
    public static let connectListAllNetworks = Procedure<Message<Int32, UInt32>, Message<[NetworkHandle], UInt32>>(
        283, "virConnectListAllNetworks")
    public static let networkUpdate = Procedure<
        Message<NetworkHandle, UInt32, UInt32, Int32, String, UInt32>, Message<>
    >(291, "virNetworkUpdate", .write)
    public static let connectNetworkEventRegisterAny = Procedure<Message<Int32, NetworkHandle?>, Message<Int32>>(
        313, "virConnectNetworkEventRegisterAny")
    public static let connectNetworkEventDeregisterAny = Procedure<Message<Int32>, Message<>>(
        314, "virConnectNetworkEventDeregisterAny")
    public static let networkGetDhcpLeases = Procedure<
        Message<NetworkHandle, String?, Int32, UInt32>, Message<[NetworkDhcpLease], UInt32>
    >(341, "virNetworkGetDHCPLeases")
    public static let networkListAllPorts = Procedure<
        Message<NetworkHandle, Int32, UInt32>, Message<[NetworkPortHandle], UInt32>
    >(404, "virNetworkListAllPorts")
    public static let networkPortLookupByUUID = Procedure<Message<NetworkHandle, UniqueID>, Message<NetworkPortHandle>>(
        405, "virNetworkPortLookupByUUID")
    public static let networkPortCreateXML = Procedure<
        Message<NetworkHandle, String, UInt32>, Message<NetworkPortHandle>
    >(406, "virNetworkPortCreateXML", .write)
    public static let networkPortGetParameters = Procedure<
        Message<NetworkPortHandle, Int32, UInt32>, Message<[TypedParameter], Int32>
    >(407, "virNetworkPortGetParameters")
    public static let networkPortSetParameters = Procedure<
        Message<NetworkPortHandle, [TypedParameter], UInt32>, Message<>
    >(408, "virNetworkPortSetParameters", .write)
    public static let networkPortGetXMLDesc = Procedure<Message<NetworkPortHandle, UInt32>, Message<String>>(
        409, "virNetworkPortGetXMLDesc")
    public static let networkPortDelete = Procedure<Message<NetworkPortHandle, UInt32>, Message<>>(
        410, "virNetworkPortDelete", .write)
    public static let networkDefineXMLFlags = Procedure<Message<String, UInt32>, Message<NetworkHandle>>(
        432, "virNetworkDefineXMLFlags", .write)
    public static let networkCreateXMLFlags = Procedure<Message<String, UInt32>, Message<NetworkHandle>>(
        437, "virNetworkCreateXMLFlags", .write)
}
