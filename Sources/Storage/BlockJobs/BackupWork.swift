// SPDX-License-Identifier: Apache-2.0

internal import BlockLayer
internal import HostSystem

/// Copies a disk as it was at one moment, while the guest goes on: what the guest is about to change is copied first.
///
///     piece: waiting --▶ being copied (by the job or by a writer; others that want it wait) --▶ done
///
/// A piece that cannot be copied ends the job, and the guest goes on without waiting for anything.
final class BackupWork: JobWork, WriteGuard, @unchecked Sendable {
    private let backend: BlockBackend?
    private let source: any BlockNode, target: any BlockNode
    private let base: (any BlockNode)?
    /// Copies nothing by itself: the target gets what the guest changes (sync=none).
    private let waits: Bool
    private let compresses: Bool, isBlank: Bool
    /// The reads through the target, which may end below it.
    private let gate: ReadGate
    private let waiting: WriteTracker
    private let lock = Lock()
    // Guarded by `lock`.
    private var underWay: [Range<Int64>] = []
    private var failure: BlockError?
    private var isOver = false
    private weak var job: Job?
    /// One writer at a time has this memory, and its lock.
    private let writerLock = Lock()
    private let writerCopy: ChainCopy, jobCopy: ChainCopy
    /// On the loop's thread, at the end: whether everything was copied, and what was not.
    private let done: (Bool, [Range<Int64>]) -> Void
    private var isComplete = false

    /// How often a job that waits looks whether it was given up.
    private static let period: UInt64 = 100_000_000

    /// What is copied, and how.
    struct Plan {
        /// Nothing below it is copied; nil for the whole chain.
        var base: (any BlockNode)?
        /// The parts that are copied; nil for the whole disk.
        var ranges: [Range<Int64>]?
        var waits = false, compresses = false, isBlank = false
    }

    init(
        _ backend: BlockBackend?, _ source: any BlockNode, to target: any BlockNode, gate: ReadGate, _ plan: Plan,
        done: @escaping (Bool, [Range<Int64>]) -> Void
    ) {
        self.backend = backend
        self.source = source
        self.target = target
        self.gate = gate
        base = plan.base
        waits = plan.waits
        compresses = plan.compresses
        isBlank = plan.isBlank
        self.done = done
        let unit = (target as? any DescribedNode)?.clusterSize.map { Int64($0) } ?? 0
        waiting = WriteTracker(length: source.length, granularity: max(WriteTracker.granularity, unit))
        // An image that reads as zeroes needs no zeroes.
        let holes = plan.base == nil && !plan.isBlank
        writerCopy = ChainCopy(from: source, to: target, above: plan.base, copiesHoles: holes)
        jobCopy = ChainCopy(from: source, to: target, above: plan.base, copiesHoles: holes)
    }

    /// The moment that is copied is now. No write is under way.
    func begin(_ ranges: [Range<Int64>]?) {
        for range in ranges ?? [0..<source.length] {
            waiting.mark(at: range.lowerBound, count: range.upperBound - range.lowerBound)
        }
        backend?.add(self)
    }

    func run(_ job: Job) throws(BlockError) {
        lock.withLock { self.job = job }
        job.setLength(waiting.markedBytes)
        while waits {
            try job.rest(until: monotonicNanoseconds() &+ Self.period)
            if let failure = lock.withLock({ self.failure }) { throw failure }
        }
        while let range = claim({ waiting.take(from: 0, limit: ChainCopy.unit) }) {
            do throws(CopyFailure) { try copy(range, with: jobCopy) } catch {
                // It is marked again and comes again, if the job goes on.
                do throws(BlockError) { _ = try job.goesOn(after: error) } catch {
                    end(with: error)
                    throw error
                }
                continue
            }
            try job.advance(range.upperBound - range.lowerBound)
        }
        let failure = lock.withLock { () -> BlockError? in
            while !underWay.isEmpty { lock.wait() }
            return self.failure
        }
        if let failure { throw failure }
        try target.flush()
        lock.withLock { isComplete = true }
    }

    private func claim(_ take: () -> Range<Int64>?) -> Range<Int64>? {
        lock.withLock {
            guard !isOver, let range = take() else { return nil }
            underWay.append(range)
            return range
        }
    }

    private func copy(_ range: Range<Int64>, with copier: ChainCopy) throws(CopyFailure) {
        var problem: CopyFailure?
        do throws(CopyFailure) {
            if compresses { try copyCompressed(range, with: copier) } else { try copier.copyAll(range) }
            // Who has found nothing in the target is still reading from the disk.
            gate.waitForReads(of: range)
        } catch { problem = error }
        lock.withLock {
            underWay.removeAll { $0 == range }
            if problem != nil { waiting.mark(at: range.lowerBound, count: range.upperBound - range.lowerBound) }
            lock.broadcast()
        }
        if let problem { throw problem }
    }

    /// Nothing is copied any more, and no write waits.
    private func end(with problem: BlockError) {
        lock.withLock {
            failure = failure ?? problem
            isOver = true
            lock.broadcast()
        }
    }

    private func copyCompressed(_ range: Range<Int64>, with copier: ChainCopy) throws(CopyFailure) {
        guard let image = target as? any CompressedWriting else { return try copier.copyAll(range) }
        let buffer = copier.memory
        let unit = Int64(image.compressor.clusterSize)
        var offset = range.lowerBound
        while offset < range.upperBound {
            let count = min(unit, range.upperBound - offset)
            let found = try CopyFailure.reading { () throws(BlockError) in
                try source.chainStatus(at: offset, count: count, above: base, detail: .zeroes)
            }
            let isHole = found.status.isZero && !found.status.isData && found.status.count >= count
            if !(isHole && isBlank) {
                let region = buffer.slice(0, Int(count))
                try CopyFailure.reading { () throws(BlockError) in try source.read(region, at: offset) }
                try CopyFailure.writing { () throws(BlockError) in try image.writeCompressing(region, at: offset) }
            }
            offset += count
        }
    }

    /// Copies what the write touches and nobody has copied yet.
    func willWrite(at offset: Int64, count: Int64) {
        while true {
            let range: Range<Int64>? = lock.withLock {
                // Whoever copies a part of it must have ended before it changes.
                while !isOver, underWay.contains(where: { $0.lowerBound < offset &+ count && offset < $0.upperBound }) {
                    lock.wait()
                }
                guard !isOver, let range = waiting.take(touching: offset, count: count, limit: ChainCopy.unit) else {
                    return nil
                }
                underWay.append(range)
                return range
            }
            guard let range else { return }
            writerLock.lock()
            defer { writerLock.unlock() }
            // The job ends with what went wrong; the guest's write is no part of it.
            do throws(CopyFailure) { try copy(range, with: writerCopy) } catch { return end(with: error.error) }
            lock.withLock { job }?.note(range.upperBound - range.lowerBound)
        }
    }

    func settle(_ job: Job) {}

    func clean(_ job: Job) {
        backend?.remove(self)
        let isDone = lock.withLock { () -> Bool in
            isOver = true
            lock.broadcast()
            while !underWay.isEmpty { lock.wait() }
            return isComplete && job.problem == nil
        }
        done(isDone, waiting.ranges)
    }

    /// Gives a backup up that has begun and got no job.
    func abandon() {
        backend?.remove(self)
        lock.withLock {
            isOver = true
            while !underWay.isEmpty { lock.wait() }
        }
        done(false, waiting.ranges)
    }
}
