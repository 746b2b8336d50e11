// SPDX-License-Identifier: Apache-2.0

internal import XMLTree

// Documents that say the same in other words.
extension DomainDefinition {
    /// The document for a service on another host: without the controllers, sounds' outputs and paths of channels that
    /// each service adds by itself.
    /// - Parameter channels: the folder of the sockets of channels.
    public func migratable(channels: String) -> DomainDefinition {
        var copy = self
        let implied = isI440FX ? impliedControllers : []
        copy.devices = devices.enumerated().filter { !implied.contains($0.offset) }.map { entry in
            var device = entry.element
            if device.name == "channel", device[child: "target"]?["type"] == "virtio",
                let path = device[child: "source"]?["path"],
                path.hasPrefix(channels + "/") || Self.isChosenChannelPath(path)
            {
                device[child: "source"]?["path"] = nil
                if device[child: "source"]?.attributes == [XMLAttribute("mode", "bind")] {
                    device[child: "source"] = nil
                }
            }
            return device
        }.filter { !($0.name == "audio" && $0["id"] == "1" && $0["type"] == "none") }
        copy.order()
        return copy
    }

    /// Whether a channel's socket is one that a service chose for a run: libvirt's folder of channels, or the folder of
    /// a machine's sockets, `domain-NUMBER-NAME`.
    static func isChosenChannelPath(_ path: String) -> Bool {
        guard !path.contains("/channel/target/") else { return true }
        let folders = path.split(separator: "/").dropLast().suffix(2)
        guard folders.count == 2, folders.first == "qemu", let own = folders.last else { return false }
        let parts = own.split(separator: "-")
        return parts.count >= 2 && parts[0] == "domain" && Int(parts[1]) != nil
    }

    private var isI440FX: Bool { machine == "pc" || machine.hasPrefix("pc-i440fx-") }

    /// Places of the one USB controller and the one PCI bus that a machine of this kind has anyway.
    private var impliedControllers: Set<Int> {
        func only(_ type: String, _ models: [String?]) -> Int? {
            let found = devices.indices.filter { devices[$0].name == "controller" && devices[$0]["type"] == type }
            guard let place = found.first, found.count == 1, devices[place]["index"] == "0",
                models.contains(devices[place]["model"]), devices[place][child: "pcihole64"] == nil,
                devices[place][child: "alias"] == nil
            else { return nil }
            return place
        }
        return Set([only("usb", [nil, "piix3-uhci"]), only("pci", ["pci-root"])].compactMap { $0 })
    }

    /// The processor that `host-model` stands for, and the one that a range of them comes down to.
    public mutating func nameProcessor() {
        guard var cpu = root[child: "cpu"] else { return }
        switch cpu["mode"] {
        case "host-model":
            cpu["mode"] = "custom"
            cpu["match"] = "exact"
            if cpu[child: "model"] == nil || cpu[child: "model"]?.text.isEmpty == true {
                var model = XMLElement("model", text: Self.hostModel)
                model["fallback"] = "forbid"
                cpu[child: "model"] = model
            }
        case "custom" where cpu["match"] == "minimum": cpu["match"] = "exact"
        default: return
        }
        root[child: "cpu"] = cpu
        order()
    }

    /// The model that every emulator offers, whatever the host's processor is; also what is told as the host's model.
    public static let hostModel = "qemu64"
}
