// SPDX-License-Identifier: Apache-2.0

/// A board that can be built, by the name of its family.
enum BoardKind: Sendable {
    /// Q35 and ICH9: PCI Express root bus, ECAM.
    case q35
    /// i440FX and PIIX3/4: conventional PCI.
    case pc
    /// No PCI, no legacy devices but a serial port and the clock: virtio over MMIO.
    case microvm
    /// Nothing but processors and memory.
    case none
}
