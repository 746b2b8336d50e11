// SPDX-License-Identifier: Apache-2.0

internal import CLinux
internal import Glibc

/// A mapping made with mmap(2), unmapped when its owner goes out of scope.
@safe
public struct MemoryMapping: ~Copyable, @unchecked Sendable {
    /// The first byte; valid for `count` bytes while this value lives.
    public let base: UnsafeMutableRawPointer
    /// The length in bytes.
    public let count: Int

    /// Private zeroed memory that takes up host memory only where it is touched.
    /// - Parameter count: bytes; rounded up by the kernel to whole pages.
    public static func anonymous(count: Int) throws(Errno) -> MemoryMapping {
        try map(count: count, protection: PROT_READ | PROT_WRITE, flags: MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE)
    }

    /// Maps with mmap(2)'s own protection and flags; `descriptor` is -1 for anonymous memory.
    public static func map(
        count: Int, protection: Int32, flags: Int32, descriptor: Int32 = -1, offset: Int64 = 0
    ) throws(Errno) -> MemoryMapping {
        // The kernel chooses the address; nothing that exists is replaced without MAP_FIXED, which is refused here.
        precondition(flags & MAP_FIXED == 0)
        guard count > 0, let base = unsafe roost_mmap(nil, count, protection, flags, descriptor, offset) else {
            throw count > 0 ? Errno.current : .invalidArgument
        }
        return unsafe MemoryMapping(base: base, count: count)
    }

    /// Gives the memory of anonymous pages back to the host; they read as zeros afterwards.
    /// - Parameter length: bytes from the start on; rounded up to whole pages, cut to the mapping.
    public func discard(first length: Int) {
        let bytes = min(max(length, 0), count)
        // Inside the mapping that this value owns; what the pages held is the caller's to give up. Advice that the kernel
        // does not take leaves everything as it was.
        if bytes > 0 { _ = unsafe madvise(base, bytes, MADV_DONTNEED) }
    }

    private init(base: UnsafeMutableRawPointer, count: Int) {
        unsafe self.base = base
        self.count = count
    }

    deinit {
        // The owner is gone, so no borrowed pointer is in use any more.
        _ = unsafe munmap(base, count)
    }
}
