// SPDX-License-Identifier: Apache-2.0

internal import CharacterStreams
internal import ControlProtocol
internal import Diagnostics
internal import Glibc
internal import HostSystem
internal import JSONCoding
public import VNCServer

extension QMPCommandTable {
    private static let password: [QMPParameter] = [
        QMPParameter("protocol", .string, words: ["vnc", "spice"]),
        QMPParameter("display", .string, optional: true),
    ]

    static let screenServerCommands = [
        QMPCommandDefinition("query-vnc") { context, _ in ScreenServerAnswers.first(context.machine) },
        QMPCommandDefinition("query-vnc-servers") { context, _ in
            .array(ScreenServerAnswers.servers(context.machine).map(ScreenServerAnswers.description))
        },
        QMPCommandDefinition("query-display-options") { _, _ in ["type": "none"] },
        QMPCommandDefinition(
            "set_password",
            password + [
                QMPParameter("password", .string),
                QMPParameter("connected", .string, optional: true, words: ["keep", "fail", "disconnect"]),
            ]
        ) { (context, arguments) throws(QMPError) in
            let server = try ScreenServerAnswers.server(context.machine, arguments)
            if let connected = arguments["connected"]?.string, connected != "keep" {
                throw QMPError("Invalid parameter 'connected'")
            }
            try ScreenServerAnswers.setPassword(arguments.string("password"), of: server)
            return [:]
        },
        QMPCommandDefinition("change-vnc-password", [QMPParameter("password", .string)]) {
            (context, arguments) throws(QMPError) in
            let server = try ScreenServerAnswers.server(context.machine, named: nil)
            try ScreenServerAnswers.setPassword(arguments.string("password"), of: server)
            return [:]
        },
        QMPCommandDefinition("expire_password", password + [QMPParameter("time", .string)]) {
            (context, arguments) throws(QMPError) in
            let server = try ScreenServerAnswers.server(context.machine, arguments)
            try ScreenServerAnswers.setExpiry(arguments.string("time"), of: server)
            return [:]
        },
        QMPCommandDefinition(
            "add_client",
            [
                QMPParameter("protocol", .string), QMPParameter("fdname", .string),
                QMPParameter("skipauth", .boolean, optional: true), QMPParameter("tls", .boolean, optional: true),
            ]
        ) { (context, arguments) throws(QMPError) in
            guard arguments.string("protocol") == "vnc" else {
                throw QMPError("protocol '\(arguments.string("protocol"))' is invalid")
            }
            let name = arguments.string("fdname")
            guard let number = context.server.takeDescriptor(named: name) else {
                throw QMPError("File descriptor named '\(name)' has not been found")
            }
            let socket = FileDescriptor(owning: number)
            let server = try ScreenServerAnswers.server(context.machine, named: nil)
            server.add(socket, skipsProof: arguments.bool("skipauth") ?? false)
            return [:]
        },
        QMPCommandDefinition(
            "display-reload",
            [QMPParameter("type", .string, words: ["vnc"]), QMPParameter("tls-certs", .boolean, optional: true)]
        ) { (context, arguments) throws(QMPError) in
            guard arguments.bool("tls-certs") == true else { return [:] }
            let server = try ScreenServerAnswers.server(context.machine, named: nil)
            do throws(UserError) {
                try (context.machine as? any ScreenServing)?.reloadCertificates(of: server)
            } catch { throw QMPError(error.description) }
            return [:]
        },
        QMPCommandDefinition(
            "display-update",
            [QMPParameter("type", .string, words: ["vnc"]), QMPParameter("addresses", .array, optional: true)]
        ) { (context, arguments) throws(QMPError) in
            guard let list = arguments["addresses"]?.array else { return [:] }
            let server = try ScreenServerAnswers.server(context.machine, named: nil)
            var addresses: [StreamAddress] = []
            for value in list { addresses.append(try ScreenServerAnswers.address(value)) }
            do throws(UserError) { try server.move(to: addresses) } catch { throw QMPError(error.description) }
            return [:]
        },
    ]
}

/// VNC servers in QMP's and the human monitor's words.
enum ScreenServerAnswers {
    static func servers(_ machine: any ControlledMachine) -> [VNCServer] {
        (machine as? any ScreenServing)?.screenServers ?? []
    }

    static func server(_ machine: any ControlledMachine, named name: String?) throws(QMPError) -> VNCServer {
        let all = servers(machine)
        guard let found = name == nil ? all.first : all.first(where: { $0.settings.identifier == name }) else {
            throw QMPError(name == nil ? "VNC is not active" : "Could not find VNC display '\(name ?? "")'")
        }
        return found
    }

    static func server(_ machine: any ControlledMachine, _ arguments: QMPArguments) throws(QMPError) -> VNCServer {
        guard arguments.string("protocol") == "vnc" else {
            throw QMPError("SPICE is not in use", class: .deviceNotActive)
        }
        return try server(machine, named: arguments["display"]?.string)
    }

    static func setPassword(_ password: String, of server: VNCServer) throws(QMPError) {
        guard server.needsPassword else { throw QMPError("Could not set password") }
        server.setPassword(password.isEmpty ? nil : Array(password.utf8))
    }

    /// "now", "never", "+SECONDS" or seconds since 1970.
    static func setExpiry(_ text: String, of server: VNCServer) throws(QMPError) {
        switch text {
        case "now": server.setExpiry(0)
        case "never": server.setExpiry(nil)
        default:
            guard let number = Int64(text) else { throw QMPError("Parameter 'time' doesn't take value '\(text)'") }
            server.setExpiry(text.hasPrefix("+") ? Int64(time(nil)) &+ number : number)
        }
    }

    /// An address as QMP writes it.
    static func address(_ value: JSONValue) throws(QMPError) -> StreamAddress {
        guard let object = value.object, let type = object["type"]?.string else {
            throw QMPError("Parameter 'type' is missing")
        }
        switch type {
        case "inet":
            guard let host = object["host"]?.string, let port = object["port"]?.string.flatMap({ UInt16($0) }) else {
                throw QMPError("Parameter 'port' expects a port's number")
            }
            return .tcp(
                host: host, port: port, ipv4: object["ipv4"]?.bool ?? true, ipv6: object["ipv6"]?.bool ?? true)
        case "unix":
            guard let path = object["path"]?.string else { throw QMPError("Parameter 'path' is missing") }
            return .unix(path: path, isAbstract: object["abstract"]?.bool ?? false)
        default: throw QMPError("Parameter 'type' does not accept value '\(type)'")
        }
    }

    // MARK: reports

    static func object(_ endpoint: VNCEndpoint) -> JSONObject {
        [
            "host": .string(endpoint.host), "service": .string(endpoint.service), "family": .string(endpoint.family),
            "websocket": .bool(endpoint.isWebSocket),
        ]
    }

    private static func object(_ client: VNCClientInfo) -> JSONObject {
        var report = object(client.peer)
        if let name = client.certificateName { report["x509_dname"] = .string(name) }
        return report
    }

    static func description(_ server: VNCServer) -> JSONValue {
        var report: JSONObject = [
            "id": .string(server.settings.identifier), "auth": .string(server.proofName),
            "server": .array(
                server.endpoints.map { endpoint in
                    var place = object(endpoint)
                    place["auth"] = .string(server.proofName)
                    if let name = server.encryptionName { place["vencrypt"] = .string(name) }
                    return .object(place)
                }),
            "clients": .array(server.clientInfos.map { .object(object($0)) }),
        ]
        if let name = server.encryptionName { report["vencrypt"] = .string(name) }
        return .object(report)
    }

    /// What `query-vnc` says: the first server.
    static func first(_ machine: any ControlledMachine) -> JSONValue {
        guard let server = servers(machine).first else { return ["enabled": false] }
        let auth = server.encryptionName.map { "vencrypt+" + $0.map { $0 == "-" ? "+" : String($0) }.joined() }
        var report: JSONObject = [
            "enabled": true, "auth": .string(auth ?? server.proofName),
            "clients": .array(server.clientInfos.map { .object(object($0)) }),
        ]
        if let place = server.endpoints.first {
            report["host"] = .string(place.host)
            report["service"] = .string(place.service)
            report["family"] = .string(place.family)
        }
        return .object(report)
    }

    /// An event's name and data.
    static func event(_ event: VNCEvent, of server: VNCServer) -> (name: String, data: JSONObject) {
        let name: String
        let info: VNCClientInfo
        switch event {
        case .connected(let client): (name, info) = ("VNC_CONNECTED", client)
        case .initialized(let client): (name, info) = ("VNC_INITIALIZED", client)
        case .disconnected(let client): (name, info) = ("VNC_DISCONNECTED", client)
        }
        var own = object(info.server)
        own["auth"] = .string(server.proofName)
        return (name, ["server": .object(own), "client": .object(object(info))])
    }
}

extension ControlServer {
    /// Tells QMP's clients of a server's.
    public func emit(_ event: VNCEvent, of server: VNCServer) {
        let (name, data) = ScreenServerAnswers.event(event, of: server)
        emit(name, data: data)
    }
}

extension HumanCommandTable {
    /// Passwords of VNC servers.
    static let screenServers = [
        HumanCommand("set_password", "protocol password [-d display] [action-if-connected]", "set spice/vnc password") {
            (call) throws(HumanFailure) in
            guard let kind = try call.word(), let password = try call.word(), kind == "vnc" else {
                throw .usage("set_password: protocol and password expected")
            }
            try call.screen { (server) throws(QMPError) in
                try ScreenServerAnswers.setPassword(password, of: server)
            }
        },
        HumanCommand("expire_password", "protocol time [-d display]", "set spice/vnc password expire-time") {
            (call) throws(HumanFailure) in
            guard let kind = try call.word(), let time = try call.word(), kind == "vnc" else {
                throw .usage("expire_password: protocol and time expected")
            }
            try call.screen { (server) throws(QMPError) in try ScreenServerAnswers.setExpiry(time, of: server) }
        },
    ]

    /// `info vnc`.
    static func describe(_ servers: [VNCServer]) -> String {
        guard !servers.isEmpty else { return "None\n" }
        var text = ""
        for server in servers {
            text += "\(server.settings.identifier):\n"
            for place in server.endpoints {
                let web = place.isWebSocket ? " (Websocket)" : ""
                text += "  Server: \(place.host):\(place.service) (\(place.family))\(web)\n"
                text += "    Auth: \(server.proofName) (Sub: \(server.encryptionName ?? "none"))\n"
            }
            text += "  Auth: \(server.proofName) (Sub: \(server.encryptionName ?? "none"))\n"
            for client in server.clientInfos {
                text += "  Client: \(client.peer.host):\(client.peer.service) (\(client.peer.family))\n"
                text += "    x509_dname: \(client.certificateName ?? "none")\n    sasl_username: none\n"
            }
        }
        return text
    }
}

extension HumanCall {
    /// Does something with the server that `-d` names, or the first.
    mutating func screen(_ body: (VNCServer) throws(QMPError) -> Void) throws(HumanFailure) {
        var name: String?
        if try word() == "-d" { name = try word() }
        do throws(QMPError) { try body(try ScreenServerAnswers.server(machine, named: name)) } catch {
            throw .failed(error.description)
        }
    }
}
