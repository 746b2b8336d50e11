// SPDX-License-Identifier: Apache-2.0

public import BlockLayer
internal import HostSystem
public import TransportSecurity

/// Whoever knows the credentials that `tls-creds=` names.
public protocol TLSCredentialProvider: Sendable {
    /// The credentials made as `--object tls-creds-...,id=identifier`.
    func credentials(_ identifier: String) throws(BlockError) -> TLSCredentials
}

/// The `nbd` protocol, as a client.
public struct NBDDriver: ProtocolDriver, CreatingDriver {
    /// "nbd".
    public let name = "nbd"
    private let credentials: (any TLSCredentialProvider)?
    /// The driver.
    /// - Parameter credentials: knows what `tls-creds=` names; nil where nothing can be named.
    public init(credentials: (any TLSCredentialProvider)? = nil) { self.credentials = credentials }

    /// "nbd", "nbd+tcp", "nbd+unix".
    public var schemes: [String] { ["nbd", "nbd+tcp", "nbd+unix"] }

    /// `nbd:HOST:PORT`, `nbd:unix:PATH`, each with `:exportname=NAME`, or a URL.
    public func parse(filename: String) throws(BlockError) -> BlockOptions {
        var options = try NBDLocation(filename: filename).options
        options["driver"] = nil
        return options
    }

    /// Connects: `server.*` (or `path`, `host`, `port`) and `export`.
    public func open(_ request: inout OpenRequest) throws(BlockError) -> any BlockNode {
        let place = try NBDLocation(taking: &request.options)
        let security = try security(&request.options, place)
        let context = request.options.take("x-dirty-bitmap") ?? NBD.allocationContext
        if let seconds = try request.options.takeNumber("reconnect-delay"), seconds != 0 {
            throw BlockError(.notSupported, "reconnect-delay=\(seconds) is not supported; leave it out")
        }
        let patience = try request.options.takeNumber("open-timeout") ?? 0
        let connection = try Self.connect(place.address, seconds: patience)
        do throws(BlockError) {
            var negotiation = NBDNegotiation(connection, name: place.export, context: context, security: security)
            let export = try negotiation.run()
            if context != NBD.allocationContext, export.contextNumber == nil {
                throw BlockError(.invalidArgument, "requested x-dirty-bitmap \(context) not found")
            }
            if request.flags.isWritable, export.can(NBD.ExportFlag.readOnly) {
                throw BlockError(.readOnly, "request on denied for read-only export", errno: .accessDenied)
            }
            return NBDNode(
                client: NBDClient(connection: connection, export: export), place: place, context: context,
                isReadOnly: !request.flags.isWritable)
        } catch {
            connection.disconnect()
            throw error
        }
    }

    private func security(
        _ options: inout BlockOptions, _ place: NBDLocation
    ) throws(BlockError) -> NBDNegotiation.Security? {
        let name = options.take("tls-hostname")
        guard let identifier = options.take("tls-creds") else {
            if name != nil { throw BlockError(.invalidArgument, "tls-hostname requires tls-creds") }
            return nil
        }
        guard let credentials else { throw BlockError(.notFound, "No TLS credentials with id '\(identifier)'") }
        let found = try credentials.credentials(identifier)
        guard found.role == .client else {
            throw BlockError(.invalidArgument, "Expecting TLS credentials with a client endpoint")
        }
        return NBDNegotiation.Security(credentials: found, hostname: name ?? place.hostname)
    }

    /// Connects, and while nobody listens tries again for so many seconds.
    private static func connect(_ address: NBDAddress, seconds: Int64) throws(BlockError) -> NBDConnection {
        let end = monotonicNanoseconds() &+ UInt64(clamping: min(max(seconds, 0), longestPatience)) &* 1_000_000_000
        let pause = Lock()
        while true {
            do {
                return try NBDConnection.connect(address)
            } catch {
                let now = monotonicNanoseconds()
                guard now < end else { throw error }
                pause.withLock { _ = pause.wait(until: min(end, now &+ 100_000_000)) }
            }
        }
    }

    private static let longestPatience: Int64 = 86400

    /// An export is there or not; `create` takes one that is large enough.
    public var createOptions: [CreateOption] {
        [
            CreateOption("size", .size, "Virtual disk size"),
            CreateOption("preallocation", .text, "Preallocation mode (allowed values: off)"),
        ]
    }
    /// None.
    public var supportsBacking: Bool { false }

    /// Checks that the export is there, can be written, and has room; an older image's header goes.
    public func create(_ request: CreateRequest) throws(BlockError) {
        let node: any BlockNode
        do throws(BlockError) {
            var options = try parse(filename: request.filename)
            options["driver"] = .string(name)
            node = try request.graph.open(nil, options: options, flags: .writable)
        } catch {
            throw error.prefixed(FileDriver.cannotCreate(name))
        }
        let size = request.options.number("size") ?? 0
        guard node.length >= size else {
            try node.close()
            throw BlockError(.notSupported, "Cannot grow device files", errno: .invalidArgument)
        }
        try node.writeZeroes(at: 0, count: min(node.length, 512), flags: [])
        try node.close()
    }
}
