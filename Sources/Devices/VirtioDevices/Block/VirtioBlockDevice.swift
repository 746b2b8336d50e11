// SPDX-License-Identifier: Apache-2.0

public import BlockLayer
public import Diagnostics
internal import HostIO
public import HostSystem
public import StateCoding
public import Virtio

/// `virtio-blk`: a disk (Virtio 1.2, 5.2).
///
/// Requests are taken, submitted and completed on an I/O thread of the device's own, which never waits for the machine
/// lock. `lock` guards what the vCPU's thread shares with it.
public final class VirtioBlockDevice: VirtioThreadedDevice, VirtioDrainingDevice, PlainlyStateful, @unchecked Sendable {
    /// The transport adds `-pci` or `-device`.
    public let name = "virtio-blk"
    /// Device type 2 (5.2.1).
    public let type = VirtioDeviceType.block
    /// `queue-size=` for each of `num-queues=` queues.
    public let queueSizes: [UInt16]
    /// What options and image allow: read-only, discard, write zeroes, multiple queues.
    public let features: VirtioFeatures
    /// The disk's content.
    public let node: any BlockNode
    let options: VirtioBlockOptions
    let io: BlockIOThread

    private let lock = Lock()
    // Guarded by `lock`.
    private var context: VirtioActivation?
    private var hasWriteCache: Bool
    private var isQuiescing = false
    /// The machine stands still: the driver's requests stay in their queues.
    private var isHeld = false
    private var kicks: [QueueKick] = []

    /// Bytes of a sector, the unit of offsets and lengths whatever the disk's blocks are.
    static let sectorSize: Int64 = 512
    /// The longest discard or zeroing that is asked for at once, in sectors.
    static let maximumDiscard: UInt32 = 0x3F_FFFF
    private static let maximumQueues = 1024

    /// A disk on a node, with its I/O thread running.
    /// - Throws: an option that cannot be, or a host without threads left.
    public init(_ node: any BlockNode, options: VirtioBlockOptions = VirtioBlockOptions()) throws(UserError) {
        try Self.check(options)
        self.node = node
        self.options = options
        features = Self.features(options, isReadOnly: node.isReadOnly)
        queueSizes = [UInt16](repeating: options.queueSize, count: options.queueCount)
        hasWriteCache = options.hasWriteCache
        do {
            io = try BlockIOThread(node, options: options)
        } catch {
            throw UserError("cannot start the I/O thread of '\(node.location.filename)'", because: error)
        }
        kicks = (0..<options.queueCount).map { number in
            QueueKick(io.loop) { [weak self] in self?.serve(number) }
        }
        io.allRequestsDone = { [weak self] in self?.endQuiescing() }
    }

    private static func check(_ options: VirtioBlockOptions) throws(UserError) {
        guard (1...maximumQueues).contains(options.queueCount) else {
            throw UserError("num-queues property must be larger than 0 and at most \(maximumQueues)")
        }
        let size = options.queueSize
        guard size >= 4, size <= 1024, size.nonzeroBitCount == 1 else {
            throw UserError("invalid queue-size property (\(size)), must be a power of 2 (max 1024)")
        }
        for (name, value) in [
            ("logical_block_size", options.logicalBlockSize), ("physical_block_size", options.physicalBlockSize),
        ] where value < 512 || value > 2 << 20 || value.nonzeroBitCount != 1 {
            throw UserError("\(name) must be a power of 2 between 512 and 2097152")
        }
        guard options.logicalBlockSize <= options.physicalBlockSize else {
            throw UserError("logical_block_size > physical_block_size not supported")
        }
    }

    private static func features(_ options: VirtioBlockOptions, isReadOnly: Bool) -> VirtioFeatures {
        var features: VirtioFeatures = [
            .blockSegmentMaximum, .blockGeometry, .blockSize, .blockFlush, .blockTopology,
        ]
        if isReadOnly { features.insert(.blockReadOnly) }
        if options.canSwitchCache { features.insert(.blockSwitchCache) }
        if options.queueCount > 1 { features.insert(.blockMultiqueue) }
        if options.hasDiscard { features.insert(.blockDiscard) }
        if options.hasWriteZeroes { features.insert(.blockWriteZeroes) }
        return features
    }

    // MARK: Registers

    private static let writeCacheOffset = 32

    /// The layout of 5.2.4: capacity in 512-byte sectors first.
    public func readConfig() -> [UInt8] {
        VirtioBlockConfig(
            capacity: UInt64(max(0, node.length / Self.sectorSize)), options: options,
            hasWriteCache: lock.withLock { hasWriteCache }
        ).bytes
    }

    /// Only the write cache's byte can be written, and only when it was negotiated.
    public func writeConfig(offset: Int, size: Int, value: UInt64) {
        guard offset == Self.writeCacheOffset, size == 1 else { return }
        lock.withLock {
            if context?.features.contains(.blockSwitchCache) == true { hasWriteCache = value & 0xFF != 0 }
        }
    }

    /// The disk has another length. Callable on any thread.
    public func lengthChanged(machineLockHeld: Bool) {
        lock.withLock { context?.interrupts }?.configChanged(machineLockHeld: machineLockHeld)
    }

    // MARK: Life

    /// The write cache stays on only for a driver that can flush; then queues are served.
    public func activate(_ context: VirtioActivation) {
        lock.withLock {
            self.context = context
            // A driver that neither flushes nor switches expects what it has written to be safe.
            if !context.features.contains(.blockSwitchCache) {
                hasWriteCache = options.hasWriteCache && context.features.contains(.blockFlush)
            }
        }
        for kick in kicks { kick.post() }
    }

    /// Waits for the requests that the host works on: their buffers are the guest's.
    public func reset() {
        let wasActive = lock.withLock {
            defer { context = nil }
            hasWriteCache = options.hasWriteCache
            isQuiescing = context != nil
            return context != nil
        }
        guard wasActive else { return }
        io.quiesce()
        lock.withLock { while isQuiescing { lock.wait() } }
    }

    private func endQuiescing() {
        lock.withLock {
            isQuiescing = false
            lock.broadcast()
        }
    }

    /// Wakes the I/O thread for that queue; an unknown number is passed over.
    public func notified(queue: Int) {
        if kicks.indices.contains(queue) { kicks[queue].post() }
    }

    /// False only for a queue that does not exist.
    public func serve(_ queue: Int, whenSignalled event: EventFile) -> Bool {
        guard kicks.indices.contains(queue) else { return false }
        kicks[queue].connect(event)
        return true
    }

    /// Throws when a request waits after an error (`werror=stop`), which would never end.
    public func drain() throws(StateError) {
        let waiter = DrainWaiter()
        io.drain { waiter.done(hasStopped: $0) }
        guard !waiter.wait() else {
            throw StateError(
                "a request of disk '\(node.location.filename)' waits after an error; continue or reset first")
        }
    }

    /// What a saved machine keeps beside the queues.
    public var state: VirtioBlockState {
        get { VirtioBlockState(hasWriteCache: lock.withLock { hasWriteCache }) }
        set { lock.withLock { hasWriteCache = newValue.hasWriteCache } }
    }

    /// Takes no more requests, and waits for those that were taken: the machine has been stopped, and the disk does not
    /// change any more. What waits after an error goes on waiting.
    public func hold() {
        lock.withLock { isHeld = true }
        let waiter = DrainWaiter()
        io.drain { waiter.done(hasStopped: $0) }
        _ = waiter.wait()
    }

    /// The machine goes on: takes requests again, those first for which it was stopped. Callable on any thread.
    public func resumeStopped() {
        let wasHeld = lock.withLock {
            defer { isHeld = false }
            return isHeld
        }
        io.resumeStopped()
        if wasHeld { for kick in kicks { kick.post() } }
    }

    /// The host's number of the I/O thread, for `query-iothreads`; 0 until it runs.
    public var hostThreadIdentifier: Int { io.hostIdentifier }

    /// What it has done so far.
    public var counters: BlockCounters { io.counters }

    /// Waits for what is under way and ends the I/O thread. The node stays open.
    public func close() {
        reset()
        io.stop()
    }

    // MARK: The I/O thread

    /// Takes and starts all requests of a queue.
    private func serve(_ number: Int) {
        let (current, isForced) = lock.withLock { (isHeld ? nil : context, !hasWriteCache) }
        guard let current else { return }
        let queue = current.queues[number]
        repeat {
            queue.disableNotifications()
            while true {
                let request = io.makeRequest(current)
                guard queue.take(into: request.chain) else {
                    io.recycle(request)
                    break
                }
                request.queue = number
                start(request, queue, isForced: isForced)
                guard queue.failure == nil else { break }
            }
        } while queue.enableNotifications()
        io.submit()
        io.publish(number)
    }

    private func start(_ request: BlockRequest, _ queue: Virtqueue, isForced: Bool) {
        switch VirtioBlockParser.parse(request, node: node, options: options) {
        case .malformed(let text):
            io.recycle(request)
            queue.fail(.badRequest(text))
        case .answer(let status, let written): io.finish(request, status: status, dataWritten: written)
        case .perform:
            request.isForced = isForced
            io.start(request)
        }
    }
}

/// Waits for one word of the I/O thread.
private final class DrainWaiter: @unchecked Sendable {
    // Guards `answer`.
    private let lock = Lock()
    private var answer: Bool?

    func done(hasStopped: Bool) {
        lock.withLock {
            answer = hasStopped
            lock.broadcast()
        }
    }

    /// - Returns: whether requests wait for the machine to go on.
    func wait() -> Bool {
        lock.withLock {
            while answer == nil { lock.wait() }
            return answer == true
        }
    }
}
