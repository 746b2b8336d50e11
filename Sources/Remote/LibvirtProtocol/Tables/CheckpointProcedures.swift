// SPDX-License-Identifier: Apache-2.0

public import XDRCoding

/// Calls: Checkpoint. Number, the name that clients know the call by, and whether it changes anything; argument and result types are in the order of the wire.
extension Procedures {
    public static let domainCheckpointCreateXML = Procedure<
        Message<DomainHandle, String, UInt32>, Message<CheckpointHandle>
    >(411, "virDomainCheckpointCreateXML", .write)
    public static let domainCheckpointGetXMLDesc = Procedure<Message<CheckpointHandle, UInt32>, Message<String>>(
        412, "virDomainCheckpointGetXMLDesc")
    public static let domainListAllCheckpoints = Procedure<
        Message<DomainHandle, Int32, UInt32>, Message<[CheckpointHandle], Int32>
    >(413, "virDomainListAllCheckpoints")
    public static let domainCheckpointListAllChildren = Procedure<
        Message<CheckpointHandle, Int32, UInt32>, Message<[CheckpointHandle], Int32>
    >(414, "virDomainCheckpointListAllChildren")
    public static let domainCheckpointLookupByName = Procedure<
        Message<DomainHandle, String, UInt32>, Message<CheckpointHandle>
    >(415, "virDomainCheckpointLookupByName")
    public static let domainCheckpointGetParent = Procedure<
        Message<CheckpointHandle, UInt32>, Message<CheckpointHandle>
    >(416, "virDomainCheckpointGetParent")
    public static let domainCheckpointDelete = Procedure<Message<CheckpointHandle, UInt32>, Message<>>(
        417, "virDomainCheckpointDelete", .write)
    public static let domainBackupBegin = Procedure<Message<DomainHandle, String, String?, UInt32>, Message<>>(
        421, "virDomainBackupBegin", .write)
    public static let domainBackupGetXMLDesc = Procedure<Message<DomainHandle, UInt32>, Message<String>>(
        422, "virDomainBackupGetXMLDesc")
}
