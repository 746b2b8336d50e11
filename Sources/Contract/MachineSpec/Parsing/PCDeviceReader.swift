// SPDX-License-Identifier: Apache-2.0

internal import CommandLineKit
internal import Diagnostics

/// The kinds of devices that `PCDeviceReader` reads.
enum PCDeviceFamily: Equatable, Sendable {
    case disk, cdrom, vga, secondaryVGA, ramFramebuffer, gigabit
    case usb(USBFamily)
}

/// Reads the properties of a PC's devices.
struct PCDeviceReader {
    let family: PCDeviceFamily
    let typeName: String

    static let types: [DeviceType] =
        [
            DeviceType(
                name: "e1000", alias: "e1000-82540em", bus: "PCI", category: "Network devices",
                summary: "Intel Gigabit Ethernet", family: .pc(.gigabit)),
            DeviceType(
                name: "e1000-82544gc", bus: "PCI", category: "Network devices", summary: "Intel Gigabit Ethernet",
                family: .pc(.gigabit)),
            DeviceType(
                name: "e1000-82545em", bus: "PCI", category: "Network devices", summary: "Intel Gigabit Ethernet",
                family: .pc(.gigabit)),
            DeviceType(
                name: "e1000e", bus: "PCI", category: "Network devices", summary: "Intel 82574L GbE Controller",
                family: .pc(.gigabit)),
            DeviceType(name: "VGA", bus: "PCI", category: "Display devices", family: .pc(.vga)),
            DeviceType(
                name: "ramfb", bus: "System", category: "Display devices", summary: "ram framebuffer standalone device",
                family: .pc(.ramFramebuffer)),
            DeviceType(name: "secondary-vga", bus: "PCI", category: "Display devices", family: .pc(.secondaryVGA)),
            DeviceType(
                name: "ide-cd", bus: "IDE", category: "Storage devices", summary: "virtual IDE CD-ROM",
                family: .pc(.cdrom)),
            DeviceType(
                name: "ide-hd", bus: "IDE", category: "Storage devices", summary: "virtual IDE disk", family: .pc(.disk)
            ),
        ] + USBReader.types

    static func properties(_ family: PCDeviceFamily) -> [DeviceProperty] {
        switch family {
        case .ramFramebuffer: []
        case .usb(let family): USBReader.properties(family)
        case .gigabit:
            [
                DeviceProperty("netdev", "str", nil, "ID of a netdev to use as a backend"),
                DeviceProperty("mac", "str", nil, "Ethernet 6-byte MAC Address, example: 52:54:00:12:34:56"),
                DeviceProperty("bootindex", "int32"),
            ]
        case .vga, .secondaryVGA:
            [
                DeviceProperty("vgamem_mb", "uint32", "16"), DeviceProperty("xres", "uint32", "0"),
                DeviceProperty("yres", "uint32", "0"), DeviceProperty("edid", "bool", "true", "only on"),
            ]
        case .disk, .cdrom:
            [
                DeviceProperty("drive", "str", nil, "Node name or ID of a block device to use as a backend"),
                DeviceProperty("unit", "uint32", "4294967295"), DeviceProperty("serial", "str"),
                DeviceProperty("model", "str"), DeviceProperty("ver", "str"), DeviceProperty("wwn", "uint64", "0"),
                DeviceProperty("rotation_rate", "uint16", "0"), DeviceProperty("bootindex", "int32"),
                DeviceProperty("logical_block_size", "size", "0", "only 512"),
                DeviceProperty("physical_block_size", "size", "0", "A power of two between 512 B and 2 MiB"),
                DeviceProperty("write-cache", "OnOffAuto", "\"auto\"", "on/off/auto"),
                DeviceProperty("share-rw", "bool", "false"),
                DeviceProperty("werror", "BlockdevOnError", "\"auto\"", "report/ignore/enospc/stop/auto"),
                DeviceProperty("rerror", "BlockdevOnError", "\"auto\"", "report/ignore/stop/auto"),
            ]
        }
    }

    func read(_ list: inout OptionList, bus: String?) throws(UserError) -> PCDeviceSpec {
        switch family {
        case .disk, .cdrom: .drive(try drive(&list, bus: bus))
        case .vga, .secondaryVGA: .vga(try vga(&list))
        case .ramFramebuffer: .ramFramebuffer
        case .gigabit: .networkCard(try networkCard(&list))
        case .usb(let family): try USBReader(family: family, typeName: typeName).read(&list, bus: bus)
        }
    }

    private func networkCard(_ list: inout OptionList) throws(UserError) -> NetworkCardSpec {
        var card = NetworkCardSpec(model: typeName)
        card.network = list.take("netdev")
        if let text = list.take("mac") {
            guard let address = DeviceReader.macAddress(text) else {
                throw UserError("Property '\(typeName).mac' doesn't take value '\(text)'")
            }
            card.address = address
        }
        card.bootIndex = try list.takeInteger("bootindex", in: -1...Int(Int32.max)).flatMap { $0 < 0 ? nil : $0 }
        return card
    }

    private func drive(_ list: inout OptionList, bus: String?) throws(UserError) -> DriveDeviceSpec {
        var drive = DriveDeviceSpec(isCDROM: family == .cdrom)
        drive.drive = list.take("drive")
        guard drive.drive != nil || drive.isCDROM else { throw UserError("No drive specified") }
        if let bus {
            guard bus.hasPrefix("ide."), let number = Int(bus.dropFirst("ide.".utf8.count)) else {
                throw UserError("Bus '\(bus)' not found", remedy: "use bus=ide.0")
            }
            drive.bus = number
        }
        let none = 0xFFFF_FFFF
        if let unit = try list.takeInteger("unit", in: 0...none), unit != none {
            guard unit < 2 else { throw UserError("Can't create IDE unit \(unit), bus supports only 2 units") }
            drive.unit = unit
        }
        drive.serial = list.take("serial")
        drive.modelName = list.take("model")
        drive.version = list.take("ver")
        if let name = try list.takeInteger("wwn", in: 0...Int.max), name != 0 { drive.worldWideName = UInt64(name) }
        drive.rotationRate = UInt16(try list.takeInteger("rotation_rate", in: 0...0xFFFF) ?? 0)
        drive.bootIndex = try list.takeInteger("bootindex", in: -1...Int(Int32.max)).flatMap { $0 < 0 ? nil : $0 }
        if let size = try list.takeSize("logical_block_size"), size != 0, size != 512 {
            throw UserError("logical_block_size must be 512 for IDE")
        }
        if let size = try list.takeSize("physical_block_size"), size != 0 {
            guard (512...2 << 20).contains(size), size & (size - 1) == 0 else {
                throw UserError("physical_block_size must be a power of two between 512 B and 2 MiB")
            }
            drive.physicalBlockSize = Int(size)
        }
        if let text = list.take("write-cache"), text != "auto" {
            drive.writeCache = try OptionValue.bool(text, for: "write-cache") ? .on : .off
        }
        drive.shareReadWrite = try list.takeBool("share-rw") ?? false
        drive.writeError = try Self.action(&list, "werror", ["report", "ignore", "enospc", "stop"])
        drive.readError = try Self.action(&list, "rerror", ["report", "ignore", "stop"])
        return drive
    }

    private func vga(_ list: inout OptionList) throws(UserError) -> VGASpec {
        var vga = VGASpec()
        vga.isSecondary = family == .secondaryVGA
        if let size = try list.takeInteger("vgamem_mb", in: 1...256) {
            guard size & (size - 1) == 0 else { throw UserError("vgamem_mb must be a power of two") }
            vga.memoryBytes = UInt64(size) << 20
        }
        let width = try list.takeInteger("xres", in: 0...4095) ?? 0
        let height = try list.takeInteger("yres", in: 0...4095) ?? 0
        if width > 0, height > 0 { vga.preferredSize = VGASpec.Size(width: width, height: height) }
        try list.refuse("edid", except: ["on", "true", "yes"], because: "the monitor always identifies itself")
        return vga
    }

    static func action(
        _ list: inout OptionList, _ key: String, _ words: [String]
    ) throws(UserError) -> DriveSpec.ErrorAction? {
        guard let text = list.take(key), text != "auto" else { return nil }
        guard words.contains(text), let action = DriveSpec.ErrorAction(rawValue: text) else {
            throw OptionValue.refusal(of: text, for: key, among: words + ["auto"])
        }
        return action
    }
}
