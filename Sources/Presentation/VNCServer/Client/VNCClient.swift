// SPDX-License-Identifier: Apache-2.0

internal import DisplaySurfaces
internal import HostIO
internal import HostSystem

/// One connection: a thread that reads what the client says, and one that sends it pictures.
///
///     knocking ──handshake──▶ admitted ──▶ connected ──either side, or an error──▶ ended
///
/// `state` and the flags are guarded by `lock`; what is marked so belongs to the event loop's thread.
final class VNCClient: @unchecked Sendable {
    private(set) var info: VNCClientInfo
    private unowned let server: VNCServer
    private let socket: SocketChannel
    private let isTrusted: Bool
    private let lock = Lock()
    private var state: ClientState?
    private var isEnded = false
    private var hasScreenAlone = false
    private var postedInput = 0
    private static let mostPostedInput = 128
    /// Of the event loop's thread.
    var hands = ClientInput()

    /// - Parameter isTrusted: comes in without proof (`add_client` with skipauth).
    init(_ socket: SocketChannel, info: VNCClientInfo, server: VNCServer, isTrusted: Bool) {
        (self.socket, self.info, self.server, self.isTrusted) = (socket, info, server, isTrusted)
    }

    /// Begins; the thread keeps this object and the server until the connection has ended.
    func start() throws(Errno) {
        let server = server
        _ = try HostThread(name: "vnc-client") { [self] in
            do throws(VNCFailure) { try converse() } catch { server.note(self, error) }
            end()
            server.ended(self)
        }
    }

    /// Ends the connection. Callable on any thread.
    func end() {
        lock.withLock {
            isEnded = true
            lock.broadcast()
        }
        socket.shutDown()
    }

    /// The client came through the handshake.
    var isAdmitted: Bool { lock.withLock { state != nil } }
    /// It waits for a picture.
    var isWaiting: Bool { lock.withLock { state?.isWaiting ?? false } }

    /// It has the screen for itself.
    var isExclusive: Bool { lock.withLock { hasScreenAlone } }
    func setExclusive(_ isExclusive: Bool) { lock.withLock { hasScreenAlone = isExclusive } }
    /// What it can do.
    var features: ClientFeatures { lock.withLock { state?.features ?? [] } }

    /// Changes what is to be sent, and wakes who sends it.
    func update(_ body: (inout ClientState) -> Void) {
        lock.withLock {
            guard state != nil else { return }
            body(&state!)
            lock.broadcast()
        }
    }

    // MARK: the reading thread

    private func converse() throws(VNCFailure) {
        let outcome = try server.handshake(isWebSocket: info.peer.isWebSocket, isTrusted: isTrusted, over: socket) {
            [self] name in
            lock.withLock { info.certificateName = name }
        }
        guard let image = server.admit(self, isShared: outcome.isShared) else {
            throw VNCFailure("the screen is not shared")
        }
        let channel = outcome.channel
        try channel.send(serverInit(image))
        lock.withLock { state = ClientState(image: image, isLocal: isLocal) }
        server.admitted(self)
        let sender = try startSender(on: channel)
        defer {
            end()
            sender.join()
        }
        while true { try obey(try ClientMessage(from: outcome.reader)) }
    }

    private func startSender(on channel: any VNCChannel) throws(VNCFailure) -> HostThread {
        do throws(Errno) { return try HostThread(name: "vnc-send") { [self] in send(on: channel) } } catch {
            throw VNCFailure("no thread: \(error)")
        }
    }

    private var isLocal: Bool {
        info.peer.family == "unix" || info.peer.host == "127.0.0.1" || info.peer.host == "::1"
    }

    private func serverInit(_ image: DisplayImage) -> [UInt8] {
        var bytes: [UInt8] = []
        for side in [image.width, image.height] {
            bytes += [UInt8(truncatingIfNeeded: side >> 8), UInt8(truncatingIfNeeded: side)]
        }
        return bytes + PixelFormat.native.encoded + VNCHandshake.text(server.title)
    }

    private func obey(_ message: ClientMessage) throws(VNCFailure) {
        switch message {
        case .setPixelFormat(let format): update { $0.set(format) }
        case .setEncodings(let list):
            update { $0.set(list) }
            post { server, client in server.greet(client) }
        case .updateRequest(let isIncremental, let part):
            update { $0.request(isIncremental: isIncremental, part) }
            server.pictureWanted()
        case .clipboard: break
        case .power(let number):
            guard let button = VNCPowerButton(rawValue: number) else { return }
            post { server, client in server.press(button, client) }
        case .key, .extendedKey, .pointer, .setDesktopSize:
            post { server, client in server.input(message, from: client) }
        }
    }

    /// Hands something to the event loop, and waits where that does not keep up.
    private func post(_ work: @escaping @Sendable (VNCServer, VNCClient) -> Void) {
        let goesOn = lock.withLock {
            while postedInput >= Self.mostPostedInput, !isEnded { lock.wait() }
            postedInput += 1
            return !isEnded
        }
        guard goesOn else { return }
        server.loop.post { [weak server, self] in
            lock.withLock {
                postedInput -= 1
                lock.broadcast()
            }
            if let server { work(server, self) }
        }
    }

    // MARK: the sending thread

    private func send(on channel: any VNCChannel) {
        let encoder = UpdateEncoder()
        while true {
            lock.lock()
            while !isEnded, !(state?.isReady ?? false) { lock.wait() }
            let messages = state?.takeMessages() ?? [], job = state?.takeUpdate()
            let stops = isEnded
            lock.unlock()
            if stops { return }
            do throws(VNCFailure) {
                if !messages.isEmpty { try channel.send(messages) }
                if let job { try channel.send(try encoder.update(job.image, job.parts, job.choice)) }
            } catch {
                // The reading thread learns of it from the socket.
                return end()
            }
        }
    }
}
