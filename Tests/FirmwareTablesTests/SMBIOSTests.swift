// SPDX-License-Identifier: Apache-2.0

import ByteCoding
import FirmwareTables
import Testing

func makeSMBIOS(memory: [Range<UInt64>] = [0..<256 << 20]) -> SMBIOSDescription {
    SMBIOSDescription(
        board: .q35, sockets: 1, coresPerSocket: 2, threadsPerCore: 1, processorSignature: 0x000F_06B1,
        processorFeatures: 0x078B_FBFD, memory: memory)
}

/// A structure taken apart.
private struct Parsed: Equatable {
    let type: UInt8
    let handle: UInt16
    let formatted: [UInt8]
    let strings: [String]
}

private func parse(_ bytes: [UInt8]) -> [Parsed] {
    var found: [Parsed] = []
    var place = 0
    while let type: UInt8 = bytes.load(at: place), let length: UInt8 = bytes.load(at: place + 1),
        let handle: UInt16 = bytes.load(at: place + 2),
        let formatted = bytes.bytes(at: place + 4, count: Int(length) - 4)
    {
        var end = place + Int(length)
        while bytes.load(UInt16.self, at: end) != nil, bytes.load(UInt16.self, at: end) != 0 { end += 1 }
        let strings = bytes[(place + Int(length))..<end].split(separator: 0).map { String(decoding: $0, as: UTF8.self) }
        found.append(Parsed(type: type, handle: handle, formatted: formatted, strings: strings))
        place = end + 2
    }
    return found
}

@Suite struct SMBIOSTests {
    @Test func whatAPersonGaveStandsInItsTable() throws {
        var description = makeSMBIOS()
        description.manufacturer = "Maker"
        description.oemStrings = ["first", "", "second"]
        description.fields = [
            2: ["product": "Board", "location": "Here"], 3: ["sku": "Case", "serial": "42"],
            4: ["sock_pfx": "Socket", "max-speed": "3000", "processor-id": "4660"],
            17: ["loc_pfx": "Slot", "speed": "3200", "part": "P"],
        ]
        var firmware = SMBIOSDescription.Firmware(vendor: "V", version: "1")
        firmware.release = (4, 2)
        firmware.isUEFI = true
        description.firmware = firmware
        let list = parse(SMBIOSTables(description).structures)
        #expect(list.map(\.type) == [0, 1, 2, 3, 4, 11, 16, 17, 19, 32, 127])
        #expect(Array(list[0].formatted.suffix(5)) == [0x1C, 4, 2, 0xFF, 0xFF])
        #expect(list[2].handle == 0x200 && list[2].formatted == [1, 2, 3, 0, 0, 1, 4, 0, 3, 0x0A, 0])
        #expect(list[2].strings == ["Maker", "Board", "pc-q35-7.2", "Here"])
        #expect(list[3].strings == ["QEMU", "pc-q35-7.2", "42", "Case"])
        #expect(list[4].strings == ["Socket 0", "QEMU", "pc-q35-7.2"])
        #expect(Array(list[4].formatted[4..<12]) == [0x34, 0x12, 0, 0, 0, 0, 0, 0])
        #expect(Array(list[4].formatted[16..<20]) == [0xB8, 0x0B, 0xD0, 7])
        #expect(list[5].handle == 0xE00 && list[5].formatted == [2] && list[5].strings == ["first", "second"])
        #expect(list[7].strings == ["Slot 0", "QEMU", "P"])
    }

    @Test func structuresAreQEMUs() throws {
        let list = parse(SMBIOSTables(makeSMBIOS()).structures)
        #expect(list.map(\.type) == [1, 3, 4, 16, 17, 19, 32, 127])
        #expect(list.map(\.handle) == [0x100, 0x300, 0x400, 0x1000, 0x1100, 0x1300, 0x2000, 0x7F00])
        #expect(list.map { $0.formatted.count + 4 } == [27, 22, 42, 23, 40, 31, 11, 4])
        #expect(list[0].strings == ["QEMU", "Standard PC (Q35 + ICH9, 2009)", "pc-q35-7.2"])
        #expect(list[0].formatted == [1, 2, 3, 0] + [UInt8](repeating: 0, count: 16) + [6, 0, 0])
        #expect(list[1].formatted == [1, 1, 2, 0, 0, 3, 3, 3, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0])
        #expect(list[2].strings == ["CPU 0", "QEMU", "pc-q35-7.2"])
        #expect(
            Array(list[2].formatted.dropFirst(12))
                == [3, 0, 0, 0, 0xD0, 7, 0xD0, 7, 0x41, 1] + [UInt8](repeating: 0xFF, count: 6)
                + [0, 0, 0, 2, 2, 2, 2, 0, 1, 0])
        #expect(list[3].formatted == [1, 3, 6, 0, 0, 4, 0, 0xFE, 0xFF, 1, 0] + [UInt8](repeating: 0, count: 8))
        #expect(
            Array(list[4].formatted.prefix(17)) == [
                0, 0x10, 0xFE, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0, 1, 9, 0, 1, 0, 7, 2, 0,
            ])
        #expect(Array(list[5].formatted.prefix(11)) == [0, 0, 0, 0, 0xFF, 0xFF, 3, 0, 0, 0x10, 1])
    }

    @Test func whatThePersonGaveReplacesTheWords() {
        var description = makeSMBIOS()
        description.firmware = .init(vendor: "V", version: "1")
        description.serial = "S-1"
        description.uuid = (0..<16).map { UInt8($0) }
        description.product = ""
        let list = parse(SMBIOSTables(description).structures)
        #expect(list[0].strings == ["V", "1", "04/01/2014"] && list[0].formatted.count == 20)
        #expect(list[1].strings == ["QEMU", "pc-q35-7.2", "S-1"])
        #expect(
            list[1].formatted == [1, 0, 2, 3, 3, 2, 1, 0, 5, 4, 7, 6, 8, 9, 10, 11, 12, 13, 14, 15, 6, 0, 0])
    }

    @Test func muchMemoryIsSeveralModules() {
        let list = parse(SMBIOSTables(makeSMBIOS(memory: [0..<2 << 30, 4 << 30..<42 << 30])).structures)
        let sizes = list.filter { $0.type == 17 }.map { $0.formatted.load(UInt16.self, at: 8) }
        #expect(sizes == [16384, 16384, 8192])
        #expect(list.filter { $0.type == 19 }.count == 2)
        #expect(list.first { $0.type == 16 }?.formatted.load(UInt16.self, at: 9) == 3)
    }

    @Test func anchorsSumUpToZero() throws {
        let tables = SMBIOSTables(makeSMBIOS())
        let anchor = try #require(tables.firmwareFiles.first { $0.name == "etc/smbios/smbios-anchor" }).bytes
        #expect(anchor.count == 31 && byteSum(anchor) == 0 && byteSum(anchor[16...]) == 0)
        #expect(anchor.load(UInt16.self, at: 22).map(Int.init) == tables.structures.count)
        #expect(anchor.load(UInt16.self, at: 28) == 8)
        var description = makeSMBIOS()
        description.usesVersion3 = true
        let wide = try #require(SMBIOSTables(description).firmwareFiles.first).bytes
        #expect(wide.count == 24 && byteSum(wide) == 0 && wide.text(at: 0, count: 5) == "_SM3_")
    }
}
