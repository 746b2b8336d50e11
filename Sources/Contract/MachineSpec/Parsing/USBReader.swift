// SPDX-License-Identifier: Apache-2.0

internal import CommandLineKit
internal import Diagnostics

/// The USB devices that -device makes.
enum USBFamily: Equatable, Sendable {
    case controller, oldController, companion, tablet, mouse, keyboard, storage, hub
}

/// Reads the properties of USB controllers and devices.
struct USBReader {
    let family: USBFamily
    let typeName: String
    private static let bus = "usb-bus"

    static let types: [DeviceType] = [
        DeviceType(name: "ich9-usb-ehci1", bus: "PCI", category: "USB devices", family: .pc(.usb(.oldController))),
        DeviceType(name: "ich9-usb-ehci2", bus: "PCI", category: "USB devices", family: .pc(.usb(.oldController))),
        DeviceType(name: "ich9-usb-uhci1", bus: "PCI", category: "USB devices", family: .pc(.usb(.companion))),
        DeviceType(name: "ich9-usb-uhci2", bus: "PCI", category: "USB devices", family: .pc(.usb(.companion))),
        DeviceType(name: "ich9-usb-uhci3", bus: "PCI", category: "USB devices", family: .pc(.usb(.companion))),
        DeviceType(name: "nec-usb-xhci", bus: "PCI", category: "USB devices", family: .pc(.usb(.controller))),
        DeviceType(name: "piix3-usb-uhci", bus: "PCI", category: "USB devices", family: .pc(.usb(.oldController))),
        DeviceType(name: "piix4-usb-uhci", bus: "PCI", category: "USB devices", family: .pc(.usb(.oldController))),
        DeviceType(name: "qemu-xhci", bus: "PCI", category: "USB devices", family: .pc(.usb(.controller))),
        DeviceType(name: "usb-ehci", bus: "PCI", category: "USB devices", family: .pc(.usb(.oldController))),
        DeviceType(name: "usb-hub", bus: bus, category: "Misc devices", family: .pc(.usb(.hub))),
        DeviceType(name: "usb-kbd", bus: bus, category: "Input devices", family: .pc(.usb(.keyboard))),
        DeviceType(name: "usb-mouse", bus: bus, category: "Input devices", family: .pc(.usb(.mouse))),
        DeviceType(name: "usb-tablet", bus: bus, category: "Input devices", family: .pc(.usb(.tablet))),
        DeviceType(name: "usb-storage", bus: bus, category: "Storage devices", family: .pc(.usb(.storage))),
    ]

    /// What -usbdevice calls them.
    static let shortNames = ["tablet": "usb-tablet", "mouse": "usb-mouse", "keyboard": "usb-kbd"]

    static func properties(_ family: USBFamily) -> [DeviceProperty] {
        switch family {
        case .controller: [DeviceProperty("p2", "uint32", "4"), DeviceProperty("p3", "uint32", "4")]
        case .oldController: []
        case .companion: [DeviceProperty("masterbus", "str"), DeviceProperty("firstport", "uint32", "0")]
        case .hub: [DeviceProperty("port", "str"), DeviceProperty("ports", "uint32", "8")]
        case .tablet, .mouse, .keyboard:
            [
                DeviceProperty("port", "str"), DeviceProperty("serial", "str"),
                DeviceProperty("usb_version", "uint32", "2"),
            ]
        case .storage:
            [
                DeviceProperty("port", "str"),
                DeviceProperty("drive", "str", nil, "Node name or ID of a block device to use as a backend"),
                DeviceProperty("serial", "str"), DeviceProperty("removable", "bool", "false"),
                DeviceProperty("bootindex", "int32"), DeviceProperty("share-rw", "bool", "false"),
                DeviceProperty("logical_block_size", "size", "0", "512 or 4096"),
                DeviceProperty("write-cache", "OnOffAuto", "\"auto\"", "on/off/auto"),
                DeviceProperty("werror", "BlockdevOnError", "\"auto\"", "report/ignore/enospc/stop/auto"),
                DeviceProperty("rerror", "BlockdevOnError", "\"auto\"", "report/ignore/stop/auto"),
            ]
        }
    }

    func read(_ list: inout OptionList, bus: String?) throws(UserError) -> PCDeviceSpec {
        if family == .oldController { return .usbController(USBControllerSpec(model: typeName)) }
        if family == .companion {
            var controller = USBControllerSpec(model: typeName)
            controller.masterBus = list.take("masterbus")
            controller.firstPort = try list.takeInteger("firstport", in: 0...14) ?? 0
            return .usbController(controller)
        }
        if family == .controller { return .usbController(try controller(&list)) }
        var device: USBDeviceSpec
        switch family {
        case .tablet: device = USBDeviceSpec(.tablet)
        case .mouse: device = USBDeviceSpec(.mouse)
        case .keyboard: device = USBDeviceSpec(.keyboard)
        case .hub: device = USBDeviceSpec(.hub(ports: try list.takeInteger("ports", in: 1...8) ?? 8))
        case .storage, .controller, .oldController, .companion: device = USBDeviceSpec(.storage(try storage(&list)))
        }
        device.bus = bus
        if family != .storage, family != .hub {
            device.serial = list.take("serial")
            device.version = try list.takeInteger("usb_version", in: 1...2) ?? device.version
        }
        if let text = list.take("port") {
            let isPath = text.split(separator: ".", omittingEmptySubsequences: false).allSatisfy { Int($0) ?? 0 > 0 }
            guard isPath else {
                throw UserError(
                    "usb port \(text) (bus \(bus ?? Self.bus)) not found",
                    remedy: "ports have numbers from 1, with a dot between those of hubs: 2.1")
            }
            device.port = text
        }
        return .usbDevice(device)
    }

    private func controller(_ list: inout OptionList) throws(UserError) -> USBControllerSpec {
        var controller = USBControllerSpec(model: typeName)
        controller.usb2Ports = try list.takeInteger("p2", in: 1...15) ?? controller.usb2Ports
        controller.usb3Ports = try list.takeInteger("p3", in: 1...15) ?? controller.usb3Ports
        return controller
    }

    private func storage(_ list: inout OptionList) throws(UserError) -> USBStorageSpec {
        guard let drive = list.take("drive") else { throw UserError("drive property not set") }
        var storage = USBStorageSpec(drive: drive)
        storage.serial = list.take("serial")
        storage.isRemovable = try list.takeBool("removable") ?? false
        storage.bootIndex = try list.takeInteger("bootindex", in: -1...Int(Int32.max)).flatMap { $0 < 0 ? nil : $0 }
        storage.shareReadWrite = try list.takeBool("share-rw") ?? false
        if let size = try list.takeSize("logical_block_size"), size != 0 {
            guard size == 512 || size == 4096 else { throw UserError("logical_block_size must be 512 or 4096 here") }
            storage.logicalBlockSize = Int(size)
        }
        if let text = list.take("write-cache"), text != "auto" {
            storage.writeCache = try OptionValue.bool(text, for: "write-cache") ? .on : .off
        }
        storage.writeError = try PCDeviceReader.action(&list, "werror", ["report", "ignore", "enospc", "stop"])
        storage.readError = try PCDeviceReader.action(&list, "rerror", ["report", "ignore", "stop"])
        return storage
    }
}
