// SPDX-License-Identifier: Apache-2.0

import ManagementModel
import SecretStore
import Testing

@Suite struct SecretDriverTests {
    private let folder = "/tmp/roost-secrets-\(UniqueID.random())"
    private let secrets: SecretDriver

    init() throws { secrets = try SecretDriver(folder: folder, events: EventHub()) }

    private func document(_ usage: String, isPrivate: Bool = false, ephemeral: Bool = false) -> String {
        """
        <secret ephemeral='\(ephemeral ? "yes" : "no")' private='\(isPrivate ? "yes" : "no")'>
        <usage type='volume'><volume>\(usage)</volume></usage></secret>
        """
    }

    @Test func aSecretIsFoundAgainWithItsValue() throws {
        let facts = try secrets.define(document("/a"))
        try secrets.setValue(facts.uuid, [0, 1, 255])
        let again = try SecretDriver(folder: folder, events: EventHub())
        again.recover()
        #expect(try again.find(usageType: 1, "/a").uuid == facts.uuid)
        #expect(try again.value(facts.uuid) == [0, 1, 255])
        try again.undefine(facts.uuid)
        #expect { try again.find(facts.uuid) } throws: { ($0 as? ManagementError)?.code == .noSecret }
    }

    @Test func privateValuesAreForTheServiceAlone() throws {
        let facts = try secrets.define(document("/a", isPrivate: true))
        try secrets.setValue(facts.uuid, [7])
        #expect { try secrets.value(facts.uuid) } throws: { ($0 as? ManagementError)?.code == .invalidSecret }
        #expect(try secrets.value(facts.uuid, internally: true) == [7])
    }

    @Test func whatIsEphemeralIsGoneWithTheService() throws {
        _ = try secrets.define(document("/a", ephemeral: true))
        let again = try SecretDriver(folder: folder, events: EventHub())
        again.recover()
        #expect(again.all.isEmpty)
    }

    @Test func oneUseHasOneSecret() throws {
        _ = try secrets.define(document("/a"))
        #expect(throws: ManagementError.self) { try secrets.define(document("/a")) }
    }

    @Test(arguments: [
        "", "<x/>", "<secret><uuid>1</uuid></secret>", "<secret><usage type='volume'/></secret>",
        "<secret private='x'/>",
    ])
    func badDocumentsAreRefused(_ text: String) {
        #expect(throws: ManagementError.self) { try secrets.define(text) }
    }
}
