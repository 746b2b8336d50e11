// SPDX-License-Identifier: Apache-2.0

internal import XMLTree

/// The files that this command made for a machine, as the machine's metadata names them. Only these go with it.
enum OwnedFiles {
    private static let space = "https://roost.dev/xmlns/machine/1.0"
    private static let element = "roost:machine"

    /// Metadata that names files, the port of this host that leads to the guest's SSH server, and whom to be there.
    static func metadata(_ paths: [String], sshPort: UInt16?, user: String?) -> XMLElement {
        XMLElement(
            "metadata", [:],
            [
                XMLElement(
                    element, ["xmlns:roost": space, "ssh-port": sshPort.map { String($0) }, "user": user],
                    paths.map { XMLElement("roost:file", ["path": $0]) })
            ])
    }

    private static func own(_ document: XMLElement) -> XMLElement? { document.at("metadata", element) }

    static func paths(_ document: XMLElement) -> [String] {
        own(document)?.all("roost:file").compactMap { $0["path"] } ?? []
    }

    static func user(_ document: XMLElement) -> String? { own(document)?["user"] }

    static func sshPort(_ document: XMLElement) -> UInt16? { own(document)?["ssh-port"].flatMap { UInt16($0) } }
}
