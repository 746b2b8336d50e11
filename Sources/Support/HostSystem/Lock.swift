// SPDX-License-Identifier: Apache-2.0

internal import CLinux
internal import Glibc

/// A mutual-exclusion lock with a condition to wait on (a POSIX mutex and condition variable).
///
/// Not recursive: a thread that locks it twice waits for ever.
@safe
public final class Lock: @unchecked Sendable {
    // Both objects have a stable address, as POSIX demands, and live exactly as long as this object.
    private let mutex: UnsafeMutablePointer<pthread_mutex_t>
    private let condition: UnsafeMutablePointer<pthread_cond_t>

    /// An unlocked lock.
    public init() {
        unsafe mutex = .allocate(capacity: 1)
        unsafe condition = .allocate(capacity: 1)
        unsafe pthread_mutex_init(mutex, nil)
        var attributes = pthread_condattr_t()
        unsafe pthread_condattr_init(&attributes)
        // Deadlines are monotonic, so that setting the host's clock wakes nobody early or late.
        unsafe pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC)
        unsafe pthread_cond_init(condition, &attributes)
        unsafe pthread_condattr_destroy(&attributes)
    }

    deinit {
        unsafe pthread_cond_destroy(condition)
        unsafe pthread_mutex_destroy(mutex)
        unsafe condition.deallocate()
        unsafe mutex.deallocate()
    }

    /// Waits until the lock is free and takes it.
    public func lock() { unsafe pthread_mutex_lock(mutex) }

    /// Gives the lock back; the calling thread must hold it.
    public func unlock() { unsafe pthread_mutex_unlock(mutex) }

    /// Holds the lock during `body`.
    public func withLock<Result, Failure>(_ body: () throws(Failure) -> Result) throws(Failure) -> Result {
        lock()
        defer { unlock() }
        return try body()
    }

    /// Gives the lock back, waits for a `signal` or `broadcast`, and takes it again. May wake without cause.
    public func wait() { unsafe pthread_cond_wait(condition, mutex) }

    /// As `wait()`, and at the latest until `deadline`.
    /// - Parameter deadline: nanoseconds of `monotonicNanoseconds()`.
    /// - Returns: false when the deadline passed.
    public func wait(until deadline: UInt64) -> Bool {
        var time = timespec(tv_sec: Int(deadline / 1_000_000_000), tv_nsec: Int(deadline % 1_000_000_000))
        return unsafe pthread_cond_timedwait(condition, mutex, &time) == 0
    }

    /// Wakes one waiter.
    public func signal() { unsafe pthread_cond_signal(condition) }

    /// Wakes all waiters.
    public func broadcast() { unsafe pthread_cond_broadcast(condition) }
}

/// The host's monotonic clock in nanoseconds.
public func monotonicNanoseconds() -> UInt64 {
    var time = timespec()
    // clock_gettime fills the struct on this frame; CLOCK_MONOTONIC always exists.
    unsafe clock_gettime(CLOCK_MONOTONIC, &time)
    return UInt64(time.tv_sec) * 1_000_000_000 + UInt64(time.tv_nsec)
}
