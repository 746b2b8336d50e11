// SPDX-License-Identifier: Apache-2.0

public import XDRCoding

/// Calls: NodeDevice. Number, the name that clients know the call by, and whether it changes anything; argument and result types are in the order of the wire.
extension Procedures {
    /// Takes capability, flags; gives count.
    public static let nodeNumOfDevices = Procedure<Message<String?, UInt32>, Message<Int32>>(111, "virNodeNumOfDevices")
    /// Takes capability, most names, flags; gives names.
    public static let nodeListDevices = Procedure<Message<String?, Int32, UInt32>, Message<[String]>>(
        112, "virNodeListDevices")
    /// Takes name; gives device.
    public static let nodeDeviceLookupByName = Procedure<Message<String>, Message<NodeDeviceHandle>>(
        113, "virNodeDeviceLookupByName")
    /// Takes name, flags; gives document.
    public static let nodeDeviceGetXMLDesc = Procedure<Message<String, UInt32>, Message<String>>(
        114, "virNodeDeviceGetXMLDesc")
    /// Takes name; gives parent name.
    public static let nodeDeviceGetParent = Procedure<Message<String>, Message<String?>>(115, "virNodeDeviceGetParent")
    /// Takes name; gives count.
    public static let nodeDeviceNumOfCaps = Procedure<Message<String>, Message<Int32>>(116, "virNodeDeviceNumOfCaps")
    /// Takes name, most names; gives names.
    public static let nodeDeviceListCaps = Procedure<Message<String, Int32>, Message<[String]>>(
        117, "virNodeDeviceListCaps")
    /// Takes name.
    public static let nodeDeviceDettach = Procedure<Message<String>, Message<>>(118, "virNodeDeviceDettach", .write)
    /// Takes name.
    public static let nodeDeviceReAttach = Procedure<Message<String>, Message<>>(119, "virNodeDeviceReAttach", .write)
    /// Takes name.
    public static let nodeDeviceReset = Procedure<Message<String>, Message<>>(120, "virNodeDeviceReset", .write)
    /// Takes document, flags; gives device.
    public static let nodeDeviceCreateXML = Procedure<Message<String, UInt32>, Message<NodeDeviceHandle>>(
        123, "virNodeDeviceCreateXML", .write)
    /// Takes name.
    public static let nodeDeviceDestroy = Procedure<Message<String>, Message<>>(124, "virNodeDeviceDestroy", .write)
    /// Takes whether a list is wanted, flags; gives devices, their count.
    public static let connectListAllNodeDevices = Procedure<
        Message<Int32, UInt32>, Message<[NodeDeviceHandle], UInt32>
    >(285, "virConnectListAllNodeDevices")
    /// Takes WWNN, WWPN, flags; gives device.
    public static let nodeDeviceLookupScsiHostByWwn = Procedure<
        Message<String, String, UInt32>, Message<NodeDeviceHandle>
    >(297, "virNodeDeviceLookupSCSIHostByWWN")
    /// Takes name, driver name, flags.
    public static let nodeDeviceDetachFlags = Procedure<Message<String, String?, UInt32>, Message<>>(
        301, "virNodeDeviceDetachFlags", .write)
    /// Takes event, device; gives callback.
    public static let connectNodeDeviceEventRegisterAny = Procedure<Message<Int32, NodeDeviceHandle?>, Message<Int32>>(
        374, "virConnectNodeDeviceEventRegisterAny")
    /// Takes callback.
    public static let connectNodeDeviceEventDeregisterAny = Procedure<Message<Int32>, Message<>>(
        375, "virConnectNodeDeviceEventDeregisterAny")
    /// Takes document, flags; gives device.
    public static let nodeDeviceDefineXML = Procedure<Message<String, UInt32>, Message<NodeDeviceHandle>>(
        428, "virNodeDeviceDefineXML", .write)
    /// Takes name, flags.
    public static let nodeDeviceUndefine = Procedure<Message<String, UInt32>, Message<>>(
        429, "virNodeDeviceUndefine", .write)
    /// Takes name, flags.
    public static let nodeDeviceCreate = Procedure<Message<String, UInt32>, Message<>>(
        430, "virNodeDeviceCreate", .write)
    /// Takes name; gives autostart.
    public static let nodeDeviceGetAutostart = Procedure<Message<String>, Message<Int32>>(
        433, "virNodeDeviceGetAutostart", .write)
    /// Takes name, autostart.
    public static let nodeDeviceSetAutostart = Procedure<Message<String, Int32>, Message<>>(
        434, "virNodeDeviceSetAutostart", .write)
    /// Takes name; gives persistent.
    public static let nodeDeviceIsPersistent = Procedure<Message<String>, Message<Int32>>(
        435, "virNodeDeviceIsPersistent")
    /// Takes name; gives active.
    public static let nodeDeviceIsActive = Procedure<Message<String>, Message<Int32>>(436, "virNodeDeviceIsActive")
}
