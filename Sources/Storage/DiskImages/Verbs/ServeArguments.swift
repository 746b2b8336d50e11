// SPDX-License-Identifier: Apache-2.0

internal import BlockLayer
internal import NBDProtocol

/// What `serve` is asked for, in qemu-nbd's words.
struct ServeArguments {
    var flags = OpenFlags.writable
    var format: String?
    var isOptions = false
    var isSnapshot = false
    var snapshot: String?
    var extra = BlockOptions()
    var offset: Int64 = 0
    var host = "0.0.0.0"
    var port: String?
    var socket: String?
    var name = ""
    var description: String?
    var mostClients = 1
    var isPersistent = false
    var exposesDepth = false
    var bitmaps: [String] = []
    var lists = false
    var credentials: String?
    var authorization: String?
    var tlsHostname: String?
    var forks = false
    var isVerbose = false
    var pidFile: String?

    static let defaultPort = "10809"

    /// Where to listen, or for a list where to connect to.
    var address: NBDAddress {
        if let socket { return .unix(path: socket) }
        return .tcp(host: lists && host == "0.0.0.0" ? "localhost" : host, port: port ?? Self.defaultPort)
    }

    static let options: [OptionParser.Option] = [
        .init("h", "help"), .init("V", "version"), .init("p", "port", value: true), .init("b", "bind", value: true),
        .init("k", "socket", value: true), .init("e", "shared", value: true), .init("t", "persistent"),
        .init("v", "verbose"), .init("x", "export-name", value: true), .init("D", "description", value: true),
        .init("o", "offset", value: true), .init("A", "allocation-depth"), .init("B", "bitmap", value: true),
        .init("L", "list"), .init(nil, "object", value: true), .init(nil, "tls-creds", value: true),
        .init(nil, "tls-authz", value: true), .init(nil, "tls-hostname", value: true), .init("T", "trace", value: true),
        .init(nil, "fork"), .init(nil, "pid-file", value: true), .init(nil, "selinux-label", value: true),
        .init("c", "connect", value: true), .init("d", "disconnect"), .init("f", "format", value: true),
        .init("r", "read-only"), .init("s", "snapshot"), .init("l", "load-snapshot", value: true),
        .init("n", "nocache"), .init(nil, "cache", value: true), .init(nil, "aio", value: true),
        .init(nil, "discard", value: true), .init(nil, "detect-zeroes", value: true), .init(nil, "image-opts"),
    ]
}

extension ImageTool {
    /// Takes one option of `serve`.
    func take(_ key: String, _ value: String, _ result: inout ServeArguments) throws {
        switch key {
        case "help": throw Exit(status: serveHelp(), lines: [])
        case "version": throw Exit(status: version(), lines: [])
        case "port":
            guard let number = Int(value), number > 0, number <= 65535 else { throw fail("Invalid port '\(value)'") }
            result.port = value
        case "bind": result.host = value
        case "socket":
            guard value.hasPrefix("/") else { throw fail("socket path must be absolute") }
            result.socket = value
        case "shared":
            guard let number = Int(value), number >= 0 else { throw fail("Invalid shared device number '\(value)'") }
            result.mostClients = number
        case "persistent": result.isPersistent = true
        case "verbose": result.isVerbose = true
        case "export-name": result.name = try short(value, "export name '\(value)'")
        case "description": result.description = try short(value, "export description '\(value)'")
        case "allocation-depth": result.exposesDepth = true
        case "bitmap": result.bitmaps.append(value)
        case "list": result.lists = true
        case "object": try addSecret(value)
        case "tls-creds": result.credentials = value
        case "tls-authz": result.authorization = value
        case "tls-hostname": result.tlsHostname = value
        case "trace": warning("this program has no trace points for '\(value)'")
        case "fork": result.forks = true
        case "pid-file": result.pidFile = value
        case "selinux-label": throw fail("SELinux labels are not supported; leave --selinux-label out")
        case "connect", "disconnect":
            throw fail("the kernel's NBD devices are not driven from here; use nbd-client for that")
        default: try takeImage(key, value, &result)
        }
    }

    private func short(_ text: String, _ what: String) throws -> String {
        guard text.utf8.count <= 4096 else { throw fail("\(what) too long") }
        return text
    }

    private func takeImage(_ key: String, _ value: String, _ result: inout ServeArguments) throws {
        switch key {
        case "offset":
            guard let number = Int64(value) else { throw fail("Invalid offset '\(value)'") }
            guard number >= 0 else { throw fail("Offset must be positive '\(value)'") }
            result.offset = number
        case "format": result.format = value
        case "read-only": result.flags.isWritable = false
        case "snapshot": result.isSnapshot = true
        case "load-snapshot":
            result.snapshot = value
            result.flags.isWritable = false
        case "nocache": result.flags.cache = .none
        case "cache":
            if value == "off" { return result.flags.cache = .none }
            guard let mode = CacheMode(rawValue: value) else { throw fail("Invalid cache mode `\(value)'") }
            result.flags.cache = mode
        case "aio":
            guard ["threads", "native", "io_uring"].contains(value) else { throw fail("invalid aio mode `\(value)'") }
            result.extra["file.aio"] = .string(value)
        case "discard":
            switch value {
            case "ignore", "off": result.flags.unmaps = false
            case "unmap", "on": result.flags.unmaps = true
            default: throw fail("Invalid discard mode `\(value)'")
            }
        case "detect-zeroes":
            guard value == "off" else { throw fail("--detect-zeroes=\(value) is not supported; leave it off") }
        default: result.isOptions = true
        }
    }
}
