// SPDX-License-Identifier: Apache-2.0

internal import ClientKit
internal import ManagementModel
internal import XDRCoding
internal import Glibc
internal import HostSystem
internal import LibvirtProtocol
internal import XMLTree

/// Where a machine's SSH server is reached.
struct MachineAddress: CustomStringConvertible {
    let host: String
    let port: UInt16

    private static let usualPort: UInt16 = 22

    init(host: String, port: UInt16 = usualPort) {
        self.host = host
        self.port = port
    }

    var description: String { port == Self.usualPort ? "ssh \(host)" : "ssh -p \(port) \(host)" }

    /// What ssh takes to go there.
    var sshArguments: [String] { port == Self.usualPort ? [] : ["-p", String(port)] }

    /// Whether a server says there, within half a second, that it speaks SSH.
    func answers() -> Bool {
        guard let socket = Self.connect(host, port) else { return false }
        var bytes = [UInt8](repeating: 0, count: 4)
        var wanted = pollfd(fd: socket.number, events: Int16(POLLIN), revents: 0)
        // One entry, on this frame.
        guard unsafe poll(&wanted, 1, Self.patience) > 0 else { return false }
        // The array lives for the call.
        let count: Int? = unsafe bytes.withUnsafeMutableBytes { try? unsafe socket.read(into: $0) }
        return count == bytes.count && bytes == Array("SSH-".utf8)
    }

    /// Milliseconds.
    private static let patience: Int32 = 500

    private static func connect(_ host: String, _ port: UInt16) -> FileDescriptor? {
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_port = port.bigEndian
        // The text is copied by the call, which fills the address on this frame.
        guard unsafe inet_pton(AF_INET, host, &address.sin_addr) == 1 else { return nil }
        let number = Glibc.socket(
            AF_INET, Int32(SOCK_STREAM.rawValue | SOCK_CLOEXEC.rawValue | SOCK_NONBLOCK.rawValue), 0)
        guard number >= 0 else { return nil }
        let socket = FileDescriptor(owning: number)
        // A sockaddr_in passed as the sockaddr that the call takes, with its own size.
        let status = unsafe withUnsafePointer(to: &address) {
            unsafe $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                unsafe Glibc.connect(number, $0, socklen_t(MemoryLayout<sockaddr_in>.size))
            }
        }
        if status == 0 { return socket }
        guard errno == EINPROGRESS else { return nil }
        var wanted = pollfd(fd: number, events: Int16(POLLOUT), revents: 0)
        // One entry, on this frame.
        guard unsafe poll(&wanted, 1, patience) > 0, wanted.revents & Int16(POLLERR | POLLHUP) == 0 else { return nil }
        return socket
    }
}

/// Finds out where machines are reached.
struct MachineReach {
    private let service: Service

    init(_ service: Service) { self.service = service }

    /// The address of a machine: a port of this host that leads to it, or what a network's DHCP server gave it.
    /// - Returns: nil while it has none.
    func find(_ machine: DomainHandle, _ document: XMLElement) throws -> MachineAddress? {
        if let port = OwnedFiles.sshPort(document) { return MachineAddress(host: "127.0.0.1", port: port) }
        let names = try service.networks()
        for interface in document[child: "devices"]?.all("interface") ?? [] {
            guard let network = interface[child: "source"]?["network"], let mac = interface[child: "mac"]?["address"],
                let handle = names.first(where: { $0.name == network })
            else { continue }
            let leases = try service.server.call(
                Procedures.networkGetDhcpLeases, Message(handle, mac, Service.wanted, 0)
            ).fields.0
            if let lease = leases.first(where: { $0.type == Self.ipv4 }) { return MachineAddress(host: lease.address) }
        }
        return nil
    }

    /// virIPAddrType
    private static let ipv4: Int32 = 0
}
