// SPDX-License-Identifier: Apache-2.0

internal import ManagementModel
internal import XMLTree

/// Variables of a filter's rules: `$A`, `$A[2]` and `$A[@1]`, and the values that a rule is repeated for.
struct RuleVariables {
    /// Addresses that the guest is seen to use, when nobody says which it has.
    static let learned = ["IP": "@learned4", "IPV6": "@learned6"]

    let values: [String: [String]]

    /// The values for a device: what the binding gives, and what is known without it.
    init(_ binding: FilterBinding) {
        var values = binding.parameters
        values["MAC"] = [binding.mac]
        for (name, set) in Self.learned where values[name] == nil { values[name] = [set] }
        self.values = values
    }

    private init(_ values: [String: [String]]) { self.values = values }

    /// The same with what a reference to another filter adds.
    func adding(_ more: [String: [String]]) -> RuleVariables {
        // The guest's own address is nobody's to choose.
        RuleVariables(values.merging(more) { _, new in new }.merging(["MAC": values["MAC"] ?? []]) { _, own in own })
    }

    private struct Access: Hashable {
        let name: String
        /// The value that is always taken.
        var index: Int?
        /// Who goes through the values together.
        var iterator = 0
    }

    private static func access(_ text: String) throws -> Access? {
        guard text.hasPrefix("$") else { return nil }
        let body = text.dropFirst()
        guard let bracket = body.firstIndex(of: "[") else { return Access(name: String(body)) }
        let inner = body[body.index(after: bracket)...].dropLast()
        var access = Access(name: String(body[..<bracket]))
        if inner.hasPrefix("@"), let number = Int(inner.dropFirst()), number >= 0 {
            access.iterator = number
        } else if let number = Int(inner), number >= 0, body.hasSuffix("]") {
            access.index = number
        } else {
            throw ManagementError(.invalidArg, "malformed variable access '\(text)'", from: .networkFilter)
        }
        return access
    }

    /// Repetitions that one rule may ask for.
    private static let limit = 4096

    /// The attributes of a rule's protocol, once for each combination of the variables' values: those of one iterator
    /// go side by side, different iterators through all combinations.
    func expand(_ attributes: [(name: String, value: String)]) throws -> [[String: String]] {
        let accesses = try attributes.map { try Self.access($0.value) }
        var lengths: [Int: Int] = [:]
        for case let access? in accesses {
            guard let list = values[access.name], !list.isEmpty else {
                throw ManagementError(
                    .internalError, "Could not instantiate filter: the variable '\(access.name)' has no value",
                    from: .networkFilter)
            }
            guard access.index == nil else { continue }
            if let known = lengths[access.iterator], known != list.count {
                throw ManagementError(
                    .internalError, "Cardinality of list items must be the same for processing them in parallel",
                    from: .networkFilter)
            }
            lengths[access.iterator] = list.count
        }
        let iterators = lengths.sorted { $0.key < $1.key }
        let total = iterators.reduce(1) { $0 > Self.limit ? $0 : $0 * $1.value }
        guard total <= Self.limit else {
            throw ManagementError(
                .internalError, "a filter's rule has more than \(Self.limit) forms", from: .networkFilter)
        }
        return try (0..<total).map { combination in
            var rest = combination
            var places: [Int: Int] = [:]
            for (iterator, length) in iterators {
                places[iterator] = rest % length
                rest /= length
            }
            var expanded: [String: String] = [:]
            for (attribute, access) in zip(attributes, accesses) {
                guard let access else {
                    expanded[attribute.name] = attribute.value
                    continue
                }
                let list = values[access.name] ?? []
                let place = access.index ?? places[access.iterator] ?? 0
                guard place < list.count else {
                    throw ManagementError(
                        .internalError, "the variable '\(access.name)' has no value number \(place)",
                        from: .networkFilter)
                }
                expanded[attribute.name] = list[place]
            }
            return expanded
        }
    }
}
