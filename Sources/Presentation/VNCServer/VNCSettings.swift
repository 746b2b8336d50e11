// SPDX-License-Identifier: Apache-2.0

public import CharacterStreams
public import TransportSecurity

/// What becomes of the other clients when one comes that wants the screen for itself, or not.
public enum VNCSharePolicy: String, CaseIterable, Equatable, Sendable {
    /// Who asks for it alone gets it alone.
    case allowExclusive = "allow-exclusive"
    /// Who asks for it alone is sent away.
    case forceShared = "force-shared"
    /// Everybody comes in.
    case ignore
}

/// How a VNC server is set up.
public struct VNCSettings: Sendable {
    /// What management programs call it.
    public var identifier: String
    /// Where it listens for the protocol itself; several for display numbers that may be taken, of which one is used.
    public var addresses: [StreamAddress]
    /// Where it listens for browsers; empty for nowhere. Also of these the first that is free.
    public var webAddresses: [StreamAddress] = []
    /// Clients must know the password.
    public var needsPassword = false
    /// The password from the beginning; nil for none, with which nobody gets in.
    public var password: [UInt8]?
    /// Encrypts all connections.
    public var credentials: TLSCredentials?
    /// Who may stay with whom.
    public var sharePolicy = VNCSharePolicy.allowExclusive
    /// Connections at one time, also those that have not shown a password yet.
    public var connectionLimit = 32
    /// Clients may press the power and reset buttons.
    public var allowsPowerControl = false
    /// What viewers show as a title.
    public var title = "QEMU"

    /// A server for everybody.
    public init(identifier: String, addresses: [StreamAddress]) {
        (self.identifier, self.addresses) = (identifier, addresses)
    }
}

/// One end of a connection, or a place that is listened at.
public struct VNCEndpoint: Equatable, Sendable {
    /// The host's number; empty for a socket in the file system.
    public var host: String
    /// The port, or the path of a socket.
    public var service: String
    /// ipv4, ipv6, unix.
    public var family: String
    /// Speaks WebSocket.
    public var isWebSocket: Bool
}

/// A client, for reports and events.
public struct VNCClientInfo: Equatable, Sendable {
    /// Where it is.
    public var peer: VNCEndpoint
    /// Where it came to.
    public var server: VNCEndpoint
    /// The name in its certificate.
    public var certificateName: String?
}

/// What happened to a client.
public enum VNCEvent: Equatable, Sendable {
    /// Somebody knocks.
    case connected(VNCClientInfo)
    /// It is in.
    case initialized(VNCClientInfo)
    /// It was in, or not, and is gone.
    case disconnected(VNCClientInfo)
}

/// Buttons of the machine that a client can press.
public enum VNCPowerButton: UInt8, Sendable {
    case shutdown = 2
    case reboot = 3
    case reset = 4
}
