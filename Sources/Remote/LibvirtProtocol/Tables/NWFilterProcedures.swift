// SPDX-License-Identifier: Apache-2.0

public import ManagementModel
public import XDRCoding

/// Calls: NWFilter. Number, the name that clients know the call by, and whether it changes anything; argument and result types are in the order of the wire.
extension Procedures {
    /// Takes name; gives filter.
    public static let nwFilterLookupByName = Procedure<Message<String>, Message<NWFilterHandle>>(
        175, "virNWFilterLookupByName")
    /// Takes UUID; gives filter.
    public static let nwFilterLookupByUUID = Procedure<Message<UniqueID>, Message<NWFilterHandle>>(
        176, "virNWFilterLookupByUUID")
    /// Takes filter, flags; gives document.
    public static let nwFilterGetXMLDesc = Procedure<Message<NWFilterHandle, UInt32>, Message<String>>(
        177, "virNWFilterGetXMLDesc")
    /// Takes nothing; gives count.
    public static let connectNumOfNwfilters = Procedure<Message<>, Message<Int32>>(178, "virConnectNumOfNWFilters")
    /// Takes most names; gives names.
    public static let connectListNwfilters = Procedure<Message<Int32>, Message<[String]>>(
        179, "virConnectListNWFilters")
    /// Takes document; gives filter.
    public static let nwFilterDefineXML = Procedure<Message<String>, Message<NWFilterHandle>>(
        180, "virNWFilterDefineXML", .write)
    /// Takes filter.
    public static let nwFilterUndefine = Procedure<Message<NWFilterHandle>, Message<>>(
        181, "virNWFilterUndefine", .write)
    /// Takes whether a list is wanted, flags; gives filters, their count.
    public static let connectListAllNwfilters = Procedure<Message<Int32, UInt32>, Message<[NWFilterHandle], UInt32>>(
        286, "virConnectListAllNWFilters")
    /// Takes name; gives filter.
    public static let nwFilterBindingLookupByPortDev = Procedure<Message<String>, Message<NWFilterBindingHandle>>(
        397, "virNWFilterBindingLookupByPortDev")
    /// Takes filter, flags; gives document.
    public static let nwFilterBindingGetXMLDesc = Procedure<Message<NWFilterBindingHandle, UInt32>, Message<String>>(
        398, "virNWFilterBindingGetXMLDesc")
    /// Takes document, flags; gives filter.
    public static let nwFilterBindingCreateXML = Procedure<Message<String, UInt32>, Message<NWFilterBindingHandle>>(
        399, "virNWFilterBindingCreateXML", .write)
    /// Takes filter.
    public static let nwFilterBindingDelete = Procedure<Message<NWFilterBindingHandle>, Message<>>(
        400, "virNWFilterBindingDelete", .write)
    /// Takes whether a list is wanted, flags; gives bindings, their count.
    public static let connectListAllNwfilterBindings = Procedure<
        Message<Int32, UInt32>, Message<[NWFilterBindingHandle], UInt32>
    >(401, "virConnectListAllNWFilterBindings")
    /// Takes document, flags; gives filter.
    public static let nwFilterDefineXMLFlags = Procedure<Message<String, UInt32>, Message<NWFilterHandle>>(
        431, "virNWFilterDefineXMLFlags", .write)
}
