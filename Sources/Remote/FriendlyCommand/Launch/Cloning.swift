// SPDX-License-Identifier: Apache-2.0

internal import ManagementModel
internal import XDRCoding
internal import ClientKit
internal import Diagnostics
internal import LibvirtProtocol
internal import XMLTree

/// Copies machines with their disks.
struct Cloning {
    let service: Service

    /// Makes `copy` of `original`, which must not run: same document, own identity, addresses and disks.
    func clone(_ original: String, as copy: String) throws {
        let machine = try service.machine(original)
        guard try !service.state(machine).isActive else {
            throw UserError("\(original) runs, and its disks change", remedy: "stop it with: roost stop \(original)")
        }
        guard try !service.machines().contains(where: { $0.name == copy }) else {
            throw UserError("there is a machine '\(copy)' already", remedy: "choose another name")
        }
        var document = try XMLParser.parse(try service.document(machine, isInactive: true))
        let owned = Set(OwnedFiles.paths(document))
        let user = OwnedFiles.user(document)
        var port: UInt16?
        if let old = OwnedFiles.sshPort(document) {
            let new = try FreePort.find()
            MachineDocument.moveForwarding(in: &document, from: old, to: new)
            port = new
        }
        document[child: "uuid"] = nil
        document[child: "name"] = XMLElement("name", text: copy)
        var made: [String] = []
        do {
            try copyDisks(of: &document, original: original, copy: copy, owned, &made)
            Self.renew(&document)
            document[child: "metadata"] = nil
            let metadata = OwnedFiles.metadata(made, sshPort: port, user: user)
            // Behind the name, where documents have it.
            document.children.insert(.element(metadata), at: 1)
            _ = try service.server.call(Procedures.domainDefineXML, Message(document.printed()))
        } catch {
            // Nothing is left behind of a copy that failed; the first error is what matters.
            for path in made { try? UploadedVolume.remove(path, on: service) }
            throw error
        }
    }

    /// Addresses and files that only one machine can have.
    private static func renew(_ document: inout XMLElement) {
        guard var devices = document[child: "devices"] else { return }
        devices.elements = devices.elements.map { device in
            var device = device
            if device.name == "interface" { device[child: "mac"] = nil }
            return device
        }
        document[child: "devices"] = devices
        guard var system = document[child: "os"] else { return }
        system[child: "nvram"] = nil
        document[child: "os"] = system
    }

    private func copyDisks(
        of document: inout XMLElement, original: String, copy: String, _ owned: Set<String>, _ made: inout [String]
    ) throws {
        guard var devices = document[child: "devices"] else { return }
        devices.elements = try devices.elements.map { device in
            guard device.name == "disk", let path = device[child: "source"]?["file"] else { return device }
            let changes =
                device["device"] ?? "disk" == "disk" && device[child: "readonly"] == nil
                && device[child: "shareable"] == nil
            // What was made for the original goes with it, a seed too.
            guard changes || owned.contains(path) else { return device }
            var device = device
            let target = device[child: "target"]?["dev"] ?? "disk"
            let own = try copyDisk(path, machine: original, name: "\(copy)-\(target)", &made)
            device[child: "source"]?["file"] = own
            device[child: "backingStore"] = nil
            return device
        }
        document[child: "devices"] = devices
    }

    private func copyDisk(_ path: String, machine: String, name: String, _ made: inout [String]) throws -> String {
        let volume: VolumeHandle
        do throws(ClientError) {
            volume = try service.server.call(Procedures.storageVolLookupByPath, Message(path)).fields
        } catch {
            throw UserError(
                "cannot copy the disk \(path) of \(machine)", because: error.description,
                remedy: "make its folder a pool with: roost pool create NAME FOLDER")
        }
        let pool = try service.pool(volume.pool)
        let document = try XMLParser.parse(
            try service.server.call(Procedures.storageVolGetXMLDesc, Message(volume, 0)).fields)
        let format = document.at("target", "format")?["type"] ?? "raw"
        let new = XMLElement(
            "volume", [:],
            [
                XMLElement("name", text: format == "raw" ? name + ".img" : "\(name).\(format)"),
                XMLElement("capacity", text: document[child: "capacity"]?.text ?? "0"),
                XMLElement("target", [:], [XMLElement("format", ["type": format])]),
            ])
        let copy = try service.server.call(
            Procedures.storageVolCreateXMLFrom, Message(pool, new.printed(), volume, 0)
        ).fields
        let path = try service.server.call(Procedures.storageVolGetPath, Message(copy)).fields
        made.append(path)
        return path
    }
}
