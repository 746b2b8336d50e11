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
