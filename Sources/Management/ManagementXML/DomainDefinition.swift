// SPDX-License-Identifier: Apache-2.0

public import ManagementModel
public import XMLTree

/// What the defaults of a machine's document depend on.
public struct DomainContext: Sendable {
    /// The emulator of an architecture; nil for one that cannot run here.
    public var emulator: @Sendable (_ architecture: String) -> String?
    /// The versioned name of a kind of machine of an emulator, nil for the standard one; nil for a kind that it does not
    /// have. Throws for a program that is not there.
    public var canonicalMachine: @Sendable (_ name: String, _ emulator: String?) throws -> String?
    /// Whether an emulator, nil for the standard one, has a device. One that cannot be asked has all.
    public var hasDevice: @Sendable (_ device: String, _ emulator: String?) -> Bool
    /// The folder of the variables of machines with firmware in flash memory.
    public var variableStores: String
    /// The kind of machine when none is named.
    public var defaultMachine = "pc"
    /// The host's architecture.
    public var architecture = "x86_64"

    /// How to find the emulator of an architecture, and the versioned name of a machine type.
    public init(
        emulator: @escaping @Sendable (String) -> String?,
        canonicalMachine: @escaping @Sendable (String, String?) throws -> String?,
        hasDevice: @escaping @Sendable (String, String?) -> Bool = { _, _ in true },
        variableStores: String = "/var/lib/libvirt/qemu/nvram"
    ) {
        self.hasDevice = hasDevice
        self.variableStores = variableStores
        self.emulator = emulator
        self.canonicalMachine = canonicalMachine
    }
}

/// A machine's document, complete: all that was left out is filled in, all is in the order of printing.
public struct DomainDefinition: Equatable, Sendable {
    /// The document.
    public var root: XMLElement

    /// Takes a document that is complete already, one that this service wrote.
    public init(complete root: XMLElement) { self.root = root }

    /// Reads what a client sent and fills in what it left out.
    /// - Throws: what libvirt says about a document that it does not take.
    /// - Parameter validates: whether elements and attributes that nobody knows are refused instead of kept.
    public init(parsing text: String, _ context: DomainContext, validates: Bool = false) throws {
        let document = try XMLDocument.parse(text, as: "domain", called: "domain_definition")
        if validates { try Grammar.domain.validate(document, schema: "domain.rng") }
        try self.init(document, context)
    }

    /// Fills in what a document leaves out.
    public init(_ document: XMLElement, _ context: DomainContext) throws {
        var builder = DomainBuilder(root: document, context: context)
        try builder.build()
        root = builder.root
    }

    /// The name.
    public var name: String {
        get { root[child: "name"]?.text ?? "" }
        set { root[child: "name"] = XMLElement("name", text: newValue) }
    }

    /// The UUID.
    public var uuid: UniqueID {
        root[child: "uuid"].flatMap { UniqueID($0.text) } ?? UniqueID(bytes: [])
    }

    /// `kvm` or `qemu`.
    public var type: String { root["type"] ?? "qemu" }
    /// The title, if it has one.
    public var title: String? { root[child: "title"]?.text }
    /// Memory in KiB that the machine boots with.
    public var maximumMemory: UInt64 { root[child: "memory"].flatMap { UInt64($0.text) } ?? 0 }
    /// Memory in KiB that the guest may use now.
    public var memory: UInt64 { root[child: "currentMemory"].flatMap { UInt64($0.text) } ?? maximumMemory }
    /// Processors that the machine may have.
    public var maximumProcessors: Int { root[child: "vcpu"].flatMap { Int($0.text) } ?? 1 }
    /// Processors that it starts with.
    public var processors: Int { root[child: "vcpu"]?["current"].flatMap { Int($0) } ?? maximumProcessors }
    /// `hvm`.
    public var osType: String { root.at("os", "type")?.text ?? "hvm" }
    /// `x86_64`, `i686`.
    public var architecture: String { root.at("os", "type")?["arch"] ?? "x86_64" }
    /// The versioned kind of machine.
    public var machine: String { root.at("os", "type")?["machine"] ?? "" }
    /// The program that runs it.
    public var emulator: String { root.at("devices", "emulator")?.text ?? "" }
    /// All devices, in order.
    public var devices: [XMLElement] {
        get { root[child: "devices"]?.elements ?? [] }
        set {
            var devices = root[child: "devices"] ?? XMLElement("devices")
            devices.elements = newValue
            root[child: "devices"] = devices
        }
    }

    /// The document as it is printed.
    /// - Parameter secure: whether passwords are in it.
    public func printed(secure: Bool = true, id: Int32? = nil) -> String {
        var document = root
        if !secure { document.removeSecrets() }
        if let id, id >= 0 {
            document.attributes.insert(XMLAttribute("id", "\(id)"), at: min(1, document.attributes.count))
        }
        return document.printed(Self.style)
    }

    /// The document without passwords.
    public var withoutSecrets: XMLElement {
        var copy = root
        copy.removeSecrets()
        return copy
    }

    static let style = XMLElement.Style(foreign: ["metadata"])
}

extension XMLElement {
    /// Drops passwords of displays.
    fileprivate mutating func removeSecrets() {
        guard var devices = self[child: "devices"] else { return }
        for place in devices.children.indices {
            guard case .element(var device) = devices.children[place], device.name == "graphics" else { continue }
            device["passwd"] = nil
            devices.children[place] = .element(device)
        }
        self[child: "devices"] = devices
    }
}

extension DomainDefinition {
    /// Puts elements in order after a change.
    public mutating func order() { Grammar.domain.order(&root) }
}

/// Reading documents of any kind.
public enum XMLDocument {
    /// The root of a document.
    /// - Parameters:
    ///   - name: what the root must be called.
    ///   - called: what messages call the document.
    public static func parse(_ text: String, as name: String, called: String) throws -> XMLElement {
        let root = try parseAny(text, called: called)
        guard root.name == name else {
            throw ManagementError(
                .xmlError, "unexpected root element <\(root.name)>, expecting <\(name)>", from: .domain)
        }
        return root
    }

    /// The root of a document, whatever it is called.
    public static func parseAny(_ text: String, called: String) throws -> XMLElement {
        do throws(XMLSyntaxError) { return try XMLParser.parse(text) } catch {
            let pointer = String(repeating: "-", count: max(0, error.column)) + "^"
            throw ManagementError(
                .xmlDetail, "(\(called)):\(error.line): \(error.message)\n\(error.context)\n\(pointer)", from: .xml)
        }
    }
}
