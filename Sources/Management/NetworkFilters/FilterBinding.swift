// SPDX-License-Identifier: Apache-2.0

public import ManagementModel
public import XMLTree

/// A device of this host that a filter stands in front of.
public struct FilterBinding: Equatable, Sendable {
    /// The machine that the device belongs to.
    public let owner: MachineReference
    /// The tap device.
    public let device: String
    /// The guest's address.
    public let mac: String
    /// The filter's name.
    public let filter: String
    /// What stands for the filter's variables.
    public let parameters: [String: [String]]

    /// A device and its filter.
    public init(
        owner: MachineReference, device: String, mac: String, filter: String, parameters: [String: [String]]
    ) {
        self.owner = owner
        self.device = device
        self.mac = mac
        self.filter = filter
        self.parameters = parameters
    }

    /// The filter that a machine's interface asks for; nil when it asks for none or has no tap device.
    public init?(interface: XMLElement, of owner: MachineReference) {
        guard let reference = interface[child: "filterref"], let filter = reference["filter"],
            let device = interface[child: "target"]?["dev"], let mac = interface[child: "mac"]?["address"]
        else { return nil }
        self.init(
            owner: owner, device: device, mac: mac, filter: filter, parameters: Self.parameters(of: reference))
    }

    /// Reads a binding's own document.
    init(parsing text: String) throws {
        let root: XMLElement
        do throws(XMLSyntaxError) { root = try XMLParser.parse(text) } catch {
            throw ManagementError(
                .xmlDetail, "(nwfilterbinding_definition):\(error.line): \(error.message)\n\(error.context)", from: .xml
            )
        }
        guard root.name == "filterbinding", let device = root[child: "portdev"]?["name"],
            let mac = root[child: "mac"]?["address"], let reference = root[child: "filterref"],
            let filter = reference["filter"]
        else {
            throw ManagementError(.xmlError, "filter binding has no portdev, mac or filterref", from: .networkFilter)
        }
        let owner = root[child: "owner"]
        self.init(
            owner: MachineReference(
                name: owner?[child: "name"]?.text ?? "",
                uuid: owner?[child: "uuid"].flatMap { UniqueID($0.text) } ?? UniqueID(bytes: []), id: -1),
            device: device, mac: mac, filter: filter, parameters: Self.parameters(of: reference))
    }

    /// Values of parameters, which may be given several times.
    static func parameters(of reference: XMLElement) -> [String: [String]] {
        var found: [String: [String]] = [:]
        for parameter in reference.all("parameter") {
            if let name = parameter["name"], let value = parameter["value"] { found[name, default: []].append(value) }
        }
        return found
    }

    /// The binding's document.
    public var document: String {
        let reference = XMLElement(
            "filterref", ["filter": filter],
            parameters.sorted { $0.key < $1.key }.flatMap { name, values in
                values.map { XMLElement("parameter", ["name": name, "value": $0]) }
            })
        return XMLElement(
            "filterbinding", [:],
            [
                XMLElement(
                    "owner", [:],
                    [XMLElement("name", text: owner.name), XMLElement("uuid", text: owner.uuid.description)]),
                XMLElement("portdev", ["name": device]), XMLElement("mac", ["address": mac]), reference,
            ]
        ).printed()
    }
}
