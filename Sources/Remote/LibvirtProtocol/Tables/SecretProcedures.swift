// SPDX-License-Identifier: Apache-2.0

public import ManagementModel
public import XDRCoding

/// Calls: Secret. Number, the name that clients know the call by, and whether it changes anything; argument and result types are in the order of the wire.
extension Procedures {
    /// Takes nothing; gives count.
    public static let connectNumOfSecrets = Procedure<Message<>, Message<Int32>>(139, "virConnectNumOfSecrets")
    /// Takes maxuuids; gives uuids.
    public static let connectListSecrets = Procedure<Message<Int32>, Message<[String]>>(140, "virConnectListSecrets")
    /// Takes UUID; gives secret.
    public static let secretLookupByUUID = Procedure<Message<UniqueID>, Message<SecretHandle>>(
        141, "virSecretLookupByUUID")
    /// Takes document, flags; gives secret.
    public static let secretDefineXML = Procedure<Message<String, UInt32>, Message<SecretHandle>>(
        142, "virSecretDefineXML", .write)
    /// Takes secret, flags; gives document.
    public static let secretGetXMLDesc = Procedure<Message<SecretHandle, UInt32>, Message<String>>(
        143, "virSecretGetXMLDesc")
    /// Takes secret, value, flags.
    public static let secretSetValue = Procedure<Message<SecretHandle, Bytes, UInt32>, Message<>>(
        144, "virSecretSetValue", .write)
    /// Takes secret, flags; gives value.
    public static let secretGetValue = Procedure<Message<SecretHandle, UInt32>, Message<Bytes>>(
        145, "virSecretGetValue", .write)
    /// Takes secret.
    public static let secretUndefine = Procedure<Message<SecretHandle>, Message<>>(146, "virSecretUndefine", .write)
    /// Takes usage type, usage id; gives secret.
    public static let secretLookupByUsage = Procedure<Message<Int32, String>, Message<SecretHandle>>(
        147, "virSecretLookupByUsage")
    /// Takes whether a list is wanted, flags; gives secrets, their count.
    public static let connectListAllSecrets = Procedure<Message<Int32, UInt32>, Message<[SecretHandle], UInt32>>(
        287, "virConnectListAllSecrets")
    /// Takes event, secret; gives callback.
    public static let connectSecretEventRegisterAny = Procedure<Message<Int32, SecretHandle?>, Message<Int32>>(
        380, "virConnectSecretEventRegisterAny")
    /// Takes callback.
    public static let connectSecretEventDeregisterAny = Procedure<Message<Int32>, Message<>>(
        381, "virConnectSecretEventDeregisterAny")
}
