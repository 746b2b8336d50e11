// SPDX-License-Identifier: Apache-2.0

internal import MachineModel
public import PCIBus

/// QEMU's pvpanic-pci: the panic register in a function's memory.
public final class PCIPanicDevice: PCIDevice, @unchecked Sendable {
    private unowned let requests: any MachineRequests
    private static let windowCount: UInt64 = 2

    /// - Parameters:
    ///   - events: what the guest is told that it may report: bit 0 a crash, bit 1 a crash kernel.
    ///   - requests: told of the crash; must outlive this device.
    public init(events: UInt8 = 3, requests: any MachineRequests) {
        self.requests = requests
        super.init(
            name: "pvpanic-pci",
            identity: PCIIdentity(vendor: 0x1B36, device: 0x0011, revision: 1, classCode: 0x08_8000))
        addBaseAddress(
            0, kind: .memory32, size: Self.windowCount, window: PanicPort.registers(events: events, requests: requests))
    }

    public override var hasMoreState: Bool { false }
}
