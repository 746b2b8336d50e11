// SPDX-License-Identifier: Apache-2.0

/// The members of a JSON object in the order in which they were added; names are unique.
public struct JSONObject: Equatable, Sendable {
    /// One name with its value.
    public struct Member: Equatable, Sendable {
        /// Any text; escapes are resolved.
        public let name: String
        /// What it is set to.
        public var value: JSONValue
        /// A member that no parser made.
        public init(name: String, value: JSONValue) {
            self.name = name
            self.value = value
        }
    }

    /// All members in order.
    public private(set) var members: [Member] = []
    /// Places by name, kept only for objects so large that a linear search would be slow.
    private var places: [String: Int] = [:]
    private static let indexedAbove = 16

    /// An object without members.
    public init() {}

    /// An object of these members; of a repeated name the last value counts.
    public init(_ members: [(String, JSONValue)]) {
        for (name, value) in members { self[name] = value }
    }

    /// The order of the members counts.
    public static func == (left: JSONObject, right: JSONObject) -> Bool { left.members == right.members }

    /// The number of members.
    public var count: Int { members.count }
    /// No members.
    public var isEmpty: Bool { members.isEmpty }
    /// The names in order.
    public var names: [String] { members.map(\.name) }

    /// The value of a member. Setting a new name appends it, setting nil removes it.
    public subscript(_ name: String) -> JSONValue? {
        get { place(of: name).map { members[$0].value } }
        set {
            switch (place(of: name), newValue) {
            case (let place?, let value?): members[place].value = value
            case (nil, let value?): append(name, value)
            case (let place?, nil): remove(at: place)
            case (nil, nil): break
            }
        }
    }

    /// Takes a member out.
    @discardableResult
    public mutating func removeValue(forName name: String) -> JSONValue? {
        guard let place = place(of: name) else { return nil }
        let value = members[place].value
        remove(at: place)
        return value
    }

    private func place(of name: String) -> Int? {
        if members.count > Self.indexedAbove { return places[name] }
        return members.firstIndex { $0.name == name }
    }

    private mutating func append(_ name: String, _ value: JSONValue) {
        members.append(Member(name: name, value: value))
        if members.count == Self.indexedAbove + 1 {
            for (place, member) in members.enumerated() { places[member.name] = place }
        } else if members.count > Self.indexedAbove {
            places[name] = members.count - 1
        }
    }

    private mutating func remove(at place: Int) {
        members.remove(at: place)
        places = [:]
        guard members.count > Self.indexedAbove else { return }
        for (place, member) in members.enumerated() { places[member.name] = place }
    }
}

extension JSONObject: ExpressibleByDictionaryLiteral {
    /// Of a name that comes twice the last value counts, at the first one's place.
    public init(dictionaryLiteral elements: (String, JSONValue)...) { self.init(elements) }
}
