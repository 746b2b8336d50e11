// SPDX-License-Identifier: Apache-2.0

public import MachineModel
public import StateCoding

/// Processors that come and go: the registers by which ACPI's methods learn of them, as on QEMU's pc and q35
/// (docs/specs/acpi_cpu_hotplug).
///
///     absent ──plug: inserting, event──▶ present ──requestUnplug: removing, event──▶ asked ──the guest ejects──▶ absent
///
/// The machine lock is held for everything.
public final class ProcessorHotPlug: Device, PlainlyStateful, RegisterWindow {
    /// First port on each board.
    public static let q35Ports: UInt64 = 0x0CD8, pcPorts: UInt64 = 0xAF00
    /// The old map of present processors takes 32 ports; the registers that replace it, 12.
    public static let portCount: UInt64 = 32, registerCount: UInt64 = 12
    /// The general-purpose event that says that something came or is to go.
    public static let event = 2

    private enum Register {
        static let selector: UInt64 = 0, flags: UInt64 = 4, command: UInt64 = 5, data: UInt64 = 8
    }
    private enum Flag {
        static let enabled: UInt64 = 1, inserting: UInt64 = 2, removing: UInt64 = 4, eject: UInt64 = 8
        static let firmwareEjects: UInt64 = 16
    }
    private enum Command {
        static let next: UInt8 = 0, event: UInt8 = 1, status: UInt8 = 2, identifier: UInt8 = 3
    }

    /// What the guest said of an event of a processor (ACPI 6.4, 6.3.5).
    public struct Report: Equatable, Sendable {
        /// The processor's index.
        public var processor: Int
        /// The source event, as Notify had it.
        public var event: UInt32
        /// 0 for success.
        public var status: UInt32
    }

    /// What a saved machine keeps; the lists hold indices of processors.
    public struct State: Equatable, Sendable, SavedState {
        /// The guest uses the registers, not the old map.
        package var usesRegisters = false
        package var selector: UInt32 = 0
        package var command: UInt8 = 0
        /// Came, and the guest has not been told.
        package var inserting: Set<Int> = []
        /// Are to go, and the guest has not been told.
        package var removing: Set<Int> = []
        /// The firmware is to eject them.
        package var handedOver: Set<Int> = []
        /// The source event of the report that the guest is making.
        package var event: UInt32 = 0
        /// Nothing to tell, in the old way.
        package init() {}
    }

    public let name = "acpi-cpu-hotplug"
    public var state = State()
    /// Called when the guest gave a processor back.
    public var ejected: (Int) -> Void = { _ in }
    /// Called when the guest said what became of an event.
    public var reported: (Report) -> Void = { _ in }
    /// Which of the possible processors there are, by index.
    public private(set) var present: [Bool]
    private let raise: () -> Void

    /// - Parameters:
    ///   - present: for each processor that is possible, whether it is there at the start.
    ///   - raise: raises the general-purpose event `event`.
    public init(present: [Bool], raise: @escaping () -> Void) {
        self.present = present
        self.raise = raise
    }

    /// Puts the registers at their ports.
    public func map(in space: AddressSpace, at base: UInt64) {
        space.map(self, at: base, count: Self.portCount, name: name)
    }

    /// The guest's system starts anew with what there is; what it selected stays, as on QEMU.
    public func reset() {}

    // MARK: the person's side

    /// A processor came.
    /// - Precondition: it is possible, and was not there.
    public func plug(_ index: Int) {
        precondition(!present[index])
        present[index] = true
        state.inserting.insert(index)
        raise()
    }

    /// Asks the guest to give a processor back; `ejected` is called when it has.
    public func requestUnplug(_ index: Int) {
        guard isPresent(index) else { return }
        state.removing.insert(index)
        raise()
    }

    private func isPresent(_ index: Int) -> Bool { present.indices.contains(index) && present[index] }

    private func eject(_ index: Int) {
        guard isPresent(index), index != 0 else { return }
        present[index] = false
        state.inserting.remove(index)
        state.removing.remove(index)
        state.handedOver.remove(index)
        ejected(index)
    }

    // MARK: registers

    /// nil while the selector names no processor: then no register answers.
    private var selected: Int? {
        let index = Int(state.selector)
        return present.indices.contains(index) ? index : nil
    }

    public func read(offset: UInt64, size: Int) -> UInt64 {
        guard state.usesRegisters else { return map(from: offset, size) }
        guard offset < Self.registerCount, let selected else { return 0 }
        switch offset {
        case Register.flags:
            var flags: UInt64 = present[selected] ? Flag.enabled : 0
            if state.inserting.contains(selected) { flags |= Flag.inserting }
            if state.removing.contains(selected) { flags |= Flag.removing }
            if state.handedOver.contains(selected) { flags |= Flag.firmwareEjects }
            return flags
        case Register.data where state.command == Command.next || state.command == Command.identifier:
            // Identifiers are indices here.
            return UInt64(selected)
        default: return 0
        }
    }

    private func map(from offset: UInt64, _ size: Int) -> UInt64 {
        var value: UInt64 = 0
        for bit in 0..<min(size, 8) * 8 where isPresent(Int(truncatingIfNeeded: offset & 0x1F) * 8 + bit) {
            value |= 1 << UInt64(bit)
        }
        return value
    }

    public func write(offset: UInt64, size: Int, value: UInt64) {
        guard state.usesRegisters else {
            if offset == 0, value == 0 { state.usesRegisters = true }
            return
        }
        if offset == Register.selector {
            state.selector = UInt32(truncatingIfNeeded: value)
            return
        }
        guard let selected else { return }
        switch offset {
        case Register.flags: writeFlags(value, of: selected)
        case Register.command:
            state.command = UInt8(truncatingIfNeeded: value)
            if state.command == Command.next { selectNext(from: selected) }
        case Register.data: writeData(UInt32(truncatingIfNeeded: value), of: selected)
        default: break
        }
    }

    private func writeFlags(_ value: UInt64, of index: Int) {
        if value & Flag.inserting != 0 {
            state.inserting.remove(index)
        } else if value & Flag.removing != 0 {
            state.removing.remove(index)
        } else if value & Flag.eject != 0 {
            eject(index)
        } else if value & Flag.firmwareEjects != 0, isPresent(index), index != 0 {
            state.handedOver.insert(index)
        }
    }

    /// The next processor with something to tell, beginning with the selected one.
    private func selectNext(from first: Int) {
        for step in present.indices {
            let index = (first &+ step) % present.count
            if state.inserting.contains(index) || state.removing.contains(index) {
                state.selector = UInt32(index)
                return
            }
        }
    }

    private func writeData(_ value: UInt32, of index: Int) {
        switch state.command {
        case Command.event: state.event = value
        case Command.status:
            reported(Report(processor: index, event: state.event, status: value))
        default: break
        }
    }
}
