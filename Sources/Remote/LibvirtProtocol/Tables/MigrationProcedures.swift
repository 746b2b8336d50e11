// SPDX-License-Identifier: Apache-2.0

public import ManagementModel
public import XDRCoding

/// Calls: Migration. Number, the name that clients know the call by, and whether it changes anything; argument and result types are in the order of the wire.
extension Procedures {
    public static let domainMigratePrepare = Procedure<
        Message<String?, UInt64, String?, UInt64>, Message<Bytes, String?>
    >(61, "virDomainMigratePrepare", .write)
    public static let domainMigratePerform = Procedure<
        Message<DomainHandle, Bytes, String, UInt64, String?, UInt64>, Message<>
    >(62, "virDomainMigratePerform", .write)
    public static let domainMigrateFinish = Procedure<Message<String, Bytes, String, UInt64>, Message<DomainHandle>>(
        63, "virDomainMigrateFinish", .write)
    public static let domainMigratePrepare2 = Procedure<
        Message<String?, UInt64, String?, UInt64, String>, Message<Bytes, String?>
    >(108, "virDomainMigratePrepare2", .write)
    public static let domainMigrateFinish2 = Procedure<
        Message<String, Bytes, String, UInt64, Int32>, Message<DomainHandle>
    >(109, "virDomainMigrateFinish2", .write)
    public static let domainMigratePrepareTunnel = Procedure<Message<UInt64, String?, UInt64, String>, Message<>>(
        148, "virDomainMigratePrepareTunnel", .write)
    public static let domainMigrateSetMaxDowntime = Procedure<Message<DomainHandle, UInt64, UInt32>, Message<>>(
        166, "virDomainMigrateSetMaxDowntime", .write)
    public static let domainMigrateSetMaxSpeed = Procedure<Message<DomainHandle, UInt64, UInt32>, Message<>>(
        207, "virDomainMigrateSetMaxSpeed", .write)
    public static let domainMigrateBegin3 = Procedure<
        Message<DomainHandle, String?, UInt64, String?, UInt64>, Message<Bytes, String>
    >(213, "virDomainMigrateBegin3", .write)
    public static let domainMigratePrepare3 = Procedure<
        Message<Bytes, String?, UInt64, String?, UInt64, String>, Message<Bytes, String?>
    >(214, "virDomainMigratePrepare3", .write)
    public static let domainMigratePrepareTunnel3 = Procedure<
        Message<Bytes, UInt64, String?, UInt64, String>, Message<Bytes>
    >(215, "virDomainMigratePrepareTunnel3", .write)
    public static let domainMigratePerform3 = Procedure<
        Message<DomainHandle, String?, Bytes, String?, String?, UInt64, String?, UInt64>, Message<Bytes>
    >(216, "virDomainMigratePerform3", .write)
    public static let domainMigrateFinish3 = Procedure<
        Message<String, Bytes, String?, String?, UInt64, Int32>, Message<DomainHandle, Bytes>
    >(217, "virDomainMigrateFinish3", .write)
    public static let domainMigrateConfirm3 = Procedure<Message<DomainHandle, Bytes, UInt64, Int32>, Message<>>(
        218, "virDomainMigrateConfirm3", .write)
    public static let domainMigrateGetMaxSpeed = Procedure<Message<DomainHandle, UInt32>, Message<UInt64>>(
        242, "virDomainMigrateGetMaxSpeed", .write)
    public static let domainMigrateGetCompressionCache = Procedure<Message<DomainHandle, UInt32>, Message<UInt64>>(
        299, "virDomainMigrateGetCompressionCache")
    public static let domainMigrateSetCompressionCache = Procedure<Message<DomainHandle, UInt64, UInt32>, Message<>>(
        300, "virDomainMigrateSetCompressionCache", .write)
    public static let domainMigrateBegin3Params = Procedure<
        Message<DomainHandle, [TypedParameter], UInt32>, Message<Bytes, String>
    >(302, "virDomainMigrateBegin3Params", .write)
    public static let domainMigratePrepare3Params = Procedure<
        Message<[TypedParameter], Bytes, UInt32>, Message<Bytes, String?>
    >(303, "virDomainMigratePrepare3Params", .write)
    public static let domainMigratePrepareTunnel3Params = Procedure<
        Message<[TypedParameter], Bytes, UInt32>, Message<Bytes>
    >(304, "virDomainMigratePrepareTunnel3Params", .write)
    public static let domainMigratePerform3Params = Procedure<
        Message<DomainHandle, String?, [TypedParameter], Bytes, UInt32>, Message<Bytes>
    >(305, "virDomainMigratePerform3Params", .write)
    public static let domainMigrateFinish3Params = Procedure<
        Message<[TypedParameter], Bytes, UInt32, Int32>, Message<DomainHandle, Bytes>
    >(306, "virDomainMigrateFinish3Params", .write)
    public static let domainMigrateConfirm3Params = Procedure<
        Message<DomainHandle, [TypedParameter], Bytes, UInt32, Int32>, Message<>
    >(307, "virDomainMigrateConfirm3Params", .write)
    public static let domainMigrateStartPostCopy = Procedure<Message<DomainHandle, UInt32>, Message<>>(
        364, "virDomainMigrateStartPostCopy", .write)
    public static let domainMigrateGetMaxDowntime = Procedure<Message<DomainHandle, UInt32>, Message<UInt64>>(
        387, "virDomainMigrateGetMaxDowntime")
}
