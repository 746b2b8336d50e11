// SPDX-License-Identifier: Apache-2.0

internal import ManagementModel
package import XMLTree

/// Which VLANs a port of a bridge carries: `<vlan>` of an interface, a port group or a network.
package struct VLANPort: Equatable {
    /// Numbers of VLANs whose frames are tagged on the port.
    package var tagged: [Int] = []
    /// The VLAN of frames without a tag; nil drops them.
    package var native: Int?

    private static let numbers = 1...4094

    /// Reads the element: one tag makes a port of one VLAN, several (or `trunk='yes'`) make a trunk, on which one may be
    /// native.
    /// - Throws: for no tags, and for numbers that no VLAN has.
    package init(_ element: XMLElement) throws {
        let tags = element.all("tag")
        let ids = try tags.map { tag in
            guard let id = tag["id"].flatMap({ Int($0) }), Self.numbers.contains(id) else {
                throw ManagementError(.xmlError, "vlan tag id '\(tag["id"] ?? "")' too large", from: .network)
            }
            return id
        }
        guard !ids.isEmpty else {
            throw ManagementError(
                .xmlError, "missing tag id - each <vlan> must have at least one <tag>", from: .network)
        }
        guard element["trunk"] == "yes" || ids.count > 1 else {
            native = ids[0]
            return
        }
        guard element["trunk"] != "no" else {
            throw ManagementError(
                .xmlError, "invalid \"trunk='no'\" in <vlan> - trunk='yes' is required for more than one vlan tag",
                from: .network)
        }
        for (tag, id) in zip(tags, ids) {
            switch tag["nativeMode"] {
            case "untagged": native = id
            case "tagged":
                native = id
                tagged.append(id)
            default: tagged.append(id)
            }
        }
    }

    /// What the programs `ip` and `bridge` are told, in turn.
    package func commands(device: String, bridge: String) -> [(tool: String, arguments: [String])] {
        var commands: [(String, [String])] = [
            ("ip", ["link", "set", bridge, "type", "bridge", "vlan_filtering", "1"]),
            ("bridge", ["vlan", "del", "dev", device, "vid", "1"]),
        ]
        for id in tagged where id != native {
            commands.append(("bridge", ["vlan", "add", "dev", device, "vid", "\(id)"]))
        }
        if let native {
            let mode = tagged.contains(native) ? ["pvid"] : ["pvid", "untagged"]
            commands.append(("bridge", ["vlan", "add", "dev", device, "vid", "\(native)"] + mode))
        }
        return commands
    }
}
