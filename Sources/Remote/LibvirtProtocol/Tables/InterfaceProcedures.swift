// SPDX-License-Identifier: Apache-2.0

public import XDRCoding

/// Calls: Interface. Number, the name that clients know the call by, and whether it changes anything; argument and result types are in the order of the wire.
extension Procedures {
    /// Takes nothing; gives count.
    public static let connectNumOfInterfaces = Procedure<Message<>, Message<Int32>>(126, "virConnectNumOfInterfaces")
    /// Takes most names; gives names.
    public static let connectListInterfaces = Procedure<Message<Int32>, Message<[String]>>(
        127, "virConnectListInterfaces")
    /// Takes name; gives interface.
    public static let interfaceLookupByName = Procedure<Message<String>, Message<InterfaceHandle>>(
        128, "virInterfaceLookupByName")
    /// Takes MAC address; gives interface.
    public static let interfaceLookupByMacString = Procedure<Message<String>, Message<InterfaceHandle>>(
        129, "virInterfaceLookupByMACString")
    /// Takes interface, flags; gives document.
    public static let interfaceGetXMLDesc = Procedure<Message<InterfaceHandle, UInt32>, Message<String>>(
        130, "virInterfaceGetXMLDesc")
    /// Takes document, flags; gives interface.
    public static let interfaceDefineXML = Procedure<Message<String, UInt32>, Message<InterfaceHandle>>(
        131, "virInterfaceDefineXML", .write)
    /// Takes interface.
    public static let interfaceUndefine = Procedure<Message<InterfaceHandle>, Message<>>(
        132, "virInterfaceUndefine", .write)
    /// Takes interface, flags.
    public static let interfaceCreate = Procedure<Message<InterfaceHandle, UInt32>, Message<>>(
        133, "virInterfaceCreate", .write)
    /// Takes interface, flags.
    public static let interfaceDestroy = Procedure<Message<InterfaceHandle, UInt32>, Message<>>(
        134, "virInterfaceDestroy", .write)
    /// Takes nothing; gives count.
    public static let connectNumOfDefinedInterfaces = Procedure<Message<>, Message<Int32>>(
        137, "virConnectNumOfDefinedInterfaces")
    /// Takes most names; gives names.
    public static let connectListDefinedInterfaces = Procedure<Message<Int32>, Message<[String]>>(
        138, "virConnectListDefinedInterfaces")
    /// Takes interface; gives active.
    public static let interfaceIsActive = Procedure<Message<InterfaceHandle>, Message<Int32>>(
        156, "virInterfaceIsActive")
    /// Takes flags.
    public static let interfaceChangeBegin = Procedure<Message<UInt32>, Message<>>(
        220, "virInterfaceChangeBegin", .write)
    /// Takes flags.
    public static let interfaceChangeCommit = Procedure<Message<UInt32>, Message<>>(
        221, "virInterfaceChangeCommit", .write)
    /// Takes flags.
    public static let interfaceChangeRollback = Procedure<Message<UInt32>, Message<>>(
        222, "virInterfaceChangeRollback", .write)
    /// Takes whether a list is wanted, flags; gives ifaces, their count.
    public static let connectListAllInterfaces = Procedure<Message<Int32, UInt32>, Message<[InterfaceHandle], UInt32>>(
        284, "virConnectListAllInterfaces")
}
