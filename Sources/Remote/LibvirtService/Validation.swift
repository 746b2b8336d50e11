// SPDX-License-Identifier: Apache-2.0

internal import ManagementXML

/// Documents that a client wants validated before they are taken.
enum Validation {
    /// The flag of most calls, and the one of volumes.
    static let usualBit: UInt32 = 1, volumeBit: UInt32 = 4

    /// Throws libvirt's error for a document that the schema does not allow, where the flag asks for it.
    static func check(
        _ text: String, _ flags: UInt32, bit: UInt32 = usualBit, _ grammar: Grammar, schema: String
    ) throws {
        guard flags & bit != 0 else { return }
        try grammar.validate(try XMLDocument.parseAny(text, called: "(definition)"), schema: schema)
    }
}
