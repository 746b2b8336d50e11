// SPDX-License-Identifier: Apache-2.0

internal import CCrypto

/// A block cipher, by the name that LUKS uses.
public enum BlockCipher: String, CaseIterable, Sendable {
    case aes, serpent, twofish, cast5
    case camellia

    /// Whether libcrypto has it; the others are known so that an image that uses them is named in its error.
    public var isAvailable: Bool { self == .aes || self == .camellia }
}

/// How blocks are chained inside a sector.
public enum CipherMode: String, Sendable {
    case ecb, cbc, xts, ctr
}

/// How a sector's initialisation vector is made of its number.
public enum InitializationVector: Equatable, Sendable {
    /// The number's low 32 bits.
    case plain
    /// All 64 bits.
    case plain64
    /// The number encrypted under a hash of the key.
    case essiv(Digest)
}

/// Encrypts and decrypts whole sectors of a disk, each on its own.
///
/// Not thread-safe: one for each thread (`copy()`).
@safe
public final class SectorCipher {
    /// Bytes of a sector, the unit of one initialisation vector.
    public let sectorSize: Int
    private let key: [UInt8]
    private let cipher: BlockCipher
    private let mode: CipherMode
    private let vector: InitializationVector
    // Both contexts are keyed once; each sector only sets its vector.
    private let encryption: OpaquePointer
    private let decryption: OpaquePointer
    private let vectorCipher: OpaquePointer?
    private static let blockSize = 16

    /// A cipher with its key.
    /// - Parameters:
    ///   - key: for XTS both halves; AES takes 16, 24 or 32 bytes, with XTS 32 or 64.
    ///   - sectorSize: bytes, a multiple of 16.
    public init(
        _ cipher: BlockCipher, mode: CipherMode, vector: InitializationVector, key: [UInt8], sectorSize: Int = 512
    ) throws(CryptographyError) {
        precondition(sectorSize > 0 && sectorSize % Self.blockSize == 0)
        self.cipher = cipher
        self.mode = mode
        self.vector = vector
        self.key = key
        self.sectorSize = sectorSize
        unsafe encryption = try Self.context(cipher, mode, key: key, encrypts: true)
        unsafe decryption = try Self.context(cipher, mode, key: key, encrypts: false)
        if case .essiv(let digest) = vector {
            unsafe vectorCipher = try Self.context(cipher, .ecb, key: try digest.hash(key), encrypts: true)
        } else {
            unsafe vectorCipher = nil
        }
    }

    deinit {
        // Each context belongs to this object alone; freeing one wipes its key.
        unsafe EVP_CIPHER_CTX_free(encryption)
        unsafe EVP_CIPHER_CTX_free(decryption)
        unsafe EVP_CIPHER_CTX_free(vectorCipher)
    }

    /// Another with the same key, for another thread.
    public func copy() throws(CryptographyError) -> SectorCipher {
        try SectorCipher(cipher, mode: mode, vector: vector, key: key, sectorSize: sectorSize)
    }

    /// Encrypts sectors in place.
    /// - Parameters:
    ///   - data: a whole number of sectors.
    ///   - sector: the number of the first one.
    public func encrypt(_ data: UnsafeMutableRawBufferPointer, firstSector sector: UInt64) throws(CryptographyError) {
        try unsafe process(data, sector, encryption, encrypts: 1)
    }

    /// Decrypts sectors in place, as `encrypt`.
    public func decrypt(_ data: UnsafeMutableRawBufferPointer, firstSector sector: UInt64) throws(CryptographyError) {
        try unsafe process(data, sector, decryption, encrypts: 0)
    }

    private func process(
        _ data: UnsafeMutableRawBufferPointer, _ first: UInt64, _ context: OpaquePointer, encrypts: Int32
    ) throws(CryptographyError) {
        guard data.count % sectorSize == 0 else { throw CryptographyError("a piece of a sector cannot be encrypted") }
        var sector = first
        var offset = 0
        while offset < data.count {
            let iv = try initializationVector(of: sector)
            var written: Int32 = 0
            // In place: libcrypto allows the same pointer for input and output. The sector lies inside `data`, and
            // without padding exactly its length is written. A null cipher and key keep the context's own.
            let place = unsafe data.baseAddress!.assumingMemoryBound(to: UInt8.self) + offset
            guard unsafe EVP_CipherInit_ex(context, nil, nil, nil, iv, encrypts) == 1,
                unsafe EVP_CipherUpdate(context, place, &written, place, Int32(sectorSize)) == 1,
                Int(written) == sectorSize
            else { throw CryptographyError("encryption with \(cipher.rawValue) failed") }
            offset += sectorSize
            sector &+= 1
        }
    }

    private func initializationVector(of sector: UInt64) throws(CryptographyError) -> [UInt8] {
        var iv = [UInt8](repeating: 0, count: Self.blockSize)
        let number = vector == .plain ? sector & 0xFFFF_FFFF : sector
        for byte in 0..<8 { iv[byte] = UInt8(truncatingIfNeeded: number >> UInt64(byte * 8)) }
        guard let vectorCipher = unsafe vectorCipher else { return iv }
        var result = [UInt8](repeating: 0, count: Self.blockSize)
        var written: Int32 = 0
        // One block in, one block out.
        guard unsafe EVP_CipherUpdate(vectorCipher, &result, &written, iv, Int32(Self.blockSize)) == 1 else {
            throw CryptographyError("encryption with \(cipher.rawValue) failed")
        }
        return result
    }

    private static func context(
        _ cipher: BlockCipher, _ mode: CipherMode, key: [UInt8], encrypts: Bool
    ) throws(CryptographyError) -> OpaquePointer {
        let bits = (mode == .xts ? key.count / 2 : key.count) * 8
        let name = "\(cipher.rawValue)-\(bits)-\(mode.rawValue)"
        // The method is a constant of the library; the context is freed by the owner or right here.
        guard let method = unsafe EVP_get_cipherbyname(name), let context = unsafe EVP_CIPHER_CTX_new() else {
            throw CryptographyError("\(name) is not available")
        }
        guard unsafe EVP_CipherInit_ex(context, method, nil, key, nil, encrypts ? 1 : 0) == 1,
            unsafe EVP_CIPHER_CTX_set_padding(context, 0) == 1
        else {
            unsafe EVP_CIPHER_CTX_free(context)
            throw CryptographyError("\(name) refuses its key")
        }
        return unsafe context
    }
}
