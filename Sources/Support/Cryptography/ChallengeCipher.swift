// SPDX-License-Identifier: Apache-2.0

internal import CCrypto

/// The block cipher DES, for protocols that prove a password with it. Secrets are not safe behind it.
public enum ChallengeCipher {
    private static let blockSize = 8

    /// Encrypts whole blocks of 8 bytes, each on its own (ECB).
    /// - Parameter key: 8 bytes, whose lowest bits do not count.
    /// - Throws: a size that is not right, or a libcrypto without the cipher.
    public static func encrypt(_ blocks: [UInt8], key: [UInt8]) throws(CryptographyError) -> [UInt8] {
        guard key.count == blockSize, blocks.count % blockSize == 0 else {
            throw CryptographyError("DES takes a key and blocks of 8 bytes")
        }
        // Three times the same key is DES; libcrypto keeps DES itself among its legacy ciphers.
        let tripled = key + key + key
        guard let context = unsafe EVP_CIPHER_CTX_new() else { throw CryptographyError("no memory for DES") }
        // Made above and freed here alone.
        defer { unsafe EVP_CIPHER_CTX_free(context) }
        guard unsafe EVP_EncryptInit_ex(context, EVP_des_ede3_ecb(), nil, tripled, nil) == 1,
            unsafe EVP_CIPHER_CTX_set_padding(context, 0) == 1
        else { throw CryptographyError("DES is not available") }
        var result = [UInt8](repeating: 0, count: blocks.count + blockSize)
        var count: Int32 = 0
        // At most one block more than the input is written.
        guard unsafe EVP_EncryptUpdate(context, &result, &count, blocks, Int32(blocks.count)) == 1,
            count == blocks.count
        else { throw CryptographyError("DES failed") }
        return Array(result.prefix(blocks.count))
    }
}
