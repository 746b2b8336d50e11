// SPDX-License-Identifier: Apache-2.0

internal import HostTools
internal import ManagementModel
internal import StateStore
internal import XMLTree

/// File systems that pools of types `fs` and `netfs` are in: mounted when the pool starts, unmounted when it stops.
enum PoolMount {
    private static let mount = "/usr/bin/mount"
    private static let unmount = "/usr/bin/umount"

    /// Types of pools that there are; all but logical ones are folders in the end.
    static let types = ["dir", "fs", "netfs", "logical"]

    /// What is mounted; nil for a pool that is a folder only.
    private static func origin(_ pool: Pool) throws -> String? {
        let source = pool.root[child: "source"]
        switch pool.root["type"] {
        case "fs":
            guard let device = source?[child: "device"]?["path"], device.hasPrefix("/") else {
                throw ManagementError(.xmlError, "missing storage pool source device path", from: .storage)
            }
            return device
        case "netfs":
            guard let host = source?[child: "host"]?["name"], !host.isEmpty, !host.hasPrefix("-"),
                let folder = source?[child: "dir"]?["path"], folder.hasPrefix("/")
            else {
                throw ManagementError(.xmlError, "missing storage pool source host name or dir path", from: .storage)
            }
            let isWindows = source?[child: "format"]?["type"] == "cifs"
            return isWindows ? "//\(host)\(folder)" : "\(host.contains(":") ? "[\(host)]" : host):\(folder)"
        default: return nil
        }
    }

    /// Whether the kernel has something mounted at a path.
    static func isMounted(_ path: String) -> Bool {
        // Blanks in paths are written in octal.
        let wanted = path.split(separator: " ", omittingEmptySubsequences: false).joined(separator: "\\040")
        return MountTable.read().contains { $0 == wanted }
    }

    /// Mounts what the pool is in; nothing for a folder, and for what is mounted already.
    static func attach(_ pool: Pool) throws {
        guard let source = try origin(pool), !isMounted(pool.path) else { return }
        var arguments: [String] = []
        if let format = pool.root[child: "source"]?[child: "format"]?["type"], format != "auto" {
            arguments += ["-t", format]
        }
        if pool.root["type"] == "netfs" { arguments += ["-o", "nodev,nosuid,noexec"] }
        try run(mount, arguments + [source, pool.path], "mount '\(source)' at '\(pool.path)'")
    }

    /// The kind of file system whose helper this host does not have.
    private static func missingHelper(_ arguments: [String]) -> String? {
        guard let source = arguments.dropLast().last, arguments.count > 1 else { return nil }
        let kind = source.hasPrefix("//") ? "cifs" : source.contains(":/") ? "nfs" : nil
        guard let kind else { return nil }
        let isThere = ["/sbin/mount.", "/usr/sbin/mount."].contains { StateFiles.exists($0 + kind) }
        return isThere ? nil : kind
    }

    static func detach(_ pool: Pool) throws {
        guard try origin(pool) != nil, isMounted(pool.path) else { return }
        try run(unmount, [pool.path], "unmount '\(pool.path)'")
    }

    private static func run(_ tool: String, _ arguments: [String], _ what: String) throws {
        let result = try HostTool.attempt(tool, arguments, to: what, from: .storage)
        guard !result.succeeded else { return }
        // mount(8) says little when the helper of a kind of file system is missing.
        let helpers = ["nfs": "nfs-common", "cifs": "cifs-utils"]
        if let kind = missingHelper(arguments), let package = helpers[kind] {
            throw ManagementError(
                .operationUnsupported, "cannot \(what): /sbin/mount.\(kind) is not there (install \(package))",
                from: .storage)
        }
        throw ManagementError(.internalError, "cannot \(what): \(result.reason(.first))", from: .storage)
    }
}
