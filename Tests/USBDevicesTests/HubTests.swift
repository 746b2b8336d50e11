// SPDX-License-Identifier: Apache-2.0

import DisplaySurfaces
import GuestMemory
import MachineModel
import StateCoding
import Testing
import USBDevices

@Suite struct HubTests {
    private static let connected: UInt8 = 1, enabled: UInt8 = 2, reset: UInt8 = 0x10
    private static let portStatus: UInt8 = 0xA3, setPort: UInt8 = 0x23

    private func status(_ hub: USBHub, _ port: UInt16) -> [UInt8] {
        guard case .data(let bytes) = hub.control(USBSetup(Self.portStatus, 0, index: port, length: 4)) else {
            return []
        }
        return bytes
    }

    private func set(_ hub: USBHub, _ feature: UInt16, _ port: UInt16) -> USBOutcome {
        hub.control(USBSetup(Self.setPort, 3, value: feature, index: port))
    }

    private func clear(_ hub: USBHub, _ feature: UInt16, _ port: UInt16) -> USBOutcome {
        hub.control(USBSetup(Self.setPort, 1, value: feature, index: port))
    }

    @Test func descriptorsSayWhatItIs() {
        let hub = USBHub()
        #expect(
            hub.control(USBSetup(0x80, 6, value: 0x100, length: 18))
                == .data([18, 1, 0x10, 1, 9, 0, 0, 8, 9, 4, 0xAA, 0x55, 1, 1, 1, 2, 3, 1]))
        // A device of USB 1.1 has no qualifier.
        #expect(hub.control(USBSetup(0x80, 6, value: 0x600, length: 10)) == .stalled)
        #expect(
            hub.control(USBSetup(0xA0, 6, value: 0x2900, length: 71))
                == .data([11, 0x29, 8, 0x0A, 0, 1, 0, 0, 0, 0xFF, 0xFF]))
        #expect(USBHub(ports: 3).control(USBSetup(0xA0, 6, length: 71)) == .data([9, 0x29, 3, 0x0A, 0, 1, 0, 0, 0xFF]))
        #expect(hub.control(USBSetup(0xA0, 0, length: 4)) == .data([0, 0, 0, 0]))
        #expect(set(hub, 4, 9) == .stalled && set(hub, 77, 1) == .stalled && status(hub, 0).isEmpty)
    }

    @Test func portsTellWhatComesAndGoes() {
        let clock = ManualClock(), hub = USBHub()
        _ = hub.control(USBSetup(0, 9, value: 1))
        #expect(hub.read(endpoint: 1, capacity: 2) == .notReady)
        let mouse = USBPointer(isAbsolute: false, clock: clock)
        hub.attach(mouse, at: 8)
        #expect(hub.read(endpoint: 1, capacity: 2) == .data([0, 1]) && status(hub, 8) == [1, 1, 1, 0])
        #expect(clear(hub, 16, 8) == .taken && hub.read(endpoint: 1, capacity: 2) == .notReady)
        #expect(set(hub, 4, 8) == .taken && status(hub, 8) == [3, 1, 0x10, 0])
        #expect(clear(hub, 20, 8) == .taken && status(hub, 8) == [3, 1, 0, 0])
        hub.detach(mouse)
        #expect(status(hub, 8) == [0, 1, 3, 0] && hub.device(at: 8) == nil)
        hub.reset()
        #expect(status(hub, 8) == [0, 1, 0, 0])
    }

    @Test func pathsLeadThroughHubs() {
        let clock = ManualClock(), hub = USBHub(ports: 2), inner = USBHub(ports: 2)
        let keyboard = USBKeyboard(clock: clock)
        hub.attach(inner, at: 2)
        inner.attach(keyboard, at: 1)
        #expect(hub.places().map(\.path) == ["2", "2.1"] && hub.places().last?.device === keyboard)
        #expect(hub.freePorts().map(\.path) == ["1", "2.2"])
    }

    /// A driver of UHCI finds a keyboard two hubs down, and types on it.
    @Test func packetsFindDevicesBehindHubs() throws {
        let bench = try UHCIBench()
        let outer = USBHub(), inner = USBHub(ports: 4), keyboard = USBKeyboard(clock: bench.clock)
        outer.attach(inner, at: 3)
        inner.attach(keyboard, at: 1)
        bench.controller.attach(outer, at: 1)
        bench.start()
        bench.enable()
        for (number, port) in [(UInt32(2), UInt16(3)), (3, 1)] {
            try bench.setAddress(number)
            _ = try bench.control(USBSetup(0, 9, value: 1))
            let found = try bench.control(USBSetup(Self.portStatus, 0, index: port, length: 4)).bytes
            #expect(found == [1, 1, 1, 0])
            _ = try bench.control(USBSetup(Self.setPort, 3, value: 4, index: port))
            bench.address = 0
        }
        try bench.setAddress(4)
        let device = try bench.control(USBSetup(0x80, 6, value: 0x100, length: 18)).bytes
        #expect(device.count == 18 && device[8] == 0x27)
        _ = try bench.control(USBSetup(0, 9, value: 1))
        keyboard.send(try #require(KeyCode.named("a")), isDown: true)
        let words = try bench.run([(0x69, 1, 8)])
        #expect(words[0] & 1 << 23 == 0)
        #expect(try bench.memory.read(at: UHCIBench.buffers, count: 3) == [0, 0, 4])
        // A port that is not enabled passes nothing on.
        bench.address = 2
        _ = try bench.control(USBSetup(Self.setPort, 1, value: 1, index: 3))
        bench.address = 4
        #expect(try bench.run([(0x69, 1, 8)])[0] & 1 << 18 != 0)
    }

    @Test func savedHubsGoOn() throws {
        let clock = ManualClock()
        func made() -> USBHub {
            let hub = USBHub()
            hub.attach(USBKeyboard(clock: clock), at: 2)
            return hub
        }
        let hub = made(), other = made()
        _ = hub.control(USBSetup(0, 9, value: 1))
        _ = set(hub, 4, 2)
        try other.checkState(hub.saveState(as: "h"))()
        #expect(status(other, 2) == status(hub, 2) && other.read(endpoint: 1, capacity: 2) == .data([4, 0]))
        #expect(throws: StateError.self) { _ = try USBHub(ports: 4).checkState(hub.saveState(as: "h")) }
    }
}
