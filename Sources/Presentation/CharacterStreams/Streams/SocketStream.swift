// SPDX-License-Identifier: Apache-2.0

internal import CLinux
internal import Glibc
public import HostIO
public import HostSystem

/// A TCP or unix socket, as server or client, with or without the telnet protocol (`socket`).
///
///     server:  listening ──client comes──▶ connected ──client goes──▶ listening
///     client:  connected ──the server goes──▶ closed, or after `reconnect` seconds tried again
///
/// While one client is connected, others wait in the listening socket's queue.
public final class SocketStream: StreamBackend, DisconnectableBackend, DescriptorPassingBackend, @unchecked Sendable {
    /// How the socket is used.
    public struct Options: Sendable {
        /// Where to listen or to connect.
        public var address: StreamAddress
        /// Listens instead of connecting (`server=on`).
        public var isServer = false
        /// A server's constructor returns with its first client.
        public var waits = false
        /// Speaks the telnet protocol: 255 is doubled and breaks are understood.
        public var isTelnet = false
        /// Sends small packets at once (TCP_NODELAY).
        public var noDelay = false
        /// Seconds until a client tries again; 0 never.
        public var reconnectSeconds = 0
        /// A client of this address.
        public init(address: StreamAddress) { self.address = address }
    }

    private let options: Options
    private var listener: FileDescriptor?
    private var listenerNumber: Int32 = -1
    private var listenWatch: EventLoop.Watch?
    private var retry: LoopTimer?
    private var connectionName = ""
    private var telnet = TelnetDecoder()
    private var isClosed = false
    /// Descriptors that came along and nobody took, oldest first.
    private var received: [Int32] = []
    private static let receivedLimit = 16

    /// Opens the socket.
    /// - Parameter notify: gets QEMU's line when a server waits for its client.
    /// - Throws: the address cannot be had, or a client's server is not there (unless it tries again).
    public init(
        label: String, options: Options, loop: EventLoop, notify: (String) -> Void = { _ in }
    ) throws(StreamSocketError) {
        self.options = options
        super.init(label: label, loop: loop)
        if options.isServer {
            let file = try StreamSocket.listen(options.address)
            listenerNumber = file.number
            listener = consume file
            if options.waits {
                notify("QEMU waiting for connection on: \(filename)")
                // The listening socket still blocks.
                while !isOpen { if let client = StreamSocket.accept(listenerNumber) { adopt(client) } }
            }
            try listen()
        } else {
            retry = loop.makeTimer { [weak self] in self?.connectAgain() }
            do throws(StreamSocketError) { adopt(try StreamSocket.connect(options.address)) } catch {
                guard options.reconnectSeconds > 0 else { throw error }
                scheduleRetry()
            }
        }
    }

    /// A socket that somebody opened before: listening or connected.
    public init(
        label: String, descriptor: consuming FileDescriptor, isServer: Bool, loop: EventLoop
    ) throws(StreamSocketError) {
        options = Options(address: .unix(path: "", isAbstract: false))
        super.init(label: label, loop: loop)
        if isServer {
            listenerNumber = descriptor.number
            listener = consume descriptor
            try listen()
        } else {
            adopt(descriptor)
        }
    }

    /// Scheme, address and role; `disconnected:` before it while nobody is there.
    public override var filename: String {
        let scheme = options.isTelnet ? "telnet" : "tcp"
        let base = options.address.text(scheme: scheme) + (options.isServer ? ",server=on" : "")
        if !isOpen { return "disconnected:" + base }
        return connectionName.isEmpty ? base : "\(scheme):\(connectionName)"
    }

    /// The port that a TCP server got, also when it asked for any (port 0).
    public var boundAddress: String? { StreamSocket.name(of: listenerNumber, peer: false) }

    private func listen() throws(StreamSocketError) {
        do throws(Errno) {
            let flags = try retrying { fcntl(listenerNumber, F_GETFL) }
            _ = try retrying { fcntl(listenerNumber, F_SETFL, flags | O_NONBLOCK) }
            listenWatch = try loop.watch(listenerNumber, isOpen ? [] : .readable) { [weak self] _ in
                guard let self, let client = StreamSocket.accept(listenerNumber) else { return }
                adopt(client)
            }
        } catch { throw StreamSocketError("Failed to listen on socket: \(error)") }
    }

    private func adopt(_ client: consuming FileDescriptor) {
        if options.noDelay { StreamSocket.setNoDelay(client.number) }
        let server = options.isServer ? ",server=on" : ""
        if let own = StreamSocket.name(of: client.number, peer: false),
            let peer = StreamSocket.name(of: client.number, peer: true)
        {
            connectionName = "\(own)\(server) <-> \(peer)"
        } else {
            connectionName = ""
        }
        telnet = TelnetDecoder()
        do throws(Errno) {
            try client.setNonBlocking(true)
            try attach(StreamFiles(both: client))
            try listenWatch?.setInterest([])
        } catch {
            detach()
            return
        }
        if options.isTelnet { sendRaw(TelnetDecoder.greeting) }
    }

    /// A server waits for the next client, a client tries again where `reconnect` says so.
    public override func ended() {
        detach()
        dropReceived()
        guard !isClosed else { return }
        if options.isServer {
            // Where the interest cannot be changed the listening socket is not watched any more: no further client.
            try? listenWatch?.setInterest(.readable)
        } else if options.reconnectSeconds > 0 {
            scheduleRetry()
        }
    }

    /// The client is sent away as if it had gone itself.
    public func disconnect() { ended() }

    // MARK: descriptors that come along

    /// As read(2); file descriptors that come along are kept, at most `receivedLimit`.
    public override func read(_ descriptor: Int32, into buffer: UnsafeMutableRawBufferPointer) -> Int {
        var room = [Int32](repeating: -1, count: Self.receivedLimit)
        var count = Int32(max(0, Self.receivedLimit - received.count))
        // The call writes inside the buffer and at most `count` numbers.
        let length = unsafe roost_receive(descriptor, buffer.baseAddress, buffer.count, &room, &count)
        received += room.prefix(Int(max(count, 0)))
        return length
    }

    /// The oldest one not taken; the caller closes it. Nil when there is none.
    public func takeReceivedDescriptor() -> Int32? { received.isEmpty ? nil : received.removeFirst() }

    private func dropReceived() {
        for number in received { _ = Glibc.close(number) }
        received = []
    }

    private func scheduleRetry() {
        retry?.arm(at: monotonicNanoseconds() + UInt64(options.reconnectSeconds) * 1_000_000_000)
    }

    private func connectAgain() {
        guard !isOpen, !isClosed else { return }
        do throws(StreamSocketError) { adopt(try StreamSocket.connect(options.address)) } catch { scheduleRetry() }
    }

    /// Takes telnet's commands out and tells the front end of breaks.
    public override func decode(_ bytes: [UInt8]) -> [UInt8] {
        guard options.isTelnet else { return bytes }
        let (text, breaks) = telnet.decode(bytes)
        for _ in 0..<breaks { frontend?.handle(.breakReceived) }
        return text
    }

    /// Doubles each 255 for telnet.
    public override func encode(_ bytes: ArraySlice<UInt8>) -> ArraySlice<UInt8> {
        guard options.isTelnet, bytes.contains(TelnetDecoder.command) else { return bytes }
        return bytes.flatMap { $0 == TelnetDecoder.command ? [$0, $0] : [$0] }[...]
    }

    /// Stops listening and trying again, and closes descriptors that nobody took.
    public override func close() {
        isClosed = true
        retry?.cancel()
        listenWatch?.cancel()
        listenWatch = nil
        super.close()
        dropReceived()
        listener = nil
        listenerNumber = -1
        if options.isServer, case .unix(let path, false) = options.address, !path.isEmpty {
            // The path was made by bind; whoever removed it before did the same.
            _ = unsafe unlink(path)
        }
    }
}

/// Takes telnet's commands out of a stream (RFC 854).
struct TelnetDecoder {
    /// "Interpret as command".
    static let command: UInt8 = 255
    /// The server echoes, needs no go-ahead, and both sides are binary.
    static let greeting: [UInt8] = [255, 251, 1, 255, 251, 3, 255, 251, 0, 255, 253, 0]
    private static let breakCommand: UInt8 = 243, subnegotiation: UInt8 = 250, subnegotiationEnd: UInt8 = 240
    private static let options: ClosedRange<UInt8> = 251...254

    private enum State { case text, command, option, subnegotiation, subnegotiationCommand }
    private var state = State.text

    /// The text of some bytes, and how many breaks were among them.
    mutating func decode(_ bytes: [UInt8]) -> (text: [UInt8], breaks: Int) {
        var text: [UInt8] = []
        var breaks = 0
        for byte in bytes {
            switch state {
            case .text:
                if byte == Self.command { state = .command } else { text.append(byte) }
            case .command:
                state = .text
                if byte == Self.command {
                    text.append(byte)
                } else if byte == Self.breakCommand {
                    breaks += 1
                } else if Self.options.contains(byte) {
                    state = .option
                } else if byte == Self.subnegotiation {
                    state = .subnegotiation
                }
            case .option: state = .text
            case .subnegotiation: if byte == Self.command { state = .subnegotiationCommand }
            case .subnegotiationCommand: state = byte == Self.subnegotiationEnd ? .text : .subnegotiation
            }
        }
        return (text, breaks)
    }
}
