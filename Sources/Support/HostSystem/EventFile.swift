// SPDX-License-Identifier: Apache-2.0

internal import CLinux
internal import Glibc

/// A counter of the kernel's that wakes who waits for it (eventfd(2)). Callable on any thread.
public final class EventFile: Sendable {
    private let file: FileDescriptor
    /// Readable while signalled; for epoll and the kernel's own users.
    public var number: Int32 { file.number }
    private static let wordSize = MemoryLayout<UInt64>.size

    /// A counter at 0.
    /// - Throws: the host's error when it has no descriptors left.
    public init() throws(Errno) {
        file = FileDescriptor(owning: try retrying { eventfd(0, Int32(EFD_CLOEXEC | EFD_NONBLOCK)) })
    }

    /// Wakes who waits. A full counter means that it is signalled already.
    public func signal() {
        var one: UInt64 = 1
        // Eight bytes of this frame.
        _ = unsafe Glibc.write(file.number, &one, Self.wordSize)
    }

    /// Takes the signals that have come.
    /// - Returns: whether there were any.
    @discardableResult
    public func take() -> Bool {
        var count: UInt64 = 0
        // Eight bytes of this frame.
        return unsafe Glibc.read(file.number, &count, Self.wordSize) == Self.wordSize
    }
}
