// SPDX-License-Identifier: Apache-2.0

public import MachineModel

/// The SMBus controller of the ICH9 (Intel ICH9 datasheet, 20): 8086:2930 at 1f.3, the host's registers behind BAR 4.
public final class ICH9SystemManagementBus: PCIDevice, @unchecked Sendable {
    private static let portCount: UInt64 = 64
    private static let registersBAR = 4

    /// Puts the function at 1f.3.
    /// - Parameter registers: of the host controller, 64 ports.
    public init(bus: PCIBus, registers: any RegisterWindow) throws(PCIBusError) {
        super.init(
            name: "ICH9-SMB",
            identity: PCIIdentity(
                vendor: 0x8086, device: 0x2930, revision: 2, classCode: 0x0C_0500, interruptPin: 1),
            isMultifunction: true)
        addBaseAddress(Self.registersBAR, kind: .io, size: Self.portCount, name: "pm-smbus", window: registers)
        makeDeviceRegistersWritable()
        try bus.add(self, at: PCIAddress(packed: 0xFB))
    }

    /// The registers behind the ports save their own.
    public override var hasMoreState: Bool { false }
}
