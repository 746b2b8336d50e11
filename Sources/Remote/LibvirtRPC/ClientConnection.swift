// SPDX-License-Identifier: Apache-2.0

internal import Diagnostics
internal import HostIO
internal import HostSystem
internal import LibvirtProtocol
internal import XDRCoding

/// What a connection's messages go to. `received` is called on the connection's loop thread, `closed` once.
public protocol ConnectionHandler: AnyObject, Sendable {
    /// A call arrived; the handler answers it, now or later.
    func received(_ frame: Frame, on connection: ClientConnection)
    /// The connection is gone.
    func closed()
}

/// One client: reads frames, hands calls on, and sends what it is given without ever waiting for the client.
///
/// A client that does not read is not read from any more once `outputWindow` bytes wait for it, and is dropped when
/// events alone make it `eventLimit`.
public final class ClientConnection: @unchecked Sendable {
    /// Bounds of what one client may tie up.
    public struct Limits: Sendable {
        /// Calls that are worked on at a time; the next one is read when one is done.
        public var callsInFlight = 5
        /// Bytes waiting to be read by the client beyond which it is not served.
        public var outputWindow = 1 << 20
        /// Bytes of events waiting beyond which the client is dropped.
        public var eventLimit = 8 << 20
        /// The same bound as `outputWindow` while all clients together hold more than half of what they may.
        public var tightOutputWindow = 1 << 16
        /// Nanoseconds that the rest of a message has to come, once a large part of it is here.
        public var partialPatience: UInt64 = 30_000_000_000
        /// The bounds of a service that no configuration file changes.
        public init() {}
    }

    /// Distinguishes connections in messages.
    public let number: UInt64
    /// Whether the client came through the read-only socket.
    public let isReadOnlySocket: Bool
    /// The socket, or TLS over it; used on the loop's thread.
    public let transport: any Transport
    let loop: EventLoop
    let limits: Limits
    weak var server: RPCServer?
    /// Bytes that all clients of the server hold together.
    private let memory: SharedBudget

    // Of the loop's thread alone.
    private var watch: EventLoop.Watch?
    private var input = FrameAssembler()
    private var handler: (any ConnectionHandler)?
    private var unansweredPings = 0
    private var lastHeard: UInt64
    private var inputShare: BudgetShare
    private var descriptorShare: BudgetShare
    /// When the message that is on its way became a large one.
    private var partialSince: UInt64?

    // Guarded by `lock`.
    private let lock = Lock()
    private var output = OutputQueue()
    private var inFlight = 0
    private var isClosed = false
    private var closesWhenSent = false
    private var isReadingPaused = false
    private var streams: [UInt32: ServerStream] = [:]
    private var whenDrained: [@Sendable () -> Void] = []
    private var keepsAlive = false

    init(
        number: UInt64, transport: any Transport, isReadOnlySocket: Bool, loop: EventLoop, limits: Limits,
        server: RPCServer
    ) {
        self.number = number
        self.transport = transport
        self.isReadOnlySocket = isReadOnlySocket
        self.loop = loop
        self.limits = limits
        self.server = server
        memory = server.memory
        inputShare = BudgetShare(server.memory)
        descriptorShare = BudgetShare(server.descriptors)
        lastHeard = monotonicNanoseconds()
    }

    // MARK: Life, on the loop's thread

    func start(_ handler: any ConnectionHandler) {
        self.handler = handler
        do throws(Errno) {
            watch = try loop.watch(transport.descriptor, .readable) { [self] in ready($0) }
        } catch {
            Console.shared.warning("client \(number) cannot be served: \(error)")
            finish()
        }
    }

    private func ready(_ readiness: EventLoop.Readiness) {
        if readiness.contains(.writable) { flush() }
        if readiness.contains(.readable) { readInput() } else if readiness.contains(.hangup) { finish() }
    }

    private static let readChunk = 65536
    private static let largeReadChunk = 1 << 20

    private func readInput() {
        do {
            let limit = input.pendingBytes > Self.readChunk ? Self.largeReadChunk : Self.readChunk
            let count = try input.fill { (buffer, descriptors) throws(Errno) in
                try transport.receive(limit: limit, into: &buffer, descriptors: &descriptors)
            }
            guard count > 0 else { return finish() }
            lastHeard = monotonicNanoseconds()
            unansweredPings = 0
            try handleFrames()
        } catch let error as Errno where error == .wouldBlock {
            return
        } catch {
            finish()
        }
    }

    /// Accounts for what has arrived and cannot be handed on yet; a little of it is free.
    private func holdInput() -> Bool {
        let large = max(0, input.pendingBytes - Self.readChunk)
        if large == 0 { partialSince = nil } else if partialSince == nil { partialSince = lastHeard }
        return inputShare.hold(large) && descriptorShare.hold(input.descriptors.count)
    }

    /// Hands on the frames that have arrived, as far as the limits allow.
    private func handleFrames() throws {
        while !mustPause() {
            guard let frame = try input.next() else { break }
            account(for: frame)
            handle(frame)
        }
        guard holdInput() else {
            Console.shared.warning("client \(number) is dropped: all clients together sent too much at once")
            return finish()
        }
        updateInterest()
    }

    /// A large message, and what was passed with it, is held until the call is done with it.
    private func account(for frame: Frame) {
        let bytes = frame.bytes.count > Self.readChunk ? frame.bytes.count : 0
        let count = frame.descriptors.count
        guard bytes > 0 || count > 0, let server else { return }
        let (memory, descriptors) = (server.memory, server.descriptors)
        memory.force(bytes)
        descriptors.force(count)
        frame.descriptors.atEnd = {
            memory.give(bytes)
            descriptors.give(count)
        }
    }

    private func handle(_ frame: Frame) {
        if frame.header.program == WireProgram.keepalive.rawValue { return handleKeepalive(frame.header) }
        switch FrameType(rawValue: frame.header.type) {
        case .call, .callWithDescriptors: handler?.received(frame, on: self)
        case .stream, .streamHole:
            let stream = lock.withLock { streams[frame.header.serial] }
            // A stream that has ended here may still have packets of the client under way.
            stream?.received(frame)
        default: finish()
        }
    }

    private func handleKeepalive(_ header: FrameHeader) {
        let ping: Int32 = 1
        let pong: Int32 = 2
        guard header.procedure == ping else { return }
        send(FrameHeader(program: header.program, procedure: pong, type: .message, serial: 0).frame())
    }

    /// Sends a ping, or drops a client that answered none of the last `limit`.
    func checkAlive(now: UInt64, interval: UInt64, limit: Int) {
        if lock.withLock({ isReadingPaused }) {
            // What does not come is not read either.
            if partialSince != nil { partialSince = now }
        } else if let partialSince, now &- partialSince >= limits.partialPatience {
            Console.shared.warning("client \(number) is dropped: the rest of its message did not come")
            return finish()
        }
        guard lock.withLock({ keepsAlive && !isClosed }), now &- lastHeard >= interval else { return }
        guard unansweredPings < limit else { return finish() }
        unansweredPings += 1
        let ping = FrameHeader(program: WireProgram.keepalive.rawValue, procedure: 1, type: .message, serial: 0)
        send(ping.frame())
    }

    /// Bytes that may wait for the client before it is not served any more.
    private var outputWindow: Int { memory.isTight ? limits.tightOutputWindow : limits.outputWindow }

    private func mustPause() -> Bool {
        lock.withLock {
            isReadingPaused = inFlight >= limits.callsInFlight || output.byteCount > outputWindow || closesWhenSent
            return isReadingPaused || isClosed
        }
    }

    private func updateInterest() {
        let interest: EventLoop.Readiness = lock.withLock {
            var wanted: EventLoop.Readiness = isReadingPaused ? [] : .readable
            if !output.isEmpty { wanted.insert(.writable) }
            return wanted
        }
        do throws(Errno) { try watch?.setInterest(interest) } catch { finish() }
    }

    /// Goes on after a call was answered or output was sent.
    private func resume() {
        guard watch != nil else { return }
        do { try handleFrames() } catch { finish() }
    }

    private func flush() {
        let outcome = lock.withLock { sendQueued() }
        finishFlush(outcome)
    }

    private func finishFlush(_ outcome: Flush) {
        switch outcome {
        case .failed: finish()
        case .blocked: updateInterest()
        case .drained:
            let (waiters, ends) = lock.withLock {
                defer { whenDrained = [] }
                return (whenDrained, closesWhenSent)
            }
            for waiter in waiters { waiter() }
            if ends { finish() } else { resume() }
        }
    }

    /// Ends the connection at once.
    func finish() {
        guard let handler else { return }
        self.handler = nil
        watch?.cancel()
        watch = nil
        let (open, waiters) = lock.withLock {
            isClosed = true
            memory.give(output.byteCount)
            output.removeAll()
            defer {
                streams = [:]
                whenDrained = []
            }
            return (Array(streams.values), whenDrained)
        }
        input.discard()
        _ = holdInput()
        for stream in open { stream.connectionClosed() }
        for waiter in waiters { waiter() }
        handler.closed()
        server?.forget(self)
    }

    // MARK: Output, on any thread

    private enum Flush { case drained, blocked, failed }

    /// Sends as much as goes out. The caller holds the lock.
    private func sendQueued() -> Flush {
        while let item = output.first {
            do throws(Errno) {
                let count = try transport.send(item.bytes, from: output.offset, passing: item.descriptor)
                memory.give(count)
                output.sent(count)
            } catch Errno.wouldBlock { return .blocked } catch { return .failed }
        }
        return .drained
    }

    /// Queues a frame and the descriptors that follow it, which become the connection's. Does not wait.
    public func send(_ frame: [UInt8], descriptors: [Int32] = [], isEvent: Bool = false) {
        let outcome: Flush? = lock.withLock {
            guard !isClosed else {
                for number in descriptors { _ = FileDescriptor(owning: number) }
                return nil
            }
            let waiting = output.byteCount
            if isEvent && waiting > limits.eventLimit { return dropping(descriptors) }
            let wasIdle = output.isEmpty
            // Who has a lot to read already gets no more when all clients together have too much.
            if !memory.take(frame.count + descriptors.count) {
                if waiting > limits.tightOutputWindow { return dropping(descriptors) }
                memory.force(frame.count + descriptors.count)
            }
            output.append(frame)
            for number in descriptors { output.append([0], passing: number) }
            return wasIdle ? sendQueued() : nil
        }
        switch outcome {
        case .failed: loop.post { [self] in finish() }
        case .blocked: loop.post { [self] in updateInterest() }
        case .drained, nil: break
        }
    }

    private func dropping(_ descriptors: [Int32]) -> Flush {
        for number in descriptors { _ = FileDescriptor(owning: number) }
        return .failed
    }

    /// Ends the connection when everything that was queued has been sent.
    public func closeWhenSent() {
        let isDone = lock.withLock {
            closesWhenSent = true
            return output.isEmpty
        }
        if isDone { loop.post { [self] in finish() } }
    }

    /// Whether the client has yet to read so much that producers should wait.
    public var isCongested: Bool { lock.withLock { output.byteCount > outputWindow } }

    /// Runs `body` once when all output has gone out or the connection is closed; false when that is so already.
    public func notifyWhenDrained(_ body: @escaping @Sendable () -> Void) -> Bool {
        lock.withLock {
            guard !isClosed, !output.isEmpty else { return false }
            whenDrained.append(body)
            return true
        }
    }

    /// The client answers pings, so they may be sent.
    public func enableKeepalive() { lock.withLock { keepsAlive = true } }

    // MARK: Calls and streams, on any thread

    /// A call is worked on elsewhere; every `beginCall` is followed by one `endCall`.
    public func beginCall() { lock.withLock { inFlight += 1 } }

    /// It is answered.
    public func endCall() {
        let wasPaused = lock.withLock {
            inFlight -= 1
            return isReadingPaused
        }
        if wasPaused { loop.post { [self] in resume() } }
    }

    func add(_ stream: ServerStream) -> Bool {
        lock.withLock {
            guard !isClosed, streams.count < FrameHeader.streamLimit, streams[stream.serial] == nil else {
                return false
            }
            streams[stream.serial] = stream
            return true
        }
    }

    func remove(_ stream: ServerStream) {
        lock.withLock { if streams[stream.serial] === stream { streams[stream.serial] = nil } }
    }

    func work(_ body: @escaping @Sendable () -> Void) { server?.workers.submit(body) }
}
