// SPDX-License-Identifier: Apache-2.0

internal import CommandLineKit
internal import Diagnostics

/// Reads -chardev, and the short forms behind -serial, -monitor, -qmp, -gdb and -debugcon.
enum CharacterReader {
    static let backends = [
        "null", "stdio", "file", "pipe", "pty", "serial", "socket", "udp", "ringbuf",
    ]
    static let ringBufferDefault: UInt64 = 65536
    /// Back ends of QEMU that need what Roost does not have.
    private static let unavailable: [String: String] = [
        "vc": "there is no graphical console", "msmouse": "there is no mouse", "braille": "there is no Braille display",
        "spicevmc": "SPICE is not available", "spiceport": "SPICE is not available",
        "parallel": "there is no parallel port", "parport": "there is no parallel port",
        "qemu-vdagent": "there is no display", "wctablet": "there is no tablet",
    ]

    /// One -chardev.
    static func read(_ options: OptionList) throws(UserError) -> CharacterDeviceSpec {
        var list = options
        let kind = list.take("backend") ?? ""
        guard let identifier = list.take("id") else {
            throw UserError("chardev: no id specified", remedy: "add id=NAME")
        }
        _ = try OptionValue.identifier(identifier)
        var spec = CharacterDeviceSpec(identifier: identifier, backend: try backend(kind, &list))
        spec.isMultiplexed = try list.takeBool("mux") ?? false
        spec.logFile = list.take("logfile")
        spec.logAppends = try list.takeBool("logappend") ?? false
        try list.finish()
        return spec
    }

    private static func backend(
        _ kind: String, _ list: inout OptionList
    ) throws(UserError) -> CharacterBackendSpec {
        switch kind {
        case "null": return .null
        case "stdio": return .stdio(signals: try list.takeBool("signal") ?? true)
        case "file":
            return .file(
                path: try path(&list, "file"), input: list.take("input-path"),
                appends: try list.takeBool("append") ?? false)
        case "pipe": return .pipe(path: try path(&list, "pipe"))
        case "pty": return .pty(path: list.take("path"))
        case "serial", "tty": return .terminal(path: try path(&list, "serial"))
        case "socket": return .socket(try socket(&list))
        case "udp": return try udp(&list)
        case "ringbuf", "memory":
            let bytes = try list.takeSize("size") ?? ringBufferDefault
            guard bytes > 0, bytes & (bytes - 1) == 0, bytes <= 1 << 30 else {
                throw UserError("size of ringbuf chardev must be power of two", because: "not \(bytes)")
            }
            return .ringBuffer(bytes: Int(bytes))
        default:
            if let reason = unavailable[kind] {
                throw UserError("char driver '\(kind)' is not available", because: reason)
            }
            throw UserError(
                "'\(kind)' is not a valid char driver name", remedy: Suggestion.sentence(for: kind, among: backends))
        }
    }

    private static func path(_ list: inout OptionList, _ kind: String) throws(UserError) -> String {
        guard let path = list.take("path"), !path.isEmpty else {
            throw UserError("chardev: \(kind): no filename given", remedy: "add path=FILE")
        }
        return path
    }

    private static func socket(_ list: inout OptionList) throws(UserError) -> CharacterSocketSpec {
        let path = list.take("path")
        let port = list.take("port")
        let host = list.take("host")
        let descriptor = list.take("fd")
        let isAbstract = try list.takeBool("abstract") ?? false
        let ipv4 = try list.takeBool("ipv4")
        let ipv6 = try list.takeBool("ipv6")
        guard [path, port, descriptor].compactMap({ $0 }).count == 1 else {
            throw UserError("chardev: socket: needs exactly one of path, port and fd")
        }
        var address = CharacterSocketSpec.Address.descriptor(descriptor ?? "")
        if let path {
            try checkUnixPath(path)
            address = .unix(path: path, isAbstract: isAbstract)
        } else if let port {
            address = .tcp(
                host: host ?? "localhost", port: try NetworkReader.port(port, allowsZero: list.peek("server") == "on"),
                ipv4: ipv4 ?? (ipv6 != true), ipv6: ipv6 ?? (ipv4 != true))
        }
        var socket = CharacterSocketSpec(address: address)
        try socketModes(&socket, &list)
        try list.refuse("websocket", except: ["off"], because: "web sockets are not available on a chardev")
        try list.refuse("tls-creds", except: [""], because: "TLS is not available on a chardev")
        try list.refuse("tight", except: ["on"], because: "abstract names have no trailing zeroes")
        try list.refuse("to", except: [], because: "give one port")
        return socket
    }

    static func checkUnixPath(_ path: String) throws(UserError) {
        let longest = 107
        guard path.utf8.count <= longest else {
            throw UserError("UNIX socket path '\(path)' is too long", because: "Path must be less than 108 bytes")
        }
    }

    private static func socketModes(_ socket: inout CharacterSocketSpec, _ list: inout OptionList) throws(UserError) {
        socket.isServer = try list.takeBool("server") ?? false
        let waits = try list.takeBool("wait")
        socket.isTelnet = try list.takeBool("telnet") ?? false
        if let noDelay = try list.takeBool("nodelay") { socket.noDelay = noDelay }
        if let delay = try list.takeBool("delay") { socket.noDelay = !delay }
        socket.reconnectSeconds = try list.takeInteger("reconnect", in: 0...86400) ?? 0
        if waits != nil && !socket.isServer {
            throw UserError("'wait' option is incompatible with socket in client connect mode")
        }
        if socket.isServer && socket.reconnectSeconds > 0 {
            throw UserError("'reconnect' option is incompatible with socket in server listen mode")
        }
        socket.waits = socket.isServer && waits ?? true
    }

    private static func udp(_ list: inout OptionList) throws(UserError) -> CharacterBackendSpec {
        guard let port = list.take("port") else { throw UserError("chardev: udp: remote port not specified") }
        let local = list.take("localport")
        let localHost = list.take("localaddr")
        let host = list.take("host").flatMap { $0.isEmpty ? nil : $0 } ?? "localhost"
        var localPort: UInt16?
        if let local { localPort = try NetworkReader.port(local, allowsZero: true) }
        return .udp(
            host: host, port: try NetworkReader.port(port),
            localHost: localHost.flatMap { $0.isEmpty ? nil : $0 }, localPort: localPort)
    }

    // MARK: Short forms

    /// What a short form means.
    struct Short {
        var spec: CharacterDeviceSpec
        /// `mon:` stood in front: a monitor shares the stream.
        var sharesMonitor: Bool
    }

    /// Reads "stdio", "mon:stdio", "unix:path,server=on" and so on; nil for "none".
    /// - Parameter label: the identifier that the device gets.
    static func readShort(_ text: String, label: String) throws(UserError) -> Short? {
        if text == "none" { return nil }
        var rest = text
        let sharesMonitor = rest.hasPrefix("mon:")
        if sharesMonitor { rest = String(rest.dropFirst("mon:".utf8.count)) }
        var spec = CharacterDeviceSpec(identifier: label, backend: try shortBackend(rest, sharesMonitor))
        spec.isMultiplexed = sharesMonitor
        return Short(spec: spec, sharesMonitor: sharesMonitor)
    }

    private static func shortBackend(_ text: String, _ sharesMonitor: Bool) throws(UserError) -> CharacterBackendSpec {
        let kind = text.prefix { $0 != ":" && $0 != "," }
        let tail = text.dropFirst(kind.utf8.count)
        let body = tail.hasPrefix(":") ? String(tail.dropFirst()) : ""
        switch kind {
        case "null" where tail.isEmpty: return .null
        // A monitor on the terminal means that Ctrl-C is for the guest.
        case "stdio" where tail.isEmpty: return .stdio(signals: !sharesMonitor)
        case "pty" where tail.isEmpty: return .pty(path: nil)
        case "ringbuf" where tail.isEmpty: return .ringBuffer(bytes: Int(ringBufferDefault))
        case "file" where !body.isEmpty: return .file(path: body, input: nil, appends: false)
        case "pipe" where !body.isEmpty: return .pipe(path: body)
        case "unix" where !body.isEmpty: return try shortSocket(body, isUnix: true, isTelnet: false)
        case "tcp" where !body.isEmpty: return try shortSocket(body, isUnix: false, isTelnet: false)
        case "telnet" where !body.isEmpty: return try shortSocket(body, isUnix: false, isTelnet: true)
        case "udp" where !body.isEmpty: return try shortUDP(body)
        case _ where text.hasPrefix("/dev/"): return .terminal(path: text)
        default:
            if let reason = unavailable[String(kind)] {
                throw UserError("char driver '\(kind)' is not available", because: reason)
            }
            throw UserError(
                "'\(text)' is not a valid char driver",
                remedy: Suggestion.nearest(
                    to: String(kind),
                    among: [
                        "stdio", "mon:stdio", "null", "none", "file", "pipe", "pty", "unix", "tcp",
                        "telnet", "udp", "ringbuf", "chardev",
                    ]
                ).map { "did you mean '\($0)'?" } ?? "see -help for the devices")
        }
    }

    private static func shortSocket(
        _ body: String, isUnix: Bool, isTelnet: Bool
    ) throws(UserError) -> CharacterBackendSpec {
        var list = try OptionList(parsing: body, implied: "address")
        let text = list.take("address") ?? ""
        var address = CharacterSocketSpec.Address.unix(path: text, isAbstract: false)
        if isUnix {
            try checkUnixPath(text)
        } else {
            let (host, port) = try NetworkReader.hostAndPort(text)
            address = .tcp(host: host.isEmpty ? "localhost" : host, port: port, ipv4: true, ipv6: true)
        }
        var socket = CharacterSocketSpec(address: address)
        socket.isTelnet = isTelnet
        // Short forms of a server wait only when told so by `wait`, as long ones do.
        let isTelnetGiven = list.contains("telnet")
        try socketModes(&socket, &list)
        if !isTelnetGiven { socket.isTelnet = isTelnet }
        try list.finish()
        return .socket(socket)
    }

    /// `[host]:port[@[localhost]:localport]`.
    private static func shortUDP(_ body: String) throws(UserError) -> CharacterBackendSpec {
        let sides = body.split(separator: "@", maxSplits: 1, omittingEmptySubsequences: false).map(String.init)
        let (host, port) = try NetworkReader.hostAndPort(sides[0])
        var local: (host: String, port: UInt16)?
        if sides.count == 2 { local = try NetworkReader.hostAndPort(sides[1], allowsZero: true) }
        return .udp(
            host: host.isEmpty ? "localhost" : host, port: port,
            localHost: local.flatMap { $0.host.isEmpty ? nil : $0.host }, localPort: local?.port)
    }
}
