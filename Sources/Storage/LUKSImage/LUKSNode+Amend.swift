// SPDX-License-Identifier: Apache-2.0

public import BlockLayer

extension LUKSNode: AmendableNode {
    /// Fills or erases keyslots: `state=active,new-secret=ID` or `state=inactive` with `keyslot` or `old-secret`.
    /// - Parameter force: also destroy the last key, or overwrite a slot in use.
    public func amend(
        _ options: CreateOptions, force: Bool, progress: (Double) -> Void
    ) throws(BlockError) {
        try checkWritable()
        // Nobody may read the keys while they change.
        try (file as? any LockableNode)?.lock(
            holds: [.consistentRead, .write, .resize], shares: [.writeUnchanged, .resize])
        switch options.string("state") {
        case nil: throw BlockError(.invalidArgument, "Parameter 'state' is missing")
        case "active": try addKey(options, force)
        case "inactive": try eraseKeys(options, force)
        case let other?: throw BlockError(.invalidArgument, "Parameter 'state' does not accept value '\(other)'")
        }
        progress(1)
    }

    private func refuse(_ text: String) -> BlockError { BlockError(.invalidArgument, text) }

    private func slot(_ options: CreateOptions) throws(BlockError) -> Int? {
        guard options.isSet("keyslot") else { return nil }
        let number = options.number("keyslot") ?? -1
        guard number >= 0, number < Int64(LUKSHeader.slotCount) else {
            throw refuse("Invalid keyslot \(number) specified, must be between 0 and \(LUKSHeader.slotCount - 1)")
        }
        return Int(number)
    }

    private func addKey(_ options: CreateOptions, _ force: Bool) throws(BlockError) {
        guard let secret = options.string("new-secret") else {
            throw refuse("'new-secret' is required to activate a keyslot")
        }
        if options.isSet("old-secret") { throw refuse("'old-secret' must not be given when activating keyslots") }
        let active = volume.activeSlots
        let given = try slot(options)
        guard let index = given ?? (0..<LUKSHeader.slotCount).first(where: { !active.contains($0) }) else {
            throw refuse("Can't add a keyslot - all keyslots are in use")
        }
        if active.contains(index), !force {
            throw refuse("Refusing to overwrite active keyslot \(index) - please erase it first")
        }
        let time = try LUKSVolume.iterationTime(options.isSet("iter-time") ? options.string("iter-time") : nil)
        try volume.setSlot(index, passphrase: try secrets.secret(secret), milliseconds: time)
    }

    private func eraseKeys(_ options: CreateOptions, _ force: Bool) throws(BlockError) {
        for name in ["new-secret", "iter-time"] where options.isSet(name) {
            throw refuse("'\(name)' must not be given when erasing keyslots")
        }
        var matching: [Int]?
        if let old = options.string("old-secret") { matching = try volume.slots(openedBy: try secrets.secret(old)) }
        let active = volume.activeSlots
        if let index = try slot(options) {
            if let matching, !matching.contains(index) {
                throw refuse("Given keyslot \(index) doesn't contain the given old password for erase operation")
            }
            if !force, !active.contains(index) {
                throw refuse("Given keyslot \(index) is already erased (inactive) ")
            }
            if !force, active.count == 1 {
                throw refuse(
                    "Attempt to erase the only active keyslot \(index) which will erase all the data in the image irreversibly - refusing operation"
                )
            }
            return try volume.eraseSlot(index)
        }
        guard let matching else {
            throw refuse(
                "To erase keyslot(s), either explicit keyslot index or the password currently contained in them must be given"
            )
        }
        if matching.isEmpty { throw refuse("No keyslots match given (old) password for erase operation") }
        if !force, matching.count == active.count {
            throw refuse(
                "All the active keyslots match the (old) password that was given and erasing them will erase all the data in the image irreversibly - refusing operation"
            )
        }
        for index in matching { try volume.eraseSlot(index) }
    }
}
