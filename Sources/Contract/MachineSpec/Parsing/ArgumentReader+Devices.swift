// SPDX-License-Identifier: Apache-2.0

internal import CommandLineKit
internal import Diagnostics

// Devices of -device, -usbdevice and -vga, and those that a board brings along.
extension ArgumentReader {
    /// As QEMU without a window: a server on this host alone.
    mutating func addDefaultDisplay() {
        guard !hasDisplayFlag, !isNographic else { return }
        spec.display.vncServers = [DisplayReader.defaultServer]
        spec.display.isDefault = true
    }

    /// The card of -vga, or the usual one.
    mutating func addVideoCard() {
        guard spec.board.kind == .pc || spec.board.kind == .q35 else { return }
        let names = ["VGA", "ramfb", "secondary-vga"]
        let hasOwn = devices.contains { names.contains($0.value.peek("driver") ?? "") }
        let isWanted = videoCard == "std" || videoCard == nil && hasDefaults && !hasOwn
        guard isWanted else { return }
        spec.devices.append(DeviceSpec(typeName: "VGA", identifier: nil, model: .pc(.vga(VGASpec()))))
    }

    /// `usb=on`: the south bridge's own controllers: one of USB 1 on pc; on q35 one of USB 2 with three companions.
    mutating func addBoardUSB() {
        guard spec.board.usb else { return }
        guard spec.board.kind == .q35 else {
            addBoardController("piix3-usb-uhci", slot: 1, function: 2)
            return
        }
        let slot = 0x1D, portsOfCompanion = 2
        addBoardController("ich9-usb-ehci1", slot: slot, function: 7)
        for index in 0..<3 {
            addBoardController("ich9-usb-uhci\(index + 1)", slot: slot, function: index) { companion in
                // Nothing was made before the board's own controllers, so that theirs is the first bus.
                companion.masterBus = "usb-bus.0"
                companion.firstPort = index * portsOfCompanion
            }
        }
    }

    private mutating func addBoardController(
        _ model: String, slot: Int, function: Int, _ adjust: (inout USBControllerSpec) -> Void = { _ in }
    ) {
        var controller = USBControllerSpec(model: model)
        adjust(&controller)
        var device = DeviceSpec(typeName: model, identifier: nil, model: .pc(.usbController(controller)))
        (device.placement.slot, device.placement.function) = (slot, function)
        device.placement.isMultifunction = spec.board.kind == .q35
        spec.devices.append(device)
    }

    /// `-usbdevice`.
    mutating func addShortUSBDevices() throws(UserError) {
        for entry in usbDevices {
            do throws(UserError) {
                spec.devices.append(try device(OptionList([OptionList.Entry(key: "driver", value: entry.value)])))
            } catch { throw error.at(entry.place) }
        }
    }

    /// Properties of chips that -global can name, with the values that describe what they do anyway; the interval timer
    /// does either.
    static let fixedGlobals: [String: [String]] = [
        "kvm-pit.lost_tick_policy": ["delay", "discard"], "ICH9-LPC.disable_s3": ["1", "on", "true"],
        "ICH9-LPC.disable_s4": ["1", "on", "true"], "PIIX4_PM.disable_s3": ["1", "on", "true"],
        "PIIX4_PM.disable_s4": ["1", "on", "true"], "mc146818rtc.lost_tick_policy": ["discard", "slew"],
    ]

    mutating func resolveDevices() throws(UserError) {
        for entry in globals {
            let global = entry.value
            if global.driver == "virtio-mmio", global.property == "force-legacy" {
                spec.board.hasLegacyTransports = try at(entry.place) { () throws(UserError) in
                    try OptionValue.bool(global.value, for: "force-legacy")
                }
                continue
            }
            if let accepted = Self.fixedGlobals["\(global.driver).\(global.property)"] {
                guard accepted.contains(global.value) else {
                    throw UserError(
                        "\(global.driver).\(global.property)=\(global.value) is not supported",
                        remedy: "leave it out, or use \(accepted[0])", place: entry.place)
                }
                if global.driver == "kvm-pit" { spec.board.makesUpLostTicks = global.value == "delay" }
                continue
            }
            guard let type = DeviceType.named(global.driver) else {
                let names = DeviceType.all.map(\.name)
                throw UserError(
                    "there is no device '\(global.driver)' to set '\(global.property)' of",
                    remedy: Suggestion.nearest(to: global.driver, among: names).map { "did you mean '\($0)'?" } ?? "",
                    place: entry.place)
            }
            guard type.properties.contains(where: { $0.name == global.property }) else {
                throw UserError(
                    "Property '\(type.name).\(global.property)' not found",
                    remedy: Suggestion.sentence(for: global.property, among: type.properties.map(\.name)),
                    place: entry.place)
            }
        }
        for entry in devices {
            do throws(UserError) {
                if ProcessorReader.isProcessor(entry.value.peek("driver") ?? "") {
                    spec.topology.plugged.append(try ProcessorReader.read(entry.value, for: spec))
                } else {
                    spec.devices.append(try device(entry.value))
                }
            } catch { throw error.at(entry.place) }
        }
    }

    func device(_ options: OptionList) throws(UserError) -> DeviceSpec {
        guard let driver = options.peek("driver") else { throw UserError("Parameter 'driver' is missing") }
        guard let type = DeviceType.named(driver) else {
            let names = DeviceType.all.flatMap { [$0.name] + ($0.alias.map { [$0] } ?? []) }
            throw UserError(
                "'\(driver)' is not a valid device model name",
                remedy: Suggestion.nearest(to: driver, among: names).map { "did you mean '\($0)'?" }
                    ?? "see '-device help' for those that are")
        }
        let defaults = globals.filter { DeviceType.named($0.value.driver)?.name == type.name }
            .map { OptionList.Entry(key: $0.value.property, value: $0.value.value) }
        return try DeviceReader.read(OptionList(defaults + options.entries), of: type)
    }
}
