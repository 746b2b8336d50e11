// SPDX-License-Identifier: Apache-2.0

internal import HostSystem
public import MachineModel

/// Carries interrupt messages among the local APICs, the I/O APIC and devices that signal by message.
///
/// **Locking.** One lock, `lock`, guards the state of the bus, of every local APIC, of the I/O APIC and of the PIC:
/// messages are sent from vCPU threads that do not hold the machine lock, and none of the critical sections is longer
/// than a walk over the processors. The machine lock may be held when this lock is taken, never the other way round.
/// `CPUSignals` are called with it held and must not call back into an interrupt controller.
public final class APICBus: MessageInterruptSink, @unchecked Sendable {
    /// See the type. Methods named `...Locked` expect it to be held.
    let lock = Lock()
    /// Those of the processors that there are; changed with both locks held, so that either lets one look.
    public private(set) var localAPICs: [LocalAPIC] = []
    private var ioAPICs: [IOAPIC] = []
    /// Answers the INTA cycle of an ExtINT.
    private(set) var pic: DualPIC?
    /// Where the search for the least busy processor starts, so that equal ones take turns.
    private var lowestPriorityTurn = 0

    /// The local APICs where they are the kernel's.
    private let kernel: (any KernelLocalControllers)?

    /// A bus with nothing on it.
    /// - Parameter kernel: the local APICs where they are the kernel's; then none is attached.
    public init(kernel: (any KernelLocalControllers)? = nil) { self.kernel = kernel }

    func attach(_ apic: LocalAPIC) { localAPICs.append(apic) }

    /// Puts the local APIC of a processor that comes back onto the bus, in the state of power-on. The machine lock is held.
    public func plug(_ apic: LocalAPIC) {
        lock.withLock { localAPICs.append(apic) }
        apic.reset()
    }

    /// Takes the local APIC of a processor that goes off the bus, and stops its timer. The machine lock is held.
    public func unplug(_ apic: LocalAPIC) {
        lock.withLock { localAPICs.removeAll { $0 === apic } }
        apic.reset()
    }

    func attach(_ apic: IOAPIC) { ioAPICs.append(apic) }
    func attach(_ pic: DualPIC) { self.pic = pic }

    /// Sends a message-signalled interrupt. Callable on any thread; a reserved delivery mode is dropped, as on the bus.
    public func deliver(address: UInt64, data: UInt32) {
        guard let message = InterruptMessage(address: address, data: data) else { return }
        send(message)
    }

    /// Sends one message to whom it is addressed. Callable on any thread, with or without the machine lock.
    public func send(_ message: InterruptMessage) { lock.withLock { sendLocked(message) } }

    /// Drives LINT1 of every processor for a moment: the NMI button and the monitor's `nmi`.
    public func raiseNonMaskableInterrupt() {
        lock.withLock {
            for apic in localAPICs {
                apic.setPinLocked(.lint1, level: true)
                apic.setPinLocked(.lint1, level: false)
            }
        }
    }

    func sendLocked(_ message: InterruptMessage) {
        if let kernel {
            let encoded = message.encoded
            return kernel.deliver(address: encoded.address, data: encoded.data)
        }
        guard message.delivery != .lowestPriority else { return sendToLeastBusyLocked(message) }
        for apic in localAPICs where apic.matchesLocked(message) { apic.acceptLocked(message) }
    }

    /// Sends to the processors that `includes` chooses: the shorthands of the ICR.
    func sendLocked(_ message: InterruptMessage, including includes: (LocalAPIC) -> Bool) {
        for apic in localAPICs where includes(apic) { apic.acceptLocked(message) }
    }

    /// Lowest priority: among the addressed and enabled, the one with the lowest processor priority.
    private func sendToLeastBusyLocked(_ message: InterruptMessage) {
        let count = localAPICs.count
        var best: (place: Int, priority: UInt8)?
        for step in 0..<count {
            let place = (lowestPriorityTurn &+ step) % count
            let apic = localAPICs[place]
            guard apic.acceptsFixedLocked, apic.matchesLocked(message) else { continue }
            let priority = apic.processorPriorityLocked
            if best.map({ priority < $0.priority }) ?? true { best = (place, priority) }
        }
        guard let best else { return }
        lowestPriorityTurn = best.place &+ 1
        localAPICs[best.place].acceptLocked(message)
    }

    func endOfInterruptLocked(vector: UInt8) {
        for apic in ioAPICs { apic.endOfInterruptLocked(vector: vector) }
    }

    /// An unmasked input of the I/O APIC leads to this message now.
    func noteRouteLocked(pin: Int, _ message: InterruptMessage) {
        guard let kernel else { return }
        let encoded = message.encoded
        kernel.setRoute(pin: pin, address: encoded.address, data: encoded.data)
    }

    /// The PIC's INT output, wired to LINT0 of every processor.
    func setExternalRequestLocked(_ level: Bool) {
        kernel?.setExternalRequest(level)
        for apic in localAPICs { apic.setPinLocked(.lint0, level: level) }
    }
}

/// The megabyte at 0xFEE00000 as seen from the memory bus: writes are interrupt messages.
///
/// The processor's own register page is answered by its local APIC before the bus is reached.
public final class MessageWindow: RegisterWindow {
    /// Where PCs have it.
    public static let base: UInt64 = 0xFEE0_0000
    /// Its length.
    public static let count: UInt64 = 0x10_0000
    private let sink: any MessageInterruptSink

    /// A window that forwards to `sink`.
    public init(sink: any MessageInterruptSink) { self.sink = sink }

    /// Nothing answers reads here: all ones.
    public func read(offset: UInt64, size: Int) -> UInt64 { .max }

    /// An aligned word is an interrupt message; anything else is dropped.
    public func write(offset: UInt64, size: Int, value: UInt64) {
        guard size == 4, offset & 3 == 0 else { return }
        sink.deliver(address: Self.base &+ offset, data: UInt32(truncatingIfNeeded: value))
    }
}
