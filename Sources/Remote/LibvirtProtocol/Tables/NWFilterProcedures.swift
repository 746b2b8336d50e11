// SPDX-License-Identifier: Apache-2.0

public import ManagementModel
public import XDRCoding

/// Calls: NWFilter. Number, the name that clients know the call by, and whether it changes anything; argument and result types are in the order of the wire.
extension Procedures {
    public static let nwFilterLookupByName = Procedure<Message<String>, Message<NWFilterHandle>>(
        175, "virNWFilterLookupByName")
    public static let nwFilterLookupByUUID = Procedure<Message<UniqueID>, Message<NWFilterHandle>>(
        176, "virNWFilterLookupByUUID")
    public static let nwFilterGetXMLDesc = Procedure<Message<NWFilterHandle, UInt32>, Message<String>>(
        177, "virNWFilterGetXMLDesc")
    public static let connectNumOfNwfilters = Procedure<Message<>, Message<Int32>>(178, "virConnectNumOfNWFilters")
    public static let connectListNwfilters = Procedure<Message<Int32>, Message<[String]>>(
        179, "virConnectListNWFilters")
    public static let nwFilterDefineXML = Procedure<Message<String>, Message<NWFilterHandle>>(
        180, "virNWFilterDefineXML", .write)
    public static let nwFilterUndefine = Procedure<Message<NWFilterHandle>, Message<>>(
        181, "virNWFilterUndefine", .write)
    public static let connectListAllNwfilters = Procedure<Message<Int32, UInt32>, Message<[NWFilterHandle], UInt32>>(
        286, "virConnectListAllNWFilters")
    public static let nwFilterBindingLookupByPortDev = Procedure<Message<String>, Message<NWFilterBindingHandle>>(
        397, "virNWFilterBindingLookupByPortDev")
    public static let nwFilterBindingGetXMLDesc = Procedure<Message<NWFilterBindingHandle, UInt32>, Message<String>>(
        398, "virNWFilterBindingGetXMLDesc")
    public static let nwFilterBindingCreateXML = Procedure<Message<String, UInt32>, Message<NWFilterBindingHandle>>(
        399, "virNWFilterBindingCreateXML", .write)
    public static let nwFilterBindingDelete = Procedure<Message<NWFilterBindingHandle>, Message<>>(
        400, "virNWFilterBindingDelete", .write)
    public static let connectListAllNwfilterBindings = Procedure<
        Message<Int32, UInt32>, Message<[NWFilterBindingHandle], UInt32>
    >(401, "virConnectListAllNWFilterBindings")
    public static let nwFilterDefineXMLFlags = Procedure<Message<String, UInt32>, Message<NWFilterHandle>>(
        431, "virNWFilterDefineXMLFlags", .write)
}
