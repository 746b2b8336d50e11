// SPDX-License-Identifier: Apache-2.0

import MachineDriver
import ManagementModel
import Testing
import XMLTree

@Suite struct VLANPortTests {
    private func port(_ text: String) throws -> VLANPort { try VLANPort(XMLParser.parse(text)) }

    private func lines(_ text: String) throws -> [String] {
        try port(text).commands(device: "vnet0", bridge: "br0").dropFirst(2).map { $0.arguments.joined(separator: " ") }
    }

    @Test func oneTagIsAPortOfOneVLAN() throws {
        #expect(try lines("<vlan><tag id='42'/></vlan>") == ["vlan add dev vnet0 vid 42 pvid untagged"])
        let first = try port("<vlan><tag id='42'/></vlan>").commands(device: "vnet0", bridge: "br0")
        #expect(first[0].arguments.suffix(2) == ["vlan_filtering", "1"])
        #expect(first[1].arguments == ["vlan", "del", "dev", "vnet0", "vid", "1"])
    }

    @Test func severalTagsAreATrunk() throws {
        #expect(
            try lines("<vlan trunk='yes'><tag id='42'/><tag id='47'/></vlan>") == [
                "vlan add dev vnet0 vid 42", "vlan add dev vnet0 vid 47",
            ])
        #expect(
            try lines("<vlan><tag id='1'/><tag id='2' nativeMode='untagged'/></vlan>") == [
                "vlan add dev vnet0 vid 1", "vlan add dev vnet0 vid 2 pvid untagged",
            ])
        #expect(
            try lines("<vlan><tag id='1'/><tag id='2' nativeMode='tagged'/></vlan>").last
                == "vlan add dev vnet0 vid 2 pvid")
    }

    @Test(arguments: [
        "<vlan/>", "<vlan><tag/></vlan>", "<vlan><tag id='0'/></vlan>", "<vlan><tag id='4095'/></vlan>",
        "<vlan><tag id='x'/></vlan>", "<vlan trunk='no'><tag id='1'/><tag id='2'/></vlan>",
    ])
    func whatIsNoVLANIsRefused(_ text: String) {
        #expect(throws: ManagementError.self) { try port(text) }
    }
}
