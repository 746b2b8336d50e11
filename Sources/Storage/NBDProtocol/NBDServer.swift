// SPDX-License-Identifier: Apache-2.0

public import BlockLayer
internal import CLinux
internal import Glibc
public import HostSystem
public import TransportSecurity

/// What a server offers.
public struct NBDServedExport: Sendable {
    /// The disk.
    public let node: any BlockNode
    /// The name that clients ask for; the empty name is the default export.
    public var name: String
    /// A line for people.
    public var description: String?
    /// Refuse writes although the node takes them.
    public var isReadOnly: Bool
    /// Several clients may have it at the same time.
    public var isShared: Bool
    /// Tell clients which image of a chain the content comes from.
    public var exposesDepth = false
    /// Dirty bitmaps that clients may ask for, with their sorted dirty ranges.
    public var bitmaps: [(name: String, dirty: [Range<Int64>])] = []
    /// What encrypted connections are made with; clients in clear are refused. nil for connections in clear.
    public var credentials: TLSCredentials?
    /// The distinguished name that a client's certificate must have; nil for any.
    public var authorizedName: String?

    /// All parts.
    public init(
        node: any BlockNode, name: String = "", description: String? = nil, isReadOnly: Bool = false,
        isShared: Bool = false
    ) {
        self.node = node
        self.name = name
        self.description = description
        self.isReadOnly = isReadOnly
        self.isShared = isShared
    }

    var length: Int64 { node.length }
    var contexts: [NBDContext] {
        [.allocation] + (exposesDepth ? [.depth] : []) + bitmaps.map { .bitmap(name: $0.name, dirty: $0.dirty) }
    }
    var refusesWrites: Bool { isReadOnly || node.isReadOnly }

    var flags: UInt16 {
        var flags = NBD.ExportFlag.hasFlags | NBD.ExportFlag.flush | NBD.ExportFlag.cache
        if refusesWrites {
            flags |= NBD.ExportFlag.readOnly
        } else {
            flags |=
                NBD.ExportFlag.forceUnitAccess | NBD.ExportFlag.trim | NBD.ExportFlag.writeZeroes
                | NBD.ExportFlag.fastZero
        }
        if isShared || refusesWrites { flags |= NBD.ExportFlag.severalConnections }
        return flags
    }
}

/// How the connections of a server are encrypted.
struct NBDSecurity: Sendable {
    /// Clients in clear are refused; nil for connections in clear.
    var credentials: TLSCredentials?
    /// The distinguished name that a client's certificate must have; nil for any.
    var authorizedName: String?
}

/// What a server offers at a time; exports come and go while it serves.
public final class NBDExportTable: @unchecked Sendable {
    private let lock = Lock()
    // Guarded by `lock`.
    private var exports: [NBDServedExport]

    /// A table of these exports.
    public init(_ exports: [NBDServedExport] = []) { self.exports = exports }

    /// All exports, in the order in which they came.
    public var all: [NBDServedExport] { lock.withLock { exports } }

    /// The one that a client means.
    public func find(_ name: String) -> NBDServedExport? { lock.withLock { exports.first { $0.name == name } } }

    /// Offers one more, whose name nobody has.
    public func add(_ export: NBDServedExport) { lock.withLock { exports.append(export) } }

    /// Offers it to nobody any more; who uses it goes on.
    public func remove(_ name: String) { lock.withLock { exports.removeAll { $0.name == name } } }
}

/// Serves exports to clients, each on a thread of its own.
///
/// `lock` guards the list of clients and the counts.
public final class NBDServer: @unchecked Sendable {
    /// What is offered.
    public let exports: NBDExportTable
    private let security: NBDSecurity
    private let listener: FileDescriptor
    private let socketPath: String?
    private let mostClients: Int
    private let report: @Sendable (String) -> Void
    private let lock = Lock()
    private var clients: [ObjectIdentifier: NBDConnection] = [:]
    private var used: [ObjectIdentifier: String] = [:]
    private var isStopped = false
    private var served = 0

    /// The TCP port that is listened on; nil for a unix socket.
    public var port: UInt16? { NBDConnection.port(of: listener.number) }

    /// Begins to listen.
    /// - Parameters:
    ///   - mostClients: at the same time; 0 for no bound.
    ///   - report: told why a client was turned away; called from any thread.
    public init(
        _ export: NBDServedExport, on address: NBDAddress, mostClients: Int = 1,
        report: @escaping @Sendable (String) -> Void = { _ in }
    ) throws(BlockError) {
        exports = NBDExportTable([export])
        security = NBDSecurity(credentials: export.credentials, authorizedName: export.authorizedName)
        self.report = report
        self.mostClients = mostClients
        if case .unix(let path) = address { socketPath = path } else { socketPath = nil }
        listener = try NBDConnection.listen(address)
    }

    /// Begins to listen for a table of exports; the encryption is the same for all.
    public init(
        _ exports: NBDExportTable, on address: NBDAddress, mostClients: Int = 0, credentials: TLSCredentials? = nil,
        authorizedName: String? = nil, report: @escaping @Sendable (String) -> Void = { _ in }
    ) throws(BlockError) {
        self.exports = exports
        security = NBDSecurity(credentials: credentials, authorizedName: authorizedName)
        self.report = report
        self.mostClients = mostClients
        if case .unix(let path) = address { socketPath = path } else { socketPath = nil }
        listener = try NBDConnection.listen(address)
    }

    /// Serves on a socket that another process made and listens on.
    public init(
        _ export: NBDServedExport, inherited descriptor: consuming FileDescriptor, mostClients: Int = 1,
        report: @escaping @Sendable (String) -> Void = { _ in }
    ) {
        exports = NBDExportTable([export])
        security = NBDSecurity(credentials: export.credentials, authorizedName: export.authorizedName)
        self.report = report
        self.mostClients = mostClients
        socketPath = nil
        listener = descriptor
    }

    /// Takes clients until `stop`, or until the last one has gone unless `isPersistent`. Returns when no client is left.
    public func run(isPersistent: Bool) {
        while !lock.withLock({ isStopped }) {
            waitForRoom()
            guard isReady() else { continue }
            let number = Glibc.accept(listener.number, nil, nil)
            guard number >= 0 else { continue }
            _ = roost_fcntl(number, F_SETFD, Int(FD_CLOEXEC))
            serve(NBDConnection(FileDescriptor(owning: number)), isPersistent: isPersistent)
        }
        lock.withLock {
            while !clients.isEmpty { lock.wait() }
        }
        if let socketPath { _ = unsafe unlink(socketPath) }
    }

    /// Ends `run`; clients are cut off. May be called from any thread.
    public func stop() {
        lock.withLock {
            isStopped = true
            for client in clients.values { client.disconnect() }
            lock.broadcast()
        }
    }

    /// How many clients use an export. Callable on any thread.
    public func userCount(of name: String) -> Int { lock.withLock { used.values.count { $0 == name } } }

    /// Cuts off who uses an export, and waits until nobody does. Callable on any thread but a client's.
    public func disconnect(from name: String) {
        lock.withLock {
            for (key, chosen) in used where chosen == name { clients[key]?.disconnect() }
            while used.values.contains(name) { lock.wait() }
        }
    }

    private func waitForRoom() {
        guard mostClients > 0 else { return }
        lock.withLock {
            while clients.count >= mostClients, !isStopped { lock.wait() }
        }
    }

    /// Waits a little for a client, so that `stop` is noticed.
    private func isReady() -> Bool {
        var entry = pollfd(fd: listener.number, events: Int16(POLLIN), revents: 0)
        // One entry on this frame.
        return unsafe poll(&entry, 1, Self.patience) > 0
    }

    private static let patience: Int32 = 100

    private func serve(_ connection: NBDConnection, isPersistent: Bool) {
        let key = ObjectIdentifier(connection)
        lock.withLock { clients[key] = connection }
        let exports = exports, security = security
        let report = report
        let end: @Sendable (Bool) -> Void = { [self] wasServed in
            lock.withLock {
                clients[key] = nil
                used[key] = nil
                if wasServed { served += 1 }
                // A client that only listed the exports does not count.
                if !isPersistent, clients.isEmpty, served > 0 { isStopped = true }
                lock.broadcast()
            }
        }
        do {
            _ = try HostThread(name: "nbd-client") {
                let session = NBDSession(connection, exports, security, report)
                session.chose = { [self] name in lock.withLock { used[key] = name } }
                end(session.run())
                connection.shutdown()
            }
        } catch {
            // No thread to be had: this client is turned away.
            connection.disconnect()
            end(false)
        }
    }
}
