// SPDX-License-Identifier: Apache-2.0

public import XDRCoding

/// Calls: Snapshot. Number, the name that clients know the call by, and whether it changes anything; argument and result types are in the order of the wire.
extension Procedures {
    /// Takes domain, document, flags; gives snapshot.
    public static let domainSnapshotCreateXML = Procedure<
        Message<DomainHandle, String, UInt32>, Message<SnapshotHandle>
    >(185, "virDomainSnapshotCreateXML", .write)
    /// Takes snapshot, flags; gives document.
    public static let domainSnapshotGetXMLDesc = Procedure<Message<SnapshotHandle, UInt32>, Message<String>>(
        186, "virDomainSnapshotGetXMLDesc")
    /// Takes domain, flags; gives count.
    public static let domainSnapshotNum = Procedure<Message<DomainHandle, UInt32>, Message<Int32>>(
        187, "virDomainSnapshotNum")
    /// Takes domain, most names, flags; gives names.
    public static let domainSnapshotListNames = Procedure<Message<DomainHandle, Int32, UInt32>, Message<[String]>>(
        188, "virDomainSnapshotListNames")
    /// Takes domain, name, flags; gives snapshot.
    public static let domainSnapshotLookupByName = Procedure<
        Message<DomainHandle, String, UInt32>, Message<SnapshotHandle>
    >(189, "virDomainSnapshotLookupByName")
    /// Takes domain, flags; gives result.
    public static let domainHasCurrentSnapshot = Procedure<Message<DomainHandle, UInt32>, Message<Int32>>(
        190, "virDomainHasCurrentSnapshot")
    /// Takes domain, flags; gives snapshot.
    public static let domainSnapshotCurrent = Procedure<Message<DomainHandle, UInt32>, Message<SnapshotHandle>>(
        191, "virDomainSnapshotCurrent")
    /// Takes snapshot, flags.
    public static let domainRevertToSnapshot = Procedure<Message<SnapshotHandle, UInt32>, Message<>>(
        192, "virDomainRevertToSnapshot", .write)
    /// Takes snapshot, flags.
    public static let domainSnapshotDelete = Procedure<Message<SnapshotHandle, UInt32>, Message<>>(
        193, "virDomainSnapshotDelete", .write)
    /// Takes snapshot, flags; gives snapshot.
    public static let domainSnapshotGetParent = Procedure<Message<SnapshotHandle, UInt32>, Message<SnapshotHandle>>(
        244, "virDomainSnapshotGetParent")
    /// Takes snapshot, flags; gives count.
    public static let domainSnapshotNumChildren = Procedure<Message<SnapshotHandle, UInt32>, Message<Int32>>(
        246, "virDomainSnapshotNumChildren")
    /// Takes snapshot, most names, flags; gives names.
    public static let domainSnapshotListChildrenNames = Procedure<
        Message<SnapshotHandle, Int32, UInt32>, Message<[String]>
    >(247, "virDomainSnapshotListChildrenNames")
    /// Takes snapshot, flags; gives current.
    public static let domainSnapshotIsCurrent = Procedure<Message<SnapshotHandle, UInt32>, Message<Int32>>(
        271, "virDomainSnapshotIsCurrent")
    /// Takes snapshot, flags; gives metadata.
    public static let domainSnapshotHasMetadata = Procedure<Message<SnapshotHandle, UInt32>, Message<Int32>>(
        272, "virDomainSnapshotHasMetadata")
    /// Takes domain, whether a list is wanted, flags; gives snapshots, their count.
    public static let domainListAllSnapshots = Procedure<
        Message<DomainHandle, Int32, UInt32>, Message<[SnapshotHandle], Int32>
    >(274, "virDomainListAllSnapshots")
    /// Takes snapshot, whether a list is wanted, flags; gives snapshots, their count.
    public static let domainSnapshotListAllChildren = Procedure<
        Message<SnapshotHandle, Int32, UInt32>, Message<[SnapshotHandle], Int32>
    >(275, "virDomainSnapshotListAllChildren")
}
