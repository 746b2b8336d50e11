// SPDX-License-Identifier: Apache-2.0

internal import Glibc

/// Folders of the host.
public enum HostFolder {
    /// The names in a folder, in the order in which the host gives them, without `.` and `..`.
    /// - Parameter most: how many at the most.
    /// - Returns: nil where the folder cannot be read.
    public static func names(in folder: String, most: Int = .max) -> [String]? {
        // opendir copies the path; the stream and its entries are used before it is closed; names end with a zero.
        guard let stream = unsafe opendir(folder) else { return nil }
        defer { unsafe closedir(stream) }
        var names: [String] = []
        while names.count < most, let entry = unsafe readdir(stream) {
            let name = unsafe withUnsafeBytes(of: &entry.pointee.d_name) { bytes in
                unsafe String(decoding: bytes.prefix { $0 != 0 }, as: UTF8.self)
            }
            if name != ".", name != ".." { names.append(name) }
        }
        return names
    }
}
