// SPDX-License-Identifier: Apache-2.0

internal import HostSystem

/// The writes under way, so that requests that change the same clusters' allocation take turns.
///
/// Guarded by the node's lock, on whose condition it waits.
final class RequestTracker {
    private struct Entry {
        let identifier: UInt64
        let range: Range<Int64>
        let isExclusive: Bool
    }

    private let lock: Lock
    private var entries: [Entry] = []
    private var next: UInt64 = 0
    private var waiters = 0

    init(lock: Lock) { self.lock = lock }

    /// Whether a request for a guest range must wait. Writing in place goes together with writing in place.
    func conflicts(_ range: Range<Int64>, isExclusive: Bool) -> Bool {
        for entry in entries where (isExclusive || entry.isExclusive) && entry.range.overlaps(range) { return true }
        return false
    }

    /// Waits, with the lock given back meanwhile, until some request has ended.
    func wait() {
        waiters += 1
        lock.wait()
        waiters -= 1
    }

    /// Notes a request.
    func begin(_ range: Range<Int64>, isExclusive: Bool) -> UInt64 {
        next &+= 1
        entries.append(Entry(identifier: next, range: range, isExclusive: isExclusive))
        return next
    }

    /// Forgets a request and wakes who waits for it.
    func end(_ identifier: UInt64) {
        if let index = entries.firstIndex(where: { $0.identifier == identifier }) {
            entries.swapAt(index, entries.count - 1)
            entries.removeLast()
        }
        if waiters > 0 { lock.broadcast() }
    }

    /// Waits until no write is under way.
    func drain() {
        while !entries.isEmpty { wait() }
    }
}
