// SPDX-License-Identifier: Apache-2.0

internal import CLinux
internal import Glibc
internal import HostSystem

/// The byte-range locks on an open file that keep programs out of each other's way, as QEMU takes them.
///
/// For each permission that a program holds it has a shared lock on byte 100 + n; for each that it does not grant to
/// others, one on byte 200 + n. After placing its own it looks whether anybody has the opposite.
enum FileLocks {
    /// Whether to lock.
    enum Mode: Sendable { case auto, on, off }

    private static let heldBase: Int64 = 100
    private static let unsharedBase: Int64 = 200
    private static let names = ["consistent read", "write", "write unchanged", "resize"]

    /// Whether the host's file system has locks that belong to open files.
    static func areSupported(_ descriptor: Int32) -> Bool {
        var range = lock(at: 0, count: 0, type: F_WRLCK)
        // The struct lives on this frame for the call.
        return unsafe roost_fcntl_lock(descriptor, Int32(ROOST_F_OFD_GETLK), &range) == 0
    }

    /// How often and how long is waited for a holder that is just ending: scripts tell a machine to quit and look at its
    /// image at once. In microseconds.
    private static let pauses: [UInt32] = [2_000, 8_000, 20_000, 40_000, 60_000]

    /// Places the locks and looks for conflicts, a few times; on failure none is left.
    static func take(
        _ descriptor: Int32, path: String, holds: FilePermissions, shares: FilePermissions
    ) throws(BlockError) {
        for pause in pauses {
            do throws(BlockError) {
                return try takeOnce(descriptor, path: path, holds: holds, shares: shares)
            } catch {
                guard error.kind == .locked else { throw error }
                usleep(pause)
            }
        }
        try takeOnce(descriptor, path: path, holds: holds, shares: shares)
    }

    private static func takeOnce(
        _ descriptor: Int32, path: String, holds: FilePermissions, shares: FilePermissions
    ) throws(BlockError) {
        do throws(BlockError) {
            for bit in names.indices {
                let flag = FilePermissions(rawValue: 1 << UInt8(bit))
                try place(descriptor, at: heldBase + Int64(bit), holds.contains(flag))
                try place(descriptor, at: unsharedBase + Int64(bit), !shares.contains(flag))
            }
            for bit in names.indices where holds.contains(FilePermissions(rawValue: 1 << UInt8(bit))) {
                if isTaken(descriptor, at: unsharedBase + Int64(bit)) {
                    throw conflict("Failed to get \"\(names[bit])\" lock", path)
                }
            }
            for bit in names.indices where !shares.contains(FilePermissions(rawValue: 1 << UInt8(bit))) {
                if isTaken(descriptor, at: heldBase + Int64(bit)) {
                    throw conflict("Failed to get shared \"\(names[bit])\" lock", path)
                }
            }
        } catch {
            release(descriptor)
            throw error
        }
    }

    /// Takes all locks of this open file back.
    static func release(_ descriptor: Int32) {
        var range = lock(at: heldBase, count: unsharedBase + Int64(names.count) - heldBase, type: F_UNLCK)
        // The struct lives on this frame. Unlocking what is not locked succeeds too, so there is nothing to report.
        _ = unsafe roost_fcntl_lock(descriptor, Int32(ROOST_F_OFD_SETLK), &range)
    }

    private static func conflict(_ text: String, _ path: String) -> BlockError {
        BlockError(.locked, text, hint: "Is another process using the image [\(path)]?").about(.file(path))
    }

    private static func place(_ descriptor: Int32, at byte: Int64, _ wanted: Bool) throws(BlockError) {
        var range = lock(at: byte, count: 1, type: wanted ? F_RDLCK : F_UNLCK)
        // The struct lives on this frame for the call.
        guard unsafe roost_fcntl_lock(descriptor, Int32(ROOST_F_OFD_SETLK), &range) == 0 else {
            throw BlockError(system: Errno.current, "Failed to lock byte \(byte)")
        }
    }

    private static func isTaken(_ descriptor: Int32, at byte: Int64) -> Bool {
        var range = lock(at: byte, count: 1, type: F_WRLCK)
        // The struct lives on this frame for the call; the kernel puts the conflicting lock into it.
        guard unsafe roost_fcntl_lock(descriptor, Int32(ROOST_F_OFD_GETLK), &range) == 0 else { return true }
        return range.l_type != Int16(F_UNLCK)
    }

    private static func lock(at start: Int64, count: Int64, type: Int32) -> flock {
        var range = flock()
        range.l_type = Int16(type)
        range.l_whence = Int16(SEEK_SET)
        range.l_start = Int(start)
        range.l_len = Int(count)
        return range
    }
}
