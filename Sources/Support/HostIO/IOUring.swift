// SPDX-License-Identifier: Apache-2.0

public import CLinux
internal import CURing
internal import Glibc
public import HostSystem

/// A submission and a completion queue shared with the kernel (io_uring). One thread owns it.
///
/// Buffers handed to a request stay valid and unmoved until its completion was taken.
@safe
public final class IOUring {
    /// A finished request.
    public struct Completion: Sendable {
        /// What the request was given.
        public let token: UInt64
        /// Bytes moved, or a negated error number.
        public let result: Int32
    }

    private let ring: UnsafeMutablePointer<io_uring>
    private let event: FileDescriptor
    /// Requests submitted or queued whose completion was not taken.
    public private(set) var inFlight = 0

    /// Sets up the queues.
    /// - Parameter entries: requests that can be queued at once, a power of two.
    /// - Throws: `ENOSYS` or `EPERM` where the kernel has no io_uring or forbids it.
    public init(entries: UInt32) throws(Errno) {
        event = FileDescriptor(
            owning: try retrying { eventfd(0, Int32(EFD_CLOEXEC | EFD_NONBLOCK)) })
        unsafe ring = .allocate(capacity: 1)
        unsafe ring.initialize(to: io_uring())
        // liburing fills the struct, which keeps its address until deinit.
        var status = unsafe io_uring_queue_init(entries, ring, 0)
        guard status == 0 else {
            unsafe ring.deallocate()
            throw Errno(-status)
        }
        status = unsafe io_uring_register_eventfd(ring, event.number)
        guard status == 0 else {
            unsafe io_uring_queue_exit(ring)
            unsafe ring.deallocate()
            throw Errno(-status)
        }
    }

    deinit {
        unsafe io_uring_queue_exit(ring)
        unsafe ring.deallocate()
    }

    /// Becomes readable when a request completes: for `EventLoop.watch`.
    public var eventDescriptor: Int32 { event.number }

    /// Reads into several buffers. `vectors` and what they point at stay valid until completion.
    /// - Returns: false when the queue is full: submit, take completions, and try again.
    public func read(
        _ descriptor: Int32, _ vectors: UnsafePointer<iovec>, count: Int, offset: UInt64, token: UInt64
    ) -> Bool {
        guard let entry = unsafe next(token) else { return false }
        // The caller keeps the vectors alive, see above.
        unsafe io_uring_prep_readv(entry, descriptor, vectors, UInt32(count), offset)
        unsafe io_uring_sqe_set_data64(entry, token)
        return true
    }

    /// Writes from several buffers, as `read`.
    public func write(
        _ descriptor: Int32, _ vectors: UnsafePointer<iovec>, count: Int, offset: UInt64, token: UInt64
    ) -> Bool {
        guard let entry = unsafe next(token) else { return false }
        // As in read.
        unsafe io_uring_prep_writev(entry, descriptor, vectors, UInt32(count), offset)
        unsafe io_uring_sqe_set_data64(entry, token)
        return true
    }

    /// Makes finished writes durable (fdatasync).
    public func synchronize(_ descriptor: Int32, token: UInt64) -> Bool {
        guard let entry = unsafe next(token) else { return false }
        // The entry belongs to this request until it is submitted.
        unsafe io_uring_prep_fsync(entry, descriptor, UInt32(IORING_FSYNC_DATASYNC))
        unsafe io_uring_sqe_set_data64(entry, token)
        return true
    }

    /// fallocate(2) with its own mode bits: discard, zero, allocate.
    public func allocate(_ descriptor: Int32, mode: Int32, offset: UInt64, count: UInt64, token: UInt64) -> Bool {
        guard let entry = unsafe next(token) else { return false }
        // As above.
        unsafe io_uring_prep_fallocate(
            entry, descriptor, mode, off_t(truncatingIfNeeded: offset), off_t(truncatingIfNeeded: count))
        unsafe io_uring_sqe_set_data64(entry, token)
        return true
    }

    /// Hands the queued requests to the kernel.
    public func submit() throws(Errno) {
        // The ring is initialised.
        let status = unsafe io_uring_submit(ring)
        if status < 0 { throw Errno(-status) }
    }

    /// Takes the completions that are there, without waiting.
    public func takeCompletions(_ each: (Completion) -> Void) {
        var count: UInt64 = 0
        // Eight bytes of this frame: resets the event.
        _ = unsafe Glibc.read(event.number, &count, 8)
        while true {
            var entry: UnsafeMutablePointer<io_uring_cqe>?
            guard unsafe io_uring_peek_cqe(ring, &entry) == 0, let entry = unsafe entry else { return }
            let completion = unsafe Completion(token: entry.pointee.user_data, result: entry.pointee.res)
            // The entry is the kernel's again from here on; its two fields were copied.
            unsafe io_uring_cqe_seen(ring, entry)
            inFlight -= 1
            each(completion)
        }
    }

    private func next(_ token: UInt64) -> UnsafeMutablePointer<io_uring_sqe>? {
        guard let entry = unsafe io_uring_get_sqe(ring) else { return nil }
        inFlight += 1
        return unsafe entry
    }
}
