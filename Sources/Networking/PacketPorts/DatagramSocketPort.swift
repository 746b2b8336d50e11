// SPDX-License-Identifier: Apache-2.0

public import CLinux
public import Diagnostics
internal import Glibc
public import HostIO
internal import HostSystem

/// `socket,udp=` and `socket,mcast=`: one frame a datagram. Used on the loop's thread.
@safe
public final class DatagramSocketPort: PacketPort, @unchecked Sendable {
    private static let batch = 64

    /// Who gets the frames; nobody reads the socket while it is nil.
    public weak var receiver: (any PacketReceiver)? { didSet { updateInterest() } }
    /// QEMU's text for `info network`.
    public let description: String
    /// Where it receives.
    public let localAddress: SocketAddress
    private let destination: SocketAddress
    private let file: FileDescriptor
    private var watch: EventLoop.Watch?
    private let buffer: UnsafeMutableRawBufferPointer
    private var pending = 0
    private var isSenderWaiting = false

    /// Sends to `remote` and receives at `local`.
    public convenience init(
        sendingTo remote: SocketAddress, receivingAt local: SocketAddress, on loop: EventLoop
    ) throws(UserError) {
        do {
            let file = try SocketCall.make(SOCK_DGRAM)
            try SocketCall.set(file.number, level: SOL_SOCKET, SO_REUSEADDR, 1)
            try SocketCall.bind(file.number, local)
            try self.init(
                file, to: remote, description: "index=0,type=socket,udp=\(local.text)/\(remote.text)", on: loop)
        } catch {
            throw UserError("can't bind ip=\(local.host) to socket", because: error)
        }
    }

    /// Joins a multicast group, on the interface with the address `local` or the default one.
    public convenience init(
        group: SocketAddress, local: SocketAddress? = nil, on loop: EventLoop
    ) throws(UserError) {
        guard group.isMulticast else {
            let digits = String(group.address, radix: 16)
            let hex = String(repeating: "0", count: 8 - digits.count) + digits
            throw UserError(
                "specified mcastaddr \(group.host) (0x\(hex)) does not contain a multicast address")
        }
        do {
            let file = try SocketCall.make(SOCK_DGRAM)
            try SocketCall.set(file.number, level: SOL_SOCKET, SO_REUSEADDR, 1)
            try SocketCall.bind(file.number, group)
            var request = ip_mreq()
            request.imr_multiaddr.s_addr = group.address.bigEndian
            request.imr_interface.s_addr = (local?.address ?? 0).bigEndian
            // The kernel reads the struct of this frame.
            _ = try retrying {
                unsafe setsockopt(
                    file.number, Int32(IPPROTO_IP), IP_ADD_MEMBERSHIP, &request, socklen_t(MemoryLayout<ip_mreq>.size))
            }
            // Other machines on this host belong to the group, too.
            try SocketCall.set(file.number, level: Int32(IPPROTO_IP), IP_MULTICAST_LOOP, 1)
            if let local {
                try SocketCall.set(
                    file.number, level: Int32(IPPROTO_IP), IP_MULTICAST_IF, Int32(bitPattern: local.address.bigEndian))
            }
            try self.init(file, to: group, description: "index=0,type=socket,mcast=\(group.text)", on: loop)
        } catch {
            throw UserError("can't join multicast group \(group.host)", because: error)
        }
    }

    private init(
        _ file: consuming FileDescriptor, to destination: SocketAddress, description: String, on loop: EventLoop
    ) throws(Errno) {
        self.destination = destination
        self.description = description
        localAddress = SocketCall.localAddress(file.number) ?? destination
        unsafe buffer = .allocate(byteCount: maximumFrameCount, alignment: 16)
        self.file = file
        watch = try loop.watch(self.file.number, []) { [weak self] in self?.ready($0) }
    }

    deinit {
        watch?.cancel()
        unsafe buffer.deallocate()
    }

    private func updateInterest() {
        var interest: EventLoop.Readiness = []
        if pending == 0, receiver != nil { interest.insert(.readable) }
        if isSenderWaiting { interest.insert(.writable) }
        // Fails only for a descriptor that was closed, and then its watch is gone.
        try? watch?.setInterest(interest)
    }

    private func ready(_ readiness: EventLoop.Readiness) {
        if readiness.contains(.writable), isSenderWaiting {
            isSenderWaiting = false
            receiver?.portIsReady()
        }
        // A refused datagram leaves an error on the socket; taking it makes the socket usable again.
        if readiness.contains(.hangup) { _ = SocketCall.pendingError(file.number) }
        if readiness.contains(.readable) {
            for _ in 0..<Self.batch where pending == 0 {
                // The kernel writes at most the buffer's length.
                guard let count = try? unsafe file.read(into: buffer) else { break }
                pending = count
                offerPending()
            }
        }
        updateInterest()
    }

    private func offerPending() {
        guard pending > 0, let receiver else {
            pending = 0
            return
        }
        let frame = unsafe UnsafeRawBufferPointer(rebasing: buffer[..<pending])
        if unsafe receiver.receive(frame) == .accepted { pending = 0 }
    }

    /// Offers the frames that were read and refused, then reads on.
    public func receiverIsReady() {
        offerPending()
        updateInterest()
    }

    /// One datagram; a socket without room makes the sender wait, any other failure loses it.
    public func send(_ vectors: UnsafeBufferPointer<iovec>) -> PacketDisposition {
        let sent = unsafe destination.withNative { address, count in
            var message = unsafe msghdr()
            unsafe message.msg_name = UnsafeMutableRawPointer(mutating: address)
            unsafe message.msg_namelen = count
            unsafe message.msg_iov = UnsafeMutablePointer(mutating: vectors.baseAddress)
            unsafe message.msg_iovlen = vectors.count
            // sendmsg only reads; all that the header points to is lent for the call.
            return unsafe sendmsg(file.number, &message, Int32(MSG_NOSIGNAL))
        }
        if sent < 0, Errno.current == .wouldBlock {
            isSenderWaiting = true
            updateInterest()
            return .busy
        }
        // Anything else that goes wrong loses the datagram, as networks do.
        return .accepted
    }

    /// Stops watching; the socket is closed with this object.
    public func close() {
        receiver = nil
        watch?.cancel()
        watch = nil
    }
}
