// SPDX-License-Identifier: Apache-2.0

package import BlockLayer
internal import HostSystem

/// The reads under way through one node, for those who change what lies below it.
///
/// A scratch image shows a piece of the disk below it as long as it has none of its own. Who finds none there goes on to
/// the disk, and would read what the guest writes meanwhile although the old content has just been copied up. So a copy
/// is done only when the reads that began before it have ended; what begins after it finds the copy.
package final class ReadGate: @unchecked Sendable {
    /// Whose reads these are.
    let node: any BlockNode
    private let lock = Lock()
    // Guarded by `lock`.
    private var reads: [(number: UInt64, range: Range<Int64>)] = []
    private var next: UInt64 = 0
    private var waiters = 0

    /// Somebody waits for reads.
    package var isAwaited: Bool { lock.withLock { waiters > 0 } }

    init(_ node: any BlockNode) { self.node = node }

    /// Counts `body` as a read of a range.
    func read<Result>(
        at offset: Int64, count: Int64, _ body: () throws(BlockError) -> Result
    ) throws(BlockError) -> Result {
        let number = lock.withLock {
            next &+= 1
            reads.append((next, offset..<max(offset, offset &+ count)))
            return next
        }
        defer {
            lock.withLock {
                reads.removeAll { $0.number == number }
                lock.broadcast()
            }
        }
        return try body()
    }

    /// Waits for the reads that touch a range and have begun before now.
    func waitForReads(of range: Range<Int64>) {
        lock.withLock {
            let last = next
            waiters += 1
            defer { waiters -= 1 }
            while reads.contains(where: { $0.number <= last && $0.range.overlaps(range) }) { lock.wait() }
        }
    }
}

extension BlockDevices {
    /// The gate of a node, which all its readers share.
    package func gate(of node: any BlockNode) -> ReadGate {
        gates.removeAll { $0.gate == nil }
        if let gate = gates.lazy.compactMap(\.gate).first(where: { $0.node === node }) { return gate }
        let gate = ReadGate(node)
        gates.append(WeakGate(gate: gate))
        return gate
    }

    /// What somebody reads a node by who must not be overtaken by a copy into it: the node itself where nothing is below.
    package func reader(of node: any BlockNode) -> any BlockNode {
        guard node is any BackedNode else { return node }
        let reader = BlockBackend(node)
        reader.gate = gate(of: node)
        return reader
    }
}

/// A gate that lives as long as its readers and the job that asks it.
struct WeakGate {
    weak var gate: ReadGate?
}
