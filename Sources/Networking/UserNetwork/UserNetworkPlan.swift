// SPDX-License-Identifier: Apache-2.0

public import Diagnostics
internal import Glibc
internal import PacketPorts

/// The addresses of a user-mode network, checked. Numbers are in host order.
public struct UserNetworkPlan: Equatable, Sendable {
    /// IPv4 or IPv6 is there.
    public var hasIPv4 = true, hasIPv6 = true
    /// `net=`: 10.0.2.0 with 24 bits unless given.
    public var network: UInt32 = 0x0A00_0200, mask: UInt32 = 0xFFFF_FF00
    /// `host=`, `dns=` and `dhcpstart=`: .2, .3 and .15 of the network.
    public var host: UInt32 = 0x0A00_0202, nameServer: UInt32 = 0x0A00_0203, dhcpStart: UInt32 = 0x0A00_020F
    /// 16 bytes each, and the length of the prefix in bits.
    public var network6 = UserNetworkPlan.defaultNetwork6
    /// `ipv6-prefixlen=`, in bits.
    public var prefixLength6: UInt8 = 64
    /// `ipv6-host=` and `ipv6-dns=`, 16 bytes each: ::2 and ::3 of the network.
    public var host6: [UInt8] = [], nameServer6: [UInt8] = []

    private static let defaultNetwork6: [UInt8] = [0xFE, 0xC0] + [UInt8](repeating: 0, count: 14)
    private static let hostPart: UInt32 = 0x0202, nameServerPart: UInt32 = 0x0203, dhcpPart: UInt32 = 0x020F
    private static let longestName = 255

    /// Checks what was typed.
    /// - Throws: QEMU's text for what cannot be.
    public init(_ options: UserNetworkOptions) throws(UserError) {
        hasIPv4 = options.ipv4 ?? (options.ipv6 != true || options.ipv4 == nil)
        hasIPv6 = options.ipv6 ?? (options.ipv4 != true || options.ipv6 == nil)
        guard hasIPv4 || hasIPv6 else { throw UserError("IPv4 and IPv6 disabled") }
        if !hasIPv4, options.network ?? options.host ?? options.nameServer != nil {
            throw UserError("IPv4 disabled but netmask/host/dns provided")
        }
        if !hasIPv6, options.network6 ?? options.host6 ?? options.nameServer6 != nil {
            throw UserError("IPv6 disabled but prefix/host6/dns6 provided")
        }
        if options.smbFolder != nil {
            throw UserError("smb= is not supported", remedy: "share a folder over the network with hostfwd= and sshfs")
        }
        try Self.checkNames(options)
        try parseNetwork(options)
        try parseNetwork6(options)
    }

    private static func checkNames(_ options: UserNetworkOptions) throws(UserError) {
        if options.domainName == "" { throw UserError("'domainname' parameter cannot be empty") }
        for (name, value) in [
            ("domainname", options.domainName), ("tftp-server-name", options.tftpServerName),
        ] where value.map({ $0.utf8.count > longestName }) == true {
            throw UserError("'\(name)' parameter cannot exceed \(longestName) bytes")
        }
    }

    private mutating func parseNetwork(_ options: UserNetworkOptions) throws(UserError) {
        if let text = options.network { try parsePrefix(text) }
        network &= mask
        host = network | Self.hostPart & ~mask
        dhcpStart = network | Self.dhcpPart & ~mask
        nameServer = network | Self.nameServerPart & ~mask
        if let text = options.host {
            guard let value = SocketAddress.numeric(text) else { throw UserError("Failed to parse host") }
            guard value & mask == network else { throw UserError("Host doesn't belong to network") }
            host = value
        }
        if let text = options.nameServer {
            guard let value = SocketAddress.numeric(text) else { throw UserError("Failed to parse DNS") }
            if options.isRestricted, value & mask != network { throw UserError("DNS doesn't belong to network") }
            guard value != host else { throw UserError("DNS must be different from host") }
            nameServer = value
        }
        if let text = options.dhcpStart {
            guard let value = SocketAddress.numeric(text) else {
                throw UserError("Failed to parse DHCP start address")
            }
            guard value & mask == network else { throw UserError("DHCP doesn't belong to network") }
            guard value != host, value != nameServer else {
                throw UserError("DHCP must be different from host and DNS")
            }
            dhcpStart = value
        }
    }

    private mutating func parsePrefix(_ text: String) throws(UserError) {
        let parts = text.split(separator: "/", maxSplits: 1, omittingEmptySubsequences: false).map(String.init)
        guard let address = SocketAddress.numeric(parts[0]) else { throw UserError("Failed to parse netmask") }
        network = address
        guard parts.count == 2 else {
            mask = Self.classMask(address)
            return
        }
        if let length = Int(parts[1]) {
            guard (4...32).contains(length) else {
                throw UserError("Invalid netmask provided (must be in range 4-32)")
            }
            mask = UInt32.max << UInt32(32 - length)
        } else if let dotted = SocketAddress.numeric(parts[1]) {
            mask = dotted
        } else {
            throw UserError("Failed to parse netmask")
        }
    }

    /// The mask of a network without one: its class, or that of a private range (RFC 1918, RFC 2544).
    private static func classMask(_ address: UInt32) -> UInt32 {
        if address >> 31 == 0 { return 0xFF00_0000 }
        if address & 0xFFF0_0000 == 0xAC10_0000 { return 0xFFF0_0000 }
        if address >> 30 == 2 { return 0xFFFF_0000 }
        if address & 0xFFFF_0000 == 0xC0A8_0000 { return 0xFFFF_0000 }
        if address & 0xFFFF_0000 == 0xC612_0000 { return 0xFFFE_0000 }
        return address >> 29 == 6 ? 0xFFFF_FF00 : 0xFFFF_FFF0
    }

    // MARK: IPv6

    private mutating func parseNetwork6(_ options: UserNetworkOptions) throws(UserError) {
        if let text = options.network6 {
            let parts = text.split(separator: "/", maxSplits: 1, omittingEmptySubsequences: false).map(String.init)
            guard let prefix = Self.numeric6(parts[0]) else { throw UserError("Failed to parse IPv6 prefix") }
            network6 = prefix
            if parts.count == 2 {
                guard let length = UInt8(parts[1]), length <= 126 else {
                    throw UserError(
                        "Invalid IPv6 prefix provided (IPv6 prefix length must be between 0 and 126)")
                }
                prefixLength6 = length
            }
        }
        host6 = network6
        host6[15] |= 2
        nameServer6 = network6
        nameServer6[15] |= 3
        if let text = options.host6 {
            guard let value = Self.numeric6(text) else { throw UserError("Failed to parse IPv6 host") }
            guard inNetwork6(value) else { throw UserError("IPv6 Host doesn't belong to network") }
            host6 = value
        }
        if let text = options.nameServer6 {
            guard let value = Self.numeric6(text) else { throw UserError("Failed to parse IPv6 DNS") }
            if options.isRestricted, !inNetwork6(value) {
                throw UserError("IPv6 DNS doesn't belong to network")
            }
            nameServer6 = value
        }
    }

    private func inNetwork6(_ address: [UInt8]) -> Bool {
        for bit in 0..<Int(prefixLength6) {
            let mask: UInt8 = 0x80 >> UInt8(bit % 8)
            if address[bit / 8] & mask != network6[bit / 8] & mask { return false }
        }
        return true
    }

    private static func numeric6(_ text: String) -> [UInt8]? {
        var bytes = [UInt8](repeating: 0, count: 16)
        // inet_pton fills the 16 bytes that an in6_addr has.
        let status = unsafe bytes.withUnsafeMutableBytes { unsafe inet_pton(AF_INET6, text, $0.baseAddress) }
        return status == 1 ? bytes : nil
    }
}
