// SPDX-License-Identifier: Apache-2.0

/// What can be said of a user-mode network on the command line, as it was typed.
public struct UserNetworkOptions: Equatable, Sendable {
    /// `ipv4=` and `ipv6=`; nil when not given.
    public var ipv4: Bool?, ipv6: Bool?
    /// `net=`: "10.0.2.0/24", also with a dotted mask or none.
    public var network: String?
    /// `host=`: the guest's view of the host, 10.0.2.2 by default.
    public var host: String?
    /// `dhcpstart=`: the first of 16 addresses given out, 10.0.2.15 by default.
    public var dhcpStart: String?
    /// `dns=`: where the guest finds the host's name server, 10.0.2.3 by default.
    public var nameServer: String?
    /// `ipv6-net=`: "fec0::/64".
    public var network6: String?
    /// `ipv6-host=` and `ipv6-dns=`.
    public var host6: String?, nameServer6: String?
    /// `restrict=on`: nothing reaches the host or beyond but what is forwarded.
    public var isRestricted = false
    /// `hostname=`: told by DHCP.
    public var hostName: String?
    /// `domainname=`: told by DHCP.
    public var domainName: String?
    /// `dnssearch=`: domains told by DHCP, in order.
    public var searchDomains: [String] = []
    /// `tftp=`: a folder served read-only.
    public var tftpRoot: String?
    /// `tftp-server-name=`: told by DHCP.
    public var tftpServerName: String?
    /// `bootfile=`: told by DHCP.
    public var bootFile: String?
    /// `smb=`: refused.
    public var smbFolder: String?
    /// `hostfwd=`, each "[tcp|udp]:[hostaddr]:hostport-[guestaddr]:guestport".
    public var hostForwards: [String] = []
    /// `guestfwd=`, each "[tcp]:server:port-cmd:command".
    public var guestForwards: [String] = []

    /// QEMU's defaults.
    public init() {}
}
