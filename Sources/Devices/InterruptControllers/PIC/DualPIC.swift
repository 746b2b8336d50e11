// SPDX-License-Identifier: Apache-2.0

internal import HostSystem
public import MachineModel

/// The PC's two cascaded 8259As with their edge/level control registers.
///
/// Guarded by the lock of the `APICBus`, whose LINT0 inputs it drives.
public final class DualPIC: Device {
    /// QEMU's name, for `info qtree`, logs and saved states.
    public let name = "i8259"

    /// Everything that a saved machine keeps.
    public struct State: Equatable, Sendable, Codable {
        /// Ports 20h, 21h and 4D0h; inputs 0...7.
        public internal(set) var primary = PIC8259(isPrimary: true)
        /// Ports A0h, A1h and 4D1h; inputs 8...15, cascaded on input 2.
        public internal(set) var secondary = PIC8259(isPrimary: false)
        /// INT of the primary.
        public internal(set) var output = false
    }

    private var current = State()
    private let bus: APICBus

    /// What a saved machine keeps; setting it drives the output anew. The machine lock is held.
    public var state: State {
        get { bus.lock.withLock { current } }
        set {
            bus.lock.withLock {
                current = newValue
                bus.setExternalRequestLocked(newValue.output)
            }
        }
    }

    /// Both chips as at power-on.
    public init(bus: APICBus) {
        self.bus = bus
        bus.attach(self)
    }

    /// Both controllers forget all but the levels of their pins.
    public func reset() {
        bus.lock.withLock {
            current.primary.reset()
            current.secondary.reset()
            updateLocked()
        }
    }

    /// Maps 0x20, 0xA0 and 0x4D0, two ports each.
    public func map(in ports: AddressSpace) {
        ports.map(ChipPorts(self, isPrimary: true), at: 0x20, count: 2, name: "pic")
        ports.map(ChipPorts(self, isPrimary: false), at: 0xA0, count: 2, name: "pic")
        ports.map(LevelPorts(self), at: 0x4D0, count: 2, name: "elcr")
    }

    /// Sets both edge/level registers, as firmware does for the interrupts of PCI functions.
    /// - Parameter mask: a bit for each ISA interrupt.
    public func setLevelTriggered(_ mask: UInt16) {
        access { state in
            state.primary.setLevelTriggered(UInt8(truncatingIfNeeded: mask))
            state.secondary.setLevelTriggered(UInt8(truncatingIfNeeded: mask >> 8))
        }
    }

    /// The level of ISA interrupt 0...15 other than the cascade.
    func setInputLocked(_ number: Int, level: Bool) {
        let input = UInt8(truncatingIfNeeded: number)
        if input < 8 {
            current.primary.setInput(input, level: level)
        } else {
            current.secondary.setInput(input & 7, level: level)
        }
        updateLocked()
    }

    /// INT of the primary.
    var isRequestingLocked: Bool { current.output }

    /// The INTA cycle.
    func acknowledgeLocked() -> UInt8 {
        let acknowledged = current.primary.acknowledge()
        var vector = acknowledged.vector
        if acknowledged.input == PIC8259.cascadeInput {
            vector = current.secondary.acknowledge().vector
            // A further request of the secondary is a new edge for the primary.
            current.primary.dropInput(PIC8259.cascadeInput)
        }
        updateLocked()
        return vector
    }

    private func updateLocked() {
        if current.secondary.pending != nil {
            current.primary.setInput(PIC8259.cascadeInput, level: true)
        } else {
            current.primary.dropInput(PIC8259.cascadeInput)
        }
        let output = current.primary.pending != nil
        guard output != current.output else { return }
        current.output = output
        bus.setExternalRequestLocked(output)
    }

    fileprivate func access<Result>(_ body: (inout State) -> Result) -> Result {
        bus.lock.withLock {
            let result = body(&current)
            updateLocked()
            return result
        }
    }

    /// Command and data port of one chip.
    private final class ChipPorts: RegisterWindow {
        private let owner: DualPIC
        private let isPrimary: Bool

        init(_ owner: DualPIC, isPrimary: Bool) {
            self.owner = owner
            self.isPrimary = isPrimary
        }

        func read(offset: UInt64, size: Int) -> UInt64 {
            let isData = offset & 1 != 0
            return UInt64(
                owner.access { state in
                    isPrimary ? state.primary.read(isData: isData) : state.secondary.read(isData: isData)
                })
        }

        func write(offset: UInt64, size: Int, value: UInt64) {
            let isData = offset & 1 != 0
            let byte = UInt8(truncatingIfNeeded: value)
            owner.access { state in
                if isPrimary {
                    state.primary.write(isData: isData, value: byte)
                } else {
                    state.secondary.write(isData: isData, value: byte)
                }
            }
        }
    }

    /// ELCR1 and ELCR2.
    private final class LevelPorts: RegisterWindow {
        private let owner: DualPIC
        init(_ owner: DualPIC) { self.owner = owner }

        func read(offset: UInt64, size: Int) -> UInt64 {
            owner.access { UInt64(offset & 1 == 0 ? $0.primary.levelTriggered : $0.secondary.levelTriggered) }
        }

        func write(offset: UInt64, size: Int, value: UInt64) {
            let byte = UInt8(truncatingIfNeeded: value)
            owner.access { state in
                if offset & 1 == 0 {
                    state.primary.setLevelTriggered(byte)
                } else {
                    state.secondary.setLevelTriggered(byte)
                }
            }
        }
    }
}
