// SPDX-License-Identifier: Apache-2.0

public import HostSystem

/// Threads for work that blocks: file I/O without io_uring, name look-ups, compression.
public final class WorkerPool: @unchecked Sendable {
    private let lock = Lock()
    private var work: [@Sendable () -> Void] = []
    private var next = 0
    private var ending = false
    private var threads: [HostThread] = []

    /// Starts the threads.
    /// - Parameter count: how many, 1 or more.
    public init(name: String, count: Int) throws(Errno) {
        precondition(count >= 1)
        for _ in 0..<count { threads.append(try HostThread(name: name) { [self] in serve() }) }
    }

    /// Runs `item` on one of the threads, in the order of submission as far as threads are free.
    public func submit(_ item: @escaping @Sendable () -> Void) {
        lock.withLock {
            work.append(item)
            lock.signal()
        }
    }

    /// Ends the threads after all submitted work is done. No `submit` afterwards.
    public func finish() {
        lock.withLock {
            ending = true
            lock.broadcast()
        }
        for thread in threads { thread.join() }
        threads = []
    }

    private func serve() {
        while let item = take() { item() }
    }

    private func take() -> (@Sendable () -> Void)? {
        lock.withLock {
            while next == work.count {
                if ending { return nil }
                lock.wait()
            }
            let item = work[next]
            next += 1
            if next == work.count {
                work.removeAll(keepingCapacity: true)
                next = 0
            }
            return item
        }
    }
}
