// SPDX-License-Identifier: Apache-2.0

public import BlockLayer

extension LUKSVolume {
    /// Fills or erases keyslots: `state=active,new-secret=ID` or `state=inactive` with `keyslot` or `old-secret`.
    /// - Parameters:
    ///   - force: also destroy the last key, or overwrite a slot in use.
    ///   - value: the text of an option, nil when not given.
    public func amend(
        force: Bool, secrets: any SecretProvider, options value: (String) -> String?
    ) throws(BlockError) {
        switch value("state") {
        case nil: throw BlockError(.invalidArgument, "Parameter 'state' is missing")
        case "active": try addKey(value, force, secrets)
        case "inactive": try eraseKeys(value, force, secrets)
        case let other?: throw BlockError(.invalidArgument, "Parameter 'state' does not accept value '\(other)'")
        }
    }

    private func refuse(_ text: String) -> BlockError { BlockError(.invalidArgument, text) }

    private func slot(_ value: (String) -> String?) throws(BlockError) -> Int? {
        guard let text = value("keyslot") else { return nil }
        let number = Int64(text) ?? -1
        guard number >= 0, number < Int64(LUKSHeader.slotCount) else {
            throw refuse("Invalid keyslot \(number) specified, must be between 0 and \(LUKSHeader.slotCount - 1)")
        }
        return Int(number)
    }

    private func addKey(_ value: (String) -> String?, _ force: Bool, _ secrets: any SecretProvider) throws(BlockError) {
        guard let secret = value("new-secret") else {
            throw refuse("'new-secret' is required to activate a keyslot")
        }
        if value("old-secret") != nil { throw refuse("'old-secret' must not be given when activating keyslots") }
        let active = activeSlots
        let given = try slot(value)
        guard let index = given ?? (0..<LUKSHeader.slotCount).first(where: { !active.contains($0) }) else {
            throw refuse("Can't add a keyslot - all keyslots are in use")
        }
        if active.contains(index), !force {
            throw refuse("Refusing to overwrite active keyslot \(index) - please erase it first")
        }
        let time = try LUKSVolume.iterationTime(value("iter-time"))
        try setSlot(index, passphrase: try secrets.secret(secret), milliseconds: time)
    }

    private func eraseKeys(_ value: (String) -> String?, _ force: Bool, _ secrets: any SecretProvider)
        throws(BlockError)
    {
        for name in ["new-secret", "iter-time"] where value(name) != nil {
            throw refuse("'\(name)' must not be given when erasing keyslots")
        }
        var matching: [Int]?
        if let old = value("old-secret") { matching = try slots(openedBy: try secrets.secret(old)) }
        let active = activeSlots
        if let index = try slot(value) {
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
            return try eraseSlot(index)
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
        for index in matching { try eraseSlot(index) }
    }
}
