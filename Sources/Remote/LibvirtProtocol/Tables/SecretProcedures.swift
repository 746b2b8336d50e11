// SPDX-License-Identifier: Apache-2.0

public import ManagementModel
public import XDRCoding

/// Calls: Secret. Number, the name that clients know the call by, and whether it changes anything; argument and result types are in the order of the wire.
extension Procedures {
    public static let connectNumOfSecrets = Procedure<Message<>, Message<Int32>>(139, "virConnectNumOfSecrets")
    public static let connectListSecrets = Procedure<Message<Int32>, Message<[String]>>(140, "virConnectListSecrets")
    public static let secretLookupByUUID = Procedure<Message<UniqueID>, Message<SecretHandle>>(
        141, "virSecretLookupByUUID")
    public static let secretDefineXML = Procedure<Message<String, UInt32>, Message<SecretHandle>>(
        142, "virSecretDefineXML", .write)
    public static let secretGetXMLDesc = Procedure<Message<SecretHandle, UInt32>, Message<String>>(
        143, "virSecretGetXMLDesc")
    public static let secretSetValue = Procedure<Message<SecretHandle, Bytes, UInt32>, Message<>>(
        144, "virSecretSetValue", .write)
    public static let secretGetValue = Procedure<Message<SecretHandle, UInt32>, Message<Bytes>>(
        145, "virSecretGetValue", .write)
    public static let secretUndefine = Procedure<Message<SecretHandle>, Message<>>(146, "virSecretUndefine", .write)
    public static let secretLookupByUsage = Procedure<Message<Int32, String>, Message<SecretHandle>>(
        147, "virSecretLookupByUsage")
    public static let connectListAllSecrets = Procedure<Message<Int32, UInt32>, Message<[SecretHandle], UInt32>>(
        287, "virConnectListAllSecrets")
    public static let connectSecretEventRegisterAny = Procedure<Message<Int32, SecretHandle?>, Message<Int32>>(
        380, "virConnectSecretEventRegisterAny")
    public static let connectSecretEventDeregisterAny = Procedure<Message<Int32>, Message<>>(
        381, "virConnectSecretEventDeregisterAny")
}
