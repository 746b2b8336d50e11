// SPDX-License-Identifier: Apache-2.0

internal import BlockLayer
internal import ByteCoding
internal import Cryptography
internal import HostSystem

/// The header of a LUKS volume, version 1 (LUKS On-Disk Format Specification 1.2); numbers are big-endian.
struct LUKSHeader: Sendable {
    static let magic: [UInt8] = [0x4c, 0x55, 0x4b, 0x53, 0xba, 0xbe]
    static let byteCount = 592
    static let slotCount = 8
    static let stripes: UInt32 = 4000
    static let saltSize = 32
    static let digestSize = 20
    /// Key material begins at multiples of this.
    static let alignment = 4096
    static let active: UInt32 = 0x00ac_71f3
    static let inactive: UInt32 = 0x0000_dead
    /// Deriving keys from more rounds than this would take minutes.
    static let mostIterations: UInt32 = 1 << 25

    struct Slot: Sendable, Equatable {
        var isActive = false
        var iterations: UInt32 = 0
        var salt = [UInt8](repeating: 0, count: LUKSHeader.saltSize)
        /// In sectors.
        var offset: UInt32 = 0
        var stripes: UInt32 = LUKSHeader.stripes
    }

    enum Offset {
        static let version = 6
        static let cipher = 8
        static let mode = 40
        static let hash = 72
        static let payload = 104
        static let keyBytes = 108
        static let digest = 112
        static let salt = 132
        static let iterations = 164
        static let uuid = 168
        static let slots = 208
        static let slotSize = 48
    }

    var cipherName = ""
    var modeText = ""
    var hashName = ""
    /// In sectors.
    var payloadOffset: UInt32 = 0
    var keyBytes = 0
    var digest: [UInt8] = []
    var salt: [UInt8] = []
    var iterations: UInt32 = 0
    var uuid = ""
    var slots = [Slot](repeating: Slot(), count: LUKSHeader.slotCount)

    init() {}

    init(parsing bytes: [UInt8]) throws(BlockError) {
        guard bytes.starts(with: Self.magic) else {
            throw BlockError(.invalidArgument, "Volume is not in LUKS format")
        }
        let version: UInt16 = bytes.load(at: Offset.version, order: .big) ?? 0
        guard version == 1 else { throw BlockError(.notSupported, "LUKS version \(version) is not supported") }
        cipherName = try Self.text(bytes, Offset.cipher, "cipher name")
        modeText = try Self.text(bytes, Offset.mode, "cipher mode")
        hashName = try Self.text(bytes, Offset.hash, "hash spec")
        payloadOffset = bytes.load(at: Offset.payload, order: .big) ?? 0
        keyBytes = Int(bytes.load(UInt32.self, at: Offset.keyBytes, order: .big) ?? 0)
        digest = bytes.bytes(at: Offset.digest, count: Self.digestSize) ?? []
        salt = bytes.bytes(at: Offset.salt, count: Self.saltSize) ?? []
        iterations = bytes.load(at: Offset.iterations, order: .big) ?? 0
        uuid = bytes.text(at: Offset.uuid, count: 40) ?? ""
        for index in 0..<Self.slotCount { slots[index] = try Self.slot(bytes, index) }
        try checkLayout()
    }

    private static func text(_ bytes: [UInt8], _ offset: Int, _ what: String) throws(BlockError) -> String {
        let field = bytes.bytes(at: offset, count: 32) ?? []
        guard field.contains(0) else {
            throw BlockError(.invalidArgument, "LUKS header \(what) is not NUL terminated")
        }
        return field.text(at: 0, count: 32) ?? ""
    }

    private static func slot(_ bytes: [UInt8], _ index: Int) throws(BlockError) -> Slot {
        let place = Offset.slots + index * Offset.slotSize
        let state: UInt32 = bytes.load(at: place, order: .big) ?? 0
        guard state == active || state == inactive else {
            throw BlockError(.invalidArgument, "Keyslot \(index) state is corrupted")
        }
        var slot = Slot()
        slot.isActive = state == active
        slot.iterations = bytes.load(at: place + 4, order: .big) ?? 0
        slot.salt = bytes.bytes(at: place + 8, count: saltSize) ?? []
        slot.offset = bytes.load(at: place + 40, order: .big) ?? 0
        slot.stripes = bytes.load(at: place + 44, order: .big) ?? 0
        return slot
    }

    private func checkLayout() throws(BlockError) {
        guard keyBytes > 0, keyBytes <= 64 else {
            throw BlockError(.invalidArgument, "LUKS master key of \(keyBytes) bytes is not supported")
        }
        let length = UInt64(materialSectors)
        var taken: [(index: Int, range: Range<UInt64>)] = []
        for (index, slot) in slots.enumerated() {
            let start = UInt64(slot.offset)
            guard slot.stripes == Self.stripes else {
                throw BlockError(
                    .invalidArgument, "Keyslot \(index) is corrupted (stripe count \(slot.stripes) != \(Self.stripes))")
            }
            if start * 512 < UInt64(Self.byteCount) {
                throw BlockError(.invalidArgument, "Keyslot \(index) is overlapping with the LUKS header")
            }
            if start + length > UInt64(payloadOffset) {
                throw BlockError(.invalidArgument, "Keyslot \(index) is overlapping with the encrypted payload")
            }
            for other in taken where other.range.overlaps(start..<start + length) {
                throw BlockError(.invalidArgument, "Keyslots \(other.index) and \(index) are overlapping in the header")
            }
            taken.append((index, start..<start + length))
        }
    }

    /// Sectors of one slot's split key.
    var materialSectors: Int { (keyBytes * Int(Self.stripes) + 511) / 512 }

    var serialized: [UInt8] {
        var bytes = [UInt8](repeating: 0, count: Self.byteCount)
        bytes.store(bytes: Self.magic, at: 0)
        bytes.store(UInt16(1), at: Offset.version, order: .big)
        bytes.store(bytes: cipherName.utf8.prefix(31), at: Offset.cipher)
        bytes.store(bytes: modeText.utf8.prefix(31), at: Offset.mode)
        bytes.store(bytes: hashName.utf8.prefix(31), at: Offset.hash)
        bytes.store(payloadOffset, at: Offset.payload, order: .big)
        bytes.store(UInt32(truncatingIfNeeded: keyBytes), at: Offset.keyBytes, order: .big)
        bytes.store(bytes: digest.prefix(Self.digestSize), at: Offset.digest)
        bytes.store(bytes: salt.prefix(Self.saltSize), at: Offset.salt)
        bytes.store(iterations, at: Offset.iterations, order: .big)
        bytes.store(bytes: uuid.utf8.prefix(39), at: Offset.uuid)
        for (index, slot) in slots.enumerated() {
            let place = Offset.slots + index * Offset.slotSize
            bytes.store(slot.isActive ? Self.active : Self.inactive, at: place, order: .big)
            bytes.store(slot.iterations, at: place + 4, order: .big)
            bytes.store(bytes: slot.salt.prefix(Self.saltSize), at: place + 8)
            bytes.store(slot.offset, at: place + 40, order: .big)
            bytes.store(slot.stripes, at: place + 44, order: .big)
        }
        return bytes
    }
}
