// SPDX-License-Identifier: Apache-2.0

public import BlockLayer
internal import Cryptography
internal import HostSystem

/// The header of a LUKS volume somewhere in a file, and its master key once a passphrase has opened it.
///
/// Guarded by its own lock; encrypting several pieces at the same time is fine.
public final class LUKSVolume: @unchecked Sendable {
    private let lock = Lock()
    private var header: LUKSHeader
    private let algorithms: LUKSAlgorithms
    private let file: any BlockNode
    private let start: Int64
    private var masterKey: [UInt8]?
    private var idle: [SectorCipher] = []

    private init(_ header: LUKSHeader, _ algorithms: LUKSAlgorithms, _ file: any BlockNode, _ start: Int64) {
        self.header = header
        self.algorithms = algorithms
        self.file = file
        self.start = start
    }

    /// Reads and checks the header at `offset`.
    public static func open(_ file: any BlockNode, at offset: Int64 = 0) throws(BlockError) -> LUKSVolume {
        let header = try LUKSHeader(parsing: try file.readBytes(at: offset, count: LUKSHeader.byteCount))
        return LUKSVolume(header, try LUKSAlgorithms(header), file, offset)
    }

    /// Where the encrypted content begins, in bytes from the header on.
    public var payloadOffset: Int64 { lock.withLock { Int64(header.payloadOffset) * 512 } }

    /// The bytes that header and key material of a new volume take up.
    /// - Parameter value: the text of `cipher-alg` and the other options, nil when not given.
    public static func headerLength(options value: (String) -> String?) throws(BlockError) -> Int64 {
        Int64(layout(try LUKSAlgorithms(options: value)).payloadOffset) * 512
    }

    private static func layout(_ algorithms: LUKSAlgorithms) -> LUKSHeader {
        var header = LUKSHeader()
        header.cipherName = algorithms.cipher.rawValue
        header.modeText = algorithms.modeText
        header.hashName = algorithms.hash.rawValue
        header.keyBytes = algorithms.keyBytes
        let unit = LUKSHeader.alignment / 512
        let perSlot = (header.materialSectors + unit - 1) / unit * unit
        for index in header.slots.indices { header.slots[index].offset = UInt32(unit + index * perSlot) }
        header.payloadOffset = UInt32(unit + header.slots.count * perSlot)
        return header
    }

    /// Makes a new volume with one passphrase; the file must hold `headerLength` bytes from `offset` on.
    /// - Parameter value: the text of `cipher-alg` and the other options, nil when not given.
    public static func create(
        _ file: any BlockNode, at offset: Int64 = 0, passphrase: [UInt8], options value: (String) -> String?
    ) throws(BlockError) -> LUKSVolume {
        let algorithms = try LUKSAlgorithms(options: value)
        let milliseconds = try iterationTime(value("iter-time"))
        var header = layout(algorithms)
        do {
            let key = try randomBytes(algorithms.keyBytes)
            // The cipher's own refusal comes before anything is written.
            _ = try algorithms.sectorCipher(key: key)
            header.uuid = uuidText(try randomBytes(16))
            header.salt = try randomBytes(LUKSHeader.saltSize)
            header.iterations = try rounds(algorithms.hash, milliseconds: milliseconds / 8, count: header.keyBytes)
            header.digest = try algorithms.hash.deriveKey(
                password: key, salt: header.salt, iterations: Int(header.iterations), count: LUKSHeader.digestSize)
            let volume = LUKSVolume(header, algorithms, file, offset)
            volume.masterKey = key
            try volume.setSlot(0, passphrase: passphrase, milliseconds: milliseconds)
            return volume
        } catch let error as BlockError {
            throw error
        } catch {
            throw BlockError(.inputOutput, "Could not make the LUKS keys: \(error)")
        }
    }

    private static let defaultTime: Int64 = 2000

    /// Milliseconds for deriving a key.
    static func iterationTime(_ text: String?) throws(BlockError) -> Int64 {
        guard let text else { return defaultTime }
        let value = try ByteSize.parseNumber(text, name: "iter-time")
        return value == 0 ? defaultTime : min(value, 600_000)
    }

    private static func uuidText(_ random: [UInt8]) -> String {
        var bytes = random
        // RFC 9562, section 5.4.
        bytes[6] = bytes[6] & 0x0f | 0x40
        bytes[8] = bytes[8] & 0x3f | 0x80
        let digits = bytes.map { String($0 >> 4, radix: 16) + String($0 & 15, radix: 16) }
        return [0..<4, 4..<6, 6..<8, 8..<10, 10..<16].map { digits[$0].joined() }.joined(separator: "-")
    }

    /// The rounds of PBKDF2 that take about so long here.
    private static func rounds(_ hash: Digest, milliseconds: Int64, count: Int) throws(CryptographyError) -> UInt32 {
        var trial = 10_000
        while true {
            let begin = monotonicNanoseconds()
            _ = try hash.deriveKey(
                password: [0x78], salt: [UInt8](repeating: 7, count: 32), iterations: trial, count: count)
            let spent = Int64(max(monotonicNanoseconds() - begin, 1))
            // 20 ms is long enough to be measured well.
            if spent > 20_000_000 || trial >= 1 << 24 {
                let wanted = Double(trial) * Double(milliseconds) * 1e6 / Double(spent)
                return UInt32(min(max(wanted, 1000), Double(LUKSHeader.mostIterations)))
            }
            trial *= 2
        }
    }

    // MARK: Passphrases

    /// Finds the slot that the passphrase opens, and takes the master key from it.
    /// - Returns: the slot's number.
    @discardableResult
    public func unlock(passphrase: [UInt8]) throws(BlockError) -> Int {
        // Long digests take twice the time; an image must not keep a program busy for longer than some seconds.
        var budget = UInt64(LUKSHeader.mostIterations) / (algorithms.hash.count > 32 ? 2 : 1)
        for (index, slot) in lock.withLock({ header }).slots.enumerated() where slot.isActive {
            let needed = UInt64(slot.iterations) + UInt64(lock.withLock { header.iterations })
            guard slot.iterations > 0, needed <= budget else {
                throw BlockError(
                    .corrupt, "Keyslot \(index) asks for \(slot.iterations) rounds of key derivation, too many or none")
            }
            budget -= needed
            if let key = try key(of: slot, passphrase) {
                lock.withLock { masterKey = key }
                return index
            }
        }
        throw BlockError(.accessDenied, "Invalid password, cannot unlock any keyslot", errno: Errno(1))
    }

    private func key(of slot: LUKSHeader.Slot, _ passphrase: [UInt8]) throws(BlockError) -> [UInt8]? {
        let header = lock.withLock { self.header }
        let material = AlignedBuffer(count: header.materialSectors * 512).region
        try file.read(material, at: start + Int64(slot.offset) * 512)
        do {
            let derived = try algorithms.hash.deriveKey(
                password: passphrase, salt: slot.salt, iterations: Int(slot.iterations), count: header.keyBytes)
            // The region lives until the call returns.
            try unsafe algorithms.sectorCipher(key: derived).decrypt(material.buffer, firstSector: 0)
            let key = try AntiForensics.merge(
                material.bytes, count: header.keyBytes, stripes: Int(slot.stripes), hash: algorithms.hash)
            let digest = try algorithms.hash.deriveKey(
                password: key, salt: header.salt, iterations: Int(max(header.iterations, 1)),
                count: LUKSHeader.digestSize)
            return digest == header.digest ? key : nil
        } catch let error as BlockError {
            throw error
        } catch {
            throw BlockError(.inputOutput, "Could not derive the LUKS key: \(error)")
        }
    }

    /// Stores the master key under a passphrase in a slot; the volume must be unlocked.
    public func setSlot(_ index: Int, passphrase: [UInt8], milliseconds: Int64) throws(BlockError) {
        guard let key = lock.withLock({ masterKey }) else {
            throw BlockError(.accessDenied, "The volume has to be unlocked first")
        }
        var header = lock.withLock { self.header }
        do {
            var slot = header.slots[index]
            slot.salt = try randomBytes(LUKSHeader.saltSize)
            slot.iterations = try Self.rounds(algorithms.hash, milliseconds: milliseconds, count: header.keyBytes)
            slot.isActive = true
            let derived = try algorithms.hash.deriveKey(
                password: passphrase, salt: slot.salt, iterations: Int(slot.iterations), count: header.keyBytes)
            let split = try AntiForensics.split(key, stripes: Int(slot.stripes), hash: algorithms.hash)
            let material = AlignedBuffer(zeroed: header.materialSectors * 512).region
            material.copy(from: split)
            // The region lives until the call returns.
            try unsafe algorithms.sectorCipher(key: derived).encrypt(material.buffer, firstSector: 0)
            try file.write(material, at: start + Int64(slot.offset) * 512)
            try file.flush()
            header.slots[index] = slot
            try write(header)
        } catch let error as BlockError {
            throw error
        } catch {
            throw BlockError(.inputOutput, "Could not make the LUKS keys: \(error)")
        }
    }

    /// Destroys a slot's key.
    public func eraseSlot(_ index: Int) throws(BlockError) {
        var header = lock.withLock { self.header }
        header.slots[index].isActive = false
        header.slots[index].iterations = 0
        header.slots[index].salt = [UInt8](repeating: 0, count: LUKSHeader.saltSize)
        try write(header)
        do {
            let garbage = try randomBytes(header.materialSectors * 512)
            try file.write(garbage, at: start + Int64(header.slots[index].offset) * 512)
        } catch let error as BlockError {
            throw error
        } catch {
            throw BlockError(.inputOutput, "Could not overwrite keyslot \(index): \(error)")
        }
        try file.flush()
    }

    private func write(_ changed: LUKSHeader) throws(BlockError) {
        try file.write(changed.serialized, at: start)
        try file.flush()
        lock.withLock { header = changed }
    }

    /// Which slots hold a key.
    public var activeSlots: [Int] { lock.withLock { header.slots.indices.filter { header.slots[$0].isActive } } }

    /// The slots that a passphrase opens.
    public func slots(openedBy passphrase: [UInt8]) throws(BlockError) -> [Int] {
        var result: [Int] = []
        let slots = lock.withLock { header.slots }
        for (index, slot) in slots.enumerated() where slot.isActive {
            if try key(of: slot, passphrase) != nil { result.append(index) }
        }
        return result
    }

    // MARK: Content

    /// Enciphers whole sectors in place.
    public func encrypt(_ region: ByteRegion, firstSector sector: UInt64) throws(BlockError) {
        // The region lives until the call returns.
        try withCipher { cipher in try unsafe cipher.encrypt(region.buffer, firstSector: sector) }
    }

    /// Deciphers whole sectors in place.
    public func decrypt(_ region: ByteRegion, firstSector sector: UInt64) throws(BlockError) {
        // The region lives until the call returns.
        try withCipher { cipher in try unsafe cipher.decrypt(region.buffer, firstSector: sector) }
    }

    private func withCipher(_ body: (SectorCipher) throws -> Void) throws(BlockError) {
        let (found, key) = lock.withLock { (idle.popLast(), masterKey) }
        guard let key else {
            throw BlockError(.accessDenied, "The volume is locked: it was opened without a passphrase")
        }
        do {
            let cipher = try found ?? algorithms.sectorCipher(key: key)
            defer { lock.withLock { idle.append(cipher) } }
            try body(cipher)
        } catch let error as BlockError {
            throw error
        } catch {
            throw BlockError(.inputOutput, "\(error)")
        }
    }

    /// What `info` shows.
    public var facts: [(String, SpecificInformation.Fact)] {
        let header = lock.withLock { self.header }
        var facts: [(String, SpecificInformation.Fact)] = [("ivgen-alg", .text(algorithms.vectorName))]
        facts += [
            ("hash-alg", .text(algorithms.hash.rawValue)), ("cipher-alg", .text(algorithms.cipherAlgorithm)),
            ("uuid", .text(header.uuid)),
        ]
        if let hash = algorithms.vectorHash { facts.append(("ivgen-hash-alg", .text(hash.rawValue))) }
        facts.append(("cipher-mode", .text(algorithms.mode.rawValue)))
        let slots = header.slots.map { slot -> SpecificInformation.Fact in
            var entry: [(String, SpecificInformation.Fact)] = [("active", .flag(slot.isActive))]
            if slot.isActive { entry.append(("iters", .number(Int64(slot.iterations)))) }
            entry.append(("key-offset", .number(Int64(slot.offset) * 512)))
            if slot.isActive { entry.append(("stripes", .number(Int64(slot.stripes)))) }
            return .group(entry)
        }
        facts += [
            ("slots", .list(slots)), ("payload-offset", .number(Int64(header.payloadOffset) * 512)),
            ("master-key-iters", .number(Int64(header.iterations))),
        ]
        return facts
    }
}
