// SPDX-License-Identifier: Apache-2.0

/// The controller's end of a drive's cable. All calls are made with the machine lock held.
public protocol ATAPort: AnyObject {
    /// The drive asserts its interrupt.
    func driveInterrupts(_ drive: ATADrive)
    /// The drive has a block for the host, or takes one: `blockPhase` says which. A controller that moves blocks by
    /// itself calls `takeBlock` or `fillBlock`, now or later; one with a data port lets the guest do it.
    func driveHasBlock(_ drive: ATADrive)
    /// A DMA transfer of `dmaByteCount` bytes begins: the controller calls `startDMA`, now or when the guest lets it.
    func driveWantsDMA(_ drive: ATADrive)
    /// A DMA transfer ended; the status register is set, the interrupt comes after.
    /// - Parameter isShort: the scatter list ended before the data did.
    func driveEndedDMA(_ drive: ATADrive, byteCount: Int, isShort: Bool)
    /// The command is complete, with or without error.
    func driveEndedCommand(_ drive: ATADrive)
}
