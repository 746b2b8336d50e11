// SPDX-License-Identifier: Apache-2.0

internal import Diagnostics
internal import Glibc
internal import HostSystem
internal import ManagementModel

/// Files that belong to a machine's user while it runs. Who owned a file before is remembered in the extended
/// attributes that libvirt uses for it, with the number of those who have it, and it is given back when the last is done.
enum FileOwnership {
    private static let ownerName = "trusted.libvirt.security.dac"
    private static let countName = "trusted.libvirt.security.ref_dac"

    private static func information(_ path: String) -> stat? {
        var information = stat()
        // stat copies the path and fills the struct on this frame.
        return unsafe stat(path, &information) == 0 ? information : nil
    }

    /// Devices that are everybody's, and folders, keep their owners.
    private static func isOwnable(_ path: String, _ found: stat) -> Bool {
        let kind = found.st_mode & S_IFMT
        return kind == S_IFREG || kind == S_IFBLK || kind == S_IFCHR && found.st_mode & 0o006 != 0o006
    }

    /// Makes a file a user's. What everybody may read, and is only read, keeps its owner.
    static func take(_ path: String, user: UInt32, group: UInt32, isReadOnly: Bool) throws {
        guard let found = information(path), isOwnable(path, found) else { return }
        let readableByAll: UInt32 = 0o004
        if isReadOnly && found.st_mode & readableByAll != 0 { return }
        let count = FileAttributes.text(path, countName).flatMap { Int($0) } ?? 0
        if count == 0 { FileAttributes.set(path, ownerName, "+\(found.st_uid):+\(found.st_gid)") }
        FileAttributes.set(path, countName, "\(count + 1)")
        guard found.st_uid != user || found.st_gid != group else { return }
        // chown copies the path.
        guard unsafe chown(path, user, group) == 0 else {
            let error = Errno.current
            giveBack(path)
            throw ManagementError(
                .systemError, "unable to set user and group to '\(user):\(group)' on '\(path)': \(error)")
        }
    }

    /// The owner that an attribute names.
    static func owner(_ text: String?) -> (user: UInt32, group: UInt32)? {
        let parts = (text ?? "").split(separator: ":").map { UInt32($0.drop { $0 == "+" }) }
        guard parts.count == 2, let user = parts[0], let group = parts[1] else { return nil }
        return (user, group)
    }

    /// Gives a file back, if nobody else has it.
    static func giveBack(_ path: String) {
        guard let count = FileAttributes.text(path, countName).flatMap({ Int($0) }), count > 0 else {
            // A file system without attributes does not remember: what a machine's own user had goes to root.
            if let found = information(path), MachineConfinement.users.contains(found.st_uid),
                isOwnable(path, found), unsafe chown(path, 0, 0) != 0
            {
                Console.shared.warning("cannot give '\(path)' back: \(Errno.current)")
            }
            return
        }
        guard count == 1 else {
            FileAttributes.set(path, countName, "\(count - 1)")
            return
        }
        let owner = owner(FileAttributes.text(path, ownerName)) ?? (0, 0)
        FileAttributes.set(path, ownerName, nil)
        FileAttributes.set(path, countName, nil)
        // chown copies the path.
        if unsafe chown(path, owner.user, owner.group) != 0 {
            Console.shared.warning("cannot give '\(path)' back to its owner: \(Errno.current)")
        }
    }
}
