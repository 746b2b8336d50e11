// SPDX-License-Identifier: Apache-2.0

internal import Glibc
internal import HostSystem
internal import ManagementModel

/// Bytes of files that are not the service's own.
enum StateFilesAccess {
    static func remove(_ path: String) throws(Errno) {
        // unlink copies the path.
        guard unsafe unlink(path) == 0 || Errno.current == .noEntry else { throw .current }
    }

    /// Up to `count` bytes from `offset` on.
    /// - Parameter follows: whether a symbolic link is followed; not in a folder that somebody else writes to.
    static func bytes(_ path: String, at offset: Int64, count: Int, follows: Bool = true) throws -> [UInt8] {
        do throws(Errno) {
            let file = try FileDescriptor.open(path, flags: follows ? O_RDONLY : O_RDONLY | O_NOFOLLOW | O_NONBLOCK)
            var bytes = [UInt8](repeating: 0, count: count)
            // The array lives for the call.
            let read: Result<Int, Errno> = unsafe bytes.withUnsafeMutableBytes { buffer in
                do throws(Errno) { return .success(try unsafe file.read(into: buffer, at: offset)) } catch {
                    return .failure(error)
                }
            }
            return Array(bytes.prefix(try read.get()))
        } catch { throw ManagementError(.systemError, "\(path): failed to read: \(error)") }
    }
}

/// The two ends of a connection inside this host.
final class LocalPair {
    let service: FileDescriptor
    private var client: Int32

    private init(_ service: Int32, _ client: Int32) {
        self.service = FileDescriptor(owning: service)
        self.client = client
    }

    deinit { if client >= 0 { _ = FileDescriptor(owning: client) } }

    static func make() throws -> LocalPair {
        var ends: [Int32] = [-1, -1]
        let kind = Int32(SOCK_STREAM.rawValue | SOCK_CLOEXEC.rawValue)
        // socketpair fills the two numbers.
        guard unsafe socketpair(AF_UNIX, kind, 0, &ends) == 0 else {
            throw ManagementError(.systemError, "cannot make a pair of sockets: \(Errno.current)")
        }
        return LocalPair(ends[0], ends[1])
    }

    /// The client's end, which becomes the caller's.
    func takeClient() -> Int32 {
        defer { client = -1 }
        return client
    }
}
