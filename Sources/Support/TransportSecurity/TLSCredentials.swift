// SPDX-License-Identifier: Apache-2.0

internal import CGnuTLS
internal import Glibc

/// Which side of a connection one is.
public enum TLSRole: Sendable {
    /// Listens, and shows a certificate or knows the clients' keys.
    case server
    /// Connects.
    case client
}

/// What a side of an encrypted connection proves itself with and trusts.
///
/// The library only reads them once they are made, so that connections on several threads may share them.
@safe
public final class TLSCredentials: @unchecked Sendable {
    @safe
    enum Secret {
        case certificate(gnutls_certificate_credentials_t)
        case serverKeys(gnutls_psk_server_credentials_t)
        case clientKey(gnutls_psk_client_credentials_t)
    }

    /// The side they are for.
    public let role: TLSRole
    /// Whether the peer's certificate is examined; a server then refuses a client without one.
    public let verifiesPeer: Bool
    let library: TLSLibrary
    let secret: Secret
    let priority: String

    private static let defaultPriority = "NORMAL"

    /// X.509 certificates by the names that QEMU gives the files: `ca-cert.pem`, `server-cert.pem` and
    /// `server-key.pem`, or `client-cert.pem` and `client-key.pem`, and perhaps `ca-crl.pem`.
    /// - Parameters:
    ///   - directory: where the files are.
    ///   - verifiesPeer: a client should; a server does where its clients have certificates.
    ///   - priority: GnuTLS's list of algorithms.
    ///   - keyPassword: what the private key is encrypted with.
    ///   - checksDates: fail at once for a certificate that is not valid now.
    public init(
        certificatesIn directory: String, role: TLSRole, verifiesPeer: Bool = true, priority: String? = nil,
        keyPassword: String? = nil, checksDates: Bool = true
    ) throws(TLSError) {
        self.role = role
        self.verifiesPeer = verifiesPeer
        self.priority = priority ?? Self.defaultPriority
        library = try TLSLibrary.load()
        let files = CertificateFiles(directory: directory, role: role)
        try files.examine(isAuthorityNeeded: role == .client || verifiesPeer)
        if checksDates {
            for path in files.all { try library.checkDates(path) }
        }
        var made: gnutls_certificate_credentials_t?
        // Allocated here and freed in deinit.
        try library.check(
            unsafe library.functions.pointee.certificate_allocate_credentials(&made), "Cannot allocate credentials")
        guard let made = unsafe made else { throw TLSError("Cannot allocate credentials") }
        unsafe secret = .certificate(made)
        try unsafe files.load(into: made, library, password: keyPassword)
    }

    /// Keys that both sides know, in the file `keys.psk` of lines `USER:HEXADECIMAL`.
    public init(
        sharedKeysIn directory: String, role: TLSRole, username: String = "qemu", priority: String? = nil
    ) throws(TLSError) {
        self.role = role
        verifiesPeer = false
        self.priority = (priority ?? Self.defaultPriority) + ":+ECDHE-PSK:+DHE-PSK:+PSK"
        library = try TLSLibrary.load()
        let path = directory + "/keys.psk"
        try CertificateFiles.examine(path)
        let functions = unsafe library.functions.pointee
        switch role {
        case .server:
            var made: gnutls_psk_server_credentials_t?
            // Allocated here and freed in deinit.
            try library.check(
                unsafe functions.psk_allocate_server_credentials(&made), "Cannot allocate credentials")
            guard let made = unsafe made else { throw TLSError("Cannot allocate credentials") }
            unsafe secret = .serverKeys(made)
            try library.check(
                unsafe functions.psk_set_server_credentials_file(made, path), "Cannot set PSK server credentials")
        case .client:
            let key = try Self.key(of: username, in: path)
            var made: gnutls_psk_client_credentials_t?
            // As above.
            try library.check(
                unsafe functions.psk_allocate_client_credentials(&made), "Cannot allocate credentials")
            guard let made = unsafe made else { throw TLSError("Cannot allocate credentials") }
            unsafe secret = .clientKey(made)
            let status = unsafe key.withUnsafeBufferPointer { bytes in
                // The library copies the key, which lives for the call.
                var datum = unsafe gnutls_datum_t(
                    data: UnsafeMutablePointer(mutating: bytes.baseAddress), size: UInt32(bytes.count))
                return unsafe functions.psk_set_client_credentials(made, username, &datum, GNUTLS_PSK_KEY_HEX)
            }
            try library.check(status, "Cannot set PSK client credentials")
        }
    }

    private static func key(of username: String, in path: String) throws(TLSError) -> [UInt8] {
        for line in try CertificateFiles.content(path).split(separator: UInt8(ascii: "\n")) {
            let fields = line.split(separator: UInt8(ascii: ":"), maxSplits: 1)
            if fields.count == 2, fields[0].elementsEqual(username.utf8) { return Array(fields[1]) }
        }
        throw TLSError("Username \(username) not found in PSK file \(path)")
    }

    deinit {
        let functions = unsafe library.functions.pointee
        // Each was allocated by init and has no other owner; sessions keep this object.
        switch secret {
        case .certificate(let made): unsafe functions.certificate_free_credentials(made)
        case .serverKeys(let made): unsafe functions.psk_free_server_credentials(made)
        case .clientKey(let made): unsafe functions.psk_free_client_credentials(made)
        }
    }
}
