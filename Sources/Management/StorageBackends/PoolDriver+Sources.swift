// SPDX-License-Identifier: Apache-2.0

internal import HostTools
internal import ManagementModel
internal import StateStore
package import XMLTree

// What pools could be made of.
extension PoolDriver {
    /// Places for pools of a type, as a document: volume groups of this host, or what a server shares.
    /// - Parameter specification: a `<source>` that names the server.
    public func sources(ofType type: String, _ specification: String?) throws -> String {
        switch type {
        case "logical": return try LogicalVolumes.sources().printed()
        case "netfs": return try shares(specification)
        case "dir", "fs", "disk", "iscsi", "iscsi-direct", "scsi", "mpath", "rbd", "sheepdog", "gluster", "zfs",
            "vstorage":
            throw ManagementError(
                .noSupport, "pool type '\(type)' does not support source discovery", from: .storage)
        default: throw ManagementError(.internalError, "unknown storage pool type \(type)", from: .storage)
        }
    }

    private static let tool = "/usr/sbin/showmount"

    private func shares(_ specification: String?) throws -> String {
        guard let specification else {
            throw ManagementError(.invalidArg, "hostname must be specified for netfs sources", from: .storage)
        }
        let source: XMLElement
        do throws(XMLSyntaxError) { source = try XMLParser.parse(specification) } catch {
            throw ManagementError(.xmlDetail, "(storage_source_specification):\(error)", from: .xml)
        }
        guard let host = source[child: "host"]?["name"], !host.isEmpty, !host.hasPrefix("-") else {
            throw ManagementError(.internalError, "pool source name must have exactly 1 host", from: .storage)
        }
        guard StateFiles.exists(Self.tool) else {
            throw ManagementError(
                .operationUnsupported,
                "cannot list what '\(host)' shares: \(Self.tool) is not there (install nfs-common)",
                from: .storage)
        }
        let output = try HostTool.run(
            Self.tool, ["--no-headers", "--exports", host], to: "list what '\(host)' shares", from: .storage)
        return Self.shares(output, of: host).printed()
    }

    /// Reads the output of `showmount`: a path and who may use it on each line.
    package static func shares(_ output: String, of host: String) -> XMLElement {
        let paths = output.split(separator: "\n").compactMap { line in
            line.split(separator: " ").first.map(String.init)
        }.filter { $0.hasPrefix("/") }
        return XMLElement(
            "sources", [:],
            paths.map { path in
                XMLElement(
                    "source", [:],
                    [
                        XMLElement("host", ["name": host]), XMLElement("dir", ["path": path]),
                        XMLElement("format", ["type": "nfs"]),
                    ])
            })
    }
}
