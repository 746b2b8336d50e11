// SPDX-License-Identifier: Apache-2.0

internal import Glibc
public import HostSystem

/// Files that are there whole or not at all, also after a crash or a full disk.
public enum StateFiles {
    /// Makes a folder and those above it.
    public static func makeFolder(_ path: String, mode: UInt32 = 0o711) throws(Errno) {
        var built = ""
        for part in path.split(separator: "/") {
            built += "/" + part
            if exists(built) { continue }
            try StateFaults.before(.make)
            // mkdir copies the path.
            if unsafe mkdir(built, mode) != 0 && Errno.current.code != EEXIST { throw .current }
        }
    }

    /// Writes a file beside the old one and puts it in its place.
    public static func write(_ path: String, _ text: String, mode: UInt32 = 0o600) throws(Errno) {
        try write(path, bytes: Array(text.utf8), mode: mode)
    }

    /// Writes a file beside the old one and puts it in its place.
    public static func write(_ path: String, bytes: [UInt8], mode: UInt32 = 0o600) throws(Errno) {
        let temporary = path + ".new"
        do throws(Errno) {
            try StateFaults.before(.make)
            let file = try FileDescriptor.open(temporary, flags: O_WRONLY | O_CREAT | O_TRUNC, mode: mode)
            try StateFaults.before(.write)
            try file.writeAll(bytes)
            try StateFaults.before(.sync)
            _ = try retrying { fdatasync(file.number) }
            try StateFaults.before(.replace)
            // rename copies both paths.
            _ = try retrying { unsafe rename(temporary, path) }
        } catch {
            // Who was killed cleans nothing up; the next start does.
            if error != StateFaults.killedCode {
                // unlink copies the path.
                _ = unsafe unlink(temporary)
            }
            throw error
        }
    }

    /// Removes what writes that were not finished left in a folder.
    public static func sweep(_ folder: String) {
        for name in names(in: folder, suffix: ".new") {
            // unlink copies the path.
            _ = unsafe unlink(folder + "/" + name + ".new")
        }
    }

    /// Removes links in a folder that lead nowhere: what they led to was removed, and they were not any more.
    public static func sweepLinks(_ folder: String, suffix: String) {
        for name in names(in: folder, suffix: suffix) where !exists(folder + "/" + name + suffix) {
            // unlink copies the path.
            _ = unsafe unlink(folder + "/" + name + suffix)
        }
    }

    /// Gives a file another name; one of that name is replaced.
    public static func move(_ path: String, to target: String) throws(Errno) {
        try StateFaults.before(.replace)
        // rename copies both paths.
        _ = try retrying { unsafe rename(path, target) }
    }

    /// All of a file; nil when it is not there.
    /// - Throws: the host's error for a file that is there and cannot be read, or is longer than `limit` bytes.
    public static func read(_ path: String, limit: Int = 32 << 20) throws(Errno) -> String? {
        guard exists(path) else { return nil }
        return String(decoding: try readBytes(path, limit: limit), as: UTF8.self)
    }

    /// All bytes of a file.
    /// - Throws: the host's error, also for a file that is not there or is longer than `limit` bytes.
    public static func readBytes(_ path: String, limit: Int) throws(Errno) -> [UInt8] {
        let file = try FileDescriptor.open(path)
        let size = Int(try file.size())
        guard size <= limit else { throw Errno(EFBIG) }
        var bytes = [UInt8](repeating: 0, count: size)
        var done = 0
        while done < size {
            // The rest of the array lives for the call.
            let read: Result<Int, Errno> = unsafe bytes.withUnsafeMutableBytes { buffer in
                do throws(Errno) {
                    return .success(
                        try unsafe file.read(into: UnsafeMutableRawBufferPointer(rebasing: buffer[done...])))
                } catch { return .failure(error) }
            }
            let count = try read.get()
            if count == 0 { break }
            done += count
        }
        return Array(bytes.prefix(done))
    }

    /// Removes a file; one that is not there is removed already.
    public static func remove(_ path: String) throws(Errno) {
        try StateFaults.before(.remove)
        // unlink copies the path.
        guard unsafe unlink(path) == 0 || Errno.current == .noEntry else { throw .current }
    }

    /// Removes an empty folder and reports nothing: what is in it is somebody else's.
    public static func removeFolder(_ path: String) {
        // rmdir copies the path.
        _ = unsafe rmdir(path)
    }

    /// Whether something is there.
    public static func exists(_ path: String) -> Bool {
        // access copies the path.
        unsafe access(path, F_OK) == 0
    }

    /// Whether a symbolic link is there, wherever it leads.
    public static func isLink(_ path: String) -> Bool {
        var information = stat()
        // lstat copies the path and fills the struct on this frame.
        return unsafe lstat(path, &information) == 0 && information.st_mode & S_IFMT == S_IFLNK
    }

    /// Names of hidden files in a folder that begin with `prefix`, without it.
    public static func hiddenNames(in folder: String, prefix: String) -> [String] {
        (HostFolder.names(in: folder) ?? []).filter { $0.hasPrefix(prefix) }
            .map { String($0.dropFirst(prefix.count)) }.sorted()
    }

    /// Makes a symbolic link; one of that name is replaced.
    public static func link(_ path: String, to target: String) throws(Errno) {
        try remove(path)
        try StateFaults.before(.link)
        // symlink copies both paths.
        guard unsafe symlink(target, path) == 0 else { throw .current }
    }

    /// Names in a folder that end with `suffix`, without it, in order; none when there is no folder.
    public static func names(in folder: String, suffix: String) -> [String] {
        (HostFolder.names(in: folder) ?? []).filter { $0.hasSuffix(suffix) && !$0.hasPrefix(".") }
            .map { String($0.dropLast(suffix.count)) }.sorted()
    }
}
