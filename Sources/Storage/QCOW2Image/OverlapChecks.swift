// SPDX-License-Identifier: Apache-2.0

internal import BlockLayer

/// The option `overlap-check`: what writes are checked against. All that is in memory is always checked, whatever the
/// option says: it costs a bit test. The tables of snapshots have to be read for it, and only are when asked for.
struct OverlapChecks {
    /// Also the L2 tables of snapshots.
    var withInactiveL2 = false

    init() {}

    /// Takes `overlap-check`, `overlap-check.template` and the switches under it.
    init(_ options: inout BlockOptions) throws(BlockError) {
        let plain = options.take("overlap-check")
        let template = options.take("overlap-check.template")
        if let plain, let template, plain != template {
            throw BlockError(
                .invalidArgument,
                "Conflicting values for qcow2 options 'overlap-check' ('\(plain)') and 'overlap-check.template' ('\(template)')"
            )
        }
        switch plain ?? template {
        case nil, "none", "constant", "cached": break
        case "all": withInactiveL2 = true
        case let other?:
            throw BlockError(
                .invalidArgument,
                "Unsupported value '\(other)' for qcow2 option 'overlap-check'. Allowed are any of the following: none, constant, cached, all"
            )
        }
        for name in [
            "main-header", "active-l1", "active-l2", "refcount-table", "refcount-block", "snapshot-table",
            "inactive-l1", "bitmap-directory",
        ] {
            _ = try options.takeBool("overlap-check.\(name)")
        }
        if let isOn = try options.takeBool("overlap-check.inactive-l2") { withInactiveL2 = isOn }
    }
}

extension QCOW2Node {
    /// L1 tables of snapshots are read up to this many bytes together.
    private static var mostInactiveTables: Int64 { 256 << 20 }

    /// Reads the L1 tables of snapshots, where their L2 tables are to be protected.
    func loadProtected() throws(BlockError) {
        guard overlaps.withInactiveL2, !isReadOnly else { return }
        protectedInactiveL2 = []
        var rest = Self.mostInactiveTables
        for snapshot in snapshotList {
            try checkL1(snapshot)
            rest -= Int64(snapshot.l1Size) * 8
            guard rest >= 0 else {
                throw BlockError(
                    .outOfRange, "The tables of the snapshots are too large for overlap-check.inactive-l2")
            }
            for entry in try Self.readL1(file, offset: snapshot.l1Offset, entries: snapshot.l1Size)
            where entry & L2Entry.offsetMask != 0 {
                protectedInactiveL2.insert(entry & L2Entry.offsetMask)
            }
        }
    }
}
