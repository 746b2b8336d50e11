// SPDX-License-Identifier: Apache-2.0

internal import CConfinement
internal import Glibc
internal import HostSystem

/// The files of a host that a confined program sees: an empty root in memory with copies of a few mounts in it. What is
/// not in the list is not there.
enum ConfinedView {
    /// Programs, libraries and what the C library looks up, all read-only.
    private static let system = [
        "/usr", "/lib", "/lib64", "/lib32", "/bin", "/sbin", "/etc/ld.so.cache", "/etc/ld.so.conf", "/etc/ld.so.conf.d",
        "/etc/localtime", "/etc/resolv.conf", "/etc/hosts", "/etc/nsswitch.conf", "/etc/passwd", "/etc/group",
        "/etc/ssl/openssl.cnf", "/etc/ssl/certs", "/etc/qemu", "/sys/devices/system", "/sys/module", "/sys/kernel/mm",
    ]
    /// Devices that machines need and that are nobody's own.
    private static let devices = [
        "/dev/null", "/dev/zero", "/dev/full", "/dev/random", "/dev/urandom", "/dev/kvm", "/dev/net/tun",
        "/dev/vhost-net", "/dev/vhost-vsock", "/dev/pts", "/dev/userfaultfd",
    ]

    /// The device that makes terminals: major 5, minor 2.
    private static let terminals: dev_t = 5 << 8 | 2

    /// Bytes and files that fit into the root and its temporary folder.
    private static let limits = "size=64m,nr_inodes=16k,mode=755"

    /// Bits of mount(2).
    private enum MountFlag {
        static let noSetUser: UInt = 2, noDevices: UInt = 4, noExecution: UInt = 8
        static let recursive: UInt = 0x4000, dependent: UInt = 1 << 19
    }

    /// Puts the view together and makes it the process's own. The process has one thread and its own mounts.
    static func enter(_ plan: ConfinementPlan, root: String) throws(ConfinementError) {
        // Nothing that is mounted here is seen by others. All strings live for the calls.
        try check("leave the host's mounts alone", "/") {
            unsafe roost_mount(nil, "/", nil, MountFlag.recursive | MountFlag.dependent, nil)
        }
        try check("make an empty root", root) {
            unsafe roost_mount("tmpfs", root, "tmpfs", MountFlag.noSetUser, limits)
        }
        for path in system where exists(path) { try show(path, in: root, isReadOnly: true) }
        for path in devices where exists(path) { try show(path, in: root, isReadOnly: false, isDevice: true) }
        // A terminal is made in the `pts` beside the node itself, so that this one cannot be the host's.
        // mknod and chmod copy the path.
        try check("make", "/dev/ptmx") { unsafe mknod(root + "/dev/ptmx", S_IFCHR | 0o666, terminals) }
        try check("make", "/dev/ptmx") { unsafe chmod(root + "/dev/ptmx", 0o666) }
        for (path, mode) in [("/tmp", 0o1777), ("/var/tmp", 0o1777), ("/dev/shm", 0o1777)] as [(String, UInt32)] {
            try makeFolder(root + path)
            // chmod copies the path.
            try check("make", path) { unsafe chmod(root + path, mode) }
        }
        try makeFolder(root + "/proc")
        try check("mount", "/proc") {
            unsafe roost_mount(
                "proc", root + "/proc", "proc",
                MountFlag.noSetUser | MountFlag.noDevices | MountFlag.noExecution, "hidepid=2")
        }
        for path in plan.readable { try show(path, in: root, isReadOnly: true) }
        for path in plan.writable { try show(path, in: root, isReadOnly: false, isDevice: true) }
        for path in plan.folders { try show(path, in: root, isReadOnly: false) }
        try check("enter", root) { unsafe chdir(root) }
        try check("enter", root) { roost_pivot_here() }
    }

    static func exists(_ path: String) -> Bool {
        // access copies the path.
        unsafe access(path, F_OK) == 0
    }

    static func check(_ what: String, _ path: String, _ body: () -> Int32) throws(ConfinementError) {
        guard body() >= 0 else { throw ConfinementError(what: what, path: path, cause: .current) }
    }

    private static func information(_ path: String) -> stat? {
        var information = stat()
        // lstat copies the path and fills the struct on this frame.
        return unsafe lstat(path, &information) == 0 ? information : nil
    }

    /// Shows what is at a path of the host at the same path below `root`.
    private static func show(
        _ path: String, in root: String, isReadOnly: Bool, isDevice: Bool = false
    ) throws(ConfinementError) {
        if let found = information(path), found.st_mode & S_IFMT == S_IFLNK, system.contains(path) {
            return try copyLink(path, root + path)
        }
        let tree = try open(path)
        try attach(tree.number, at: path, in: root, isReadOnly: isReadOnly, isDevice: isDevice)
    }

    /// A copy of the mount that a path of the host is in, from the path on.
    static func open(_ path: String) throws(ConfinementError) -> FileDescriptor {
        let tree = unsafe roost_open_tree(path, 1)
        guard tree >= 0 else { throw ConfinementError(what: "open", path: path, cause: .current) }
        return FileDescriptor(owning: tree)
    }

    /// Puts a copy of a mount at a path below `root`, where a folder or file is made for it unless there is one.
    static func attach(
        _ tree: Int32, at path: String, in root: String, isReadOnly: Bool, isDevice: Bool
    ) throws(ConfinementError) {
        var found = stat()
        // The struct lives on this frame; the strings for the calls.
        guard unsafe fstat(tree, &found) == 0 else { throw ConfinementError(what: "open", path: path, cause: .current) }
        let target = root + path
        if !exists(target) {
            if found.st_mode & S_IFMT == S_IFDIR {
                try makeFolder(target)
            } else {
                try makeFolder(target.split(separator: "/").dropLast().reduce(into: "") { $0 += "/" + $1 })
                do throws(Errno) {
                    _ = try FileDescriptor.open(target, flags: O_WRONLY | O_CREAT | O_NOFOLLOW, mode: 0o600)
                } catch { throw ConfinementError(what: "make a place for", path: path, cause: error) }
            }
        }
        // What was there before may be a file that is gone by now, or one that could be read alone.
        if root.isEmpty { try check("take away the old", path) { unsafe roost_unmount(target) } }
        try check("show", path) { unsafe roost_move_mount(tree, target) }
        try check("restrict", path) {
            unsafe roost_restrict_mount(target, isReadOnly ? 1 : 0, isDevice ? 1 : 0)
        }
    }

    private static func copyLink(_ path: String, _ target: String) throws(ConfinementError) {
        var text = [UInt8](repeating: 0, count: Int(PATH_MAX))
        // readlink fills at most the array, which lives for the call.
        let count = unsafe text.withUnsafeMutableBytes { buffer in
            unsafe readlink(path, buffer.baseAddress!.assumingMemoryBound(to: CChar.self), buffer.count)
        }
        guard count > 0 else { throw ConfinementError(what: "read the link", path: path, cause: .current) }
        try makeFolder(target.split(separator: "/").dropLast().reduce(into: "") { $0 += "/" + $1 })
        let meant = String(decoding: text.prefix(count), as: UTF8.self)
        try check("make the link", path) { unsafe symlink(meant, target) }
    }

    private static func makeFolder(_ path: String) throws(ConfinementError) {
        var built = ""
        for part in path.split(separator: "/") {
            built += "/" + part
            // mkdir copies the path.
            if unsafe mkdir(built, 0o755) != 0, Errno.current.code != EEXIST {
                throw ConfinementError(what: "make the folder", path: built, cause: .current)
            }
        }
    }
}

/// Why a program could not be confined; it is not started then.
public struct ConfinementError: Error, CustomStringConvertible {
    let what: String
    let path: String
    let cause: Errno

    public var description: String { "cannot \(what) '\(path)' for a confined program: \(cause)" }
}
