// SPDX-License-Identifier: Apache-2.0

import FaultTestKit
import ManagementModel
import SecretStore
import StateStore
import Testing

private let identity = "c7a5fdbd-edaf-9455-926a-d65c16db1809"

/// A service with one secret that has a value.
private struct Place {
    let folder = "/tmp/roost-secret-faults-\(UniqueID.random())"
    let secrets: SecretDriver
    let uuid: UniqueID

    static func document(_ text: String, ephemeral: String = "no") -> String {
        """
        <secret ephemeral='\(ephemeral)'><uuid>\(identity)</uuid><description>\(text)</description>
        <usage type='volume'><volume>/v</volume></usage></secret>
        """
    }

    init() throws {
        secrets = try SecretDriver(folder: folder, events: EventHub())
        uuid = try secrets.define(Self.document("old")).uuid
        try secrets.setValue(uuid, [1, 2, 3])
    }

    static func findings(_ secrets: SecretDriver) throws -> [String] {
        try secrets.all.map {
            try secrets.document($0.uuid) + "\((try? secrets.value($0.uuid)) ?? [])"
        }.sorted()
    }

    func found() throws -> [String] {
        let again = try SecretDriver(folder: folder, events: EventHub())
        again.recover()
        return try Self.findings(again)
    }

    /// Files besides those of secrets that there are.
    var leftovers: [String] {
        StateFiles.names(in: folder, suffix: ".new")
            + StateFiles.names(in: folder, suffix: ".base64").filter { !StateFiles.exists(folder + "/\($0).xml") }
    }
}

@Suite struct SecretFaultTests {
    private let run = FaultRun<Place, [String]>(
        prepare: { try Place() }, findings: { try $0.found() }, leftovers: { $0.leftovers },
        present: { try Place.findings($0.secrets) })

    private func check(_ name: String, _ operation: (Place) throws -> Void) throws {
        #expect(try run.problems(name, operation) == [])
    }

    @Test func aSecretIsDefined() throws {
        try check("define") { place in
            _ = try place.secrets.define(
                "<secret><uuid>11111111-2222-3333-4444-555555555555</uuid><usage type='ceph'><name>x</name></usage></secret>"
            )
        }
    }

    @Test func aSecretIsDefinedAgain() throws {
        try check("define again") { _ = try $0.secrets.define(Place.document("new")) }
    }

    @Test func aValueIsSet() throws { try check("set") { try $0.secrets.setValue($0.uuid, [9]) } }

    @Test func aSecretGoesWithItsValue() throws { try check("undefine") { try $0.secrets.undefine($0.uuid) } }
}
