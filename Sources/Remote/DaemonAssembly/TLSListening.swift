// SPDX-License-Identifier: Apache-2.0

internal import CLinux
internal import Diagnostics
internal import Glibc
internal import HostSystem
internal import LibvirtRPC
internal import StateStore
internal import TransportSecurity

/// Clients over TLS: where they connect, and the files that prove who is who.
struct TLSListening {
    /// libvirt's port for TLS.
    static let defaultPort = 16514

    var address: String
    var port: UInt16
    var authority: String
    var certificate: String
    var key: String
    var allowedNames: [String]
    var limit: Int

    /// From the file of settings; libvirt's places for what it does not say.
    init(_ configuration: DaemonConfiguration, endpoint: String?) throws(UserError) {
        address = try configuration.text("listen_addr") ?? "::"
        var number = try configuration.number("tls_port", in: 1...65535) ?? Self.defaultPort
        if let endpoint {
            guard let colon = endpoint.lastIndex(of: ":"), let port = Int(endpoint[endpoint.index(after: colon)...]),
                (1...65535).contains(port)
            else {
                throw UserError("'\(endpoint)' is not ADDRESS:PORT", remedy: "see roostd --help")
            }
            address = String(endpoint[..<colon].filter { $0 != "[" && $0 != "]" })
            number = port
        }
        port = UInt16(number)
        authority = try configuration.text("ca_file") ?? "/etc/pki/CA/cacert.pem"
        certificate = try configuration.text("cert_file") ?? "/etc/pki/libvirt/servercert.pem"
        key = try configuration.text("key_file") ?? "/etc/pki/libvirt/private/serverkey.pem"
        allowedNames = try configuration.list("tls_allowed_dn_list")
        limit = try configuration.number("max_tls_clients", in: 1...1000) ?? 200
    }

    /// Begins to serve.
    /// - Parameters:
    ///   - folder: where links to the files are made, under the names that the library looks for.
    ///   - socket: one that listens already; negative to make one.
    func start(_ server: RPCServer, folder: String, socket: Int32 = -1) throws {
        do {
            try StateFiles.makeFolder(folder, mode: 0o700)
            for (name, path) in [
                ("ca-cert.pem", authority), ("server-cert.pem", certificate), ("server-key.pem", key),
            ] {
                try StateFiles.link(folder + "/" + name, to: path)
            }
            let credentials = try TLSCredentials(certificatesIn: folder, role: .server, verifiesPeer: true)
            let gateway = TLSGateway(server, credentials, allowedNames: allowedNames, limit: limit)
            try gateway.listen(on: socket >= 0 ? FileDescriptor(owning: socket) : makeSocket())
        } catch {
            throw UserError(
                "cannot serve TLS at \(address):\(port) with \(certificate)", because: "\(error)",
                remedy: "make the certificates as libvirt's documentation says, or leave --tls and listen_tls out")
        }
    }

    private func makeSocket() throws(Errno) -> FileDescriptor {
        let isIPv6 = address.contains(":")
        let kind = Int32(SOCK_STREAM.rawValue | SOCK_CLOEXEC.rawValue)
        let made = FileDescriptor(
            owning: try retrying { Glibc.socket(isIPv6 ? AF_INET6 : AF_INET, kind, 0) })
        let number = made.number
        var yes: Int32 = 1
        // The number lives for the call.
        _ = unsafe setsockopt(number, SOL_SOCKET, SO_REUSEADDR, &yes, socklen_t(MemoryLayout<Int32>.size))
        if isIPv6 {
            var place = sockaddr_in6()
            place.sin6_family = sa_family_t(AF_INET6)
            place.sin6_port = port.bigEndian
            // inet_pton fills the address of the struct on this frame.
            guard unsafe inet_pton(AF_INET6, address, &place.sin6_addr) == 1 else { throw .invalidArgument }
            try Self.bind(number, &place)
        } else {
            var place = sockaddr_in()
            place.sin_family = sa_family_t(AF_INET)
            place.sin_port = port.bigEndian
            // As above.
            guard unsafe inet_pton(AF_INET, address, &place.sin_addr) == 1 else { throw .invalidArgument }
            try Self.bind(number, &place)
        }
        _ = try retrying { Glibc.listen(number, 128) }
        return made
    }

    private static func bind<Address>(_ number: Int32, _ address: inout Address) throws(Errno) {
        let length = socklen_t(MemoryLayout<Address>.size)
        // Both structs begin as a sockaddr does, and their own size is passed.
        let failed = unsafe withUnsafePointer(to: &address) { place in
            unsafe place.withMemoryRebound(to: sockaddr.self, capacity: 1) { unsafe Glibc.bind(number, $0, length) }
        }
        guard failed == 0 else { throw .current }
    }
}
