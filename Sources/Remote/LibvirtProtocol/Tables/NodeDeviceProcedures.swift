// SPDX-License-Identifier: Apache-2.0

public import XDRCoding

/// Calls: NodeDevice. Number, the name that clients know the call by, and whether it changes anything; argument and result types are in the order of the wire.
extension Procedures {
    public static let nodeNumOfDevices = Procedure<Message<String?, UInt32>, Message<Int32>>(111, "virNodeNumOfDevices")
    public static let nodeListDevices = Procedure<Message<String?, Int32, UInt32>, Message<[String]>>(
        112, "virNodeListDevices")
    public static let nodeDeviceLookupByName = Procedure<Message<String>, Message<NodeDeviceHandle>>(
        113, "virNodeDeviceLookupByName")
    public static let nodeDeviceGetXMLDesc = Procedure<Message<String, UInt32>, Message<String>>(
        114, "virNodeDeviceGetXMLDesc")
    public static let nodeDeviceGetParent = Procedure<Message<String>, Message<String?>>(115, "virNodeDeviceGetParent")
    public static let nodeDeviceNumOfCaps = Procedure<Message<String>, Message<Int32>>(116, "virNodeDeviceNumOfCaps")
    public static let nodeDeviceListCaps = Procedure<Message<String, Int32>, Message<[String]>>(
        117, "virNodeDeviceListCaps")
    public static let nodeDeviceDettach = Procedure<Message<String>, Message<>>(118, "virNodeDeviceDettach", .write)
    public static let nodeDeviceReAttach = Procedure<Message<String>, Message<>>(119, "virNodeDeviceReAttach", .write)
    public static let nodeDeviceReset = Procedure<Message<String>, Message<>>(120, "virNodeDeviceReset", .write)
    public static let nodeDeviceCreateXML = Procedure<Message<String, UInt32>, Message<NodeDeviceHandle>>(
        123, "virNodeDeviceCreateXML", .write)
    public static let nodeDeviceDestroy = Procedure<Message<String>, Message<>>(124, "virNodeDeviceDestroy", .write)
    public static let connectListAllNodeDevices = Procedure<
        Message<Int32, UInt32>, Message<[NodeDeviceHandle], UInt32>
    >(285, "virConnectListAllNodeDevices")
    public static let nodeDeviceLookupScsiHostByWwn = Procedure<
        Message<String, String, UInt32>, Message<NodeDeviceHandle>
    >(297, "virNodeDeviceLookupSCSIHostByWWN")
    public static let nodeDeviceDetachFlags = Procedure<Message<String, String?, UInt32>, Message<>>(
        301, "virNodeDeviceDetachFlags", .write)
    public static let connectNodeDeviceEventRegisterAny = Procedure<Message<Int32, NodeDeviceHandle?>, Message<Int32>>(
        374, "virConnectNodeDeviceEventRegisterAny")
    public static let connectNodeDeviceEventDeregisterAny = Procedure<Message<Int32>, Message<>>(
        375, "virConnectNodeDeviceEventDeregisterAny")
    public static let nodeDeviceDefineXML = Procedure<Message<String, UInt32>, Message<NodeDeviceHandle>>(
        428, "virNodeDeviceDefineXML", .write)
    public static let nodeDeviceUndefine = Procedure<Message<String, UInt32>, Message<>>(
        429, "virNodeDeviceUndefine", .write)
    public static let nodeDeviceCreate = Procedure<Message<String, UInt32>, Message<>>(
        430, "virNodeDeviceCreate", .write)
    public static let nodeDeviceGetAutostart = Procedure<Message<String>, Message<Int32>>(
        433, "virNodeDeviceGetAutostart", .write)
    public static let nodeDeviceSetAutostart = Procedure<Message<String, Int32>, Message<>>(
        434, "virNodeDeviceSetAutostart", .write)
    public static let nodeDeviceIsPersistent = Procedure<Message<String>, Message<Int32>>(
        435, "virNodeDeviceIsPersistent")
    public static let nodeDeviceIsActive = Procedure<Message<String>, Message<Int32>>(436, "virNodeDeviceIsActive")
}
