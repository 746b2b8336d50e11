// SPDX-License-Identifier: Apache-2.0

internal import Glibc

/// An error number of the C library.
public struct Errno: Error, Hashable, Sendable, CustomStringConvertible {
    /// The number, as in errno(3).
    public let code: Int32

    /// Wraps an error number.
    public init(_ code: Int32) { self.code = code }

    /// The calling thread's current error number.
    public static var current: Errno { Errno(errno) }

    /// The C library's own text, "No such file or directory".
    public var description: String {
        // strerror returns a string that lives at least until the next call on this thread; it is copied at once.
        unsafe String(cString: strerror(code))
    }

    /// No such file or directory.
    public static let noEntry = Errno(ENOENT)
    /// Permission denied.
    public static let accessDenied = Errno(EACCES)
    /// Try again: the operation would block.
    public static let wouldBlock = Errno(EAGAIN)
    /// Interrupted by a signal.
    public static let interrupted = Errno(EINTR)
    /// No space left on the device.
    public static let noSpace = Errno(ENOSPC)
    /// Invalid argument.
    public static let invalidArgument = Errno(EINVAL)
    /// Not supported by this file or device.
    public static let notSupported = Errno(EOPNOTSUPP)
    /// Input/output error.
    public static let inputOutput = Errno(EIO)
    /// Out of memory.
    public static let noMemory = Errno(ENOMEM)
}

/// Runs a system call that returns -1 on failure, again as long as a signal interrupts it.
/// - Throws: the call's error number.
public func retrying<Result: SignedInteger>(_ call: () -> Result) throws(Errno) -> Result {
    while true {
        let result = call()
        if result != -1 { return result }
        let failure = Errno.current
        if failure != .interrupted { throw failure }
    }
}
