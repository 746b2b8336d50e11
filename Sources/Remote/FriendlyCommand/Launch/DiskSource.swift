// SPDX-License-Identifier: Apache-2.0

internal import XDRCoding
internal import ClientKit
internal import Diagnostics
internal import HostProcesses
internal import HostSystem
internal import JSONCoding
internal import LibvirtProtocol
internal import XMLTree

/// An image file that a machine's own disk is made from.
struct DiskSource {
    let path: String
    let format: String
    /// What a guest sees, in bytes.
    let size: UInt64

    /// Looks at the image with roost-img.
    init(_ path: String) throws {
        guard ProgramFiles.exists(path) else { throw UserError("there is no image '\(path)'") }
        self.path = ProgramFiles.absolute(path)
        let tool = ThisProgram.beside("roost-img")
        let result: (ending: ChildProcess.Ending, output: String)
        do throws(Errno) {
            result = try ChildProcess.run(
                tool, ["info", "--output=json", "--force-share", self.path], environment: ThisProgram.environment)
        } catch { throw UserError("cannot run \(tool)", because: error) }
        guard result.ending == .exited(0), let facts = try? JSONValue(parsing: result.output),
            let format = facts["format"]?.string, let size = facts["virtual-size"]?.unsigned
        else { throw UserError("cannot use the image '\(path)'", because: result.output) }
        self.format = format
        self.size = size
    }

    /// Makes a disk that holds the image's content and keeps what is written apart from it.
    /// - Parameter size: what a guest sees, in bytes; nil for the image's own size.
    /// - Returns: the disk's path.
    func makeDisk(_ name: String, size wanted: UInt64?, in pool: PoolHandle, on service: Service) throws -> String {
        if let wanted, wanted < size {
            throw UserError(
                "a disk of \(ByteAmount.text(wanted)) cannot hold the image's \(ByteAmount.text(size))",
                remedy: "ask for a larger --disk-size, or none")
        }
        let document = XMLElement(
            "volume", [:],
            [
                XMLElement("name", text: name),
                XMLElement("capacity", text: String(wanted ?? size)),
                XMLElement("allocation", text: "0"),
                XMLElement("target", [:], [XMLElement("format", ["type": "qcow2"])]),
                XMLElement(
                    "backingStore", [:], [XMLElement("path", text: path), XMLElement("format", ["type": format])]),
            ])
        let volume = try service.server.call(
            Procedures.storageVolCreateXML, Message(pool, document.printed(), 0)
        ).fields
        return try service.server.call(Procedures.storageVolGetPath, Message(volume)).fields
    }
}

/// Volumes whose content this command sends.
enum UploadedVolume {
    /// Makes a raw volume of some bytes.
    /// - Returns: its path.
    static func make(_ name: String, _ bytes: [UInt8], in pool: PoolHandle, on service: Service) throws -> String {
        let document = XMLElement(
            "volume", [:],
            [
                XMLElement("name", text: name), XMLElement("capacity", text: String(bytes.count)),
                XMLElement("target", [:], [XMLElement("format", ["type": "raw"])]),
            ])
        let volume = try service.server.call(
            Procedures.storageVolCreateXML, Message(pool, document.printed(), 0)
        ).fields
        let stream = try service.server.openStream(
            Procedures.storageVolUpload, Message(volume, 0, UInt64(bytes.count), 0))
        var progress = Progress(name, total: UInt64(bytes.count))
        var done = 0
        while done < bytes.count {
            let part = bytes[done...].prefix(FrameHeader.streamChunk)
            try stream.send(Array(part))
            done += part.count
            progress.update(UInt64(done))
        }
        try stream.finish()
        progress.end()
        return try service.server.call(Procedures.storageVolGetPath, Message(volume)).fields
    }

    /// Removes a volume that was made for something that failed.
    static func remove(_ path: String, on service: Service) throws {
        let volume = try service.server.call(Procedures.storageVolLookupByPath, Message(path)).fields
        _ = try service.server.call(Procedures.storageVolDelete, Message(volume, 0))
    }
}
