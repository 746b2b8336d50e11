// SPDX-License-Identifier: Apache-2.0

internal import Diagnostics
public import HostIO
internal import HostSystem
internal import LibvirtProtocol
public import LibvirtRPC
public import ManagementCore
internal import MachineDriver
internal import ManagementModel

/// One client of the management service: what it opened and which events it wants.
public final class ServiceConnection: ConnectionHandler, @unchecked Sendable {
    /// What is managed.
    public let core: ManagementCore
    private let table: CallTable<ServiceConnection>
    private let connection: ClientConnection
    /// Reads the terminals of streams.
    let streamLoop: EventLoop

    private let lock = Lock()
    // Guarded by `lock`.
    private var isOpened = false
    private var isReadOnlyByChoice = false
    private var subscriptions: [Int32: EventSubscription] = [:]
    private var nextSubscription: Int32 = 0
    private var listener: UInt64?
    private var bound: Set<UniqueID> = []
    private var arriving: Set<UniqueID> = []

    /// A handler for a new connection.
    public init(
        core: ManagementCore, table: CallTable<ServiceConnection>, connection: ClientConnection, streamLoop: EventLoop
    ) {
        self.streamLoop = streamLoop
        self.core = core
        self.table = table
        self.connection = connection
    }

    /// Whether nothing may be changed.
    public var isReadOnly: Bool { connection.isReadOnlySocket || lock.withLock { isReadOnlyByChoice } }

    /// Whether nobody can read along.
    var isSecure: Bool { connection.transport.isSecure }

    /// The client answers pings.
    func enableKeepalive() { connection.enableKeepalive() }

    /// Answers the call, but refuses all before `connectOpen`, and writes if read-only.
    public func received(_ frame: Frame, on connection: ClientConnection) {
        table.dispatch(frame, on: connection, context: self) { facts in
            if !facts.worksUnopened && !lock.withLock({ isOpened }) {
                throw ManagementError(.internalError, "connection not open", from: .rpc)
            }
            if facts.access == .write { try requireChanges(facts.name) }
            try FlagRules.check(frame.header, frame.payload)
        }
    }

    /// Refuses a call to those who may only read.
    func requireChanges(_ function: String) throws {
        guard isReadOnly else { return }
        throw ManagementError(.operationDenied, "read only access prevents \(function)", from: .none)
    }

    /// Ends subscriptions and destroys machines that were started with autodestroy.
    public func closed() {
        let (number, ended, lost) = lock.withLock {
            subscriptions = [:]
            defer {
                listener = nil
                bound = []
                arriving = []
            }
            return (listener, bound, arriving)
        }
        if let number { core.events.remove(number) }
        if !lost.isEmpty {
            core.machines.inBackground { machines in for uuid in lost { machines.abandonMigration(uuid) } }
        }
        guard !ended.isEmpty else { return }
        core.machines.inBackground { machines in
            for uuid in ended {
                do { try machines.destroy(uuid) } catch { Console.shared.info("\(error)") }
            }
        }
    }

    /// A machine ends when the client goes away.
    func endWithConnection(_ uuid: UniqueID) { lock.withLock { _ = bound.insert(uuid) } }

    /// A machine whose memory is awaited is given up when the client goes away.
    func abandonsWithConnection(_ uuid: UniqueID) { lock.withLock { _ = arriving.insert(uuid) } }

    /// It has come.
    func keepsWithoutConnection(_ uuid: UniqueID) { lock.withLock { _ = arriving.remove(uuid) } }

    // MARK: Opening

    /// Addresses that this service answers to.
    private static let schemes = ["qemu", "roost"]

    func open(_ name: String?, flags: UInt32) throws {
        let readOnlyFlag: UInt32 = 1
        if let name, !name.isEmpty {
            guard let scheme = name.split(separator: ":").first?.split(separator: "+").first,
                Self.schemes.contains(String(scheme))
            else { throw ManagementError(.noConnect, "No connection for URI \(name)", from: .none) }
        }
        try lock.withLock {
            guard !isOpened else { throw ManagementError(.internalError, "connection already open", from: .rpc) }
            isOpened = true
            isReadOnlyByChoice = flags & readOnlyFlag != 0
        }
    }

    func close() {
        lock.withLock { isOpened = false }
        closed()
    }

    // MARK: Events

    func subscribe(_ subscription: EventSubscription) -> Int32 {
        let number: Int32 = lock.withLock {
            defer { nextSubscription += 1 }
            subscriptions[nextSubscription] = subscription
            return nextSubscription
        }
        let needsListener = lock.withLock { listener == nil }
        if needsListener {
            let made = core.events.listen { [weak self] event in self?.deliver(event) }
            lock.withLock { listener = made }
        }
        return number
    }

    func unsubscribe(_ number: Int32) throws {
        guard lock.withLock({ subscriptions.removeValue(forKey: number) }) != nil else {
            throw ManagementError(.invalidArg, "domain event callback \(number) not registered", from: .rpc)
        }
    }

    /// The number of the subscription that `matches`, for calls that name the kind of event alone.
    func subscription(where matches: (EventSubscription) -> Bool) -> Int32? {
        lock.withLock { subscriptions.first { matches($0.value) }?.key }
    }

    private func deliver(_ event: ManagementEvent) {
        let wanted = lock.withLock { subscriptions.sorted { $0.key < $1.key } }
        for (number, subscription) in wanted {
            if let frame = subscription.frame(for: event, callback: number) {
                connection.send(frame, isEvent: true)
            }
        }
    }
}
