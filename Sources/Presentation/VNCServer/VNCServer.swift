// SPDX-License-Identifier: Apache-2.0

public import CharacterStreams
public import Diagnostics
public import DisplaySurfaces
public import HostIO
public import HostSystem
public import TransportSecurity

/// Shows a screen to viewers over the network (RFB, RFC 6143) and takes their keys and pointers.
///
/// Everything public is called on the event loop's thread. Each client has threads of its own, which encode and wait;
/// `lock` guards what they share with the loop: the list of clients, the password and the picture.
public final class VNCServer: @unchecked Sendable {
    /// As it was set up.
    public let settings: VNCSettings
    /// Told of clients that come and go, on the event loop's thread.
    public var eventHandler: ((VNCEvent) -> Void)?
    /// Told of buttons that clients press, on the event loop's thread.
    public var powerHandler: ((VNCPowerButton) -> Void)?
    let loop: EventLoop
    let console: DisplayConsole
    let router: InputRouter
    private var listeners: [VNCListener] = []
    private var indicators: UInt8 = 0
    private static let capsLockLight: UInt8 = 4
    private let lock = Lock()
    private var clients: [VNCClient] = []
    private var password: [UInt8]?
    private var expiry: Int64?
    private var image: DisplayImage
    private var credentials: TLSCredentials?
    private var timer: LoopTimer?
    private var isClosed = false
    private var lastRefresh: UInt64 = 0
    private var interval = VNCServer.shortestInterval
    /// Between pictures, in nanoseconds: the usual time, and the longest while nothing changes.
    private static let shortestInterval: UInt64 = 30_000_000, longestInterval: UInt64 = 200_000_000
    private static let intervalStep: UInt64 = 10_000_000
    /// A client that has not come in by then is sent away.
    private static let handshakeLimit: UInt64 = 30_000_000_000

    var title: String { settings.title }

    /// A server that listens.
    /// - Parameters:
    ///   - console: what it shows.
    ///   - router: where its clients' keys go.
    /// - Throws: an address that cannot be had.
    public init(
        _ settings: VNCSettings, console: DisplayConsole, router: InputRouter, loop: EventLoop
    ) throws(UserError) {
        (self.settings, self.console, self.router, self.loop) = (settings, console, router, loop)
        (password, credentials, image) = (settings.password, settings.credentials, console.image)
        timer = loop.makeTimer { [weak self] in self?.refresh() }
        try listen(settings.addresses, isWebSocket: false)
        try listen(settings.webAddresses, isWebSocket: true)
        console.add(self)
    }

    private func listen(_ addresses: [StreamAddress], isWebSocket: Bool) throws(UserError) {
        guard !addresses.isEmpty else { return }
        listeners.append(
            try VNCListener(addresses, isWebSocket: isWebSocket, loop: loop) { [weak self] socket in
                self?.accept(socket, isWebSocket: isWebSocket, isTrusted: false)
            })
    }

    /// Ends all connections and listens no more.
    public func close() {
        isClosed = true
        timer?.cancel()
        console.remove(self)
        for listener in listeners { listener.close() }
        listeners = []
        for client in lock.withLock({ clients }) { client.end() }
    }

    // MARK: reports

    /// Where it listens.
    public var endpoints: [VNCEndpoint] { listeners.map(\.endpoint) }
    /// Clients that came in.
    public var clientInfos: [VNCClientInfo] {
        lock.withLock { clients }.filter(\.isAdmitted).map(\.info)
    }
    /// How clients prove who they are: "none", "vnc", "vencrypt".
    public var proofName: String { credentials != nil ? "vencrypt" : settings.needsPassword ? "vnc" : "none" }
    /// Within VeNCrypt: "x509-none", "x509-vnc"; nil without encryption.
    public var encryptionName: String? { credentials == nil ? nil : settings.needsPassword ? "x509-vnc" : "x509-none" }

    // MARK: what management says

    /// Sets the password; nil for none, with which nobody gets in.
    public func setPassword(_ password: [UInt8]?) { lock.withLock { self.password = password } }
    /// The password counts until that second since 1970; nil for ever.
    public func setExpiry(_ second: Int64?) { lock.withLock { expiry = second } }
    /// Whether there is a proof that a password could be for.
    public var needsPassword: Bool { settings.needsPassword }
    /// Uses other certificates for clients that come from now on.
    public func reload(_ credentials: TLSCredentials) { lock.withLock { self.credentials = credentials } }
    /// Listens elsewhere; clients that are connected stay.
    public func move(to addresses: [StreamAddress]) throws(UserError) {
        let old = listeners
        for listener in old { listener.close() }
        listeners = []
        try listen(addresses, isWebSocket: false)
    }
    /// Sends all clients away.
    public func disconnectAll() { for client in lock.withLock({ clients }) { client.end() } }
    /// Takes over a connection that somebody else accepted.
    public func add(_ socket: consuming FileDescriptor, skipsProof: Bool) {
        accept(socket, isWebSocket: false, isTrusted: skipsProof)
    }
    /// The lights of the guest's keyboard: bits for scroll, num and caps lock. Callable on any thread.
    public func setIndicators(_ lights: UInt8) {
        loop.post { [weak self] in
            guard let self, lights != indicators else { return }
            indicators = lights
            for client in admittedClients { client.update { $0.sendIndicators(lights) } }
        }
    }

    // MARK: clients come and go

    private var admittedClients: [VNCClient] { lock.withLock { clients }.filter(\.isAdmitted) }

    private func accept(_ socket: consuming FileDescriptor, isWebSocket: Bool, isTrusted: Bool) {
        guard let info = VNCListener.info(of: socket.number, isWebSocket: isWebSocket) else { return }
        guard lock.withLock({ clients.count }) < settings.connectionLimit else { return }
        let client = VNCClient(SocketChannel(socket), info: info, server: self, isTrusted: isTrusted)
        // What the client will be told is the size of the screen as it is now.
        console.refresh()
        lock.withLock {
            clients.append(client)
            image = console.image
        }
        eventHandler?(.connected(info))
        let limit = loop.makeTimer { [weak client] in if let client, !client.isAdmitted { client.end() } }
        limit.arm(at: monotonicNanoseconds() &+ Self.handshakeLimit)
        client.hands.handshakeTimer = limit
        // Without a thread there is no conversation.
        do throws(Errno) { try client.start() } catch { ended(client) }
    }

    /// On the client's thread.
    func handshake(
        isWebSocket: Bool, isTrusted: Bool, over socket: SocketChannel, certificateName: @escaping (String?) -> Void
    ) throws(VNCFailure) -> VNCHandshake.Outcome {
        let credentials = lock.withLock { self.credentials }
        func encrypted() throws(VNCFailure) -> any VNCChannel {
            guard let credentials else { return socket }
            do throws(TLSError) {
                let session = try TLSSession(credentials, descriptor: socket.number)
                certificateName(try session.handshake())
                return SecureChannel(session, over: socket)
            } catch { throw VNCFailure("\(error)") }
        }
        // Browsers speak TLS below their own protocol, viewers within theirs.
        let channel: any VNCChannel = isWebSocket ? try WebSocketChannel(try encrypted()) : socket
        let handshake = VNCHandshake(
            proof: settings.needsPassword && !isTrusted ? .password : .none,
            password: { [weak self] in self?.currentPassword },
            encrypt: credentials == nil || isWebSocket || isTrusted ? nil : encrypted)
        return try handshake.perform(on: channel)
    }

    private var currentPassword: [UInt8]? {
        lock.withLock {
            if let expiry, expiry <= hostSeconds() { return nil }
            return password
        }
    }

    /// On the client's thread: whether it may stay, and what it sees first.
    func admit(_ client: VNCClient, isShared: Bool) -> DisplayImage? {
        let others = lock.withLock { clients }.filter { $0 !== client && $0.isAdmitted }
        switch settings.sharePolicy {
        case .ignore: break
        case .forceShared: if !isShared { return nil }
        case .allowExclusive:
            if !isShared {
                for other in others { other.end() }
            } else if others.contains(where: \.isExclusive) {
                return nil
            }
            client.setExclusive(!isShared)
        }
        return lock.withLock { image }
    }

    /// On the client's thread: it is in.
    func admitted(_ client: VNCClient) {
        loop.post { [weak self] in
            guard let self else { return }
            client.hands.handshakeTimer?.cancel()
            client.hands.handshakeTimer = nil
            eventHandler?(.initialized(client.info))
            // The screen may have changed since the first picture was chosen.
            client.update { $0.resize(self.console.image) }
        }
    }

    /// On the client's thread.
    func note(_ client: VNCClient, _ failure: VNCFailure) {
        guard failure != .closed else { return }
        Trace.emit(.vncClientEnded, "\(client.info.peer.host):\(client.info.peer.service) \(failure)")
    }

    /// Any thread: the connection is over.
    func ended(_ client: VNCClient) {
        loop.post { [weak self] in
            guard let self else { return }
            client.hands.handshakeTimer?.cancel()
            client.hands.release(router)
            lock.withLock { clients.removeAll { $0 === client } }
            eventHandler?(.disconnected(client.info))
        }
    }

    // MARK: input

    /// Tells a client what it can use.
    func greet(_ client: VNCClient) {
        let isAbsolute = router.pointerIsAbsolute
        client.hands.knownIsAbsolute = isAbsolute
        let lights = indicators, cursor = console.cursor, hasPower = settings.allowsPowerControl
        client.update { state in
            state.sendKeyboardSupport()
            state.sendPointerType(isAbsolute: isAbsolute)
            state.sendIndicators(lights)
            state.sendSize(reason: 0, status: 0)
            if cursor != nil { state.send(cursor) }
            if hasPower { state.sendPowerSupport() }
        }
    }

    func press(_ button: VNCPowerButton, _ client: VNCClient) {
        if settings.allowsPowerControl { powerHandler?(button) }
    }

    func input(_ message: ClientMessage, from client: VNCClient) {
        interval = Self.shortestInterval
        switch message {
        case .key(keysym: let keysym, isDown: let isDown),
            .extendedKey(keysym: let keysym, code: 0, isDown: let isDown):
            client.hands.key(
                named: keysym, isDown: isDown, capsLockIsOn: indicators & Self.capsLockLight != 0, to: router)
        case .extendedKey(_, let code, let isDown):
            client.hands.key(KeyCode.numbered(Int(code & 0xFF)), isDown: isDown, to: router)
        case .pointer(let buttons, let x, let y):
            client.hands.pointer(
                buttons, x: x, y: y, size: (console.image.width, console.image.height),
                knowsType: client.features.contains(.pointerType), to: router)
        case .setDesktopSize(let width, let height):
            // 4: the wish was passed on; 3: there is no such size.
            let isPassed = width > 0 && height > 0 && console.suggestSize(width: width, height: height)
            client.update { $0.sendSize(reason: 1, status: isPassed ? 4 : 3) }
        default: break
        }
    }

    // MARK: pictures

    /// Any thread: a client waits for a picture.
    func pictureWanted() {
        guard let timer, !timer.isArmed else { return }
        // A stale time of the last refresh only makes the next one come at once.
        timer.arm(at: max(monotonicNanoseconds(), lastRefresh &+ interval))
    }

    private func refresh() {
        guard !isClosed else { return }
        lastRefresh = monotonicNanoseconds()
        let isAbsolute = router.pointerIsAbsolute
        for client in admittedClients where client.hands.knownIsAbsolute != nil {
            guard client.hands.knownIsAbsolute != isAbsolute else { continue }
            client.hands.knownIsAbsolute = isAbsolute
            client.update { $0.sendPointerType(isAbsolute: isAbsolute) }
        }
        let before = generation
        console.refresh()
        for client in admittedClients { client.update { $0.refreshed() } }
        interval =
            generation != before ? Self.shortestInterval : min(interval + Self.intervalStep, Self.longestInterval)
        if admittedClients.contains(where: \.isWaiting) { timer?.arm(at: lastRefresh &+ interval) }
    }

    /// Counts changes of the screen.
    private var generation: UInt64 = 0

    private func show(_ body: (inout ClientState, DisplayImage) -> Void) {
        generation &+= 1
        let image = console.image
        let clients = lock.withLock {
            self.image = image
            return self.clients
        }
        for client in clients { client.update { body(&$0, image) } }
    }
}

extension VNCServer: DisplayListener {
    /// All clients get the new size, or the picture clipped where they know no resizing.
    public func displayResized(_ console: DisplayConsole) { show { $0.resize($1) } }

    /// Marks what is new; each client's thread sends it when the client asks.
    public func displayChanged(_ console: DisplayConsole, _ rectangles: [PixelRectangle]) {
        show { $0.change($1, rectangles) }
    }

    /// To clients that draw the pointer themselves; nil hides it.
    public func cursorChanged(_ console: DisplayConsole, _ cursor: CursorImage?) {
        show { state, _ in state.send(cursor) }
    }
}
