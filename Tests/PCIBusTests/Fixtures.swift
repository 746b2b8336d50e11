// SPDX-License-Identifier: Apache-2.0

import HostSystem
import MachineModel
import PCIBus

/// Remembers the messages that functions send.
final class RecordingMessages: MessageInterruptSink {
    struct Message: Equatable {
        let address: UInt64
        let data: UInt32
    }
    var sent: [Message] = []
    func deliver(address: UInt64, data: UInt32) { sent.append(Message(address: address, data: data)) }
}

/// Registers that hold what was written last, by offset.
final class ScratchWindow: RegisterWindow {
    var values: [UInt64: UInt64] = [:]
    func read(offset: UInt64, size: Int) -> UInt64 { values[offset] ?? 0x5A }
    func write(offset: UInt64, size: Int, value: UInt64) { values[offset] = value }
}

/// Remembers the levels of eight lines.
final class RecordingRouter: PCIInterruptRouter {
    var interruptLineCount: Int { 8 }
    var levels = [Bool](repeating: false, count: 8)
    var rotation = 0
    func interruptLine(slot: Int, pin: Int) -> Int { (slot + pin + rotation) % 8 }
    func setInterruptLine(_ line: Int, level: Bool) { levels[line] = level }
}

/// A bus with its address spaces and recorders.
final class Board {
    let ports: AddressSpace
    let memory: AddressSpace
    let messages = RecordingMessages()
    let router = RecordingRouter()
    let bus: PCIBus
    let configPorts: PCIConfigPorts

    init() {
        let lock = Lock()
        ports = AddressSpace(machineLock: lock)
        memory = AddressSpace(machineLock: lock)
        bus = PCIBus(name: "pci.0", ports: ports, memory: memory, messages: messages)
        configPorts = PCIConfigPorts(bus: bus)
        bus.router = router
    }

    /// A configuration access through ports 0xCF8 and 0xCFC.
    func read(_ address: PCIAddress, _ offset: Int, size: Int = 4) -> UInt32 {
        select(address, offset)
        return UInt32(truncatingIfNeeded: ports.read(0xCFC + UInt64(offset & 3), size: size))
    }

    func write(_ address: PCIAddress, _ offset: Int, _ value: UInt32, size: Int = 4) {
        select(address, offset)
        ports.write(0xCFC + UInt64(offset & 3), size: size, value: UInt64(value))
    }

    private func select(_ address: PCIAddress, _ offset: Int) {
        ports.write(0xCF8, size: 4, value: 0x8000_0000 | UInt64(address.packed) << 8 | UInt64(offset & 0xFC))
    }
}

/// A function with every sort of base address register.
func makeDevice(pin: UInt8 = 1, multifunction: Bool = false, window: ScratchWindow = ScratchWindow()) -> PCIDevice {
    let device = PCIDevice(
        name: "sample",
        identity: PCIIdentity(
            vendor: 0x1234, device: 0x5678, revision: 7, classCode: 0x02_0300, interruptPin: pin),
        isMultifunction: multifunction)
    device.addBaseAddress(0, kind: .io, size: 0x20, window: window)
    device.addBaseAddress(1, kind: .memory32, size: 0x1000, window: window)
    device.addBaseAddress(2, kind: .memory64, size: 0x4000, isPrefetchable: true)
    device.addWindow(window, toBaseAddress: 2, at: 0x1000, count: 0x1000, name: "part")
    return device
}
