// SPDX-License-Identifier: Apache-2.0

/// An attribute; its name has its prefix, if any.
public struct XMLAttribute: Equatable, Sendable {
    /// With its prefix, if any.
    public var name: String
    /// As it means, not as it is escaped.
    public var value: String
    /// Nothing is checked: the printer escapes the value.
    public init(_ name: String, _ value: String) {
        self.name = name
        self.value = value
    }
}

/// What an element contains.
public enum XMLNode: Equatable, Sendable {
    case element(XMLElement)
    case text(String)

    /// The element, if it is one.
    public var element: XMLElement? { if case .element(let element) = self { element } else { nil } }
}

/// An element with its attributes and contents, a value. Names have their prefixes; declarations of namespaces are
/// attributes (`xmlns:qemu`).
public struct XMLElement: Equatable, Sendable {
    /// With its prefix, if any.
    public var name: String
    /// In the order of the document; names are unique when they come from the parser.
    public var attributes: [XMLAttribute]
    /// Elements and texts in their order.
    public var children: [XMLNode]

    /// An element with contents of any kind.
    public init(_ name: String, _ attributes: [XMLAttribute] = [], children: [XMLNode] = []) {
        self.name = name
        self.attributes = attributes
        self.children = children
    }

    /// An element with attributes in the order of the pairs, without those that are nil, and with elements in it.
    public init(_ name: String, _ attributes: KeyValuePairs<String, String?>, _ elements: [XMLElement] = []) {
        self.name = name
        self.attributes = attributes.compactMap { pair in pair.value.map { XMLAttribute(pair.key, $0) } }
        children = elements.map { .element($0) }
    }

    /// An element that contains text.
    public init(_ name: String, text: String) {
        self.init(name, [], children: [.text(text)])
    }

    /// The value of an attribute. Setting appends a new one; nil removes it.
    public subscript(_ attribute: String) -> String? {
        get { attributes.first { $0.name == attribute }?.value }
        set {
            let place = attributes.firstIndex { $0.name == attribute }
            switch (place, newValue) {
            case (let place?, let value?): attributes[place].value = value
            case (let place?, nil): attributes.remove(at: place)
            case (nil, let value?): attributes.append(XMLAttribute(attribute, value))
            case (nil, nil): break
            }
        }
    }

    /// The elements in it.
    public var elements: [XMLElement] {
        get { children.compactMap(\.element) }
        set { children = newValue.map { .element($0) } }
    }

    /// The first element of a name in it. Setting replaces it or appends; nil removes it.
    public subscript(child name: String) -> XMLElement? {
        get {
            for case .element(let element) in children where element.name == name { return element }
            return nil
        }
        set {
            let place = children.firstIndex { $0.element?.name == name }
            switch (place, newValue) {
            case (let place?, let element?): children[place] = .element(element)
            case (let place?, nil): children.remove(at: place)
            case (nil, let element?): children.append(.element(element))
            case (nil, nil): break
            }
        }
    }

    /// The elements of a name in it.
    public func all(_ name: String) -> [XMLElement] { elements.filter { $0.name == name } }

    /// The element that a path of names leads to, the first of each name.
    public func at(_ path: String...) -> XMLElement? {
        var found: XMLElement? = self
        for name in path { found = found?[child: name] }
        return found
    }

    /// Appends an element.
    public mutating func append(_ element: XMLElement) { children.append(.element(element)) }

    /// The text in it, without that of inner elements.
    public var text: String {
        get { children.reduce(into: "") { if case .text(let part) = $1 { $0 += part } } }
        set { children = [.text(newValue)] }
    }

    /// Whether nothing is in it.
    public var isEmpty: Bool { attributes.isEmpty && children.isEmpty }
}
