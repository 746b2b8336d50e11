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
        var sources: [any BlockNode] = []
        var target: any BlockNode
        /// Zeroes need not be written: the target reads as zeroes already.
        var targetIsZero = true
        /// Parts that come from the chain below this many layers are left to the target's backing file.
        var sharedBase: (any BlockNode)?
        /// The target has a backing file whose content shines through where nothing is written.
        var targetHasBacking = false
        /// Runs of zero bytes of this length are not written; 0 writes everything.
        var sparseSize = 4096
        var isCompressed = false
        var isOrdered = true
        var workers = 2
        /// Bytes per second; 0 without bound.
        var rate: Int64 = 0
        /// Go on past errors while reading, with zeroes in their place.
        var isSalvaging = false
    }

    private struct Part {
        let number: Int
        let source: any BlockNode
        let offset: Int64
        let position: Int64
        let count: Int
        let kind: Kind
    }

    private enum Kind { case data, zero, skip }

    private let plan: Plan
    private let total: Int64
    private let partSize: Int
    private let warn: @Sendable (String) -> Void
    private let lock = Lock()
    // Guarded by `lock`.
    private var sourceIndex = 0
    private var sourceStart: Int64 = 0
    private var cursor: Int64 = 0
    private var known: (end: Int64, kind: Kind) = (0, .skip)
    private var nextNumber = 0
    private var nextWrite = 0
    private var done: Int64 = 0
    private var failure: BlockError?
    private var running = 0
    private let started = monotonicNanoseconds()

    init(_ plan: Plan, warn: @escaping @Sendable (String) -> Void) {
        self.plan = plan
        self.warn = warn
        total = plan.sources.reduce(0) { $0 + $1.length }
        let cluster = plan.isCompressed ? (plan.target as? any CompressedWriting)?.compressor.clusterSize ?? 65536 : 0
        partSize = plan.isCompressed ? max(cluster, 256 << 10) : 2 << 20
    }

    /// Copies everything.
    /// - Parameter progress: gets the part done, from this thread.
    func run(progress: (Double) -> Void) throws(BlockError) {
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
            // A change wakes this thread; without one it looks again, for the sake of the progress display.
            _ = lock.wait(until: monotonicNanoseconds() + 100_000_000)
            let part = total == 0 ? 1 : Double(done) / Double(total)
            lock.unlock()
            progress(part)
            lock.lock()
        }
        lock.unlock()
        for thread in threads { thread.join() }
        if let failure { throw failure }
    }

    private func work() {
        let buffer = AlignedBuffer(count: partSize)
        let packed = AlignedBuffer(count: plan.isCompressed ? partSize : 1)
        do throws(BlockError) {
            while let part = try nextPart() { try copy(part, buffer.region, packed.region) }
        } catch {
            lock.withLock { if failure == nil { failure = error } }
        }
        lock.withLock {
            running -= 1
            lock.broadcast()
        }
    }

    // MARK: Handing out

    private func nextPart() throws(BlockError) -> Part? {
        try lock.withLock { () throws(BlockError) in
            while failure == nil, sourceIndex < plan.sources.count {
                let source = plan.sources[sourceIndex]
                if cursor >= source.length {
                    sourceStart += source.length
                    sourceIndex += 1
                    cursor = 0
                    known.end = 0
                    continue
                }
                if cursor >= known.end { try lookAhead(source) }
                // Parts end where the target's do, so that whole clusters are compressed.
                let boundary = ((sourceStart + cursor) / Int64(partSize) + 1) * Int64(partSize) - sourceStart
                let longest = known.kind == .data ? min(boundary, source.length) : known.end
                let end = min(
                    known.kind == .data && plan.isCompressed ? longest : min(known.end, longest), source.length)
                let part = Part(
                    number: nextNumber, source: source, offset: cursor, position: sourceStart + cursor,
                    count: Int(end - cursor), kind: known.kind)
                nextNumber += 1
                cursor = end
                return part
            }
            return nil
        }
    }

    private func lookAhead(_ source: any BlockNode) throws(BlockError) {
        let limit = source.length - cursor
        do {
            let found = try source.chainStatus(at: cursor, count: limit, above: plan.sharedBase)
            known.end = cursor + max(found.status.count, 1)
            known.kind = kind(found.status)
        } catch {
            guard plan.isSalvaging else {
                throw BlockError(
                    error.kind, "error while reading block status at offset \(cursor): \(error.errno)",
                    errno: error.errno)
            }
            known = (min(cursor + Int64(partSize), source.length), .data)
        }
        if plan.isCompressed {
            // Compressed clusters are stored whole: a part is data when any of its cluster is.
            let cluster = Int64(partSize)
            if known.kind != .data {
                let start = (cursor + cluster - 1) / cluster * cluster
                let end = known.end == source.length ? known.end : known.end / cluster * cluster
                if start == cursor, end > cursor {
                    known.end = end
                } else {
                    known = (min(start > cursor ? start : cursor + cluster, source.length), .data)
                }
            }
        }
    }

    private func kind(_ status: BlockStatus) -> Kind {
        if plan.sharedBase != nil, !status.isAllocated, !status.isData { return .skip }
        if status.isZero { return plan.sparseSize == 0 && !plan.isCompressed ? .data : .zero }
        return status.isData || status.isAllocated ? .data : .zero
    }

    // MARK: Copying

    private func copy(_ part: Part, _ buffer: ByteRegion, _ packed: ByteRegion) throws(BlockError) {
        let region = buffer.slice(0, part.kind == .data ? part.count : 0)
        var clusters: [(range: Range<Int>, packed: Int?)] = []
        var runs: [(range: Range<Int>, isZero: Bool)] = []
        if part.kind == .data {
            do throws(BlockError) {
                try read(part, region)
                if plan.isCompressed { clusters = try compress(region, packed) } else { runs = split(region, part) }
            } catch {
                leave(part, error)
                throw error
            }
        }
        do throws(BlockError) {
            if plan.isOrdered { try wait(for: part) }
            switch part.kind {
            case .skip: break
            case .zero: try writeZeroes(part.position, Int64(part.count))
            case .data:
                if plan.isCompressed {
                    try store(clusters, region, packed, part)
                } else {
                    for run in runs { try write(run, region, part) }
                }
            }
        } catch {
            let located = BlockError(
                error.kind, "error while writing at byte \(part.position): \(error.errno)", errno: error.errno,
                hint: error.hint)
            leave(part, located)
            throw located
        }
        finish(part)
    }

    private func wait(for part: Part) throws(BlockError) {
        try lock.withLock { () throws(BlockError) in
            while nextWrite != part.number {
                if let failure { throw failure }
                lock.wait()
            }
        }
    }

    private func leave(_ part: Part, _ error: BlockError) {
        lock.withLock {
            if failure == nil { failure = error }
            lock.broadcast()
        }
    }

    private func finish(_ part: Part) {
        let pause: UInt64 = lock.withLock {
            nextWrite += 1
            done += Int64(part.count)
            lock.broadcast()
            guard plan.rate > 0, part.kind == .data else { return 0 }
            let due = started &+ UInt64(Double(done) / Double(plan.rate) * 1e9)
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

    private func read(_ part: Part, _ region: ByteRegion) throws(BlockError) {
        do {
            try part.source.read(region, at: part.offset)
        } catch {
            guard plan.isSalvaging else {
                throw BlockError(
                    error.kind, "error while reading at byte \(part.offset): \(error.errno)", errno: error.errno,
                    hint: error.message)
            }
            salvage(part, region)
        }
    }

    private func salvage(_ part: Part, _ region: ByteRegion) {
        for start in stride(from: 0, to: region.count, by: 512) {
            let sector = region.slice(start, min(512, region.count - start))
            do {
                try part.source.read(sector, at: part.offset + Int64(start))
            } catch {
                warn("warning: error while reading offset \(part.offset + Int64(start)): \(error.errno)")
                sector.fill(0)
            }
        }
    }

    /// Runs of zero and other blocks of `sparseSize` bytes.
    private func split(_ region: ByteRegion, _ part: Part) -> [(range: Range<Int>, isZero: Bool)] {
        guard plan.sparseSize > 0 else { return [(0..<region.count, false)] }
        var runs: [(range: Range<Int>, isZero: Bool)] = []
        var start = 0
        while start < region.count {
            let within = Int((part.position + Int64(start)) % Int64(plan.sparseSize))
            let end = min(region.count, start + plan.sparseSize - within)
            let isZero = region.slice(start, end - start).isZero
            if let last = runs.last, last.isZero == isZero {
                runs[runs.count - 1].range = last.range.lowerBound..<end
            } else {
                runs.append((start..<end, isZero))
            }
            start = end
        }
        return runs
    }

    private func compress(
        _ region: ByteRegion, _ packed: ByteRegion
    ) throws(BlockError) -> [(range: Range<Int>, packed: Int?)] {
        guard let compressor = (plan.target as? any CompressedWriting)?.compressor else { return [] }
        var result: [(range: Range<Int>, packed: Int?)] = []
        for start in stride(from: 0, to: region.count, by: compressor.clusterSize) {
            let end = min(region.count, start + compressor.clusterSize)
            let cluster = region.slice(start, end - start)
            if cluster.isZero, plan.targetIsZero, !plan.targetHasBacking { continue }
            var length: Int?
            if end - start == compressor.clusterSize {
                length = try compressor.compress(cluster, packed.slice(start, end - start))
                result.append((start..<end, length ?? 0))
            } else {
                // The last cluster of the disk is filled up by the driver.
                result.append((start..<end, nil))
            }
        }
        return result
    }

    private func store(
        _ clusters: [(range: Range<Int>, packed: Int?)], _ region: ByteRegion, _ packed: ByteRegion, _ part: Part
    ) throws(BlockError) {
        guard let target = plan.target as? any CompressedWriting else { return }
        for (range, length) in clusters {
            let position = part.position + Int64(range.lowerBound)
            let cluster = region.slice(range.lowerBound, range.count)
            switch length {
            case nil: try target.writeCompressing(cluster, at: position)
            case 0?: try target.write(cluster, at: position)
            case let length?:
                try target.writeCompressed(
                    packed.slice(range.lowerBound, length), at: position, count: Int64(range.count))
            }
        }
    }

    private func write(
        _ run: (range: Range<Int>, isZero: Bool), _ region: ByteRegion, _ part: Part
    ) throws(BlockError) {
        let position = part.position + Int64(run.range.lowerBound)
        if run.isZero { return try writeZeroes(position, Int64(run.range.count)) }
        try plan.target.write(region.slice(run.range.lowerBound, run.range.count), at: position)
    }

    private func writeZeroes(_ position: Int64, _ count: Int64) throws(BlockError) {
        if plan.targetIsZero, !plan.targetHasBacking { return }
        try plan.target.writeZeroes(at: position, count: count, flags: plan.sparseSize > 0 ? .mayUnmap : [])
    }
}
