// SPDX-License-Identifier: Apache-2.0

internal import Glibc
internal import HostIO
internal import HostSystem
internal import LibvirtRPC
internal import ManagementModel

/// A stream between a client and a terminal: both directions, until one side ends.
final class TerminalStream: StreamReceiver, @unchecked Sendable {
    private let terminal: FileDescriptor
    private let loop: EventLoop
    // Of the loop's thread.
    private var watch: EventLoop.Watch?
    // Set before the stream carries anything.
    private var stream: ServerStream?

    private init(_ terminal: consuming FileDescriptor, _ loop: EventLoop) {
        self.terminal = terminal
        self.loop = loop
    }

    /// Opens the stream of a call and begins to read the terminal. A terminal has one reader at a time.
    /// - Parameters:
    ///   - key: what names the terminal.
    ///   - force: whether who reads it now has to stop; else the call fails.
    static func open(
        _ terminal: consuming FileDescriptor, called key: String, force: Bool, for call: IncomingCall,
        on loop: EventLoop
    ) throws {
        let receiver = TerminalStream(terminal, loop)
        try TerminalSessions.shared.take(key, receiver, force: force)
        do { receiver.stream = try call.openStream(receiver) } catch {
            TerminalSessions.shared.leave(receiver)
            throw error
        }
        loop.post { receiver.start() }
    }

    /// Whether the stream carries something, or will.
    var isOpen: Bool { stream?.isActive ?? true }

    /// Ends the stream because another client wants the terminal.
    func giveUp() {
        loop.post { [self] in
            stop()
            stream?.sendEnd()
        }
    }

    private func start() {
        do throws(Errno) {
            try terminal.setNonBlocking(true)
            watch = try loop.watch(terminal.number, .readable) { [self] _ in forward() }
        } catch { stream?.fail(ManagementError(.systemError, "cannot watch the terminal: \(error)", from: .streams)) }
    }

    private static let chunk = 16384

    private func forward() {
        guard let stream, stream.isActive else { return stop() }
        // A client that does not read stops the reading; what the guest writes waits in the terminal.
        if stream.notifyWhenDrained({ [self] in loop.post { [self] in setReading(true) } }) { return setReading(false) }
        var bytes = [UInt8](repeating: 0, count: Self.chunk)
        // The array lives for the call.
        let read: Result<Int, Errno> = unsafe bytes.withUnsafeMutableBytes { buffer in
            do throws(Errno) { return .success(try unsafe terminal.read(into: buffer)) } catch {
                return .failure(error)
            }
        }
        switch read {
        case .success(let count) where count > 0: stream.send(Array(bytes.prefix(count)))
        case .failure(.wouldBlock): break
        default:
            stop()
            stream.sendEnd()
        }
    }

    private func setReading(_ on: Bool) {
        do throws(Errno) { try watch?.setInterest(on ? .readable : []) } catch { stop() }
    }

    private func stop() {
        watch?.cancel()
        watch = nil
        TerminalSessions.shared.leave(self)
    }

    func received(_ bytes: ArraySlice<UInt8>) throws {
        var rest = bytes
        while !rest.isEmpty {
            do throws(Errno) {
                // The slice's bytes live for the call.
                let written: Result<Int, Errno> = unsafe rest.withUnsafeBytes { buffer in
                    do throws(Errno) { return .success(try unsafe terminal.write(buffer)) } catch {
                        return .failure(error)
                    }
                }
                rest = rest.dropFirst(try written.get())
            } catch .wouldBlock {
                var wanted = pollfd(fd: terminal.number, events: Int16(POLLOUT), revents: 0)
                // One entry, on this frame. A guest that reads nothing loses what does not fit, as on a real line.
                if unsafe poll(&wanted, 1, 1000) <= 0 { return }
            } catch { throw ManagementError(.systemError, "cannot write to the terminal: \(error)", from: .streams) }
        }
    }

    func receivedHole(_ count: Int64) throws {
        throw ManagementError(.argumentUnsupported, "a terminal takes no holes", from: .streams)
    }

    func finished() { loop.post { [self] in stop() } }
    func aborted() { loop.post { [self] in stop() } }
}

/// Who reads which terminal.
private final class TerminalSessions: @unchecked Sendable {
    static let shared = TerminalSessions()

    private let lock = Lock()
    // Guarded by `lock`.
    private var readers: [String: TerminalStream] = [:]

    /// - Throws: `operationFailed` when somebody reads it and need not stop.
    func take(_ key: String, _ reader: TerminalStream, force: Bool) throws {
        let old: TerminalStream? = try lock.withLock {
            let old = readers[key].flatMap { $0.isOpen ? $0 : nil }
            guard old == nil || force else {
                throw ManagementError(.operationFailed, "Active console session exists for this domain")
            }
            readers[key] = reader
            return old
        }
        old?.giveUp()
    }

    func leave(_ reader: TerminalStream) {
        lock.withLock { readers = readers.filter { $0.value !== reader } }
    }
}
