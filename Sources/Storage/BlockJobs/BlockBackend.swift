// SPDX-License-Identifier: Apache-2.0

public import BlockLayer
internal import HostSystem

/// Sees a backend's writes before they happen.
protocol WriteGuard: AnyObject, Sendable {
    /// A write, zeroing or discarding of a range is about to happen. On the writer's thread, which may wait here.
    func willWrite(at offset: Int64, count: Int64)
}

/// What a device of a running machine has as its disk: passes requests on to a node that can be exchanged underneath.
///
///     request --▶ begin (waits while the backend is held) --▶ node --▶ end (marks what was written)
///     hold    --▶ no new requests, those under way finish --▶ the holder works --▶ requests go on
///
/// A request that goes to the kernel directly never waits: while the backend is held it is turned down, and its user
/// goes the other way on a thread that may wait. Who waits comes before the next holder, so that a job which holds the
/// backend again and again does not stop the guest.
///
/// A guard (`WriteGuard`) sees each write before it happens, and makes it wait as long as it needs to.
public final class BlockBackend: FilterNode, DirectlyMappedNode, HostStorageNode, ReadWatchingNode, @unchecked Sendable
{
    /// What a holder keeps away.
    public enum Hold: Sendable {
        /// Requests that change the disk.
        case writes
        /// All requests.
        case all
    }

    private let lock = Lock()
    // Guarded by `lock`.
    private var node: any BlockNode
    private var direct: (any DirectlyMappedNode)?
    private var trackers: [WriteTracker] = []
    /// Those of the trackers that are dirty bitmaps.
    private var bitmaps: [WriteTracker] = []
    private var guards: [any WriteGuard] = []
    private var readers = 0, writers = 0, waiting = 0
    private var held: Hold?
    private var pace: IOThrottle?
    private var readOnly: Bool
    private var watch: ReadGate?

    /// A backend on a node.
    /// - Parameter isReadOnly: what the device is told; nil for what the node says now.
    public init(_ node: any BlockNode, isReadOnly: Bool? = nil) {
        self.node = node
        direct = node as? any DirectlyMappedNode
        readOnly = isReadOnly ?? node.isReadOnly
    }

    /// The node that requests go to now.
    public var filtered: any BlockNode { lock.withLock { node } }
    /// The node's driver.
    public var driverName: String { filtered.driverName }
    /// The node's length in bytes.
    public var length: Int64 { filtered.length }
    /// As the device was told when it was made.
    public var isReadOnly: Bool { lock.withLock { readOnly } }
    /// The node's limits.
    public var limits: BlockLimits { filtered.limits }
    /// The node's location.
    public var location: NodeLocation { filtered.location }
    /// The node's children.
    public var children: [NodeChild] { filtered.children }
    /// What the host has allocated for the node.
    public func allocatedBytes() -> Int64? { (filtered as? any HostStorageNode)?.allocatedBytes() }

    // MARK: requests

    /// What requests wait for; nil for none.
    public var throttle: IOThrottle? {
        get { lock.withLock { pace } }
        set { lock.withLock { pace = newValue } }
    }

    /// Where its reads are counted; nil for nowhere.
    var gate: ReadGate? {
        get { lock.withLock { watch } }
        set { lock.withLock { watch = newValue } }
    }

    /// Counts a read where somebody wants to know of it.
    public func watchingRead<Result>(
        at offset: Int64, count: Int64, _ body: () throws(BlockError) -> Result
    ) throws(BlockError) -> Result {
        guard let gate else { return try body() }
        return try gate.read(at: offset, count: count, body)
    }

    private func isKept(_ isWrite: Bool) -> Bool {
        switch held {
        case nil: false
        case .writes: isWrite
        case .all: true
        }
    }

    private func begin(isWrite: Bool) -> any BlockNode {
        lock.withLock {
            if isKept(isWrite) {
                waiting += 1
                while isKept(isWrite) { lock.wait() }
                waiting -= 1
                lock.broadcast()
            }
            if isWrite { writers += 1 } else { readers += 1 }
            return node
        }
    }

    private func end(isWrite: Bool, at offset: Int64 = 0, count: Int64 = 0) {
        lock.withLock {
            // Before the holder may look.
            for tracker in trackers { tracker.note(at: offset, count: count) }
            if isWrite { writers -= 1 } else { readers -= 1 }
            if held != nil { lock.broadcast() }
        }
    }

    private func writing(
        at offset: Int64, count: Int64, _ body: (any BlockNode) throws(BlockError) -> Void
    ) throws(BlockError) {
        throttle?.pass(isWrite: true, bytes: count)
        let node = begin(isWrite: true)
        // A write that failed may have changed a part.
        defer { end(isWrite: true, at: offset, count: count) }
        for watcher in lock.withLock({ guards }) { watcher.willWrite(at: offset, count: count) }
        try body(node)
    }

    /// Reads from the node.
    public func read(_ regions: [ByteRegion], at offset: Int64) throws(BlockError) {
        let count = regions.reduce(Int64(0)) { $0 &+ Int64($1.count) }
        throttle?.pass(isWrite: false, bytes: count)
        let node = begin(isWrite: false)
        defer { end(isWrite: false) }
        try watchingRead(at: offset, count: count) { () throws(BlockError) in try node.read(regions, at: offset) }
    }

    /// Reads from the node.
    public func read(_ region: ByteRegion, at offset: Int64) throws(BlockError) {
        try read([region], at: offset)
    }

    /// Writes to the node.
    public func write(_ regions: [ByteRegion], at offset: Int64, flags: WriteFlags) throws(BlockError) {
        let count = regions.reduce(Int64(0)) { $0 &+ Int64($1.count) }
        try writing(at: offset, count: count) { (node) throws(BlockError) in
            try node.write(regions, at: offset, flags: flags)
        }
    }

    /// Writes to the node.
    public func write(_ region: ByteRegion, at offset: Int64, flags: WriteFlags) throws(BlockError) {
        try write([region], at: offset, flags: flags)
    }

    /// Zeroes a range of the node.
    public func writeZeroes(at offset: Int64, count: Int64, flags: ZeroFlags) throws(BlockError) {
        try writing(at: offset, count: count) { (node) throws(BlockError) in
            try node.writeZeroes(at: offset, count: count, flags: flags)
        }
    }

    /// Discards a range of the node.
    public func discard(at offset: Int64, count: Int64) throws(BlockError) {
        try writing(at: offset, count: count) { (node) throws(BlockError) in
            try node.discard(at: offset, count: count)
        }
    }

    /// Makes what was written durable.
    public func flush() throws(BlockError) {
        let node = begin(isWrite: true)
        defer { end(isWrite: true) }
        try node.flush()
    }

    /// What the node holds.
    public func status(at offset: Int64, count: Int64, detail: StatusDetail) throws(BlockError) -> BlockStatus {
        let node = begin(isWrite: false)
        defer { end(isWrite: false) }
        return try node.status(at: offset, count: count, detail: detail)
    }

    /// Closes the node.
    public func close() throws(BlockError) { try hold(.all) { (node) throws(BlockError) in try node.close() } }

    /// Where a request goes in the host's file; nil also while the backend is held.
    public func beginDirect(at offset: Int64, count: Int, isWrite: Bool) -> DirectMapping? {
        let target: (any DirectlyMappedNode)? = lock.withLock {
            // A guard may have to wait, which whoever goes directly cannot.
            guard let direct, !isKept(isWrite), !isWrite || guards.isEmpty, pace == nil, isWrite || watch == nil else {
                return nil
            }
            if isWrite { writers += 1 } else { readers += 1 }
            return direct
        }
        guard let target else { return nil }
        if let mapping = target.beginDirect(at: offset, count: count, isWrite: isWrite) { return mapping }
        end(isWrite: isWrite)
        return nil
    }

    /// Ends a request that went directly.
    public func endDirect(at offset: Int64, count: Int, isWrite: Bool) {
        // The node stays while a request is under way.
        lock.withLock { direct }?.endDirect(at: offset, count: count, isWrite: isWrite)
        end(isWrite: isWrite, at: offset, count: isWrite ? Int64(count) : 0)
    }

    // MARK: changes

    /// Keeps requests away while `body` works on the node. Not from a request of this backend.
    public func hold<Result, Failure: Error>(
        _ kind: Hold, _ body: (any BlockNode) throws(Failure) -> Result
    ) throws(Failure) -> Result {
        lock.withLock {
            while held != nil || waiting > 0 { lock.wait() }
            held = kind
            while writers > 0 || (kind == .all && readers > 0) { lock.wait() }
        }
        defer {
            lock.withLock {
                held = nil
                lock.broadcast()
            }
        }
        return try body(filtered)
    }

    /// Sends requests to another node from now on. The caller holds all requests.
    public func exchange(for node: any BlockNode) {
        lock.withLock {
            self.node = node
            direct = node as? any DirectlyMappedNode
        }
    }

    /// Notes writes in a tracker from now on; those under way are noted when they end.
    public func add(_ tracker: WriteTracker) { lock.withLock { trackers.append(tracker) } }

    /// Shows each write to a guard before it happens, from now on. The caller holds writes, or does not mind those that
    /// are under way.
    func add(_ watcher: any WriteGuard) { lock.withLock { guards.append(watcher) } }

    /// Shows it no more writes.
    func remove(_ watcher: any WriteGuard) { lock.withLock { guards.removeAll { $0 === watcher } } }

    /// Notes writes in exactly these trackers of dirty bitmaps, besides those of jobs.
    func setBitmaps(_ new: [WriteTracker]) {
        lock.withLock {
            trackers.removeAll { tracker in bitmaps.contains { $0 === tracker } }
            bitmaps = new
            trackers += new
        }
    }

    /// Notes writes there no more.
    public func remove(_ tracker: WriteTracker) { lock.withLock { trackers.removeAll { $0 === tracker } } }
}
