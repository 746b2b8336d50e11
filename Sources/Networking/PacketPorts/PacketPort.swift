// SPDX-License-Identifier: Apache-2.0

public import CLinux

/// What a network device leaves to the other side of a port: TUN_F_* of the kernel's tun driver.
public struct PacketOffloads: OptionSet, Sendable, Hashable {
    /// The kernel's TUN_F_* bits.
    public let rawValue: UInt32
    /// Offloads from the kernel's bits.
    public init(rawValue: UInt32) { self.rawValue = rawValue }
    /// Frames whose checksum is still to be filled in.
    public static let checksum = PacketOffloads(rawValue: 1)
    /// TCP segments longer than the link allows, over IPv4, over IPv6, and with congestion marks.
    public static let tcp4 = PacketOffloads(rawValue: 2)
    /// TUN_F_TSO6.
    public static let tcp6 = PacketOffloads(rawValue: 4)
    /// TUN_F_TSO_ECN.
    public static let congestion = PacketOffloads(rawValue: 8)
    /// UDP datagrams that are still to be cut into fragments.
    public static let udp = PacketOffloads(rawValue: 16)
    /// All that are named here.
    public static let all: PacketOffloads = [.checksum, .tcp4, .tcp6, .congestion, .udp]
}

/// Whether a frame was taken over.
public enum PacketDisposition: Sendable {
    /// It was sent, or dropped for good.
    case accepted
    /// There is no room now: the same frame is to be offered again when the other side says so.
    case busy
}

/// A place where Ethernet frames come from and go to: a tap, a socket, the user-mode network.
///
/// A port belongs to one event loop. Everything is called on the loop's thread, or before the loop runs.
public protocol PacketPort: AnyObject {
    /// The backend's name and parameters for `info network`: "index=0,type=tap,ifname=tap0".
    var description: String { get }
    /// Who gets the frames. Setting it starts the flow.
    var receiver: (any PacketReceiver)? { get set }
    /// What frames with a virtio header in front may leave to this port; empty: it knows no such headers.
    var supportedOffloads: PacketOffloads { get }
    /// Sends a frame, which lies in `vectors` in order, its virtio header first while `headerSize` is not 0.
    /// A port whose answer is `.busy` calls `portIsReady` later.
    func send(_ vectors: UnsafeBufferPointer<iovec>) -> PacketDisposition
    /// The receiver that answered `.busy` has room again.
    func receiverIsReady()
    /// Bytes of the virtio header (virtio_net_hdr) in front of each frame, both ways: 0, 10 or 12; 0 at first.
    var headerSize: Int { get }
    /// Switches to another header.
    /// - Returns: false where the port knows no such headers.
    func setHeader(size: Int) -> Bool
    /// What the receiver takes unfinished.
    func setReceiveOffloads(_ offloads: PacketOffloads)
    /// Lets go of what it holds on the host.
    func close()
}

extension PacketPort {
    /// Ports without virtio headers.
    public var supportedOffloads: PacketOffloads { [] }
    /// As above.
    public var headerSize: Int { 0 }
    /// As above.
    public func setHeader(size: Int) -> Bool { size == 0 }
    /// As above.
    public func setReceiveOffloads(_ offloads: PacketOffloads) {}

    /// Sends a frame that lies in one piece.
    public func send(_ frame: UnsafeRawBufferPointer) -> PacketDisposition {
        var vector = unsafe iovec(
            iov_base: UnsafeMutableRawPointer(mutating: frame.baseAddress), iov_len: frame.count)
        // A port only reads from what it sends; the vector lives on this frame.
        return unsafe withUnsafePointer(to: &vector) { unsafe send(UnsafeBufferPointer(start: $0, count: 1)) }
    }

    /// Sends an array; for tests and rare frames.
    public func send(_ frame: [UInt8]) -> PacketDisposition {
        unsafe frame.withUnsafeBytes { unsafe send($0) }
    }
}

/// The device, or another port, at the other side.
public protocol PacketReceiver: AnyObject {
    /// A frame has come, with the port's virtio header in front if it has one. The bytes are lent for the call.
    /// Whoever answers `.busy` calls the port's `receiverIsReady` later and is then offered the frame again.
    func receive(_ frame: UnsafeRawBufferPointer) -> PacketDisposition
    /// The port that answered `.busy` takes frames again.
    func portIsReady()
    /// A cable was plugged or unplugged.
    func linkChanged(isUp: Bool)
}

/// The largest frame that any port carries: 64 KiB of segmented payload and its headers.
public let maximumFrameCount = 4096 + 65536

/// Frames that wait for a receiver with room, up to a bound, beyond which new ones are dropped as a full wire does.
struct FrameQueue {
    private var frames: [[UInt8]] = []
    private var next = 0
    private let limit: Int

    init(limit: Int) { self.limit = limit }

    var isEmpty: Bool { next == frames.count }
    var first: [UInt8]? { isEmpty ? nil : frames[next] }

    /// Whether there was room.
    mutating func append(_ frame: UnsafeRawBufferPointer) -> Bool {
        guard frames.count - next < limit else { return false }
        unsafe frames.append(Array(frame))
        return true
    }

    mutating func removeFirst() {
        guard !isEmpty else { return }
        frames[next] = []
        next += 1
        if next == frames.count {
            frames.removeAll(keepingCapacity: true)
            next = 0
        } else if next >= limit {
            frames.removeFirst(next)
            next = 0
        }
    }
}
