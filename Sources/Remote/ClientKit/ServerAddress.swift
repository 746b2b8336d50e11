// SPDX-License-Identifier: Apache-2.0

internal import Glibc
internal import HostSystem

/// Which server a client talks to, and as what.
public struct ServerAddress: Equatable, Sendable {
    /// The URI that the server opens: "qemu:///system".
    public var uri: String
    /// The path of the server's socket.
    public var socket: String

    /// - Parameters:
    ///   - uri: "qemu:///system", "qemu:///session", or with `?socket=PATH`.
    ///   - socket: the socket's path where it is not the usual one.
    /// - Returns: nil for a URI of another transport or driver.
    public init?(uri: String, socket: String? = nil) {
        let parts = uri.split(separator: "?", maxSplits: 1)
        guard let name = parts.first, ["qemu:///system", "qemu:///session"].contains(Self.withoutTransport(name)) else {
            return nil
        }
        self.uri = Self.withoutTransport(name)
        let query = parts.count > 1 ? parts[1].split(separator: "&") : []
        let named = query.first { $0.hasPrefix("socket=") }.map { String($0.dropFirst("socket=".count)) }
        self.socket = socket ?? named ?? Self.usualSocket(isSystem: self.uri == "qemu:///system")
    }

    private static func withoutTransport(_ uri: Substring) -> String {
        uri.hasPrefix("qemu+unix:") ? "qemu:" + uri.dropFirst("qemu+unix:".count) : String(uri)
    }

    /// Where libvirt's servers listen: for the host, or for this user.
    public static func usualSocket(isSystem: Bool) -> String {
        if isSystem { return "/run/libvirt/libvirt-sock" }
        return (ThisProgram.variable("XDG_RUNTIME_DIR") ?? "/run/user/\(getuid())") + "/libvirt/libvirt-sock"
    }
}
