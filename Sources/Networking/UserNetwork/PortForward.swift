// SPDX-License-Identifier: Apache-2.0

public import Diagnostics
internal import PacketPorts

/// A port of the host that leads to the guest: `hostfwd=`.
public struct PortForward: Equatable, Sendable {
    /// UDP instead of TCP.
    public var isUDP = false
    /// Where the host listens; address 0 is every interface. Addresses in host order.
    public var hostAddress: UInt32 = 0
    /// 1...65535, or 0 for one that the kernel chooses.
    public var hostPort: UInt16 = 0
    /// Where it leads; address 0 is the first that DHCP gives out.
    public var guestAddress: UInt32 = 0
    /// 1...65535.
    public var guestPort: UInt16 = 0

    /// Reads "[tcp|udp]:[hostaddr]:hostport-[guestaddr]:guestport".
    /// - Throws: QEMU's text with the reason in parentheses.
    public init(parsing rule: String) throws(UserError) {
        var rest = Substring(rule)
        func invalid(_ reason: String) -> UserError {
            UserError("Invalid host forwarding rule '\(rule)' (\(reason))")
        }
        func take(until separator: Character) -> String? {
            guard let place = rest.firstIndex(of: separator) else { return nil }
            defer { rest = rest[rest.index(after: place)...] }
            return String(rest[..<place])
        }
        guard let name = take(until: ":") else { throw invalid("No : separators") }
        guard ["", "tcp", "udp"].contains(name) else { throw invalid("Bad protocol name") }
        isUDP = name == "udp"
        guard let host = take(until: ":") else { throw invalid("Missing : separator") }
        guard let hostAddress = host.isEmpty ? 0 : SocketAddress.numeric(host) else {
            throw invalid("Bad host address")
        }
        self.hostAddress = hostAddress
        guard let port = take(until: "-") else { throw invalid("Bad host port separator") }
        guard let hostPort = UInt16(port) else { throw invalid("Bad host port") }
        self.hostPort = hostPort
        guard let guest = take(until: ":") else { throw invalid("Missing guest address") }
        guard let guestAddress = guest.isEmpty ? 0 : SocketAddress.numeric(guest) else {
            throw invalid("Bad guest address")
        }
        self.guestAddress = guestAddress
        guard let guestPort = UInt16(rest), guestPort > 0 else { throw invalid("Bad guest port") }
        self.guestPort = guestPort
    }
}

/// An address of the network behind which a program of the host runs: `guestfwd=tcp:10.0.2.100:80-cmd:program`.
public struct CommandForward: Equatable, Sendable {
    /// In host order.
    public var address: UInt32
    /// 1...65535.
    public var port: UInt16
    /// Run by the shell, once for each connection.
    public var command: String

    /// Reads "[tcp]:server:port-cmd:command".
    public init(parsing rule: String) throws(UserError) {
        let invalid = UserError("Invalid guest forwarding rule '\(rule)'")
        let colons = rule.split(separator: ":", maxSplits: 2, omittingEmptySubsequences: false).map(String.init)
        guard colons.count == 3, ["", "tcp"].contains(colons[0]), let address = SocketAddress.numeric(colons[1]),
            let dash = colons[2].firstIndex(of: "-"), let port = UInt16(colons[2][..<dash]), port > 0
        else { throw invalid }
        let target = colons[2][colons[2].index(after: dash)...]
        guard target.hasPrefix("cmd:"), target.count > 4 else {
            throw UserError(
                "guest forwarding rule '\(rule)' leads to a character device, which is not supported",
                remedy: "name a program with cmd:")
        }
        self.address = address
        self.port = port
        command = String(target.dropFirst(4))
    }
}
