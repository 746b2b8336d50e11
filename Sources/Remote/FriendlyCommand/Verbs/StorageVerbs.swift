// SPDX-License-Identifier: Apache-2.0

internal import XDRCoding
internal import ClientKit
internal import Diagnostics
internal import LibvirtProtocol
internal import XMLTree
internal import HostSystem

extension Verbs {
    static let storage: [Verb] = [
        Verb("image", [.rest("WORD", .file)], "disk images: what roost-img does (roost image --help)") {
            try ProgramFiles.become(ThisProgram.beside("roost-img"), $0.words)
        },
        Verb("pool list", [], "show all storage pools", run: listPools),
        Verb("pool create", [.required("POOL"), .required("FOLDER", .file)], "make a pool of a folder's files") {
            let service = try Service($0.settings)
            _ = try FolderPool.create($0.words[0], folder: ProgramFiles.absolute($0.words[1]), on: service)
        },
        Verb("pool rm", [.required("POOL", .pool)], "forget a pool; its files stay") {
            let service = try Service($0.settings)
            let pool = try service.pool($0.words[0])
            if try service.server.call(Procedures.storagePoolIsActive, Message(pool)).fields != 0 {
                _ = try service.server.call(Procedures.storagePoolDestroy, Message(pool))
            }
            _ = try service.server.call(Procedures.storagePoolUndefine, Message(pool))
        },
        Verb("pool show", [.required("POOL", .pool)], "show the disks of a pool", run: showPool),
    ]

    private static let poolStates = ["stopped", "building", "running", "degraded", "unreachable"]

    private static func listPools(_ invocation: Invocation) throws {
        let service = try Service(invocation.settings)
        var report = Report([
            .init(title: "NAME", key: "name"), .init(title: "STATE", key: "state"),
            .init(title: "SIZE", key: "capacity", isNumber: true),
            .init(title: "FREE", key: "available", isNumber: true),
            .init(title: "FOLDER", key: "path"),
        ])
        for pool in try service.pools().sorted(by: { $0.name < $1.name }) {
            let (state, capacity, _, available) =
                try service.server.call(Procedures.storagePoolGetInfo, Message(pool)).fields
            let text = try service.server.call(Procedures.storagePoolGetXMLDesc, Message(pool, 0)).fields
            let path = try XMLParser.parse(text).at("target", "path")?.text
            report.rows.append([
                .init(pool.name), .init(Int(state.value) < poolStates.count ? poolStates[Int(state.value)] : "unknown"),
                .init(bytes: capacity), .init(bytes: available), .init(path),
            ])
        }
        try Output.write(report, invocation.settings)
    }

    private static func showPool(_ invocation: Invocation) throws {
        let service = try Service(invocation.settings)
        let pool = try service.pool(invocation.words[0])
        var report = Report([
            .init(title: "NAME", key: "name"), .init(title: "FORMAT", key: "format"),
            .init(title: "SIZE", key: "capacity", isNumber: true),
            .init(title: "USED", key: "allocation", isNumber: true),
            .init(title: "PATH", key: "path"),
        ])
        let volumes = try service.server.call(
            Procedures.storagePoolListAllVolumes, Message(pool, Service.wanted, 0)
        ).fields.0
        for volume in volumes.sorted(by: { $0.name < $1.name }) {
            let text = try service.server.call(Procedures.storageVolGetXMLDesc, Message(volume, 0)).fields
            let document = try XMLParser.parse(text)
            report.rows.append([
                .init(volume.name), .init(document.at("target", "format")?["type"]),
                .init(bytes: UInt64(document[child: "capacity"]?.text ?? "") ?? 0),
                .init(bytes: UInt64(document[child: "allocation"]?.text ?? "") ?? 0),
                .init(document.at("target", "path")?.text),
            ])
        }
        try Output.write(report, invocation.settings)
    }
}

/// Pools that are folders.
enum FolderPool {
    /// The name of the pool that machines' disks go to, as with libvirt.
    static let usual = "default"

    /// Defines a pool of a folder, makes the folder where it is missing, and starts the pool now and always.
    static func create(_ name: String, folder: String, on service: Service) throws -> PoolHandle {
        let document = XMLElement(
            "pool", ["type": "dir"],
            [XMLElement("name", text: name), XMLElement("target", [:], [XMLElement("path", text: folder)])])
        let pool = try service.server.call(
            Procedures.storagePoolDefineXML, Message(document.printed(), 0)
        ).fields
        _ = try service.server.call(Procedures.storagePoolBuild, Message(pool, 0))
        _ = try service.server.call(Procedures.storagePoolCreate, Message(pool, 0))
        _ = try service.server.call(Procedures.storagePoolSetAutostart, Message(pool, 1))
        return pool
    }

    /// The pool for machines' disks; made where the server has none yet, and started.
    static func usual(on service: Service) throws -> PoolHandle {
        guard let pool = try service.pools().first(where: { $0.name == usual }) else {
            return try create(usual, folder: usualFolder(service), on: service)
        }
        if try service.server.call(Procedures.storagePoolIsActive, Message(pool)).fields == 0 {
            _ = try service.server.call(Procedures.storagePoolCreate, Message(pool, 0))
        }
        return pool
    }

    private static func usualFolder(_ service: Service) -> String {
        if service.address.uri == "qemu:///system" { return "/var/lib/libvirt/images" }
        let data = ThisProgram.variable("XDG_DATA_HOME") ?? (ThisProgram.variable("HOME") ?? "/") + "/.local/share"
        return data + "/libvirt/images"
    }
}
