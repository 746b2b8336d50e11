// SPDX-License-Identifier: Apache-2.0

internal import CommandLineKit
internal import Diagnostics

// Character devices, and the serial ports, monitors and debugger behind them.
extension ArgumentReader {
    private var hasOwnSerialPort: Bool {
        devices.contains { $0.value.peek("driver") == "isa-serial" }
    }

    mutating func resolveCharacterDevices() throws(UserError) {
        for entry in characterDevices {
            let device = try at(entry.place) { () throws(UserError) in try CharacterReader.read(entry.value) }
            try add(device, entry.place)
        }
        let wantsSerial = hasDefaults && serials.isEmpty && !hasOwnSerialPort && hasSerialPorts
        let wantsMonitor = hasDefaults && !hasMonitorFlag
        if isNographic {
            if spec.process.daemonizes, wantsSerial || wantsMonitor {
                throw UserError("-nographic cannot be used with -daemonize")
            }
            if wantsSerial && wantsMonitor {
                serials.append(Placed(value: "mon:stdio", place: "-nographic"))
            } else if wantsSerial {
                serials.append(Placed(value: "stdio", place: "-nographic"))
            } else if wantsMonitor {
                monitors.append(Placed(value: ("stdio", .readline, false), place: "-nographic"))
            }
        } else if wantsSerial {
            // QEMU shows the port in its window; without a window it is there for the guest and goes nowhere.
            serials.append(Placed(value: "null", place: "-serial null"))
        }
        try resolveSerials()
        try resolveMonitors()
        for entry in debuggers {
            guard spec.debugger == nil else { throw UserError("only one debugger is possible", place: entry.place) }
            spec.debugger = try characterDevice(entry.value, label: "gdb", entry.place, serverByDefault: true)
        }
    }

    private var hasSerialPorts: Bool {
        spec.board.kind != .none && (spec.board.kind != .microvm || spec.board.isaSerial)
    }

    private mutating func resolveSerials() throws(UserError) {
        let most = 4
        for (index, entry) in serials.enumerated() {
            guard let label = try characterDevice(entry.value, label: "serial\(index)", entry.place) else { continue }
            guard hasSerialPorts, index < most else {
                throw UserError(
                    "too many serial ports", because: "machine '\(spec.board.name)' has \(hasSerialPorts ? most : 0)",
                    place: entry.place)
            }
            var serial = ISASerialSpec()
            serial.index = index
            serial.characterDevice = label
            spec.devices.append(DeviceSpec(typeName: "isa-serial", identifier: nil, model: .isaSerial(serial)))
        }
        for (index, entry) in debugConsoles.enumerated() {
            let label = try characterDevice(
                entry.value, label: index == 0 ? "debugcon" : "debugcon\(index)", entry.place)
            guard let label else { throw UserError("invalid character backend 'none'", place: entry.place) }
            // Through the list, so that -global isa-debugcon.iobase= applies.
            let list = OptionList([
                OptionList.Entry(key: "driver", value: "isa-debugcon"), OptionList.Entry(key: "chardev", value: label),
            ])
            devices.append(Placed(value: list, place: entry.place))
        }
    }

    private mutating func resolveMonitors() throws(UserError) {
        var number = 0
        for entry in monitors {
            let label = "compat_monitor\(number)"
            guard let device = try characterDevice(entry.value.text, label: label, entry.place) else { continue }
            if device == label { number += 1 }
            spec.monitors.append(
                MonitorSpec(characterDevice: device, mode: entry.value.mode, isPretty: entry.value.isPretty))
        }
        for entry in namedMonitors {
            do throws(UserError) {
                var list = entry.value
                let device = try list.require("chardev")
                guard spec.characterDevices.contains(where: { $0.identifier == device }) else {
                    throw UserError("chardev \"\(device)\" not found")
                }
                let text = list.take("mode") ?? "readline"
                guard let mode = MonitorSpec.Mode(rawValue: text) else {
                    throw OptionValue.refusal(of: text, for: "mode", among: ["readline", "control"])
                }
                let isPretty = try list.takeBool("pretty") ?? false
                if isPretty && mode == .readline { throw UserError("'pretty' is not compatible with HMP monitors") }
                _ = list.take("id")
                try list.finish()
                spec.monitors.append(MonitorSpec(characterDevice: device, mode: mode, isPretty: isPretty))
            } catch { throw error.at(entry.place) }
        }
    }

    private mutating func add(_ device: CharacterDeviceSpec, _ place: String) throws(UserError) {
        guard !spec.characterDevices.contains(where: { $0.identifier == device.identifier }) else {
            throw UserError("Duplicate ID '\(device.identifier)' for chardev", place: place)
        }
        if case .stdio = device.backend,
            spec.characterDevices.contains(where: { if case .stdio = $0.backend { true } else { false } })
        {
            throw UserError("cannot use stdio by multiple character devices", place: place)
        }
        spec.characterDevices.append(device)
    }

    /// The identifier of the character device behind a short form; nil for "none".
    private mutating func characterDevice(
        _ text: String, label: String, _ place: String, serverByDefault: Bool = false
    ) throws(UserError) -> String? {
        if text.hasPrefix("chardev:") {
            let identifier = String(text.dropFirst("chardev:".utf8.count))
            guard spec.characterDevices.contains(where: { $0.identifier == identifier }) else {
                throw UserError("character device '\(identifier)' does not exist", place: place)
            }
            return identifier
        }
        let parsed = try at(place) { () throws(UserError) in try CharacterReader.readShort(text, label: label) }
        guard var short = parsed else { return nil }
        // The debugger connects to us, and nobody waits for it.
        if serverByDefault { short.spec.asDebuggerServer() }
        try add(short.spec, place)
        if short.sharesMonitor { spec.monitors.append(MonitorSpec(characterDevice: label, mode: .readline)) }
        return label
    }
}
