// SPDX-License-Identifier: Apache-2.0

internal import BlockLayer
internal import ByteCoding
internal import Cryptography
internal import HostSystem
internal import JSONCoding

/// What is needed of a LUKS 2 header to read the volume (LUKS2 On-Disk Format Specification 1.1): a binary part of 4096
/// bytes with a checksum, then an area with JSON. There are two copies; the newer valid one counts.
struct LUKS2Header: Sendable {
    static let secondMagic: [UInt8] = [0x53, 0x4b, 0x55, 0x4c, 0xba, 0xbe]
    private static let binarySize = 4096
    /// The sizes that a header may have, which are also the places of the second one (section 2.2).
    private static let sizes: [Int64] = [14, 15, 16, 17, 18, 19, 20, 21, 22].map { 1 << $0 }

    private enum Offset {
        static let size = 8
        static let sequence = 16
        static let label = 24
        static let checksumName = 72
        static let uuid = 168
        static let position = 256
        static let checksum = 448
        static let checksumSize = 64
    }

    /// How a keyslot's key is made of a passphrase.
    enum KeyDerivation: Sendable {
        case pbkdf2(Digest, salt: [UInt8], iterations: Int)
        case argon2(Argon2, salt: [UInt8], passes: UInt32, memory: UInt32, lanes: UInt32)
    }

    struct Keyslot: Sendable {
        let identifier: String
        let keyBytes: Int
        let stripes: Int
        let hash: Digest
        /// Where the split key lies, in bytes from the start of the volume.
        let area: Range<Int64>
        /// "aes-xts-plain64" and the bytes of its key.
        let encryption: String
        let areaKeyBytes: Int
        let derivation: KeyDerivation
    }

    struct Segment: Sendable {
        let offset: Int64
        /// nil: as far as the file goes.
        let length: Int64?
        let firstVector: UInt64
        let encryption: String
        let sectorSize: Int
    }

    /// What the volume's key is recognised by.
    struct KeyDigest: Sendable {
        let keyslots: Set<String>
        let hash: Digest
        let salt: [UInt8]
        let iterations: Int
        let digest: [UInt8]
    }

    let label: String
    let uuid: String
    private let sequence: UInt64
    let keyslots: [Keyslot]
    let segment: Segment
    let digest: KeyDigest

    /// Reads whichever copy is valid and newer.
    static func read(_ file: any BlockNode) throws(BlockError) -> LUKS2Header {
        var failure: BlockError?
        var found: LUKS2Header?
        for offset in [0] + sizes {
            let magic = offset == 0 ? LUKSHeader.magic : secondMagic
            do throws(BlockError) {
                guard offset < file.length, let bytes = try bytes(file, at: offset, magic) else { continue }
                let header = try LUKS2Header(bytes)
                if header.sequence > found?.sequence ?? 0 || found == nil { found = header }
            } catch {
                failure = failure ?? error
            }
        }
        guard let found else {
            throw failure ?? BlockError(.invalidArgument, "Volume is not in LUKS format")
        }
        return found
    }

    /// The bytes of a copy whose checksum is right; nil where none begins.
    private static func bytes(_ file: any BlockNode, at offset: Int64, _ magic: [UInt8]) throws(BlockError) -> [UInt8]?
    {
        var bytes = try file.readBytes(at: offset, count: binarySize)
        guard bytes.starts(with: magic) else { return nil }
        let version: UInt16 = bytes.load(at: 6, order: .big) ?? 0
        guard version == 2 else { throw BlockError(.notSupported, "LUKS version \(version) is not supported") }
        let size: UInt64 = bytes.load(at: Offset.size, order: .big) ?? 0
        let position: UInt64 = bytes.load(at: Offset.position, order: .big) ?? 0
        guard let length = Int64(exactly: size), sizes.contains(length), position == UInt64(offset) else {
            throw damaged("its size or place cannot be")
        }
        bytes += try file.readBytes(at: offset + Int64(binarySize), count: Int(length) - binarySize)
        let name = bytes.text(at: Offset.checksumName, count: 32) ?? ""
        guard let hash = Digest(rawValue: name) else {
            throw BlockError(.notSupported, "Hash algorithm '\(name)' is not supported")
        }
        let stored = bytes.bytes(at: Offset.checksum, count: hash.count) ?? []
        for index in Offset.checksum..<Offset.checksum + Offset.checksumSize { bytes[index] = 0 }
        do {
            guard try hash.hash(bytes) == stored else { throw damaged("its checksum is wrong") }
        } catch let error as BlockError {
            throw error
        } catch {
            throw BlockError(.notSupported, "\(error)")
        }
        return bytes
    }

    static func damaged(_ what: String) -> BlockError {
        BlockError(.corrupt, "The LUKS header is damaged: \(what)", errno: .invalidArgument)
    }

    private init(_ bytes: [UInt8]) throws(BlockError) {
        label = bytes.text(at: Offset.label, count: 48) ?? ""
        uuid = bytes.text(at: Offset.uuid, count: 40) ?? ""
        sequence = bytes.load(at: Offset.sequence, order: .big) ?? 0
        let text = String(decoding: bytes[Self.binarySize...].prefix { $0 != 0 }, as: UTF8.self)
        let json: JSONValue
        do {
            json = try JSONValue(parsing: text, limits: JSONLimits(depth: 16, tokens: 65536, bytes: 4 << 20))
        } catch {
            throw Self.damaged(error.message)
        }
        if let mandatory = json["config"]?["requirements"]?["mandatory"]?.array, let first = mandatory.first {
            throw BlockError(
                .notSupported, "The LUKS volume needs the feature '\(first.string ?? "")', which is not supported",
                advice: "An interrupted reencryption is finished with: cryptsetup reencrypt --resume-only FILE")
        }
        segment = try Self.segment(json["segments"])
        let digests = json["digests"]?.object?.members ?? []
        guard let digest = digests.first(where: { $0.value["segments"]?.array?.contains("0") == true })?.value else {
            throw Self.damaged("no digest belongs to the segment")
        }
        self.digest = try Self.digest(digest)
        var slots: [Keyslot] = []
        for member in json["keyslots"]?.object?.members ?? [] where self.digest.keyslots.contains(member.name) {
            slots.append(try Self.keyslot(member.name, member.value))
        }
        keyslots = slots
    }
}

// The JSON area; numbers of 64 bits are texts in it (section 3).
extension LUKS2Header {
    private static func number(_ value: JSONValue?, _ range: ClosedRange<Int64>, _ what: String) throws(BlockError)
        -> Int64
    {
        guard let number = value?.integer ?? value?.string.flatMap({ Int64($0) }), range.contains(number) else {
            throw damaged("'\(what)' is missing or out of range")
        }
        return number
    }

    private static func hash(_ value: JSONValue?) throws(BlockError) -> Digest {
        guard let digest = value?.string.flatMap(Digest.init(rawValue:)) else {
            throw BlockError(.notSupported, "Hash algorithm '\(value?.string ?? "")' is not supported")
        }
        return digest
    }

    private static func bytes(_ value: JSONValue?, _ what: String) throws(BlockError) -> [UInt8] {
        guard let text = value?.string, let bytes = Base64.decode(text.utf8, passingOver: .whiteSpace),
            bytes.count <= 1024
        else {
            throw damaged("'\(what)' is not base64")
        }
        return bytes
    }

    private static func segment(_ value: JSONValue?) throws(BlockError) -> Segment {
        guard let members = value?.object?.members, members.count == 1, members[0].name == "0" else {
            throw BlockError(.notSupported, "LUKS volumes with several segments are not supported")
        }
        let json = members[0].value
        guard json["type"]?.string == "crypt" else {
            throw BlockError(.notSupported, "The LUKS segment type '\(json["type"]?.string ?? "")' is not supported")
        }
        if json["integrity"] != nil {
            throw BlockError(.notSupported, "LUKS volumes with integrity protection are not supported")
        }
        let sector = try number(json["sector_size"], 512...4096, "sector_size")
        guard sector & (sector - 1) == 0 else { throw damaged("'sector_size' is no power of two") }
        let isDynamic = json["size"]?.string == "dynamic"
        return Segment(
            offset: try number(json["offset"], 0...(1 << 60), "offset"),
            length: isDynamic ? nil : try number(json["size"], 0...(1 << 60), "size"),
            firstVector: UInt64(try number(json["iv_tweak"], 0...Int64.max, "iv_tweak")),
            encryption: json["encryption"]?.string ?? "", sectorSize: Int(sector))
    }

    private static func digest(_ json: JSONValue) throws(BlockError) -> KeyDigest {
        guard json["type"]?.string == "pbkdf2" else {
            throw BlockError(.notSupported, "The LUKS digest type '\(json["type"]?.string ?? "")' is not supported")
        }
        return KeyDigest(
            keyslots: Set((json["keyslots"]?.array ?? []).compactMap(\.string)), hash: try hash(json["hash"]),
            salt: try bytes(json["salt"], "salt"),
            iterations: Int(try number(json["iterations"], 1...Int64(LUKSHeader.mostIterations), "iterations")),
            digest: try bytes(json["digest"], "digest"))
    }

    private static func keyslot(_ name: String, _ json: JSONValue) throws(BlockError) -> Keyslot {
        guard let area = json["area"], let split = json["af"], json["type"]?.string == "luks2" else {
            throw BlockError(.notSupported, "The type of LUKS keyslot \(name) is not supported")
        }
        let keyBytes = Int(try number(json["key_size"], 1...64, "key_size"))
        let stripes = Int(try number(split["stripes"], 1...8192, "stripes"))
        let offset = try number(area["offset"], 0...(1 << 60), "offset")
        let size = try number(area["size"], 0...(1 << 60), "size")
        guard Int64(keyBytes * stripes) <= size else { throw damaged("the area of keyslot \(name) is too small") }
        return Keyslot(
            identifier: name, keyBytes: keyBytes, stripes: stripes, hash: try hash(split["hash"]),
            area: offset..<offset + Int64((keyBytes * stripes + 511) / 512 * 512),
            encryption: area["encryption"]?.string ?? "",
            areaKeyBytes: Int(try number(area["key_size"], 1...64, "key_size")), derivation: try derivation(json["kdf"])
        )
    }

    private static func derivation(_ json: JSONValue?) throws(BlockError) -> KeyDerivation {
        let salt = try bytes(json?["salt"], "salt")
        let type = json?["type"]?.string ?? ""
        if type == "pbkdf2" {
            return .pbkdf2(
                try hash(json?["hash"]), salt: salt,
                iterations: Int(try number(json?["iterations"], 1...Int64(LUKSHeader.mostIterations), "iterations")))
        }
        guard let kind = Argon2(rawValue: type) else {
            throw BlockError(.notSupported, "The key derivation '\(type)' is not supported")
        }
        return .argon2(
            kind, salt: salt, passes: UInt32(try number(json?["time"], 1...mostPasses, "time")),
            memory: UInt32(try number(json?["memory"], 8...mostMemory, "memory")),
            lanes: UInt32(try number(json?["cpus"], 1...64, "cpus")))
    }

    /// KiB; what cryptsetup takes by itself at most.
    private static let mostMemory: Int64 = 1 << 20
    private static let mostPasses: Int64 = 1 << 16
}
