// SPDX-License-Identifier: Apache-2.0

import FaultTestKit
import ManagementModel
import StateStore
import StorageBackends
import Testing
import XMLTree

/// A service with one pool, which starts with it.
private struct Place {
    let folder = "/tmp/roost-pool-faults-\(UniqueID.random())"
    let pools: PoolDriver
    let uuid: UniqueID

    func document(_ name: String, _ uuid: String, mode: String = "0711") -> String {
        """
        <pool type='dir'><name>\(name)</name><uuid>\(uuid)</uuid><target><path>\(folder)/\(name)</path>
        <permissions><mode>\(mode)</mode></permissions></target></pool>
        """
    }

    private static func open(_ folder: String) throws -> PoolDriver {
        try PoolDriver(folder: folder + "/etc", imageTool: "/bin/false", events: EventHub())
    }

    init() throws {
        pools = try Self.open(folder)
        let text = """
            <pool type='dir'><name>p</name><uuid>c7a5fdbd-edaf-9455-926a-d65c16db1809</uuid>
            <target><path>\(folder)/p</path></target></pool>
            """
        uuid = try pools.add(text, persistent: true).uuid
        try pools.build(uuid)
        try pools.setAutostart(uuid, true)
    }

    /// Without the folder, which is another one each time.
    static func findings(_ pools: PoolDriver, _ folder: String) throws -> [String] {
        try pools.all.filter(\.isPersistent).map {
            let text = try pools.document($0.reference.uuid, inactive: true)
            return text.split(separator: "\n").filter { !$0.contains("<path>") }.joined() + "\($0.startsWithService)"
        }.sorted()
    }

    func found() throws -> [String] {
        let again = try Self.open(folder)
        again.recover()
        return try Self.findings(again, folder)
    }

    var leftovers: [String] {
        StateFiles.names(in: folder + "/etc", suffix: ".new")
            + StateFiles.names(in: folder + "/etc/autostart", suffix: ".xml").filter {
                !StateFiles.exists(folder + "/etc/\($0).xml")
            }
    }
}

@Suite struct PoolFaultTests {
    private let run = FaultRun<Place, [String]>(
        prepare: { try Place() }, findings: { try $0.found() }, leftovers: { $0.leftovers },
        present: { try Place.findings($0.pools, $0.folder) })

    @Test func poolsAreDefinedWholeOrNotAtAll() throws {
        #expect(
            try run.problems("define") { place in
                _ = try place.pools.add(
                    place.document("q", "11111111-2222-3333-4444-555555555555"), persistent: true)
            } == [])
        #expect(
            try run.problems("define again") { place in
                _ = try place.pools.add(
                    place.document("p", "c7a5fdbd-edaf-9455-926a-d65c16db1809", mode: "0755"), persistent: true)
            } == [])
    }

    @Test func poolsGoWhole() throws {
        #expect(try run.problems("undefine") { try $0.pools.undefine($0.uuid) } == [])
        #expect(try run.problems("autostart off") { try $0.pools.setAutostart($0.uuid, false) } == [])
    }

    @Test func aShareNeedsItsServer() throws {
        let place = try Place()
        let target = "<target><path>/x</path></target>"
        for source in ["", "<source><dir path='/d'/></source>", "<source><host name='h'/></source>"] {
            #expect(throws: ManagementError.self) {
                try place.pools.add("<pool type='netfs'><name>s</name>\(source)\(target)</pool>", persistent: true)
            }
        }
    }

    @Test func aPoolThatIsMadeAndBuiltHasItsFolder() throws {
        let place = try Place()
        let text = place.document("fresh", "11111111-2222-3333-4444-555555555555")
        #expect(throws: ManagementError.self) { try place.pools.add(text, persistent: false) }
        let made = try place.pools.add(text, persistent: false, builds: true)
        #expect(try place.pools.facts(made.uuid).isActive && StateFiles.exists(place.folder + "/fresh"))
    }
}

@Suite struct PoolSourceTests {
    @Test func volumeGroupsHaveTheirDevices() {
        let output = "  /dev/vdb#one\n  /dev/vdc#two\n  /dev/vdd#one\n  /dev/vde#\nrubbish\n"
        let sources = LogicalVolumes.groups(output).elements
        #expect(sources.map { $0[child: "name"]?.text } == ["one", "two"])
        #expect(sources[0].all("device").map { $0["path"] } == ["/dev/vdb", "/dev/vdd"])
    }

    @Test func sharesAreListed() {
        let sources = PoolDriver.shares("/srv/a 10.0.0.0/8\n/srv/b *\n\nno\n", of: "h").elements
        #expect(sources.map { $0[child: "dir"]?["path"] } == ["/srv/a", "/srv/b"])
        #expect(sources.allSatisfy { $0[child: "host"]?["name"] == "h" })
    }

    @Test(arguments: ["foo", "dir", "netfs"]) func othersAreRefused(_ type: String) throws {
        let pools = try PoolDriver(
            folder: "/tmp/roost-sources-\(UniqueID.random())", imageTool: "/bin/false", events: EventHub())
        #expect(throws: ManagementError.self) { try pools.sources(ofType: type, nil) }
    }
}
