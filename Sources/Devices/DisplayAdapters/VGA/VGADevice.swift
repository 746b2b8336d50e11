// SPDX-License-Identifier: Apache-2.0

public import GuestMemory
public import MachineModel
public import PCIBus
public import StateCoding

/// What a saved machine keeps of the card; its memory is the guest's.
struct VGADeviceState: SavedState, Equatable {
    var function: PCIDeviceState
    var registers: VGAState

    func problem(replacing current: VGADeviceState) -> String? {
        function.problem(replacing: current.function) ?? registers.problem(replacing: current.registers)
    }
}

/// QEMU's standard VGA on PCI: 1234:1111. Region 0 is the video memory, region 2 registers, and the ROM the VGA BIOS.
public final class VGADevice: PCIDevice, @unchecked Sendable {
    /// Bytes of video memory unless asked otherwise.
    public static let standardMemory: UInt64 = 16 << 20
    private static let registersCount: UInt64 = 4096
    private static let legacyWindow: Range<UInt64> = 0xA_0000..<0xC_0000
    private static let ports: Range<UInt64> = 0x3B0..<0x3E0
    private static let extensionPorts: Range<UInt64> = 0x1CE..<0x1D1
    /// Places in the register region.
    private enum Place {
        static let ports: Range<UInt64> = 0x400..<0x420, extension_: Range<UInt64> = 0x500..<0x516
        static let extended: Range<UInt64> = 0x600..<0x608
        static let littleEndian: UInt32 = 0x1E1E_1E1E, bigEndian: UInt32 = 0xBEBE_BEBE
    }

    /// The card without its bus.
    public let core: VGACore
    private let guestMemory: GuestMemory
    private let region: GuestMemory.MovableRegion

    /// A card that uses a movable region as video memory.
    /// - Parameters:
    ///   - region: a power of two from 256 KiB.
    ///   - isSecondary: without the ISA ports and windows of a VGA.
    public init(
        name: String = "VGA", memory: GuestMemory, region: GuestMemory.MovableRegion, rom: [UInt8]?,
        isSecondary: Bool = false
    ) {
        guestMemory = memory
        self.region = region
        let video = memory.region(region)
        // The region lives as long as the memory, which the core keeps.
        core = unsafe VGACore(memory: video.base, count: Int(video.count), owner: memory)
        super.init(
            name: name,
            identity: PCIIdentity(
                vendor: 0x1234, device: 0x1111, revision: 2, classCode: isSecondary ? 0x03_8000 : 0x03_0000))
        addBaseAddress(0, kind: .memory32, size: video.count, isPrefetchable: true, name: "vga.vram")
        addBaseAddress(2, kind: .memory32, size: Self.registersCount, name: "vga.mmio", window: makeRegisters())
        if let rom { addROM(rom) }
    }

    /// Maps the ports and the window that a VGA has since the ISA bus.
    public func mapLegacy(ports: AddressSpace, memory: AddressSpace) {
        ports.map(
            VGAWindow(core, read: { $0.readPort(Int(Self.ports.lowerBound &+ $1)) }) {
                $0.writePort(Int(Self.ports.lowerBound &+ $1), $2)
            }, at: Self.ports.lowerBound, count: UInt64(Self.ports.count), name: "vga")
        ports.map(
            ExtensionPorts(core), at: Self.extensionPorts.lowerBound, count: UInt64(Self.extensionPorts.count),
            name: "vbe")
        memory.map(
            VGAWindow(core, read: { $0.readWindow(Int($1)) }) { $0.writeWindow(Int($1), $2) },
            at: Self.legacyWindow.lowerBound, count: UInt64(Self.legacyWindow.count), name: "vga-lowmem", priority: 1)
    }

    /// The function's and the VGA's registers; video memory is saved as RAM.
    public override func saveState(as name: String) throws(StateError) -> StateRecord {
        try StateRecord(name: name, VGADeviceState(function: pciState, registers: core.state))
    }

    /// Refuses registers that do not fit; the result puts them in.
    public override func checkState(_ record: StateRecord) throws(StateError) -> () -> Void {
        let state = try record.decode(replacing: VGADeviceState(function: pciState, registers: core.state))
        return { [self] in
            apply(state.function)
            core.state = state.registers
        }
    }

    /// Back to text mode; video memory keeps what it has.
    public override func reset() {
        super.reset()
        core.reset()
    }

    /// Maps the video memory where region 0 is now.
    public override func addressesChanged() {
        guestMemory.moveRegion(region, to: baseAddresses[0]?.mappedAt)
    }

    /// Takes the video memory out of the guest's address space.
    public override func removed() { guestMemory.moveRegion(region, to: nil) }

    private func makeRegisters() -> any RegisterWindow {
        VGAWindow(
            core,
            read: { core, offset in
                switch offset {
                case 0..<128:
                    return DisplayIdentification.block(width: core.preferred.width, height: core.preferred.height)[
                        Int(offset)]
                case Place.ports: return core.readPort(0x3C0 + Int(offset - Place.ports.lowerBound))
                case Place.extension_:
                    let value = core.readExtension(Int(offset - Place.extension_.lowerBound) >> 1)
                    return UInt8(truncatingIfNeeded: value >> UInt16((offset & 1) * 8))
                case Place.extended:
                    let value: UInt32 = offset < 0x604 ? 8 : Place.littleEndian
                    return UInt8(truncatingIfNeeded: value >> UInt32((offset & 3) * 8))
                default: return 0
                }
            },
            write: { core, offset, value in
                if Place.ports.contains(offset) {
                    core.writePort(0x3C0 + Int(offset - Place.ports.lowerBound), value)
                } else if Place.extension_.contains(offset) {
                    // A whole register comes as two bytes, the low one first: it takes effect with the high one.
                    let index = Int(offset - Place.extension_.lowerBound) >> 1
                    if offset & 1 == 0 {
                        core.pendingLow = value
                    } else {
                        core.writeExtension(index, UInt16(core.pendingLow) | UInt16(value) << 8)
                    }
                }
            })
    }
}

/// Registers of a byte each; wider accesses are made of those.
private final class VGAWindow: RegisterWindow {
    private let core: VGACore
    private let reader: (VGACore, UInt64) -> UInt8
    private let writer: (VGACore, UInt64, UInt8) -> Void

    init(
        _ core: VGACore, read: @escaping (VGACore, UInt64) -> UInt8, write: @escaping (VGACore, UInt64, UInt8) -> Void
    ) {
        self.core = core
        reader = read
        writer = write
    }

    func read(offset: UInt64, size: Int) -> UInt64 {
        var value: UInt64 = 0
        for index in 0..<UInt64(min(max(size, 0), 8)) {
            value |= UInt64(reader(core, offset &+ index)) << (index * 8)
        }
        return value
    }

    func write(offset: UInt64, size: Int, value: UInt64) {
        for index in 0..<UInt64(min(max(size, 0), 8)) {
            writer(core, offset &+ index, UInt8(truncatingIfNeeded: value >> (index * 8)))
        }
    }
}

/// Bochs's index port 0x1CE and its data port, at 0x1CF and 0x1D0: words.
private final class ExtensionPorts: RegisterWindow {
    private let core: VGACore

    init(_ core: VGACore) { self.core = core }

    func read(offset: UInt64, size: Int) -> UInt64 {
        offset == 0 ? UInt64(core.extensionIndex) : UInt64(core.readExtension(Int(core.extensionIndex)))
    }

    func write(offset: UInt64, size: Int, value: UInt64) {
        let word = UInt16(truncatingIfNeeded: value)
        if offset == 0 { core.extensionIndex = word } else { core.writeExtension(Int(core.extensionIndex), word) }
    }
}
