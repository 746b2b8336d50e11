// SPDX-License-Identifier: Apache-2.0

internal import BlockJobs
internal import BlockLayer
internal import ControlProtocol
internal import Diagnostics
internal import JSONCoding
internal import NBDProtocol
internal import TransportSecurity

extension QMPCommandTable {
    private static let mostClients: Int64 = 100

    private static let removal = QMPParameter("mode", .string, optional: true, words: ["safe", "hard"])

    /// Disks for NBD clients.
    static let exportCommands = [
        QMPCommandDefinition(
            "nbd-server-start",
            [
                QMPParameter("addr", .object), QMPParameter("tls-creds", .string, optional: true),
                QMPParameter("tls-authz", .string, optional: true),
                QMPParameter("max-connections", .integer, optional: true),
            ]
        ) { (context, arguments) throws(QMPError) in
            let disks = try JobAnswers.disks(context)
            let address = try nbdAddress(arguments["addr"] ?? .null)
            var credentials: TLSCredentials?
            if let name = arguments["tls-creds"]?.string {
                do throws(UserError) {
                    credentials = try (context.machine as? any CredentialKeeping)?.credentials(name, isServer: true)
                } catch { throw QMPError(error.description) }
            }
            return try JobAnswers.perform { () throws(BlockError) in
                try disks.exports.start(
                    on: address, mostClients: Int(clamping: arguments.integer("max-connections") ?? mostClients),
                    credentials: credentials, authorizedName: arguments["tls-authz"]?.string)
            }
        },
        QMPCommandDefinition(
            "nbd-server-add",
            [
                QMPParameter("device", .string), QMPParameter("name", .string, optional: true),
                QMPParameter("description", .string, optional: true),
                QMPParameter("writable", .boolean, optional: true), QMPParameter("bitmap", .string, optional: true),
            ]
        ) { (context, arguments) throws(QMPError) in
            let disks = try JobAnswers.disks(context)
            let device = arguments.string("device")
            var request = BlockExports.Request(arguments["name"]?.string ?? device, node: device)
            request.description = arguments["description"]?.string
            request.bitmaps = arguments["bitmap"]?.string.map { [(nil, $0)] } ?? []
            return try JobAnswers.perform { () throws(BlockError) in
                let node = try disks.node(device)
                // A disk that can only be read is offered so, whatever is asked for.
                request.isWritable = arguments.bool("writable") == true && !disks.isReadOnlyForGood(node)
                try disks.exports.add(request)
            }
        },
        QMPCommandDefinition("nbd-server-remove", [QMPParameter("name", .string), removal]) {
            (context, arguments) throws(QMPError) in
            try remove(context, arguments, arguments.string("name"))
        },
        QMPCommandDefinition("nbd-server-stop") { (context, _) throws(QMPError) in
            let disks = try JobAnswers.disks(context)
            return try JobAnswers.perform { () throws(BlockError) in try disks.exports.stop() }
        },
        QMPCommandDefinition(
            "block-export-add",
            [
                QMPParameter("type", .string, words: ["nbd"]), QMPParameter("id", .string),
                QMPParameter("node-name", .string), QMPParameter("writable", .boolean, optional: true),
                QMPParameter("name", .string, optional: true), QMPParameter("description", .string, optional: true),
                QMPParameter("bitmaps", .array, optional: true),
                QMPParameter("allocation-depth", .boolean, optional: true),
            ]
        ) { (context, arguments) throws(QMPError) in
            let disks = try JobAnswers.disks(context)
            return try JobAnswers.perform { () throws(BlockError) in
                var request = BlockExports.Request(arguments.string("id"), node: arguments.string("node-name"))
                request.name = arguments["name"]?.string ?? arguments.string("node-name")
                request.description = arguments["description"]?.string
                request.isWritable = arguments.bool("writable") ?? false
                request.exposesDepth = arguments.bool("allocation-depth") ?? false
                request.bitmaps = try BitmapAnswers.list(arguments["bitmaps"]?.array ?? [], "bitmaps")
                try disks.exports.add(request)
            }
        },
        QMPCommandDefinition("block-export-del", [QMPParameter("id", .string), removal]) {
            (context, arguments) throws(QMPError) in
            try remove(context, arguments, arguments.string("id"))
        },
        QMPCommandDefinition("query-block-exports") { context, _ in
            let reports = (context.machine as? any BlockControlling)?.blockDevices.exports.reports ?? []
            return .array(
                reports.map { report in
                    [
                        "node-name": .string(report.nodeName), "shutting-down": false, "type": "nbd",
                        "id": .string(report.identifier),
                    ]
                })
        },
    ]

    private static func remove(
        _ context: QMPContext, _ arguments: QMPArguments, _ identifier: String
    ) throws(QMPError) -> JSONValue {
        let disks = try JobAnswers.disks(context)
        return try JobAnswers.perform { () throws(BlockError) in
            try disks.exports.remove(identifier, isHard: arguments["mode"]?.string == "hard")
        }
    }

    /// QMP's `SocketAddressLegacy`.
    private static func nbdAddress(_ value: JSONValue) throws(QMPError) -> NBDAddress {
        guard let type = value["type"]?.string else { throw QMPError("Parameter 'addr.type' is missing") }
        guard let data = value["data"] else { throw QMPError("Parameter 'addr.data' is missing") }
        func text(_ name: String) throws(QMPError) -> String {
            guard let text = data[name]?.string else { throw QMPError("Parameter 'addr.data.\(name)' is missing") }
            return text
        }
        switch type {
        case "unix": return .unix(path: try text("path"))
        case "inet": return .tcp(host: try text("host"), port: try text("port"))
        case "fd", "vsock": throw QMPError("an NBD server on a socket of type '\(type)' is not supported")
        default: throw QMPError("Parameter 'addr.type' does not accept value '\(type)'")
        }
    }
}
