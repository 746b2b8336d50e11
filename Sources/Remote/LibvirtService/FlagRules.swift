// SPDX-License-Identifier: Apache-2.0

package import LibvirtProtocol
internal import LibvirtRPC
internal import ManagementModel
package import XDRCoding

/// The bits that calls know in their flags. A bit that a call does not know may mean anything, so the call is refused.
package enum FlagRules {
    private struct Rule {
        let known: UInt32
        let function: Substring
    }

    private static let rules: [Int32: Rule] = table.split(separator: "\n").reduce(into: [:]) { rules, line in
        let words = line.split(separator: " ")
        guard words.count == 3, let number = Int32(words[0]), let known = UInt32(words[1], radix: 16) else { return }
        rules[number] = Rule(known: known, function: words[2])
    }

    /// Numbers of the calls that are checked.
    package static var numbers: [Int32] { rules.keys.sorted() }

    /// Refuses a call of the remote program whose flags, its last argument, have a bit that it does not know.
    package static func check(_ header: FrameHeader, _ payload: XDRReader) throws {
        guard header.program == WireProgram.remote.rawValue, let rule = rules[header.procedure],
            payload.remaining >= MemoryLayout<UInt32>.size
        else { return }
        var last = XDRReader(payload.bytes, at: payload.bytes.count &- MemoryLayout<UInt32>.size)
        try Flags.check(try last.word(), allowed: rule.known, String(rule.function))
    }
}
