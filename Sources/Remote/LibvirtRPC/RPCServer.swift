// SPDX-License-Identifier: Apache-2.0

internal import Diagnostics
internal import Glibc
internal import HostIO
public import HostSystem
internal import LocalSockets

/// Accepts clients and spreads them over a few event loops; calls that wait run on worker threads.
public final class RPCServer: @unchecked Sendable {
    /// Bounds of the server.
    public struct Limits: Sendable {
        /// Clients at a time; more are turned away.
        public var clients = 5000
        /// Of each client.
        public var connection = ClientConnection.Limits()
        /// Nanoseconds of silence after which a client that answers pings is sent one.
        public var keepaliveInterval: UInt64 = 5_000_000_000
        /// Unanswered pings after which it is dropped.
        public var keepaliveCount = 5
        /// Threads that serve sockets.
        public var loops = 2
        /// Threads for calls that wait.
        public var workers = 16
        /// Bytes of large messages that have come in part and of answers that wait to be read, of all clients together.
        public var memory = 256 << 20
        /// Descriptors that were passed and that no call has taken yet, of all clients together.
        public var descriptors = 1024
        /// Clients of one user other than root and the service's own, so that nobody keeps all others out.
        public var clientsPerUser: Int { max(1, clients / 2) }
        /// The bounds of a service that no configuration file changes.
        public init() {}
    }

    private let limits: Limits
    private let makeHandler: @Sendable (ClientConnection) -> any ConnectionHandler
    let workers: WorkerPool
    private let loops: [EventLoop]
    private var threads: [HostThread] = []
    private let lock = Lock()
    // Guarded by `lock`.
    private var connections: [UInt64: ClientConnection] = [:]
    private var nextNumber: UInt64 = 1
    private var keepaliveTimers: [LoopTimer] = []
    private var clientsOfUsers: [UInt32: Int] = [:]
    /// Bytes that clients hold.
    package let memory: SharedBudget
    /// Descriptors that clients hold.
    package let descriptors: SharedBudget
    /// Given up for a moment to turn a client away when there is no other descriptor left; of the accepting loop alone.
    private var spare: FileDescriptor?

    /// - Parameter makeHandler: makes what a new connection's calls go to; called on the connection's loop thread.
    public init(
        limits: Limits = Limits(), makeHandler: @escaping @Sendable (ClientConnection) -> any ConnectionHandler
    ) throws(Errno) {
        self.limits = limits
        self.makeHandler = makeHandler
        memory = SharedBudget(limit: limits.memory)
        descriptors = SharedBudget(limit: limits.descriptors)
        spare = try FileDescriptor.open("/dev/null")
        workers = try WorkerPool(name: "rpc-worker", count: limits.workers)
        var made: [EventLoop] = []
        for _ in 0..<max(1, limits.loops) { made.append(try EventLoop()) }
        loops = made
    }

    /// Starts the loops' threads.
    public func start() throws(Errno) {
        for loop in loops {
            let timer = keepaliveTimer(on: loop)
            keepaliveTimers.append(timer)
            timer.arm(at: monotonicNanoseconds() &+ limits.keepaliveInterval)
            threads.append(try HostThread(name: "rpc-loop") { loop.run() })
        }
    }

    private func keepaliveTimer(on loop: EventLoop) -> LoopTimer {
        var timer: LoopTimer?
        let made = loop.makeTimer { [weak self] in
            guard let self else { return }
            let now = monotonicNanoseconds()
            for connection in lock.withLock({ connections.values.filter { $0.loop === loop } }) {
                connection.checkAlive(now: now, interval: limits.keepaliveInterval, limit: limits.keepaliveCount)
            }
            timer?.arm(at: now &+ limits.keepaliveInterval)
        }
        timer = made
        return made
    }

    /// Accepts clients on a listening socket, which becomes the server's.
    public func listen(on listener: consuming FileDescriptor, readOnly: Bool) {
        let number = listener.release()
        let loop = loops[0]
        loop.post { [self] in
            do throws(Errno) {
                _ = try loop.watch(number, .readable) { [self] _ in acceptAll(number, readOnly: readOnly) }
            } catch { Console.shared.error("cannot accept clients: \(error)") }
        }
    }

    /// Connections accepted for one readiness, so that other clients of the loop are served in between.
    private static let acceptBatch = 64

    private func acceptAll(_ listener: Int32, readOnly: Bool) {
        for _ in 0..<Self.acceptBatch {
            do throws(Errno) {
                guard let socket = try LocalSocket.accept(listener) else { return }
                serve(LocalTransport(socket), readOnly: readOnly)
            } catch {
                Console.shared.warning("cannot accept a client: \(error)")
                guard [EMFILE, ENFILE].contains(error.code) else { return }
                turnAway(listener)
            }
        }
    }

    /// Without a descriptor for it a client would wait, and the listener would be ready, for ever.
    private func turnAway(_ listener: Int32) {
        spare = nil
        do throws(Errno) {
            _ = try LocalSocket.accept(listener)
            spare = try FileDescriptor.open("/dev/null")
        } catch { Console.shared.warning("cannot turn a client away: \(error)") }
    }

    /// Serves a client over any transport; turns it away when there are too many.
    public func serve(_ transport: any Transport, readOnly: Bool) {
        let user = Self.countedUser(transport)
        let connection: ClientConnection? = lock.withLock {
            guard connections.count < limits.clients else { return nil }
            if let user {
                guard clientsOfUsers[user, default: 0] < limits.clientsPerUser else { return nil }
                clientsOfUsers[user, default: 0] += 1
            }
            let number = nextNumber
            nextNumber += 1
            let connection = ClientConnection(
                number: number, transport: transport, isReadOnlySocket: readOnly,
                loop: loops[Int(number % UInt64(loops.count))], limits: limits.connection, server: self)
            connections[number] = connection
            return connection
        }
        guard let connection else {
            Console.shared.warning(
                "a client is turned away: \(limits.clients) are connected already, or \(limits.clientsPerUser) of its user"
            )
            return
        }
        let make = makeHandler
        connection.loop.post { connection.start(make(connection)) }
    }

    /// The user whose clients are counted; nil for those who may take all places.
    private static func countedUser(_ transport: any Transport) -> UInt32? {
        guard let user = transport.peer?.user, user != 0, user != getuid() else { return nil }
        return user
    }

    func forget(_ connection: ClientConnection) {
        let user = Self.countedUser(connection.transport)
        lock.withLock {
            guard connections.removeValue(forKey: connection.number) != nil, let user else { return }
            let left = clientsOfUsers[user, default: 1] - 1
            clientsOfUsers[user] = left > 0 ? left : nil
        }
    }

    /// How many clients are connected.
    public var clientCount: Int { lock.withLock { connections.count } }
}
