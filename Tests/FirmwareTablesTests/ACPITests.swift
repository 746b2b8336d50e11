// SPDX-License-Identifier: Apache-2.0

import ByteCoding
import FirmwareTables
import GuestMemory
import Testing

/// A q35 of two processors and 256 MiB.
func makeQ35(processors: Int = 2) -> MachineDescription {
    var machine = MachineDescription(
        board: .q35, processors: (0..<processors).map(UInt32.init), lowMemoryEnd: 256 << 20, highMemoryEnd: 0)
    machine.serialPorts = [.init(port: 0x3F8, interrupt: 4)]
    machine.firmwareConfigPort = 0x510
    return machine
}

func makeMachine(_ board: MachineDescription.Board) -> MachineDescription {
    var machine = makeQ35()
    switch board {
    case .q35: break
    case .pc, .microvm:
        let serial = machine.serialPorts
        machine = MachineDescription(
            board: board, processors: [0, 1], lowMemoryEnd: 3 << 30, highMemoryEnd: 6 << 30)
        machine.serialPorts = serial + [.init(port: 0x2F8, interrupt: 3)]
        if board == .pc { machine.hotPlugSlots = Array(2..<32) }
        if board == .microvm { machine.virtioDevices = [.init(base: 0xFEB0_0000, interrupt: 16)] }
    }
    return machine
}

extension ACPITables {
    /// A table as it stands when the files are linked at fixed places.
    func linkedTable(_ signature: String, at address: UInt64 = 0x10_0000) -> [UInt8] {
        guard let range = layout.first(where: { $0.signature == signature })?.range else { return [] }
        return Array(link(tablesAt: address, pointerAt: 0xF_0000).tables[range])
    }
}

private func bytes(_ hexadecimal: String) -> [UInt8] {
    let digits = Array(hexadecimal)
    return stride(from: 0, to: digits.count, by: 2).compactMap { UInt8(String(digits[$0...$0 + 1]), radix: 16) }
}

@Suite struct ACPITableTests {
    static let boards: [MachineDescription.Board] = [.q35, .pc, .microvm]

    /// What QEMU 7.2 gives a q35 with two processors.
    @Test func equalsQEMUsTables() {
        let tables = ACPITables(makeQ35())
        #expect(
            tables.linkedTable("APIC")
                == bytes(
                    "41504943800000000177424f4348532042585043202020200100000042585043010000000000e0fe010000000008000001"
                        + "0000000008010101000000010c00000000c0fe00000000020a0000020000000000020a0005050000000d00020a00"
                        + "09090000000d00020a000a0a0000000d00020a000b0b0000000d000406ff000001"))
        #expect(
            tables.linkedTable("HPET")
                == bytes(
                    "485045543800000001b4424f43485320425850432020202001000000425850430100000001a28680000000000000d0fe00"
                        + "00000000000000"))
        #expect(
            tables.linkedTable("MCFG")
                == bytes(
                    "4d4346473c000000018c424f434853204258504320202020010000004258504301000000000000000000000000"
                        + "0000b000000000000000ff00000000"))
        #expect(
            tables.linkedTable("WAET")
                == bytes("57414554280000000139424f43485320425850432020202001000000425850430100000002000000"))
    }

    @Test(arguments: boards) func checksumsAndPointersHold(board: MachineDescription.Board) throws {
        let tables = ACPITables(makeMachine(board))
        let base: UInt64 = 0x7FFE_0000
        let linked = tables.link(tablesAt: base, pointerAt: 0xF_0000)
        func place(_ signature: String) -> UInt64? {
            tables.layout.first { $0.signature == signature }.map { base + UInt64($0.range.lowerBound) }
        }
        for (signature, range) in tables.layout {
            let table = Array(linked.tables[range])
            #expect(table.text(at: 0, count: 4) == signature)
            #expect(table.load(UInt32.self, at: 4) == UInt32(range.count))
            if signature != "FACS" { #expect(byteSum(table) == 0, "checksum of \(signature)") }
        }
        #expect(byteSum(linked.pointer.prefix(20)) == 0 && byteSum(linked.pointer) == 0)
        #expect(linked.pointer.load(UInt32.self, at: 16).map(UInt64.init) == place("RSDT"))
        #expect(linked.pointer.load(UInt64.self, at: 24) == place("XSDT"))
        let fixed = tables.linkedTable("FACP", at: base)
        #expect(fixed.load(UInt32.self, at: 40).map(UInt64.init) == place("DSDT"))
        #expect(fixed.load(UInt64.self, at: 140) == place("DSDT"))
        let root = tables.linkedTable("XSDT", at: base)
        let listed = stride(from: 36, to: root.count, by: 8).map { root.load(UInt64.self, at: $0) }
        let expected = tables.layout.map(\.signature).filter { !["FACS", "DSDT", "RSDT", "XSDT"].contains($0) }
        #expect(listed == expected.map(place))
        let old = tables.linkedTable("RSDT", at: base)
        #expect(old.load(UInt32.self, at: 36).map(UInt64.init) == place("FACP"))
        #expect((place("FACS") ?? 1) % 64 == 0)
    }

    @Test func fixedTableOfQ35() {
        let table = ACPITables(makeQ35()).linkedTable("FACP")
        #expect(table.count == 244 && table[8] == 3)
        #expect(table.load(UInt16.self, at: 46) == 9)
        #expect(table.load(UInt32.self, at: 48) == 0xB2)
        #expect(table[52] == 2 && table[53] == 3)
        #expect(table.load(UInt32.self, at: 56) == 0x600 && table.load(UInt32.self, at: 64) == 0x604)
        #expect(table.load(UInt32.self, at: 76) == 0x608 && table.load(UInt32.self, at: 80) == 0x620)
        #expect(Array(table[88..<93]) == [4, 2, 0, 4, 16])
        #expect(table[108] == 0x32)
        #expect(table.load(UInt16.self, at: 109) == 6)
        #expect(table.load(UInt32.self, at: 112) == 0x8425)
        #expect(Array(table[116..<129]) == [1, 8, 0, 0, 0xF9, 0x0C, 0, 0, 0, 0, 0, 0, 0x0F])
        #expect(Array(table[148..<160]) == [1, 32, 0, 0, 0, 6, 0, 0, 0, 0, 0, 0])
        #expect(Array(table[220..<224]) == [1, 128, 0, 0])
    }

    @Test func hardwareReducedTable() {
        let table = ACPITables(makeMachine(.microvm)).linkedTable("FACP")
        #expect(table.count == 276 && table[8] == 6)
        #expect((table.load(UInt32.self, at: 112) ?? 0) & 1 << 20 != 0)
        #expect(table.load(UInt64.self, at: 120) == 0xFEA0_0202 && table[128] == 0x42)
        #expect(table.load(UInt64.self, at: 248) == 0xFEA0_0200 && table.load(UInt64.self, at: 260) == 0xFEA0_0201)
        #expect(table.load(UInt32.self, at: 56) == 0 && table.load(UInt32.self, at: 36) == 0)
    }

    @Test func manyProcessorsUseTheWideStructures() {
        let table = ACPITables(makeQ35(processors: 300)).linkedTable("APIC")
        var kinds: [UInt8: Int] = [:]
        var place = 44
        while place + 1 < table.count {
            kinds[table[place], default: 0] += 1
            place += Int(table[place + 1])
        }
        #expect(place == table.count)
        #expect(kinds[0] == 255 && kinds[9] == 45 && kinds[10] == 1 && kinds[4] == 1)
    }

    @Test func absentProcessorsAreListedAsSuch() {
        var machine = makeQ35(processors: 4)
        machine.absentProcessors = [2, 3]
        let table = ACPITables(machine).linkedTable("APIC")
        let flags = (0..<4).map { table.load(UInt32.self, at: 44 + $0 * 8 + 4) }
        #expect(flags == [1, 1, 0, 0])
    }

    @Test func processorsThatComeAndGoHaveMethods() {
        let body = String(decoding: ACPITables(makeQ35(processors: 2)).linkedTable("DSDT"), as: UTF8.self)
        for name in ["PRES", "CPUS", "CSCN", "CTFY", "C001", "_MAT", "_E02"] { #expect(body.contains(name), "\(name)") }
        let still = String(decoding: ACPITables(makeMachine(.microvm)).linkedTable("DSDT"), as: UTF8.self)
        #expect(still.contains("C001") && !still.contains("CSCN") && !still.contains("_E02"))
    }

    @Test func scriptIsWhatFirmwareReads() {
        let files = ACPITables(makeQ35()).firmwareFiles
        let script = files.first { $0.name == "etc/table-loader" }?.bytes ?? []
        #expect(script.count % 128 == 0 && script.count >= 128 * 10)
        #expect(script.load(UInt32.self, at: 0) == 1)
        #expect(script.text(at: 4, count: 56) == "etc/acpi/tables")
        #expect(script.load(UInt32.self, at: 60) == 64 && script[64] == 1)
        let last = Array(script.suffix(128))
        #expect(last.load(UInt32.self, at: 0) == 3 && last.text(at: 4, count: 56) == "etc/acpi/rsdp")
        #expect(last.load(UInt32.self, at: 60) == 32 && last.load(UInt32.self, at: 68) == 36)
    }

    @Test func placedBelowOneMebibyte() throws {
        let memory = GuestMemory()
        try memory.addRegion(name: "ram", start: 0, count: 1 << 20)
        let acpi = ACPITables(makeQ35(processors: 255))
        let smbios = SMBIOSTables(makeSMBIOS())
        let placement = try FirmwareTablePlacement(acpi: acpi, smbios: smbios, into: memory)
        let root = try memory.read(at: try #require(placement.rsdpAddress), count: 36)
        #expect(root.text(at: 0, count: 8) == "RSD PTR " && byteSum(root) == 0)
        let list = try #require(root.load(UInt64.self, at: 24))
        #expect(try memory.read(at: list, count: 4) == Array("XSDT".utf8))
        let segment = try memory.read(at: 0xF_0000, count: 0x1_0000)
        let anchor = stride(from: 0, to: segment.count, by: 16).first { segment.text(at: $0, count: 4) == "_SM_" }
        #expect(anchor != nil)
    }

    @Test func nowhereWithoutMemory() {
        #expect(throws: GuestMemoryError.self) {
            try FirmwareTablePlacement(acpi: ACPITables(makeQ35()), smbios: nil, into: GuestMemory())
        }
    }
}
