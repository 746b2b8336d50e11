// SPDX-License-Identifier: Apache-2.0

internal import BlockLayer
internal import HostSystem
internal import NBDProtocol
internal import TransportSecurity

/// What `--object` makes for connections: TLS credentials, and whom a server takes. Filled before anything is opened.
///
/// `lock` guards the two tables.
final class ConnectionObjects: TLSCredentialProvider, @unchecked Sendable {
    private let lock = Lock()
    private var made: [String: TLSCredentials] = [:]
    private var authorized: [String: String] = [:]

    /// Takes the options of an object of type `tls-creds-x509`, `tls-creds-psk` or `authz-simple`.
    /// - Parameter secret: finds the password of an encrypted key.
    /// - Returns: false for another type, whose options are left alone.
    func add(
        _ type: String, _ options: inout BlockOptions, secret: (String) throws(BlockError) -> [UInt8]
    ) throws(BlockError) -> Bool {
        guard ["tls-creds-x509", "tls-creds-psk", "authz-simple"].contains(type) else { return false }
        guard let identifier = options.take("id") else {
            throw BlockError(.invalidArgument, "Parameter 'id' is missing")
        }
        if type == "authz-simple" {
            guard let identity = options.take("identity") else {
                throw BlockError(.invalidArgument, "Parameter 'identity' is missing")
            }
            lock.withLock { authorized[identifier] = identity }
        } else {
            let credentials = try credentials(type, &options, secret)
            lock.withLock { made[identifier] = credentials }
        }
        if let unknown = options.keys.first {
            throw BlockError(.invalidArgument, "Property '\(type).\(unknown)' not found")
        }
        return true
    }

    private func credentials(
        _ type: String, _ options: inout BlockOptions, _ secret: (String) throws(BlockError) -> [UInt8]
    ) throws(BlockError) -> TLSCredentials {
        guard let directory = options.take("dir") else { throw BlockError(.invalidArgument, "Missing 'dir' property") }
        let role: TLSRole
        switch options.take("endpoint") ?? "client" {
        case "server": role = .server
        case "client": role = .client
        case let other: throw BlockError(.invalidArgument, "Invalid parameter '\(other)'")
        }
        let verifies = try options.takeBool("verify-peer") ?? true
        let priority = options.take("priority")
        let checksDates = try options.takeBool("sanity-check") ?? true
        let username = options.take("username")
        var password: String?
        if let identifier = options.take("passwordid") {
            password = String(decoding: try secret(identifier), as: UTF8.self)
        }
        do throws(TLSError) {
            if type == "tls-creds-psk" {
                return try TLSCredentials(
                    sharedKeysIn: directory, role: role, username: username ?? "qemu", priority: priority)
            }
            return try TLSCredentials(
                certificatesIn: directory, role: role, verifiesPeer: verifies, priority: priority,
                keyPassword: password, checksDates: checksDates)
        } catch {
            throw BlockError(.invalidArgument, error.description)
        }
    }

    /// The credentials of that name.
    func credentials(_ identifier: String) throws(BlockError) -> TLSCredentials {
        guard let found = lock.withLock({ made[identifier] }) else {
            throw BlockError(.notFound, "No TLS credentials with id '\(identifier)'")
        }
        return found
    }

    /// The distinguished name that an `authz-simple` object lets in.
    func authorizedName(_ identifier: String) throws(BlockError) -> String {
        guard let found = lock.withLock({ authorized[identifier] }) else {
            throw BlockError(.notFound, "No authorization with id '\(identifier)'")
        }
        return found
    }
}
