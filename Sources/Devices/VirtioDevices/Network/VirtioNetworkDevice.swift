// SPDX-License-Identifier: Apache-2.0

internal import CLinux
internal import GuestMemory
public import HostIO
public import HostSystem
public import PacketPorts
public import StateCoding
public import Virtio

/// Feature bits of a network device (Virtio 1.2, 5.1.3).
extension VirtioFeatures {
    static let networkChecksum = VirtioFeatures(bit: 0), networkGuestChecksum = VirtioFeatures(bit: 1)
    static let networkControlOffloads = VirtioFeatures(bit: 2)
    static let networkMTU = VirtioFeatures(bit: 3), networkAddress = VirtioFeatures(bit: 5)
    /// Legacy: any kind of segmentation.
    static let networkSegmentation = VirtioFeatures(bit: 6)
    static let networkGuestTCP4 = VirtioFeatures(bit: 7), networkGuestTCP6 = VirtioFeatures(bit: 8)
    static let networkGuestCongestion = VirtioFeatures(bit: 9), networkGuestUDP = VirtioFeatures(bit: 10)
    static let networkHostTCP4 = VirtioFeatures(bit: 11), networkHostTCP6 = VirtioFeatures(bit: 12)
    static let networkHostCongestion = VirtioFeatures(bit: 13), networkHostUDP = VirtioFeatures(bit: 14)
    static let networkMergeableBuffers = VirtioFeatures(bit: 15), networkStatus = VirtioFeatures(bit: 16)
    static let networkControl = VirtioFeatures(bit: 17), networkControlReceive = VirtioFeatures(bit: 18)
    static let networkControlVLAN = VirtioFeatures(bit: 19), networkControlReceiveExtra = VirtioFeatures(bit: 20)
    static let networkAnnounce = VirtioFeatures(bit: 21), networkControlAddress = VirtioFeatures(bit: 23)
    /// Everything that needs the control queue.
    static let allNetworkControl: VirtioFeatures = [
        .networkControl, .networkControlOffloads, .networkControlReceive, .networkControlVLAN,
        .networkControlReceiveExtra, .networkAnnounce, .networkControlAddress,
    ]
}

/// What can be said of a network device on the command line.
public struct VirtioNetworkOptions: Equatable, Sendable {
    /// `mac=`: six bytes.
    public var address: [UInt8]
    /// `host_mtu=`: told to the driver; nil for none.
    public var mtu: UInt16?
    /// What is not offered.
    private(set) var disabled: VirtioFeatures = []
    /// `rx_queue_size=` and `tx_queue_size=`: powers of two, 64...1024.
    public var receiveQueueSize: UInt16 = 256, transmitQueueSize: UInt16 = 256

    /// QEMU's defaults for an address.
    public init(address: [UInt8]) { self.address = address }

    /// The feature behind each property that can be switched off: "csum", "mrg_rxbuf", "ctrl_vq"...
    private static let properties: [String: VirtioFeatures] = [
        "csum": .networkChecksum, "guest_csum": .networkGuestChecksum, "gso": .networkSegmentation,
        "guest_tso4": .networkGuestTCP4, "guest_tso6": .networkGuestTCP6, "guest_ecn": .networkGuestCongestion,
        "guest_ufo": .networkGuestUDP, "host_tso4": .networkHostTCP4, "host_tso6": .networkHostTCP6,
        "host_ecn": .networkHostCongestion, "host_ufo": .networkHostUDP, "mrg_rxbuf": .networkMergeableBuffers,
        "status": .networkStatus, "ctrl_vq": .allNetworkControl, "ctrl_rx": .networkControlReceive,
        "ctrl_vlan": .networkControlVLAN, "ctrl_rx_extra": .networkControlReceiveExtra,
        "ctrl_mac_addr": .networkControlAddress, "ctrl_guest_offloads": .networkControlOffloads,
        "guest_announce": .networkAnnounce,
    ]

    /// Switches off what a property stands for.
    /// - Returns: false for a name that is no such property.
    public mutating func disable(_ property: String) -> Bool {
        guard let features = Self.properties[property] else { return false }
        disabled.formUnion(features)
        return true
    }

    var hasControlQueue: Bool { !disabled.contains(.networkControl) }
}

/// `virtio-net`: a network card on a packet port (Virtio 1.2, 5.1).
///
/// Frames are moved on the thread of the port's event loop; `lock` guards everything but the port, which belongs to that
/// thread. The lock is never held while the port is called, nor is the machine lock asked for with it held. The control
/// queue is served on the vCPU's thread.
public final class VirtioNetworkDevice: VirtioThreadedDevice, PlainlyStateful, PacketReceiver, @unchecked Sendable {
    /// The transport adds `-pci` or `-device`.
    public let name = "virtio-net"
    /// Device type 1 (5.1.1).
    public let type = VirtioDeviceType.network
    /// What the properties leave on and the port can do.
    public let features: VirtioFeatures
    /// Receive, transmit, and 64 entries for the control queue unless it is off.
    public let queueSizes: [UInt16]
    private static let controlQueueSize: UInt16 = 64
    enum QueueNumber {
        static let receive = 0, transmit = 1, control = 2
    }

    let options: VirtioNetworkOptions
    let port: any PacketPort
    let loop: EventLoop
    let lock = Lock()
    // Guarded by `lock`.
    var filter: VirtioNetworkFilter
    var context: VirtioActivation?
    /// Counts activations and resets, so that work that was under way can tell that its request is gone.
    var generation = 0
    var isLinkUp = true
    private var receiveOffloads: PacketOffloads = []
    var announcePending = false
    /// Bytes of the header in front of the driver's frames.
    var headerSize = 12
    var mergesBuffers = false
    /// The port waits for buffers of the driver.
    var isPortWaiting = false
    // Used on the loop's thread with `lock` held, or by it alone.
    var transmission = VirtioNetworkTransmission()
    var reception = VirtioNetworkReception()
    private var transmitKick: QueueKick?
    private var receiveKick: QueueKick?

    /// A card on a port, which must belong to `loop`.
    public init(_ options: VirtioNetworkOptions, port: any PacketPort, loop: EventLoop) {
        precondition(options.address.count == VirtioNetworkFilter.addressCount)
        self.options = options
        self.port = port
        self.loop = loop
        filter = VirtioNetworkFilter(address: options.address)
        features = Self.features(options, port.supportedOffloads)
        queueSizes =
            [options.receiveQueueSize, options.transmitQueueSize]
            + (options.hasControlQueue ? [Self.controlQueueSize] : [])
        transmitKick = QueueKick(loop) { [weak self] in self?.transmit() }
        receiveKick = QueueKick(loop) { [weak self] in self?.buffersArrived() }
        port.receiver = self
    }

    private static func features(
        _ options: VirtioNetworkOptions, _ supported: PacketOffloads
    ) -> VirtioFeatures {
        var features: VirtioFeatures = [.networkAddress, .networkMergeableBuffers, .networkStatus]
        features.formUnion(.allNetworkControl)
        if options.mtu != nil { features.insert(.networkMTU) }
        for (offload, bits) in offloadBits where supported.contains(offload) { features.formUnion(bits) }
        return features.subtracting(options.disabled)
    }

    /// Each offload with the features that it makes possible both ways.
    private static let offloadBits: [(PacketOffloads, VirtioFeatures)] = [
        (.checksum, [.networkChecksum, .networkGuestChecksum, .networkSegmentation]),
        (.tcp4, [.networkHostTCP4, .networkGuestTCP4]), (.tcp6, [.networkHostTCP6, .networkGuestTCP6]),
        (.congestion, [.networkHostCongestion, .networkGuestCongestion]),
        (.udp, [.networkHostUDP, .networkGuestUDP]),
    ]

    /// What a driver with these features takes unfinished.
    static func receiveOffloads(_ features: VirtioFeatures) -> PacketOffloads {
        var offloads: PacketOffloads = []
        guard features.contains(.networkGuestChecksum) else { return offloads }
        offloads.insert(.checksum)
        if features.contains(.networkGuestTCP4) { offloads.insert(.tcp4) }
        if features.contains(.networkGuestTCP6) { offloads.insert(.tcp6) }
        if features.contains(.networkGuestCongestion) { offloads.insert(.congestion) }
        if features.contains(.networkGuestUDP) { offloads.insert(.udp) }
        return offloads
    }

    // MARK: Registers (section 5.1.4)

    private enum Status {
        static let linkUp: UInt16 = 1, announce: UInt16 = 2
    }

    /// Hardware address, status with link and announcement, and the MTU if one is given.
    public func readConfig() -> [UInt8] {
        lock.withLock {
            var bytes = filter.address
            let status = (isLinkUp ? Status.linkUp : 0) | (announcePending ? Status.announce : 0)
            bytes.append(register: status)
            if let mtu = options.mtu {
                // The number of queue pairs stands before the MTU.
                bytes.append(register: UInt16(1))
                bytes.append(register: mtu)
            }
            return bytes
        }
    }

    /// Sets a byte of the hardware address, for legacy drivers without the control command.
    public func writeConfig(offset: Int, size: Int, value: UInt64) {
        lock.withLock {
            // Legacy drivers without the command set the address byte by byte; modern ones must not.
            if let features = context?.features, !features.isDisjoint(with: [.networkControlAddress, .version1]) {
                return
            }
            for index in 0..<size where offset + index < VirtioNetworkFilter.addressCount {
                filter.address[offset + index] = UInt8(truncatingIfNeeded: value >> UInt64(index * 8))
            }
        }
    }

    // MARK: Life

    /// Tells the port the header's size and the offloads that the driver agreed to.
    public func activate(_ context: VirtioActivation) {
        let features = context.features
        lock.withLock {
            self.context = context
            generation &+= 1
            mergesBuffers = features.contains(.networkMergeableBuffers)
            headerSize = mergesBuffers || features.contains(.version1) ? 12 : 10
            filter.setVLANs(allowed: !features.contains(.networkControlVLAN))
            transmission.begin(context.memory)
            reception.begin(context.memory)
        }
        setPortUp(headerSize: headerSize, offloads: Self.receiveOffloads(features))
        transmitKick?.post()
        receiveKick?.post()
    }

    /// What a saved machine keeps beside the queues; set after the driver's activation.
    public var state: VirtioNetworkState {
        get {
            lock.withLock {
                VirtioNetworkState(
                    filter: filter, isAnnouncePending: announcePending,
                    receiveOffloads: UInt64(receiveOffloads.rawValue))
            }
        }
        set {
            lock.withLock {
                filter = newValue.filter
                announcePending = newValue.isAnnouncePending
            }
            setReceiveOffloads(PacketOffloads(rawValue: .init(truncatingIfNeeded: newValue.receiveOffloads)))
        }
    }

    /// The port belongs to the loop's thread.
    private func setPortUp(headerSize: Int, offloads: PacketOffloads) {
        lock.withLock { receiveOffloads = offloads }
        loop.post { [self] in
            if !port.setHeader(size: headerSize) { _ = port.setHeader(size: 0) }
            port.setReceiveOffloads(offloads)
        }
    }

    func setReceiveOffloads(_ offloads: PacketOffloads) {
        lock.withLock { receiveOffloads = offloads }
        loop.post { [self] in port.setReceiveOffloads(offloads) }
    }

    /// Forgets the driver's filters and address; frames are dropped until it is ready again.
    public func reset() {
        lock.withLock {
            context = nil
            generation &+= 1
            filter = VirtioNetworkFilter(address: options.address)
            announcePending = false
            transmission.end()
            reception.end()
        }
        // A port that waits for buffers may go on and lose its frames.
        receiveKick?.post()
    }

    /// Wakes the port's thread; control commands are done here and now.
    public func notified(queue: Int) {
        switch queue {
        case QueueNumber.receive: receiveKick?.post()
        case QueueNumber.transmit: transmitKick?.post()
        default: serveControl()
        }
    }

    /// False for the control queue.
    public func serve(_ queue: Int, whenSignalled event: EventFile) -> Bool {
        switch queue {
        case QueueNumber.receive: receiveKick?.connect(event)
        case QueueNumber.transmit: transmitKick?.connect(event)
        default: return false
        }
        return true
    }

    /// `set_link`: the state of the cable that the driver sees. Callable on any thread.
    public func setLink(isUp: Bool, machineLockHeld: Bool) {
        let interrupts = lock.withLock {
            defer { isLinkUp = isUp }
            return isUp != isLinkUp ? context?.interrupts : nil
        }
        interrupts?.configChanged(machineLockHeld: machineLockHeld)
    }

    /// After a move to another host: asks the driver to make itself known to the network.
    public func requestAnnouncement(machineLockHeld: Bool) {
        let interrupts = lock.withLock {
            guard let context, context.features.contains(.networkAnnounce) else {
                return nil as (any VirtioInterrupts)?
            }
            announcePending = true
            return context.interrupts
        }
        interrupts?.configChanged(machineLockHeld: machineLockHeld)
    }

    // MARK: PacketReceiver

    /// The port lost or found its other end; the driver gets a configuration interrupt.
    public func linkChanged(isUp: Bool) { setLink(isUp: isUp, machineLockHeld: false) }
    /// The port has room again: goes on sending.
    public func portIsReady() { transmit() }
}
