// SPDX-License-Identifier: Apache-2.0

/// What people see the screen with: `-display`, `-vnc`.
public struct DisplaySpec: Equatable, Sendable {
    /// The servers, in the order given.
    public var vncServers: [VNCServerSpec] = []
    /// Nobody said anything of a display: the port that the server found is told.
    public var isDefault = false
    /// No screen at all.
    public init() {}
}

/// `-vnc` and `-display vnc=`.
public struct VNCServerSpec: Equatable, Sendable {
    /// Where a server listens.
    public enum Address: Equatable, Sendable {
        /// Nowhere (`-vnc none`): clients come by `add_client`.
        case none
        /// The ports from the first to the last, of which the first free one is taken.
        case tcp(host: String, firstPort: Int, lastPort: Int)
        case unix(path: String)
    }
    /// What clients of the machine's own tools call it.
    public var identifier = "default"
    /// Where viewers come to.
    public var address: Address
    /// Where browsers come to; nil for nowhere.
    public var webAddress: Address?
    /// Which families a host's name is looked up in.
    public var ipv4 = true
    /// As `ipv4`, for IPv6.
    public var ipv6 = true
    /// Clients must know the password.
    public var needsPassword = false
    /// Identifier of the secret that has the password.
    public var passwordSecret: String?
    /// Identifier of a tls-creds-x509 object.
    public var credentials: String?
    /// allow-exclusive, force-shared, ignore.
    public var sharePolicy = "allow-exclusive"
    /// Clients may press the power and reset buttons.
    public var allowsPowerControl = false
    /// Identifier of the display device that is shown; nil for the first.
    public var display: String?
    /// A server for everybody.
    public init(address: Address) { self.address = address }
}

/// `-object tls-creds-x509`.
public struct CertificatesSpec: Equatable, Sendable {
    /// Where the files with QEMU's names are.
    public var directory: String
    /// Listens; else connects.
    public var isServer: Bool
    /// The other side must show a certificate of the same authority.
    public var verifiesPeer: Bool
    /// GnuTLS's list of algorithms.
    public var priority: String?
    /// Identifier of the secret that the key is encrypted with.
    public var passwordSecret: String?
    /// Fails at once for certificates that are not valid now.
    public var checksDates: Bool
}
