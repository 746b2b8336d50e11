// SPDX-License-Identifier: Apache-2.0

internal import BlockJobs
internal import BlockLayer
internal import ControlProtocol
internal import JSONCoding

extension QMPCommandTable {
    /// New images, and what images say of others.
    static let creationCommands = [
        QMPCommandDefinition(
            "blockdev-create", [QMPParameter("job-id", .string), QMPParameter("options", .object)]
        ) { (context, arguments) throws(QMPError) in
            let disks = try JobAnswers.disks(context)
            let options = arguments["options"]?.object ?? [:]
            guard let driver = options["driver"]?.string else {
                throw QMPError("Parameter 'options.driver' is missing")
            }
            var filename: String?, node: String?
            if driver == "file" || driver == "host_device" {
                filename = options["filename"]?.string
                guard filename != nil else { throw QMPError("Parameter 'options.filename' is missing") }
            } else {
                node = options["file"]?.string
                guard node != nil else { throw QMPError("Parameter 'options.file' is missing") }
            }
            return try JobAnswers.perform { () throws(BlockError) in
                try disks.createImage(
                    driver, filename: filename, node: node, options: try createOptions(driver, options),
                    job: arguments.string("job-id"))
            }
        },
        QMPCommandDefinition(
            "change-backing-file",
            [
                QMPParameter("device", .string), QMPParameter("image-node-name", .string),
                QMPParameter("backing-file", .string),
            ]
        ) { (context, arguments) throws(QMPError) in
            let disks = try JobAnswers.disks(context)
            return try JobAnswers.perform { () throws(BlockError) in
                try disks.changeBacking(
                    of: arguments.string("device"), image: arguments.string("image-node-name"),
                    to: arguments.string("backing-file"))
            }
        },
    ]

    /// How fast disks may be.
    static let throttleCommands = [
        QMPCommandDefinition(
            "block_set_io_throttle",
            [QMPParameter("device", .string, optional: true), QMPParameter("id", .string, optional: true)]
                + IOLimits.Kind.allCases.map { QMPParameter($0.rawValue, .integer) }
                + IOLimits.Kind.allCases.flatMap { kind in
                    [
                        QMPParameter(kind.rawValue + "_max", .integer, optional: true),
                        QMPParameter(kind.rawValue + "_max_length", .integer, optional: true),
                    ]
                } + [
                    QMPParameter("iops_size", .integer, optional: true), QMPParameter("group", .string, optional: true),
                ]
        ) { (context, arguments) throws(QMPError) in
            let disks = try JobAnswers.disks(context)
            let machine = try JobAnswers.machine(context)
            var limits = IOLimits()
            func number(_ name: String, else standard: UInt64 = 0) throws(QMPError) -> UInt64 {
                guard let value = arguments[name] else { return standard }
                guard let number = value.unsigned, number <= IOLimits.largest else {
                    throw QMPError("bps/iops/max values must be within [0, \(IOLimits.largest)]")
                }
                return number
            }
            for kind in IOLimits.Kind.allCases {
                var limit = IOLimits.Limit()
                limit.average = try number(kind.rawValue)
                limit.maximum = try number(kind.rawValue + "_max")
                limit.length = try number(kind.rawValue + "_max_length", else: 1)
                limits.limits[kind] = limit
            }
            limits.requestSize = try number("iops_size")
            limits.group = arguments["group"]?.string ?? ""
            return try JobAnswers.perform { () throws(BlockError) in
                let name = try drive(machine, arguments)
                try disks.setLimits(limits, of: name)
            }
        }
    ]

    /// The drive or node of the device or drive that is named.
    private static func drive(
        _ machine: any BlockControlling, _ arguments: QMPArguments
    ) throws(BlockError) -> String {
        if let device = arguments["device"]?.string { return device }
        guard let identifier = arguments["id"]?.string else {
            throw BlockError(.invalidArgument, "Need exactly one of 'device' and 'id'")
        }
        let reports = (machine as? any BlockReporting)?.blockReports() ?? []
        let found = reports.first { $0.qdev == identifier || $0.qdev?.contains("/\(identifier)/") == true }
        guard let found else { throw BlockError(.notFound, "Device '\(identifier)' not found") }
        return found.device.isEmpty ? found.medium?.nodeName ?? "" : found.device
    }

    /// QMP's names of what an image is made with, as `create` takes them: mostly with another line.
    private static func createOptions(
        _ driver: String, _ options: JSONObject
    ) throws(BlockError) -> [(name: String, value: String)] {
        var found: [(name: String, value: String)] = []
        for member in options.members where !["driver", "file", "filename"].contains(member.name) {
            if member.name == "encrypt", let inner = member.value.object {
                for part in inner.members { found.append(("encrypt.\(part.name)", try text(part.value, part.name))) }
                continue
            }
            let value = try text(member.value, member.name)
            switch (driver, member.name) {
            case ("qcow2", "version"): found.append(("compat", value == "v2" ? "0.10" : "1.1"))
            case ("qcow2", _), ("vmdk", _), ("vpc", _), ("vhdx", _), ("vdi", _), ("qed", _), ("parallels", _):
                found.append((String(member.name.map { $0 == "-" ? "_" : $0 }), value))
            default: found.append((member.name, value))
            }
        }
        return found
    }

    private static func text(_ value: JSONValue, _ name: String) throws(BlockError) -> String {
        if let text = value.string { return text }
        if let flag = value.bool { return flag ? "on" : "off" }
        if let number = value.integer { return String(number) }
        throw BlockError(.invalidArgument, "Invalid parameter type for 'options.\(name)'")
    }
}
