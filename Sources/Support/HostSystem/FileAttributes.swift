// SPDX-License-Identifier: Apache-2.0

internal import CLinux

/// Extended attributes of files (xattr(7)), and what kind of file system a file is on.
public enum FileAttributes {
    /// Bytes of the longest value that is read.
    private static let valueLimit = 4096

    /// The value of an attribute up to its first zero; nil when it is not there or cannot be read.
    public static func text(_ path: String, _ name: String) -> String? {
        var value = [UInt8](repeating: 0, count: valueLimit)
        // getxattr fills at most the array, which lives for the call.
        let count = unsafe value.withUnsafeMutableBytes {
            unsafe roost_get_attribute(path, name, $0.baseAddress, $0.count)
        }
        return count > 0 ? String(decoding: value.prefix(count).prefix { $0 != 0 }, as: UTF8.self) : nil
    }

    /// Sets an attribute, with a zero at its end; nil removes it.
    /// - Returns: whether the file system keeps it.
    @discardableResult
    public static func set(_ path: String, _ name: String, _ text: String?) -> Bool {
        // The strings and the array live for the calls.
        guard let text else { return unsafe roost_remove_attribute(path, name) == 0 }
        let bytes = Array(text.utf8) + [0]
        return unsafe bytes.withUnsafeBytes {
            unsafe roost_set_attribute(path, name, $0.baseAddress, $0.count)
        } == 0
    }

    /// The kernel's magic number of the file system that a file is on (statfs(2)); nil for a file that is not there.
    public static func fileSystem(of path: String) -> UInt32? {
        // The string lives for the call.
        let kind = unsafe roost_filesystem_type(path)
        return kind < 0 ? nil : UInt32(truncatingIfNeeded: kind)
    }
}
