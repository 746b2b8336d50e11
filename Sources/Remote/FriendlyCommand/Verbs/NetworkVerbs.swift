// SPDX-License-Identifier: Apache-2.0

internal import ClientKit
internal import XDRCoding
internal import LibvirtProtocol
internal import XMLTree

extension Verbs {
    static let networks: [Verb] = [
        Verb("net list", [], "show all networks", run: listNetworks),
        Verb("net start", [.required("NETWORK", .network)], "start a network") {
            let service = try Service($0.settings)
            _ = try service.server.call(Procedures.networkCreate, Message(try service.network($0.words[0])))
        },
        Verb("net stop", [.required("NETWORK", .network)], "stop a network") {
            let service = try Service($0.settings)
            _ = try service.server.call(Procedures.networkDestroy, Message(try service.network($0.words[0])))
        },
        Verb("net leases", [.required("NETWORK", .network)], "show which guests have which addresses", run: leases),
    ]

    private static func listNetworks(_ invocation: Invocation) throws {
        let service = try Service(invocation.settings)
        var report = Report([
            .init(title: "NAME", key: "name"), .init(title: "STATE", key: "state"),
            .init(title: "AUTOSTART", key: "autostart"), .init(title: "KIND", key: "kind"),
            .init(title: "BRIDGE", key: "bridge"), .init(title: "ADDRESS", key: "address"),
        ])
        for network in try service.networks().sorted(by: { $0.name < $1.name }) {
            let text = try service.server.call(Procedures.networkGetXMLDesc, Message(network, 0)).fields
            let document = try XMLParser.parse(text)
            let isActive = try service.server.call(Procedures.networkIsActive, Message(network)).fields != 0
            let starts = try service.server.call(Procedures.networkGetAutostart, Message(network)).fields != 0
            report.rows.append([
                .init(network.name), .init(isActive ? "running" : "stopped"), .init(starts),
                .init(document[child: "forward"].map { $0["mode"] ?? "nat" } ?? "isolated"),
                .init(document[child: "bridge"]?["name"]), .init(document[child: "ip"]?["address"]),
            ])
        }
        try Output.write(report, invocation.settings)
    }

    private static func leases(_ invocation: Invocation) throws {
        let service = try Service(invocation.settings)
        let network = try service.network(invocation.words[0])
        var report = Report([
            .init(title: "ADDRESS", key: "address"), .init(title: "MAC", key: "mac"),
            .init(title: "HOSTNAME", key: "hostname"),
        ])
        for lease in try service.server.call(
            Procedures.networkGetDhcpLeases, Message(network, nil, Service.wanted, 0)
        ).fields.0 {
            report.rows.append([.init(lease.address), .init(lease.mac), .init(lease.hostname)])
        }
        try Output.write(report, invocation.settings)
    }
}
