// SPDX-License-Identifier: Apache-2.0

public import ControlProtocol
internal import Diagnostics
internal import Glibc
public import HostIO
public import HostSystem
public import JSONCoding
internal import LocalSockets

/// A machine's monitor: commands are sent and waited for, events are told.
///
/// The connection is read on the event loop's thread. Commands may be sent on any other thread.
public final class MonitorClient: @unchecked Sendable {
    /// Why a command was not answered.
    public enum Failure: Error, CustomStringConvertible {
        /// The machine refused it.
        case refused(QMPError)
        /// The machine is gone.
        case closed
        /// There was no answer in time.
        case timeout(String)

        /// The monitor's own words, or a sentence that names the command.
        public var description: String {
            switch self {
            case .refused(let error): error.text
            case .closed: "the monitor was closed"
            case .timeout(let command): "the machine did not answer '\(command)' in time"
            }
        }
    }

    private struct Reply {
        var result: Result<JSONValue, QMPError>?
    }

    private let socket: FileDescriptor
    private let loop: EventLoop
    private let lock = Lock()
    // Guarded by `lock`.
    private var pending: [Int64: Reply] = [:]
    private var nextIdentifier: Int64 = 1
    private var isClosed = false
    private var isGreeted = false
    // Of the loop's thread.
    private var watch: EventLoop.Watch?
    private var parser = JSONStreamParser()
    private let onEvent: @Sendable (QMPEvent) -> Void
    private let onClose: @Sendable () -> Void

    /// Nanoseconds to wait for an answer.
    public static let patience: UInt64 = 30_000_000_000
    /// The same for commands that write all of a guest's memory before they answer.
    static let longPatience: UInt64 = 3600_000_000_000

    /// Connects to a monitor and begins to read. `onEvent` and `onClose` are called on the loop's thread.
    public init(
        path: String, loop: EventLoop, onEvent: @escaping @Sendable (QMPEvent) -> Void,
        onClose: @escaping @Sendable () -> Void
    ) throws(Errno) {
        socket = try LocalSocket.connect(path: path)
        try socket.setNonBlocking(true)
        self.loop = loop
        self.onEvent = onEvent
        self.onClose = onClose
    }

    /// Starts reading and leaves the negotiation mode.
    public func start() throws {
        loop.post { [self] in
            do throws(Errno) {
                watch = try loop.watch(socket.number, .readable) { [self] _ in read() }
            } catch {
                Console.shared.error("cannot watch a monitor: \(error)")
                close()
            }
        }
        try waitForGreeting()
        _ = try execute("qmp_capabilities")
    }

    private func waitForGreeting() throws {
        let deadline = monotonicNanoseconds() &+ Self.patience
        try lock.withLock {
            while !isGreeted {
                if isClosed { throw Failure.closed }
                guard lock.wait(until: deadline) else { throw Failure.timeout("greeting") }
            }
        }
    }

    /// Sends a command and waits for its answer. Not to be called on the loop's thread.
    @discardableResult
    public func execute(
        _ name: String, _ arguments: JSONObject = [:], patience: UInt64 = patience
    ) throws -> JSONValue {
        try send(QMPCommand(name: name, arguments: arguments), patience: patience)
    }

    /// Gives the machine a descriptor, which commands then name.
    public func pass(_ descriptor: Int32, named name: String) throws {
        _ = try send(QMPCommand(name: "getfd", arguments: ["fdname": .string(name)]), passing: descriptor)
    }

    private func send(
        _ command: QMPCommand, passing descriptor: Int32 = -1, patience: UInt64 = patience
    ) throws -> JSONValue {
        let identifier: Int64 = try lock.withLock {
            if isClosed { throw Failure.closed }
            defer { nextIdentifier += 1 }
            pending[nextIdentifier] = Reply()
            return nextIdentifier
        }
        var command = command
        command.identifier = .integer(identifier)
        try write(Array((command.json.printed() + "\r\n").utf8), passing: descriptor)
        let deadline = monotonicNanoseconds() &+ patience
        return try lock.withLock {
            defer { pending[identifier] = nil }
            while true {
                if let result = pending[identifier]?.result {
                    switch result {
                    case .success(let value): return value
                    case .failure(let error): throw Failure.refused(error)
                    }
                }
                if isClosed { throw Failure.closed }
                guard lock.wait(until: deadline) else { throw Failure.timeout(command.name) }
            }
        }
    }

    /// Serializes writers; commands are short, so a full socket is waited for.
    private let writing = Lock()

    private func write(_ bytes: [UInt8], passing descriptor: Int32) throws {
        try writing.withLock {
            var done = 0
            while done < bytes.count {
                do throws(Errno) {
                    done += try LocalSocket.send(
                        socket.number, bytes, from: done, passing: done == 0 ? descriptor : -1)
                } catch .wouldBlock {
                    var wanted = pollfd(fd: socket.number, events: Int16(POLLOUT), revents: 0)
                    // One entry, on this frame.
                    _ = unsafe poll(&wanted, 1, 1000)
                } catch { throw Failure.closed }
            }
        }
    }

    private func read() {
        var bytes: [UInt8] = []
        var descriptors: [Int32] = []
        do throws(Errno) {
            let count = try LocalSocket.receive(socket.number, limit: 65536, into: &bytes, descriptors: &descriptors)
            guard count > 0 else { return close() }
        } catch .wouldBlock { return } catch { return close() }
        for number in descriptors { _ = FileDescriptor(owning: number) }
        for message in parser.feed(bytes) {
            switch message {
            case .success(let value): handle(value)
            case .failure(let error): Console.shared.warning("a monitor sent what is no JSON: \(error)")
            }
        }
    }

    private func handle(_ message: JSONValue) {
        if let name = message["event"]?.string {
            let time = message["timestamp"]
            let seconds = time?["seconds"]?.integer ?? 0
            let micros = time?["microseconds"]?.integer ?? 0
            onEvent(QMPEvent(name, data: message["data"]?.object, microseconds: seconds &* 1_000_000 &+ micros))
            return
        }
        lock.withLock {
            if message["QMP"] != nil {
                isGreeted = true
            } else if let identifier = message["id"]?.integer, pending[identifier] != nil {
                if let error = message["error"] {
                    let kind = error["class"]?.string.flatMap(QMPError.Class.init(rawValue:)) ?? .generic
                    pending[identifier]?.result = .failure(QMPError(error["desc"]?.string ?? "", class: kind))
                } else {
                    pending[identifier]?.result = .success(message["return"] ?? .null)
                }
            }
            lock.broadcast()
        }
    }

    private func close() {
        watch?.cancel()
        watch = nil
        let isFirst = lock.withLock {
            defer {
                isClosed = true
                lock.broadcast()
            }
            return !isClosed
        }
        if isFirst { onClose() }
    }

    /// Ends the connection without telling `onClose`.
    public func disconnect() {
        lock.withLock {
            isClosed = true
            lock.broadcast()
        }
        loop.post { [self] in
            watch?.cancel()
            watch = nil
        }
    }
}
