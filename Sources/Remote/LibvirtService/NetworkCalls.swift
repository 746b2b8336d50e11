// SPDX-License-Identifier: Apache-2.0

internal import LibvirtProtocol
internal import LibvirtRPC
internal import ManagementCore
internal import ManagementModel
internal import ManagementXML
internal import VirtualNetworks
internal import XDRCoding

/// Virtual networks.
enum NetworkCalls {
    /// Flags of a list: two alternatives each for inactive, active, persistent and autostart.
    private static func matches(_ facts: NetworkFacts, _ flags: UInt32) -> Bool {
        func group(_ yes: UInt32, _ no: UInt32, _ truth: Bool) -> Bool {
            flags & (yes | no) == 0 || flags & (truth ? yes : no) != 0
        }
        return group(2, 1, facts.isActive) && group(4, 8, facts.isPersistent) && group(16, 32, facts.startsWithService)
    }

    static func register(in table: CallTable<ServiceConnection>) {
        registerListing(in: table)
        registerFacts(in: table)
        registerChanges(in: table)
    }

    private static func registerListing(in table: CallTable<ServiceConnection>) {
        table.answer(Procedures.connectListAllNetworks) { client, _, wanted, flags in
            let found = client.core.networks.all.filter { matches($0, flags) }
            return (wanted != 0 ? found.map { NetworkHandle($0.reference) } : [], UInt32(found.count))
        }
        table.answer(Procedures.connectNumOfNetworks) { client, _ in
            Int32(client.core.networks.all.count { $0.isActive })
        }
        table.answer(Procedures.connectNumOfDefinedNetworks) { client, _ in
            Int32(client.core.networks.all.count { !$0.isActive })
        }
        table.answer(Procedures.connectListNetworks) { client, _, limit in
            Array(client.core.networks.all.filter(\.isActive).map(\.reference.name).prefix(Int(max(0, limit))))
        }
        table.answer(Procedures.connectListDefinedNetworks) { client, _, limit in
            Array(client.core.networks.all.filter { !$0.isActive }.map(\.reference.name).prefix(Int(max(0, limit))))
        }
        table.answer(Procedures.networkLookupByName) { client, _, name in
            NetworkHandle(try client.core.networks.find(named: name).reference)
        }
        table.answer(Procedures.networkLookupByUUID) { client, _, uuid in
            NetworkHandle(try client.core.networks.facts(uuid).reference)
        }
    }

    private static func registerFacts(in table: CallTable<ServiceConnection>) {
        table.answer(Procedures.networkIsActive) { client, _, network in
            try client.core.networks.facts(network.uuid).isActive ? 1 : 0
        }
        table.answer(Procedures.networkIsPersistent) { client, _, network in
            try client.core.networks.facts(network.uuid).isPersistent ? 1 : 0
        }
        table.answer(Procedures.networkGetAutostart) { client, _, network in
            try client.core.networks.facts(network.uuid).startsWithService ? 1 : 0
        }
        table.answer(Procedures.networkGetBridgeName) { client, _, network in
            try client.core.networks.facts(network.uuid).bridge
        }
        table.answer(Procedures.networkGetXMLDesc) { client, _, network, flags in
            let inactive: UInt32 = 1
            return try client.core.networks.document(network.uuid, inactive: flags & inactive != 0)
        }
        table.answer(Procedures.networkGetDhcpLeases, .blocking) { client, _, network, mac, wanted, _ in
            let facts = try client.core.networks.facts(network.uuid)
            let leases = try client.core.networks.leases(network.uuid).filter { mac == nil || mac == $0.mac }.map {
                NetworkDhcpLease(
                    interface: facts.bridge, expiry: $0.expiry, type: 0, mac: $0.mac, iaid: nil, address: $0.address,
                    prefix: UInt32($0.prefix), hostname: $0.name, clientID: nil)
            }
            return (wanted != 0 ? leases : [], UInt32(leases.count))
        }
    }

    private static func registerChanges(in table: CallTable<ServiceConnection>) {
        table.answer(Procedures.networkDefineXML, .blocking) { client, _, text in
            NetworkHandle(try client.core.networks.add(text, persistent: true))
        }
        table.answer(Procedures.networkDefineXMLFlags, .blocking) { client, _, text, flags in
            try Validation.check(text, flags, Grammar.network, schema: "network.rng")
            return NetworkHandle(try client.core.networks.add(text, persistent: true))
        }
        table.answer(Procedures.networkCreateXML, .blocking) { client, _, text in
            NetworkHandle(try client.core.networks.add(text, persistent: false))
        }
        table.answer(Procedures.networkCreateXMLFlags, .blocking) { client, _, text, flags in
            try Validation.check(text, flags, Grammar.network, schema: "network.rng")
            return NetworkHandle(try client.core.networks.add(text, persistent: false))
        }
        table.answer(Procedures.networkCreate, .blocking) { client, _, network in
            try client.core.networks.start(network.uuid)
        }
        table.answer(Procedures.networkDestroy, .blocking) { client, _, network in
            try client.core.networks.stop(network.uuid)
        }
        table.answer(Procedures.networkUndefine, .blocking) { client, _, network in
            try client.core.networks.undefine(network.uuid)
        }
        table.answer(Procedures.networkUpdate, .blocking) { client, _, network, command, section, parent, text, flags in
            let (live, configuration): (UInt32, UInt32) = (1, 2)
            try client.core.networks.update(
                network.uuid, try NetworkChange(command: command, section: section, parent: parent, text),
                live: flags & live != 0, configuration: flags & configuration != 0)
        }
        table.answer(Procedures.networkListAllPorts) { client, _, network, _, _ in
            let facts = try client.core.networks.facts(network.uuid)
            guard facts.isActive else {
                throw ManagementError(
                    .operationInvalid, "network '\(facts.reference.name)' is not active", from: .network)
            }
            return ([], 0)
        }
        table.answer(Procedures.networkSetAutostart, .blocking) { client, _, network, on in
            try client.core.networks.setAutostart(network.uuid, on != 0)
        }
    }
}

extension NetworkHandle {
    init(_ reference: ObjectReference) { self.init(name: reference.name, uuid: reference.uuid) }
}
