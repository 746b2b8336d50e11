// SPDX-License-Identifier: Apache-2.0

public import XDRCoding

/// Calls: Checkpoint. Number, the name that clients know the call by, and whether it changes anything; argument and result types are in the order of the wire.
extension Procedures {
    /// Takes domain, document, flags; gives checkpoint.
    public static let domainCheckpointCreateXML = Procedure<
        Message<DomainHandle, String, UInt32>, Message<CheckpointHandle>
    >(411, "virDomainCheckpointCreateXML", .write)
    /// Takes checkpoint, flags; gives document.
    public static let domainCheckpointGetXMLDesc = Procedure<Message<CheckpointHandle, UInt32>, Message<String>>(
        412, "virDomainCheckpointGetXMLDesc")
    /// Takes domain, whether a list is wanted, flags; gives checkpoints, their count.
    public static let domainListAllCheckpoints = Procedure<
        Message<DomainHandle, Int32, UInt32>, Message<[CheckpointHandle], Int32>
    >(413, "virDomainListAllCheckpoints")
    /// Takes checkpoint, whether a list is wanted, flags; gives checkpoints, their count.
    public static let domainCheckpointListAllChildren = Procedure<
        Message<CheckpointHandle, Int32, UInt32>, Message<[CheckpointHandle], Int32>
    >(414, "virDomainCheckpointListAllChildren")
    /// Takes domain, name, flags; gives checkpoint.
    public static let domainCheckpointLookupByName = Procedure<
        Message<DomainHandle, String, UInt32>, Message<CheckpointHandle>
    >(415, "virDomainCheckpointLookupByName")
    /// Takes checkpoint, flags; gives parent.
    public static let domainCheckpointGetParent = Procedure<
        Message<CheckpointHandle, UInt32>, Message<CheckpointHandle>
    >(416, "virDomainCheckpointGetParent")
    /// Takes checkpoint, flags.
    public static let domainCheckpointDelete = Procedure<Message<CheckpointHandle, UInt32>, Message<>>(
        417, "virDomainCheckpointDelete", .write)
    /// Takes domain, backup document, checkpoint document, flags.
    public static let domainBackupBegin = Procedure<Message<DomainHandle, String, String?, UInt32>, Message<>>(
        421, "virDomainBackupBegin", .write)
    /// Takes domain, flags; gives document.
    public static let domainBackupGetXMLDesc = Procedure<Message<DomainHandle, UInt32>, Message<String>>(
        422, "virDomainBackupGetXMLDesc")
}
