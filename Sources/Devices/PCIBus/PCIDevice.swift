// SPDX-License-Identifier: Apache-2.0

public import MachineModel
public import StateCoding

/// One function on a PCI bus: configuration space, base address registers, capabilities and interrupts.
///
/// A device model is a subclass that adds its base address registers and capabilities in its initializer. Hooks to
/// override: `reset`, `readConfig`, `writeConfig`, `addressesChanged`, `removed`. All is guarded by the machine lock.
open class PCIDevice: Device, Stateful, @unchecked Sendable {
    /// The type's name: "virtio-blk-pci".
    public let name: String
    /// What the person called it with `id=`.
    public var identifier: String?
    /// Further functions may share the slot; guests look for them only where the header's type says so.
    public var isMultifunction: Bool { didSet { noteMultifunction() } }
    /// In the header's type.
    private static let multifunctionBit: UInt8 = 0x80

    private func noteMultifunction() {
        let type = config.get(PCIRegister.headerType, as: UInt8.self)
        config.set(
            PCIRegister.headerType,
            isMultifunction ? type | Self.multifunctionBit : type & ~Self.multifunctionBit)
    }

    /// The configuration registers.
    public var config: PCIConfigSpace
    /// Base address registers by index.
    public internal(set) var baseAddresses: [PCIBaseAddress?] = Array(repeating: nil, count: 6)
    /// The bus it sits on.
    public internal(set) weak var bus: PCIBus?
    /// Its place on the bus; 00.0 before it is added.
    public internal(set) var address = PCIAddress(packed: 0)
    /// Where MSI-X stands in configuration space and its table, once added.
    public internal(set) var msix: MSIXCapability?
    /// Message-signalled interrupts without a table, once added.
    public internal(set) var msi: MSICapability?
    /// The option ROM, once added.
    var rom: PCIExpansionROM?
    var nextCapability = PCIRegister.headerEnd
    /// The level that the device model drives.
    var interruptLevel = false
    /// The PIRQ that is told of it now.
    var assertedLine: Int?

    /// A function with an empty configuration space but for its identity.
    /// - Parameter hasExtendedSpace: 4096 bytes of configuration space, which ECAM reaches, not 256.
    public init(
        name: String, identity: PCIIdentity, isMultifunction: Bool = false, hasExtendedSpace: Bool = false
    ) {
        self.name = name
        self.isMultifunction = isMultifunction
        config = PCIConfigSpace(
            size: hasExtendedSpace ? PCIConfigSpace.extendedSize : PCIConfigSpace.conventionalSize)
        config.set(PCIRegister.vendor, identity.vendor)
        config.set(PCIRegister.device, identity.device)
        config.set(PCIRegister.revision, identity.revision)
        config.set(PCIRegister.programmingInterface, UInt8(truncatingIfNeeded: identity.classCode))
        config.set(PCIRegister.classCode, UInt16(truncatingIfNeeded: identity.classCode >> 8))
        config.set(PCIRegister.headerType, UInt8(isMultifunction ? 0x80 : 0))
        config.set(PCIRegister.subsystemVendor, identity.subsystemVendor)
        config.set(PCIRegister.subsystem, identity.subsystem)
        config.set(PCIRegister.interruptPin, identity.interruptPin)
        config.setWritable(PCIRegister.command, PCICommand.writable)
        config.setClearable(PCIRegister.status, PCIStatus.errors)
        config.setWritable(PCIRegister.cacheLineSize, UInt8.max)
        config.setWritable(PCIRegister.interruptLine, UInt8.max)
    }

    /// Whether the guest can change more than configuration space and MSI-X. Such a type overrides `saveState` and
    /// `checkState`; one that does not cannot be saved.
    open var hasMoreState: Bool { true }

    /// Configuration space and MSI-X.
    open func saveState(as name: String) throws(StateError) -> StateRecord {
        guard !hasMoreState else { throw StateError("the state of device '\(name)' cannot be saved") }
        return try StateRecord(name: name, pciState)
    }

    /// As `Stateful` says.
    open func checkState(_ record: StateRecord) throws(StateError) -> () -> Void {
        let state = try record.decode(replacing: pciState)
        return { self.apply(state) }
    }

    /// The command register.
    public var command: UInt16 { config.get(PCIRegister.command) }

    /// The guest lets the function reach memory and send messages.
    public var isBusMaster: Bool { command & PCICommand.busMaster != 0 }

    /// Bits 23:16 base class, 15:8 subclass, 7:0 programming interface.
    public var classCode: UInt32 { config.get(PCIRegister.revision, as: UInt32.self) >> 8 }

    /// 0 for none, 1...4 for INTA...INTD.
    public var interruptPin: Int { Int(config.get(PCIRegister.interruptPin, as: UInt8.self)) }

    /// Puts the header, the base addresses and the interrupts back to power-on. A subclass calls this too.
    open func reset() {
        setInterrupt(false)
        config.clearGuestBits(in: PCIRegister.command..<PCIRegister.headerEnd)
        msi?.reset(self)
        msix?.reset(self)
        updateMappings()
        updateInterrupt()
    }

    /// A guest's read of configuration space: 1, 2 or 4 bytes at any offset.
    open func readConfig(offset: Int, size: Int) -> UInt32 { config.guestRead(offset: offset, size: size) }

    /// A guest's write of configuration space: 1, 2 or 4 bytes at any offset.
    open func writeConfig(offset: Int, size: Int, value: UInt32) {
        config.guestWrite(offset: offset, size: size, value: value)
        let touched = offset..<max(offset, offset &+ size)
        if touched.overlaps(PCIRegister.command..<PCIRegister.command + 2)
            || touched.overlaps(PCIRegister.baseAddress..<PCIRegister.baseAddress + 24)
            || touched.overlaps(PCIRegister.expansionROM..<PCIRegister.expansionROM + 4)
        {
            updateMappings()
            updateInterrupt()
        }
        if let msi, touched.overlaps(msi.range) { msi.configWritten(self) }
        if let msix, touched.overlaps(msix.range) { msix.configWritten(self) }
    }

    /// Called after a base address register was mapped elsewhere, mapped or unmapped.
    open func addressesChanged() {}

    /// Called after `restore`: a function whose own registers have effects puts them into effect.
    open func stateRestored() {}

    /// Called when the device left its bus; it lets go of what it holds on the host.
    open func removed() {}
}
