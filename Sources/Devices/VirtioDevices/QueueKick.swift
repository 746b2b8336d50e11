// SPDX-License-Identifier: Apache-2.0

internal import HostIO
internal import HostSystem
internal import Synchronization

/// Passes a queue's notifications on to the thread that serves it: many in a row become one.
final class QueueKick: @unchecked Sendable {
    private let isPosted = Atomic<Bool>(false)
    private let loop: EventLoop
    /// Made once, so that a notification allocates nothing. Set before the first `post`.
    private var work: @Sendable () -> Void = {}

    /// - Parameter serve: runs on the loop's thread.
    init(_ loop: EventLoop, serve: @escaping @Sendable () -> Void) {
        self.loop = loop
        work = { [unowned self] in
            // Cleared before the queue is looked at: what comes in from here on posts anew.
            isPosted.store(false, ordering: .sequentiallyConsistent)
            serve()
        }
    }

    /// Serves whenever `event` is signalled, too; from now on, for as long as the loop runs.
    func connect(_ event: EventFile) {
        loop.post { [loop, work] in
            // Without room for another watch the notifications would be lost: every signal would.
            let watch = try? loop.watch(event.number, .readable) { _ in if event.take() { work() } }
            precondition(watch != nil, "no memory to watch a queue's notifications")
        }
    }

    /// Callable on any thread.
    func post() {
        if !isPosted.exchange(true, ordering: .sequentiallyConsistent) { loop.post(work) }
    }
}
