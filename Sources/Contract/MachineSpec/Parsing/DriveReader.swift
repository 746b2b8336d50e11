// SPDX-License-Identifier: Apache-2.0

internal import CommandLineKit
internal import Diagnostics
internal import JSONCoding

/// Reads -drive and -blockdev.
enum DriveReader {
    private static let caches = ["writeback", "none", "off", "writethrough", "directsync", "unsafe"]
    private static let interfaces = ["none", "virtio", "ide", "scsi", "floppy", "pflash"]
    private static let throttles = [
        "bps", "bps_rd", "bps_wr", "iops", "iops_rd", "iops_wr", "bps_max", "bps_rd_max", "bps_wr_max", "iops_max",
        "iops_rd_max", "iops_wr_max", "iops_size", "group",
    ]

    /// One -drive.
    /// - Parameters:
    ///   - number: counts the drives, for those without identifier.
    ///   - unitsPerBus: drives on one IDE channel or SATA port.
    static func drive(_ options: OptionList, number: Int, unitsPerBus: Int = 2) throws(UserError) -> DriveSpec {
        var list = options
        let interface = try interface(&list)
        let given = try list.takeInteger("index", in: 0...255)
        let index = given ?? number
        let isIDE = interface == .ide
        let isCDROM = list.peek("media") == "cdrom"
        let bus = try list.takeInteger("bus", in: 0...(isIDE ? 5 : 0))
        let unit = try list.takeInteger("unit", in: 0...(isIDE ? unitsPerBus - 1 : interface == .pflash ? 1 : 0))
        if given != nil, bus != nil || unit != nil {
            throw UserError("index cannot be used with bus and unit")
        }
        var drive = DriveSpec(identifier: "\(interface.rawValue)\(index)")
        if interface == .pflash {
            drive.unit = unit ?? index
            guard drive.unit < 2 else { throw UserError("there are two flash chips, unit=0 and unit=1") }
            drive.identifier = "pflash\(drive.unit)"
        }
        if isIDE {
            let place = bus == nil && unit == nil ? index : (bus ?? 0) * unitsPerBus + (unit ?? 0)
            drive.bus = place / unitsPerBus
            drive.unit = place % unitsPerBus
            drive.identifier = "ide\(drive.bus)-\(isCDROM ? "cd" : "hd")\(drive.unit)"
        }
        if let identifier = list.take("id") { drive.identifier = try OptionValue.identifier(identifier) }
        drive.interface = interface
        drive.file = list.take("file").flatMap { $0.isEmpty ? nil : $0 }
        drive.format = list.take("format") ?? list.take("driver")
        let readOnly = try list.takeBool("readonly")
        drive.isReadOnly = try list.takeBool("read-only") ?? readOnly ?? false
        drive.isSnapshot = try list.takeBool("snapshot") ?? false
        drive.serial = list.take("serial")
        try media(&drive, &list)
        try modes(&drive, &list)
        try list.refuse("copy-on-read", except: ["off"], because: "copying on read is not available")
        for key in throttles { try list.refuse(key, except: ["0"], because: "limits of I/O are not available") }
        guard drive.file != nil || list.entries.contains(where: { $0.key.hasPrefix("file.") }) || drive.isCDROM else {
            if let left = list.entries.first {
                throw UserError("Must specify either driver or file", because: "'\(left.key)' alone names no disk")
            }
            throw UserError("Must specify either driver or file", remedy: "add file=NAME")
        }
        // Everything else belongs to the node; the block layer refuses what no driver knows.
        drive.options = try OptionList(list.takeRest()).nested()
        return drive
    }

    private static func interface(_ list: inout OptionList) throws(UserError) -> DriveSpec.Interface {
        let text = list.take("if") ?? "ide"
        switch text {
        case "none": return .none
        case "virtio": return .virtio
        case "ide": return .ide
        case "scsi", "floppy", "sd", "mtd", "xen":
            throw UserError(
                "there is no controller for if=\(text)",
                remedy: "add if=virtio, or if=none,id=NAME and -device virtio-blk-pci,drive=NAME")
        case "pflash": return .pflash
        default:
            throw UserError(
                "unsupported bus type '\(text)'", remedy: Suggestion.sentence(for: text, among: interfaces))
        }
    }

    private static func media(_ drive: inout DriveSpec, _ list: inout OptionList) throws(UserError) {
        switch list.take("media") {
        case nil, "disk": break
        case "cdrom":
            drive.isCDROM = true
            drive.isReadOnly = true
        case let other?: throw UserError("'\(other)' invalid media", remedy: "use disk or cdrom")
        }
    }

    private static func modes(_ drive: inout DriveSpec, _ list: inout OptionList) throws(UserError) {
        if let cache = list.take("cache") {
            guard caches.contains(cache) else {
                throw UserError(
                    "invalid cache option", because: "not '\(cache)'",
                    remedy: Suggestion.sentence(for: cache, among: caches))
            }
            drive.cache = cache == "off" ? "none" : cache
        }
        if let aio = list.take("aio") {
            guard ["threads", "native", "io_uring"].contains(aio) else {
                throw UserError(
                    "Invalid aio option", because: "not '\(aio)'", remedy: "use threads, native or io_uring")
            }
            drive.aio = aio
        }
        if let text = list.take("werror") { drive.writeError = try action(text, "werror") }
        if let text = list.take("rerror") {
            drive.readError = try action(text, "rerror")
            guard drive.readError != .noSpace else { throw UserError("rerror=enospc is not supported") }
        }
    }

    private static func action(_ text: String, _ key: String) throws(UserError) -> DriveSpec.ErrorAction {
        guard let action = DriveSpec.ErrorAction(rawValue: text) else {
            throw OptionValue.refusal(of: text, for: key, among: ["ignore", "report", "stop", "enospc"])
        }
        return action
    }

    /// One -blockdev, from its list or JSON object.
    static func node(_ options: JSONObject) throws(UserError) -> BlockNodeSpec {
        guard let driver = options["driver"]?.string else { throw UserError("Parameter 'driver' is missing") }
        guard let name = options["node-name"]?.string else {
            throw UserError(
                "'node-name' must be specified for the root node", because: "of driver '\(driver)'")
        }
        let longest = 31
        guard OptionValue.isIdentifier(name) else { throw UserError("Invalid node-name: '\(name)'") }
        guard name.utf8.count <= longest else { throw UserError("Node name too long", because: "'\(name)'") }
        return BlockNodeSpec(name: name, options: options)
    }
}
