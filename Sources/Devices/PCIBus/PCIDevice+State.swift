// SPDX-License-Identifier: Apache-2.0

internal import MachineModel
public import StateCoding

/// What a saved machine keeps of a function: everything the guest can change through configuration space and MSI-X.
public struct PCIDeviceState: Equatable, Sendable, SavedState {
    /// All of configuration space.
    public var config: [UInt8]
    /// The level of the pin.
    public var interruptLevel: Bool
    /// 16 bytes a vector; empty without MSI-X.
    public var messageTable: [UInt8]
    /// 64 vectors a word.
    public var pendingMessages: [UInt64]

    /// Refuses another vendor or device identifier and tables of other lengths.
    public func problem(replacing current: PCIDeviceState) -> String? {
        guard config.count == current.config.count, messageTable.count == current.messageTable.count,
            pendingMessages.count == current.pendingMessages.count, config.prefix(4) == current.config.prefix(4)
        else { return "it is of another device" }
        return nil
    }
}

/// A saved state that is of another device.
public struct PCIStateError: Error, Equatable, Sendable, CustomStringConvertible {
    /// One line: the function, and what does not fit.
    public let description: String
}

extension PCIDevice {
    /// What to save. The machine lock is held.
    public var pciState: PCIDeviceState {
        let messages = msix?.savedState
        return PCIDeviceState(
            config: config.bytes, interruptLevel: interruptLevel, messageTable: messages?.table ?? [],
            pendingMessages: messages?.pending ?? [])
    }

    /// Puts a saved state back: windows are mapped and the pin is driven as the registers say. The machine lock is held.
    /// - Throws: the state's sizes or its identity are not those of this device; nothing is changed then.
    public func restore(pciState state: PCIDeviceState) throws(PCIStateError) {
        guard state.problem(replacing: pciState) == nil else {
            throw PCIStateError(description: "the saved state is not of \(name) at \(address)")
        }
        apply(state)
    }

    /// Puts back a state that was checked.
    package func apply(_ state: PCIDeviceState) {
        config.restore(state.config)
        msix?.savedState = (state.messageTable, state.pendingMessages)
        interruptLevel = state.interruptLevel
        msi?.configWritten(self)
        msix?.configWritten(self)
        updateMappings()
        updateInterrupt()
        stateRestored()
    }
}
