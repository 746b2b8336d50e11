// SPDX-License-Identifier: Apache-2.0

internal import ByteCoding
internal import Diagnostics
internal import GuestMemory
internal import HostSystem
internal import StateCoding

/// Sends runs of pages: by the main channel itself, or by several others on a thread each.
///
/// Between rounds all channels pass a barrier, so that a page's newer content never arrives before an older one.
final class MemorySender: @unchecked Sendable {
    private let memory: GuestMemory
    private let main: MigrationChannel
    private let others: [MigrationChannel]
    private var threads: [HostThread] = []
    private var barriers: UInt32 = 0

    private let lock = Lock()
    // Guarded by `lock`.
    private var queue: [(region: Int, pages: Range<Int>)] = []
    private var working = 0
    private var isEnding = false
    private var problem: UserError?
    private var counts = (zero: UInt64(0), data: UInt64(0), bytes: UInt64(0))

    /// Runs that wait at most: what is queued has not been read yet, and may as well be newer.
    private static let longestQueue = 16
    /// In a barrier's frame: an answer is waited for.
    static let answered: UInt32 = 1

    /// Says by how many further channels memory comes, before they are opened: the other side takes part in that.
    static func announce(_ count: Int, on main: MigrationChannel) throws(UserError) {
        guard count > 0 else { return }
        var builder = ByteBuilder()
        builder.append(UInt32(count))
        try main.write(StateFrame(kind: .channels, payload: builder.bytes).encoded)
    }

    init(_ memory: GuestMemory, main: MigrationChannel, others: [MigrationChannel]) throws(UserError) {
        self.memory = memory
        self.main = main
        self.others = others
        for channel in others {
            try channel.write(StateFrame.magic)
            do throws(Errno) { threads.append(try HostThread(name: "migration+") { [self] in serve(channel) }) } catch {
                throw UserError("cannot start a thread", because: error)
            }
        }
    }

    /// Pages sent as zeros, with their bytes, and bytes that went by further channels.
    var sent: (zero: UInt64, data: UInt64, bytes: UInt64) { lock.withLock { counts } }
    /// All bytes.
    var transferred: UInt64 { main.transferred &+ sent.bytes }

    /// Sends a run, or has it sent soon.
    func send(region: Int, pages: Range<Int>) throws(UserError) {
        guard !others.isEmpty else { return try write(region, pages, to: main, counting: false) }
        try lock.withLock { () throws(UserError) in
            while queue.count >= Self.longestQueue, problem == nil { lock.wait() }
            if let problem { throw problem }
            queue.append((region, pages))
            lock.broadcast()
        }
    }

    private func write(
        _ region: Int, _ pages: Range<Int>, to channel: MigrationChannel, counting: Bool
    ) throws(UserError) {
        for frame in MemoryFrames.frames(memory, region: region, pages: pages) {
            let bytes = frame.encoded
            try channel.write(bytes)
            let count = MemoryFrames.pageCounts(of: frame)
            lock.withLock {
                counts.zero += count.zero
                counts.data += count.data
                if counting { counts.bytes += UInt64(bytes.count) }
            }
        }
    }

    private func serve(_ channel: MigrationChannel) {
        while true {
            let next: (region: Int, pages: Range<Int>)? = lock.withLock {
                while queue.isEmpty, !isEnding { lock.wait() }
                guard !queue.isEmpty, problem == nil else { return nil }
                working += 1
                lock.broadcast()
                return queue.removeFirst()
            }
            guard let next else { return }
            var failure: UserError?
            do throws(UserError) { try write(next.region, next.pages, to: channel, counting: true) } catch {
                failure = error
            }
            lock.withLock {
                working -= 1
                if problem == nil { problem = failure }
                lock.broadcast()
            }
            if failure != nil { return }
        }
    }

    /// Waits until everything is sent, and lets all channels pass a barrier.
    /// - Parameter asksForAnswer: the other side says when it has come there (`MigrationAnswer.received`).
    func endRound(asksForAnswer: Bool) throws(UserError) {
        guard !others.isEmpty || asksForAnswer else { return }
        try lock.withLock { () throws(UserError) in
            while !queue.isEmpty || working > 0, problem == nil { lock.wait() }
            if let problem { throw problem }
        }
        barriers &+= 1
        var builder = ByteBuilder()
        builder.append(barriers)
        builder.append(asksForAnswer ? Self.answered : 0)
        let frame = StateFrame(kind: .barrier, payload: builder.bytes).encoded
        // The threads have nothing to send now.
        for channel in others { try channel.write(frame) }
        try main.write(frame)
    }

    /// Ends the threads and the further channels. Nothing is written any more: the last barrier said that all is sent, and
    /// the other side may have closed them.
    func end(isGood: Bool) {
        lock.withLock {
            isEnding = true
            if !isGood { queue = [] }
            lock.broadcast()
        }
        if !isGood { for channel in others { channel.abort() } }
        for thread in threads { thread.join() }
        threads = []
    }
}
