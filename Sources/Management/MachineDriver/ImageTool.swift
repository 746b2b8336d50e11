// SPDX-License-Identifier: Apache-2.0

internal import HostProcesses
internal import HostSystem
internal import JSONCoding
internal import ManagementModel
internal import XMLTree

extension MachineDriver {
    /// Runs the program that works on images of disks that no machine has open.
    func imageTool(_ arguments: [String], _ what: String) throws {
        let result: (ending: ChildProcess.Ending, output: String)
        do throws(Errno) {
            result = try ChildProcess.run(imageToolPath, arguments, environment: ["PATH=/usr/bin:/bin", "LC_ALL=C"])
        } catch { throw ManagementError(.systemError, "cannot \(what): \(imageToolPath): \(error)") }
        guard result.ending == .exited(0) else {
            throw ManagementError(
                .internalError, "cannot \(what): \(result.output.split(separator: "\n").last ?? "")")
        }
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
        let result = try? ChildProcess.run(
            imageToolPath, ["info", "-U", "--output=json", path], environment: ["PATH=/usr/bin:/bin", "LC_ALL=C"])
        guard let output = result?.output, let value = try? JSONValue(parsing: output) else { return nil }
        return value["full-backing-filename"]?.string ?? value["backing-filename"]?.string
    }

    static func format(_ disk: XMLElement) -> String { disk[child: "driver"]?["type"] ?? "raw" }
}
