// SPDX-License-Identifier: Apache-2.0

internal import Glibc
internal import CLinux

/// An open file that is closed when its owner goes out of scope.
public struct FileDescriptor: ~Copyable, Sendable {
    /// The number, valid while this value lives. It is lent, never closed by the borrower.
    public let number: Int32

    /// Takes over an open descriptor.
    public init(owning number: Int32) { self.number = number }

    deinit {
        if number >= 0 { _ = Glibc.close(number) }
    }

    /// Gives the descriptor up without closing it.
    public consuming func release() -> Int32 {
        let released = number
        discard self
        return released
    }

    /// Opens a file, or a duplicate of a descriptor of `DescriptorSets.shared`; close-on-exec is always set.
    /// - Parameters:
    ///   - flags: as for open(2), for example `O_RDWR | O_CREAT`; 0 is `O_RDONLY`.
    ///   - mode: permission bits of a file that is created, before the umask.
    public static func open(
        _ path: String, flags: Int32 = 0, mode: UInt32 = 0o644
    ) throws(Errno) -> FileDescriptor {
        if let number = try DescriptorSets.shared.open(path, flags: flags) { return FileDescriptor(owning: number) }
        return FileDescriptor(owning: try retrying { unsafe roost_open(path, flags | O_CLOEXEC, mode) })
    }

    /// Another descriptor for the same open file.
    public func duplicate() throws(Errno) -> FileDescriptor {
        FileDescriptor(owning: try retrying { roost_fcntl(number, F_DUPFD_CLOEXEC, 0) })
    }

    /// Reads at most `buffer.count` bytes; 0 at the end of the file.
    public func read(into buffer: UnsafeMutableRawBufferPointer) throws(Errno) -> Int {
        // The kernel writes only inside the buffer that the caller keeps alive for the call.
        try retrying { unsafe Glibc.read(number, buffer.baseAddress, buffer.count) }
    }

    /// Reads at a place in the file without moving its position; 0 at or beyond the end.
    public func read(into buffer: UnsafeMutableRawBufferPointer, at offset: Int64) throws(Errno) -> Int {
        // As above.
        try retrying { unsafe pread(number, buffer.baseAddress, buffer.count, Int(offset)) }
    }

    /// Writes at most `buffer.count` bytes and says how many.
    public func write(_ buffer: UnsafeRawBufferPointer) throws(Errno) -> Int {
        // The kernel reads only inside the buffer that the caller keeps alive for the call.
        try retrying { unsafe Glibc.write(number, buffer.baseAddress, buffer.count) }
    }

    /// Writes at a place in the file without moving its position.
    public func write(_ buffer: UnsafeRawBufferPointer, at offset: Int64) throws(Errno) -> Int {
        // As above.
        try retrying { unsafe pwrite(number, buffer.baseAddress, buffer.count, Int(offset)) }
    }

    /// Writes all of the bytes, however many calls it takes.
    public func writeAll(_ bytes: [UInt8]) throws(Errno) {
        var done = 0
        while done < bytes.count {
            // `done` is below the count, so the rebased rest lies inside the array's storage for the call.
            done += try retrying {
                unsafe bytes.withUnsafeBytes { unsafe Glibc.write(number, $0.baseAddress! + done, $0.count - done) }
            }
        }
    }

    /// The size in bytes of a regular file.
    public func size() throws(Errno) -> Int64 {
        var information = stat()
        // fstat fills the struct that lives on this frame.
        _ = try retrying { unsafe fstat(number, &information) }
        return Int64(information.st_size)
    }

    /// Makes reads and writes return `.wouldBlock` instead of waiting, or the opposite.
    public func setNonBlocking(_ on: Bool) throws(Errno) {
        let flags = try retrying { roost_fcntl(number, F_GETFL, 0) }
        let changed = on ? flags | O_NONBLOCK : flags & ~O_NONBLOCK
        _ = try retrying { roost_fcntl(number, F_SETFL, Int(changed)) }
    }

    /// Writes all of the bytes to a descriptor that somebody else owns, standard output for one.
    public static func writeAll(_ bytes: [UInt8], to number: Int32) throws(Errno) {
        let lent = FileDescriptor(owning: number)
        do throws(Errno) { try lent.writeAll(bytes) } catch {
            _ = lent.release()
            throw error
        }
        _ = lent.release()
    }
}
