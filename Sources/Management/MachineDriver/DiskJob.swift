// SPDX-License-Identifier: Apache-2.0

/// Work on a disk's images while the machine runs. Numbers are libvirt's.
struct DiskJob: Sendable {
    enum Kind: Int32, Sendable {
        case pull = 1, copy = 2, commit = 3, activeCommit = 4
    }

    enum Ending {
        static let completed: Int32 = 0, failed: Int32 = 1, cancelled: Int32 = 2, ready: Int32 = 3
    }

    var kind: Kind
    /// The disk.
    var target: String
    var path: String
    /// Whether source and copy are the same from now on.
    var isReady = false
}
