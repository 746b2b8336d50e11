// SPDX-License-Identifier: Apache-2.0

internal import CharacterStreams
internal import Diagnostics
internal import Glibc
internal import HostIO
internal import HostSystem

/// A listening socket. Used on the event loop's thread.
final class VNCListener {
    private let file: FileDescriptor
    private let address: StreamAddress
    private let isWebSocket: Bool
    private var watch: EventLoop.Watch?

    /// Listens at the first of some addresses that is free.
    init(
        _ addresses: [StreamAddress], isWebSocket: Bool, loop: EventLoop,
        accept: @escaping (consuming FileDescriptor) -> Void
    ) throws(UserError) {
        var found = addresses[0]
        file = try Self.open(addresses, &found)
        address = found
        self.isWebSocket = isWebSocket
        do throws(Errno) {
            try file.setNonBlocking(true)
            watch = try loop.watch(file.number, .readable) { [weak self] _ in
                guard let self, let client = StreamSocket.accept(file.number) else { return }
                StreamSocket.setNoDelay(client.number)
                accept(client)
            }
        } catch { throw UserError("Failed to listen on socket", because: error) }
    }

    private static func open(
        _ addresses: [StreamAddress], _ found: inout StreamAddress
    ) throws(UserError) -> FileDescriptor {
        var failure = "there is no address"
        for address in addresses {
            do throws(StreamSocketError) {
                found = address
                return try StreamSocket.listen(address)
            } catch {
                failure = error.description
            }
        }
        throw UserError(failure)
    }

    var endpoint: VNCEndpoint { Self.endpoint(of: file.number, peer: false, isWebSocket, address) }

    func close() {
        watch?.cancel()
        watch = nil
        // Who else has the socket, a child for one, hears nothing any more either.
        _ = shutdown(file.number, Int32(SHUT_RDWR))
        // The path was made by bind.
        if case .unix(let path, false) = address { _ = unsafe unlink(path) }
    }

    /// Both ends of a connection; nil where the socket has none.
    static func info(of descriptor: Int32, isWebSocket: Bool) -> VNCClientInfo? {
        VNCClientInfo(
            peer: endpoint(of: descriptor, peer: true, isWebSocket, nil),
            server: endpoint(of: descriptor, peer: false, isWebSocket, nil))
    }

    private static func endpoint(
        of descriptor: Int32, peer: Bool, _ isWebSocket: Bool, _ address: StreamAddress?
    ) -> VNCEndpoint {
        guard let name = StreamSocket.name(of: descriptor, peer: peer), let colon = name.lastIndex(of: ":") else {
            var path = ""
            if case .unix(let given, _)? = address { path = given }
            return VNCEndpoint(host: "", service: path, family: "unix", isWebSocket: isWebSocket)
        }
        let host = name[..<colon].filter { $0 != "[" && $0 != "]" }
        return VNCEndpoint(
            host: host, service: String(name[name.index(after: colon)...]),
            family: name.hasPrefix("[") ? "ipv6" : "ipv4", isWebSocket: isWebSocket)
    }
}

/// Seconds since 1970 on the host's clock.
func hostSeconds() -> Int64 { Int64(time(nil)) }
