// SPDX-License-Identifier: Apache-2.0

internal import BlockLayer
internal import Cryptography
internal import HostSystem
internal import LUKSImage
internal import QCOW2Image

/// The ciphers of encrypted qcow2 images: LUKS version 1 and the old AES.
struct ImageCiphers: ClusterCipherProvider {
    func open(
        _ method: EncryptionMethod, file: any BlockNode, headerRange: Range<Int64>?, options: inout BlockOptions,
        secrets: any SecretProvider, metadataOnly: Bool
    ) throws(BlockError) -> any ClusterCipher {
        if let format = options.take("format"), format != method.name {
            throw BlockError(
                .invalidArgument,
                "Header reported '\(method.name)' encryption format but options specify '\(format)'")
        }
        let secret = options.take("key-secret")
        func passphrase() throws(BlockError) -> [UInt8] {
            guard let secret else {
                throw BlockError(.invalidArgument, "Parameter 'encrypt.key-secret' is required for cipher")
            }
            return try secrets.secret(secret)
        }
        switch method {
        case .aes: return try AESCipher(password: metadataOnly ? nil : try passphrase())
        case .luks:
            let volume = try LUKSVolume.open(file, at: headerRange?.lowerBound ?? 0)
            if !metadataOnly { try volume.unlock(passphrase: try passphrase()) }
            return LUKSCipher(volume: volume)
        }
    }

    func headerLength(_ method: EncryptionMethod, options value: (String) -> String?) throws(BlockError) -> Int64 {
        method == .luks ? try LUKSVolume.headerLength(options: value) : 0
    }

    func create(
        _ method: EncryptionMethod, file: any BlockNode, at offset: Int64, secrets: any SecretProvider,
        options value: (String) -> String?
    ) throws(BlockError) {
        let passphrase = try secrets.secret(value("key-secret") ?? "")
        guard method == .luks else { return }
        _ = try LUKSVolume.create(file, at: offset, passphrase: passphrase, options: value)
    }
}

/// Sectors are numbered by where they lie in the file.
private struct LUKSCipher: ClusterCipher {
    let volume: LUKSVolume

    func decrypt(_ region: ByteRegion, guestOffset: Int64, hostOffset: Int64) throws(BlockError) {
        try volume.decrypt(region, firstSector: UInt64(hostOffset) / 512)
    }

    func encrypt(_ region: ByteRegion, guestOffset: Int64, hostOffset: Int64) throws(BlockError) {
        try volume.encrypt(region, firstSector: UInt64(hostOffset) / 512)
    }

    func amend(
        force: Bool, secrets: any SecretProvider, options value: (String) -> String?
    ) throws(BlockError) {
        try volume.amend(force: force, secrets: secrets, options: value)
    }

    var facts: [(String, SpecificInformation.Fact)] {
        var facts = volume.facts
        let place = facts.firstIndex { $0.0 == "cipher-mode" } ?? facts.count
        facts.insert(("format", .text("luks")), at: place)
        return facts
    }
}

/// AES-128-CBC; the key is the password's first 16 bytes, sectors are numbered as the guest sees them.
private final class AESCipher: ClusterCipher, @unchecked Sendable {
    private static let keySize = 16
    private let key: [UInt8]?
    // Guarded by `lock`: ciphers that nobody uses at the moment.
    private var idle: [SectorCipher] = []
    private let lock = Lock()

    init(password: [UInt8]?) throws(BlockError) {
        key = password.map { Array(($0 + [UInt8](repeating: 0, count: Self.keySize)).prefix(Self.keySize)) }
    }

    var facts: [(String, SpecificInformation.Fact)] { [("format", .text("aes"))] }

    func amend(
        force: Bool, secrets: any SecretProvider, options value: (String) -> String?
    ) throws(BlockError) {
        throw BlockError(.notSupported, "Only LUKS encryption options can be amended")
    }

    func decrypt(_ region: ByteRegion, guestOffset: Int64, hostOffset: Int64) throws(BlockError) {
        // The region lives until the call returns.
        try withCipher { try unsafe $0.decrypt(region.buffer, firstSector: UInt64(guestOffset) / 512) }
    }

    func encrypt(_ region: ByteRegion, guestOffset: Int64, hostOffset: Int64) throws(BlockError) {
        // The region lives until the call returns.
        try withCipher { try unsafe $0.encrypt(region.buffer, firstSector: UInt64(guestOffset) / 512) }
    }

    private func withCipher(_ body: (SectorCipher) throws -> Void) throws(BlockError) {
        guard let key else {
            throw BlockError(.accessDenied, "The image was opened without its secret")
        }
        do {
            let found = lock.withLock { idle.popLast() }
            let cipher = try found ?? SectorCipher(.aes, mode: .cbc, vector: .plain64, key: key)
            defer { lock.withLock { idle.append(cipher) } }
            try body(cipher)
        } catch {
            throw BlockError(.inputOutput, "\(error)")
        }
    }
}
