// SPDX-License-Identifier: Apache-2.0

internal import ManagementModel
internal import XMLTree

/// A change of one part of a network's document, in libvirt's numbers.
public struct NetworkChange: Sendable {
    /// What is done.
    public enum Command: UInt32, Sendable {
        case modify = 1, delete = 2, addLast = 3, addFirst = 4
    }

    /// Which part.
    public enum Section: UInt32, Sendable {
        case bridge = 1, domain = 2, ip = 3, dhcpHost = 4, dhcpRange = 5, forward = 6, forwardInterface = 7
        case forwardFunction = 8, portGroup = 9, dnsHost = 10, dnsText = 11, dnsService = 12
    }

    private let command: Command
    private let section: Section
    private let parent: Int
    private let element: XMLElement

    /// - Parameters:
    ///   - parent: which of several `<ip>` elements is meant; -1 for the first that fits.
    ///   - text: the part's document.
    public init(command: UInt32, section: UInt32, parent: Int32, _ text: String) throws {
        guard let command = Command(rawValue: command) else {
            throw ManagementError(
                .configUnsupported, "unrecognized network update command code \(command)", from: .network)
        }
        guard let section = Section(rawValue: section),
            ![.bridge, .domain, .ip, .forward, .forwardFunction].contains(section)
        else {
            throw ManagementError(
                .operationUnsupported, "can't update section \(section) of network", from: .network)
        }
        do throws(XMLSyntaxError) { element = try XMLParser.parse(text) } catch {
            throw ManagementError(
                .xmlDetail, "(network_update_xml):\(error.line): \(error.message)\n\(error.context)", from: .xml)
        }
        let names: [Section: String] = [
            .dhcpHost: "host", .dhcpRange: "range", .forwardInterface: "interface", .portGroup: "portgroup",
            .dnsHost: "host", .dnsText: "txt", .dnsService: "srv",
        ]
        guard element.name == names[section] else {
            throw ManagementError(
                .xmlError,
                "unexpected element <\(element.name)>, expecting <\(names[section] ?? "")>, while updating network",
                from: .network)
        }
        self.command = command
        self.section = section
        self.parent = Int(parent)
    }

    /// The changed document.
    func applied(to definition: NetworkDefinition) throws -> NetworkDefinition {
        var root = definition.root
        switch section {
        case .dhcpHost, .dhcpRange: try changeLeases(&root)
        case .dnsHost, .dnsText, .dnsService:
            var dns = root[child: "dns"] ?? XMLElement("dns")
            try change(&dns)
            root[child: "dns"] = dns.isEmpty ? nil : dns
        case .forwardInterface:
            guard var forward = root[child: "forward"] else {
                throw ManagementError(.operationUnsupported, "the network does not forward", from: .network)
            }
            try change(&forward)
            root[child: "forward"] = forward
        default: try change(&root)
        }
        return try NetworkDefinition(parsing: root.printed(.init(foreign: ["metadata"]))) { _ in true }
    }

    private func changeLeases(_ root: inout XMLElement) throws {
        let places = root.elements.indices.filter { root.elements[$0].name == "ip" }
        let wanted = element["ip"] ?? element["start"] ?? ""
        let isIPv6 = wanted.contains(":")
        let place: Int?
        if parent >= 0 {
            place = parent < places.count ? places[parent] : nil
        } else {
            let fitting = places.filter { (root.elements[$0]["family"] == "ipv6") == isIPv6 }
            place = fitting.first { root.elements[$0][child: "dhcp"] != nil } ?? fitting.first
        }
        guard let place else {
            throw ManagementError(
                .operationInvalid,
                "couldn't update dhcp \(element.name) entry - no <ip> element found at index \(parent) in network",
                from: .network)
        }
        var ip = root.elements[place]
        var dhcp = ip[child: "dhcp"] ?? XMLElement("dhcp")
        try change(&dhcp)
        ip[child: "dhcp"] = dhcp.isEmpty ? nil : dhcp
        root.elements[place] = ip
    }

    /// Whether an entry is the one that is meant.
    private func matches(_ entry: XMLElement) -> Bool {
        guard entry.name == element.name else { return false }
        let keys: [String]
        switch section {
        case .dhcpHost: keys = ["mac", "id", "name", "ip"]
        case .dhcpRange: keys = ["start", "end"]
        case .forwardInterface: keys = ["dev"]
        case .dnsHost: keys = ["ip"]
        case .dnsService: keys = ["service", "protocol", "domain", "target"]
        default: keys = ["name"]
        }
        if section == .dhcpHost && command == .modify {
            // What may change is found by what stays: the address of the card, else the name.
            if let mac = element["mac"] { return entry["mac"]?.lowercased() == mac.lowercased() }
            return entry["name"] == element["name"]
        }
        let asked = keys.filter { element[$0] != nil }
        return !asked.isEmpty && asked.allSatisfy { entry[$0]?.lowercased() == element[$0]?.lowercased() }
    }

    private func change(_ parent: inout XMLElement) throws {
        let place = parent.elements.firstIndex(where: matches)
        switch command {
        case .modify:
            guard let place else { throw missing() }
            parent.elements[place] = element
        case .delete:
            guard let place else { throw missing() }
            parent.elements.remove(at: place)
        case .addFirst, .addLast:
            guard place == nil, !parent.elements.contains(where: collides) else {
                throw ManagementError(
                    .operationInvalid, "there is an existing \(element.name) entry in network that matches",
                    from: .network)
            }
            let siblings = parent.elements.indices.filter { parent.elements[$0].name == element.name }
            let target =
                command == .addFirst
                ? siblings.first ?? parent.elements.count : (siblings.last.map { $0 + 1 } ?? parent.elements.count)
            parent.elements.insert(element, at: target)
        }
    }

    /// Two fixed addresses may share neither a card nor an address.
    private func collides(_ entry: XMLElement) -> Bool {
        guard section == .dhcpHost, entry.name == "host" else { return false }
        return ["mac", "ip"].contains { key in
            element[key] != nil && entry[key]?.lowercased() == element[key]?.lowercased()
        }
    }

    private func missing() -> ManagementError {
        ManagementError(
            .operationInvalid, "couldn't locate a matching \(element.name) entry in network", from: .network)
    }
}
