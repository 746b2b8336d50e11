// SPDX-License-Identifier: Apache-2.0

public import ManagementModel
public import XDRCoding

/// Calls: Network. Number, the name that clients know the call by, and whether it changes anything; argument and result types are in the order of the wire.
extension Procedures {
    /// Takes most names; gives names.
    public static let connectListDefinedNetworks = Procedure<Message<Int32>, Message<[String]>>(
        36, "virConnectListDefinedNetworks")
    /// Takes most names; gives names.
    public static let connectListNetworks = Procedure<Message<Int32>, Message<[String]>>(38, "virConnectListNetworks")
    /// Takes network.
    public static let networkCreate = Procedure<Message<NetworkHandle>, Message<>>(39, "virNetworkCreate", .write)
    /// Takes document; gives network.
    public static let networkCreateXML = Procedure<Message<String>, Message<NetworkHandle>>(
        40, "virNetworkCreateXML", .write)
    /// Takes document; gives network.
    public static let networkDefineXML = Procedure<Message<String>, Message<NetworkHandle>>(
        41, "virNetworkDefineXML", .write)
    /// Takes network.
    public static let networkDestroy = Procedure<Message<NetworkHandle>, Message<>>(42, "virNetworkDestroy", .write)
    /// Takes network, flags; gives document.
    public static let networkGetXMLDesc = Procedure<Message<NetworkHandle, UInt32>, Message<String>>(
        43, "virNetworkGetXMLDesc")
    /// Takes network; gives autostart.
    public static let networkGetAutostart = Procedure<Message<NetworkHandle>, Message<Int32>>(
        44, "virNetworkGetAutostart")
    /// Takes network; gives name.
    public static let networkGetBridgeName = Procedure<Message<NetworkHandle>, Message<String>>(
        45, "virNetworkGetBridgeName")
    /// Takes name; gives network.
    public static let networkLookupByName = Procedure<Message<String>, Message<NetworkHandle>>(
        46, "virNetworkLookupByName")
    /// Takes UUID; gives network.
    public static let networkLookupByUUID = Procedure<Message<UniqueID>, Message<NetworkHandle>>(
        47, "virNetworkLookupByUUID")
    /// Takes network, autostart.
    public static let networkSetAutostart = Procedure<Message<NetworkHandle, Int32>, Message<>>(
        48, "virNetworkSetAutostart", .write)
    /// Takes network.
    public static let networkUndefine = Procedure<Message<NetworkHandle>, Message<>>(49, "virNetworkUndefine", .write)
    /// Takes nothing; gives count.
    public static let connectNumOfDefinedNetworks = Procedure<Message<>, Message<Int32>>(
        50, "virConnectNumOfDefinedNetworks")
    /// Takes nothing; gives count.
    public static let connectNumOfNetworks = Procedure<Message<>, Message<Int32>>(52, "virConnectNumOfNetworks")
    /// Takes network; gives active.
    public static let networkIsActive = Procedure<Message<NetworkHandle>, Message<Int32>>(152, "virNetworkIsActive")
    /// Takes network; gives persistent.
    public static let networkIsPersistent = Procedure<Message<NetworkHandle>, Message<Int32>>(
        153, "virNetworkIsPersistent")
    /// Takes whether a list is wanted, flags; gives nets, their count.
    public static let connectListAllNetworks = Procedure<Message<Int32, UInt32>, Message<[NetworkHandle], UInt32>>(
        283, "virConnectListAllNetworks")
    /// Takes network, command, section, parent index, document, flags.
    public static let networkUpdate = Procedure<
        Message<NetworkHandle, UInt32, UInt32, Int32, String, UInt32>, Message<>
    >(291, "virNetworkUpdate", .write)
    /// Takes event, network; gives callback.
    public static let connectNetworkEventRegisterAny = Procedure<Message<Int32, NetworkHandle?>, Message<Int32>>(
        313, "virConnectNetworkEventRegisterAny")
    /// Takes callback.
    public static let connectNetworkEventDeregisterAny = Procedure<Message<Int32>, Message<>>(
        314, "virConnectNetworkEventDeregisterAny")
    /// Takes network, MAC address, whether a list is wanted, flags; gives leases, their count.
    public static let networkGetDhcpLeases = Procedure<
        Message<NetworkHandle, String?, Int32, UInt32>, Message<[NetworkDhcpLease], UInt32>
    >(341, "virNetworkGetDHCPLeases")
    /// Takes network, whether a list is wanted, flags; gives ports, their count.
    public static let networkListAllPorts = Procedure<
        Message<NetworkHandle, Int32, UInt32>, Message<[NetworkPortHandle], UInt32>
    >(404, "virNetworkListAllPorts")
    /// Takes network, UUID; gives port.
    public static let networkPortLookupByUUID = Procedure<Message<NetworkHandle, UniqueID>, Message<NetworkPortHandle>>(
        405, "virNetworkPortLookupByUUID")
    /// Takes network, document, flags; gives port.
    public static let networkPortCreateXML = Procedure<
        Message<NetworkHandle, String, UInt32>, Message<NetworkPortHandle>
    >(406, "virNetworkPortCreateXML", .write)
    /// Takes port, room for parameters, flags; gives parameters, their count.
    public static let networkPortGetParameters = Procedure<
        Message<NetworkPortHandle, Int32, UInt32>, Message<[TypedParameter], Int32>
    >(407, "virNetworkPortGetParameters")
    /// Takes port, parameters, flags.
    public static let networkPortSetParameters = Procedure<
        Message<NetworkPortHandle, [TypedParameter], UInt32>, Message<>
    >(408, "virNetworkPortSetParameters", .write)
    /// Takes port, flags; gives document.
    public static let networkPortGetXMLDesc = Procedure<Message<NetworkPortHandle, UInt32>, Message<String>>(
        409, "virNetworkPortGetXMLDesc")
    /// Takes port, flags.
    public static let networkPortDelete = Procedure<Message<NetworkPortHandle, UInt32>, Message<>>(
        410, "virNetworkPortDelete", .write)
    /// Takes document, flags; gives network.
    public static let networkDefineXMLFlags = Procedure<Message<String, UInt32>, Message<NetworkHandle>>(
        432, "virNetworkDefineXMLFlags", .write)
    /// Takes document, flags; gives network.
    public static let networkCreateXMLFlags = Procedure<Message<String, UInt32>, Message<NetworkHandle>>(
        437, "virNetworkCreateXMLFlags", .write)
}
