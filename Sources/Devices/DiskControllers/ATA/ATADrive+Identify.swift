// SPDX-License-Identifier: Apache-2.0

/// The 256 words of IDENTIFY DEVICE and IDENTIFY PACKET DEVICE.
private struct IdentifyWords {
    private(set) var bytes = [UInt8](repeating: 0, count: 512)

    subscript(word: Int) -> UInt16 {
        get { UInt16(bytes[word * 2]) | UInt16(bytes[word * 2 + 1]) << 8 }
        set {
            bytes[word * 2] = UInt8(truncatingIfNeeded: newValue)
            bytes[word * 2 + 1] = UInt8(truncatingIfNeeded: newValue >> 8)
        }
    }

    mutating func set(_ value: UInt64, at word: Int, words: Int) {
        for index in 0..<words { self[word + index] = UInt16(truncatingIfNeeded: value >> UInt64(index * 16)) }
    }

    /// Text has the first character of each pair in the word's high byte.
    mutating func set(_ text: String, at word: Int, words: Int) {
        var characters = Array(text.utf8.prefix(words * 2))
        characters += [UInt8](repeating: 0x20, count: words * 2 - characters.count)
        for index in 0..<words {
            self[word + index] = UInt16(characters[index * 2]) << 8 | UInt16(characters[index * 2 + 1])
        }
    }
}

extension ATADrive {
    /// Cylinders, heads and sectors as old software wants them.
    var geometry: (cylinders: Int, heads: Int, sectors: Int) {
        let heads = 16, sectors = 63, most = 16383
        let cylinders = sectorCount / UInt64(heads * sectors)
        return (max(2, min(Int(clamping: cylinders), most)), heads, sectors)
    }

    /// Commands that AHCI queues at a time.
    static let queueDepth = 32

    func diskIdentification() -> [UInt8] {
        var words = IdentifyWords()
        let (cylinders, heads, sectors) = geometry
        words[0] = 0x0040
        words[1] = UInt16(cylinders)
        words[3] = UInt16(heads)
        words[6] = UInt16(sectors)
        setNames(&words)
        words[47] = 0x8000 | UInt16(Self.maximumMultiple)
        // 32-bit transfers; DMA and LBA.
        words[48] = 1
        words[49] = 1 << 13 | 1 << 11 | 1 << 9 | 1 << 8
        words[50] = 0x4000
        words[51] = 0x0200
        words[53] = 7
        words[54] = UInt16(cylinders)
        words[55] = UInt16(heads)
        words[56] = UInt16(sectors)
        words.set(UInt64(cylinders * heads * sectors), at: 57, words: 2)
        if state.multipleSectors > 0 { words[59] = 0x100 | UInt16(state.multipleSectors) }
        words.set(min(sectorCount, 0x0FFF_FFFF), at: 60, words: 2)
        setModes(&words)
        words[69] = 1 << 14
        if port is AHCIPort {
            words[75] = UInt16(Self.queueDepth - 1)
            words[76] = 1 << 8 | 1 << 1
        }
        words[80] = 0xF0
        words[81] = 0x16
        // Write cache; flush, flush extended and 48-bit addresses.
        words[82] = 1 << 14 | 1 << 5
        words[83] = 1 << 14 | 1 << 13 | 1 << 12 | 1 << 10
        let hasName: UInt16 = identity.worldWideName == nil ? 0 : 1 << 8
        // FUA writes are supported.
        words[84] = 1 << 14 | 1 << 6 | hasName
        words[85] = 1 << 14 | (state.hasWriteCache ? 1 << 5 : 0)
        words[86] = 1 << 13 | 1 << 12 | 1 << 10
        words[87] = 1 << 14 | 1 << 6 | hasName
        words[93] = 0x6001
        words.set(sectorCount, at: 100, words: 4)
        let exponent = max(0, (identity.physicalSectorSize / Self.sectorSize).trailingZeroBitCount)
        if exponent > 0 { words[106] = 0x6000 | UInt16(exponent & 0xF) }
        setWorldWideName(&words)
        // TRIM, with up to eight blocks of ranges.
        words[105] = 8
        words[169] = 1
        words[217] = identity.rotationRate
        return words.bytes
    }

    func packetIdentification() -> [UInt8] {
        var words = IdentifyWords()
        // A removable CD-ROM drive with 12-byte packets, ready for them within 50 microseconds.
        words[0] = 2 << 14 | 5 << 8 | 1 << 7 | 2 << 5
        setNames(&words)
        words[48] = 1
        words[49] = 1 << 9 | 1 << 8
        words[53] = 7
        setModes(&words)
        words[71] = 30
        words[72] = 30
        words[80] = 0x1E
        // Packet commands, device reset.
        words[82] = 1 << 9 | 1 << 4
        words[85] = 1 << 9 | 1 << 4
        words[83] = 1 << 14
        words[84] = 1 << 14 | (identity.worldWideName == nil ? 0 : 1 << 8)
        words[87] = words[84]
        setWorldWideName(&words)
        return words.bytes
    }

    private func setNames(_ words: inout IdentifyWords) {
        words.set(identity.serial, at: 10, words: 10)
        words[20] = 3
        words[21] = 512
        words[22] = 4
        words.set(identity.firmware, at: 23, words: 4)
        words.set(identity.model, at: 27, words: 20)
    }

    private func setModes(_ words: inout IdentifyWords) {
        words[62] = modes.single
        words[63] = modes.multi
        words[64] = 3
        for word in 65...68 { words[word] = 120 }
        words[88] = modes.ultra
    }

    private func setWorldWideName(_ words: inout IdentifyWords) {
        guard let name = identity.worldWideName else { return }
        for index in 0..<4 { words[108 + index] = UInt16(truncatingIfNeeded: name >> UInt64(48 - index * 16)) }
    }
}
