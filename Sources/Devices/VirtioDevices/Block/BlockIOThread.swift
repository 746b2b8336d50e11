// SPDX-License-Identifier: Apache-2.0

internal import BlockLayer
internal import CLinux
internal import Diagnostics
internal import Glibc
internal import GuestMemory
internal import HostIO
internal import HostSystem
internal import Virtio

/// The thread that does a disk's I/O: through io_uring where the node's bytes lie in a file one after the other, else on
/// a few worker threads.
///
/// All state is used on the thread itself, but for `finished`, the thread's number and the counters, which have a lock.
final class BlockIOThread: @unchecked Sendable {
    let loop: EventLoop
    private let thread: HostThread
    private let node: any BlockNode
    private let direct: (any DirectlyMappedNode)?
    private let options: VirtioBlockOptions
    private var ring: IOUring?
    private var ringWatch: EventLoop.Watch?
    private var pool: WorkerPool?
    /// Called when the last request is done after `quiesce`.
    var allRequestsDone: () -> Void = {}

    private var requests: [BlockRequest] = []
    private var free: [BlockRequest] = []
    private var context: VirtioActivation?
    /// Requests that the host works on.
    private var inFlight = 0
    private var isQuiescing = false
    /// Waiting for the host to be done with every request.
    private var drained: [(_ hasStopped: Bool) -> Void] = []
    /// Requests for which the machine was stopped.
    private var stopped: [BlockRequest] = []
    /// Queues with completions that the driver has not been shown.
    private var unpublished: [Bool]

    private let finishedLock = Lock()
    private var finished: [(request: BlockRequest, error: BlockError?)] = []
    private var threadNumber = 0
    private var counted = BlockCounters()
    private var finishedKick: QueueKick?

    /// The kernel's word for a ring whose completions were not taken.
    private static let ringBusy = Errno(EBUSY)
    private static let ringEntries: UInt32 = 256
    private static let workerCount = 4

    init(_ node: any BlockNode, options: VirtioBlockOptions) throws(Errno) {
        self.node = node
        self.options = options
        direct = node as? any DirectlyMappedNode
        unpublished = [Bool](repeating: false, count: options.queueCount)
        let loop = try EventLoop()
        self.loop = loop
        // A kernel without io_uring, or one that forbids it, has worker threads at least.
        if direct != nil { ring = try? IOUring(entries: Self.ringEntries) }
        thread = try HostThread(name: "virtio-blk") { loop.run() }
        finishedKick = QueueKick(loop) { [weak self] in self?.takeFinished() }
        loop.post { [weak self] in self?.begin() }
    }

    /// The host's number of the thread; 0 until it runs.
    var hostIdentifier: Int { finishedLock.withLock { threadNumber } }

    /// What it has done so far.
    var counters: BlockCounters { finishedLock.withLock { counted } }

    private func begin() {
        finishedLock.withLock { threadNumber = Int(roost_thread_number()) }
        watchRing()
    }

    private func watchRing() {
        guard let ring else { return }
        ringWatch = try? loop.watch(ring.eventDescriptor, .readable) { [weak self] _ in self?.takeCompletions() }
        // Without the watch nobody would hear of completions.
        if ringWatch == nil { self.ring = nil }
    }

    /// Ends the thread, after `quiesce` has come through. Not on the thread itself.
    func stop() {
        loop.post { [weak self] in
            self?.ringWatch?.cancel()
            self?.pool?.finish()
        }
        loop.stop()
        thread.join()
    }

    // MARK: Requests

    /// A request without content.
    func makeRequest(_ context: VirtioActivation) -> BlockRequest {
        self.context = context
        if let request = free.popLast() { return request }
        let request = BlockRequest(slot: requests.count, memory: context.memory)
        requests.append(request)
        return request
    }

    func recycle(_ request: BlockRequest) { free.append(request) }

    /// Starts a request; `submit` follows.
    func start(_ request: BlockRequest) {
        Trace.emit(.virtioBlockRequest, "file \(node.location.filename)")
        inFlight += 1
        request.startedAt = monotonicNanoseconds()
        if startDirect(request) { return }
        startOnWorker(request)
    }

    /// The node's own way, on another thread because it blocks.
    private func startOnWorker(_ request: BlockRequest) {
        if pool == nil { pool = try? WorkerPool(name: "virtio-blk-io", count: Self.workerCount) }
        guard let pool else {
            // No threads left: slower, and still right.
            return settle(request, perform(request))
        }
        pool.submit { [self] in
            let error = perform(request)
            finishedLock.withLock { finished.append((request, error)) }
            finishedKick?.post()
        }
    }

    private func perform(_ request: BlockRequest) -> BlockError? {
        do throws(BlockError) {
            try request.perform(on: node)
            return nil
        } catch {
            return error
        }
    }

    private func startDirect(_ request: BlockRequest) -> Bool {
        guard let ring, let direct, request.operation == .read || request.operation == .write, !request.isForced,
            isAligned(request), let count = Int32(exactly: request.count),
            let place = direct.beginDirect(
                at: request.offset, count: Int(count), isWrite: request.operation == .write)
        else { return false }
        request.isDirect = true
        // The file below a format may ask for more than the format.
        guard isAligned(request, to: place.memoryAlignment) else {
            endDirect(request)
            return false
        }
        if queue(request, ring, place) { return true }
        // The ring is full: the kernel takes what is there, and there is room again.
        submit()
        if queue(request, ring, place) { return true }
        endDirect(request)
        return false
    }

    private func queue(_ request: BlockRequest, _ ring: IOUring, _ place: DirectMapping) -> Bool {
        let vectors = unsafe request.vectors
        // The vectors are the request's own and stay as they are until its completion; so does the guest's memory.
        guard let base = vectors.baseAddress else { return false }
        let offset = UInt64(place.offset), token = UInt64(request.slot)
        return request.operation == .read
            ? unsafe ring.read(place.descriptor, base, count: vectors.count, offset: offset, token: token)
            : unsafe ring.write(place.descriptor, base, count: vectors.count, offset: offset, token: token)
    }

    /// Whether the host's file takes the request as it is; an unaligned one goes the long way.
    private func isAligned(_ request: BlockRequest) -> Bool {
        let limits = node.limits
        if limits.requestAlignment > 1 {
            let unit = Int64(limits.requestAlignment)
            guard request.offset % unit == 0, request.count % unit == 0 else { return false }
        }
        return isAligned(request, to: limits.memoryAlignment)
    }

    /// Whether the request's memory begins and ends at multiples of a power of two.
    private func isAligned(_ request: BlockRequest, to alignment: Int) -> Bool {
        guard alignment > 1 else { return true }
        let vectors = unsafe request.vectors
        for index in 0..<vectors.count {
            // Only the numbers are looked at.
            let bits = unsafe Int(bitPattern: vectors[index].iov_base) | vectors[index].iov_len
            if bits & (alignment - 1) != 0 { return false }
        }
        return true
    }

    private func endDirect(_ request: BlockRequest) {
        guard request.isDirect else { return }
        request.isDirect = false
        direct?.endDirect(at: request.offset, count: Int(request.count), isWrite: request.operation == .write)
    }

    /// Hands the started requests to the kernel.
    func submit() {
        guard let ring else { return }
        do {
            try ring.submit()
        } catch {
            // What is queued goes with the next submission, which a completion or a notification brings about; with
            // none in flight nothing would come, so it is tried again.
            if error == .wouldBlock || error == Self.ringBusy {
                loop.post { [weak self] in self?.submit() }
            } else {
                Console.shared.warning("virtio-blk: io_uring takes no requests: \(error)")
            }
        }
    }

    // MARK: Completions

    private func takeCompletions() {
        ring?.takeCompletions { completion in
            guard completion.token < UInt64(requests.count) else { return }
            let request = requests[Int(completion.token)]
            endDirect(request)
            if completion.result >= 0, Int64(completion.result) == request.count { return settle(request, nil) }
            if completion.result >= 0 || Errno(-completion.result) == .wouldBlock
                || Errno(-completion.result) == .interrupted
            {
                // A part at the end of the file, or none: the node's own way knows what to do.
                return startOnWorker(request)
            }
            settle(request, BlockError(system: Errno(-completion.result)))
        }
        submit()
        publishAll()
    }

    private func takeFinished() {
        let done = finishedLock.withLock {
            defer { finished.removeAll(keepingCapacity: true) }
            return finished
        }
        for (request, error) in done { settle(request, error) }
        publishAll()
    }

    /// The host is done with a request.
    private func settle(_ request: BlockRequest, _ error: BlockError?) {
        inFlight -= 1
        if let error, !isQuiescing, handle(error, request) { return }
        let failed = error != nil && policy(error, request) != .ignore
        let end = monotonicNanoseconds()
        finishedLock.withLock {
            counted.count(
                request.operation, at: request.offset, count: request.count, failed: error != nil,
                start: request.startedAt, end: end)
        }
        let written = request.operation == .read && !failed ? Int(request.count) : 0
        if written > 0 { request.chain.markWritten(count: written) }
        finish(
            request, status: failed ? BlockRequest.Status.failed : BlockRequest.Status.done, dataWritten: written)
        if isQuiescing { endQuiescingIfDone() }
        tellDrainedIfDone()
    }

    private func policy(_ error: BlockError?, _ request: BlockRequest) -> BlockErrorPolicy {
        let policy = request.isWrite ? options.writeErrors : options.readErrors
        guard policy == .enospc else { return policy }
        return error?.kind == .noSpace && options.onError != nil ? .stop : .report
    }

    /// Tells of an error. True: the machine stops and the request waits.
    private func handle(_ error: BlockError, _ request: BlockRequest) -> Bool {
        let action = policy(error, request)
        options.onError?(
            BlockIOError(
                isWrite: request.isWrite, isNoSpace: error.kind == .noSpace, message: error.message, action: action))
        guard action == .stop, options.onError != nil else { return false }
        stopped.append(request)
        return true
    }

    /// Writes the status and puts the request into the used ring.
    func finish(_ request: BlockRequest, status: UInt8, dataWritten: Int) {
        if let context {
            // The address was part of a checked buffer.
            try? context.memory.store(status, at: request.statusAddress)
            context.queues[request.queue].complete(request.chain.head, written: dataWritten + 1)
            unpublished[request.queue] = true
        }
        recycle(request)
    }

    /// Shows the driver what is complete in a queue.
    func publish(_ queue: Int) {
        guard unpublished[queue], let context else { return }
        unpublished[queue] = false
        context.queues[queue].publish(context.interrupts)
    }

    private func publishAll() {
        for queue in unpublished.indices { publish(queue) }
    }

    // MARK: Stopping

    /// Forgets the driver as soon as the host is done with its requests. Callable on any thread.
    func quiesce() {
        loop.post { [weak self] in
            self?.isQuiescing = true
            self?.endQuiescingIfDone()
        }
    }

    /// Calls back on the thread, once, when the host works on nothing any more and the driver has been shown all of it.
    /// Callable on any thread.
    func drain(_ done: @escaping @Sendable (_ hasStopped: Bool) -> Void) {
        loop.post { [weak self] in
            self?.drained.append(done)
            self?.tellDrainedIfDone()
        }
    }

    private func tellDrainedIfDone() {
        guard inFlight == 0, !drained.isEmpty else { return }
        publishAll()
        let waiting = drained
        drained = []
        for done in waiting { done(!stopped.isEmpty) }
    }

    private func endQuiescingIfDone() {
        guard inFlight == 0 else { return }
        isQuiescing = false
        for request in stopped { recycle(request) }
        stopped.removeAll()
        context = nil
        for queue in unpublished.indices { unpublished[queue] = false }
        allRequestsDone()
    }

    func resumeStopped() {
        loop.post { [weak self] in
            guard let self else { return }
            let waiting = stopped
            stopped = []
            for request in waiting { start(request) }
            submit()
        }
    }
}
