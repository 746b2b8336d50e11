// SPDX-License-Identifier: Apache-2.0

internal import HostTools
internal import HostSystem
internal import ManagementModel
internal import StateStore
package import XMLTree

/// Pools of type `logical`: a volume group of LVM, through its own programs.
package enum LogicalVolumes {
    private static let folder = "/usr/sbin/"

    /// What `lvs` says of a logical volume.
    package struct Entry: Equatable {
        package var name: String
        package var uuid: String
        /// Bytes.
        package var size: UInt64
        /// The volume that it is a snapshot of.
        package var origin: String?
        package var isActive: Bool
    }

    // MARK: Reading

    private static let fields = "lv_name,uuid,lv_size,origin,lv_attr"
    private static let separator: Character = "#"

    /// Reads the output of `lvs`; lines that are none are left out, and volumes that no guest may have (parts of
    /// mirrors, pools of thin volumes).
    package static func entries(_ output: String) -> [Entry] {
        output.split(separator: "\n").compactMap { line in
            let words = line.split(separator: separator, omittingEmptySubsequences: false).map {
                $0.filter { !$0.isWhitespace }
            }
            guard words.count == 5, !words[0].isEmpty, !words[0].hasPrefix("["), let size = UInt64(words[2]) else {
                return nil
            }
            // The first letter is the kind: t and T are pools of thin volumes, e what belongs to a pool.
            let attributes = Array(words[4])
            guard let kind = attributes.first, !"tTe".contains(kind) else { return nil }
            return Entry(
                name: words[0], uuid: words[1], size: size, origin: words[3].isEmpty ? nil : words[3],
                isActive: attributes.count > 4 && attributes[4] == "a")
        }
    }

    /// Reads the output of `vgs`: the group's size and what is free, in bytes.
    package static func space(_ output: String) -> (capacity: UInt64, available: UInt64)? {
        for line in output.split(separator: "\n") {
            let words = line.split(separator: separator).map { $0.filter { !$0.isWhitespace } }
            if words.count == 2, let size = UInt64(words[0]), let free = UInt64(words[1]) { return (size, free) }
        }
        return nil
    }

    /// The group's name.
    static func group(_ pool: Pool) throws -> String {
        let name = pool.root[child: "source"]?[child: "name"]?.text ?? pool.name
        guard !name.isEmpty, !name.hasPrefix("-"), name.utf8.allSatisfy(isPlain) else {
            throw ManagementError(.xmlError, "'\(name)' is no name of a volume group", from: .storage)
        }
        return name
    }

    /// Characters of names in LVM.
    private static func isPlain(_ unit: UInt8) -> Bool {
        (48...57).contains(unit) || (65...90).contains(unit) || (97...122).contains(unit)
            || [UInt8(ascii: "+"), UInt8(ascii: "_"), UInt8(ascii: "."), UInt8(ascii: "-")].contains(unit)
    }

    private static func run(_ tool: String, _ arguments: [String], _ what: String) throws -> String {
        guard StateFiles.exists(folder + tool) else {
            throw ManagementError(
                .operationUnsupported, "cannot \(what): \(folder)\(tool) is not there (install lvm2)", from: .storage)
        }
        return try HostTool.run(
            folder + tool, arguments, to: what, from: .storage, variables: ["LVM_SUPPRESS_FD_WARNINGS=1"])
    }

    private static let format = ["--noheadings", "--units", "b", "--nosuffix", "--separator", "\(separator)"]

    /// All volumes of a pool.
    static func volumes(_ pool: Pool) throws -> [String: Volume] {
        let group = try group(pool)
        let output = try run("lvs", format + ["--options", fields, group], "list the volumes of '\(group)'")
        var found: [String: Volume] = [:]
        for entry in entries(output) {
            found[entry.name] = Volume(
                entry, path: pool.path + "/" + entry.name, origin: entry.origin.map { pool.path + "/" + $0 })
        }
        return found
    }

    /// All groups of the host, each as a `<source>` with its devices.
    static func sources() throws -> XMLElement {
        let output = try run(
            "pvs", ["--noheadings", "--separator", "\(separator)", "--options", "pv_name,vg_name"],
            "list the volume groups")
        return groups(output)
    }

    /// Reads the output of `pvs`: devices of no group are left out.
    package static func groups(_ output: String) -> XMLElement {
        var devices: [(group: String, paths: [String])] = []
        for line in output.split(separator: "\n") {
            let words = line.split(separator: separator, omittingEmptySubsequences: false).map {
                $0.filter { !$0.isWhitespace }
            }
            guard words.count == 2, !words[0].isEmpty, !words[1].isEmpty else { continue }
            if let place = devices.firstIndex(where: { $0.group == words[1] }) {
                devices[place].paths.append(words[0])
            } else {
                devices.append((words[1], [words[0]]))
            }
        }
        return XMLElement(
            "sources", [:],
            devices.map { entry in
                XMLElement(
                    "source", [:],
                    entry.paths.map { XMLElement("device", ["path": $0]) } + [
                        XMLElement("name", text: entry.group), XMLElement("format", ["type": "lvm2"]),
                    ])
            })
    }

    static func space(_ pool: Pool) throws -> (capacity: UInt64, available: UInt64) {
        let group = try group(pool)
        let output = try run(
            "vgs", format + ["--options", "vg_size,vg_free", group],
            "find the volume group '\(group)'")
        return space(output) ?? (0, 0)
    }

    // MARK: Changing

    private static func devices(_ pool: Pool) throws -> [String] {
        let found = (pool.root[child: "source"]?.all("device") ?? []).compactMap { $0["path"] }
        guard !found.isEmpty, found.allSatisfy({ $0.hasPrefix("/") }) else {
            throw ManagementError(.xmlError, "missing storage pool source device path", from: .storage)
        }
        return found
    }

    /// Makes the group of its devices.
    static func build(_ pool: Pool) throws {
        let (group, devices) = (try group(pool), try devices(pool))
        for device in devices { _ = try run("pvcreate", ["--yes", device], "prepare '\(device)'") }
        _ = try run("vgcreate", [group] + devices, "make the volume group '\(group)'")
    }

    static func start(_ pool: Pool) throws {
        let group = try group(pool)
        let known = try run("vgs", ["--noheadings", "--options", "vg_name"], "list the volume groups")
        guard known.split(separator: "\n").contains(where: { $0.filter { !$0.isWhitespace } == group }) else {
            throw ManagementError(
                .configUnsupported, "cannot find logical volume group name '\(group)'", from: .storage)
        }
        _ = try run("vgchange", ["-aly", group], "start the volume group '\(group)'")
    }

    static func stop(_ pool: Pool) throws {
        let group = try group(pool)
        _ = try run("vgchange", ["-aln", group], "stop the volume group '\(group)'")
    }

    /// Removes the group; its devices are free again.
    static func delete(_ pool: Pool) throws {
        let (group, devices) = (try group(pool), try devices(pool))
        _ = try run("vgremove", ["-f", group], "remove the volume group '\(group)'")
        for device in devices { _ = try run("pvremove", ["--yes", device], "free '\(device)'") }
    }

    private static func checked(_ name: String) throws -> String {
        guard !name.hasPrefix("-"), !name.isEmpty, name.utf8.allSatisfy(isPlain) else {
            throw ManagementError(.invalidArg, "'\(name)' is no name of a logical volume", from: .storage)
        }
        return name
    }

    static func create(_ pool: Pool, _ request: VolumeRequest) throws {
        guard request.format == "raw", request.encryption == nil else {
            throw ManagementError(
                .configUnsupported, "logical volumes are raw and not encrypted", from: .storage)
        }
        let group = try group(pool)
        var arguments = ["--yes", "--name", try checked(request.name), "-L", "\(request.capacity)B"]
        if let backing = request.backing {
            arguments += ["--snapshot", backing.path]
        } else {
            arguments.append(group)
        }
        _ = try run("lvcreate", arguments, "make the logical volume '\(request.name)'")
    }

    static func delete(_ pool: Pool, _ name: String) throws {
        _ = try run("lvremove", ["-f", try group(pool) + "/" + checked(name)], "remove the logical volume '\(name)'")
    }

    static func resize(_ pool: Pool, _ name: String, to size: UInt64, shrinks: Bool) throws {
        let force = shrinks ? ["--force"] : []
        _ = try run(
            "lvresize", force + ["-L", "\(size)B", try group(pool) + "/" + checked(name)],
            "resize the logical volume '\(name)'")
    }
}
