// SPDX-License-Identifier: Apache-2.0

internal import MachineModel

/// What a saved machine keeps of a function: everything the guest can change through configuration space and MSI-X.
public struct PCIDeviceState: Equatable, Sendable {
    /// Of this layout.
    public static let version = 1
    /// All of configuration space.
    public var config: [UInt8]
    /// The level of the pin.
    public var interruptLevel: Bool
    /// 16 bytes a vector; empty without MSI-X.
    public var messageTable: [UInt8]
    /// 64 vectors a word.
    public var pendingMessages: [UInt64]
}

/// A saved state that is of another device.
public struct PCIStateError: Error, Equatable, Sendable, CustomStringConvertible {
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
        let messages = msix?.savedState
        guard state.config.count == config.count, state.messageTable.count == messages?.table.count ?? 0,
            state.pendingMessages.count == messages?.pending.count ?? 0,
            state.config.prefix(4) == config.bytes.prefix(4)
        else {
            throw PCIStateError(description: "the saved state is not of \(name) at \(address)")
        }
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
