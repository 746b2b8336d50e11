// SPDX-License-Identifier: Apache-2.0

internal import Synchronization

/// Host ranges that are not referenced any more in memory, but still are on disk or may still be read.
///
/// A range's count is lowered only after the tables that referred to it are durable without it, and after every read
/// that began before has ended. Guarded by the node's lock, but for the counters of readers.
final class FreeList {
    struct Item {
        let offset: Int64
        let count: Int64
        /// The storage may be given back to the host.
        let discards: Bool
    }

    /// Not yet durable.
    private var fresh: [Item] = []
    /// Durable, waiting for the readers of the old generation.
    private var resting: [Item] = []
    private let evenReaders = Atomic<Int>(0)
    private let oddReaders = Atomic<Int>(0)
    private let generation = Atomic<Int>(0)

    var isEmpty: Bool { fresh.isEmpty && resting.isEmpty }
    var hasFresh: Bool { !fresh.isEmpty }

    func add(_ offset: Int64, _ count: Int64, discards: Bool) {
        fresh.append(Item(offset: offset, count: count, discards: discards))
    }

    /// Called with the node's lock held, before the tables are looked at. Returns the token for `endRead`.
    func beginRead() -> Int {
        let token = generation.load(ordering: .relaxed)
        if token == 0 {
            evenReaders.add(1, ordering: .relaxed)
        } else {
            oddReaders.add(1, ordering: .relaxed)
        }
        return token
    }

    /// Called without the lock.
    func endRead(_ token: Int) {
        if token == 0 {
            evenReaders.subtract(1, ordering: .releasing)
        } else {
            oddReaders.subtract(1, ordering: .releasing)
        }
    }

    /// Called when all tables are durable: what can be released now.
    func takeReleasable() -> [Item] {
        if resting.isEmpty {
            swap(&resting, &fresh)
            generation.bitwiseXor(1, ordering: .relaxed)
        }
        let old = generation.load(ordering: .relaxed) ^ 1
        let count = old == 0 ? evenReaders.load(ordering: .acquiring) : oddReaders.load(ordering: .acquiring)
        guard count == 0 else { return [] }
        defer { resting = [] }
        return resting
    }
}
