// SPDX-License-Identifier: Apache-2.0

public import GuestMemory
internal import MachineModel
public import PCIBus
public import StateCoding

/// The SATA function of the ICH9 in AHCI mode (Intel ICH9 datasheet, 15; AHCI 1.3.1): 8086:2922, at 1f.2 on q35.
public final class AHCIController: PCIDevice, @unchecked Sendable {
    /// Ports, one drive each.
    public static let portCount = AHCI.portCount
    private static let indexCount: UInt64 = 32

    private let ports: [AHCIPort]
    private var control: UInt32 = AHCI.Host.enable
    private var index: UInt32 = 0

    /// A controller without drives.
    /// - Parameter name: "ich9-ahci".
    public init(name: String = "ich9-ahci", memory: GuestMemory) {
        ports = (0..<AHCI.portCount).map { AHCIPort(number: $0, memory: memory) }
        super.init(
            name: name,
            identity: PCIIdentity(
                vendor: 0x8086, device: 0x2922, revision: 2, classCode: 0x01_0601, interruptPin: 1))
        // The port map register, which software writes.
        for offset in 0x90..<0x98 { config.setWritable(offset, UInt8.max) }
        addMSI(vectorCount: 1, isMaskable: false)
        addBaseAddress(
            4, kind: .io, size: Self.indexCount, name: "ahci-idp",
            window: ChannelWindow(
                read: { [unowned self] in readIndexed($0, $1) }, write: { [unowned self] in writeIndexed($0, $1, $2) }))
        addBaseAddress(
            5, kind: .memory32, size: AHCI.windowCount, name: "ahci",
            window: ChannelWindow(
                read: { [unowned self] in readRegisters($0, $1) },
                write: { [unowned self] in writeRegisters($0, $1, $2) }))
        for port in ports {
            port.interruptChanged = { [unowned self] in updateInterruptLine() }
            port.isBusMaster = { [unowned self] in isBusMaster }
        }
    }

    /// Plugs a drive into a port, before the machine runs.
    public func attach(_ drive: ATADrive, at port: Int) { ports[port].attach(drive) }

    /// The drive at a port.
    public func drive(at port: Int) -> ATADrive? { ports.indices.contains(port) ? ports[port].drive : nil }

    /// The function's registers and all ports'; throws while a drive works.
    public override func saveState(as name: String) throws(StateError) -> StateRecord {
        try ATADriveState.settle(ports.map(\.drive), of: name)
        guard !ports.contains(where: \.isWorking) else {
            throw StateError("device '\(name)' cannot be saved while a command waits for the guest; try again")
        }
        return try StateRecord(name: name, controllerState)
    }

    /// Refuses a state that does not fit; the result puts it in.
    public override func checkState(_ record: StateRecord) throws(StateError) -> () -> Void {
        let state = try record.decode(replacing: controllerState)
        return { [self] in
            apply(state.function)
            control = state.control
            index = state.index
            for (port, saved) in zip(ports, state.ports) {
                port.state = saved.registers
                if let drive = port.drive, let saved = saved.drive { saved.restore(drive) }
            }
            updateInterruptLine()
        }
    }

    private var controllerState: AHCIControllerState {
        AHCIControllerState(
            function: pciState, control: control, index: index,
            ports: ports.map {
                AHCIControllerState.Port(registers: $0.state, drive: $0.drive.map(ATADriveState.init))
            })
    }

    /// Puts the mode register (90h) to AHCI and all ports to power-on.
    public override func reset() {
        super.reset()
        config.set(0x90, UInt8(1 << 6))
        resetHost()
    }

    private func resetHost() {
        control = AHCI.Host.enable
        index = 0
        for port in ports { port.reset() }
        updateInterruptLine()
    }

    private var interruptStatus: UInt32 {
        ports.enumerated().reduce(0) { $0 | ($1.element.isInterrupting ? 1 << UInt32($1.offset) : 0) }
    }

    private var wasInterrupting = false

    private func updateInterruptLine() {
        let asserted = control & AHCI.Host.interruptEnable != 0 && interruptStatus != 0
        if msi?.isEnabled == true {
            // A message for each new event; the level is the rest of the truth.
            if asserted { signal(vector: 0) }
        } else {
            setInterrupt(asserted)
        }
        wasInterrupting = asserted
    }

    // MARK: Registers

    private func readRegister(_ offset: UInt64) -> UInt32 {
        if offset >= AHCI.portBase {
            let port = Int((offset - AHCI.portBase) / AHCI.portStride)
            return ports.indices.contains(port) ? ports[port].read((offset - AHCI.portBase) % AHCI.portStride) : 0
        }
        switch offset {
        case AHCI.Host.capabilities: return AHCI.Host.capabilityBits
        case AHCI.Host.control: return control
        case AHCI.Host.interruptStatus: return interruptStatus
        case AHCI.Host.portsImplemented: return (1 << UInt32(AHCI.portCount)) - 1
        case AHCI.Host.version: return AHCI.Host.versionNumber
        default: return 0
        }
    }

    private func writeRegister(_ offset: UInt64, _ value: UInt32) {
        if offset >= AHCI.portBase {
            let port = Int((offset - AHCI.portBase) / AHCI.portStride)
            if ports.indices.contains(port) { ports[port].write((offset - AHCI.portBase) % AHCI.portStride, value) }
            return
        }
        guard offset == AHCI.Host.control else { return }
        if value & AHCI.Host.reset != 0 { return resetHost() }
        control = value & AHCI.Host.interruptEnable | AHCI.Host.enable
        updateInterruptLine()
    }

    private func readRegisters(_ offset: UInt64, _ size: Int) -> UInt64 {
        let base = offset & ~3
        var value = UInt64(readRegister(base))
        if size == 8 || offset & 3 != 0 { value |= UInt64(readRegister(base &+ 4)) << 32 }
        return value >> ((offset & 3) * 8)
    }

    /// Registers are doublewords; parts of one change only that part.
    private func writeRegisters(_ offset: UInt64, _ size: Int, _ value: UInt64) {
        let base = offset & ~3
        if size == 4, base == offset { return writeRegister(base, UInt32(truncatingIfNeeded: value)) }
        if size == 8, base == offset {
            writeRegister(base, UInt32(truncatingIfNeeded: value))
            return writeRegister(base &+ 4, UInt32(truncatingIfNeeded: value >> 32))
        }
        guard size < 4 else { return }
        let shift = UInt32(offset & 3) * 8
        let mask: UInt32 = size == 1 ? 0xFF : 0xFFFF
        let old = readRegister(base)
        writeRegister(base, old & ~(mask << shift) | (UInt32(truncatingIfNeeded: value) & mask) << shift)
    }

    /// Index and data registers at 16 and 20 of the port range.
    private func readIndexed(_ offset: UInt64, _ size: Int) -> UInt64 {
        switch offset {
        case 16: UInt64(index)
        case 20: UInt64(readRegister(UInt64(index & 0xFFC)))
        default: 0
        }
    }

    private func writeIndexed(_ offset: UInt64, _ size: Int, _ value: UInt64) {
        switch offset {
        case 16: index = UInt32(truncatingIfNeeded: value) & 0xFFC
        case 20: writeRegister(UInt64(index), UInt32(truncatingIfNeeded: value))
        default: break
        }
    }
}
