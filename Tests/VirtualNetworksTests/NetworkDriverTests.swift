// SPDX-License-Identifier: Apache-2.0

import ManagementModel
import Testing
import VirtualNetworks

@Suite struct NetworkDriverTests {
    private let folder = "/tmp/roost-networks-\(UniqueID.random())"
    private let networks: NetworkDriver

    init() throws { networks = try Self.open(folder) }

    private static func open(_ folder: String) throws -> NetworkDriver {
        try NetworkDriver(
            folder: folder + "/etc", runtime: folder + "/run", state: folder + "/lib", events: EventHub())
    }

    private let nat = """
        <network><name>n</name><forward/><ip address='192.168.122.1' netmask='255.255.255.0'>
        <dhcp><range start='192.168.122.2' end='192.168.122.254'/></dhcp></ip></network>
        """

    @Test func aNetworkIsCompletedAndFoundAgain() throws {
        let reference = try networks.add(nat, persistent: true)
        let document = try networks.document(reference.uuid)
        #expect(document.contains("<forward mode='nat'/>"))
        #expect(document.contains("stp='on' delay='0'/>"))
        #expect(document.contains("<mac address='52:54:00:"))
        let facts = try networks.find(named: "n")
        #expect(!facts.isActive && facts.isPersistent && facts.bridge.hasPrefix("virbr"))
        let again = try Self.open(folder)
        again.recover()
        #expect(try again.document(reference.uuid) == document)
        try again.undefine(reference.uuid)
        #expect { try again.find(named: "n") } throws: { ($0 as? ManagementError)?.code == .noNetwork }
    }

    @Test func aNameAndAUUIDStayTogether() throws {
        let reference = try networks.add(nat, persistent: true)
        let document = try networks.document(reference.uuid)
        let renamed = "<network><name>other</name><uuid>\(reference.uuid)</uuid></network>"
        for text in [renamed, "<network><name>n</name><uuid>\(UniqueID.random())</uuid></network>"] {
            #expect { try networks.add(text, persistent: true) } throws: {
                ($0 as? ManagementError)?.code == .operationFailed
            }
        }
        #expect(try networks.document(reference.uuid) == document)
    }

    @Test func machinesAreNotConnectedToANetworkThatIsDown() throws {
        _ = try networks.add(nat, persistent: true)
        #expect { try networks.bridge(ofNetwork: "n") } throws: { ($0 as? ManagementError)?.code == .operationInvalid }
    }

    @Test func twoNetworksHaveTwoBridges() throws {
        let first = try networks.add("<network><name>a</name></network>", persistent: true)
        let second = try networks.add("<network><name>b</name></network>", persistent: true)
        #expect(try networks.facts(first.uuid).bridge != networks.facts(second.uuid).bridge)
    }

    @Test(arguments: [
        "<network><name>a</name><forward mode='foo'/></network>",
        """
        <network><name>a</name><ip address='10.0.0.1' netmask='255.0.0.0'><dhcp><range start='10.0.0.9' end='10.0.0.2'/>
        </dhcp></ip></network>
        """,
        """
        <network><name>a</name><ip address='10.0.0.1' prefix='8'><dhcp><range start='10.0.0.2' end='11.0.0.2'/></dhcp>
        </ip></network>
        """, "x", "<domain/>", "<network/>", "<network><name>a/b</name></network>",
        "<network><name>a</name><uuid>1</uuid></network>",
        "<network><name>a</name><bridge name='much-too-long-a-name'/></network>",
        "<network><name>a</name><ip address='1.2.3'/></network>",
        "<network><name>a</name><ip address='1.2.3.4' netmask='255.0.255.0'/></network>",
        "<network><name>a</name><ip address='1.2.3.4' prefix='33'/></network>",
        "<network><name>a</name><ip address='1.2.3.4'><dhcp><range start='x' end='y'/></dhcp></ip></network>",
    ])
    func badNetworksAreRefused(_ text: String) {
        #expect(throws: ManagementError.self) { try networks.add(text, persistent: true) }
    }
}
