// SPDX-License-Identifier: Apache-2.0

internal import BlockLayer
internal import Cryptography

/// A volume's cipher with its mode, vector and hash, by the names of options and of the header.
struct LUKSAlgorithms: Sendable {
    var cipher: BlockCipher
    /// Of one key; XTS has two.
    var keyBits: Int
    var mode: CipherMode
    /// "plain", "plain64" or "essiv".
    var vectorName: String
    var vectorHash: Digest?
    var hash: Digest

    /// Bytes of the master key.
    var keyBytes: Int { keyBits / 8 * (mode == .xts ? 2 : 1) }
    /// "aes-256".
    var cipherAlgorithm: String { "\(cipher.rawValue)-\(keyBits)" }
    /// "xts-plain64", "cbc-essiv:sha256".
    var modeText: String { "\(mode.rawValue)-\(vectorName)" + (vectorHash.map { ":\($0.rawValue)" } ?? "") }

    private var vector: InitializationVector {
        if let vectorHash, vectorName == "essiv" { return .essiv(vectorHash) }
        return vectorName == "plain" ? .plain : .plain64
    }

    /// A cipher with a key of `keyBytes`.
    func sectorCipher(key: [UInt8], sectorSize: Int = 512) throws(BlockError) -> SectorCipher {
        guard cipher.isAvailable else {
            throw BlockError(.notSupported, "Algorithm '\(cipherAlgorithm)' not supported")
        }
        do {
            return try SectorCipher(cipher, mode: mode, vector: vector, key: key, sectorSize: sectorSize)
        } catch {
            throw BlockError(.notSupported, "Algorithm '\(cipherAlgorithm)' with mode \(mode.rawValue): \(error)")
        }
    }

    /// From a header.
    init(_ header: LUKSHeader) throws(BlockError) {
        guard let dash = header.modeText.firstIndex(of: "-") else {
            throw BlockError(.invalidArgument, "Unexpected cipher mode string format '\(header.modeText)'")
        }
        let modeName = String(header.modeText[..<dash])
        var rest = header.modeText[header.modeText.index(after: dash)...]
        if let colon = rest.firstIndex(of: ":") {
            let name = String(rest[rest.index(after: colon)...])
            guard let digest = Digest(rawValue: name) else {
                throw BlockError(.notSupported, "Hash algorithm '\(name)' is not supported")
            }
            vectorHash = digest
            rest = rest[..<colon]
        }
        guard let mode = CipherMode(rawValue: modeName) else {
            throw BlockError(.notSupported, "Cipher mode '\(modeName)' is not supported")
        }
        guard let hash = Digest(rawValue: header.hashName) else {
            throw BlockError(.notSupported, "Hash algorithm '\(header.hashName)' is not supported")
        }
        guard let cipher = BlockCipher(rawValue: header.cipherName) else {
            throw BlockError(
                .notSupported, "Algorithm '\(header.cipherName)' with key size \(header.keyBytes) bytes not supported")
        }
        guard ["plain", "plain64", "essiv"].contains(String(rest)) else {
            throw BlockError(.notSupported, "IV generator '\(rest)' is not supported")
        }
        if rest == "essiv", vectorHash == nil {
            throw BlockError(.invalidArgument, "Missing IV generator hash specification")
        }
        self.cipher = cipher
        self.mode = mode
        self.hash = hash
        vectorName = String(rest)
        keyBits = header.keyBytes * 8 / (mode == .xts ? 2 : 1)
    }

    /// From options of `create`.
    /// - Parameter value: the text of `cipher-alg` and the others, nil when not given.
    init(options value: (String) -> String?) throws(BlockError) {
        let name = value("cipher-alg") ?? "aes-256"
        let modes = ["ecb", "cbc", "xts", "ctr"]
        let modeName = value("cipher-mode") ?? "xts"
        guard let (cipher, bits) = Self.cipher(name) else { throw Self.bad("cipher-alg", name) }
        guard modes.contains(modeName), let mode = CipherMode(rawValue: modeName) else {
            throw Self.bad("cipher-mode", modeName)
        }
        let hashName = value("hash-alg") ?? "sha256"
        guard let hash = Digest(rawValue: hashName) else { throw Self.bad("hash-alg", hashName) }
        let vector = value("ivgen-alg") ?? "plain64"
        guard ["plain", "plain64", "essiv"].contains(vector) else { throw Self.bad("ivgen-alg", vector) }
        var vectorHash: Digest?
        if let text = value("ivgen-hash-alg") {
            guard let digest = Digest(rawValue: text) else { throw Self.bad("ivgen-hash-alg", text) }
            vectorHash = digest
        } else if vector == "essiv" {
            vectorHash = .sha256
        }
        self.cipher = cipher
        keyBits = bits
        self.mode = mode
        vectorName = vector
        self.vectorHash = vector == "essiv" ? vectorHash : nil
        self.hash = hash
    }

    private static func cipher(_ name: String) -> (BlockCipher, Int)? {
        let parts = name.split(separator: "-")
        guard parts.count == 2, let bits = Int(parts[1]), let cipher = BlockCipher(rawValue: String(parts[0])) else {
            return nil
        }
        let sizes = cipher == .cast5 ? [128] : [128, 192, 256]
        return cipher != .camellia && sizes.contains(bits) ? (cipher, bits) : nil
    }

    private static func bad(_ name: String, _ value: String) -> BlockError {
        BlockError(.invalidArgument, "Parameter '\(name)' does not accept value '\(value)'")
    }
}

/// Spreads a key over many stripes, so that losing any of them loses the key (specification, section 2.4).
enum AntiForensics {
    /// The stripes: all random but the last, which closes the sum.
    static func split(_ key: [UInt8], stripes: Int, hash: Digest) throws(CryptographyError) -> [UInt8] {
        var result = try randomBytes(key.count * (stripes - 1))
        var sum = [UInt8](repeating: 0, count: key.count)
        for stripe in 0..<stripes - 1 {
            mix(&sum, result, stripe)
            sum = try diffuse(sum, hash)
        }
        result += zip(sum, key).map { $0 ^ $1 }
        return result
    }

    /// The key of stripes.
    static func merge(_ material: [UInt8], count: Int, stripes: Int, hash: Digest) throws(CryptographyError) -> [UInt8]
    {
        var sum = [UInt8](repeating: 0, count: count)
        for stripe in 0..<stripes {
            mix(&sum, material, stripe)
            if stripe < stripes - 1 { sum = try diffuse(sum, hash) }
        }
        return sum
    }

    private static func mix(_ sum: inout [UInt8], _ material: [UInt8], _ stripe: Int) {
        let start = stripe * sum.count
        for index in sum.indices { sum[index] ^= material[start + index] }
    }

    /// Each piece of a digest's length is replaced by the hash of its number and itself.
    private static func diffuse(_ block: [UInt8], _ hash: Digest) throws(CryptographyError) -> [UInt8] {
        var result: [UInt8] = []
        result.reserveCapacity(block.count)
        var number: UInt32 = 0
        var start = 0
        while start < block.count {
            let end = min(start + hash.count, block.count)
            let prefix = (0..<4).map { UInt8(truncatingIfNeeded: number >> UInt32(24 - $0 * 8)) }
            result += try hash.hash(prefix + block[start..<end]).prefix(end - start)
            number += 1
            start = end
        }
        return result
    }
}
