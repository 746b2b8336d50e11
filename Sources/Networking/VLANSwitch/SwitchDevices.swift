// SPDX-License-Identifier: Apache-2.0

internal import CPacketSocket
internal import Glibc
internal import HostSystem

/// A port of the switch on the host: a network device's frames.
final class SwitchDevice {
    let name: String
    let socket: FileDescriptor
    /// Whether the descriptor is a tap device's own, on which tags stand in the frames.
    private let isTap: Bool

    /// The frames that come in at a network device.
    init(device: String) throws(Errno) {
        name = device
        isTap = false
        // The C library copies the name.
        socket = FileDescriptor(owning: try retrying { unsafe roost_packet_open(device) })
    }

    /// The frames of an open tap device, which must be non-blocking.
    init(tap: consuming FileDescriptor, called name: String) {
        self.name = name
        isTap = true
        socket = tap
    }

    /// Reads a frame.
    /// - Returns: its length and the tag that came beside it; nil when there is none now.
    func receive(_ buffer: UnsafeMutableRawBufferPointer) throws(Errno) -> (count: Int, tag: UInt16?)? {
        do throws(Errno) {
            var tag: Int32 = -1
            let count =
                isTap
                ? try unsafe socket.read(into: buffer)
                // At most the buffer's length is written.
                : Int(
                    try retrying {
                        unsafe roost_packet_receive(socket.number, buffer.baseAddress, buffer.count, &tag)
                    })
            return (count, tag < 0 ? nil : UInt16(truncatingIfNeeded: tag))
        } catch Errno.wouldBlock { return nil }
    }

    /// Sends a frame in two parts; one that finds no room is lost, as on a wire.
    func send(_ head: UnsafeRawBufferPointer, _ rest: UnsafeRawBufferPointer) {
        if isTap {
            // writev reads the two parts, which live for the call.
            var parts = unsafe [
                iovec(iov_base: UnsafeMutableRawPointer(mutating: head.baseAddress), iov_len: head.count),
                iovec(iov_base: UnsafeMutableRawPointer(mutating: rest.baseAddress), iov_len: rest.count),
            ]
            _ = unsafe writev(socket.number, &parts, 2)
        } else {
            // As above.
            _ = unsafe roost_packet_send(
                socket.number, head.baseAddress, head.count, rest.baseAddress, rest.count)
        }
    }
}
