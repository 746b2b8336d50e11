// SPDX-License-Identifier: Apache-2.0

public import BlockLayer
internal import Cryptography
internal import HostSystem

/// Secrets that are themselves encrypted on the command line: AES-256 in CBC mode under another secret (`keyid=`), with the
/// first vector in `iv=`, and the last block filled up as PKCS #7 says.
public enum SecretDecryption {
    private static let keyLength = 32
    private static let blockLength = 16

    /// The secret in clear.
    /// - Parameters:
    ///   - bytes: whole blocks.
    ///   - key: 32 bytes.
    ///   - vector: 16 bytes.
    public static func decrypt(_ bytes: [UInt8], key: [UInt8], vector: [UInt8]) throws(BlockError) -> [UInt8] {
        guard key.count == keyLength else {
            throw BlockError(.invalidArgument, "Key should be \(keyLength) bytes in length")
        }
        guard vector.count == blockLength else {
            throw BlockError(
                .invalidArgument, "IV should be \(blockLength) bytes in length not \(vector.count)")
        }
        guard !bytes.isEmpty, bytes.count % blockLength == 0 else {
            throw BlockError(
                .invalidArgument, "The encrypted secret has \(bytes.count) bytes, which are no whole blocks")
        }
        let buffer = AlignedBuffer(count: bytes.count)
        buffer.region.copy(from: bytes)
        do throws(CryptographyError) {
            // One "sector" of number 0 is a chain that begins with a vector of zeroes.
            let cipher = try SectorCipher(
                .aes, mode: .cbc, vector: .plain64, key: key, sectorSize: bytes.count)
            // The buffer lives until the end of this function and nobody else has it.
            try unsafe cipher.decrypt(buffer.region.buffer, firstSector: 0)
        } catch {
            throw BlockError(.invalidArgument, "The secret cannot be decrypted: \(error)")
        }
        var plain = buffer.region.bytes
        for index in 0..<blockLength { plain[index] ^= vector[index] }
        let padding = Int(plain[plain.count - 1])
        guard (1...blockLength).contains(padding), plain.suffix(padding).allSatisfy({ Int($0) == padding }) else {
            throw BlockError(
                .invalidArgument, "Incorrect number of padding bytes (\(padding)) found on decrypted data")
        }
        plain.removeLast(padding)
        return plain
    }
}
