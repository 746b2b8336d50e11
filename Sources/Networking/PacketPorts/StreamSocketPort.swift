// SPDX-License-Identifier: Apache-2.0

public import CLinux
public import Diagnostics
internal import Glibc
public import HostIO
internal import HostSystem

/// `socket,listen=` and `socket,connect=`: frames over TCP, each behind its length in four bytes, big-endian.
///
/// A listening port serves one connection at a time and listens again when that ends. Used on the loop's thread.
public final class StreamSocketPort: PacketPort, @unchecked Sendable {
    private static let lengthCount = 4
    /// Bytes kept for a peer that does not read before the device has to wait.
    private static let sendLimit = 1 << 20

    /// Who gets the frames; nobody reads the connection while it is nil.
    public weak var receiver: (any PacketReceiver)? { didSet { updateInterest() } }
    /// QEMU's text for `info network`: the peer, or what is waited for.
    public var description: String {
        "index=0,type=socket," + (peerText ?? (listener != nil ? "listen=\(address.text)" : "connect=\(address.text)"))
    }
    /// Where it listens, with the port that the kernel chose for 0, or connects to.
    public private(set) var address: SocketAddress
    /// Whether there is a peer.
    public var isConnected: Bool { connection != nil && !isConnecting }

    private final class Connection {
        let file: FileDescriptor
        init(_ file: consuming FileDescriptor) { self.file = file }
    }
    private let loop: EventLoop
    private var listener: Connection?
    private var listenerWatch: EventLoop.Watch?
    private var connection: Connection?
    private var connectionWatch: EventLoop.Watch?
    private var isConnecting = false
    private var peerText: String?
    private var input: [UInt8] = []
    private var inputStart = 0
    private var output: [UInt8] = []
    private var isSenderWaiting = false
    private var isReceiverBusy = false

    /// Waits for a peer at an address.
    public init(listeningAt address: SocketAddress, on loop: EventLoop) throws(UserError) {
        self.address = address
        self.loop = loop
        do {
            let file = try SocketCall.make(SOCK_STREAM)
            try SocketCall.set(file.number, level: SOL_SOCKET, SO_REUSEADDR, 1)
            try SocketCall.bind(file.number, address)
            _ = try retrying { listen(file.number, 1) }
            if let actual = SocketCall.localAddress(file.number) { self.address = actual }
            listener = Connection(file)
            try watchListener()
        } catch {
            throw UserError("can't listen on \(address.text)", because: error)
        }
    }

    /// Connects to a peer that listens.
    public init(connectingTo address: SocketAddress, on loop: EventLoop) throws(UserError) {
        self.address = address
        self.loop = loop
        do {
            let file = try SocketCall.make(SOCK_STREAM)
            try SocketCall.connect(file.number, address)
            isConnecting = true
            try adopt(Connection(file))
        } catch {
            throw UserError("can't connect to \(address.text)", because: error)
        }
    }

    // MARK: Connections

    private func watchListener() throws(Errno) {
        guard let listener, listenerWatch == nil else { return }
        listenerWatch = try loop.watch(listener.file.number, .readable) { [weak self] _ in self?.accept() }
    }

    private func accept() {
        guard let listener, connection == nil else { return }
        // A peer that has gone again, or no descriptors left: the next readiness tries again.
        guard let file = try? SocketCall.accept(listener.file.number) else { return }
        listenerWatch?.cancel()
        listenerWatch = nil
        peerText = "connection from \(address.text)"
        do {
            try adopt(Connection(file))
        } catch {
            Console.shared.warning("the connection at \(address.text) cannot be served: \(error)")
            disconnect()
        }
    }

    private func adopt(_ new: Connection) throws(Errno) {
        connection = new
        connectionWatch = try loop.watch(
            new.file.number, isConnecting ? .writable : .readable
        ) { [weak self] in self?.ready($0) }
        if !isConnecting { receiver?.linkChanged(isUp: true) }
    }

    private func disconnect() {
        connectionWatch?.cancel()
        connectionWatch = nil
        connection = nil
        isConnecting = false
        peerText = nil
        input = []
        inputStart = 0
        output = []
        isReceiverBusy = false
        receiver?.linkChanged(isUp: false)
        if isSenderWaiting {
            isSenderWaiting = false
            receiver?.portIsReady()
        }
        do {
            try watchListener()
        } catch {
            Console.shared.warning("no more connections are accepted at \(address.text): \(error)")
        }
    }

    private func updateInterest() {
        var interest: EventLoop.Readiness = []
        if isConnecting || !output.isEmpty { interest.insert(.writable) }
        if !isConnecting, !isReceiverBusy, receiver != nil { interest.insert(.readable) }
        // Fails only for a descriptor that was closed, and then its watch is gone.
        try? connectionWatch?.setInterest(interest)
    }

    private func ready(_ readiness: EventLoop.Readiness) {
        guard let connection else { return }
        if isConnecting {
            if let failure = SocketCall.pendingError(connection.file.number) {
                Console.shared.warning("can't connect to \(address.text): \(failure)")
                return disconnect()
            }
            isConnecting = false
            receiver?.linkChanged(isUp: true)
        }
        if readiness.contains(.writable) { flush() }
        if readiness.contains(.readable) { fill() } else if readiness.contains(.hangup) { disconnect() }
        updateInterest()
    }

    // MARK: Receiving

    private func fill() {
        guard let connection else { return }
        let chunk = 65536
        do {
            let count = try unsafe withUnsafeTemporaryAllocation(byteCount: chunk, alignment: 8) { buffer in
                // The kernel writes at most the buffer's length.
                let count = try unsafe connection.file.read(into: buffer)
                unsafe input.append(contentsOf: buffer[..<count])
                return count
            }
            guard count > 0 else { return disconnect() }
        } catch {
            if error as? Errno != .wouldBlock { disconnect() }
            return
        }
        deliver()
    }

    private func deliver() {
        while input.count - inputStart >= Self.lengthCount {
            var length = 0
            for byte in input[inputStart..<inputStart + Self.lengthCount] { length = length << 8 | Int(byte) }
            guard length <= maximumFrameCount else {
                Console.shared.warning("the peer at \(address.text) sends frames of \(length) bytes; disconnected")
                return disconnect()
            }
            let begin = inputStart + Self.lengthCount
            guard input.count - begin >= length else { break }
            // The slice's bytes stay in place for the call: nothing changes `input` meanwhile but `disconnect`,
            // which gives up this reference to the storage that the closure holds.
            let bytes = input
            let disposition = unsafe bytes[begin..<begin + length].withUnsafeBytes { frame in
                unsafe receiver?.receive(frame) ?? .accepted
            }
            guard connection != nil else { return }
            if disposition == .busy {
                isReceiverBusy = true
                break
            }
            inputStart = begin + length
        }
        if inputStart > 0 {
            input.removeFirst(inputStart)
            inputStart = 0
        }
        updateInterest()
    }

    /// Delivers the frames that are here and reads on.
    public func receiverIsReady() {
        guard isReceiverBusy else { return }
        isReceiverBusy = false
        deliver()
    }

    // MARK: Sending

    /// Keeps up to 1 MiB for a slow peer, then `busy`; without a peer the frame is lost.
    public func send(_ vectors: UnsafeBufferPointer<iovec>) -> PacketDisposition {
        // As on a wire without a plug.
        guard isConnected else { return .accepted }
        guard output.count < Self.sendLimit else {
            isSenderWaiting = true
            return .busy
        }
        var length = 0
        // The vectors are the sender's for the call.
        for index in 0..<vectors.count { unsafe length += vectors[index].iov_len }
        for shift in [24, 16, 8, 0] { output.append(UInt8(truncatingIfNeeded: length >> shift)) }
        for index in 0..<vectors.count {
            unsafe output.append(
                contentsOf: UnsafeRawBufferPointer(start: vectors[index].iov_base, count: vectors[index].iov_len))
        }
        flush()
        updateInterest()
        return .accepted
    }

    private func flush() {
        guard let connection, !output.isEmpty else { return }
        var done = 0
        while done < output.count {
            // `done` is below the count; MSG_NOSIGNAL: a peer that is gone is an error and no signal.
            let sent = unsafe output.withUnsafeBytes {
                unsafe Glibc.send(connection.file.number, $0.baseAddress! + done, $0.count - done, Int32(MSG_NOSIGNAL))
            }
            if sent < 0 {
                if Errno.current == .interrupted { continue }
                if Errno.current != .wouldBlock { return disconnect() }
                break
            }
            done += sent
        }
        output.removeFirst(done)
        if isSenderWaiting, output.count < Self.sendLimit / 2 {
            isSenderWaiting = false
            receiver?.portIsReady()
        }
    }

    /// Ends connection and listening.
    public func close() {
        listenerWatch?.cancel()
        listenerWatch = nil
        listener = nil
        receiver = nil
        connectionWatch?.cancel()
        connectionWatch = nil
        connection = nil
    }
}
