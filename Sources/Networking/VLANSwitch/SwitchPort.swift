// SPDX-License-Identifier: Apache-2.0

/// Which VLANs a port of a switch carries.
public struct SwitchPort: Equatable, Sendable {
    /// VLANs whose frames leave with a tag.
    public var tagged: Set<UInt16>
    /// The VLAN of frames that come in without a tag; nil drops them.
    public var native: UInt16?
    /// Whether every other VLAN is carried with its tag, too.
    public var carriesAll: Bool

    /// Numbers that a VLAN may have.
    public static let numbers: ClosedRange<UInt16> = 1...4094

    /// A port of these VLANs.
    public init(tagged: Set<UInt16> = [], native: UInt16? = nil, carriesAll: Bool = false) {
        self.tagged = tagged
        self.native = native
        self.carriesAll = carriesAll
    }

    /// Whether frames of a VLAN pass.
    public func carries(_ vlan: UInt16) -> Bool { carriesAll || native == vlan || tagged.contains(vlan) }

    /// Whether frames of a VLAN that passes leave with a tag.
    public func tags(_ vlan: UInt16) -> Bool { native != vlan || tagged.contains(vlan) }

    /// The words of a command: `native=N`, `tagged=A,B`, `all`.
    public var words: [String] {
        var words: [String] = []
        if let native { words.append("native=\(native)") }
        if !tagged.isEmpty { words.append("tagged=" + tagged.sorted().map(String.init).joined(separator: ",")) }
        if carriesAll { words.append("all") }
        return words
    }

    /// Reads what `words` wrote; nil for words that mean nothing.
    public init?(words: [Substring]) {
        self.init()
        for word in words {
            if word == "all" {
                carriesAll = true
            } else if word.hasPrefix("native=") {
                guard let number = Self.number(word.dropFirst(7)) else { return nil }
                native = number
            } else if word.hasPrefix("tagged=") {
                let list = word.dropFirst(7).split(separator: ",", omittingEmptySubsequences: false).map(Self.number)
                guard !list.contains(nil) else { return nil }
                tagged = Set(list.compactMap { $0 })
            } else {
                return nil
            }
        }
    }

    private static func number(_ text: Substring) -> UInt16? {
        UInt16(text).flatMap { numbers.contains($0) ? $0 : nil }
    }
}
