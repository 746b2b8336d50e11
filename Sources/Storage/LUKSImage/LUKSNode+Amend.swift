// SPDX-License-Identifier: Apache-2.0

public import BlockLayer

extension LUKSNode: AmendableNode {
    /// Fills or erases keyslots: see `LUKSVolume.amend`.
    /// - Parameter force: also destroy the last key, or overwrite a slot in use.
    public func amend(
        _ options: CreateOptions, force: Bool, progress: (Double) -> Void
    ) throws(BlockError) {
        try checkWritable()
        // Nobody may read the keys while they change.
        try (file as? any LockableNode)?.lock(
            holds: [.consistentRead, .write, .resize], shares: [.writeUnchanged, .resize])
        try volume.amend(force: force, secrets: secrets) { options.isSet($0) ? options.string($0) : nil }
    }
}
