// SPDX-License-Identifier: Apache-2.0

internal import BlockLayer
internal import HostSystem

/// Copies a running disk to another node, follows the guest's writes, and exchanges the nodes in the end: mirror, and
/// commit of the image that the guest writes to.
final class MirrorWork: JobWork, @unchecked Sendable {
    private let backend: BlockBackend
    private let target: any BlockNode
    private let base: (any BlockNode)?
    private let isWhole: Bool, isBlank: Bool
    private let tracker: WriteTracker
    // Used by the job's thread, then by the loop's.
    private var hasExchanged = false
    private let copier: ChainCopy
    /// On the loop's thread, while the backend is held: the target takes the disk's place.
    private let exchange: () throws(BlockError) -> Void
    /// On the loop's thread: whether the exchange has happened.
    private let done: (Bool) -> Void

    /// Less than this is left to the moment when the guest waits, in bytes.
    private static let remainder: Int64 = 4 << 20
    /// How often a ready job looks for new writes.
    private static let period: UInt64 = 50_000_000

    /// - Parameters:
    ///   - base: nothing below it is copied; nil for everything that `isWhole` allows.
    ///   - isWhole: false copies only what the guest writes from now on (sync=none).
    ///   - isBlank: the target reads as zeroes.
    init(
        _ backend: BlockBackend, to target: any BlockNode, above base: (any BlockNode)?, isWhole: Bool, isBlank: Bool,
        exchange: @escaping () throws(BlockError) -> Void, done: @escaping (Bool) -> Void
    ) {
        self.backend = backend
        self.target = target
        self.base = base
        self.isWhole = isWhole
        self.isBlank = isBlank
        self.exchange = exchange
        self.done = done
        let source = backend.filtered
        copier = ChainCopy(from: source, to: target, above: base, copiesHoles: base == nil)
        tracker = WriteTracker(length: source.length)
        backend.add(tracker)
    }

    func run(_ job: Job) throws(BlockError) {
        if isWhole { try markAll(job) }
        var position: Int64 = 0
        while true {
            position = try copyMarked(job, from: position)
            switch try job.waitReady(until: monotonicNanoseconds() &+ Self.period) {
            case .goOn: job.addLength(tracker.markedBytes)
            case .complete, .leave:
                guard tracker.markedBytes > Self.remainder else {
                    return try job.insist { () throws(CopyFailure) in
                        try CopyFailure.writing { () throws(BlockError) in try target.flush() }
                    }
                }
                job.addLength(tracker.markedBytes)
            }
        }
    }

    /// Marks everything that the target must be given.
    private func markAll(_ job: Job) throws(BlockError) {
        let end = copier.source.length
        var offset: Int64 = 0
        while offset < end {
            let part =
                try job.attempt { () throws(CopyFailure) in try copier.look(at: offset, end: end) }
                ?? (count: min(end - offset, ChainCopy.unit), isNeeded: true, isZero: false)
            if part.isNeeded, !(part.isZero && isBlank) { tracker.mark(at: offset, count: part.count) }
            offset += part.count
            try job.advance(0, paced: false)
        }
        job.setLength(tracker.markedBytes)
    }

    private func copyMarked(_ job: Job, from start: Int64) throws(BlockError) -> Int64 {
        var position = start
        while let range = tracker.take(from: position, limit: ChainCopy.unit) {
            position = range.upperBound
            let count = position - range.lowerBound
            do throws(BlockError) {
                // A guest's write at the same time marks the range again when it is done.
                guard try job.attempt({ () throws(CopyFailure) in try copier.copyAll(range) }) != nil else {
                    tracker.mark(at: range.lowerBound, count: count)
                    continue
                }
                try job.advance(count)
            } catch {
                tracker.mark(at: range.lowerBound, count: count)
                throw error
            }
        }
        return position
    }

    func settle(_ job: Job) throws(BlockError) {
        try backend.hold(.all) { (_) throws(BlockError) in
            try CopyFailure.merging { () throws(CopyFailure) in
                while let range = tracker.take(from: 0, limit: ChainCopy.unit) { try copier.copyAll(range) }
            }
            try target.flush()
            guard !job.leaves else { return }
            try exchange()
            hasExchanged = true
        }
    }

    func clean(_ job: Job) {
        backend.remove(tracker)
        done(hasExchanged)
    }
}

/// Copies what lies between two images of a chain into the lower one; the guest does not write to either.
final class CommitWork: JobWork, @unchecked Sendable {
    private let copier: ChainCopy
    private let base: any BlockNode
    private let exchange: () throws(BlockError) -> Void
    private let done: (Bool) -> Void
    private var hasExchanged = false

    init(
        from top: any BlockNode, into base: any BlockNode, exchange: @escaping () throws(BlockError) -> Void,
        done: @escaping (Bool) -> Void
    ) {
        copier = ChainCopy(from: top, to: base, above: base)
        self.base = base
        self.exchange = exchange
        self.done = done
    }

    func run(_ job: Job) throws(BlockError) {
        let end = copier.source.length
        job.setLength(end)
        var offset: Int64 = 0
        while offset < end {
            var part: (count: Int64, isNeeded: Bool, isZero: Bool) = (0, false, false)
            // Without it the images above could not go.
            try job.insist { () throws(CopyFailure) in
                part = try copier.look(at: offset, end: end)
                if part.isNeeded { try copier.copy(at: offset, count: part.count, isZero: part.isZero) }
            }
            offset += part.count
            try job.advance(part.count, paced: part.isNeeded)
        }
        // The data must be in the base before anybody lets go of the images above.
        try job.insist { () throws(CopyFailure) in
            try CopyFailure.writing { () throws(BlockError) in try base.flush() }
        }
    }

    func settle(_ job: Job) throws(BlockError) {
        try exchange()
        hasExchanged = true
    }

    func clean(_ job: Job) { done(hasExchanged) }
}

/// Copies what an image reads from those below it into the image itself.
final class StreamWork: JobWork, @unchecked Sendable {
    private let backend: BlockBackend?
    private let image: any BlockNode
    private let base: (any BlockNode)?
    private let copier: ChainCopy
    private let exchange: () throws(BlockError) -> Void
    private let done: (Bool) -> Void
    private var hasExchanged = false

    /// - Parameter backend: whose guest writes to the image; nil for one further down.
    init(
        into image: any BlockNode, above base: (any BlockNode)?, backend: BlockBackend?,
        exchange: @escaping () throws(BlockError) -> Void, done: @escaping (Bool) -> Void
    ) {
        self.image = image
        self.base = base
        self.backend = backend
        self.exchange = exchange
        self.done = done
        copier = ChainCopy(from: image, to: image, above: base)
    }

    func run(_ job: Job) throws(BlockError) {
        guard image.backingNode != nil else { return }
        let end = image.length
        job.setLength(end)
        var offset: Int64 = 0
        // What is left out makes the job fail in the end: the images below must stay.
        var leftOut: BlockError?
        while offset < end {
            var latest: BlockError?
            let part = try job.attempt { () throws(CopyFailure) in
                do throws(CopyFailure) { return try step(at: offset, end: end) } catch {
                    latest = error.error
                    throw error
                }
            }
            if part == nil { leftOut = leftOut ?? latest }
            let (count, copied) = part ?? (min(end - offset, ChainCopy.unit), false)
            offset += count
            try job.advance(count, paced: copied)
        }
        try image.flush()
        if let leftOut { throw leftOut }
    }

    private func step(at offset: Int64, end: Int64) throws(CopyFailure) -> (count: Int64, copied: Bool) {
        let first = try look(at: offset, end: end)
        guard first.isNeeded else { return (first.count, false) }
        guard let backend else {
            try copier.copy(at: offset, count: first.count, isZero: first.isZero)
            return (first.count, true)
        }
        // Nobody writes between the look and the copy: what the guest has written itself is newer.
        return try backend.hold(.writes) { (_) throws(CopyFailure) in
            let part = try look(at: offset, end: offset + first.count)
            if part.isNeeded { try copier.copy(at: offset, count: part.count, isZero: part.isZero) }
            return (part.count, part.isNeeded)
        }
    }

    /// What the image itself has needs no copy.
    private func look(at offset: Int64, end: Int64) throws(CopyFailure) -> (count: Int64, isNeeded: Bool, isZero: Bool)
    {
        let own = try CopyFailure.reading { () throws(BlockError) in
            try image.status(at: offset, count: min(end - offset, ChainCopy.unit), detail: .allocation)
        }
        let count = min(max(own.count, 1), ChainCopy.unit)
        if own.isAllocated || own.isData { return (count, false, false) }
        return try copier.look(at: offset, end: offset + count)
    }

    func settle(_ job: Job) throws(BlockError) {
        guard image.backingNode != nil else { return }
        try exchange()
        hasExchanged = true
    }

    func clean(_ job: Job) { done(hasExchanged) }
}
