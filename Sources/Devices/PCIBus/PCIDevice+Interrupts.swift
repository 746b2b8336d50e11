// SPDX-License-Identifier: Apache-2.0

internal import MachineModel

extension PCIDevice {
    /// Drives the function's INTx pin. Nothing reaches the guest while the pin is disabled or messages are enabled.
    public func setInterrupt(_ level: Bool) {
        guard level != interruptLevel else { return }
        interruptLevel = level
        updateInterrupt()
    }

    /// Some form of message-signalled interrupt is enabled.
    public var usesMessages: Bool { msix?.isEnabled == true || msi?.isEnabled == true }

    /// An interrupt in whatever form the guest has chosen: vector `vector` of MSI-X or MSI, else a raised pin.
    /// - Returns: whether it went out (or is pending) as a message; if not, the pin is up until `setInterrupt(false)`.
    @discardableResult
    public func signal(vector: Int) -> Bool {
        if let msix, msix.isEnabled {
            msix.notify(vector, from: self)
            return true
        }
        if let msi, msi.isEnabled {
            msi.notify(vector, from: self)
            return true
        }
        setInterrupt(true)
        return false
    }

    /// Follows the pin's level, the command register and the message capabilities.
    func updateInterrupt() {
        config.set(
            PCIRegister.status, setting: interruptLevel ? PCIStatus.interrupt : 0,
            clearing: interruptLevel ? 0 : PCIStatus.interrupt)
        let reaches = interruptLevel && command & PCICommand.interruptDisable == 0 && !usesMessages
        bus?.setInterrupt(of: self, level: reaches)
    }

    /// Sends a message, as a write to the bus: dropped while the function is not a bus master.
    func send(address: UInt64, data: UInt32) {
        guard isBusMaster else { return }
        bus?.messages.deliver(address: address, data: data)
    }
}
