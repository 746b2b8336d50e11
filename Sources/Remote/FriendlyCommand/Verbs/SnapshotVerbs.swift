// SPDX-License-Identifier: Apache-2.0

internal import ClientKit
internal import XDRCoding
internal import CommandLineKit
internal import Diagnostics
internal import LibvirtProtocol
internal import XMLTree

extension Verbs {
    static let snapshots: [Verb] = [
        Verb("snapshot list", [.machine], "show a machine's snapshots", run: listSnapshots),
        Verb(
            "snapshot create", [.machine, .optional("SNAPSHOT")],
            options: [VerbOption("description", "TEXT", "what it is for")], "keep what a machine is now",
            run: createSnapshot),
        Verb("snapshot restore", [.machine, .required("SNAPSHOT")], "make a machine what it was") {
            let service = try Service($0.settings)
            let snapshot = try snapshot($0.words[1], of: $0.words[0], service)
            _ = try service.server.call(Procedures.domainRevertToSnapshot, Message(snapshot, 0))
            try Output.say("\($0.words[0]) is again what it was at '\(snapshot.name)'", $0.settings)
        },
        Verb("snapshot rm", [.machine, .required("SNAPSHOT")], "forget a snapshot") {
            let service = try Service($0.settings)
            let snapshot = try snapshot($0.words[1], of: $0.words[0], service)
            _ = try service.server.call(Procedures.domainSnapshotDelete, Message(snapshot, 0))
        },
    ]

    private static func all(_ machine: DomainHandle, _ service: Service) throws -> [SnapshotHandle] {
        try service.server.call(Procedures.domainListAllSnapshots, Message(machine, Service.wanted, 0)).fields.0
    }

    private static func snapshot(_ name: String, of machine: String, _ service: Service) throws -> SnapshotHandle {
        let snapshots = try all(try service.machine(machine), service)
        if let match = snapshots.first(where: { $0.name == name }) { return match }
        let near = Suggestion.nearest(to: name, among: snapshots.map(\.name))
        throw UserError(
            "\(machine) has no snapshot '\(name)'",
            remedy: near.map { "did you mean '\($0)'?" } ?? "roost snapshot list \(machine) shows them")
    }

    private static func listSnapshots(_ invocation: Invocation) throws {
        let service = try Service(invocation.settings)
        var report = Report([
            .init(title: "NAME", key: "name"), .init(title: "PARENT", key: "parent"),
            .init(title: "STATE", key: "state"), .init(title: "DESCRIPTION", key: "description"),
        ])
        for snapshot in try all(try service.machine(invocation.words[0]), service) {
            let text = try service.server.call(Procedures.domainSnapshotGetXMLDesc, Message(snapshot, 0)).fields
            let document = try XMLParser.parse(text)
            report.rows.append([
                .init(snapshot.name), .init(document.at("parent", "name")?.text),
                .init(document[child: "state"]?.text), .init(document[child: "description"]?.text),
            ])
        }
        try Output.write(report, invocation.settings)
    }

    private static func createSnapshot(_ invocation: Invocation) throws {
        let service = try Service(invocation.settings)
        let machine = try service.machine(invocation.words[0])
        var document = XMLElement("domainsnapshot")
        if invocation.words.count > 1 { document.append(XMLElement("name", text: invocation.words[1])) }
        if let text = invocation["description"] { document.append(XMLElement("description", text: text)) }
        let made = try service.server.call(
            Procedures.domainSnapshotCreateXML, Message(machine, document.printed(), 0)
        ).fields
        try Output.say("\(machine.name) is kept as '\(made.name)'", invocation.settings)
    }
}
