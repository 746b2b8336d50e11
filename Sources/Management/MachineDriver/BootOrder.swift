// SPDX-License-Identifier: Apache-2.0

package import ManagementXML
internal import XMLTree

/// What a machine's firmware tries in turn: places that devices name themselves, or those of `<os><boot dev=...>`, where
/// each kind stands for the first disk, CD drive, diskette or network card of the document.
package struct BootOrder: Equatable {
    /// By the devices' aliases, counted from 1.
    package private(set) var places: [String: String] = [:]

    /// - Parameter definition: with the aliases of devices set.
    package init(_ definition: DomainDefinition) {
        var kinds: [String: Int] = [:]
        for (place, boot) in (definition.root[child: "os"]?.all("boot") ?? []).enumerated() {
            if let kind = boot["dev"] { kinds[kind] = place + 1 }
        }
        for device in definition.devices {
            guard let alias = device[child: "alias"]?["name"] else { continue }
            if let own = device[child: "boot"]?["order"] {
                places[alias] = own
            } else if let kind = Self.kind(device), let place = kinds.removeValue(forKey: kind) {
                places[alias] = "\(place)"
            }
        }
    }

    /// What `<boot dev=...>` calls a device; nil for one that nothing boots from.
    private static func kind(_ device: XMLElement) -> String? {
        switch (device.name, device["device"] ?? "disk") {
        case ("interface", _): "network"
        case ("disk", "cdrom"): "cdrom"
        case ("disk", "floppy"): "fd"
        case ("disk", "disk"), ("disk", "lun"): "hd"
        default: nil
        }
    }
}
