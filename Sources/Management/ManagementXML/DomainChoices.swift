// SPDX-License-Identifier: Apache-2.0

internal import ManagementModel
internal import XMLTree

/// Words that attributes of devices may have, and what a device cannot be without.
enum DomainChoices {
    private struct Rule {
        /// Elements below the device.
        let path: [String]
        let attribute: String
        let refusal: String?
        let words: Set<String>
    }

    private static let rules: [String: [Rule]] = table.split(separator: "\n").reduce(into: [:]) { rules, line in
        let words = line.split(separator: " ").map(String.init)
        let place = words[1].split(separator: "@", omittingEmptySubsequences: false)
        rules[words[0], default: []].append(
            Rule(
                path: place[0].isEmpty ? [] : [String(place[0])], attribute: String(place[1]),
                refusal: refusals[words[2]], words: Set(words.dropFirst(3))))
    }

    /// Refuses a device that libvirt would not understand.
    static func check(_ device: XMLElement) throws {
        for rule in rules[device.name] ?? [] {
            var element: XMLElement? = device
            for name in rule.path { element = element?[child: name] }
            guard let value = element?[rule.attribute], !rule.words.contains(value) else { continue }
            if let refusal = rule.refusal {
                let text = refusal.split(separator: "%", omittingEmptySubsequences: false).joined(separator: value)
                throw ManagementError(.configUnsupported, text, from: .domain)
            }
            let name = rule.path.last ?? device.name
            throw invalid(value, rule.attribute, name, "'\(value)'.")
        }
        if let order = device[child: "boot"]?["order"] { try checkOrder(order) }
        switch device.name {
        case "disk": try checkDisk(device)
        case "interface": try checkInterface(device)
        case "graphics": try checkPort(device)
        case "channel":
            guard device[child: "target"]?["type"] != nil else {
                throw ManagementError(.xmlError, "target type must be specified for channel device", from: .domain)
            }
        case "rng":
            guard device.all("backend").count == 1 else {
                throw ManagementError(.xmlError, "only one RNG backend is supported", from: .domain)
            }
        case "hostdev":
            guard device["type"] != nil || device["mode"] == "capabilities" else {
                throw ManagementError(.xmlError, "missing source address type", from: .domain)
            }
        default: break
        }
    }

    private static func invalid(
        _ value: String, _ attribute: String, _ element: String, _ rest: String
    ) -> ManagementError {
        ManagementError(
            .xmlError, "Invalid value for attribute '\(attribute)' in element '\(element)': \(rest)", from: .none)
    }

    private static func checkOrder(_ order: String) throws {
        guard let number = UInt32(order) else {
            throw invalid(order, "order", "boot", "'\(order)'. Expected integer value")
        }
        guard number > 0 else { throw invalid(order, "order", "boot", "Zero is not permitted") }
    }

    private static func checkDisk(_ disk: XMLElement) throws {
        let device = disk["device"] ?? "disk"
        guard device == "cdrom" || device == "floppy" || disk["type"] == "vhostuser" else {
            let source = disk[child: "source"]
            let known = ["file", "dev", "dir", "name", "pool", "protocol", "type"]
            guard known.contains(where: { !(source?[$0]?.isEmpty ?? true) }) else {
                throw ManagementError(.noSource, disk[child: "target"]?["dev"] ?? "", from: .domain)
            }
            return
        }
    }

    private static func checkInterface(_ interface: XMLElement) throws {
        let type = interface["type"] ?? "user"
        if type == "network" || type == "bridge" || type == "direct", interface[child: "source"] == nil {
            throw ManagementError(
                .xmlError, "interface type='\(type)' requires a 'source' element", from: .domain)
        }
        let multicast: UInt8 = 1
        guard let mac = interface[child: "mac"]?["address"],
            let first = mac.split(separator: ":").first.flatMap({ UInt8($0, radix: 16) })
        else { return }
        guard first & multicast == 0 else {
            throw ManagementError(
                .xmlError, "expected unicast mac address, found multicast '\(mac)'", from: .domain)
        }
    }

    private static func checkPort(_ graphics: XMLElement) throws {
        guard graphics["type"] == "vnc", let port = graphics["port"], Int32(port) == nil else { return }
        throw ManagementError(.internalError, "cannot parse vnc port \(port)", from: .domain)
    }

    /// Refuses an element that is no device.
    static func checkKind(_ name: String) throws {
        guard devices.contains(name) else {
            throw ManagementError(.configUnsupported, "unknown device type '\(name)'", from: .domain)
        }
    }
}

extension DomainBuilder {
    /// Refuses devices that cannot be understood.
    func checkChoices() throws {
        for device in root[child: "devices"]?.elements ?? [] { try DomainChoices.check(device) }
    }
}
