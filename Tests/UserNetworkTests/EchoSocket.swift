// SPDX-License-Identifier: Apache-2.0

import CLinux
import Glibc
import HostSystem

/// A datagram socket on loopback.
final class EchoSocket {
    let number: Int32
    let port: UInt16

    init() throws {
        number = try retrying { socket(AF_INET, Int32(SOCK_DGRAM.rawValue), 0) }
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_addr.s_addr = UInt32(0x7F00_0001).bigEndian
        var count = socklen_t(MemoryLayout<sockaddr_in>.size)
        let number = number
        // Both calls get the struct of this frame with its size.
        let bound = unsafe withUnsafeMutablePointer(to: &address) { pointer in
            unsafe pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                unsafe bind(number, $0, count) == 0 && getsockname(number, $0, &count) == 0
            }
        }
        guard bound else { throw Errno.current }
        port = UInt16(bigEndian: address.sin_port)
    }

    deinit { close(number) }

    /// Sends one datagram back with its bytes in reverse.
    func answer() {
        var bytes = [UInt8](repeating: 0, count: 2048)
        var address = sockaddr_in()
        var count = socklen_t(MemoryLayout<sockaddr_in>.size)
        // The array and the struct live for both calls, which get their lengths.
        unsafe withUnsafeMutablePointer(to: &address) { pointer in
            unsafe pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { peer in
                let length = unsafe recvfrom(number, &bytes, bytes.count, 0, peer, &count)
                guard length > 0 else { return }
                let reply = Array(bytes.prefix(length).reversed())
                _ = unsafe sendto(number, reply, reply.count, 0, peer, count)
            }
        }
    }
}
