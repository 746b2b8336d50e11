// SPDX-License-Identifier: Apache-2.0

import FaultTestKit
import ManagementModel
import StateStore
import Testing
import VirtualNetworks

/// A service with one network, which is not up.
private struct Place {
    let folder = "/tmp/roost-network-faults-\(UniqueID.random())"
    let networks: NetworkDriver
    let uuid: UniqueID

    static func document(_ name: String, _ uuid: String, host: String = "") -> String {
        """
        <network><name>\(name)</name><uuid>\(uuid)</uuid><bridge name='vbr-\(name)'/><mac address='52:54:00:00:00:01'/>
        <ip address='192.168.99.1' netmask='255.255.255.0'><dhcp>\(host)</dhcp></ip></network>
        """
    }

    private static func open(_ folder: String) throws -> NetworkDriver {
        try NetworkDriver(
            folder: folder + "/etc", runtime: folder + "/run", state: folder + "/lib", events: EventHub())
    }

    init() throws {
        networks = try Self.open(folder)
        uuid = try networks.add(Self.document("n", "c7a5fdbd-edaf-9455-926a-d65c16db1809"), persistent: true).uuid
    }

    static func findings(_ networks: NetworkDriver) throws -> [String] {
        try networks.all.map { try networks.document($0.reference.uuid) }.sorted()
    }

    func found() throws -> [String] {
        let again = try Self.open(folder)
        again.recover()
        return try Self.findings(again)
    }

    var leftovers: [String] {
        StateFiles.names(in: folder + "/etc", suffix: ".new")
            + StateFiles.names(in: folder + "/etc/autostart", suffix: ".xml").filter {
                !StateFiles.exists(folder + "/etc/\($0).xml")
            }
    }
}

@Suite struct NetworkFaultTests {
    private let run = FaultRun<Place, [String]>(
        prepare: { try Place() }, findings: { try $0.found() }, leftovers: { $0.leftovers },
        present: { try Place.findings($0.networks) })

    @Test func networksAreDefinedWholeOrNotAtAll() throws {
        #expect(
            try run.problems("define") { place in
                _ = try place.networks.add(
                    Place.document("m", "11111111-2222-3333-4444-555555555555"), persistent: true)
            } == [])
        #expect(
            try run.problems("define again") { place in
                _ = try place.networks.add(
                    Place.document(
                        "n", "c7a5fdbd-edaf-9455-926a-d65c16db1809",
                        host: "<host mac='52:54:00:00:00:02' ip='192.168.99.7'/>"), persistent: true)
            } == [])
    }

    @Test func networksGoWhole() throws {
        #expect(try run.problems("undefine") { try $0.networks.undefine($0.uuid) } == [])
    }

    @Test func aChangeOfADefinitionIsWhole() throws {
        #expect(
            try run.problems("update") { place in
                let change = try NetworkChange(
                    command: 3, section: 4, parent: -1, "<host mac='52:54:00:00:00:02' ip='192.168.99.7'/>")
                try place.networks.update(place.uuid, change, live: false, configuration: true)
            } == [])
    }

    @Test func namesArePrintedInLibvirtsOrder() throws {
        let place = try Place()
        let uuid = try place.networks.add(
            """
            <network><name>o</name><portgroup name='p'/><dns><host ip='192.168.98.9'><hostname>h</hostname></host>
            <txt name='a' value='b'/></dns><ip address='192.168.98.1' prefix='24'/></network>
            """, persistent: true
        ).uuid
        let text = try place.networks.document(uuid)
        let places = ["<txt", "<host ip", "<ip address", "<portgroup"].compactMap { text.range(of: $0) }
        #expect(places.count == 4 && places == places.sorted())
    }
}

extension String {
    /// Where a text begins, in bytes.
    fileprivate func range(of part: String) -> Int? {
        let (all, wanted) = (Array(utf8), Array(part.utf8))
        return all.indices.first { all[$0...].starts(with: wanted) }
    }
}
