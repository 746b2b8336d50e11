// SPDX-License-Identifier: Apache-2.0

internal import HostSystem
internal import ManagementModel
internal import XMLTree

/// A pool: a place with volumes. Guarded by its driver's lock.
struct Pool: Sendable {
    var root: XMLElement
    var isActive = false
    var isPersistent = false
    var startsWithService = false
    var volumes: [String: Volume] = [:]
    var capacity: UInt64 = 0
    var available: UInt64 = 0

    var name: String { root[child: "name"]?.text ?? "" }
    var uuid: UniqueID { root[child: "uuid"].flatMap { UniqueID($0.text) } ?? UniqueID(bytes: []) }
    var reference: ObjectReference { ObjectReference(name: name, uuid: uuid) }
    /// Whether it is a volume group of LVM.
    var isLogical: Bool { root["type"] == "logical" }
    var path: String { root.at("target", "path")?.text ?? "" }
    var allocation: UInt64 { capacity >= available ? capacity - available : 0 }

    /// Reads and completes a pool's document.
    init(parsing text: String) throws {
        do throws(XMLSyntaxError) { root = try XMLParser.parse(text) } catch {
            let pointer = String(repeating: "-", count: max(0, error.column)) + "^"
            throw ManagementError(
                .xmlDetail, "(storage_pool_definition):\(error.line): \(error.message)\n\(error.context)\n\(pointer)",
                from: .xml)
        }
        guard root.name == "pool" else {
            throw ManagementError(.xmlError, "unexpected root element <\(root.name)>, expecting <pool>", from: .storage)
        }
        guard let type = root["type"] else {
            throw ManagementError(.xmlError, "Missing required attribute 'type' in element 'pool'", from: .storage)
        }
        let known = [
            "dir", "fs", "netfs", "logical", "disk", "iscsi", "iscsi-direct", "scsi", "mpath", "rbd", "sheepdog",
            "gluster",
            "zfs", "vstorage",
        ]
        guard known.contains(type) else {
            throw ManagementError(
                .xmlError, "Invalid value for attribute 'type' in element 'pool': '\(type)'", from: .storage)
        }
        guard let name = root[child: "name"]?.text, !name.isEmpty else {
            throw ManagementError(.xmlError, "missing pool source name element", from: .storage)
        }
        guard !name.contains("/"), !name.contains("\n") else {
            throw ManagementError(.xmlError, "name \(name) cannot contain '/'", from: .storage)
        }
        if let uuid = root[child: "uuid"]?.text {
            guard UniqueID(uuid) != nil else {
                throw ManagementError(.xmlError, "malformed uuid element", from: .storage)
            }
        } else {
            root[child: "uuid"] = XMLElement("uuid", text: UniqueID.random().description)
        }
        if type == "netfs" {
            guard root.at("source", "host")?["name"] != nil else {
                throw ManagementError(.xmlError, "missing storage pool source host name", from: .storage)
            }
            guard root.at("source", "dir")?["path"] != nil else {
                throw ManagementError(.xmlError, "missing storage pool source path", from: .storage)
            }
        }
        if type == "logical" {
            // The group's name is the pool's unless it has one, and its folder follows from it.
            var source = root[child: "source"] ?? XMLElement("source")
            if source[child: "name"] == nil { source.append(XMLElement("name", text: name)) }
            if source[child: "format"] == nil { source.append(XMLElement("format", ["type": "lvm2"])) }
            root[child: "source"] = source
            if root.at("target", "path") == nil {
                let group = source[child: "name"]?.text ?? name
                root[child: "target"] = XMLElement("target", [:], [XMLElement("path", text: "/dev/" + group)])
            }
        }
        guard var target = root[child: "target"], let path = target[child: "path"]?.text, path.hasPrefix("/") else {
            throw ManagementError(.xmlError, "missing storage pool target path", from: .storage)
        }
        var clean = path
        while clean.count > 1 && clean.hasSuffix("/") { clean.removeLast() }
        target[child: "path"] = XMLElement("path", text: clean)
        root[child: "target"] = target
        order()
    }

    private mutating func order() {
        for name in ["capacity", "allocation", "available"] { root[child: name] = nil }
        // A pool without a source is printed with an empty one.
        if root[child: "source"] == nil { root[child: "source"] = XMLElement("source", [], children: [.text("\n  ")]) }
        let ranks = ["name", "uuid", "features", "source", "target", "refresh"]
        root.elements = root.elements.sorted {
            (ranks.firstIndex(of: $0.name) ?? ranks.count) < (ranks.firstIndex(of: $1.name) ?? ranks.count)
        }
    }

    /// The document, with what was found when it was looked at last.
    func document(inactive: Bool) -> String {
        var copy = root
        func bytes(_ name: String, _ count: UInt64) -> XMLElement {
            var element = XMLElement(name, text: "\(count)")
            element["unit"] = "bytes"
            return element
        }
        let isLive = isActive && !inactive
        let sizes = [
            bytes("capacity", isLive ? capacity : 0), bytes("allocation", isLive ? allocation : 0),
            bytes("available", isLive ? available : 0),
        ]
        let place = copy.elements.firstIndex { $0.name == "uuid" } ?? 0
        copy.elements.insert(contentsOf: sizes, at: place + 1)
        if isLive, let permissions = FilePermissions(path), copy.at("target", "permissions") == nil {
            copy[child: "target"]?.append(permissions.element)
        }
        return copy.printed()
    }
}
