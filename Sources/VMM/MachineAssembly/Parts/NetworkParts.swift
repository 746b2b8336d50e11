// SPDX-License-Identifier: Apache-2.0

internal import Diagnostics
internal import HostIO
internal import MachineSpec
internal import PacketPorts
internal import UserNetwork

/// The machine's networks by identifier.
struct NetworkParts {
    private let loop: EventLoop
    private(set) var ports: [(identifier: String, port: any PacketPort)] = []

    init(loop: EventLoop) { self.loop = loop }

    /// Opens all of the description.
    mutating func open(_ spec: MachineSpec) throws(UserError) {
        for network in spec.networks {
            do throws(UserError) { ports.append((network.identifier, try make(network))) } catch {
                throw error.at("-netdev \(network.identifier)")
            }
        }
    }

    /// The port for a card; one without a network gets an unplugged cable.
    func port(_ identifier: String?) throws(UserError) -> any PacketPort {
        guard let identifier else { return LoopbackPort.pair(on: loop).0 }
        guard let found = ports.first(where: { $0.identifier == identifier }) else {
            throw UserError("Property 'netdev' can't find value '\(identifier)'")
        }
        return found.port
    }

    /// Opens one more.
    mutating func add(_ network: NetworkSpec) throws(UserError) {
        ports.append((network.identifier, try make(network)))
    }

    /// Closes one.
    mutating func remove(_ identifier: String) {
        for entry in ports where entry.identifier == identifier { entry.port.close() }
        ports.removeAll { $0.identifier == identifier }
    }

    func closeAll() {
        for entry in ports { entry.port.close() }
    }

    private func make(_ network: NetworkSpec) throws(UserError) -> any PacketPort {
        switch network.backend {
        case .user(let user): return try UserNetwork(Self.options(user), on: loop)
        case .tap(let tap): return try makeTap(tap, network.identifier)
        case .socket(let socket): return try makeSocket(socket, network.identifier)
        }
    }

    private static func options(_ spec: UserNetworkSpec) -> UserNetworkOptions {
        var options = UserNetworkOptions()
        options.ipv4 = spec.ipv4
        options.ipv6 = spec.ipv6
        options.network = spec.network
        options.host = spec.hostAddress
        options.dhcpStart = spec.dhcpStart
        options.nameServer = spec.dns
        if let prefix = spec.ipv6Prefix { options.network6 = "\(prefix)/\(spec.ipv6PrefixLength ?? 64)" }
        options.host6 = spec.ipv6Host
        options.nameServer6 = spec.ipv6DNS
        options.isRestricted = spec.isRestricted
        options.hostName = spec.hostname
        options.domainName = spec.domainName
        options.searchDomains = spec.dnsSearch
        options.tftpRoot = spec.tftpDirectory
        options.tftpServerName = spec.tftpServerName
        options.bootFile = spec.bootFile
        options.hostForwards = spec.forwards.map { rule in
            "\(rule.isUDP ? "udp" : "tcp"):\(rule.hostAddress ?? ""):\(rule.hostPort)-\(rule.guestAddress ?? ""):\(rule.guestPort)"
        }
        return options
    }

    private func makeTap(_ spec: TapSpec, _ identifier: String) throws(UserError) -> any PacketPort {
        if let bridge = spec.bridge {
            throw UserError("br=\(bridge) is not supported", remedy: "add the tap to the bridge yourself")
        }
        if let descriptor = spec.descriptor {
            guard let number = Int32(descriptor) else {
                throw UserError("'\(descriptor)' is no file descriptor's number")
            }
            return try TapPort(inheriting: number, identifier: identifier, on: loop)
        }
        var options = TapOptions()
        options.interface = spec.interface ?? ""
        options.script = spec.script
        options.downScript = spec.downScript
        return try TapPort(options, on: loop)
    }

    private func makeSocket(_ spec: SocketNetworkSpec, _ identifier: String) throws(UserError) -> any PacketPort {
        switch spec {
        case .listen(let host, let port):
            return try StreamSocketPort(listeningAt: SocketAddress(parsing: "\(host):\(port)"), on: loop)
        case .connect(let host, let port):
            return try StreamSocketPort(connectingTo: SocketAddress(parsing: "\(host):\(port)"), on: loop)
        case .udp(let host, let port, let localHost, let localPort):
            return try DatagramSocketPort(
                sendingTo: SocketAddress(parsing: "\(host):\(port)"),
                receivingAt: SocketAddress(parsing: "\(localHost):\(localPort)"), on: loop)
        case .multicast(let group, let port, let local):
            var source: SocketAddress?
            if let local { source = try SocketAddress(parsing: "\(local):0") }
            return try DatagramSocketPort(group: SocketAddress(parsing: "\(group):\(port)"), local: source, on: loop)
        case .descriptor(let text):
            throw UserError("fd=\(text) of a socket network is not supported", remedy: "use connect= or listen=")
        }
    }
}
