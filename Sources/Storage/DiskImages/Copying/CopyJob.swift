// SPDX-License-Identifier: Apache-2.0

internal import BlockLayer
internal import HostSystem

/// Copies the content of sources, one after the other, into a target, with several threads: while one part is written
/// others are read, looked through for zeroes, or compressed.
///
/// Parts are handed out, and (unless told otherwise) written, in order. Shared state is guarded by `lock`.
final class CopyJob: @unchecked Sendable {
    /// How to copy.
    struct Plan {
        var source: any BlockNode
        var target: any BlockNode
        /// Zeroes need not be written: the target reads as zeroes already.
        var targetIsZero = true
        /// Parts that come from the chain below this many layers are left to the target's backing file.
        var sharedBase: (any BlockNode)?
        /// The target has a backing file whose content shines through where nothing is written.
        var targetHasBacking = false
        /// The length of that backing file where it is known: behind its end nothing written reads as zeroes.
        var targetBackingLength: Int64?
        /// Bytes at whose multiples data and zeroes are told apart in the target.
        var alignment = 4096
        /// Runs of zero bytes of this length are not written; 0 writes everything.
        var sparseSize = 4096
        var isCompressed = false
        var isOrdered = true
        var workers = 2
        /// Bytes per second; 0 without bound.
        var rate: Int64 = 0
        /// Go on past errors while reading, with zeroes in their place.
        var isSalvaging = false
        /// Say nothing of what could not be read.
        var isQuiet = false
        /// Look at all sources first, so that the part done is known (and what cannot be read is told).
        var isSurveyed = false
        /// Let the host copy from file to file where it can; zeroes are not looked for then.
        var offloads = false
    }

    private struct Part {
        let number: Int
        let offset: Int64
        let count: Int
        let kind: Kind
    }

    /// Memory for a part and for its compressed form.
    private struct Buffers {
        let plain: AlignedBuffer
        let packed: AlignedBuffer
    }

    /// A part as it is to be written.
    private struct ReadPart {
        let part: Part
        let buffers: Buffers
        var clusters: [(range: Range<Int>, form: Form)] = []
        var runs: [(range: Range<Int>, isZero: Bool)] = []
    }

    private enum Kind { case data, zero, skip }

    /// How a cluster is to be stored.
    private enum Form { case zero, plain, short, packed(Int) }

    private let plan: Plan
    private let total: Int64
    private let partSize: Int
    /// What is compressed at a time; 0 when nothing is.
    private let clusterSize: Int
    private let warn: @Sendable (String) -> Void
    private let lock = Lock()
    /// What parts are read into.
    private let buffers: LendingPool<Buffers>
    /// Parts that were read, where they are written in order.
    private let order = OrderedWork<ReadPart>()
    /// The bytes that `progress` counts: those that are read and written.
    private var toCopy: Int64 = 0
    // Guarded by `lock`.
    private var cursor: Int64 = 0
    private var known: (end: Int64, kind: Kind) = (0, .skip)
    private var nextNumber = 0
    /// What of it was data.
    private var written: Int64 = 0
    private var handedOut: Int64 = 0
    private var pendingSteps: [Int64] = []
    private var failure: BlockError?
    private var running = 0
    private var offloads: Bool
    private let started = monotonicNanoseconds()

    init(_ plan: Plan, warn: @escaping @Sendable (String) -> Void) {
        self.plan = plan
        offloads = plan.offloads && !plan.isCompressed
        self.warn = warn
        total = plan.source.length
        clusterSize = plan.isCompressed ? (plan.target as? any CompressedWriting)?.compressor.clusterSize ?? 65536 : 0
        let partSize = plan.isCompressed ? max(clusterSize, 256 << 10) : Self.plainPartSize
        self.partSize = partSize
        buffers = LendingPool(
            (0..<plan.workers * 2).map { _ in
                Buffers(
                    plain: AlignedBuffer(count: partSize),
                    packed: AlignedBuffer(count: plan.isCompressed ? partSize : 1))
            })
    }

    /// What the workers have in hand stays in the processor's caches between reading and writing.
    private static let plainPartSize = 512 << 10

    /// Copies everything.
    /// - Parameter progress: gets the part done, from this thread.
    func run(progress: (Double) -> Void) throws(BlockError) {
        try survey()
        var threads: [HostThread] = []
        running = plan.workers
        do throws(Errno) {
            for _ in 0..<plan.workers { threads.append(try HostThread(name: "copy") { [self] in work() }) }
        } catch {
            lock.withLock {
                failure = BlockError(system: error, "Could not start a thread")
                running -= plan.workers - threads.count
                lock.broadcast()
            }
        }
        lock.lock()
        while running > 0 {
            // The end wakes this thread; before that it looks again and again, for the sake of the progress display.
            _ = lock.wait(until: monotonicNanoseconds() + 100_000_000)
            let steps = pendingSteps
            pendingSteps = []
            lock.unlock()
            for step in steps { progress(toCopy == 0 ? 1 : Double(step) / Double(toCopy)) }
            lock.lock()
        }
        lock.unlock()
        for thread in threads { thread.join() }
        for step in pendingSteps { progress(toCopy == 0 ? 1 : Double(step) / Double(toCopy)) }
        if let failure { throw failure }
    }

    private func work() {
        do throws(BlockError) {
            // Whoever has a number has memory too, so that the first of those handed out can always be read.
            while let buffers = buffers.take(), let part = try nextPart() {
                let read = try read(part, buffers)
                if plan.isOrdered {
                    try order.add(read, number: part.number, write)
                } else {
                    try write(read)
                }
            }
        } catch {
            lock.withLock { if failure == nil { failure = error } }
        }
        // There is nothing more to be read, or something went wrong.
        buffers.close()
        lock.withLock {
            running -= 1
            lock.broadcast()
        }
    }

    // MARK: Handing out

    private func nextPart() throws(BlockError) -> Part? {
        try lock.withLock { () throws(BlockError) in
            guard failure == nil, cursor < total else { return nil }
            if cursor >= known.end { try lookAhead() }
            let end = partEnd()
            let part = Part(number: nextNumber, offset: cursor, count: Int(end - cursor), kind: known.kind)
            nextNumber += 1
            cursor = end
            if counts(part.kind) {
                handedOut += Int64(part.count)
                pendingSteps.append(handedOut)
            }
            return part
        }
    }

    /// Where the part that begins at `cursor` ends.
    private func partEnd() -> Int64 {
        known.kind == .data ? min(known.end, cursor + Int64(partSize)) : known.end
    }

    /// Whether parts of this kind are read or written byte by byte.
    private func counts(_ kind: Kind) -> Bool { kind == .data }

    /// Counts what there is to copy before the first byte is.
    private func survey() throws(BlockError) {
        guard plan.isSurveyed else { return }
        while cursor < total {
            try lookAhead()
            if counts(known.kind) { toCopy += known.end - cursor }
            cursor = known.end
        }
        (cursor, known.end) = (0, 0)
    }

    private func lookAhead() throws(BlockError) {
        var limit = total - cursor
        var isPastBacking = false
        if let backing = plan.targetBackingLength {
            isPastBacking = cursor >= backing
            if !isPastBacking { limit = min(limit, backing - cursor) }
        }
        while true {
            do {
                let found = try plan.source.chainStatus(at: cursor, count: limit, above: plan.sharedBase)
                known.end = cursor + max(found.status.count, 1)
                known.kind = kind(found.status, isPastBacking)
                break
            } catch {
                guard plan.isSalvaging else {
                    throw BlockError(
                        error.kind, "error while reading block status at offset \(cursor): \(error.errno)",
                        errno: error.errno)
                }
                if limit <= Self.sector {
                    if !plan.isQuiet {
                        warn("warning: error while reading block status at offset \(cursor): \(error.errno)")
                    }
                    known = (min(cursor + Self.sector, total), .data)
                    break
                }
                // A shorter range may do.
                limit = (limit / Self.sector + 3) / 4 * Self.sector
            }
        }
        if plan.isCompressed { roundToClusters() }
    }

    /// Compressed clusters are stored whole: one is data when any part of it is.
    private func roundToClusters() {
        let cluster = Int64(clusterSize)
        if known.end - cursor >= cluster || known.end == total {
            if known.end < total { known.end -= (known.end - cursor) % cluster }
        } else {
            known = (min(cursor + cluster, total), .data)
        }
    }

    private static let sector: Int64 = 512

    private func kind(_ status: BlockStatus, _ isPastBacking: Bool) -> Kind {
        if status.isZero {
            if isPastBacking { return .skip }
            return plan.sparseSize == 0 ? .data : .zero
        }
        return status.isData || !plan.targetHasBacking ? .data : .skip
    }

    // MARK: Copying

    private func read(_ part: Part, _ buffers: Buffers) throws(BlockError) -> ReadPart {
        var result = ReadPart(part: part, buffers: buffers)
        guard part.kind == .data, !offload(part) else { return result }
        let region = buffers.plain.region.slice(0, part.count)
        try read(part, region)
        if plan.isCompressed {
            result.clusters = try compress(region, buffers.packed.region)
        } else {
            result.runs = split(region, part)
        }
        return result
    }

    private func write(_ read: ReadPart) throws(BlockError) {
        let part = read.part
        let region = read.buffers.plain.region
        do throws(BlockError) {
            switch part.kind {
            case .skip: break
            case .zero: try writeZeroes(part.offset, Int64(part.count))
            case .data:
                if plan.isCompressed {
                    try store(read.clusters, region, read.buffers.packed.region, part)
                } else {
                    for run in read.runs { try write(run, region, part) }
                }
            }
        } catch {
            throw BlockError(
                error.kind, "error while writing at byte \(part.offset): \(error.errno)", errno: error.errno,
                hint: error.hint)
        }
        buffers.give(read.buffers)
        finish(part)
    }

    private func finish(_ part: Part) {
        let pause: UInt64 = lock.withLock {
            guard plan.rate > 0, part.kind == .data else { return 0 }
            // Only bytes that are written count, and the first of them wait for nothing.
            let due = started &+ UInt64(Double(written) / Double(plan.rate) * 1e9)
            written += Int64(part.count)
            let now = monotonicNanoseconds()
            return due > now ? due - now : 0
        }
        if pause > 0 { sleep(nanoseconds: pause) }
    }

    private func sleep(nanoseconds: UInt64) {
        let timer = Lock()
        let deadline = monotonicNanoseconds() + nanoseconds
        timer.withLock { while monotonicNanoseconds() < deadline { _ = timer.wait(until: deadline) } }
    }

    /// Has the host copy the part. Where it cannot it is not asked again, and the part goes the other way.
    private func offload(_ part: Part) -> Bool {
        guard lock.withLock({ offloads }) else { return false }
        guard let source = plan.source as? any DirectlyMappedNode, let target = plan.target as? any DirectlyMappedNode,
            let from = source.beginDirect(at: part.offset, count: part.count, isWrite: false)
        else { return false }
        defer { source.endDirect(at: part.offset, count: part.count, isWrite: false) }
        guard let to = target.beginDirect(at: part.offset, count: part.count, isWrite: true) else { return false }
        defer { target.endDirect(at: part.offset, count: part.count, isWrite: true) }
        if from.copy(to: to, count: part.count) { return true }
        lock.withLock { offloads = false }
        return false
    }

    private func read(_ part: Part, _ region: ByteRegion) throws(BlockError) {
        do {
            try plan.source.read(region, at: part.offset)
        } catch {
            guard plan.isSalvaging else {
                // Where it knows more than the number.
                let advice = error.message == "\(error.errno)" ? nil : error.message
                throw BlockError(
                    error.kind, "error while reading at byte \(part.offset): \(error.errno)", errno: error.errno,
                    advice: advice)
            }
            salvage(part, region)
        }
    }

    private func salvage(_ part: Part, _ region: ByteRegion) {
        for start in stride(from: 0, to: region.count, by: 512) {
            let sector = region.slice(start, min(512, region.count - start))
            do {
                try plan.source.read(sector, at: part.offset + Int64(start))
            } catch {
                if !plan.isQuiet {
                    warn("warning: error while reading offset \(part.offset + Int64(start)): \(error.errno)")
                }
                sector.fill(0)
            }
        }
    }

    /// Runs of bytes to write and of zeroes to leave out.
    private func split(_ region: ByteRegion, _ part: Part) -> [(range: Range<Int>, isZero: Bool)] {
        guard plan.sparseSize > 0 else { return [(0..<region.count, false)] }
        let scan = SparseScan(region: region, position: part.offset, alignment: plan.alignment)
        return scan.runs(shortest: plan.sparseSize)
    }

    private func compress(
        _ region: ByteRegion, _ packed: ByteRegion
    ) throws(BlockError) -> [(range: Range<Int>, form: Form)] {
        guard let compressor = (plan.target as? any CompressedWriting)?.compressor else { return [] }
        var result: [(range: Range<Int>, form: Form)] = []
        for start in stride(from: 0, to: region.count, by: compressor.clusterSize) {
            let end = min(region.count, start + compressor.clusterSize)
            let cluster = region.slice(start, end - start)
            if plan.sparseSize > 0, cluster.isZero {
                result.append((start..<end, .zero))
            } else if end - start == compressor.clusterSize {
                let length = try compressor.compress(cluster, packed.slice(start, end - start))
                result.append((start..<end, length.map { .packed($0) } ?? .plain))
            } else {
                // The last cluster of the disk is filled up by the driver.
                result.append((start..<end, .short))
            }
        }
        return result
    }

    private func store(
        _ clusters: [(range: Range<Int>, form: Form)], _ region: ByteRegion, _ packed: ByteRegion, _ part: Part
    ) throws(BlockError) {
        guard let target = plan.target as? any CompressedWriting else { return }
        for (range, form) in clusters {
            let position = part.offset + Int64(range.lowerBound)
            let cluster = region.slice(range.lowerBound, range.count)
            switch form {
            case .zero: try writeZeroes(position, Int64(range.count))
            case .short: try target.writeCompressing(cluster, at: position)
            case .plain: try target.write(cluster, at: position)
            case .packed(let length):
                try target.writeCompressed(
                    packed.slice(range.lowerBound, length), at: position, count: Int64(range.count))
            }
        }
    }

    private func write(
        _ run: (range: Range<Int>, isZero: Bool), _ region: ByteRegion, _ part: Part
    ) throws(BlockError) {
        let position = part.offset + Int64(run.range.lowerBound)
        if run.isZero { return try writeZeroes(position, Int64(run.range.count)) }
        try plan.target.write(region.slice(run.range.lowerBound, run.range.count), at: position)
    }

    private func writeZeroes(_ position: Int64, _ count: Int64) throws(BlockError) {
        if plan.targetIsZero, !plan.targetHasBacking { return }
        try plan.target.writeZeroes(at: position, count: count, flags: plan.sparseSize > 0 ? .mayUnmap : [])
    }
}
