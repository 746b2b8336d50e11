// SPDX-License-Identifier: Apache-2.0

internal import HostSystem

/// One dump of the guest's memory, on the caller's thread or on one of its own.
///
///     active --all written--> completed
///        +----the file takes no more--> failed
final class DumpTask: @unchecked Sendable {
    /// QMP's `DumpStatus`.
    enum Status: String { case none, active, completed, failed }

    /// Bytes of memory.
    let total: UInt64
    private let dump: any GuestDump
    /// Its own thread, if it has one; set and joined on the loop's.
    var thread: HostThread?
    // Used by the thread that writes.
    private let file: FileDescriptor
    private let lock = Lock()
    // Guarded by `lock`.
    private var done: UInt64 = 0
    private var reached = Status.active
    private var failure: String?

    init(_ dump: any GuestDump, to file: consuming FileDescriptor) {
        self.dump = dump
        self.file = file
        total = dump.total
    }

    /// Bytes of memory that are written.
    var completed: UInt64 { lock.withLock { done } }
    var status: Status { lock.withLock { reached } }
    /// Why it failed.
    var problem: String? { lock.withLock { failure } }

    /// Writes everything; returns when that is done or has failed.
    func run() {
        do throws(Errno) {
            try dump.write(to: file) { count in lock.withLock { done += count } }
            lock.withLock { reached = .completed }
        } catch {
            lock.withLock {
                reached = .failed
                failure = "dump: failed to save memory: \(error)"
            }
        }
    }
}
