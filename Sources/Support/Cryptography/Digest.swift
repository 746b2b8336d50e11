// SPDX-License-Identifier: Apache-2.0

internal import CCrypto

/// A cryptographic operation that libcrypto could not do.
public struct CryptographyError: Error, Equatable, CustomStringConvertible, Sendable {
    /// What failed: "AES-256-XTS is not available"...
    public let description: String

    init(_ description: String) { self.description = description }
}

/// A hash function, by the name that LUKS and qemu-img use.
public enum Digest: String, CaseIterable, Sendable {
    case md5, sha1, sha224, sha256, sha384, sha512
    case ripemd160 = "ripemd160"

    /// Bytes of a digest.
    public var count: Int {
        switch self {
        case .md5: 16
        case .sha1, .ripemd160: 20
        case .sha224: 28
        case .sha256: 32
        case .sha384: 48
        case .sha512: 64
        }
    }

    /// libcrypto's description of the function, which is a constant of the library.
    var method: OpaquePointer? { unsafe EVP_get_digestbyname(rawValue) }

    /// The digest of some bytes.
    /// - Throws: where libcrypto was built without this function.
    public func hash(_ bytes: [UInt8]) throws(CryptographyError) -> [UInt8] {
        guard let method = unsafe method else { throw CryptographyError("\(rawValue) is not available") }
        var result = [UInt8](repeating: 0, count: count)
        // The output buffer is as long as this function's digest.
        let status = unsafe result.withUnsafeMutableBytes { output in
            unsafe EVP_Digest(
                bytes, bytes.count, output.baseAddress?.assumingMemoryBound(to: UInt8.self), nil, method, nil)
        }
        guard status == 1 else { throw CryptographyError("\(rawValue) failed") }
        return result
    }

    /// PBKDF2 with HMAC (RFC 8018, section 5.2).
    /// - Parameters:
    ///   - iterations: 1 or more.
    ///   - count: bytes of the key to derive.
    public func deriveKey(
        password: [UInt8], salt: [UInt8], iterations: Int, count: Int
    ) throws(CryptographyError) -> [UInt8] {
        guard let method = unsafe method else { throw CryptographyError("\(rawValue) is not available") }
        guard iterations >= 1, iterations <= Int(Int32.max), count >= 0, count <= 1 << 20 else {
            throw CryptographyError("PBKDF2 cannot make \(count) bytes in \(iterations) iterations")
        }
        var key = [UInt8](repeating: 0, count: count)
        // Each buffer is passed with its own length.
        let status = unsafe key.withUnsafeMutableBufferPointer { output in
            unsafe password.withUnsafeBytes { secret in
                unsafe PKCS5_PBKDF2_HMAC(
                    secret.baseAddress?.assumingMemoryBound(to: CChar.self), Int32(password.count), salt,
                    Int32(salt.count), Int32(iterations), method, Int32(count), output.baseAddress)
            }
        }
        guard status == 1 else { throw CryptographyError("PBKDF2 with \(rawValue) failed") }
        return key
    }
}

/// Bytes from the operating system's random generator.
public func randomBytes(_ count: Int) throws(CryptographyError) -> [UInt8] {
    var bytes = [UInt8](repeating: 0, count: count)
    // Filled up to its own length.
    let status = unsafe bytes.withUnsafeMutableBufferPointer { unsafe RAND_bytes($0.baseAddress, Int32(count)) }
    guard status == 1 else { throw CryptographyError("the system gives no random bytes") }
    return bytes
}
