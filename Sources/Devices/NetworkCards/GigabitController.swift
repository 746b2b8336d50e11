// SPDX-License-Identifier: Apache-2.0

public import GuestMemory
public import HostIO
public import HostSystem
internal import MachineModel
public import PacketPorts
public import PCIBus
public import StateCoding

/// Intel's gigabit Ethernet controllers: 82540EM and its relatives, and the 82574L (`e1000`, `e1000e`).
///
/// Registers are used on the vCPUs' threads with the machine lock held. Frames move on the event loop's thread: a write
/// of the transmit tail wakes it, it takes the lock, reads descriptors, lets go of the lock and sends.
public final class GigabitController: PCIDevice, @unchecked Sendable {
    /// Which one it is.
    public let model: GigabitModel
    /// The address from the beginning: six bytes.
    public let address6: [UInt8]
    let memory: GuestMemory
    let port: any PacketPort
    let loop: EventLoop
    let machineLock: Lock
    // All below is guarded by the machine lock.
    var registers: [UInt32]
    var phy: GigabitPHY
    var wires = GigabitMicrowire()
    var transmitter = GigabitTransmitter()
    var ioAddress: UInt32 = 0
    /// The cable is plugged in.
    public internal(set) var isLinkUp = true
    /// What the guest was told of.
    private var told: UInt32 = 0
    private let words: [UInt16]
    private var isKicked = false
    /// The port has a frame for which there was no descriptor.
    var isPortWaiting = false
    /// Frames for which the port had no room. Of the loop's thread.
    var unsent: [[UInt8]] = []

    private enum Bar {
        static let registers = 0, flash = 1
        static let flashCount: UInt64 = 0x20000, ioCount: UInt64 = 32, oldIOCount: UInt64 = 64
        static let messages = 3, vectors = 5, messageCount: UInt64 = 0x4000
        static let pending: UInt32 = 0x2000
    }

    /// A card on a port, which must belong to `loop`.
    /// - Parameter address: six bytes.
    public init(
        _ model: GigabitModel, address: [UInt8], memory: GuestMemory, port: any PacketPort, loop: EventLoop,
        machineLock: Lock
    ) {
        precondition(address.count == 6)
        (self.model, address6, self.memory, self.port) = (model, address, memory, port)
        (self.loop, self.machineLock) = (loop, machineLock)
        words = model.words(address: address)
        registers = [UInt32](repeating: 0, count: GigabitRegister.count / 4)
        phy = GigabitPHY(identifier: model.phyIdentifier)
        let subsystem: (UInt16, UInt16) =
            model.isExpress ? (0x8086, 0) : (PCIIdentity.qumranetVendor, PCIIdentity.defaultSubsystem)
        super.init(
            name: model.name,
            identity: PCIIdentity(
                vendor: 0x8086, device: model.device, revision: model.revision, classCode: 0x02_0000,
                subsystemVendor: subsystem.0, subsystem: subsystem.1, interruptPin: 1),
            hasExtendedSpace: model.isExpress)
        addBaseAddress(
            Bar.registers, kind: .memory32, size: UInt64(GigabitRegister.count), window: GigabitWindow(self))
        let ports = GigabitPorts(self)
        if model.isExpress {
            addBaseAddress(Bar.flash, kind: .memory32, size: Bar.flashCount, window: GigabitFlash())
            addBaseAddress(2, kind: .io, size: Bar.ioCount, window: ports)
            addBaseAddress(Bar.messages, kind: .memory32, size: Bar.messageCount)
            addMSIX(
                vectorCount: Bar.vectors, baseAddress: Bar.messages, tableOffset: 0, pendingOffset: Bar.pending,
                capabilityAt: 0xA0)
            addPowerManagement()
            addMSI(vectorCount: 1, isMaskable: false)
            addExpress(.endpoint)
        } else {
            addBaseAddress(1, kind: .io, size: Bar.oldIOCount, window: ports)
        }
        resetController()
        port.receiver = self
    }

    // MARK: life

    /// Registers, PHY and queues as after power-on; the own address is in the filter again.
    public override func reset() {
        super.reset()
        phy = GigabitPHY(identifier: model.phyIdentifier)
        resetController()
    }

    /// Takes no more frames from the port.
    public override func removed() {
        port.receiver = nil
        super.removed()
    }

    /// As after power-on, or the reset bit of the control register.
    func resetController() {
        for index in registers.indices { registers[index] = 0 }
        wires = GigabitMicrowire()
        transmitter = GigabitTransmitter()
        self[GigabitRegister.control] = 0x0014_0240
        self[GigabitRegister.status] =
            GigabitBit.Status.fullDuplex | GigabitBit.Status.gigabit | GigabitBit.Status.masterEnable | 0x8000_0000
        self[GigabitRegister.packetBuffer] = model.isExpress ? 0x0014_0014 : 0x0010_0030
        self[GigabitRegister.managementEEPROM] = 0xC0000
        self[GigabitRegister.vlanType] = 0x8100
        self[GigabitRegister.management] = model.isExpress ? 0 : 0x0030_2000
        let low = (0..<4).reduce(UInt32(0)) { $0 | UInt32(address6[$1]) << UInt32($1 * 8) }
        self[GigabitRegister.addresses] = low
        let valid: UInt32 = 1 << 31
        self[GigabitRegister.addresses + 4] = UInt32(address6[4]) | UInt32(address6[5]) << 8 | valid
        applyLink()
        updateInterrupts()
        // What waited for descriptors is dropped with the next try.
        releasePort()
    }

    /// Plugs the cable in or out. The machine lock is held.
    public func setLink(_ isUp: Bool) {
        guard isUp != isLinkUp else { return }
        isLinkUp = isUp
        applyLink()
        raise(GigabitBit.Cause.linkChanged)
        releasePort()
    }

    private func applyLink() {
        phy.setLink(isLinkUp)
        if isLinkUp {
            self[GigabitRegister.status] |= GigabitBit.Status.linkUp
        } else {
            self[GigabitRegister.status] &= ~GigabitBit.Status.linkUp
        }
    }

    /// A register by its byte offset, which is inside and a multiple of 4.
    subscript(_ offset: Int) -> UInt32 {
        get { registers[offset >> 2] }
        set { registers[offset >> 2] = newValue }
    }

    // MARK: interrupts

    /// Notes causes and tells the guest. The machine lock is held.
    func raise(_ causes: UInt32) {
        var all = self[GigabitRegister.cause] | causes
        if model.isExpress, all & GigabitBit.Cause.others != 0 { all |= GigabitBit.Cause.other }
        self[GigabitRegister.cause] = all
        updateInterrupts()
    }

    /// Drives the pin or sends messages as causes and masks say.
    func updateInterrupts() {
        typealias Cause = GigabitBit.Cause
        let causes = self[GigabitRegister.cause] & ~Cause.asserted
        let pending = causes & self[GigabitRegister.maskSet]
        if model.isExpress {
            // The 82574 shows in the register whether there is any cause.
            self[GigabitRegister.cause] = causes == 0 ? 0 : causes | Cause.asserted
        }
        // A message for each cause that was not there before.
        let fresh = pending & ~told
        told = pending
        if model.isExpress, msix?.isEnabled == true { return sendVectors(fresh) }
        if let msi, msi.isEnabled {
            if fresh != 0 { msi.notify(0, from: self) }
            return
        }
        setInterrupt(pending != 0)
    }

    /// Causes of the 82574 with vectors of their own, and where the vector register names them.
    private static let routes: [(cause: UInt32, shift: UInt32)] = [
        (1 << 20, 0), (1 << 21, 4), (1 << 22, 8), (1 << 23, 12), (1 << 24, 16),
    ]

    private func sendVectors(_ fresh: UInt32) {
        for (cause, shift) in Self.routes where fresh & cause != 0 {
            let entry = self[GigabitRegister.vectors] >> shift & 0xF
            guard entry & 8 != 0 else { continue }
            msix?.notify(Int(entry & 7), from: self)
            if self[GigabitRegister.extendedControl] & GigabitBit.Extended.vectorAutoMask != 0 {
                self[GigabitRegister.maskSet] &= ~(self[GigabitRegister.autoMask] & cause)
            }
            let cleared = self[GigabitRegister.autoClear] & cause
            self[GigabitRegister.cause] &= ~cleared
            told &= ~cleared
            if self[GigabitRegister.extendedControl] & GigabitBit.Extended.autoMask == 0 {
                self[GigabitRegister.maskSet] &= ~cleared
            }
        }
    }

    // MARK: the EEPROM

    func readWord(_ command: UInt32) -> UInt32 {
        // Start, done and the address stand in other places on the 82574.
        let (done, shift): (UInt32, UInt32) = model.isExpress ? (2, 2) : (0x10, 8)
        guard command & 1 != 0 else { return command }
        let index = Int(command >> shift & (model.isExpress ? 0x3FFF : 0xFF))
        return command & 0xFFFF & ~1 | done | UInt32(index < words.count ? words[index] : 0) << 16
    }

    func driveWires(_ value: UInt32) { wires.drive(value, words) }

    // MARK: waking the loop

    /// There is something to send. The machine lock is held.
    func kick() {
        guard !isKicked else { return }
        isKicked = true
        loop.post { [weak self] in self?.transmit() }
    }

    /// Takes the descriptors that wait. On the loop's thread.
    func takeFrames() -> [[UInt8]] {
        machineLock.withLock {
            isKicked = false
            return gather()
        }
    }

    /// A port that waits for descriptors tries again. The machine lock is held.
    func releasePort() {
        guard isPortWaiting else { return }
        isPortWaiting = false
        loop.post { [weak self] in self?.port.receiverIsReady() }
    }

    // MARK: saving

    private var gigabitState: GigabitState {
        GigabitState(
            function: pciState, registers: registers, phy: phy, wires: wires, offload: transmitter.offload,
            partial: transmitter.packet, ioAddress: ioAddress, isLinkUp: isLinkUp)
    }

    /// Registers, PHY, and a packet whose descriptors are only in part here.
    public override func saveState(as name: String) throws(StateError) -> StateRecord {
        try StateRecord(name: name, gigabitState)
    }

    /// Refuses a state of another model; the result puts it in.
    public override func checkState(_ record: StateRecord) throws(StateError) -> () -> Void {
        let state = try record.decode(replacing: gigabitState)
        return { [self] in
            (registers, phy, wires, ioAddress) = (state.registers, state.phy, state.wires, state.ioAddress)
            transmitter.offload = state.offload
            transmitter.packet = state.partial
            isLinkUp = state.isLinkUp
            apply(state.function)
            releasePort()
            kick()
        }
    }
}
