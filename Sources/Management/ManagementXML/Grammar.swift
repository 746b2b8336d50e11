// SPDX-License-Identifier: Apache-2.0

public import XMLTree

/// Which elements and attributes a kind of document has and the order in which they are printed. What is not in it is
/// kept, behind what is.
public final class Grammar: Sendable {
    /// An element's attributes and contents.
    final class Rule: Sendable {
        let attributes: [String: Int]
        let children: [String: (rank: Int, rule: Int)]

        init(attributes: [String: Int], children: [String: (rank: Int, rule: Int)]) {
            self.attributes = attributes
            self.children = children
        }
    }

    private let rules: [Rule]
    private let shared: [String: Int]
    /// The name of the outermost element.
    let rootName: String

    /// Reads the declaration: a level is two blanks; `@` marks an attribute, `^` an element as above. Elements at the
    /// outermost level behind the first stand for all of their names that declare nothing themselves.
    init(_ text: String) {
        var made: [(name: String, level: Int, attributes: [String], children: [(String, Int)], isReference: Bool)] = []
        var open: [Int] = []
        var shared: [String: Int] = [:]
        for line in text.split(separator: "\n") {
            let level = line.prefix { $0 == " " }.count / 2
            let words = line.split(separator: " ")
            guard let name = words.first else { continue }
            let number = made.count
            let attributes = words.dropFirst().filter { $0.first == "@" }.map { String($0.dropFirst()) }
            made.append((String(name), level, attributes, [], words.last == "^"))
            open.removeSubrange(min(level, open.count)...)
            if let parent = open.last {
                // An element that contains itself is the one above of its name.
                let target =
                    words.last == "^" ? open.last { made[$0].name == name } ?? open.dropLast().last ?? number : number
                made[parent].children.append((String(name), target))
            } else if number > 0 {
                shared[String(name)] = number
            }
            open.append(number)
        }
        self.shared = shared
        rootName = made.first?.name ?? ""
        rules = made.map { entry in
            Rule(
                attributes: Dictionary(entry.attributes.enumerated().map { ($0.element, $0.offset) }) { first, _ in
                    first
                },
                children: Dictionary(
                    entry.children.enumerated().map { ($0.element.0, ($0.offset, $0.element.1)) }
                ) { first, _ in first })
        }
    }

    /// Whether an element of this path below the root is declared.
    public func declares(_ path: String...) -> Bool {
        var rule = rules[0]
        for name in path {
            guard let child = rule.children[name] else { return false }
            rule = rules[child.rule]
        }
        return true
    }

    /// An element that is declared, for tests that go through all of them.
    package struct Declared {
        package let path: [String]
        package let attributes: [String]
        /// Elements in it, in order; without those that contain themselves.
        package let children: [String]
    }

    /// All that is declared, the outermost first.
    package var declared: [Declared] {
        var found: [Declared] = []
        func visit(_ number: Int, _ path: [String], _ above: Set<Int>) {
            let rule = rules[number]
            let children = rule.children.sorted { $0.value.rank < $1.value.rank }.filter {
                !above.contains($0.value.rule) && $0.value.rule != number
            }
            var attributes = rule.attributes.sorted { $0.value < $1.value }.map(\.key)
            if attributes.isEmpty && children.isEmpty, let common = path.last.flatMap({ shared[$0] }) {
                attributes = rules[common].attributes.sorted { $0.value < $1.value }.map(\.key)
            }
            found.append(Declared(path: path, attributes: attributes, children: children.map(\.key)))
            for child in children { visit(child.value.rule, path + [child.key], above.union([number])) }
        }
        visit(0, [rootName], [])
        return found
    }

    /// The first element or attribute that is not declared, as a path; nil for a document without any. What has a
    /// namespace of its own belongs to others.
    public func unknown(in element: XMLElement) -> String? { unknown(in: element, rules[0], element.name) }

    private func unknown(in element: XMLElement, _ rule: Rule, _ path: String) -> String? {
        // An element whose order nobody asks for declares nothing.
        guard !rule.attributes.isEmpty || !rule.children.isEmpty else { return nil }
        for attribute in element.attributes
        where rule.attributes[attribute.name] == nil && !Self.isForeign(attribute.name) {
            return "\(path)/@\(attribute.name)"
        }
        for child in element.elements where !Self.isForeign(child.name) && !Self.free.contains(child.name) {
            guard let known = rule.children[child.name] else { return "\(path)/\(child.name)" }
            var inner = rules[known.rule]
            if inner.attributes.isEmpty && inner.children.isEmpty, let common = shared[child.name] {
                inner = rules[common]
            }
            if let found = unknown(in: child, inner, "\(path)/\(child.name)") { return found }
        }
        return nil
    }

    private static func isForeign(_ name: String) -> Bool {
        name.contains(":") || name == "xmlns" || alsoKnown.contains(name)
    }

    /// Names that stand in more places than the declaration has them.
    private static let alsoKnown: Set<String> = [
        "id", "append", "mode", "index", "order", "filter", "type", "model", "uid", "level", "bits", "reconnect",
        "cipher", "commandline",
    ]

    /// Elements that may have anything in them.
    private static let free: Set<String> = ["metadata"]

    /// Puts attributes and elements in order, all the way down.
    public func order(_ element: inout XMLElement) { order(&element, rules[0]) }

    private static let last = Int.max

    private func order(_ element: inout XMLElement, _ rule: Rule) {
        element.attributes.stablySort { rule.attributes[$0.name] ?? Self.last }
        element.children.stablySort { node in
            node.element.flatMap { rule.children[$0.name]?.rank } ?? Self.last
        }
        for place in element.children.indices {
            guard case .element(var child) = element.children[place], !child.isEmpty else { continue }
            var inner = rule.children[child.name].map { rules[$0.rule] }
            if inner.map({ $0.attributes.isEmpty && $0.children.isEmpty }) ?? true, let common = shared[child.name] {
                inner = rules[common]
            }
            guard let inner else { continue }
            order(&child, inner)
            element.children[place] = .element(child)
        }
    }
}

extension Array {
    /// Sorts by a rank; what has the same keeps its order.
    mutating func stablySort(by rank: (Element) -> Int) {
        let ranks = map(rank)
        if zip(ranks, ranks.dropFirst()).allSatisfy({ $0 <= $1 }) { return }
        let places = indices.sorted { ranks[$0] != ranks[$1] ? ranks[$0] < ranks[$1] : $0 < $1 }
        self = places.map { self[$0] }
    }
}
