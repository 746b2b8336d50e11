// SPDX-License-Identifier: Apache-2.0

public import JSONCoding

/// One node of the block graph, as -blockdev describes it.
public struct BlockNodeSpec: Equatable, Sendable {
    /// `node-name`.
    public var name: String
    /// All options, nested: `["driver": "qcow2", "file": ["driver": "file", "filename": "a"]]`, with `node-name`.
    public var options: JSONObject
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
    public enum Interface: String, Equatable, Sendable { case none, virtio, ide, scsi, floppy, pflash }
    public enum ErrorAction: String, Equatable, Sendable {
        case ignore, report, stop
        /// Stop when the host's disk is full, report everything else.
        case noSpace = "enospc"
    }
    public var identifier: String
    public var interface = Interface.none
    /// nil for an empty drive.
    public var file: String?
    /// nil to look at the content.
    public var format: String?
    public var isReadOnly = false
    public var isCDROM = false
    public var isSnapshot = false
    /// Options for the node beside file, format and read-only: `cache.direct`, `discard`, `file.locking`...
    public var options = JSONObject()
    /// writeback, none, writethrough, directsync, unsafe.
    public var cache = "writeback"
    /// threads, native, io_uring.
    public var aio = "threads"
    public var writeError = ErrorAction.noSpace
    public var readError = ErrorAction.report
    public var serial: String?
    /// The channel or port of an IDE or SATA controller, and the place there.
    public var bus = 0
    public var unit = 0
    public init(identifier: String) { self.identifier = identifier }
}

/// `-netdev`.
public struct NetworkSpec: Equatable, Sendable {
    public var identifier: String
    public var backend: Backend
    public init(identifier: String, backend: Backend) {
        self.identifier = identifier
        self.backend = backend
    }

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
        public var isUDP: Bool
        /// nil for any address.
        public var hostAddress: String?
        public var hostPort: UInt16
        /// nil for the guest's first DHCP address.
        public var guestAddress: String?
        public var guestPort: UInt16
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
    public var hostAddress: String?
    public var dhcpStart: String?
    public var dns: String?
    public var hostname: String?
    public var domainName: String?
    public var dnsSearch: [String] = []
    /// `restrict=on`: no way out.
    public var isRestricted = false
    public var ipv4 = true
    public var ipv6 = true
    public var ipv6Prefix: String?
    public var ipv6PrefixLength: Int?
    public var ipv6Host: String?
    public var ipv6DNS: String?
    public var tftpDirectory: String?
    public var tftpServerName: String?
    public var bootFile: String?
    public var forwards: [Forward] = []
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
    public var downScript: String?
    /// A bridge to join.
    public var bridge: String?
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
    public var identifier: String
    public var backend: CharacterBackendSpec
    /// Several front ends share it, switched by Ctrl-a c.
    public var isMultiplexed = false
    /// A copy of all output.
    public var logFile: String?
    public var logAppends = false
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
    public enum Address: Equatable, Sendable {
        case unix(path: String, isAbstract: Bool)
        case tcp(host: String, port: UInt16, ipv4: Bool, ipv6: Bool)
        /// A descriptor by number, or by a name given with getfd.
        case descriptor(String)
    }
    public var address: Address
    public var isServer = false
    /// A server waits for its first client before the machine is made.
    public var waits = false
    public var isTelnet = false
    public var noDelay = false
    /// Seconds until a client tries again; 0 never.
    public var reconnectSeconds = 0
    public init(address: Address) { self.address = address }
}

/// `-mon`, `-monitor`, `-qmp`.
public struct MonitorSpec: Equatable, Sendable {
    public enum Mode: String, Equatable, Sendable {
        /// For people (HMP).
        case readline
        /// For programs (QMP).
        case control
    }
    /// Identifier of the character device.
    public var characterDevice: String
    public var mode: Mode
    public var isPretty: Bool
    public init(characterDevice: String, mode: Mode, isPretty: Bool = false) {
        self.characterDevice = characterDevice
        self.mode = mode
        self.isPretty = isPretty
    }
}

/// `-object`.
public struct ObjectSpec: Equatable, Sendable {
    public var identifier: String
    public var kind: Kind
    public init(identifier: String, kind: Kind) {
        self.identifier = identifier
        self.kind = kind
    }

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
        /// The secret's bytes, or the file that has them, decoded when it is used.
        case secret(SecretSpec)
    }
}

/// `-object secret`.
public struct SecretSpec: Equatable, Sendable {
    public enum Source: Equatable, Sendable {
        case data(String)
        case file(String)
    }
    public var source: Source
    public var isBase64: Bool
    /// The secret that the data is encrypted with (AES-256-CBC), with the initialisation vector in base64.
    public var key: (Key)?
    public struct Key: Equatable, Sendable {
        public var identifier: String
        public var vector: String
        public init(identifier: String, vector: String) {
            self.identifier = identifier
            self.vector = vector
        }
    }
    public init(source: Source, isBase64: Bool, key: Key?) {
        self.source = source
        self.isBase64 = isBase64
        self.key = key
    }
}
