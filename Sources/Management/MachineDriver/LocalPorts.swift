// SPDX-License-Identifier: Apache-2.0

internal import Glibc
internal import HostSystem

/// TCP ports of this host.
enum LocalPorts {
    /// Whether a port can be listened on now.
    static func isFree(_ port: Int) -> Bool {
        guard port < 65536,
            let socket = try? FileDescriptor(owning: retrying { socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0) })
        else { return true }
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_port = in_port_t(UInt16(truncatingIfNeeded: port).bigEndian)
        let size = socklen_t(MemoryLayout<sockaddr_in>.size)
        let number = socket.number
        // A sockaddr_in is passed as the sockaddr that the call takes, with its own size.
        return unsafe withUnsafePointer(to: &address) { pointer in
            unsafe pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { unsafe bind(number, $0, size) == 0 }
        }
    }
}
