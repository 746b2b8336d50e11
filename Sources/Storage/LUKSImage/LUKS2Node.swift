// SPDX-License-Identifier: Apache-2.0

internal import BlockLayer
internal import BlockMapping
internal import Cryptography
internal import HostSystem

/// An opened volume of LUKS version 2, to be read.
///
/// `lock` guards the ciphers that nobody uses at the moment; each request takes one of its own.
final class LUKS2Node: ReadOnlyDisk, DescribedNode, @unchecked Sendable {
    let driverName = "luks"
    let file: any BlockNode
    let location: NodeLocation
    private let header: LUKS2Header
    private var masterKey: [UInt8]?
    private var algorithms: LUKSAlgorithms?
    private var idle: [SectorCipher] = []
    private let lock = Lock()

    /// - Parameter passphrase: nil when only the metadata is looked at.
    init(file: any BlockNode, passphrase: [UInt8]?) throws(BlockError) {
        self.file = file
        location = Self.location(over: file, driver: "luks")
        header = try LUKS2Header.read(file)
        if let passphrase { try unlock(passphrase) }
    }

    var length: Int64 {
        let there = max(file.length - header.segment.offset, 0)
        return min(header.segment.length ?? there, there) / Int64(header.segment.sectorSize)
            * Int64(header.segment.sectorSize)
    }

    // MARK: The key

    private func unlock(_ passphrase: [UInt8]) throws(BlockError) {
        var budget = Budget()
        for slot in header.keyslots {
            try budget.spend(slot)
            guard let key = try key(of: slot, passphrase) else { continue }
            masterKey = key
            algorithms = try Self.algorithms(header.segment.encryption, keyBytes: key.count, hash: slot.hash)
            return
        }
        throw BlockError(.accessDenied, "Invalid password, cannot unlock any keyslot", errno: Errno(1))
    }

    /// Bounds what an image can make this program compute: about half a minute.
    private struct Budget {
        var rounds = Int64(LUKSHeader.mostIterations)
        /// Passes over a KiB.
        var work: Int64 = 32 << 20

        mutating func spend(_ slot: LUKS2Header.Keyslot) throws(BlockError) {
            switch slot.derivation {
            case .pbkdf2(_, _, let iterations): rounds -= Int64(iterations)
            case .argon2(_, _, let passes, let memory, _): work -= Int64(passes) * Int64(memory)
            }
            guard rounds >= 0, work >= 0 else {
                throw BlockError(
                    .corrupt, "Keyslot \(slot.identifier) asks for too much key derivation", errno: .invalidArgument)
            }
        }
    }

    /// A cipher's names from the one text that has them all: "aes-xts-plain64".
    private static func algorithms(
        _ encryption: String, keyBytes: Int, hash: Digest
    ) throws(BlockError) -> LUKSAlgorithms {
        guard let dash = encryption.firstIndex(of: "-") else {
            throw BlockError(.notSupported, "Algorithm '\(encryption)' not supported")
        }
        var names = LUKSHeader()
        names.cipherName = String(encryption[..<dash])
        names.modeText = String(encryption[encryption.index(after: dash)...])
        names.hashName = hash.rawValue
        names.keyBytes = keyBytes
        return try LUKSAlgorithms(names)
    }

    private func key(of slot: LUKS2Header.Keyslot, _ passphrase: [UInt8]) throws(BlockError) -> [UInt8]? {
        guard slot.area.upperBound <= file.length else {
            throw LUKS2Header.damaged("keyslot \(slot.identifier) lies past the end of the file")
        }
        let material = AlignedBuffer(count: slot.area.count).region
        try file.read(material, at: slot.area.lowerBound)
        let area = try Self.algorithms(slot.encryption, keyBytes: slot.areaKeyBytes, hash: slot.hash)
        do {
            let derived =
                switch slot.derivation {
                case .pbkdf2(let hash, let salt, let iterations):
                    try hash.deriveKey(
                        password: passphrase, salt: salt, iterations: iterations, count: slot.areaKeyBytes)
                case .argon2(let kind, let salt, let passes, let memory, let lanes):
                    try kind.deriveKey(
                        password: passphrase, salt: salt, passes: passes, memory: memory, lanes: lanes,
                        count: slot.areaKeyBytes)
                }
            // The region lives until the call returns.
            try unsafe area.sectorCipher(key: derived).decrypt(material.buffer, firstSector: 0)
            let key = try AntiForensics.merge(
                material.bytes, count: slot.keyBytes, stripes: slot.stripes, hash: slot.hash)
            let digest = try header.digest.hash.deriveKey(
                password: key, salt: header.digest.salt, iterations: header.digest.iterations,
                count: header.digest.digest.count)
            return !digest.isEmpty && digest == header.digest.digest ? key : nil
        } catch let error as BlockError {
            throw error
        } catch {
            throw BlockError(.inputOutput, "Could not derive the LUKS key: \(error)")
        }
    }

    // MARK: Content

    func place(at offset: Int64, limit: Int64) throws(BlockError) -> (place: BlockPlace, count: Int64) {
        (.packed, limit)
    }

    func readPacked(_ region: ByteRegion, at offset: Int64) throws(BlockError) {
        let unit = Int64(header.segment.sectorSize)
        let end = offset + Int64(region.count)
        let first = offset / unit * unit
        let last = (end + unit - 1) / unit * unit
        if first == offset, last == end { return try readSectors(region, at: offset) }
        let whole = AlignedBuffer(count: Int(last - first)).region
        try readSectors(whole, at: first)
        region.copy(from: whole.slice(Int(offset - first), region.count))
    }

    private func readSectors(_ region: ByteRegion, at offset: Int64) throws(BlockError) {
        guard let masterKey, let algorithms else {
            throw BlockError(.accessDenied, "The volume is locked: it was opened without a passphrase")
        }
        try file.read(region, at: header.segment.offset + offset)
        let unit = header.segment.sectorSize
        do {
            let found = lock.withLock { idle.popLast() }
            let cipher = try found ?? algorithms.sectorCipher(key: masterKey, sectorSize: unit)
            defer { lock.withLock { idle.append(cipher) } }
            // Vectors count 512 bytes each, however long a sector is.
            for start in stride(from: 0, to: region.count, by: unit) {
                let vector = header.segment.firstVector &+ UInt64(offset + Int64(start)) / 512
                // The region lives until the call returns.
                try unsafe cipher.decrypt(region.slice(start, unit).buffer, firstSector: vector)
            }
        } catch let error as BlockError {
            throw error
        } catch {
            throw BlockError(.inputOutput, "\(error)")
        }
    }

    // MARK: Facts

    var clusterSize: Int? { nil }
    var isEncrypted: Bool { true }
    var isDirty: Bool { false }

    func specificInformation() throws(BlockError) -> SpecificInformation? {
        let slots = header.keyslots.map { slot -> SpecificInformation.Fact in
            var facts: [(String, SpecificInformation.Fact)] = [("keyslot", .text(slot.identifier))]
            switch slot.derivation {
            case .pbkdf2(let hash, _, let iterations):
                facts += [("kdf", .text("pbkdf2-\(hash.rawValue)")), ("iters", .number(Int64(iterations)))]
            case .argon2(let kind, _, let passes, let memory, let lanes):
                facts += [
                    ("kdf", .text(kind.rawValue)), ("time", .number(Int64(passes))),
                    ("memory", .number(Int64(memory) * 1024)), ("cpus", .number(Int64(lanes))),
                ]
            }
            facts.append(("key-offset", .number(slot.area.lowerBound)))
            return .group(facts)
        }
        var facts: [(String, SpecificInformation.Fact)] = [("version", .number(2)), ("uuid", .text(header.uuid))]
        if !header.label.isEmpty { facts.append(("label", .text(header.label))) }
        facts += [
            ("encryption", .text(header.segment.encryption)),
            ("sector-size", .number(Int64(header.segment.sectorSize))),
            ("payload-offset", .number(header.segment.offset)), ("slots", .list(slots)),
        ]
        return SpecificInformation(type: "luks", facts: facts)
    }
}
