// SPDX-License-Identifier: Apache-2.0

internal import Diagnostics
internal import GuestMemory
internal import HostSystem
internal import StateCoding

/// Takes memory from further channels, on a thread each. A channel that has come to a barrier waits there until the main
/// one and all others have.
final class MemoryReceiver: @unchecked Sendable {
    private let memory: GuestMemory
    private let channels: [MigrationChannel]
    private var threads: [HostThread] = []
    private let lock = Lock()
    // Guarded by `lock`: the barrier that the main channel has passed, those that the others stand at, and why one ended.
    private var passed: UInt32 = 0
    private var reached: [UInt32]
    private var problem: StateError?
    private var isEnding = false

    init(_ memory: GuestMemory, _ channels: [MigrationChannel]) throws(UserError) {
        self.memory = memory
        self.channels = channels
        reached = channels.map { _ in 0 }
        for (place, channel) in channels.enumerated() {
            do throws(Errno) {
                threads.append(
                    try HostThread(name: "incoming+") { [self] in
                        do throws(StateError) { try serve(channel, place) } catch { fail(error) }
                    })
            } catch { throw UserError("cannot start a thread", because: error) }
        }
    }

    private func fail(_ error: StateError) {
        lock.withLock {
            if problem == nil { problem = error }
            lock.broadcast()
        }
    }

    private func serve(_ channel: MigrationChannel, _ place: Int) throws(StateError) {
        var reader = StateStreamReader(IncomingMigration.source(channel))
        while true {
            let frame = try reader.next()
            switch frame.kind {
            case .memory: try MemoryFrames.apply(frame, to: memory)
            case .barrier: guard wait(at: try IncomingMigration.number(frame), place) else { return }
            case .end: return
            case .header, .section, .channels: throw IncomingMigration.unexpectedChannels
            }
        }
    }

    private func wait(at barrier: UInt32, _ place: Int) -> Bool {
        lock.withLock {
            reached[place] = barrier
            lock.broadcast()
            while passed < barrier, problem == nil, !isEnding { lock.wait() }
            return problem == nil && !isEnding
        }
    }

    /// The main channel has come to a barrier: waits for all others, and lets everybody go on.
    func pass(_ barrier: UInt32) throws(StateError) {
        try lock.withLock { () throws(StateError) in
            while problem == nil, reached.contains(where: { $0 < barrier }) { lock.wait() }
            if let problem { throw problem }
            passed = barrier
            lock.broadcast()
        }
    }

    /// Ends the threads.
    func end() {
        lock.withLock {
            isEnding = true
            lock.broadcast()
        }
        for channel in channels { channel.abort() }
        for thread in threads { thread.join() }
        threads = []
    }
}
