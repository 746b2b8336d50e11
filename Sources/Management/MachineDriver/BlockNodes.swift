// SPDX-License-Identifier: Apache-2.0

internal import JSONCoding
internal import ManagementModel
internal import XMLTree

/// The block nodes of a disk, as `-blockdev` and `blockdev-add` take them.
enum BlockNodes {
    /// - Parameter name: what the nodes' names are made of.
    /// - Returns: the nodes, the lowest first, and the name of the top one; nil for a drive without a medium.
    static func arguments(of disk: XMLElement, named name: String) throws -> (json: [JSONObject], top: String)? {
        guard let source = disk[child: "source"] else { return nil }
        let storage = "libvirt-\(name)-storage"
        let format = "libvirt-\(name)-format"
        let driver = disk[child: "driver"]
        let isReadOnly = disk[child: "readonly"] != nil
        var file: JSONObject
        switch disk["type"] {
        case "file":
            guard let path = source["file"] else { return nil }
            file = ["driver": "file", "filename": .string(path)]
        case "block":
            guard let path = source["dev"] else { return nil }
            file = ["driver": "host_device", "filename": .string(path)]
        case "network" where source["protocol"] == "nbd": file = try nbd(source)
        default:
            throw ManagementError(.configUnsupported, "disk of type '\(disk["type"] ?? "")' cannot be opened")
        }
        file["node-name"] = .string(storage)
        if let io = driver?["io"], disk["type"] != "network" { file["aio"] = .string(io) }
        var cache: JSONObject?
        switch driver?["cache"] {
        case "none", "directsync": cache = ["direct": true, "no-flush": false]
        case "unsafe": cache = ["direct": false, "no-flush": true]
        case "writeback", "writethrough": cache = ["direct": false, "no-flush": false]
        default: break
        }
        if let cache { file["cache"] = .object(cache) }
        file["auto-read-only"] = true
        file["discard"] = .string(driver?["discard"] ?? "unmap")
        var top: JSONObject = ["node-name": .string(format), "read-only": .bool(isReadOnly)]
        if let discard = driver?["discard"] { top["discard"] = .string(discard) }
        if let zeroes = driver?["detect_zeroes"] { top["detect-zeroes"] = .string(zeroes) }
        if let cache { top["cache"] = .object(cache) }
        top["driver"] = .string(driver?["type"] ?? "raw")
        top["file"] = .string(storage)
        return ([file, top], format)
    }

    private static func nbd(_ source: XMLElement) throws -> JSONObject {
        let host = source[child: "host"]
        var server: JSONObject
        if host?["transport"] == "unix" {
            server = ["type": "unix", "path": .string(host?["socket"] ?? "")]
        } else {
            server = [
                "type": "inet", "host": .string(host?["name"] ?? "localhost"),
                "port": .string(host?["port"] ?? "10809"),
            ]
        }
        var node: JSONObject = ["driver": "nbd", "server": .object(server)]
        if let export = source["name"] { node["export"] = .string(export) }
        return node
    }
}
