// SPDX-License-Identifier: Apache-2.0

internal import CGnuTLS
internal import Glibc

/// One encrypted connection over a connected, blocking stream socket.
///
/// After the handshake one thread may receive while another sends; two threads must not do the same at once.
@safe
public final class TLSSession: @unchecked Sendable {
    private let credentials: TLSCredentials
    private let session: gnutls_session_t
    private let hostname: String?

    private var functions: roost_gnutls { unsafe credentials.library.functions.pointee }

    /// Prepares a session; nothing is sent yet.
    /// - Parameters:
    ///   - descriptor: the socket, which must stay open as long as the session is used.
    ///   - hostname: what the server's certificate must be made out to.
    public init(_ credentials: TLSCredentials, descriptor: Int32, hostname: String? = nil) throws(TLSError) {
        self.credentials = credentials
        self.hostname = hostname
        let library = credentials.library
        let functions = unsafe library.functions.pointee
        let side = credentials.role == .server ? roost_gnutls_server : roost_gnutls_client
        var made: gnutls_session_t?
        // Freed in deinit, or below where setting it up fails.
        try library.check(
            unsafe functions.`init`(&made, side), "Failed to start a TLS session")
        guard let made = unsafe made else { throw TLSError("Failed to start a TLS session") }
        unsafe session = made
        try library.check(
            unsafe functions.priority_set_direct(made, credentials.priority, nil),
            "Unable to set TLS session priority \(credentials.priority)")
        // The session refers to the credentials, which this object keeps.
        let status =
            switch credentials.secret {
            case .certificate(let secret):
                unsafe functions.credentials_set(made, GNUTLS_CRD_CERTIFICATE, UnsafeMutableRawPointer(secret))
            case .serverKeys(let secret):
                unsafe functions.credentials_set(made, GNUTLS_CRD_PSK, UnsafeMutableRawPointer(secret))
            case .clientKey(let secret):
                unsafe functions.credentials_set(made, GNUTLS_CRD_PSK, UnsafeMutableRawPointer(secret))
            }
        try library.check(status, "Cannot set session credentials")
        if credentials.role == .server, credentials.verifiesPeer {
            unsafe functions.certificate_server_set_request(made, GNUTLS_CERT_REQUEST)
        }
        if credentials.role == .client, let hostname {
            // Only names are sent, never numbers; a name that the library refuses is examined after the handshake.
            _ = unsafe functions.server_name_set(made, GNUTLS_NAME_DNS, hostname, hostname.utf8.count)
        }
        unsafe functions.transport_set_int2(made, descriptor, descriptor)
    }

    deinit { unsafe functions.deinit(session) }

    /// Agrees on keys and examines the peer.
    /// - Returns: the distinguished name in the peer's certificate; nil where it showed none.
    @discardableResult
    public func handshake() throws(TLSError) -> String? {
        while true {
            let status = unsafe functions.handshake(session)
            if status == 0 { break }
            if status == GNUTLS_E_AGAIN || status == GNUTLS_E_INTERRUPTED || status == GNUTLS_E_WARNING_ALERT_RECEIVED {
                continue
            }
            throw TLSError("TLS handshake failed: \(credentials.library.text(status))")
        }
        guard credentials.verifiesPeer else { return nil }
        return try verify()
    }

    private func verify() throws(TLSError) -> String? {
        var findings: UInt32 = 0
        let status = unsafe functions.certificate_verify_peers2(session, &findings)
        try credentials.library.check(status, "Verify failed")
        if findings != 0 {
            func has(_ flag: gnutls_certificate_status_t) -> Bool { findings & flag.rawValue != 0 }
            if has(GNUTLS_CERT_SIGNER_NOT_FOUND) { throw TLSError("The certificate hasn't got a known issuer") }
            if has(GNUTLS_CERT_REVOKED) { throw TLSError("The certificate has been revoked") }
            if has(GNUTLS_CERT_INSECURE_ALGORITHM) { throw TLSError("The certificate uses an insecure algorithm") }
            throw TLSError("The certificate is not trusted")
        }
        return try examineNames()
    }

    private func examineNames() throws(TLSError) -> String? {
        let library = credentials.library
        var count: UInt32 = 0
        // The list belongs to the session.
        guard let list = unsafe functions.certificate_get_peers(session, &count), count > 0 else {
            throw TLSError("No certificate peers")
        }
        var made: gnutls_x509_crt_t?
        try library.check(unsafe functions.x509_crt_init(&made), "Unable to initialize certificate")
        guard let certificate = unsafe made else { throw TLSError("Unable to initialize certificate") }
        // Made above, freed here alone.
        defer { unsafe functions.x509_crt_deinit(certificate) }
        try library.check(
            unsafe functions.x509_crt_import(certificate, list, GNUTLS_X509_FMT_DER), "Unable to import certificate")
        if credentials.role == .client {
            guard let hostname else { throw TLSError("No hostname for certificate validation") }
            guard unsafe functions.x509_crt_check_hostname(certificate, hostname) != 0 else {
                throw TLSError("Certificate does not match the hostname \(hostname)")
            }
        }
        var name = [CChar](repeating: 0, count: Self.longestName)
        var length = name.count
        // At most `length` bytes are written.
        try library.check(unsafe functions.x509_crt_get_dn(certificate, &name, &length), "Cannot get the peer's name")
        return String(decoding: name.prefix(length).map { UInt8(bitPattern: $0) }, as: UTF8.self)
    }

    private static let longestName = 4096

    /// Receives at least one byte; 0 where the peer said goodbye.
    public func receive(into buffer: UnsafeMutableRawBufferPointer) throws(TLSError) -> Int {
        while true {
            // At most `count` bytes are written into the buffer, which is the caller's for the call.
            let count = unsafe functions.record_recv(session, buffer.baseAddress, buffer.count)
            if count >= 0 { return count }
            if let error = failure(Int32(truncatingIfNeeded: count), "Cannot read from TLS channel") { throw error }
        }
    }

    /// Sends some of the bytes.
    /// - Returns: how many, at least 1 for a buffer that is not empty.
    public func send(_ buffer: UnsafeRawBufferPointer) throws(TLSError) -> Int {
        while true {
            // The buffer is only read, during the call.
            let count = unsafe functions.record_send(session, buffer.baseAddress, buffer.count)
            if count >= 0 { return count }
            if let error = failure(Int32(truncatingIfNeeded: count), "Cannot write to TLS channel") { throw error }
        }
    }

    /// Whether received bytes wait in the session, so that the socket would not show them.
    public var hasPendingBytes: Bool { unsafe functions.record_check_pending(session) > 0 }

    /// Says goodbye without waiting for the answer.
    public func finish() { _ = unsafe functions.bye(session, GNUTLS_SHUT_WR) }

    /// What a status means; nil to try again.
    private func failure(_ status: Int32, _ what: String) -> TLSError? {
        switch status {
        case GNUTLS_E_AGAIN, GNUTLS_E_INTERRUPTED, GNUTLS_E_WARNING_ALERT_RECEIVED, GNUTLS_E_REHANDSHAKE: nil
        case GNUTLS_E_PREMATURE_TERMINATION:
            TLSError("\(what): \(unsafe String(cString: strerror(ECONNABORTED)))", isDisconnection: true)
        default: TLSError("\(what): \(credentials.library.text(status))")
        }
    }
}
