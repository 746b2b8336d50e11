// SPDX-License-Identifier: Apache-2.0

internal import Glibc
public import HostIO
internal import HostSystem

/// Datagrams to one place and from wherever it answers (`udp`): what is sent at once goes into one datagram.
public final class DatagramStream: StreamBackend, @unchecked Sendable {
    private let name: String

    /// Opens the socket. There is no other side to wait for: it is open from now on.
    /// - Parameters:
    ///   - remote: where to send.
    ///   - local: where to receive; nil for any free port.
    public init(
        label: String, remote: (host: String, port: UInt16), local: (host: String, port: UInt16)?, loop: EventLoop
    ) throws(StreamSocketError) {
        let file = try StreamSocket.datagram(to: remote, from: local)
        let source = StreamSocket.name(of: file.number, peer: false) ?? ""
        name = "udp:\(source)<->\(remote.host):\(remote.port)"
        super.init(label: label, loop: loop)
        do throws(Errno) {
            try file.setNonBlocking(true)
            try attach(StreamFiles(both: file))
        } catch { throw StreamSocketError("Failed to use the socket: \(error)") }
    }

    /// `udp:SOURCE<->HOST:PORT`, as `info chardev` shows it.
    public override var filename: String { name }
    /// Nobody may listen there yet.
    public override var isConnectionless: Bool { true }
}
