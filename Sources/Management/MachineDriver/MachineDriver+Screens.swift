// SPDX-License-Identifier: Apache-2.0

internal import JSONCoding
internal import ManagementXML
package import XMLTree

extension XMLElement {
    /// Gives a screen that is served at an address the one that it is served at: this host's own, unless it says another.
    package mutating func completeListening() {
        guard name == "graphics", self["type"] == "vnc" || self["type"] == "spice",
            var listen = self[child: "listen"], listen["type"] == "address"
        else { return }
        let address = listen["address"] ?? self["listen"] ?? "127.0.0.1"
        listen["address"] = address
        self[child: "listen"] = listen
        self["listen"] = address
    }
}

// Screens: where they are served, and to whom.
extension MachineDriver {
    /// Gives screens the ports and addresses that the document leaves open.
    func choosePorts(_ definition: inout DomainDefinition) {
        let used = Set(
            allMachines.compactMap(\.live).flatMap(\.definition.devices).filter { $0.name == "graphics" }
                .compactMap { $0["port"].flatMap { Int($0) } })
        var next = 5900
        for place in definition.devices.indices { definition.devices[place].completeListening() }
        definition.devices = definition.devices.map { device in
            guard device.name == "graphics", device["type"] == "vnc" || device["type"] == "spice",
                device["autoport"] == "yes"
            else { return device }
            while used.contains(next) || !LocalPorts.isFree(next) { next += 1 }
            var device = device
            device["port"] = "\(next)"
            next += 1
            return device
        }
    }

    /// Tells the emulator the passwords of its screens.
    static func setPasswords(_ monitor: MonitorClient, _ definition: DomainDefinition) throws {
        for graphics in definition.devices where graphics.name == "graphics" {
            guard let password = graphics["passwd"], let type = graphics["type"], ["vnc", "spice"].contains(type) else {
                continue
            }
            try monitor.execute("set_password", ["protocol": .string(type), "password": .string(password)])
            guard let until = graphics["passwdValidTo"], let moment = Self.moment(until) else { continue }
            try monitor.execute("expire_password", ["protocol": .string(type), "time": .string("\(moment)")])
        }
    }

    /// Seconds since 1970 of `2026-11-21T15:00:00`, in UTC; nil for what is no such text.
    package static func moment(_ text: String) -> Int? {
        let parts = text.split { $0 == "-" || $0 == "T" || $0 == ":" }.map { Int($0) }
        guard parts.count == 6, let year = parts[0], let month = parts[1], let day = parts[2], let hour = parts[3],
            let minute = parts[4], let second = parts[5], (1970...9999).contains(year), (1...12).contains(month),
            (1...31).contains(day), (0...23).contains(hour), (0...59).contains(minute), (0...60).contains(second)
        else { return nil }
        // A year that begins in March ends with the leap day.
        let (shifted, count) = month > 2 ? (year, month - 3) : (year - 1, month + 9)
        let leaps = shifted / 4 - shifted / 100 + shifted / 400
        let days = 365 * shifted + leaps + (153 * count + 2) / 5 + day - 1 - 719_468
        return ((days * 24 + hour) * 60 + minute) * 60 + second
    }
}
