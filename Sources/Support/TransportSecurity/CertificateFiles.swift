// SPDX-License-Identifier: Apache-2.0

internal import CGnuTLS
internal import Glibc

/// The files of X.509 credentials in a directory.
struct CertificateFiles {
    let authority: String
    let revocations: String
    let certificate: String
    let key: String
    private let role: TLSRole

    init(directory: String, role: TLSRole) {
        let side = role == .server ? "server" : "client"
        self.role = role
        authority = directory + "/ca-cert.pem"
        revocations = directory + "/ca-crl.pem"
        certificate = directory + "/\(side)-cert.pem"
        key = directory + "/\(side)-key.pem"
    }

    /// The certificates that are there.
    var all: [String] { [authority, certificate].filter(Self.exists) }

    /// Fails where one is missing that this side cannot do without.
    func examine(isAuthorityNeeded: Bool) throws(TLSError) {
        if isAuthorityNeeded { try Self.examine(authority) }
        if role == .server || Self.exists(certificate) {
            try Self.examine(certificate)
            try Self.examine(key)
        }
    }

    static func exists(_ path: String) -> Bool { unsafe access(path, F_OK) == 0 }

    static func examine(_ path: String) throws(TLSError) {
        guard unsafe access(path, R_OK) == 0 else {
            throw TLSError("Unable to access credentials \(path): \(unsafe String(cString: strerror(errno)))")
        }
    }

    /// A file's bytes, at most `longest` of them.
    static func content(_ path: String) throws(TLSError) -> [UInt8] {
        guard let file = unsafe fopen(path, "re") else {
            throw TLSError("Unable to read \(path): \(unsafe String(cString: strerror(errno)))")
        }
        defer { unsafe fclose(file) }
        // The array has room for all that is read into it.
        return unsafe [UInt8](unsafeUninitializedCapacity: longest) {
            unsafe $1 = fread($0.baseAddress, 1, longest, file)
        }
    }

    private static let longest = 1 << 20

    func load(
        into credentials: gnutls_certificate_credentials_t, _ library: TLSLibrary, password: String?
    ) throws(TLSError) {
        let functions = unsafe library.functions.pointee
        // The library reads the files during the calls and keeps nothing of the arguments.
        if Self.exists(authority) {
            try library.check(
                unsafe functions.certificate_set_x509_trust_file(credentials, authority, GNUTLS_X509_FMT_PEM),
                "Cannot load CA certificate '\(authority)'")
        }
        if Self.exists(certificate) {
            let status = unsafe functions.certificate_set_x509_key_file2(
                credentials, certificate, key, GNUTLS_X509_FMT_PEM, password, 0)
            try library.check(status, "Cannot load certificate '\(certificate)' & key '\(key)'")
        }
        if Self.exists(revocations) {
            try library.check(
                unsafe functions.certificate_set_x509_crl_file(credentials, revocations, GNUTLS_X509_FMT_PEM),
                "Cannot load CRL '\(revocations)'")
        }
    }
}

extension TLSLibrary {
    /// Fails for a certificate that is not valid at this moment.
    func checkDates(_ path: String) throws(TLSError) {
        let content = try CertificateFiles.content(path)
        let calls = unsafe functions.pointee
        var certificate: gnutls_x509_crt_t?
        try check(unsafe calls.x509_crt_init(&certificate), "Unable to initialize certificate")
        guard let certificate = unsafe certificate else { throw TLSError("Unable to initialize certificate") }
        // Made above, freed here alone.
        defer { unsafe calls.x509_crt_deinit(certificate) }
        let status = unsafe content.withUnsafeBufferPointer { bytes in
            // The library reads the bytes, which live for the call.
            var datum = unsafe gnutls_datum_t(
                data: UnsafeMutablePointer(mutating: bytes.baseAddress), size: UInt32(bytes.count))
            return unsafe calls.x509_crt_import(certificate, &datum, GNUTLS_X509_FMT_PEM)
        }
        try check(status, "Unable to import certificate \(path)")
        let now = time(nil)
        if unsafe calls.x509_crt_get_expiration_time(certificate) < now {
            throw TLSError("The certificate \(path) has expired")
        }
        if unsafe calls.x509_crt_get_activation_time(certificate) > now {
            throw TLSError("The certificate \(path) is not yet active")
        }
    }
}
