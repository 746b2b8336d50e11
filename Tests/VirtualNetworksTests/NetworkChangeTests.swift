// SPDX-License-Identifier: Apache-2.0

import ManagementModel
import Testing
import VirtualNetworks

@Suite struct NetworkChangeTests {
    private let networks: NetworkDriver
    private let uuid: UniqueID

    private static let document = """
        <network><name>n</name><ip address='10.1.0.1' netmask='255.255.255.0'><dhcp>
        <range start='10.1.0.2' end='10.1.0.9'/><host mac='52:54:00:00:00:01' ip='10.1.0.20'/></dhcp></ip></network>
        """
    private static let (modify, delete, addLast): (UInt32, UInt32, UInt32) = (1, 2, 3)
    private static let (host, range, name): (UInt32, UInt32, UInt32) = (4, 5, 10)

    init() throws {
        let folder = "/tmp/roost-changes-\(UniqueID.random())"
        networks = try NetworkDriver(
            folder: folder + "/etc", runtime: folder + "/run", state: folder + "/lib", events: EventHub())
        uuid = try networks.add(Self.document, persistent: true).uuid
    }

    private func change(_ command: UInt32, _ section: UInt32, _ text: String) throws {
        try networks.update(
            uuid, try NetworkChange(command: command, section: section, parent: -1, text), live: false,
            configuration: true)
    }

    @Test func hostsAreAddedChangedAndRemoved() throws {
        try change(Self.addLast, Self.host, "<host mac='52:54:00:00:00:02' ip='10.1.0.21'/>")
        #expect(try networks.document(uuid).contains("10.1.0.21"))
        try change(Self.modify, Self.host, "<host mac='52:54:00:00:00:02' ip='10.1.0.22'/>")
        #expect(try networks.document(uuid).contains("10.1.0.22"))
        try change(Self.delete, Self.host, "<host mac='52:54:00:00:00:02'/>")
        #expect(try !networks.document(uuid).contains("52:54:00:00:00:02"))
    }

    @Test func rangesAndNamesAreAdded() throws {
        try change(Self.addLast, Self.range, "<range start='10.1.0.30' end='10.1.0.39'/>")
        try change(Self.addLast, Self.name, "<host ip='10.1.0.5'><hostname>five</hostname></host>")
        let text = try networks.document(uuid)
        #expect(text.contains("end='10.1.0.39'") && text.contains("<hostname>five</hostname>"))
    }

    @Test func whatIsThereIsNotAddedAndWhatIsNotIsNotRemoved() {
        #expect(throws: ManagementError.self) {
            try change(Self.addLast, Self.host, "<host mac='52:54:00:00:00:09' ip='10.1.0.20'/>")
        }
        #expect(throws: ManagementError.self) {
            try change(Self.delete, Self.range, "<range start='1.1.1.1' end='1.1.1.2'/>")
        }
        #expect(throws: ManagementError.self) { try change(Self.modify, Self.host, "<host mac='52:54:00:00:00:07'/>") }
    }

    @Test(arguments: [
        (UInt32(9), UInt32(4), "<host/>"), (3, 99, "<host/>"), (3, 4, "<range/>"), (3, 4, "x"), (3, 1, "<bridge/>"),
    ])
    func nonsenseIsRefused(_ command: UInt32, _ section: UInt32, _ text: String) {
        #expect(throws: ManagementError.self) { try change(command, section, text) }
    }

    @Test func whatIsDownHasNothingToChange() throws {
        let change = try NetworkChange(command: 3, section: 10, parent: -1, "<host ip='10.1.0.5'/>")
        #expect { try networks.update(uuid, change, live: true, configuration: false) } throws: {
            ($0 as? ManagementError)?.code == .operationInvalid
        }
    }
}
