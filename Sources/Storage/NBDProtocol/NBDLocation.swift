// SPDX-License-Identifier: Apache-2.0

internal import BlockLayer

/// A server and one of its exports, in the spellings of file names and options.
struct NBDLocation: Equatable {
    var address: NBDAddress
    var export: String

    /// As a URL.
    var text: String {
        let path = export.isEmpty ? "" : "/\(export)"
        switch address {
        case .unix(let socket): return "nbd+unix://\(path)?socket=\(socket)"
        case .tcp(let host, let port):
            return "nbd://\(host.contains(":") ? "[\(host)]" : host):\(port)\(path)"
        }
    }

    /// The host's name, for an address that has one.
    var hostname: String? {
        if case .tcp(let host, _) = address { host } else { nil }
    }

    /// The options that say the same.
    var options: BlockOptions {
        var options = BlockOptions([("driver", .string("nbd"))])
        switch address {
        case .unix(let path):
            options["server.type"] = .string("unix")
            options["server.path"] = .string(path)
        case .tcp(let host, let port):
            options["server.type"] = .string("inet")
            options["server.host"] = .string(host)
            options["server.port"] = .string(port)
        }
        if !export.isEmpty { options["export"] = .string(export) }
        return options
    }

    /// From a file name: `nbd:unix:PATH[:exportname=X]`, `nbd:HOST:PORT[:exportname=X]`, or a URL.
    init(filename: String) throws(BlockError) {
        if filename.contains("://") {
            self = try Self.url(filename)
        } else {
            self = try Self.legacy(filename)
        }
    }

    private init(_ address: NBDAddress, _ export: String) {
        self.address = address
        self.export = export
    }

    private static func legacy(_ filename: String) throws(BlockError) -> NBDLocation {
        guard filename.hasPrefix("nbd:") else {
            throw BlockError(.invalidArgument, "File name string for NBD must start with 'nbd:'")
        }
        var body = String(filename.dropFirst(4))
        var export = ""
        let mark = ":exportname="
        if let range = body.firstRange(of: mark) {
            export = String(body[range.upperBound...])
            guard !export.isEmpty else { throw BlockError(.invalidArgument, "exportname is missing its name") }
            body = String(body[..<range.lowerBound])
        }
        if body.hasPrefix("unix:") {
            return NBDLocation(.unix(path: String(body.dropFirst(5))), export)
        }
        guard let colon = body.lastIndex(of: ":") else {
            throw BlockError(
                .invalidArgument, body.isEmpty ? "NBD server address missing" : "error parsing address '\(body)'")
        }
        let host = String(body[..<colon])
        return NBDLocation(.tcp(host: bare(host), port: String(body[body.index(after: colon)...])), export)
    }

    private static func bare(_ host: String) -> String {
        host.hasPrefix("[") && host.hasSuffix("]") ? String(host.dropFirst().dropLast()) : host
    }

    private static func url(_ text: String) throws(BlockError) -> NBDLocation {
        func bad() -> BlockError { BlockError(.invalidArgument, "No valid URL specified") }
        guard let range = text.firstRange(of: "://") else { throw bad() }
        let scheme = text[..<range.lowerBound]
        var rest = text[range.upperBound...]
        var socket: String?
        if let mark = rest.firstIndex(of: "?") {
            let query = rest[rest.index(after: mark)...]
            for pair in query.split(separator: "&") where pair.hasPrefix("socket=") {
                socket = decode(pair.dropFirst("socket=".count))
            }
            rest = rest[..<mark]
        }
        let slash = rest.firstIndex(of: "/") ?? rest.endIndex
        let authority = rest[..<slash]
        let export = slash < rest.endIndex ? decode(rest[rest.index(after: slash)...]) : ""
        if scheme == "nbd+unix" {
            guard let socket, authority.isEmpty else { throw bad() }
            return NBDLocation(.unix(path: socket), export)
        }
        guard scheme == "nbd" || scheme == "nbd+tcp", socket == nil, !authority.isEmpty else { throw bad() }
        let afterBracket = authority.lastIndex(of: "]") ?? authority.startIndex
        guard let colon = authority[afterBracket...].lastIndex(of: ":") else {
            return NBDLocation(.tcp(host: bare(decode(authority)), port: String(NBD.port)), export)
        }
        let port = authority[authority.index(after: colon)...]
        return NBDLocation(
            .tcp(host: bare(decode(authority[..<colon])), port: port.isEmpty ? String(NBD.port) : String(port)), export)
    }

    private static func decode(_ text: Substring) -> String {
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

    /// From options: `server.type` and so on, or the older `path`, `host` and `port`.
    init(taking options: inout BlockOptions) throws(BlockError) {
        var server = options.takeSubtree("server")
        for name in ["path", "host", "port"] where options[name] != nil {
            server[name] = options[name]
            options[name] = nil
        }
        export = options.take("export") ?? ""
        let type = server.take("type")
        let path = server.take("path")
        let host = server.take("host")
        let port = server.take("port")
        for key in server.keys where ["to", "ipv4", "ipv6", "numeric", "keep-alive", "mptcp"].contains(key) {
            throw BlockError(.notSupported, "Block protocol 'nbd' does not support the option 'server.\(key)' here")
        }
        if let unknown = server.keys.first {
            throw BlockError(.invalidArgument, "Parameter 'server.\(unknown)' is unexpected")
        }
        if path != nil, host != nil {
            throw BlockError(.invalidArgument, "path and host may not be used at the same time")
        }
        if let path, type == nil || type == "unix" {
            address = .unix(path: path)
        } else if let host, type == nil || type == "inet" {
            address = .tcp(host: host, port: port ?? String(NBD.port))
        } else if type == "unix" || type == "inet" {
            let missing = type == "unix" ? "path" : host == nil ? "host" : "port"
            throw BlockError(.invalidArgument, "Parameter '\(missing)' is missing")
        } else if type != nil {
            throw BlockError(.notSupported, "NBD servers of type '\(type ?? "")' are not supported")
        } else {
            throw BlockError(.invalidArgument, "NBD server address missing")
        }
        guard export.utf8.count <= NBD.longestName else {
            throw BlockError(.invalidArgument, "export name too long to send to server")
        }
    }
}
