// SPDX-License-Identifier: Apache-2.0

import MachineModel
import PCIBus
import Testing

@Suite struct PCIAddressTests {
    @Test(arguments: [
        ("2", 2, 0), ("1f.3", 0x1F, 3), ("0x1f.0x7", 0x1F, 7), ("a.1", 10, 1), ("00", 0, 0),
    ])
    func parsesHexadecimal(text: String, slot: Int, function: Int) {
        #expect(PCIAddress(parsing: text) == PCIAddress(slot: slot, function: function))
    }

    @Test(arguments: ["", "20", "1.8", "1.", ".1", "x", "1.2.3", "-1", "0x", "1 "]) func refuses(text: String) {
        #expect(PCIAddress(parsing: text) == nil)
    }

    @Test func packs() {
        #expect(PCIAddress(slot: 31, function: 2)?.packed == 0xFA)
        #expect(PCIAddress(packed: 0xFA).description == "1f.2")
        #expect(PCIAddress(packed: 0x08).description == "01.0")
    }
}

@Suite struct PCIConfigurationTests {
    let board = Board()
    let slot3 = PCIAddress(packed: 0x18)

    @Test func headerReadsBackInAllSizes() throws {
        try board.bus.add(makeDevice(), at: slot3)
        #expect(board.read(slot3, 0) == 0x5678_1234)
        #expect(board.read(slot3, 2, size: 2) == 0x5678)
        #expect(board.read(slot3, 1, size: 1) == 0x12)
        #expect(board.read(slot3, 8) == 0x0203_0007)
        #expect(board.read(slot3, 0x2C) == 0x1100_1AF4)
        #expect(board.read(slot3, 0x3D, size: 1) == 1)
    }

    @Test func absentFunctionsReadOnes() {
        #expect(board.read(slot3, 0) == 0xFFFF_FFFF)
        board.write(slot3, 4, 7)
        board.ports.write(0xCF8, size: 4, value: 0)
        #expect(board.ports.read(0xCFC, size: 4) == 0xFFFF_FFFF)
    }

    @Test func addressRegisterKeepsOnlyDoublewords() {
        board.ports.write(0xCF8, size: 4, value: 0x8000_0000)
        board.ports.write(0xCF8, size: 1, value: 0x12)
        board.ports.write(0xCFA, size: 2, value: 0x1234)
        #expect(board.ports.read(0xCF8, size: 4) == 0x8000_0000)
        board.configPorts.reset()
        #expect(board.ports.read(0xCF8, size: 4) == 0)
    }

    @Test func readOnlyBitsStay() throws {
        try board.bus.add(makeDevice(), at: slot3)
        for offset in stride(from: 0, to: 256, by: 4) { board.write(slot3, offset, 0xFFFF_FFFF) }
        #expect(board.read(slot3, 0) == 0x5678_1234)
        #expect(board.read(slot3, 4, size: 2) == 0x0547)
        #expect(board.read(slot3, 0x3C, size: 2) == 0x01FF)
    }

    @Test func statusBitsClearByWritingOne() throws {
        let device = makeDevice()
        try board.bus.add(device, at: slot3)
        device.config.set(PCIRegister.status, setting: 0x2000 | 0x1000)
        board.write(slot3, 6, 0x2000, size: 2)
        #expect(board.read(slot3, 6, size: 2) == 0x1000)
    }

    @Test func sizing() throws {
        try board.bus.add(makeDevice(), at: slot3)
        for offset in stride(from: 0x10, to: 0x28, by: 4) { board.write(slot3, offset, 0xFFFF_FFFF) }
        #expect(board.read(slot3, 0x10) == 0xFFFF_FFE1)
        #expect(board.read(slot3, 0x14) == 0xFFFF_F000)
        #expect(board.read(slot3, 0x18) == 0xFFFF_C00C)
        #expect(board.read(slot3, 0x1C) == 0xFFFF_FFFF)
        #expect(board.read(slot3, 0x20) == 0)
    }

    @Test func functionsShareASlotOnlyIfTheFirstSaysSo() throws {
        let lonely = makeDevice()
        try board.bus.add(lonely, at: slot3)
        #expect(throws: PCIBusError.self) { try board.bus.add(makeDevice(), at: PCIAddress(packed: 0x19)) }
        let error = #expect(throws: PCIBusError.self) { try board.bus.add(makeDevice(), at: slot3) }
        #expect(
            error?.description == "PCI: slot 3 function 0 not available for sample, in use by sample,id=(null)")
        board.bus.remove(lonely)
        try board.bus.add(makeDevice(multifunction: true), at: slot3)
        try board.bus.add(makeDevice(), at: PCIAddress(packed: 0x1A))
        #expect(board.read(slot3, 0x0E, size: 1) == 0x80)
    }

    @Test func fillsTheFirstEmptySlots() throws {
        try board.bus.add(makeDevice(), at: PCIAddress(packed: 0))
        for slot in 1..<32 {
            let device = makeDevice()
            try board.bus.add(device)
            #expect(device.address == PCIAddress(slot: slot))
        }
        #expect(throws: PCIBusError.self) { try board.bus.add(makeDevice()) }
    }

    @Test func capabilityList() {
        let device = makeDevice()
        let first = device.addCapability(
            PCICapabilityID.vendorSpecific, body: [16, 1] + [UInt8](repeating: 0, count: 12))
        let second = device.addPowerManagement()
        #expect(first == 0x40 && second == 0x50)
        #expect(device.capabilities.map(\.offset) == [0x50, 0x40])
        #expect(device.config.get(PCIRegister.status, as: UInt16.self) & PCIStatus.capabilitiesList != 0)
        device.writeConfig(offset: second + 4, size: 2, value: 0xFFFF)
        #expect(device.readConfig(offset: second + 4, size: 2) == 0x000B)
    }

    @Test func expressCapabilityOfAnIntegratedEndpoint() {
        let device = PCIDevice(
            name: "x", identity: PCIIdentity(vendor: 1, device: 2, classCode: 0), hasExtendedSpace: true)
        let place = device.addExpress(.rootComplexIntegratedEndpoint)
        #expect(device.config.count == 4096)
        #expect(device.readConfig(offset: place, size: 4) == 0x0092_0010)
        #expect(device.readConfig(offset: place + 0x0C, size: 4) == 0)
        #expect(device.readConfig(offset: 0x100, size: 4) == 0)
    }
}

@Suite struct PCIMappingTests {
    let board = Board()
    let window = ScratchWindow()
    let place = PCIAddress(packed: 0x18)

    private func add() throws -> PCIDevice {
        let device = makeDevice(window: window)
        try board.bus.add(device, at: place)
        return device
    }

    @Test func mapsOnlyWhatTheCommandRegisterEnables() throws {
        let device = try add()
        board.write(place, 0x10, 0xC000)
        board.write(place, 0x14, 0xFEB0_0000)
        #expect(board.memory.read(0xFEB0_0000, size: 4) == 0xFFFF_FFFF)
        board.write(place, 4, 2, size: 1)
        #expect(board.memory.read(0xFEB0_0004, size: 4) == 0x5A)
        #expect(board.ports.read(0xC000, size: 1) == 0xFF)
        board.write(place, 4, 3, size: 1)
        #expect(board.ports.read(0xC01F, size: 1) == 0x5A)
        #expect(device.baseAddresses[0]?.mappedAt == 0xC000)
        board.write(place, 4, 0, size: 1)
        #expect(board.memory.read(0xFEB0_0004, size: 4) == 0xFFFF_FFFF)
        #expect(device.baseAddresses[0]?.mappedAt == nil)
    }

    @Test func movesAndPlacesAbove4G() throws {
        _ = try add()
        board.write(place, 4, 2, size: 1)
        board.write(place, 0x18, 0)
        board.write(place, 0x1C, 0x80)
        #expect(board.memory.read(0x80_0000_1000, size: 1) == 0x5A)
        // Only the part with registers answers.
        #expect(board.memory.read(0x80_0000_0000, size: 1) == 0xFF)
        board.write(place, 0x1C, 0x81)
        #expect(board.memory.read(0x80_0000_1000, size: 1) == 0xFF)
        #expect(board.memory.read(0x81_0000_1FFF, size: 1) == 0x5A)
    }

    @Test(arguments: [UInt32(0), 0xFFFF_F000]) func impossibleAddressesStayUnmapped(address: UInt32) throws {
        let device = try add()
        board.write(place, 4, 2, size: 1)
        board.write(place, 0x14, address)
        #expect(device.baseAddresses[1]?.mappedAt == nil)
    }

    @Test func removalAndResetUnmap() throws {
        let device = try add()
        board.write(place, 0x10, 0xC000)
        board.write(place, 4, 1, size: 1)
        device.reset()
        #expect(board.ports.read(0xC000, size: 1) == 0xFF)
        #expect(board.read(place, 0x10) == 1)
        board.write(place, 0x10, 0xC000)
        board.write(place, 4, 1, size: 1)
        #expect(board.ports.read(0xC000, size: 1) == 0x5A)
        board.bus.remove(device)
        #expect(board.ports.read(0xC000, size: 1) == 0xFF)
        #expect(board.read(place, 0) == 0xFFFF_FFFF)
    }

    @Test func anyConfigurationTrafficIsHarmless() throws {
        let device = try add()
        device.addMSIX(vectorCount: 4, baseAddress: 4)
        device.addMSI(vectorCount: 4)
        var random = SystemRandomNumberGenerator()
        for _ in 0..<20_000 {
            let value = UInt64.random(in: 0...UInt64.max, using: &random)
            let size = [1, 2, 4, 8].randomElement(using: &random)!
            if Bool.random(using: &random) {
                board.ports.write(0xCF8, size: 4, value: 0x8000_1800 | value & 0xFF)
            } else {
                board.ports.write(0xCFC + value >> 62, size: size, value: value & 0xFFFF_FFFF)
                _ = board.ports.read(0xCFC + value >> 62, size: size)
            }
            if let base = device.baseAddresses[4]?.mappedAt {
                board.memory.write(base + value & 0xFFF, size: size, value: value)
                _ = board.memory.read(base + value & 0xFFF, size: size)
            }
            device.signal(vector: Int(value & 7))
            device.setInterrupt(value & 8 != 0)
        }
        device.reset()
        #expect(!device.usesMessages && board.router.levels.allSatisfy { !$0 })
    }
}
