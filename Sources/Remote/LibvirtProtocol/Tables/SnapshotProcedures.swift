// SPDX-License-Identifier: Apache-2.0

public import XDRCoding

/// Calls: Snapshot. Number, the name that clients know the call by, and whether it changes anything; argument and result types are in the order of the wire.
extension Procedures {
    public static let domainSnapshotCreateXML = Procedure<
        Message<DomainHandle, String, UInt32>, Message<SnapshotHandle>
    >(185, "virDomainSnapshotCreateXML", .write)
    public static let domainSnapshotGetXMLDesc = Procedure<Message<SnapshotHandle, UInt32>, Message<String>>(
        186, "virDomainSnapshotGetXMLDesc")
    public static let domainSnapshotNum = Procedure<Message<DomainHandle, UInt32>, Message<Int32>>(
        187, "virDomainSnapshotNum")
    public static let domainSnapshotListNames = Procedure<Message<DomainHandle, Int32, UInt32>, Message<[String]>>(
        188, "virDomainSnapshotListNames")
    public static let domainSnapshotLookupByName = Procedure<
        Message<DomainHandle, String, UInt32>, Message<SnapshotHandle>
    >(189, "virDomainSnapshotLookupByName")
    public static let domainHasCurrentSnapshot = Procedure<Message<DomainHandle, UInt32>, Message<Int32>>(
        190, "virDomainHasCurrentSnapshot")
    public static let domainSnapshotCurrent = Procedure<Message<DomainHandle, UInt32>, Message<SnapshotHandle>>(
        191, "virDomainSnapshotCurrent")
    public static let domainRevertToSnapshot = Procedure<Message<SnapshotHandle, UInt32>, Message<>>(
        192, "virDomainRevertToSnapshot", .write)
    public static let domainSnapshotDelete = Procedure<Message<SnapshotHandle, UInt32>, Message<>>(
        193, "virDomainSnapshotDelete", .write)
    public static let domainSnapshotGetParent = Procedure<Message<SnapshotHandle, UInt32>, Message<SnapshotHandle>>(
        244, "virDomainSnapshotGetParent")
    public static let domainSnapshotNumChildren = Procedure<Message<SnapshotHandle, UInt32>, Message<Int32>>(
        246, "virDomainSnapshotNumChildren")
    public static let domainSnapshotListChildrenNames = Procedure<
        Message<SnapshotHandle, Int32, UInt32>, Message<[String]>
    >(247, "virDomainSnapshotListChildrenNames")
    public static let domainSnapshotIsCurrent = Procedure<Message<SnapshotHandle, UInt32>, Message<Int32>>(
        271, "virDomainSnapshotIsCurrent")
    public static let domainSnapshotHasMetadata = Procedure<Message<SnapshotHandle, UInt32>, Message<Int32>>(
        272, "virDomainSnapshotHasMetadata")
    public static let domainListAllSnapshots = Procedure<
        Message<DomainHandle, Int32, UInt32>, Message<[SnapshotHandle], Int32>
    >(274, "virDomainListAllSnapshots")
    public static let domainSnapshotListAllChildren = Procedure<
        Message<SnapshotHandle, Int32, UInt32>, Message<[SnapshotHandle], Int32>
    >(275, "virDomainSnapshotListAllChildren")
}
