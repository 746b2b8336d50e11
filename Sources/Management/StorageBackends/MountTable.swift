// SPDX-License-Identifier: Apache-2.0

internal import Glibc
internal import HostSystem

/// What the kernel has mounted.
enum MountTable {
    private static let chunk = 65536

    /// The places, as /proc/self/mounts writes them; none when it cannot be read.
    static func read() -> [String] {
        // A file of /proc has no size, so it is read to its end.
        guard let file = try? FileDescriptor.open("/proc/self/mounts") else { return [] }
        var text: [UInt8] = []
        var buffer = [UInt8](repeating: 0, count: chunk)
        while true {
            // The array lives for the call.
            let read: Result<Int, Errno> = unsafe buffer.withUnsafeMutableBytes { bytes in
                do throws(Errno) { return .success(try unsafe file.read(into: bytes)) } catch {
                    return .failure(error)
                }
            }
            guard case .success(let count) = read, count > 0 else { break }
            text += buffer.prefix(count)
        }
        return String(decoding: text, as: UTF8.self).split(separator: "\n").compactMap { line in
            let words = line.split(separator: " ")
            return words.count > 1 ? String(words[1]) : nil
        }
    }
}
