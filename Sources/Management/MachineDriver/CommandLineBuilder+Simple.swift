// SPDX-License-Identifier: Apache-2.0

internal import XMLTree

// Devices that are one argument or two.
extension CommandLineBuilder {
    /// A device without settings.
    mutating func addSimple(_ device: XMLElement, _ name: String, when wanted: Bool, required: Bool) throws {
        guard wanted else { return }
        if required { try require(name) } else if !has(name) { return }
        add("-device", "\(name),id=\(alias(device))\(place(device))")
    }

    /// A watchdog and what it does when it fires.
    mutating func addWatchdog(_ device: XMLElement) throws {
        let model = device["model"] ?? ""
        // The one of ICH9 is part of the board.
        if model != "itco" {
            guard ["i6300esb", "ib700", "diag288"].contains(model) else { throw unsupported("watchdog '\(model)'") }
            try require(model)
            add("-device", "\(model),id=\(alias(device))\(model == "i6300esb" ? place(device) : "")")
        }
        let action = device["action"] ?? "reset"
        // A dump is the service's work, with the machine stopped meanwhile.
        add("-action", "watchdog=" + (action == "dump" ? "pause" : action))
    }

    /// A source of random numbers.
    mutating func addRandom(_ device: XMLElement) throws {
        let id = alias(device)
        let backend = device[child: "backend"]
        switch backend?["model"] {
        case "random":
            add("-object", "rng-random,id=obj\(id),filename=\(Self.escaped(backend?.text ?? "/dev/urandom"))")
        case "builtin": add("-object", "rng-builtin,id=obj\(id)")
        default: throw unsupported("random source '\(backend?["model"] ?? "")'")
        }
        var text = "virtio-rng-pci,rng=obj\(id),id=\(id)"
        if let rate = device[child: "rate"] {
            text += ",max-bytes=\(rate["bytes"] ?? "1024"),period=\(rate["period"] ?? "1000")"
        }
        add("-device", text + place(device))
    }
}
