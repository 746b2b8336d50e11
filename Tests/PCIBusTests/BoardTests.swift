// SPDX-License-Identifier: Apache-2.0

import HostSystem
import MachineModel
import PCIBus
import Testing

/// The levels of interrupts by number.
private final class Levels {
    var now = [Bool](repeating: false, count: 24)
    var lines: [InterruptLine] { (0..<24).map { index in InterruptLine { self.now[index] = $0 } } }
    var asserted: [Int] { now.indices.filter { now[$0] } }
}

/// A function shaped like a transitional virtio device.
private func makeVirtio(ports: UInt64) -> PCIDevice {
    let device = PCIDevice(
        name: "virtio",
        identity: PCIIdentity(vendor: 0x1AF4, device: 0x1001, classCode: 0x01_0000, interruptPin: 1))
    device.addBaseAddress(0, kind: .io, size: ports, window: ScratchWindow())
    device.addMSIX(vectorCount: 2, baseAddress: 1)
    device.addBaseAddress(4, kind: .memory64, size: 0x4000, isPrefetchable: true)
    return device
}

@Suite struct Q35BoardTests {
    private let board = Board()
    private let levels = Levels()
    private let host: Q35HostBridge
    private let bridge: ICH9Bridge
    private let bridgePlace = PCIAddress(packed: 0xF8)

    init() throws {
        host = try Q35HostBridge(bus: board.bus)
        bridge = try ICH9Bridge(bus: board.bus, interrupts: levels.lines)
    }

    @Test func identities() {
        #expect(board.read(PCIAddress(packed: 0), 0) == 0x29C0_8086)
        #expect(board.read(PCIAddress(packed: 0), 0x60) == 0xB000_0000)
        #expect(board.read(bridgePlace, 0) == 0x2918_8086)
        #expect(board.read(bridgePlace, 8) == 0x0601_0002)
        #expect(board.read(bridgePlace, 0x0E, size: 1) == 0x80)
        #expect(board.read(bridgePlace, 0x60) == 0x8080_8080)
        #expect(board.read(bridgePlace, 0x40) == 1)
    }

    @Test func theSMBusControllersRegistersFollowItsBaseAddress() throws {
        let place = PCIAddress(packed: 0xFB)
        _ = try ICH9SystemManagementBus(bus: board.bus, registers: ScratchWindow())
        #expect(board.read(place, 0) == 0x2930_8086)
        #expect(board.read(place, 8) >> 8 == 0x0C_0500)
        board.write(place, 0x20, 0xFFFF_FFFF)
        #expect(board.read(place, 0x20) == 0xFFFF_FFC1)
        board.write(place, 0x20, 0x701)
        #expect(board.ports.read(0x705, size: 1) == 0xFF)
        board.write(place, 0x04, 1, size: 2)
        board.ports.write(0x705, size: 1, value: 0x5A)
        #expect(board.ports.read(0x705, size: 1) == 0x5A)
    }

    @Test func windowOfConfigurationSpaceMoves() {
        #expect(board.memory.read(0xB000_0000, size: 4) == 0xFFFF_FFFF)
        host.enableECAM()
        #expect(board.memory.read(0xB000_0000, size: 4) == 0x29C0_8086)
        #expect(board.memory.read(0xB00F_8000, size: 8) == 0x0000_0000_2918_8086)
        #expect(board.memory.read(0xB00F_8002, size: 2) == 0x2918)
        #expect(board.memory.read(0xB00F_8100, size: 4) == 0xFFFF_FFFF)
        #expect(board.memory.read(0xB010_0000, size: 4) == 0xFFFF_FFFF)
        // 64 MiB at 0xE0000000.
        board.write(PCIAddress(packed: 0), 0x60, 0xE000_0005)
        #expect(board.memory.read(0xB000_0000, size: 4) == 0xFFFF_FFFF)
        #expect(board.memory.read(0xE000_0000, size: 4) == 0x29C0_8086)
        board.memory.write(0xE000_003C, size: 1, value: 0x0B)
        #expect(board.read(PCIAddress(packed: 0), 0x3C, size: 1) == 0x0B)
        host.reset()
        #expect(host.ecamBase == nil)
    }

    @Test func pinsReachTheirInterrupts() throws {
        let second = makeDevice(pin: 1)
        let last = makeDevice(pin: 2)
        try board.bus.add(second, at: PCIAddress(packed: 2 << 3))
        try board.bus.add(last, at: PCIAddress(packed: 31 << 3 | 2))
        second.setInterrupt(true)
        #expect(levels.asserted == [22])
        last.setInterrupt(true)
        #expect(levels.asserted == [17, 22])
        bridge.configureAsFirmware(powerManagementBase: 0x600)
        #expect(levels.asserted == [10, 11, 17, 22])
        second.setInterrupt(false)
        #expect(levels.asserted == [10, 17])
        // D31IR: INTB on PIRQH.
        board.memory.write(0xFED1_F140, size: 2, value: 0x3270)
        #expect(levels.asserted == [11, 23])
        last.setInterrupt(false)
        #expect(levels.asserted.isEmpty)
    }

    @Test func systemControlInterruptSharesItsLine() throws {
        let device = makeDevice(pin: 1)
        try board.bus.add(device, at: PCIAddress(packed: 2 << 3))
        bridge.systemControlInterrupt.set(true)
        #expect(levels.asserted == [9])
        board.write(bridgePlace, 0x6A, 9, size: 1)
        device.setInterrupt(true)
        bridge.systemControlInterrupt.set(false)
        #expect(levels.asserted == [9, 22])
        device.setInterrupt(false)
        #expect(levels.asserted.isEmpty)
    }

    @Test func powerManagementBlockFollowsItsBase() {
        bridge.powerManagement = ScratchWindow()
        board.write(bridgePlace, 0x40, 0x0601)
        #expect(bridge.powerManagementBase == nil)
        board.write(bridgePlace, 0x44, 0x80, size: 1)
        #expect(board.ports.read(0x67F, size: 1) == 0x5A)
        board.write(bridgePlace, 0x40, 0x0B01)
        #expect(board.ports.read(0x608, size: 1) == 0xFF && board.ports.read(0xB08, size: 1) == 0x5A)
        bridge.reset()
        #expect(board.ports.read(0xB08, size: 1) == 0xFF)
    }

    @Test func assignsAsFirmwareDoes() throws {
        let devices = [makeVirtio(ports: 0x80), makeVirtio(ports: 0x20), makeVirtio(ports: 0x40)]
        for device in devices { try board.bus.add(device) }
        try board.bus.add(PCITestDevice())
        let serial = PCIDevice(
            name: "sata", identity: PCIIdentity(vendor: 0x8086, device: 0x2922, classCode: 0x01_0601, interruptPin: 1))
        serial.addBaseAddress(4, kind: .io, size: 0x20, window: ScratchWindow())
        serial.addBaseAddress(5, kind: .memory32, size: 0x1000, window: ScratchWindow())
        try board.bus.add(serial, at: PCIAddress(packed: 31 << 3 | 2))
        try PCIResourceAssignment.q35(highMemoryEnd: 0).apply(to: board.bus)
        // What SeaBIOS gives the same machine, but for the ports of an SMBus controller.
        #expect(devices.map { $0.baseAddresses[0]?.mappedAt } == [0xC100, 0xC1C0, 0xC180])
        #expect(devices.map { $0.baseAddresses[1]?.mappedAt } == [0xFEBF_B000, 0xFEBF_C000, 0xFEBF_D000])
        #expect(devices.map { $0.baseAddresses[4]?.mappedAt } == [0xFEBE_C000, 0xFEBF_0000, 0xFEBF_4000])
        #expect(serial.baseAddresses[4]?.mappedAt == 0xC1E0 && serial.baseAddresses[5]?.mappedAt == 0xFEBF_F000)
        #expect(devices.map { $0.readConfig(offset: 0x3C, size: 1) } == [10, 11, 11])
        #expect(serial.readConfig(offset: 0x3C, size: 1) == 10)
        #expect(devices[0].command == 0x0103)
    }
}

@Suite struct I440FXBoardTests {
    private let board = Board()
    private let levels = Levels()
    private let bridge: PIIX3Bridge
    private let power: PIIX4PowerManagement

    init() throws {
        _ = try I440FXHostBridge(bus: board.bus)
        bridge = try PIIX3Bridge(bus: board.bus, interrupts: levels.lines)
        power = try PIIX4PowerManagement(bus: board.bus)
    }

    @Test func identities() {
        #expect(board.read(PCIAddress(packed: 0), 0) == 0x1237_8086)
        #expect(board.read(PCIAddress(packed: 0), 8) == 0x0600_0002)
        #expect(board.read(PCIAddress(packed: 8), 0) == 0x7000_8086)
        #expect(board.read(PCIAddress(packed: 8), 4) == 0x0200_0000)
        #expect(board.read(PCIAddress(packed: 8), 0x60) == 0x8080_8080)
        #expect(board.read(PCIAddress(packed: 11), 0) == 0x7113_8086)
        #expect(board.read(PCIAddress(packed: 11), 8) == 0x0680_0003)
        #expect(board.read(PCIAddress(packed: 11), 0x58) == 0x0200_0000)
    }

    @Test func pinsReachTheirInterrupts() throws {
        let devices = try (2...5).map { slot in
            let device = makeDevice(pin: 1)
            try board.bus.add(device, at: PCIAddress(slot: slot))
            return device
        }
        bridge.configureAsFirmware()
        for (device, expected) in zip(devices, [10, 11, 11, 10]) {
            device.setInterrupt(true)
            #expect(levels.asserted == [expected])
            device.setInterrupt(false)
        }
        devices[0].setInterrupt(true)
        board.write(PCIAddress(packed: 8), 0x61, 5, size: 1)
        #expect(levels.asserted == [5])
        board.write(PCIAddress(packed: 8), 0x61, 0x80, size: 1)
        #expect(levels.asserted.isEmpty)
    }

    @Test func powerManagementBlock() {
        power.powerManagement = ScratchWindow()
        power.configureAsFirmware(powerManagementBase: 0x600)
        #expect(board.ports.read(0x63F, size: 1) == 0x5A && board.ports.read(0x640, size: 1) == 0xFF)
        #expect(board.read(PCIAddress(packed: 11), 0x40) == 0x601)
        board.write(PCIAddress(packed: 11), 0x80, 0, size: 1)
        #expect(power.powerManagementBase == nil)
    }

    @Test func assignsAsFirmwareDoes() throws {
        let devices = [makeVirtio(ports: 0x80), makeVirtio(ports: 0x20), makeVirtio(ports: 0x40)]
        for device in devices { try board.bus.add(device) }
        let test = PCITestDevice()
        try board.bus.add(test)
        try PCIResourceAssignment.pc(lowMemoryEnd: 256 << 20, highMemoryEnd: 0).apply(to: board.bus)
        #expect(devices.map { $0.address.slot } == [2, 3, 4])
        #expect(devices.map { $0.baseAddresses[0]?.mappedAt } == [0xC100, 0xC1C0, 0xC180])
        #expect(devices.map { $0.baseAddresses[1]?.mappedAt } == [0xFEBF_C000, 0xFEBF_D000, 0xFEBF_E000])
        #expect(devices.map { $0.baseAddresses[4]?.mappedAt } == [0xFEBF_0000, 0xFEBF_4000, 0xFEBF_8000])
        #expect(test.baseAddresses[0]?.mappedAt == 0xFEBF_F000 && test.baseAddresses[1]?.mappedAt == 0xC000)
        #expect(devices.map { $0.readConfig(offset: 0x3C, size: 1) } == [10, 11, 11])
    }

    @Test func largeRangesGoAbove4G() throws {
        let large = PCIDevice(name: "large", identity: PCIIdentity(vendor: 1, device: 1, classCode: 0))
        large.addBaseAddress(0, kind: .memory64, size: 8 << 30, isPrefetchable: true, window: ScratchWindow())
        try board.bus.add(large)
        try PCIResourceAssignment.pc(lowMemoryEnd: 3 << 30, highMemoryEnd: 5 << 30).apply(to: board.bus)
        #expect(large.baseAddresses[0]?.mappedAt == 8 << 30)
    }

    @Test func saysWhatFindsNoRoom() throws {
        let large = PCIDevice(name: "large", identity: PCIIdentity(vendor: 1, device: 1, classCode: 0))
        large.addBaseAddress(0, kind: .memory32, size: 2 << 30, window: ScratchWindow())
        try board.bus.add(large)
        let error = #expect(throws: PCIBusError.self) {
            try PCIResourceAssignment.pc(lowMemoryEnd: 3 << 30, highMemoryEnd: 5 << 30).apply(to: board.bus)
        }
        #expect(
            error?.description == "PCI: no room for 2147483648 bytes of memory below 4 GiB of large at 02.0")
    }
}

@Suite struct PCIMonitorTests {
    /// As QEMU's monitor writes it for the same functions.
    @Test func listsFunctions() throws {
        let board = Board()
        _ = try I440FXHostBridge(bus: board.bus)
        let device = makeVirtio(ports: 0x80)
        device.identifier = "disk"
        try board.bus.add(device, at: PCIAddress(slot: 11))
        let test = PCITestDevice()
        try board.bus.add(test, at: PCIAddress(slot: 12))
        board.write(PCIAddress(packed: 11 << 3), 0x10, 0xC000)
        board.write(PCIAddress(packed: 11 << 3), 0x14, 0xFEBF_1000)
        board.write(PCIAddress(packed: 11 << 3), 0x20, 0xFE00_0000)
        board.write(PCIAddress(packed: 11 << 3), 0x3C, 11, size: 1)
        board.write(PCIAddress(packed: 11 << 3), 4, 3, size: 1)
        #expect(
            board.bus.monitorDescription == """
                  Bus  0, device   0, function 0:
                    Host bridge: PCI device 8086:1237
                      PCI subsystem 1af4:1100
                      id ""
                  Bus  0, device  11, function 0:
                    SCSI controller: PCI device 1af4:1001
                      PCI subsystem 1af4:1100
                      IRQ 11, pin A
                      BAR0: I/O at 0xc000 [0xc07f].
                      BAR1: 32 bit memory at 0xfebf1000 [0xfebf1fff].
                      BAR4: 64 bit prefetchable memory at 0xfe000000 [0xfe003fff].
                      id "disk"
                  Bus  0, device  12, function 0:
                    Class 0255: PCI device 1b36:0005
                      PCI subsystem 1af4:1100
                      BAR0: 32 bit memory at 0xffffffffffffffff [0x00000ffe].
                      BAR1: I/O at 0xffffffffffffffff [0x00fe].
                      id ""

                """)
    }
}

@Suite struct PCITestDeviceTests {
    let board = Board()
    let place = PCIAddress(packed: 0x10)

    init() throws {
        try board.bus.add(PCITestDevice(), at: place)
        board.write(place, 0x10, 0xFEB0_0000)
        board.write(place, 0x14, 0xC000)
        board.write(place, 4, 3, size: 1)
    }

    @Test func countsMatchingWrites() {
        #expect(board.memory.read(0xFEB0_0000, size: 4) == 0)
        board.memory.write(0xFEB0_0000, size: 1, value: 2)
        let target = board.memory.read(0xFEB0_0004, size: 4)
        #expect(target == 2050)
        #expect(board.memory.read(0xFEB0_0008, size: 1) == 0xFA)
        board.memory.write(0xFEB0_0000 + target, size: 1, value: 0xFA)
        board.memory.write(0xFEB0_0000 + target, size: 1, value: 0xFB)
        board.memory.write(0xFEB0_0000 + target, size: 2, value: 0xFA)
        #expect(board.memory.read(0xFEB0_000C, size: 4) == 1)
        let name = (0..<22).map { UInt8(board.memory.read(0xFEB0_0010 + $0, size: 1)) }
        #expect(String(decoding: name, as: UTF8.self) == "mmio-datamatch-eventfd")
    }

    @Test func portsHaveTheirOwnTests() {
        board.ports.write(0xC000, size: 1, value: 1)
        #expect(board.ports.read(0xC000, size: 1) == 4)
        #expect(board.ports.read(0xC004, size: 4) == 132)
        board.ports.write(0xC000 + 132, size: 4, value: 77)
        #expect(board.ports.read(0xC00C, size: 4) == 1)
        board.ports.write(0xC000, size: 1, value: 9)
        #expect(board.ports.read(0xC004, size: 4) == 0)
    }
}

@Suite struct SharedInterruptLineTests {
    @Test func risesWithTheFirstAndFallsWithTheLast() {
        var level = false
        let shared = SharedInterruptLine(output: InterruptLine { level = $0 })
        let inputs = [shared.makeInput(), shared.makeInput()]
        inputs[0].set(true)
        inputs[1].set(true)
        inputs[0].set(false)
        #expect(level)
        inputs[1].set(false)
        #expect(!level)
    }
}
