// SPDX-License-Identifier: Apache-2.0

public import BlockLayer
internal import HostSystem
public import NBDProtocol
public import TransportSecurity

/// The disks of a running machine that NBD clients can use. Everything is called on the loop's thread.
public final class BlockExports: @unchecked Sendable {
    /// What is offered, as monitors show it.
    public struct Report: Equatable, Sendable {
        /// The export's identifier, its name for clients, and the node behind it.
        public var identifier: String, name: String, nodeName: String
    }

    /// What is to be offered.
    public struct Request: Sendable {
        /// The export's identifier, unique among exports.
        public var identifier: String
        /// A drive or a node.
        public var node: String
        /// The name for clients.
        public var name: String
        /// A line for people.
        public var description: String?
        /// Clients may write.
        public var isWritable = false
        /// Clients are told which image of the chain content comes from.
        public var exposesDepth = false
        /// Dirty bitmaps for clients; one without a node is looked for in the whole chain.
        public var bitmaps: [(node: String?, name: String)] = []

        /// A read-only export under its identifier.
        public init(_ identifier: String, node: String) {
            self.identifier = identifier
            self.node = node
            name = identifier
        }
    }

    private struct Entry {
        let report: Report
        /// A client that is served reads from it.
        let node: any BlockNode
    }

    private static let longestName = 4096
    private unowned let devices: BlockDevices
    private var server: NBDServer?
    private var thread: HostThread?
    private var entries: [Entry] = []
    /// Told of exports that are gone.
    public var deleted: (String) -> Void = { _ in }

    init(_ devices: BlockDevices) { self.devices = devices }

    /// All exports, the newest first.
    public var reports: [Report] { entries.reversed().map(\.report) }

    /// The TCP port of the server; nil for a unix socket and without a server.
    public var port: UInt16? { server?.port }

    /// Begins to listen.
    /// - Parameter mostClients: at the same time; 0 for no bound.
    public func start(
        on address: NBDAddress, mostClients: Int, credentials: TLSCredentials?, authorizedName: String?
    ) throws(BlockError) {
        guard server == nil else { throw BlockError(.exists, "NBD server already running") }
        let graph = devices.graph
        let new = try NBDServer(
            NBDExportTable(), on: address, mostClients: mostClients, credentials: credentials,
            authorizedName: authorizedName, report: { graph.warn("NBD server: \($0)") })
        do throws(Errno) {
            thread = try HostThread(name: "nbd-server") { new.run(isPersistent: true) }
        } catch { throw BlockError(system: error, "cannot start a thread for the NBD server") }
        server = new
    }

    /// Ends all exports and listens no more; clients are cut off.
    public func stop() throws(BlockError) {
        guard server != nil else { throw BlockError(.invalidArgument, "NBD server not running") }
        end()
    }

    func end() {
        guard let server else { return }
        server.stop()
        thread?.join()
        thread = nil
        self.server = nil
        for entry in entries { forget(entry.report.identifier) }
    }

    /// Offers a disk.
    public func add(_ request: Request) throws(BlockError) {
        guard JobList.isName(request.identifier) else { throw BlockError(.invalidArgument, "Invalid block export id") }
        guard !entries.contains(where: { $0.report.identifier == request.identifier }) else {
            throw BlockError(.exists, "Block export id '\(request.identifier)' is already in use")
        }
        var node = try devices.node(request.node)
        guard !(request.isWritable && devices.isReadOnlyForGood(node)) else {
            throw BlockError(.readOnly, "Cannot export read-only node as writable")
        }
        guard let server else { throw BlockError(.invalidArgument, "NBD server not running") }
        guard request.name.utf8.count <= Self.longestName else {
            throw BlockError(.invalidArgument, "export name '\(request.name)' too long")
        }
        guard (request.description ?? "").utf8.count <= Self.longestName else {
            throw BlockError(.invalidArgument, "description '\(request.description ?? "")' too long")
        }
        guard server.exports.find(request.name) == nil else {
            throw BlockError(.exists, "NBD server already has export named '\(request.name)'")
        }
        // A machine that waits for its state may have its disks filled this way.
        try devices.activate(node)
        node = try devices.node(request.node)
        let nodeName = devices.name(of: node)
        let shown = devices.roots.first { $0.backend.filtered === node }?.backend
        var export = NBDServedExport(
            node: shown ?? devices.reader(of: node), name: request.name, description: request.description,
            isReadOnly: !request.isWritable, isShared: true)
        export.exposesDepth = request.exposesDepth
        for bitmap in request.bitmaps {
            export.bitmaps.append((bitmap.name, try dirty(bitmap, request, below: node)))
        }
        server.exports.add(export)
        devices.exported[request.identifier] = node
        entries.append(
            Entry(
                report: Report(identifier: request.identifier, name: request.name, nodeName: nodeName), node: node))
    }

    private func dirty(
        _ bitmap: (node: String?, name: String), _ request: Request, below node: any BlockNode
    ) throws(BlockError) -> [Range<Int64>] {
        var owner = node
        if let name = bitmap.node {
            owner = try devices.node(name)
        } else if let found = node.chain.first(where: { devices.find(bitmap: bitmap.name, of: $0) != nil }) {
            owner = found
        }
        guard let place = devices.find(bitmap: bitmap.name, of: owner) else {
            throw BlockError(.notFound, "Bitmap '\(bitmap.name)' is not found")
        }
        try devices.check(place, bitmap.name, of: owner, forChange: false)
        guard !place.isRecording || request.isWritable || owner.isReadOnly else {
            throw BlockError(
                .invalidArgument, "Enabled bitmap '\(bitmap.name)' incompatible with readonly export")
        }
        return try place.ranges(bitmap.name)
    }

    /// Ends an export.
    /// - Parameter isHard: cuts clients off; else it is an error that there are any.
    public func remove(_ identifier: String, isHard: Bool) throws(BlockError) {
        guard let entry = entries.first(where: { $0.report.identifier == identifier }), let server else {
            throw BlockError(.notFound, "Export '\(identifier)' is not found")
        }
        guard isHard || server.userCount(of: entry.report.name) == 0 else {
            throw BlockError(.locked, "export '\(identifier)' still in use")
        }
        server.exports.remove(entry.report.name)
        server.disconnect(from: entry.report.name)
        forget(identifier)
    }

    private func forget(_ identifier: String) {
        entries.removeAll { $0.report.identifier == identifier }
        devices.exported[identifier] = nil
        deleted(identifier)
    }
}
