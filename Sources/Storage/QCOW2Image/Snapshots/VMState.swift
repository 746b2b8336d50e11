// SPDX-License-Identifier: Apache-2.0

public import BlockLayer
internal import HostSystem

/// Machine state lies in the guest's address space behind the disk, from the next L1 entry on. `createSnapshot` with a
/// `vmStateSize` leaves it to the snapshot alone; `applySnapshot` brings it back.
extension QCOW2Node: VMStateStore {
    /// More state than this no machine has; with the place behind the disk it stays far from what Int64 holds.
    private static var longestState: Int64 { 1 << 46 }

    private func stateRange(_ position: Int64, _ count: Int) throws(BlockError) -> Int64 {
        guard position >= 0, position <= Self.longestState, Int64(count) <= Self.longestState - position else {
            throw BlockError(.outOfRange, "\(location.filename): the machine state is too long", errno: .fileTooLarge)
        }
        return lock.withLock { vmStateStart } + position
    }

    /// Reads machine state; what was never written reads as zeroes.
    public func readVMState(_ region: ByteRegion, at position: Int64) throws(BlockError) {
        let offset = try stateRange(position, region.count)
        try lock.withLock { () throws(BlockError) in try checkUsable() }
        try readExtents(region, at: offset, isState: true)
    }

    /// Writes machine state, with a longer L1 table where it needs one.
    public func writeVMState(_ region: ByteRegion, at position: Int64) throws(BlockError) {
        try checkWritable()
        guard region.count > 0 else { return }
        let offset = try stateRange(position, region.count)
        let entries = Int64(geometry.l1Index(offset + Int64(region.count) - 1)) + 1
        guard entries <= Format.maximumL1Size / 8 else {
            throw BlockError(
                .outOfRange, "\(location.filename): the machine state does not fit behind the disk",
                errno: .fileTooLarge)
        }
        try exclusively { () throws(BlockError) in
            try checkUsable()
            if entries > l1.count { try growL1(to: Int(entries)) }
        }
        try writeExtents([region], at: offset, isState: true)
    }
}
