// SPDX-License-Identifier: Apache-2.0

internal import Glibc
internal import HostSystem

/// Reading the small files of /proc, /sys and /etc.
public enum TextFile {
    /// All of a file, at most `limit` bytes; nil when it cannot be read.
    public static func read(_ path: String, limit: Int = 1 << 20) -> String? {
        do throws(Errno) {
            let file = try FileDescriptor.open(path)
            var bytes: [UInt8] = []
            var chunk = [UInt8](repeating: 0, count: 16384)
            while bytes.count < limit {
                // The chunk lives for the call.
                let read: Result<Int, Errno> = unsafe chunk.withUnsafeMutableBytes { buffer in
                    do throws(Errno) { return .success(try unsafe file.read(into: buffer)) } catch {
                        return .failure(error)
                    }
                }
                let count = try read.get()
                if count == 0 { break }
                bytes += chunk.prefix(count)
            }
            return String(decoding: bytes, as: UTF8.self)
        } catch { return nil }
    }

    /// The lines of a file; none when it cannot be read.
    public static func lines(_ path: String) -> [Substring] {
        read(path)?.split(separator: "\n") ?? []
    }

    /// Names in a folder, in order; none when there is no such folder.
    public static func names(in folder: String) -> [String] {
        (HostFolder.names(in: folder) ?? []).filter { !$0.hasPrefix(".") }.sorted()
    }

    /// The first line of a file as a number.
    public static func number(_ path: String) -> UInt64? {
        lines(path).first.flatMap { UInt64($0.trimmed) }
    }
}

extension Substring {
    /// Without blanks at both ends.
    var trimmed: Substring {
        var rest = self
        while rest.first?.isWhitespace == true { rest.removeFirst() }
        while rest.last?.isWhitespace == true { rest.removeLast() }
        return rest
    }
}
