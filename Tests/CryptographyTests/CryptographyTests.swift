// SPDX-License-Identifier: Apache-2.0

import Cryptography
import Testing

func bytes(_ hex: String) -> [UInt8] {
    var result: [UInt8] = []
    var rest = hex[...]
    while !rest.isEmpty {
        result.append(UInt8(rest.prefix(2), radix: 16)!)
        rest = rest.dropFirst(2)
    }
    return result
}

@Suite struct CryptographyTests {
    @Test func knownDigests() throws {
        let abc = Array("abc".utf8)
        #expect(try Digest.sha1.hash(abc) == bytes("a9993e364706816aba3e25717850c26c9cd0d89d"))
        #expect(
            try Digest.sha256.hash(abc)
                == bytes("ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"))
        #expect(try Digest.md5.hash([]) == bytes("d41d8cd98f00b204e9800998ecf8427e"))
    }

    @Test func keyDerivation() throws {
        // RFC 6070, the second vector.
        let key = try Digest.sha1.deriveKey(
            password: Array("password".utf8), salt: Array("salt".utf8), iterations: 2, count: 20)
        #expect(key == bytes("ea6c014dc72d6f8ccd1ed92ace1d41f0d8de8957"))
        #expect(throws: CryptographyError.self) {
            try Digest.sha1.deriveKey(password: [], salt: [], iterations: 0, count: 20)
        }
    }

    @Test func xtsVector() throws {
        // IEEE 1619, vector 2.
        let key = [UInt8](repeating: 0x11, count: 16) + [UInt8](repeating: 0x22, count: 16)
        let cipher = try SectorCipher(.aes, mode: .xts, vector: .plain64, key: key, sectorSize: 32)
        let plain = [UInt8](repeating: 0x44, count: 64)
        var data = plain
        let number: UInt64 = 0x33_3333_3333
        try unsafe data.withUnsafeMutableBytes { try unsafe cipher.encrypt($0, firstSector: number) }
        #expect(
            Array(data[0..<32]) == bytes("c454185e6a16936e39334038acef838bfb186fff7480adc4289382ecd6d394f0"))
        #expect(data[0..<32] != data[32..<64])
        try unsafe data.withUnsafeMutableBytes { try unsafe cipher.decrypt($0, firstSector: number) }
        #expect(data == plain)
    }

    @Test(arguments: [InitializationVector.plain, .plain64, .essiv(.sha256)])
    func cbcRoundTrip(_ vector: InitializationVector) throws {
        let cipher = try SectorCipher(.aes, mode: .cbc, vector: vector, key: Array(0..<32))
        let original = (0..<1024).map { UInt8(truncatingIfNeeded: $0 &* 7) }
        var data = original
        let sector: UInt64 = 0x1_0000_0001
        try unsafe data.withUnsafeMutableBytes { try unsafe cipher.encrypt($0, firstSector: sector) }
        #expect(data != original)
        var other = data
        try unsafe other.withUnsafeMutableBytes { try unsafe cipher.copy().decrypt($0, firstSector: sector) }
        #expect(other == original)
        // The high half of the sector's number counts for all but `plain`.
        try unsafe data.withUnsafeMutableBytes { try unsafe cipher.decrypt($0, firstSector: 1) }
        #expect((data == original) == (vector == .plain))
    }

    @Test func namesWhatIsMissing() {
        #expect(throws: CryptographyError.self) {
            try SectorCipher(.serpent, mode: .xts, vector: .plain64, key: [UInt8](repeating: 1, count: 64))
        }
        #expect(throws: CryptographyError.self) {
            try SectorCipher(.aes, mode: .xts, vector: .plain64, key: [UInt8](repeating: 1, count: 13))
        }
    }
}
