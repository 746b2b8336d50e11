// SPDX-License-Identifier: Apache-2.0

public import BlockLayer
internal import ByteCoding
internal import HostSystem

/// The client of the NBD protocol: `nbd://HOST/EXPORT`, `nbd+unix:///EXPORT?socket=PATH`, `nbd:HOST:PORT`.
public struct NBDDriver: ProtocolDriver, CreatingDriver {
    /// "nbd".
    public let name = "nbd"
    /// The driver.
    public init() {}

    /// "nbd", "nbd+tcp" and "nbd+unix".
    public var schemes: [String] { ["nbd", "nbd+tcp", "nbd+unix"] }

    /// A URL or one of the old forms.
    public func parse(filename: String) throws(BlockError) -> BlockOptions {
        filename.contains("://") ? try Self.parse(url: filename) : try Self.parse(old: filename)
    }

    private static func parse(url: String) throws(BlockError) -> BlockOptions {
        let invalid = BlockError(.invalidArgument, "No valid URL specified")
        let parts = url.split(separator: ":", maxSplits: 1)
        guard parts.count == 2, parts[1].hasPrefix("//") else { throw invalid }
        var rest = parts[1].dropFirst(2)
        var query: [(String, String)] = []
        if let mark = rest.firstIndex(of: "?") {
            for pair in rest[rest.index(after: mark)...].split(separator: "&") {
                let sides = pair.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
                query.append((unescape(sides[0]), sides.count > 1 ? unescape(sides[1]) : ""))
            }
            rest = rest[..<mark]
        }
        let slash = rest.firstIndex(of: "/") ?? rest.endIndex
        let server = rest[..<slash]
        let path = unescape(rest[slash...].dropFirst())
        var options = BlockOptions()
        if !path.isEmpty { options["export"] = .string(path) }
        if parts[0] == "nbd+unix" {
            guard server.isEmpty, query.count == 1, query[0].0 == "socket" else { throw invalid }
            options["path"] = .string(query[0].1)
            return options
        }
        guard query.isEmpty, !server.isEmpty else { throw invalid }
        let (host, port) = split(String(server))
        options["host"] = .string(host)
        options["port"] = .string(port ?? NBDWire.defaultPort)
        return options
    }

    private static func split(_ server: String) -> (host: String, port: String?) {
        if server.hasPrefix("["), let end = server.firstIndex(of: "]") {
            let host = String(server[server.index(after: server.startIndex)..<end])
            let rest = server[server.index(after: end)...]
            return (host, rest.hasPrefix(":") ? String(rest.dropFirst()) : nil)
        }
        guard let colon = server.lastIndex(of: ":") else { return (server, nil) }
        return (String(server[..<colon]), String(server[server.index(after: colon)...]))
    }

    private static func unescape(_ text: Substring) -> String {
        var bytes: [UInt8] = []
        var rest = Array(text.utf8)[...]
        while let byte = rest.popFirst() {
            if byte == UInt8(ascii: "%"), rest.count >= 2,
                let value = UInt8(String(decoding: rest.prefix(2), as: UTF8.self), radix: 16)
            {
                bytes.append(value)
                rest = rest.dropFirst(2)
            } else {
                bytes.append(byte)
            }
        }
        return String(decoding: bytes, as: UTF8.self)
    }

    private static func parse(old filename: String) throws(BlockError) -> BlockOptions {
        var body = filename.hasPrefix("nbd:") ? String(filename.dropFirst("nbd:".count)) : filename
        var options = BlockOptions()
        let mark = ":exportname="
        for index in body.indices where body[index...].hasPrefix(mark) {
            options["export"] = .string(String(body[index...].dropFirst(mark.count)))
            body = String(body[..<index])
            break
        }
        if body.isEmpty { throw BlockError(.invalidArgument, "No valid URL specified") }
        if body.hasPrefix("unix:") {
            options["path"] = .string(String(body.dropFirst("unix:".count)))
            return options
        }
        let (host, port) = split(body)
        guard let port else {
            throw BlockError(.invalidArgument, "error parsing address '\(body)'")
        }
        options["host"] = .string(host)
        options["port"] = .string(port)
        return options
    }

    /// Connects. Options: `host` and `port`, or `path`, or `server.*`; `export`, `x-dirty-bitmap`.
    public func open(_ request: inout OpenRequest) throws(BlockError) -> any BlockNode {
        let (address, options) = try Self.address(&request.options)
        let export = request.options.take("export") ?? ""
        let bitmap = request.options.take("x-dirty-bitmap")
        if request.options["tls-creds"] != nil {
            throw BlockError(.notSupported, "NBD over TLS is not supported; use a tunnel or a UNIX socket")
        }
        for key in ["reconnect-delay", "open-timeout"] { _ = try request.options.takeNumber(key) }
        guard export.utf8.count <= NBDWire.longestName else {
            throw BlockError(.invalidArgument, "export name too long to send to server")
        }
        var location = Self.location(address, export, options)
        if let bitmap { location.options["x-dirty-bitmap"] = .string(bitmap) }
        let connection = try NBDConnection(to: address, export: export, context: bitmap ?? "base:allocation")
        if let bitmap, connection.export.context == nil {
            connection.disconnect()
            throw BlockError(.invalidArgument, "requested x-dirty-bitmap \(bitmap) not found")
        }
        return try NBDNode(connection, location: location, isWritable: request.flags.isWritable)
    }

    /// Takes the address from the options of any form.
    private static func address(
        _ options: inout BlockOptions
    ) throws(BlockError) -> (NBDAddress, BlockOptions) {
        var server = options.takeSubtree("server")
        if server.isEmpty {
            if let path = options.take("path") {
                if options["host"] != nil {
                    throw BlockError(.invalidArgument, "path and host may not be used at the same time")
                }
                server = BlockOptions([("type", .string("unix")), ("path", .string(path))])
            } else if let host = options.take("host") {
                server = BlockOptions([("type", .string("inet")), ("host", .string(host))])
                server["port"] = .string(options.take("port") ?? NBDWire.defaultPort)
            } else {
                throw BlockError(.invalidArgument, "NBD server address missing")
            }
        }
        let given = server
        let type = server.take("type") ?? (server["path"] == nil ? "inet" : "unix")
        if type == "unix", let path = server.string("path") { return (.unix(path: path), given) }
        guard type == "inet", let host = server.string("host"), let port = server.string("port") else {
            throw BlockError(.invalidArgument, "Parameter 'server.type' does not accept value '\(type)'")
        }
        return (.tcp(host: host, port: port), given)
    }

    private static func location(_ address: NBDAddress, _ export: String, _ server: BlockOptions) -> NodeLocation {
        var options = BlockOptions([("driver", .string("nbd"))])
        options.add(server, under: "server")
        if !export.isEmpty { options["export"] = .string(export) }
        let name =
            switch address {
            case .unix(let path):
                export.isEmpty ? "nbd+unix://?socket=\(path)" : "nbd+unix:///\(export)?socket=\(path)"
            case .tcp(let host, let port):
                export.isEmpty ? "nbd://\(host):\(port)" : "nbd://\(host):\(port)/\(export)"
            }
        return NodeLocation(filename: name, options: options)
    }

    /// Only the size can be told; an export has the size that it has.
    public var createOptions: [CreateOption] { [CreateOption("size", .size, "Virtual disk size")] }
    /// None.
    public var supportsBacking: Bool { false }

    /// Nothing is made: the export must be there and be large enough. What an earlier image left at its beginning goes.
    public func create(_ request: CreateRequest) throws(BlockError) {
        var options = try parse(filename: request.filename)
        options["driver"] = .string(name)
        let node = try request.graph.open(nil, options: options, flags: .writable)
        let size = request.options.number("size") ?? 0
        guard node.length >= size else {
            try node.close()
            throw BlockError(.notSupported, "Cannot grow device files", errno: .invalidArgument)
        }
        try node.writeZeroes(at: 0, count: min(node.length, 512), flags: [])
        try node.close()
    }
}
