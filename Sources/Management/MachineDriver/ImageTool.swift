// SPDX-License-Identifier: Apache-2.0

internal import HostTools
internal import JSONCoding
internal import ManagementModel
internal import XMLTree

extension MachineDriver {
    /// Runs the program that works on images of disks that no machine has open.
    func imageTool(_ arguments: [String], _ what: String) throws {
        try HostTool.run(imageToolPath, arguments, to: what, from: .machineDriver)
    }

    /// Makes an empty image, or one whose contents are those of another until they are written.
    func makeOverlay(_ path: String, format: String, size: UInt64?, backing: (path: String, format: String)?) throws {
        var arguments = ["create", "-q", "-f", format]
        if let backing { arguments += ["-b", backing.path, "-F", backing.format] }
        arguments.append(path)
        if let size, backing == nil { arguments.append("\(size)") }
        try imageTool(arguments, "make the image '\(path)'")
    }

    /// The file behind an image that no machine has open; nil when there is none or it cannot be read.
    func imageBacking(_ path: String) -> String? {
        let facts = ["info", "-U", "--output=json", path]
        guard let result = try? HostTool.attempt(imageToolPath, facts, to: "read '\(path)'", from: .machineDriver),
            let value = try? JSONValue(parsing: result.output)
        else { return nil }
        return value["full-backing-filename"]?.string ?? value["backing-filename"]?.string
    }

    static func format(_ disk: XMLElement) -> String { disk[child: "driver"]?["type"] ?? "raw" }
}
