// SPDX-License-Identifier: Apache-2.0

import BlockLayer
import Cryptography
import LUKSImage
import RandomKit
import StorageTestKit
import Testing

/// Headers of version 2 that nobody's tool would write, with right checksums.
@Suite struct LUKS2HostileTests {
    private static let headerSize = 16384
    private static let json = """
        {"keyslots":{"0":{"type":"luks2","key_size":64,"af":{"type":"luks1","stripes":4000,"hash":"sha256"},\
        "area":{"type":"raw","offset":"32768","size":"258048","encryption":"aes-xts-plain64","key_size":64},\
        "kdf":{"type":"pbkdf2","hash":"sha256","iterations":1000,"salt":"AAAA"}}},\
        "segments":{"0":{"type":"crypt","offset":"524288","size":"dynamic","iv_tweak":"0",\
        "encryption":"aes-xts-plain64","sector_size":512}},\
        "digests":{"0":{"type":"pbkdf2","keyslots":["0"],"segments":["0"],"hash":"sha256","iterations":1000,\
        "salt":"AAAA","digest":"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="}},\
        "config":{"json_size":"12288","keyslots_size":"491520"}}
        """

    /// A volume of 1 MiB whose first header has this text; there is no second one.
    private func volume(_ json: [UInt8]) throws -> [UInt8] {
        func big(_ value: Int, _ count: Int) -> [UInt8] {
            (0..<count).map { UInt8(truncatingIfNeeded: value >> ((count - 1 - $0) * 8)) }
        }
        func text(_ value: String, _ count: Int) -> [UInt8] {
            Array(value.utf8) + [UInt8](repeating: 0, count: count - value.utf8.count)
        }
        var bytes: [UInt8] = [0x4c, 0x55, 0x4b, 0x53, 0xba, 0xbe, 0, 2]
        bytes += big(Self.headerSize, 8) + big(1, 8) + text("", 48) + text("sha256", 32)
        bytes += [UInt8](repeating: 0, count: 64) + text("uuid", 40) + text("", 48) + big(0, 8)
        bytes += [UInt8](repeating: 0, count: 4096 - bytes.count) + json
        bytes += [UInt8](repeating: 0, count: max(0, Self.headerSize - bytes.count))
        bytes.replaceSubrange(448..<480, with: try Digest.sha256.hash(Array(bytes.prefix(Self.headerSize))))
        return bytes + [UInt8](repeating: 0x5a, count: (1 << 20) - bytes.count)
    }

    private func open(_ bytes: [UInt8], unlocking: Bool) throws -> any BlockNode {
        let graph = BlockGraph(drivers: [LUKSDriver()], secrets: OneSecret())
        try graph.register(MemoryNode(bytes), as: "m")
        var flags = OpenFlags()
        flags.metadataOnly = !unlocking
        return try graph.open(
            nil,
            options: BlockOptions([
                ("driver", .string("luks")), ("file", .string("m")), ("key-secret", .string("s")),
            ]), flags: flags)
    }

    @Test func thePatternIsRight() throws {
        let bytes = try volume(Array(Self.json.utf8))
        let node = try open(bytes, unlocking: false)
        #expect(node.length == 1 << 19)
        #expect(throws: BlockError.self) { try node.readBytes(at: 0, count: 512) }
        // Nobody has this volume's passphrase.
        #expect(throws: BlockError.self) { try open(bytes, unlocking: true) }
    }

    @Test func damagedTextsEndInErrors() throws {
        var random = SeededGenerator(seed: 77)
        let alphabet = Array("0123456789\"{}[]:,-eE.xas ".utf8)
        for _ in 0..<600 {
            var json = Array(Self.json.utf8)
            for _ in 0..<Int.random(in: 1...3, using: &random) {
                let place = Int.random(in: 0..<json.count, using: &random)
                switch Int.random(in: 0..<3, using: &random) {
                case 0: json[place] = alphabet.randomElement(using: &random) ?? 0
                case 1: json.remove(at: place)
                default: json.insert(alphabet.randomElement(using: &random) ?? 0, at: place)
                }
            }
            // Either it is refused, or what it says can be shown.
            guard let node = try? open(try volume(json), unlocking: false) else { continue }
            _ = try (node as? any DescribedNode)?.specificInformation()
            _ = node.length
            try node.close()
        }
    }

    @Test(
        arguments: [
            ("\"offset\":\"32768\"", "\"offset\":\"9223372036854775807\""),
            ("\"offset\":\"32768\"", "\"offset\":\"1152921504606846976\""),
            ("\"stripes\":4000", "\"stripes\":9000000"), ("\"stripes\":4000", "\"stripes\":-1"),
            ("\"key_size\":64,\"af\"", "\"key_size\":0,\"af\""),
            (
                "\"type\":\"pbkdf2\",\"hash\":\"sha256\",\"iterations\":1000",
                "\"type\":\"argon2id\",\"time\":4294967295,\"memory\":4294967295,\"cpus\":4"
            ),
            (
                "\"type\":\"pbkdf2\",\"hash\":\"sha256\",\"iterations\":1000",
                "\"type\":\"argon2id\",\"time\":65536,\"memory\":1048576,\"cpus\":4"
            ),
            ("\"iterations\":1000", "\"iterations\":2147483648"), ("\"sector_size\":512", "\"sector_size\":1000"),
            ("\"sector_size\":512", "\"sector_size\":0"), ("aes-xts-plain64", "aes"), ("aes-xts-plain64", "-"),
            ("\"config\":{", "\"config\":{\"requirements\":{\"mandatory\":[\"online-reencrypt-v2\"]},"),
            ("\"segments\":[\"0\"]", "\"segments\":[\"1\"]"), ("\"type\":\"crypt\"", "\"type\":\"linear\""),
        ])
    func sizesThatCannotBe(old: String, new: String) throws {
        let text = Self.json.replacing(old, with: new)
        #expect(text != Self.json)
        let bytes = try volume(Array(text.utf8))
        #expect(throws: BlockError.self) { try open(bytes, unlocking: true) }
    }

    @Test func aWrongChecksumIsFound() throws {
        var bytes = try volume(Array(Self.json.utf8))
        bytes[5000] ^= 1
        #expect(throws: BlockError.self) { try open(bytes, unlocking: false) }
    }
}

extension String {
    fileprivate func replacing(_ old: String, with new: String) -> String {
        let (text, pattern) = (Array(utf8), Array(old.utf8))
        var result: [UInt8] = []
        var index = 0
        while index < text.count {
            if text[index...].starts(with: pattern) {
                result += new.utf8
                index += pattern.count
            } else {
                result.append(text[index])
                index += 1
            }
        }
        return String(decoding: result, as: UTF8.self)
    }
}
