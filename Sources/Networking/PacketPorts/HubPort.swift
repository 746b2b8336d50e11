// SPDX-License-Identifier: Apache-2.0

public import CLinux

/// Repeats each frame to all its other ports, as QEMU's `hubport` does.
public final class PacketHub {
    /// The number after `hubid=`.
    public let identifier: Int
    fileprivate var ports: [HubPort] = []

    /// A hub without ports.
    public init(identifier: Int) { self.identifier = identifier }

    /// One more port.
    /// - Parameter uplink: what the port is connected to with `netdev=`; nil for a device.
    public func makePort(uplink: (any PacketPort)? = nil) -> HubPort {
        let port = HubPort(self, uplink: uplink)
        ports.append(port)
        return port
    }

    fileprivate func repeatFrame(_ frame: UnsafeRawBufferPointer, from sender: HubPort) {
        for port in ports where port !== sender { unsafe port.arrive(frame) }
    }
}

/// A port of a hub. A hub does not push back: who has no room misses a frame once the port's queue is full.
public final class HubPort: PacketPort, PacketReceiver {
    /// The device behind this port, or nil behind an uplink.
    public weak var receiver: (any PacketReceiver)?
    /// QEMU's text for `info network`.
    public var description: String { "type=hubport,hubid=\(hub.identifier)" }
    private let hub: PacketHub
    private let uplink: (any PacketPort)?
    private var delivery = PacketDelivery()
    private var uplinkQueue: [[UInt8]] = []
    private static let uplinkLimit = 256

    fileprivate init(_ hub: PacketHub, uplink: (any PacketPort)?) {
        self.hub = hub
        self.uplink = uplink
        uplink?.receiver = self
    }

    /// From the device.
    public func send(_ vectors: UnsafeBufferPointer<iovec>) -> PacketDisposition {
        let frame = unsafe joined(vectors)
        unsafe frame.withUnsafeBytes { unsafe hub.repeatFrame($0, from: self) }
        return .accepted
    }

    /// From the uplink.
    public func receive(_ frame: UnsafeRawBufferPointer) -> PacketDisposition {
        unsafe hub.repeatFrame(frame, from: self)
        return .accepted
    }

    /// From another port of the hub.
    fileprivate func arrive(_ frame: UnsafeRawBufferPointer) {
        guard let uplink else { return unsafe delivery.deliver(frame, to: receiver) }
        if uplinkQueue.isEmpty, unsafe uplink.send(frame) == .accepted { return }
        if uplinkQueue.count < Self.uplinkLimit { unsafe uplinkQueue.append(Array(frame)) }
    }

    /// The uplink has room: sends what waits for it.
    public func portIsReady() {
        while let frame = uplinkQueue.first, uplink?.send(frame) == .accepted { uplinkQueue.removeFirst() }
    }

    /// Delivers what waits in this port's queue.
    public func receiverIsReady() { delivery.resume(receiver) }
    /// Handed to this port's device.
    public func linkChanged(isUp: Bool) { receiver?.linkChanged(isUp: isUp) }
    /// Closes the uplink too, and leaves the hub.
    public func close() {
        receiver = nil
        uplink?.close()
        hub.ports.removeAll { $0 === self }
    }
}
