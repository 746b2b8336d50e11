// SPDX-License-Identifier: Apache-2.0

internal import CLinux
internal import Glibc
public import HostSystem

/// Waits for many descriptors, timers and posted work on one thread (epoll).
///
/// `post`, `stop` and the timers may be called on any thread. Watches are made, changed and cancelled on the loop's
/// thread, or before the loop runs. Handlers run on the loop's thread, one at a time, without any lock held.
@safe
public final class EventLoop: @unchecked Sendable {
    /// What a watch waits for, and what came true.
    public struct Readiness: OptionSet, Sendable {
        /// Bits of this loop's own, not epoll's.
        public let rawValue: UInt32
        /// A set from those bits.
        public init(rawValue: UInt32) { self.rawValue = rawValue }
        /// Bytes to read, a connection to accept, or the end of the stream.
        public static let readable = Readiness(rawValue: 1)
        /// Room to write.
        public static let writable = Readiness(rawValue: 2)
        /// The other side is gone, or the descriptor is in error; reported without being asked for.
        public static let hangup = Readiness(rawValue: 4)
    }

    /// A watched descriptor. The owner cancels the watch before it closes the descriptor.
    public final class Watch {
        /// The descriptor.
        public let descriptor: Int32
        /// What it waits for now.
        public fileprivate(set) var interest: Readiness
        fileprivate let key: UInt64
        fileprivate var handler: ((Readiness) -> Void)?
        fileprivate weak var loop: EventLoop?

        fileprivate init(
            descriptor: Int32, interest: Readiness, key: UInt64, handler: @escaping (Readiness) -> Void,
            loop: EventLoop
        ) {
            self.descriptor = descriptor
            self.interest = interest
            self.key = key
            self.handler = handler
            self.loop = loop
        }

        /// Waits for something else from now on; empty waits for `hangup` only.
        public func setInterest(_ interest: Readiness) throws(Errno) {
            guard interest != self.interest, handler != nil else { return }
            self.interest = interest
            try loop?.control(EPOLL_CTL_MOD, self)
        }

        /// Ends the watch; the handler is not called again.
        public func cancel() {
            guard handler != nil else { return }
            handler = nil
            loop?.forget(self)
        }
    }

    private let poll: FileDescriptor
    private let wake: FileDescriptor
    private let timers: TimerQueue
    private var watches: [UInt64: Watch] = [:]
    private var nextKey: UInt64 = 1
    private let postLock = Lock()
    private var posted: [@Sendable () -> Void] = []
    private var stopping = false
    private static let wakeKey: UInt64 = 0

    /// A loop that watches nothing yet.
    /// - Throws: the host's error when it has no descriptors left.
    public init() throws(Errno) {
        poll = FileDescriptor(owning: try retrying { epoll_create1(Int32(EPOLL_CLOEXEC)) })
        wake = FileDescriptor(
            owning: try retrying { eventfd(0, Int32(EFD_CLOEXEC | EFD_NONBLOCK)) })
        timers = try TimerQueue()
        try add(wake.number, key: Self.wakeKey)
        let queue = timers
        _ = try watch(timers.descriptor, .readable) { _ in queue.fire() }
    }

    /// Calls `handler` whenever the descriptor, which stays the caller's, is ready for what `interest` names.
    public func watch(
        _ descriptor: Int32, _ interest: Readiness, handler: @escaping (Readiness) -> Void
    ) throws(Errno) -> Watch {
        let watch = Watch(descriptor: descriptor, interest: interest, key: nextKey, handler: handler, loop: self)
        nextKey += 1
        try control(EPOLL_CTL_ADD, watch)
        watches[watch.key] = watch
        return watch
    }

    /// Runs `work` on the loop's thread soon. Callable on any thread.
    public func post(_ work: @escaping @Sendable () -> Void) {
        postLock.withLock { posted.append(work) }
        wakeUp()
    }

    /// A timer on the host's monotonic clock, not armed. `handler` runs on the loop's thread.
    public func makeTimer(_ handler: @escaping () -> Void) -> LoopTimer { timers.makeTimer(handler) }

    /// When the next timer is due, in nanoseconds of `monotonicNanoseconds()`; all ones without any. Callable on any thread.
    public var nextDeadline: UInt64 { timers.earliest }

    /// Handles events until `stop`.
    public func run() {
        while true {
            runOnce(timeoutMilliseconds: -1)
            let stop = postLock.withLock {
                defer { stopping = false }
                return stopping
            }
            if stop { return }
        }
    }

    /// Makes `run` return. Callable on any thread, also before `run`.
    public func stop() {
        postLock.withLock { stopping = true }
        wakeUp()
    }

    /// Waits once and handles what is ready.
    /// - Parameter timeoutMilliseconds: -1 waits as long as it takes, 0 not at all.
    public func runOnce(timeoutMilliseconds: Int32) {
        let capacity = 64
        // The kernel fills at most `capacity` entries and says how many.
        let ready: [(UInt64, UInt32)] = unsafe withUnsafeTemporaryAllocation(
            of: epoll_event.self, capacity: capacity
        ) { events in
            let count = unsafe epoll_wait(poll.number, events.baseAddress, Int32(capacity), timeoutMilliseconds)
            return (0..<max(0, Int(count))).map { unsafe (events[$0].data.u64, events[$0].events) }
        }
        for (key, events) in ready {
            if key == Self.wakeKey {
                drainWake()
                continue
            }
            // A handler may have cancelled a watch that is later in the list.
            guard let watch = watches[key], let handler = watch.handler else { continue }
            var readiness: Readiness = []
            if events & EPOLLIN.rawValue != 0 { readiness.insert(.readable) }
            if events & EPOLLOUT.rawValue != 0 { readiness.insert(.writable) }
            if events & (EPOLLHUP.rawValue | EPOLLERR.rawValue) != 0 { readiness.insert(.hangup) }
            handler(readiness)
        }
        let work = postLock.withLock {
            defer { posted = [] }
            return posted
        }
        for item in work { item() }
    }

    private func wakeUp() {
        var one: UInt64 = 1
        // Eight bytes of this frame; a full counter means that the loop is awake already.
        _ = unsafe Glibc.write(wake.number, &one, 8)
    }

    private func drainWake() {
        var count: UInt64 = 0
        // Eight bytes of this frame.
        _ = unsafe Glibc.read(wake.number, &count, 8)
    }

    private func add(_ descriptor: Int32, key: UInt64) throws(Errno) {
        var event = unsafe epoll_event(events: EPOLLIN.rawValue, data: epoll_data_t(u64: key))
        // The kernel copies the event from this frame.
        _ = try retrying { unsafe epoll_ctl(poll.number, EPOLL_CTL_ADD, descriptor, &event) }
    }

    fileprivate func control(_ operation: Int32, _ watch: Watch) throws(Errno) {
        var events: UInt32 = 0
        if watch.interest.contains(.readable) { events |= EPOLLIN.rawValue }
        if watch.interest.contains(.writable) { events |= EPOLLOUT.rawValue }
        var event = unsafe epoll_event(events: events, data: epoll_data_t(u64: watch.key))
        // The kernel copies the event from this frame.
        _ = try retrying { unsafe epoll_ctl(poll.number, operation, watch.descriptor, &event) }
    }

    fileprivate func forget(_ watch: Watch) {
        watches[watch.key] = nil
        var event = unsafe epoll_event()
        // The event is not read for EPOLL_CTL_DEL. It fails only where the descriptor was closed already, which
        // removed it as well.
        _ = unsafe epoll_ctl(poll.number, EPOLL_CTL_DEL, watch.descriptor, &event)
    }
}
