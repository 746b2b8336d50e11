// SPDX-License-Identifier: Apache-2.0

public import XDRCoding

/// Calls: Interface. Number, the name that clients know the call by, and whether it changes anything; argument and result types are in the order of the wire.
extension Procedures {
    public static let connectNumOfInterfaces = Procedure<Message<>, Message<Int32>>(126, "virConnectNumOfInterfaces")
    public static let connectListInterfaces = Procedure<Message<Int32>, Message<[String]>>(
        127, "virConnectListInterfaces")
    public static let interfaceLookupByName = Procedure<Message<String>, Message<InterfaceHandle>>(
        128, "virInterfaceLookupByName")
    public static let interfaceLookupByMacString = Procedure<Message<String>, Message<InterfaceHandle>>(
        129, "virInterfaceLookupByMACString")
    public static let interfaceGetXMLDesc = Procedure<Message<InterfaceHandle, UInt32>, Message<String>>(
        130, "virInterfaceGetXMLDesc")
    public static let interfaceDefineXML = Procedure<Message<String, UInt32>, Message<InterfaceHandle>>(
        131, "virInterfaceDefineXML", .write)
    public static let interfaceUndefine = Procedure<Message<InterfaceHandle>, Message<>>(
        132, "virInterfaceUndefine", .write)
    public static let interfaceCreate = Procedure<Message<InterfaceHandle, UInt32>, Message<>>(
        133, "virInterfaceCreate", .write)
    public static let interfaceDestroy = Procedure<Message<InterfaceHandle, UInt32>, Message<>>(
        134, "virInterfaceDestroy", .write)
    public static let connectNumOfDefinedInterfaces = Procedure<Message<>, Message<Int32>>(
        137, "virConnectNumOfDefinedInterfaces")
    public static let connectListDefinedInterfaces = Procedure<Message<Int32>, Message<[String]>>(
        138, "virConnectListDefinedInterfaces")
    public static let interfaceIsActive = Procedure<Message<InterfaceHandle>, Message<Int32>>(
        156, "virInterfaceIsActive")
    public static let interfaceChangeBegin = Procedure<Message<UInt32>, Message<>>(
        220, "virInterfaceChangeBegin", .write)
    public static let interfaceChangeCommit = Procedure<Message<UInt32>, Message<>>(
        221, "virInterfaceChangeCommit", .write)
    public static let interfaceChangeRollback = Procedure<Message<UInt32>, Message<>>(
        222, "virInterfaceChangeRollback", .write)
    public static let connectListAllInterfaces = Procedure<Message<Int32, UInt32>, Message<[InterfaceHandle], UInt32>>(
        284, "virConnectListAllInterfaces")
}
