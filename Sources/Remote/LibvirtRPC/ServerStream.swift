// SPDX-License-Identifier: Apache-2.0

internal import HostSystem
internal import LibvirtProtocol
internal import ManagementModel
internal import XDRCoding

/// What a stream's packets from the client go to. Calls come one at a time, on a worker thread.
public protocol StreamReceiver: AnyObject, Sendable {
    /// Data arrived.
    func received(_ bytes: ArraySlice<UInt8>) throws
    /// `count` zero bytes that were not sent.
    func receivedHole(_ count: Int64) throws
    /// The client is done; an error is reported to it instead of success.
    func finished() throws
    /// The client gave up, or is gone. Also called after an error of this end.
    func aborted()
}

/// What a producer has next.
public enum StreamItem: Sendable {
    case data([UInt8])
    case hole(Int64)
    /// Nothing follows.
    case end
}

/// A stream that a call opened: data in both directions beside the calls, under the call's number.
///
///     open ──finish of the client──▶ closed        open ──abort, error, connection lost──▶ closed
public final class ServerStream: @unchecked Sendable {
    let serial: UInt32
    private let program: UInt32
    private let procedure: Int32
    private let connection: ClientConnection
    private let lock = Lock()
    // Guarded by `lock`.
    private var receiver: (any StreamReceiver)?
    private var arrived: [Frame] = []
    private var isBusy = false
    private var isOpen = true
    private var wasAborted = false

    init(call header: FrameHeader, connection: ClientConnection, receiver: any StreamReceiver) {
        serial = header.serial
        program = header.program
        procedure = header.procedure
        self.connection = connection
        self.receiver = receiver
    }

    // MARK: From the client

    func received(_ frame: Frame) {
        // Packets count as calls: a client that sends faster than they are taken is not read from.
        connection.beginCall()
        let starts = lock.withLock {
            arrived.append(frame)
            defer { isBusy = true }
            return !isBusy
        }
        if starts { connection.work { [self] in drain() } }
    }

    private func drain() {
        while true {
            let frame: Frame? = lock.withLock {
                if arrived.isEmpty {
                    isBusy = false
                    return nil
                }
                return arrived.removeFirst()
            }
            guard let frame else { break }
            take(frame)
            connection.endCall()
        }
        if lock.withLock({ wasAborted }) { close()?.aborted() }
    }

    private func take(_ frame: Frame) {
        guard let receiver = lock.withLock({ isOpen ? self.receiver : nil }) else { return }
        do {
            var payload = frame.payload
            switch FrameStatus(rawValue: frame.header.status) {
            case .more where frame.header.type == FrameType.streamHole.rawValue:
                let length = try Int64(from: &payload)
                guard length >= 0 else { throw ManagementError(.rpc, "a hole of \(length) bytes", from: .streams) }
                try receiver.receivedHole(length)
            case .more: try receiver.received(payload.rest())
            case .ok:
                try receiver.finished()
                _ = close()
                reply(.ok)
            default:
                close()?.aborted()
                reply(.ok)
            }
        } catch { fail(error) }
    }

    func connectionClosed() {
        let isIdle = lock.withLock {
            wasAborted = true
            defer { isBusy = true }
            return !isBusy
        }
        if isIdle { connection.work { [self] in drain() } }
    }

    private func close() -> (any StreamReceiver)? {
        connection.remove(self)
        return lock.withLock {
            isOpen = false
            defer { receiver = nil }
            return receiver
        }
    }

    // MARK: To the client

    /// Whether packets still go out.
    public var isActive: Bool { lock.withLock { isOpen } }

    private func reply(_ status: FrameStatus, type: FrameType = .stream, _ body: (inout XDRWriter) -> Void = { _ in }) {
        let header = FrameHeader(program: program, procedure: procedure, type: type, serial: serial, status: status)
        connection.send(header.frame(body))
    }

    /// Sends data in packets of a size that every client takes.
    public func send(_ bytes: [UInt8]) {
        guard isActive else { return }
        var start = 0
        while start < bytes.count {
            let end = min(bytes.count, start + FrameHeader.streamChunk)
            reply(.more) { $0.raw(bytes[start..<end]) }
            start = end
        }
    }

    /// Sends a hole.
    public func sendHole(_ count: Int64) {
        guard isActive else { return }
        reply(.more, type: .streamHole) {
            count.encode(to: &$0)
            UInt32(0).encode(to: &$0)
        }
    }

    /// Nothing follows; the client finishes the stream.
    public func sendEnd() {
        guard isActive else { return }
        reply(.more)
    }

    /// Ends the stream with an error.
    public func fail(_ error: any Error) {
        guard let receiver = close() else { return }
        receiver.aborted()
        let told = error as? ManagementError ?? ManagementError(.internalError, "\(error)", from: .streams)
        reply(.error) { WireError(told).encode(to: &$0) }
    }

    /// Sends what `next` gives until it gives `.end`, no faster than the client reads. `next` runs on worker threads,
    /// one call at a time.
    public func produce(_ next: @escaping @Sendable () throws -> StreamItem) {
        connection.work { [self] in pump(next) }
    }

    private func pump(_ next: @escaping @Sendable () throws -> StreamItem) {
        do {
            while isActive {
                if connection.isCongested, connection.notifyWhenDrained({ [self] in produce(next) }) { return }
                switch try next() {
                case .data(let bytes): send(bytes)
                case .hole(let count): sendHole(count)
                case .end: return sendEnd()
                }
            }
        } catch { fail(error) }
    }

    /// Runs `body` when the client has read what was sent; false when it has already.
    public func notifyWhenDrained(_ body: @escaping @Sendable () -> Void) -> Bool {
        connection.isCongested && connection.notifyWhenDrained(body)
    }
}
