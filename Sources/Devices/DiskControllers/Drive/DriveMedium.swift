// SPDX-License-Identifier: Apache-2.0

public import BlockLayer
public import GuestMemory
public import HostIO
internal import HostSystem

/// What a drive does about an error of the host's storage.
///
/// The raw values are QMP's.
public enum DriveErrorAction: String, Sendable {
    /// The guest sees a failed command.
    case report
    /// The guest sees success.
    case ignore
    /// The machine stops, and the request is tried again when it goes on.
    case stop
}

/// The storage behind a drive: requests go to worker threads and come back with the machine lock held.
///
/// All calls are made with the machine lock held. Without a pool, requests are done at once, in the call.
public final class DriveMedium: @unchecked Sendable {
    /// The image; nil while a removable drive is empty.
    public private(set) var node: (any BlockNode)?
    /// Told of each error of the host's storage; says what to do.
    public var onError: (_ error: BlockError, _ isWrite: Bool) -> DriveErrorAction = { _, _ in .report }
    let memory: GuestMemory
    private let pool: WorkerPool?
    /// Runs work with the machine lock held, from any thread.
    private let deliver: @Sendable (@escaping @Sendable () -> Void) -> Void
    /// Requests of an earlier generation were given up by a reset.
    private var generation = 0
    /// Requests that wait for the machine to go on after an error.
    private var stopped: [Request] = []

    // Guards `running`, the number of requests that workers have, and `finished`, those whose users were not told yet.
    private let lock = Lock()
    private var running = 0
    private var finished: [(request: Work, generation: Int, error: BlockError?)] = []
    private var counted = BlockCounters()

    /// One request for the host.
    struct Request {
        var operation: BlockOperation
        /// In bytes.
        var offset: Int64 = 0
        var count: Int64 = 0
        var regions: [ByteRegion] = []
        var segments: [GuestSegment] = []
        var isForced = false
        /// Called with the machine lock held.
        var done: (BlockError?) -> Void

        var isWrite: Bool { operation != .read }

        func perform(on node: any BlockNode) throws(BlockError) {
            try operation.perform(
                on: node, regions: regions, at: offset, count: count, isForced: isForced, mayUnmap: true)
        }
    }

    /// - Parameters:
    ///   - pool: threads for requests; nil does them in the call.
    ///   - deliver: runs its argument soon with the machine lock held, on a thread that does not hold it.
    public init(
        _ node: (any BlockNode)?, memory: GuestMemory, pool: WorkerPool?,
        deliver: @escaping @Sendable (@escaping @Sendable () -> Void) -> Void
    ) {
        self.node = node
        self.memory = memory
        self.pool = pool
        self.deliver = deliver
    }

    /// What it has done so far; from any thread.
    public var counters: BlockCounters { lock.withLock { counted } }

    /// Whole units of `size` bytes that the medium has.
    package func count(of size: Int) -> UInt64 { UInt64(max(node?.length ?? 0, 0)) / UInt64(size) }

    /// Puts another image in, or none; requests under way are finished first.
    public func replace(_ node: (any BlockNode)?) {
        cancelAll()
        self.node = node
    }

    /// Gives up all requests: the host has finished with them when this returns, and nobody is told.
    public func cancelAll() {
        generation &+= 1
        stopped.removeAll()
        waitForWorkers()
    }

    /// Waits until the host has finished with all requests; who asked for them is still told.
    public func waitForWorkers() {
        lock.withLock {
            while running > 0 { lock.wait() }
        }
    }

    /// Finishes everything that is under way, here and now; who asked for it is told before this returns.
    /// - Returns: false where requests wait for the machine to go on after an error.
    @discardableResult package func settle() -> Bool {
        // What is told of an end may ask for more.
        while lock.withLock({ running > 0 || !finished.isEmpty }) {
            waitForWorkers()
            deliverFinished()
        }
        return stopped.isEmpty
    }

    private func deliverFinished() {
        let ended = lock.withLock {
            defer { finished = [] }
            return finished
        }
        for entry in ended where entry.generation == generation { finish(entry.request.request, entry.error) }
    }

    /// Tries the requests again for which the machine was stopped.
    public func resumeStopped() {
        let waiting = stopped
        stopped = []
        for request in waiting { submit(request) }
    }

    // MARK: Requests

    /// Reads into guest memory.
    package func read(_ segments: [GuestSegment], at offset: Int64, done: @escaping (BlockError?) -> Void) {
        guard let regions = memory.hostRegions(segments, writable: true) else { return done(Self.notMemory) }
        submit(Request(operation: .read, offset: offset, regions: regions, segments: segments, done: done))
    }

    /// Writes from guest memory.
    package func write(
        _ segments: [GuestSegment], at offset: Int64, isForced: Bool = false, done: @escaping (BlockError?) -> Void
    ) {
        guard let regions = memory.hostRegions(segments, writable: false) else { return done(Self.notMemory) }
        submit(Request(operation: .write, offset: offset, regions: regions, isForced: isForced, done: done))
    }

    /// Reads into a buffer of the host.
    package func read(count: Int, at offset: Int64, done: @escaping ([UInt8], BlockError?) -> Void) {
        let buffer = AlignedBuffer(zeroed: count)
        submit(
            Request(operation: .read, offset: offset, regions: [buffer.region]) { error in
                done(error == nil ? buffer.region.bytes : [], error)
            })
    }

    /// Writes bytes.
    package func write(
        _ bytes: [UInt8], at offset: Int64, isForced: Bool = false, done: @escaping (BlockError?) -> Void
    ) {
        let buffer = AlignedBuffer(count: bytes.count)
        buffer.region.copy(from: bytes)
        submit(Request(operation: .write, offset: offset, regions: [buffer.region], isForced: isForced, done: done))
    }

    /// Makes everything durable.
    package func flush(done: @escaping (BlockError?) -> Void) { submit(Request(operation: .flush, done: done)) }

    /// Gives a range back, or makes it zeroes.
    package func discard(at offset: Int64, count: Int64, zeroes: Bool = false, done: @escaping (BlockError?) -> Void) {
        submit(Request(operation: zeroes ? .writeZeroes : .discard, offset: offset, count: count, done: done))
    }

    private static let notMemory = BlockError(.invalidArgument, "the guest named addresses that are no memory")

    private func submit(_ request: Request) {
        guard let node else { return request.done(BlockError(.inputOutput, "there is no medium")) }
        guard let pool else { return finish(request, attempt(request, on: node)) }
        let generation = generation
        lock.withLock { running += 1 }
        let work = Work(request)
        pool.submit { [self] in
            let error = attempt(work.request, on: node)
            lock.withLock {
                finished.append((work, generation, error))
                running -= 1
                lock.broadcast()
            }
            deliver { [self] in deliverFinished() }
        }
    }

    /// A request on its way to a worker and back: one thread at a time has it.
    private final class Work: @unchecked Sendable {
        let request: Request
        init(_ request: Request) { self.request = request }
    }

    private func attempt(_ request: Request, on node: any BlockNode) -> BlockError? {
        let start = monotonicNanoseconds()
        var failure: BlockError?
        do throws(BlockError) { try request.perform(on: node) } catch { failure = error }
        let end = monotonicNanoseconds(), regions = request.regions.reduce(Int64(0)) { $0 &+ Int64($1.count) }
        lock.withLock {
            counted.count(
                request.operation, at: request.offset, count: max(regions, request.count), failed: failure != nil,
                start: start, end: end)
        }
        return failure
    }

    private func finish(_ request: Request, _ error: BlockError?) {
        if request.operation == .read { memory.markWritten(request.segments) }
        guard let error else { return request.done(nil) }
        // A hint that cannot be followed is no error.
        if request.operation == .discard { return request.done(nil) }
        switch onError(error, request.isWrite) {
        case .report: request.done(error)
        case .ignore: request.done(nil)
        case .stop: stopped.append(request)
        }
    }
}
