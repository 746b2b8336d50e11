// SPDX-License-Identifier: Apache-2.0

internal import HostSystem

/// Items that several threads finish in any order and that are worked off in the order of their numbers.
///
/// Whoever brings the item whose turn it is works off that and all that wait behind it; the others go on with their own
/// work instead of waiting for their turn, so that a busy host does not have to wake one certain thread for each item.
package final class OrderedWork<Item>: @unchecked Sendable {
    private let lock = Lock()
    // Guarded by `lock`.
    private var next = 0
    private var waiting: [Int: Item] = [:]
    private var isBusy = false

    /// Number 0 comes first.
    package init() {}

    /// Adds an item, and calls `body` for each whose turn has come, unless another thread is at it, which then does that.
    ///
    /// After a failure of `body` nothing is worked off any more.
    package func add<Failure>(
        _ item: Item, number: Int, _ body: (Item) throws(Failure) -> Void
    ) throws(Failure) {
        lock.lock()
        waiting[number] = item
        guard !isBusy else { return lock.unlock() }
        isBusy = true
        while let item = waiting.removeValue(forKey: next) {
            next += 1
            lock.unlock()
            try body(item)
            lock.lock()
        }
        isBusy = false
        lock.unlock()
    }
}

/// Things that threads borrow, the one that came back last first: its memory is in the processor's caches.
package final class LendingPool<Item>: @unchecked Sendable {
    private let lock = Lock()
    // Guarded by `lock`.
    private var free: [Item]
    private var isClosed = false

    /// A pool of these.
    package init(_ items: [Item]) { free = items }

    /// Waits until one is there; nil once the pool is closed.
    package func take() -> Item? {
        lock.withLock {
            while free.isEmpty, !isClosed { lock.wait() }
            return isClosed ? nil : free.removeLast()
        }
    }

    /// Gives one back.
    package func give(_ item: Item) {
        lock.withLock {
            free.append(item)
            lock.signal()
        }
    }

    /// Lends nothing any more.
    package func close() {
        lock.withLock {
            isClosed = true
            lock.broadcast()
        }
    }
}
