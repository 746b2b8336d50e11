// SPDX-License-Identifier: Apache-2.0

internal import XMLTree

/// Which kinds of pools this service has and what they may hold (virsh pool-capabilities).
public enum PoolCapabilities {
    private static let types = [
        "dir", "fs", "netfs", "logical", "disk", "iscsi", "iscsi-direct", "scsi", "mpath", "rbd", "sheepdog", "gluster",
        "zfs", "vstorage",
    ]
    private static let volumes = [
        "none", "raw", "dir", "bochs", "cloop", "dmg", "iso", "vpc", "vdi", "vhdx", "qcow", "qcow2", "qed", "vmdk",
        "luks",
    ]
    private static let sources = [
        "fs": ["auto", "ext2", "ext3", "ext4", "iso9660", "udf", "vfat", "xfs", "btrfs"],
        "netfs": ["auto", "nfs", "cifs"],
    ]

    private static func choice(_ name: String, _ values: [String]) -> XMLElement {
        XMLElement("enum", ["name": name], values.map { XMLElement("value", text: $0) })
    }

    /// The document.
    public static var document: String {
        let pools = types.map { type in
            guard PoolMount.types.contains(type) else {
                return XMLElement("pool", ["type": type, "supported": "no"])
            }
            var parts: [XMLElement] = []
            if let formats = sources[type] {
                parts.append(
                    XMLElement(
                        "poolOptions", [:],
                        [XMLElement("defaultFormat", ["type": "auto"]), choice("sourceFormatType", formats)]))
            }
            parts.append(
                XMLElement(
                    "volOptions", [:],
                    [XMLElement("defaultFormat", ["type": "raw"]), choice("targetFormatType", volumes)]))
            return XMLElement("pool", ["type": type, "supported": "yes"], parts)
        }
        return XMLElement("storagepoolCapabilities", [:], pools).printed()
    }
}
