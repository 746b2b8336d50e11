// SPDX-License-Identifier: Apache-2.0

internal import Diagnostics
internal import MachineModel

/// The memory controller hub of q35 (Intel 82G33/82Q35 datasheet, chapter 5): 8086:29C0 at 00.0.
///
/// PCIEXBAR moves and enables the ECAM window. PAM and SMRAM registers keep what firmware writes; the memory behind
/// them is plain RAM at all times.
public final class Q35HostBridge: PCIDevice, @unchecked Sendable {
    /// Where QEMU's q35 and its firmware put the ECAM window, and its bytes.
    public static let defaultECAMBase: UInt64 = 0xB000_0000, ecamCount: UInt64 = 256 << 20

    private enum Register {
        static let expressBase = 0x60
        static let smram = 0x9D, extendedSMRAM = 0x9E
        static let smramReset: UInt8 = 0x02, extendedSMRAMReset: UInt8 = 0x38
        static let enable: UInt64 = 1
    }
    private let registers: PCIEnhancedConfigWindow
    private var window = MovableWindow()

    /// Puts the bridge at 00.0 of an empty bus.
    public init(bus: PCIBus) throws(PCIBusError) {
        registers = PCIEnhancedConfigWindow(bus: bus)
        super.init(
            name: "mch", identity: PCIIdentity(vendor: 0x8086, device: 0x29C0, revision: 0, classCode: 0x06_0000))
        makeDeviceRegistersWritable()
        try bus.add(self, at: PCIAddress(packed: 0))
        reset()
    }

    /// The first address of ECAM while it is enabled.
    public var ecamBase: UInt64? { window.base }

    /// Enables ECAM at its usual place, as firmware does.
    public func enableECAM() {
        config.set(Register.expressBase, Self.defaultECAMBase | Register.enable)
        update()
    }

    /// Everything is in configuration space.
    public override var hasMoreState: Bool { false }

    /// Puts PCIEXBAR to QEMU's default, disabled, and SMRAM to power-on.
    public override func reset() {
        super.reset()
        clearDeviceRegisters()
        config.set(Register.expressBase, Self.defaultECAMBase)
        config.set(Register.smram, Register.smramReset)
        config.set(Register.extendedSMRAM, Register.extendedSMRAMReset)
        update()
    }

    /// Moves the ECAM window to where the registers say.
    public override func stateRestored() { update() }

    /// Moves, enables or disables the ECAM window at once.
    public override func writeConfig(offset: Int, size: Int, value: UInt32) {
        super.writeConfig(offset: offset, size: size, value: value)
        update()
    }

    private func update() {
        let register: UInt64 = config.get(Register.expressBase)
        let lengths: [UInt64] = [256 << 20, 128 << 20, 64 << 20]
        let choice = Int(register >> 1 & 3)
        guard register & Register.enable != 0, choice < lengths.count else {
            if register & Register.enable != 0 { Log.shared.write(.guestErrors, "Q35: Reserved PCIEXBAR LENGTH") }
            window.move(to: nil, in: bus?.memory, window: registers, count: 0, name: "pcie-mmcfg-mmio")
            return
        }
        let count = lengths[choice]
        let base = register & ~(count - 1) & 0xF_FFFF_FFFF
        // A changed length alone moves nothing, so the old window goes first.
        window.move(to: nil, in: bus?.memory, window: registers, count: 0, name: "pcie-mmcfg-mmio")
        window.move(to: base, in: bus?.memory, window: registers, count: count, name: "pcie-mmcfg-mmio")
    }
}
