// SPDX-License-Identifier: Apache-2.0

internal import Diagnostics

/// What the receiving side says: at the end of each round and in the end.
enum MigrationAnswer {
    /// How the sentence of a refusal begins.
    static let refusalWords = "the other side refuses"
    /// Everything up to a round's end is in its place.
    static let received: UInt8 = 0x41
    static let accepted: UInt8 = 0x52
    static let refused: UInt8 = 0x45

    static func refusal(_ text: String) -> [UInt8] {
        let bytes = Array(text.utf8.prefix(4096))
        return [refused, UInt8(bytes.count & 0xFF), UInt8(bytes.count >> 8)] + bytes
    }
}

extension MigrationChannel {
    /// Waits until the other side has put a round's memory in its place.
    func readRoundsAnswer() throws(UserError) {
        guard try read(count: 1)[0] != MigrationAnswer.received else { return }
        throw try readRefusal()
    }

    /// Until the other side has said that the guest runs there, it may have to go on here; a side that is gone has said
    /// nothing.
    func readLastAnswer() throws(UserError) {
        var kind = MigrationAnswer.received
        // An answer to a round may come before, where the round's sender has not waited for it.
        while kind == MigrationAnswer.received { kind = try read(count: 1)[0] }
        guard kind != MigrationAnswer.accepted else { return }
        throw try readRefusal()
    }

    /// The sentence behind a refusal's first byte.
    private func readRefusal() throws(UserError) -> UserError {
        let length = try read(count: 2)
        let text = try read(count: Int(length[0]) | Int(length[1]) << 8)
        return UserError("\(MigrationAnswer.refusalWords): \(String(decoding: text, as: UTF8.self))")
    }
}
