// SPDX-License-Identifier: Apache-2.0

public import ManagementModel
public import XDRCoding

/// Calls: Migration. Number, the name that clients know the call by, and whether it changes anything; argument and result types are in the order of the wire.
extension Procedures {
    /// Takes URI, flags, new name, resource; gives cookie, URI.
    public static let domainMigratePrepare = Procedure<
        Message<String?, UInt64, String?, UInt64>, Message<Bytes, String?>
    >(61, "virDomainMigratePrepare", .write)
    /// Takes domain, cookie, URI, flags, new name, resource.
    public static let domainMigratePerform = Procedure<
        Message<DomainHandle, Bytes, String, UInt64, String?, UInt64>, Message<>
    >(62, "virDomainMigratePerform", .write)
    /// Takes new name, cookie, URI, flags; gives domain.
    public static let domainMigrateFinish = Procedure<Message<String, Bytes, String, UInt64>, Message<DomainHandle>>(
        63, "virDomainMigrateFinish", .write)
    /// Takes URI, flags, new name, resource, document; gives cookie, URI.
    public static let domainMigratePrepare2 = Procedure<
        Message<String?, UInt64, String?, UInt64, String>, Message<Bytes, String?>
    >(108, "virDomainMigratePrepare2", .write)
    /// Takes new name, cookie, URI, flags, code; gives domain.
    public static let domainMigrateFinish2 = Procedure<
        Message<String, Bytes, String, UInt64, Int32>, Message<DomainHandle>
    >(109, "virDomainMigrateFinish2", .write)
    /// Takes flags, new name, resource, document.
    public static let domainMigratePrepareTunnel = Procedure<Message<UInt64, String?, UInt64, String>, Message<>>(
        148, "virDomainMigratePrepareTunnel", .write)
    /// Takes domain, downtime, flags.
    public static let domainMigrateSetMaxDowntime = Procedure<Message<DomainHandle, UInt64, UInt32>, Message<>>(
        166, "virDomainMigrateSetMaxDowntime", .write)
    /// Takes domain, bandwidth, flags.
    public static let domainMigrateSetMaxSpeed = Procedure<Message<DomainHandle, UInt64, UInt32>, Message<>>(
        207, "virDomainMigrateSetMaxSpeed", .write)
    /// Takes domain, xmlin, flags, new name, resource; gives cookie, document.
    public static let domainMigrateBegin3 = Procedure<
        Message<DomainHandle, String?, UInt64, String?, UInt64>, Message<Bytes, String>
    >(213, "virDomainMigrateBegin3", .write)
    /// Takes cookie, URI, flags, new name, resource, document; gives cookie, URI.
    public static let domainMigratePrepare3 = Procedure<
        Message<Bytes, String?, UInt64, String?, UInt64, String>, Message<Bytes, String?>
    >(214, "virDomainMigratePrepare3", .write)
    /// Takes cookie, flags, new name, resource, document; gives cookie.
    public static let domainMigratePrepareTunnel3 = Procedure<
        Message<Bytes, UInt64, String?, UInt64, String>, Message<Bytes>
    >(215, "virDomainMigratePrepareTunnel3", .write)
    /// Takes domain, xmlin, cookie, URI of the other server, URI, flags, new name, resource; gives cookie.
    public static let domainMigratePerform3 = Procedure<
        Message<DomainHandle, String?, Bytes, String?, String?, UInt64, String?, UInt64>, Message<Bytes>
    >(216, "virDomainMigratePerform3", .write)
    /// Takes new name, cookie, URI of the other server, URI, flags, cancelled; gives domain, cookie.
    public static let domainMigrateFinish3 = Procedure<
        Message<String, Bytes, String?, String?, UInt64, Int32>, Message<DomainHandle, Bytes>
    >(217, "virDomainMigrateFinish3", .write)
    /// Takes domain, cookie, flags, cancelled.
    public static let domainMigrateConfirm3 = Procedure<Message<DomainHandle, Bytes, UInt64, Int32>, Message<>>(
        218, "virDomainMigrateConfirm3", .write)
    /// Takes domain, flags; gives bandwidth.
    public static let domainMigrateGetMaxSpeed = Procedure<Message<DomainHandle, UInt32>, Message<UInt64>>(
        242, "virDomainMigrateGetMaxSpeed", .write)
    /// Takes domain, flags; gives cache size.
    public static let domainMigrateGetCompressionCache = Procedure<Message<DomainHandle, UInt32>, Message<UInt64>>(
        299, "virDomainMigrateGetCompressionCache")
    /// Takes domain, cache size, flags.
    public static let domainMigrateSetCompressionCache = Procedure<Message<DomainHandle, UInt64, UInt32>, Message<>>(
        300, "virDomainMigrateSetCompressionCache", .write)
    /// Takes domain, parameters, flags; gives cookie, document.
    public static let domainMigrateBegin3Params = Procedure<
        Message<DomainHandle, [TypedParameter], UInt32>, Message<Bytes, String>
    >(302, "virDomainMigrateBegin3Params", .write)
    /// Takes parameters, cookie, flags; gives cookie, URI.
    public static let domainMigratePrepare3Params = Procedure<
        Message<[TypedParameter], Bytes, UInt32>, Message<Bytes, String?>
    >(303, "virDomainMigratePrepare3Params", .write)
    /// Takes parameters, cookie, flags; gives cookie.
    public static let domainMigratePrepareTunnel3Params = Procedure<
        Message<[TypedParameter], Bytes, UInt32>, Message<Bytes>
    >(304, "virDomainMigratePrepareTunnel3Params", .write)
    /// Takes domain, URI of the other server, parameters, cookie, flags; gives cookie.
    public static let domainMigratePerform3Params = Procedure<
        Message<DomainHandle, String?, [TypedParameter], Bytes, UInt32>, Message<Bytes>
    >(305, "virDomainMigratePerform3Params", .write)
    /// Takes parameters, cookie, flags, cancelled; gives domain, cookie.
    public static let domainMigrateFinish3Params = Procedure<
        Message<[TypedParameter], Bytes, UInt32, Int32>, Message<DomainHandle, Bytes>
    >(306, "virDomainMigrateFinish3Params", .write)
    /// Takes domain, parameters, cookie, flags, cancelled.
    public static let domainMigrateConfirm3Params = Procedure<
        Message<DomainHandle, [TypedParameter], Bytes, UInt32, Int32>, Message<>
    >(307, "virDomainMigrateConfirm3Params", .write)
    /// Takes domain, flags.
    public static let domainMigrateStartPostCopy = Procedure<Message<DomainHandle, UInt32>, Message<>>(
        364, "virDomainMigrateStartPostCopy", .write)
    /// Takes domain, flags; gives downtime.
    public static let domainMigrateGetMaxDowntime = Procedure<Message<DomainHandle, UInt32>, Message<UInt64>>(
        387, "virDomainMigrateGetMaxDowntime")
}
