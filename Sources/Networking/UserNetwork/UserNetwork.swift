// SPDX-License-Identifier: Apache-2.0

public import CLinux
internal import CSlirp
public import Diagnostics
internal import Glibc
public import HostIO
internal import HostSystem
public import PacketPorts

/// A network behind one address translator that lives in this process (libslirp): DHCP, DNS, TFTP, outgoing TCP, UDP
/// and ICMP, and forwarded ports. Needs no privilege.
///
/// Everything happens on the event loop's thread, or before it runs.
@safe
public final class UserNetwork: PacketPort, @unchecked Sendable {
    /// The guest's device; gets what waits as soon as it is set.
    public weak var receiver: (any PacketReceiver)? { didSet { receiverIsReady() } }
    /// QEMU's text for `info network`.
    public var description: String {
        "index=0,type=user,net=\(Self.text(plan.network)),restrict=\(options.isRestricted ? "on" : "off")"
    }
    /// The addresses in use.
    public let plan: UserNetworkPlan
    private let options: UserNetworkOptions
    let loop: EventLoop
    // Made once in init and kept until close; libslirp keeps the pointer to the callbacks as long as it lives.
    private var slirp: OpaquePointer?
    private let callbacks: UnsafeMutablePointer<SlirpCb>
    private var delivery = PacketDelivery()
    var polling = SlirpPolling()
    private lazy var timeout: LoopTimer = loop.makeTimer { [weak self] in self?.pollNow() }
    private static let configVersion: UInt32 = 4
    private static let millisecond: UInt64 = 1_000_000
    private static let smallestFrame = 14, largestFrame = 65536

    /// Starts the network and its forwarded ports.
    /// - Throws: QEMU's text for an option that cannot be, or a port that cannot be had.
    public init(_ options: UserNetworkOptions, on loop: EventLoop) throws(UserError) {
        plan = try UserNetworkPlan(options)
        self.options = options
        self.loop = loop
        var forwards: [PortForward] = []
        for rule in options.hostForwards { forwards.append(try PortForward(parsing: rule)) }
        var commands: [CommandForward] = []
        for rule in options.guestForwards { commands.append(try CommandForward(parsing: rule)) }
        unsafe callbacks = .allocate(capacity: 1)
        unsafe callbacks.initialize(to: SlirpCallbacks.make())
        unsafe slirp = nil
        // The network is ended in `close`, or deinit, before this object goes away.
        unsafe slirp = makeNetwork()
        guard unsafe slirp != nil else { throw UserError("the user-mode network could not be started") }
        for (rule, forward) in zip(options.hostForwards, forwards) { try add(forward, rule: rule) }
        for (rule, command) in zip(options.guestForwards, commands) { try add(command, rule: rule) }
        schedule()
    }

    deinit {
        close()
        unsafe callbacks.deallocate()
    }

    private var context: UnsafeMutableRawPointer { unsafe Unmanaged.passUnretained(self).toOpaque() }

    private func makeNetwork() -> OpaquePointer? {
        var config = unsafe SlirpConfig()
        unsafe config.version = Self.configVersion
        unsafe config.restricted = options.isRestricted ? 1 : 0
        unsafe config.in_enabled = plan.hasIPv4
        unsafe config.vnetwork = Self.native(plan.network)
        unsafe config.vnetmask = Self.native(plan.mask)
        unsafe config.vhost = Self.native(plan.host)
        unsafe config.vdhcp_start = Self.native(plan.dhcpStart)
        unsafe config.vnameserver = Self.native(plan.nameServer)
        unsafe config.in6_enabled = plan.hasIPv6
        unsafe config.vprefix_addr6 = Self.native6(plan.network6)
        unsafe config.vprefix_len = plan.prefixLength6
        unsafe config.vhost6 = Self.native6(plan.host6)
        unsafe config.vnameserver6 = Self.native6(plan.nameServer6)
        // libslirp copies every text; the copies made here are freed when it has.
        var texts: [UnsafeMutablePointer<CChar>?] = unsafe []
        func keep(_ text: String?) -> UnsafePointer<CChar>? {
            guard let text, let copy = unsafe strdup(text) else { return nil }
            unsafe texts.append(copy)
            return unsafe UnsafePointer(copy)
        }
        defer { unsafe texts.forEach { unsafe free($0) } }
        unsafe config.vhostname = keep(options.hostName)
        unsafe config.tftp_server_name = keep(options.tftpServerName)
        unsafe config.tftp_path = keep(options.tftpRoot)
        unsafe config.bootfile = keep(options.bootFile)
        unsafe config.vdomainname = keep(options.domainName)
        var domains: [UnsafePointer<CChar>?] = unsafe options.searchDomains.map { unsafe keep($0) }
        guard !options.searchDomains.isEmpty else { return unsafe slirp_new(&config, callbacks, context) }
        unsafe domains.append(nil)
        return unsafe domains.withUnsafeMutableBufferPointer { list in
            unsafe config.vdnssearch = list.baseAddress
            return unsafe slirp_new(&config, callbacks, context)
        }
    }

    // MARK: Forwarding

    /// Opens a port of the host, as `hostfwd_add` does.
    public func addForward(_ rule: String) throws(UserError) {
        try add(try PortForward(parsing: rule), rule: rule)
        schedule()
    }

    /// Closes a port of the host.
    /// - Returns: false where none was open.
    public func removeForward(isUDP: Bool, address: UInt32, port: UInt16) -> Bool {
        guard let slirp = unsafe slirp else { return false }
        // libslirp is alive.
        let status = unsafe slirp_remove_hostfwd(slirp, isUDP ? 1 : 0, Self.native(address), Int32(port))
        schedule()
        return status == 0
    }

    private func add(_ forward: PortForward, rule: String) throws(UserError) {
        guard let slirp = unsafe slirp else { return }
        // libslirp is alive.
        let status = unsafe slirp_add_hostfwd(
            slirp, forward.isUDP ? 1 : 0, Self.native(forward.hostAddress), Int32(forward.hostPort),
            Self.native(forward.guestAddress), Int32(forward.guestPort))
        if status < 0 {
            throw UserError("Could not set up host forwarding rule '\(rule)'", because: Errno.current)
        }
    }

    private func add(_ forward: CommandForward, rule: String) throws(UserError) {
        guard let slirp = unsafe slirp else { return }
        var address = Self.native(forward.address)
        // libslirp copies the command.
        if unsafe slirp_add_exec(slirp, forward.command, &address, Int32(forward.port)) < 0 {
            throw UserError("Conflicting/invalid host:port in guest forwarding rule '\(rule)'")
        }
    }

    /// The connections as `info usernet` lists them.
    public var connections: String {
        guard let slirp = unsafe slirp, let text = unsafe slirp_connection_info(slirp) else { return "" }
        // The text was allocated for the caller.
        defer { unsafe free(text) }
        return unsafe String(cString: text)
    }

    // MARK: Frames

    /// Handed to libslirp at once, which never pushes back.
    public func send(_ vectors: UnsafeBufferPointer<iovec>) -> PacketDisposition {
        guard let slirp = unsafe slirp else { return .accepted }
        if vectors.count == 1, let base = unsafe vectors[0].iov_base {
            unsafe input(slirp, UnsafeRawBufferPointer(start: base, count: vectors[0].iov_len))
        } else {
            let frame = unsafe joined(vectors)
            unsafe frame.withUnsafeBytes { unsafe input(slirp, $0) }
        }
        schedule()
        return .accepted
    }

    private func input(_ slirp: OpaquePointer, _ frame: UnsafeRawBufferPointer) {
        guard frame.count >= Self.smallestFrame, frame.count <= Self.largestFrame else { return }
        // The library reads `count` bytes during the call.
        unsafe slirp_input(slirp, frame.baseAddress?.assumingMemoryBound(to: UInt8.self), Int32(frame.count))
    }

    /// From the library: a frame for the guest.
    func output(_ frame: UnsafeRawBufferPointer) { unsafe delivery.deliver(frame, to: receiver) }

    /// Delivers what waits for the guest.
    public func receiverIsReady() { delivery.resume(receiver) }

    /// Ends all connections and frees libslirp's state.
    public func close() {
        timeout.cancel()
        polling.removeAll()
        receiver = nil
        guard let slirp = unsafe slirp else { return }
        unsafe self.slirp = nil
        // Sockets and timers are given back through the callbacks, which still work.
        unsafe slirp_cleanup(slirp)
    }

    // MARK: Polling

    /// Looks at what the library wants to wait for, once for all that happens in this turn of the loop.
    func schedule() {
        guard !polling.isRefreshPosted else { return }
        polling.isRefreshPosted = true
        loop.post { [weak self] in self?.refresh() }
    }

    private func refresh() {
        polling.isRefreshPosted = false
        guard let slirp = unsafe slirp else { return }
        polling.beginFill()
        var wait = UInt32.max
        unsafe slirp_pollfds_fill(slirp, &wait, SlirpCallbacks.addPoll, context)
        polling.apply(on: loop) { [weak self] in self?.becameReady() }
        if wait == .max {
            timeout.cancel()
        } else {
            timeout.arm(at: monotonicNanoseconds() + UInt64(wait) * Self.millisecond)
        }
    }

    private func becameReady() {
        guard !polling.isPollPosted else { return }
        polling.isPollPosted = true
        loop.post { [weak self] in self?.pollNow() }
    }

    private func pollNow() {
        polling.isPollPosted = false
        guard let slirp = unsafe slirp else { return }
        unsafe slirp_pollfds_poll(slirp, 0, SlirpCallbacks.readiness, context)
        polling.clearReadiness()
        schedule()
    }

    /// A timer of the library's own, by its number (router advertisements).
    func fire(timer: UInt32, argument: UnsafeMutableRawPointer?) {
        guard let slirp = unsafe slirp else { return }
        // The argument is what the library gave when it made the timer.
        unsafe slirp_handle_timer(slirp, SlirpTimerId(timer), argument)
        schedule()
    }

    // MARK: Addresses

    private static func native(_ address: UInt32) -> in_addr { in_addr(s_addr: address.bigEndian) }

    private static func native6(_ bytes: [UInt8]) -> in6_addr {
        var value = in6_addr()
        // Both are 16 bytes.
        unsafe withUnsafeMutableBytes(of: &value) { unsafe $0.copyBytes(from: bytes.prefix(16)) }
        return value
    }

    private static func text(_ address: UInt32) -> String { SocketAddress(address: address, port: 0).host }
}
