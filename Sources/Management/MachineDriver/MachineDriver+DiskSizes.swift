// SPDX-License-Identifier: Apache-2.0

internal import HostSystem
internal import JSONCoding
public import ManagementModel
internal import ManagementXML
internal import XMLTree

// Sizes of disks that are in use.
extension MachineDriver {
    /// Changes the size of a disk that is in use; bytes.
    public func resizeDisk(_ uuid: UniqueID, _ name: String, _ size: UInt64) throws {
        try onMonitor(uuid) { machine, live in
            let disk = try liveDisk(live, name)
            try live.monitor.execute(
                "block_resize", ["node-name": .string(try topNode(live, disk)), "size": JSONValue(size)])
        }
    }

    /// Has an event sent when a disk is written beyond a place.
    public func setThreshold(_ uuid: UniqueID, _ name: String, _ bytes: UInt64) throws {
        try onMonitor(uuid) { machine, live in
            let bare = name.split(separator: "[").first.map(String.init) ?? name
            let disk = try liveDisk(live, bare)
            try live.monitor.execute(
                "block-set-write-threshold",
                ["node-name": .string(try topNode(live, disk)), "write-threshold": JSONValue(bytes)])
        }
    }
}
