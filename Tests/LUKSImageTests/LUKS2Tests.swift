// SPDX-License-Identifier: Apache-2.0

import BlockLayer
import Cryptography
import LUKSImage
import StorageTestKit
import Testing

/// Volumes of version 2 as cryptsetup makes them; their content is written here with the key that they were given.
@Suite(.enabled(if: isInstalled("cryptsetup"), "needs Debian's cryptsetup-bin")) struct LUKS2Tests {
    let folder = Folder()
    static let payload: Int64 = 16 << 20
    static let passphrase = "correct horse"

    struct Variant: Sendable, CustomStringConvertible {
        let description: String
        let options: String
        let keyBytes: Int
        let mode: CipherMode
        let vector: InitializationVector
        let sectorSize: Int
    }

    static let variants = [
        Variant(
            description: "Argon2id", options: "--pbkdf argon2id --pbkdf-memory 4096 --pbkdf-force-iterations 4",
            keyBytes: 64, mode: .xts, vector: .plain64, sectorSize: 512),
        Variant(
            description: "Argon2i, large sectors",
            options: "--pbkdf argon2i --pbkdf-memory 1024 --pbkdf-force-iterations 4 --hash sha512",
            keyBytes: 64, mode: .xts, vector: .plain64, sectorSize: 4096),
        Variant(
            description: "PBKDF2, CBC with ESSIV",
            options: "--pbkdf pbkdf2 --pbkdf-force-iterations 1000 --cipher aes-cbc-essiv:sha256 -s 256", keyBytes: 32,
            mode: .cbc, vector: .essiv(.sha256), sectorSize: 512),
    ]

    /// A volume of 1 MiB with known content.
    func make(_ variant: Variant, _ content: [UInt8]) throws -> String {
        let (path, secret, keyFile) = (folder.file("v.luks"), folder.file("pass"), folder.file("key"))
        let key = (0..<variant.keyBytes).map { UInt8(truncatingIfNeeded: $0 * 7 + 1) }
        // The shell's printf knows octal numbers only.
        let octal = key.map { "\\" + String(Int($0) + 0o1000, radix: 8).dropFirst() }.joined()
        let outcome = run(
            """
            printf '\(Self.passphrase)' > \(secret); printf '\(octal)' > \(keyFile); truncate -s 17M \(path)
            cryptsetup luksFormat -q --type luks2 --volume-key-file \(keyFile) --sector-size \(variant.sectorSize) \(variant.options) \(path) \(secret)
            """)
        try #require(outcome.status == 0, "\(outcome.output)")
        let cipher = try SectorCipher(
            .aes, mode: variant.mode, vector: variant.vector, key: key, sectorSize: variant.sectorSize)
        let buffer = AlignedBuffer(count: content.count).region
        buffer.copy(from: content)
        for start in stride(from: 0, to: content.count, by: variant.sectorSize) {
            // The region lives until the call returns.
            try unsafe cipher.encrypt(
                buffer.slice(start, variant.sectorSize).buffer, firstSector: UInt64(start / 512))
        }
        let file = try graph().open(
            "file:" + path, options: BlockOptions([("driver", .string("file"))]), flags: .writable)
        try file.write(buffer, at: Self.payload)
        try file.close()
        return path
    }

    func graph(_ passphrase: String = passphrase) -> BlockGraph {
        BlockGraph(drivers: [LUKSDriver(), FileDriver.file], secrets: OneSecret(value: passphrase))
    }

    func open(_ path: String, _ passphrase: String = passphrase, flags: OpenFlags = OpenFlags()) throws
        -> any BlockNode
    {
        try graph(passphrase).open(
            path, format: "luks", options: BlockOptions([("key-secret", .string("s"))]), flags: flags)
    }

    @Test(arguments: variants) func readsWhatCryptsetupMade(_ variant: Variant) throws {
        let content = (0..<65536).map { UInt8(truncatingIfNeeded: $0 &* 31 >> 3) }
        let path = try make(variant, content)
        let node = try open(path)
        #expect(node.length == 1 << 20)
        #expect(try node.readBytes(at: 0, count: content.count) == content)
        #expect(try node.readBytes(at: 5000, count: 333) == Array(content[5000..<5333]))
        try node.close()
        #expect(throws: BlockError.self) { try open(path, "wrong") }
        #expect(throws: BlockError.self) { try open(path, flags: .writable) }
    }

    @Test func theSecondHeaderStandsIn() throws {
        let content = [UInt8](repeating: 9, count: 4096)
        let path = try make(Self.variants[2], content)
        #expect(run("dd if=/dev/zero of=\(path) bs=1 seek=100 count=3000 conv=notrunc").status == 0)
        let node = try open(path)
        #expect(try node.readBytes(at: 0, count: 4096) == content)
        try node.close()
        #expect(run("dd if=/dev/zero of=\(path) bs=1 seek=20000 count=3000 conv=notrunc").status == 0)
        #expect(throws: BlockError.self) { try open(path) }
    }

    @Test func damagedHeadersEndInErrors() throws {
        let path = try make(Self.variants[2], [UInt8](repeating: 1, count: 512))
        // What is tried must reach the parser: the checksums are made right again by cryptsetup's own tools only, so
        // both headers are cut off instead.
        for length in [0, 7, 100, 4095, 4096, 8192, 16384, 32768] {
            #expect(run("cp \(path) \(path).cut && truncate -s \(length) \(path).cut").status == 0)
            #expect(throws: BlockError.self) { try open(path + ".cut") }
        }
    }
}
