// SPDX-License-Identifier: Apache-2.0

public import CLinux
public import HostIO

/// One end of a wire whose other end is a port, too: for tests and for two devices of one machine.
///
/// Frames arrive on the loop, after `send` has returned.
public final class LoopbackPort: PacketPort, @unchecked Sendable {
    // Used on the loop's thread alone.
    /// Gets what waits as soon as it is set.
    public weak var receiver: (any PacketReceiver)? { didSet { receiverIsReady() } }
    /// Virtio headers are carried as they are.
    public let supportedOffloads: PacketOffloads
    /// Bytes in front of each frame, carried to the other end unread; 0 for none.
    public private(set) var headerSize = 0
    /// Text for `info network`.
    public let description: String
    /// What this end's receiver said it takes unfinished.
    public private(set) var receiveOffloads: PacketOffloads = []
    private weak var peer: LoopbackPort?
    private let loop: EventLoop
    private var incoming: FrameQueue
    private var isDeliveryPosted = false
    private var isPeerWaiting = false

    private init(_ loop: EventLoop, limit: Int, offloads: PacketOffloads, description: String) {
        self.loop = loop
        self.description = description
        supportedOffloads = offloads
        incoming = FrameQueue(limit: limit)
    }

    /// Both ends of a new wire.
    /// - Parameter limit: frames that may be under way in each direction.
    public static func pair(
        on loop: EventLoop, limit: Int = 256, offloads: PacketOffloads = []
    ) -> (LoopbackPort, LoopbackPort) {
        let first = LoopbackPort(loop, limit: limit, offloads: offloads, description: "type=loopback")
        let second = LoopbackPort(loop, limit: limit, offloads: offloads, description: "type=loopback")
        first.peer = second
        second.peer = first
        return (first, second)
    }

    /// Refused by a wire that was made without offloads.
    public func setHeader(size: Int) -> Bool {
        guard size == 0 || !supportedOffloads.isEmpty else { return false }
        headerSize = size
        return true
    }

    /// Only kept, for tests to look at.
    public func setReceiveOffloads(_ offloads: PacketOffloads) { receiveOffloads = offloads }

    /// Puts the frame into the other end's queue; `busy` when that is full.
    public func send(_ vectors: UnsafeBufferPointer<iovec>) -> PacketDisposition {
        guard let peer else { return .accepted }
        let frame = unsafe joined(vectors)
        guard unsafe frame.withUnsafeBytes({ unsafe peer.incoming.append($0) }) else {
            peer.isPeerWaiting = true
            return .busy
        }
        peer.postDelivery()
        return .accepted
    }

    /// Delivers on the loop, not within this call.
    public func receiverIsReady() { postDelivery() }

    private func postDelivery() {
        guard !isDeliveryPosted else { return }
        isDeliveryPosted = true
        loop.post { [self] in deliver() }
    }

    private func deliver() {
        isDeliveryPosted = false
        guard let receiver else { return }
        while let frame = incoming.first {
            // The array lives for the call.
            guard unsafe frame.withUnsafeBytes({ unsafe receiver.receive($0) }) == .accepted else { return }
            incoming.removeFirst()
        }
        if isPeerWaiting {
            isPeerWaiting = false
            peer?.receiver?.portIsReady()
        }
    }

    /// Nothing but the receiver is let go.
    public func close() { receiver = nil }
}

/// The bytes of several buffers in a row.
public func joined(_ vectors: UnsafeBufferPointer<iovec>) -> [UInt8] {
    var frame: [UInt8] = []
    // Each entry is a buffer that the caller lends for the call.
    unsafe frame.reserveCapacity(vectors.reduce(0) { unsafe $0 + $1.iov_len })
    for index in 0..<vectors.count {
        unsafe frame.append(
            contentsOf: UnsafeRawBufferPointer(start: vectors[index].iov_base, count: vectors[index].iov_len))
    }
    return frame
}
