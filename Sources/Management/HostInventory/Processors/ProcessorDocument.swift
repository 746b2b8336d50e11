// SPDX-License-Identifier: Apache-2.0

internal import ManagementModel
public import XMLTree

/// A `<cpu>` document: a host's processor, or what a guest wants of one.
public struct ProcessorDocument: Sendable {
    /// What a guest wants of a feature.
    public enum Policy: String, Sendable {
        case force, require, optional, disable, forbid
    }

    /// It has an `<arch>`: a host's; then its features have no policies.
    public var isHost: Bool
    /// Of a host.
    public var architecture: String?
    /// `custom`, `host-model`, `host-passthrough` or `maximum`; of a guest.
    public var mode = "custom"
    /// `exact`, `minimum` or `strict`; of a guest.
    public var match: String?
    /// The model's name.
    public var model: String?
    /// Whether another model may take its place.
    public var allowsFallback = true
    /// The maker.
    public var vendor: String?
    /// Features in their order; each name once.
    public var features: [(name: String, policy: Policy)] = []

    /// A host's, with features on top of a model.
    init(host model: String, vendor: String?, features: [String]) {
        isHost = true
        architecture = "x86_64"
        self.model = model
        self.vendor = vendor
        self.features = features.map { ($0, .require) }
    }

    /// A guest's with a model and nothing else.
    init(model: String) {
        isHost = false
        self.model = model
        match = "exact"
    }

    /// - Parameter isHost: how it is read; nil for what it looks like.
    /// - Throws: libvirt's error for what is no such document.
    public init(_ root: XMLElement, isHost wanted: Bool? = nil) throws {
        guard root.name == "cpu" else {
            throw Self.mistake("XML does not contain expected 'cpu' element")
        }
        isHost = wanted ?? (root[child: "arch"] != nil)
        if wanted == nil, isHost, root["match"] != nil {
            throw Self.mistake("'arch' element cannot be used inside 'cpu' element with 'match' attribute'")
        }
        if isHost { try takeHost(root) } else { try takeGuest(root) }
        model = root[child: "model"]?.text
        if model?.isEmpty == true { model = nil }
        vendor = root[child: "vendor"]?.text
        if isHost, model == nil { throw Self.mistake("Missing CPU model name") }
        if vendor != nil, model == nil { throw Self.mistake("CPU vendor specified without CPU model") }
        try checkTopology(root[child: "topology"])
        try takeFeatures(root.all("feature"))
    }

    private static func mistake(_ text: String) -> ManagementError { ManagementError(.xmlError, text, from: .cpu) }
    private static func unsupported(_ text: String) -> ManagementError {
        ManagementError(.configUnsupported, text, from: .cpu)
    }

    private mutating func takeHost(_ root: XMLElement) throws {
        guard root["mode"] == nil else { throw Self.unsupported("Attribute mode is only allowed for guest CPU") }
        guard let name = root[child: "arch"]?.text, !name.isEmpty else {
            throw Self.mistake("Missing CPU architecture")
        }
        guard DomainCapabilities.knows(architecture: name) else {
            throw Self.unsupported("Unknown architecture \(name)")
        }
        architecture = name
    }

    private mutating func takeGuest(_ root: XMLElement) throws {
        mode = root["mode"] ?? "custom"
        guard ["custom", "host-model", "host-passthrough", "maximum"].contains(mode) else {
            throw Self.unsupported("Invalid mode attribute '\(mode)'")
        }
        if root["migratable"] != nil, mode != "host-passthrough", mode != "maximum" {
            throw Self.unsupported(
                "Attribute migratable is only allowed for 'host-passthrough' / 'maximum' CPU mode")
        }
        match = root["match"]
        if let match, !["minimum", "exact", "strict"].contains(match) {
            throw Self.mistake("Invalid value for attribute 'match' in element 'cpu': '\(match)'.")
        }
        if let check = root["check"], !["none", "partial", "full"].contains(check) {
            throw Self.mistake("Invalid value for attribute 'check' in element 'cpu': '\(check)'.")
        }
        switch root[child: "model"]?["fallback"] {
        case "forbid": allowsFallback = false
        case nil, "allow": break
        default: throw Self.unsupported("Invalid fallback attribute")
        }
    }

    private func checkTopology(_ topology: XMLElement?) throws {
        guard let topology else { return }
        for name in ["sockets", "cores", "threads"] {
            guard let text = topology[name] else {
                throw Self.mistake("Missing required attribute '\(name)' in element 'topology'")
            }
            guard UInt32(text) ?? 0 > 0 else {
                throw Self.mistake("Invalid value for attribute '\(name)' in element 'topology': '\(text)'.")
            }
        }
    }

    private mutating func takeFeatures(_ elements: [XMLElement]) throws {
        if !elements.isEmpty, model == nil, !isHost, mode == "custom" {
            throw Self.mistake("Non-empty feature list specified without CPU model")
        }
        var seen: Set<String> = []
        for element in elements {
            var policy = Policy.require
            if !isHost, let text = element["policy"] {
                guard let known = Policy(rawValue: text) else { throw Self.unsupported("Invalid CPU feature policy") }
                policy = known
            }
            guard let name = element["name"], !name.isEmpty else { throw Self.mistake("Invalid CPU feature name") }
            guard seen.insert(name).inserted else {
                throw Self.mistake("CPU feature '\(name)' specified more than once")
            }
            features.append((name, policy))
        }
    }

    /// A guest's document: the model and what differs from it.
    public var elements: [XMLElement] {
        var list: [XMLElement] = []
        if let model {
            var element = XMLElement("model", text: model)
            element["fallback"] = allowsFallback ? "allow" : "forbid"
            list.append(element)
        }
        if let vendor { list.append(XMLElement("vendor", text: vendor)) }
        return list + features.map { XMLElement("feature", ["policy": $0.policy.rawValue, "name": $0.name]) }
    }

    /// As text, for clients.
    public var document: String { XMLElement("cpu", ["mode": mode, "match": match], elements).printed() }
}
