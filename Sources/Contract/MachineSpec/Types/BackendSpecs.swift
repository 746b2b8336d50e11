// SPDX-License-Identifier: Apache-2.0

public import JSONCoding

/// One node of the block graph, as -blockdev describes it.
public struct BlockNodeSpec: Equatable, Sendable {
    /// `node-name`.
    public var name: String
    /// All options, nested: `["driver": "qcow2", "file": ["driver": "file", "filename": "a"]]`, with `node-name`.
    public var options: JSONObject
    /// A block node with the options of its driver, as `-blockdev` gives them.
    public init(name: String, options: JSONObject) {
        self.name = name
        self.options = options
    }

    /// The options as dotted keys with leaf values: `file.filename` = "a".
    public var flatOptions: [(key: String, value: JSONValue)] {
        var flat: [(key: String, value: JSONValue)] = []
        func add(_ value: JSONValue, _ path: String) {
            switch value {
            case .object(let object):
                for member in object.members {
                    add(member.value, path.isEmpty ? member.name : "\(path).\(member.name)")
                }
            case .array(let elements):
                for (place, element) in elements.enumerated() { add(element, "\(path).\(place)") }
            default: flat.append((path, value))
            }
        }
        add(.object(options), "")
        return flat
    }
}

/// `-drive`: a file with a format, and the interface to plug it into.
public struct DriveSpec: Equatable, Sendable {
    /// What kind of controller `if=` attaches the drive to.
    public enum Interface: String, Equatable, Sendable { case none, virtio, ide, scsi, floppy, pflash }
    /// What becomes of the guest when a request fails (`werror=`, `rerror=`).
    public enum ErrorAction: String, Equatable, Sendable {
        case ignore, report, stop
        /// Stop when the host's disk is full, report everything else.
        case noSpace = "enospc"
    }
    /// The `id=` by which others name it.
    public var identifier: String
    /// Where the drive is attached; `none` leaves that to a `-device`.
    public var interface = Interface.none
    /// nil for an empty drive.
    public var file: String?
    /// nil to look at the content.
    public var format: String?
    /// Whether the guest may not write.
    public var isReadOnly = false
    /// Whether the medium is an optical disc (`media=cdrom`).
    public var isCDROM = false
    /// Whether writes go to a temporary overlay (`snapshot=on`).
    public var isSnapshot = false
    /// Options for the node beside file, format and read-only: `cache.direct`, `discard`, `file.locking`...
    public var options = JSONObject()
    /// writeback, none, writethrough, directsync, unsafe.
    public var cache = "writeback"
    /// threads, native, io_uring.
    public var aio = "threads"
    /// What a failed write does: stops the machine where the host's disk is full.
    public var writeError = ErrorAction.noSpace
    /// What a failed read does: the guest is told.
    public var readError = ErrorAction.report
    /// The serial number that the guest reads.
    public var serial: String?
    /// The channel or port of an IDE or SATA controller, and the place there.
    public var bus = 0
    /// The place on that channel: 0 or 1 for IDE, always 0 for SATA.
    public var unit = 0
    /// A drive of this name with QEMU's defaults.
    public init(identifier: String) { self.identifier = identifier }
}

/// `-netdev`.
public struct NetworkSpec: Equatable, Sendable {
    /// The `id=` by which others name it.
    public var identifier: String
    /// Where its packets go.
    public var backend: Backend
    /// A network back-end of this name.
    public init(identifier: String, backend: Backend) {
        self.identifier = identifier
        self.backend = backend
    }

    /// The kinds of network back-end.
    public enum Backend: Equatable, Sendable {
        case user(UserNetworkSpec)
        case tap(TapSpec)
        case socket(SocketNetworkSpec)
    }
}

/// `-netdev user`.
public struct UserNetworkSpec: Equatable, Sendable {
    /// A port of the host that leads into the guest.
    public struct Forward: Equatable, Sendable {
        /// Whether datagrams are forwarded instead of connections.
        public var isUDP: Bool
        /// nil for any address.
        public var hostAddress: String?
        /// The port that the host listens on.
        public var hostPort: UInt16
        /// nil for the guest's first DHCP address.
        public var guestAddress: String?
        /// The port in the guest.
        public var guestPort: UInt16
        /// One `hostfwd=` rule; a `nil` address means any of the host's, and the first lease.
        public init(isUDP: Bool, hostAddress: String?, hostPort: UInt16, guestAddress: String?, guestPort: UInt16) {
            self.isUDP = isUDP
            self.hostAddress = hostAddress
            self.hostPort = hostPort
            self.guestAddress = guestAddress
            self.guestPort = guestPort
        }
    }
    /// "10.0.2.0/24"; nil for that default.
    public var network: String?
    /// The gateway's own address; 10.0.2.2 by default.
    public var hostAddress: String?
    /// The first address that is leased; 10.0.2.15 by default.
    public var dhcpStart: String?
    /// The name server's address; 10.0.2.3 by default.
    public var dns: String?
    /// The name that DHCP gives the guest.
    public var hostname: String?
    /// The domain that DHCP gives the guest.
    public var domainName: String?
    /// The search list that DHCP gives the guest.
    public var dnsSearch: [String] = []
    /// `restrict=on`: no way out.
    public var isRestricted = false
    /// Whether the network carries IPv4.
    public var ipv4 = true
    /// Whether the network carries IPv6.
    public var ipv6 = true
    /// The network's prefix; fec0:: by default.
    public var ipv6Prefix: String?
    /// The prefix's length in bits; 64 by default.
    public var ipv6PrefixLength: Int?
    /// The gateway's IPv6 address.
    public var ipv6Host: String?
    /// The name server's IPv6 address.
    public var ipv6DNS: String?
    /// The directory that the TFTP server shows, read-only.
    public var tftpDirectory: String?
    /// The server's name in the DHCP reply.
    public var tftpServerName: String?
    /// The boot file's name in the DHCP reply.
    public var bootFile: String?
    /// Ports of the host that lead into the guest.
    public var forwards: [Forward] = []
    /// Everything at QEMU's default.
    public init() {}
}

/// `-netdev tap`.
public struct TapSpec: Equatable, Sendable {
    /// nil lets the kernel choose tapN.
    public var interface: String?
    /// A descriptor that was opened before, of a tap device.
    public var descriptor: String?
    /// nil for none ("no").
    public var script: String?
    /// The script that runs when the interface is let go; `nil` for none.
    public var downScript: String?
    /// A bridge to join.
    public var bridge: String?
    /// Everything at QEMU's default.
    public init() {}
}

/// `-netdev socket`.
public enum SocketNetworkSpec: Equatable, Sendable {
    case listen(host: String, port: UInt16)
    case connect(host: String, port: UInt16)
    case multicast(group: String, port: UInt16, local: String?)
    case udp(host: String, port: UInt16, localHost: String, localPort: UInt16)
    case descriptor(String)
}

/// `-chardev`.
public struct CharacterDeviceSpec: Equatable, Sendable {
    /// The `id=` by which others name it.
    public var identifier: String
    /// What stands behind the name.
    public var backend: CharacterBackendSpec
    /// Several front ends share it, switched by Ctrl-a c.
    public var isMultiplexed = false
    /// A copy of all output.
    public var logFile: String?
    /// Whether the log file is kept and added to.
    public var logAppends = false
    /// A character device of this name.
    public init(identifier: String, backend: CharacterBackendSpec) {
        self.identifier = identifier
        self.backend = backend
    }
}

extension CharacterDeviceSpec {
    /// Changes a socket into what a debugger connects to: a server that nobody waits for.
    public mutating func asDebuggerServer() {
        guard case .socket(var socket) = backend else { return }
        socket.isServer = true
        socket.waits = false
        socket.noDelay = true
        backend = .socket(socket)
    }
}

/// What a character device is connected to.
public enum CharacterBackendSpec: Equatable, Sendable {
    case null
    /// `signal=off` keeps Ctrl-C for the guest.
    case stdio(signals: Bool)
    case file(path: String, input: String?, appends: Bool)
    /// `path.in` and `path.out`, or one FIFO.
    case pipe(path: String)
    case pty(path: String?)
    /// A serial line or another terminal of the host.
    case terminal(path: String)
    case socket(CharacterSocketSpec)
    case udp(host: String, port: UInt16, localHost: String?, localPort: UInt16?)
    /// The last bytes of output, for `ringbuf-read`.
    case ringBuffer(bytes: Int)
}

/// A socket of -chardev.
public struct CharacterSocketSpec: Equatable, Sendable {
    /// Where a socket listens or connects to.
    public enum Address: Equatable, Sendable {
        case unix(path: String, isAbstract: Bool)
        case tcp(host: String, port: UInt16, ipv4: Bool, ipv6: Bool)
        /// A descriptor by number, or by a name given with getfd.
        case descriptor(String)
    }
    /// Where it listens or connects to.
    public var address: Address
    /// Whether it listens.
    public var isServer = false
    /// A server waits for its first client before the machine is made.
    public var waits = false
    /// Whether telnet's options are spoken.
    public var isTelnet = false
    /// Whether small packets are sent at once (TCP_NODELAY).
    public var noDelay = false
    /// Seconds until a client tries again; 0 never.
    public var reconnectSeconds = 0
    /// A client of this address.
    public init(address: Address) { self.address = address }
}

/// `-mon`, `-monitor`, `-qmp`.
public struct MonitorSpec: Equatable, Sendable {
    /// Which monitor speaks: for people or for programs.
    public enum Mode: String, Equatable, Sendable {
        /// For people (HMP).
        case readline
        /// For programs (QMP).
        case control
    }
    /// Identifier of the character device.
    public var characterDevice: String
    /// Which monitor speaks.
    public var mode: Mode
    /// Whether JSON is laid out over several lines.
    public var isPretty: Bool
    /// A monitor on the character device of this name.
    public init(characterDevice: String, mode: Mode, isPretty: Bool = false) {
        self.characterDevice = characterDevice
        self.mode = mode
        self.isPretty = isPretty
    }
}

/// `-object`.
public struct ObjectSpec: Equatable, Sendable {
    /// The `id=` by which others name it.
    public var identifier: String
    /// What it is.
    public var kind: Kind
    /// An object as `-object` makes it.
    public init(identifier: String, kind: Kind) {
        self.identifier = identifier
        self.kind = kind
    }

    /// The kinds of object.
    public enum Kind: Equatable, Sendable {
        /// rng-random; the path of the host's device.
        case hostRandom(path: String)
        /// rng-builtin.
        case builtinRandom
        /// memory-backend-ram.
        case memory(bytes: UInt64, share: Bool, preallocates: Bool)
        /// memory-backend-file.
        case memoryFile(bytes: UInt64, path: String, share: Bool, preallocates: Bool, readOnly: Bool)
        /// memory-backend-memfd.
        case memoryDescriptor(bytes: UInt64, share: Bool, preallocates: Bool)
        case ioThread
        /// Certificates for encrypted connections.
        case certificates(CertificatesSpec)
        /// The secret's bytes, or the file that has them, decoded when it is used.
        case secret(SecretSpec)
    }
}

/// `-object secret`.
public struct SecretSpec: Equatable, Sendable {
    /// Where a secret's bytes come from.
    public enum Source: Equatable, Sendable {
        case data(String)
        case file(String)
    }
    /// Where the bytes come from.
    public var source: Source
    /// Whether they are written in base64.
    public var isBase64: Bool
    /// The secret that the data is encrypted with (AES-256-CBC), with the initialisation vector in base64.
    public var key: (Key)?
    /// The AES key that a secret is wrapped in.
    public struct Key: Equatable, Sendable {
        /// The `id=` by which others name it.
        public var identifier: String
        /// The initialisation vector in base64.
        public var vector: String
        /// A key that is itself the secret `identifier`.
        public init(identifier: String, vector: String) {
            self.identifier = identifier
            self.vector = vector
        }
    }
    /// A secret; with `key` it is encrypted with it.
    public init(source: Source, isBase64: Bool, key: Key?) {
        self.source = source
        self.isBase64 = isBase64
        self.key = key
    }
}
