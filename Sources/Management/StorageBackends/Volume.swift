// SPDX-License-Identifier: Apache-2.0

internal import Glibc
internal import XMLTree

/// A file of a pool, as it was when it was looked at.
public struct Volume: Equatable, Sendable {
    /// The file's name in the pool's folder.
    public let name: String
    /// Absolute: the pool's target and the name.
    public let path: String
    /// Its name for all pools: the path of a file, the UUID of a logical volume.
    public let key: String
    /// `raw`, `qcow2` and so on; `dir` for a folder.
    public let format: String
    /// Bytes that a guest sees.
    public let capacity: UInt64
    /// Bytes that it takes on the host's disk.
    public let allocation: UInt64
    /// Bytes of the file.
    let physical: UInt64
    /// The image below, as the file itself names it; nil for none.
    public let backingFile: String?
    let compatibility: String?
    let permissions: FilePermissions
    let isFolder: Bool
    let isBlock: Bool
    /// Whether its contents are encrypted (LUKS).
    public let isEncrypted: Bool
    private let clusterSize: UInt64?

    /// 0: a file; 1: a block device; 2: a folder.
    public var type: Int32 { isFolder ? 2 : isBlock ? 1 : 0 }

    /// A logical volume.
    init(_ entry: LogicalVolumes.Entry, path: String, origin: String?) {
        name = entry.name
        self.path = path
        key = entry.uuid
        format = "raw"
        capacity = entry.size
        allocation = entry.size
        physical = entry.size
        backingFile = origin
        compatibility = nil
        permissions = FilePermissions(path) ?? FilePermissions()
        isFolder = false
        isBlock = true
        isEncrypted = false
        clusterSize = nil
    }

    /// Looks at a file; nil for one that is gone or is no file or folder.
    init?(name: String, path: String) {
        guard let permissions = FilePermissions(path), permissions.isRegular || permissions.isFolder else { return nil }
        self.name = name
        self.path = path
        key = path
        isBlock = false
        self.permissions = permissions
        isFolder = permissions.isFolder
        allocation = permissions.allocation
        physical = permissions.size
        guard !isFolder, let probe = ImageProbe(path: path) else {
            format = isFolder ? "dir" : "raw"
            capacity = permissions.size
            backingFile = nil
            compatibility = nil
            isEncrypted = false
            clusterSize = nil
            return
        }
        isEncrypted = probe.isEncrypted
        clusterSize = probe.clusterSize
        guard probe.format != "luks" else {
            // What is inside counts.
            format = "raw"
            capacity = permissions.size - min(permissions.size, probe.payloadOffset)
            backingFile = nil
            compatibility = nil
            return
        }
        format = name.hasSuffix(".iso") && probe.format == "raw" ? "iso" : probe.format
        capacity = probe.capacity ?? permissions.size
        backingFile = probe.backingFile
        compatibility = probe.compatibility
    }

    private static func bytes(_ name: String, _ count: UInt64) -> XMLElement {
        var element = XMLElement(name, text: "\(count)")
        element["unit"] = "bytes"
        return element
    }

    /// The volume's document.
    public var document: String {
        var target = XMLElement(
            "target", [:],
            [
                XMLElement("path", text: path), XMLElement("format", ["type": format]), permissions.element,
                permissions.times,
            ])
        if isEncrypted {
            // Printed with its end, although nothing is in it.
            target.append(XMLElement("encryption", [XMLAttribute("format", "luks")], children: [.text("\n    ")]))
        }
        if let compatibility {
            target.append(XMLElement("compat", text: compatibility))
            target.append(XMLElement("features"))
        }
        if let clusterSize {
            target.append(XMLElement("clusterSize", text: "\(clusterSize)"))
            target[child: "clusterSize"]?["unit"] = "B"
        }
        var root = XMLElement(
            "volume", ["type": isFolder ? "dir" : isBlock ? "block" : "file"],
            [
                XMLElement("name", text: name), XMLElement("key", text: key), Self.bytes("capacity", capacity),
                Self.bytes("allocation", allocation), Self.bytes("physical", physical), target,
            ])
        if let backingFile {
            let folder = path.split(separator: "/").dropLast().reduce(into: "") { $0 += "/" + $1 }
            let full = backingFile.hasPrefix("/") ? backingFile : folder + "/" + backingFile
            var store = XMLElement("backingStore", [:], [XMLElement("path", text: full)])
            if let below = ImageProbe(path: full) { store.append(XMLElement("format", ["type": below.format])) }
            if let permissions = FilePermissions(full) { store.elements += [permissions.element, permissions.times] }
            root.append(store)
        }
        return root.printed()
    }
}

/// What the host's file system says of a file.
struct FilePermissions: Equatable, Sendable {
    let mode: UInt32
    let owner: UInt32
    let group: UInt32
    let size: UInt64
    let allocation: UInt64
    private let stamps: [Int64]

    /// Of what is not there at the moment.
    init() {
        (mode, owner, group, size, allocation) = (0o600, 0, 0, 0, 0)
        stamps = [0, 0, 0, 0, 0, 0]
    }

    init?(_ path: String) {
        var information = stat()
        // stat copies the path and fills the struct on this frame.
        guard unsafe stat(path, &information) == 0 else { return nil }
        mode = information.st_mode
        owner = information.st_uid
        group = information.st_gid
        size = UInt64(max(0, information.st_size))
        allocation = UInt64(max(0, information.st_blocks)) &* 512
        stamps = [
            Int64(information.st_atim.tv_sec), Int64(information.st_atim.tv_nsec), Int64(information.st_mtim.tv_sec),
            Int64(information.st_mtim.tv_nsec), Int64(information.st_ctim.tv_sec), Int64(information.st_ctim.tv_nsec),
        ]
    }

    var isRegular: Bool { mode & S_IFMT == S_IFREG }
    var isFolder: Bool { mode & S_IFMT == S_IFDIR }

    var element: XMLElement {
        let octal = String(mode & 0o7777, radix: 8)
        return XMLElement(
            "permissions", [:],
            [
                XMLElement("mode", text: String(repeating: "0", count: max(0, 4 - octal.count)) + octal),
                XMLElement("owner", text: "\(owner)"), XMLElement("group", text: "\(group)"),
            ])
    }

    var times: XMLElement {
        func text(_ place: Int) -> String {
            let fraction = String(stamps[place + 1])
            return "\(stamps[place])." + String(repeating: "0", count: max(0, 9 - fraction.count)) + fraction
        }
        return XMLElement(
            "timestamps", [:],
            [
                XMLElement("atime", text: text(0)), XMLElement("mtime", text: text(2)),
                XMLElement("ctime", text: text(4)),
                XMLElement("btime", text: "0"),
            ])
    }
}
