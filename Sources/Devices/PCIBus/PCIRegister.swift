// SPDX-License-Identifier: Apache-2.0

/// Offsets into a type 0 configuration header (PCI Local Bus 3.0, 6.1).
public enum PCIRegister {
    /// Vendor identifier, 16 bits.
    public static let vendor = 0x00
    /// Device identifier, 16 bits.
    public static let device = 0x02
    /// Command, 16 bits.
    public static let command = 0x04
    /// Status, 16 bits.
    public static let status = 0x06
    /// Revision, 8 bits.
    public static let revision = 0x08
    /// Programming interface, 8 bits.
    public static let programmingInterface = 0x09
    /// Sub-class and class, 16 bits.
    public static let classCode = 0x0A
    /// Cache line size in 32-bit words.
    public static let cacheLineSize = 0x0C
    /// Header type, with bit 7 for several functions.
    public static let headerType = 0x0E
    /// The first base address register.
    public static let baseAddress = 0x10
    /// Subsystem's vendor, 16 bits.
    public static let subsystemVendor = 0x2C
    /// Subsystem's identifier, 16 bits.
    public static let subsystem = 0x2E
    /// The ROM's base address, 32 bits; bit 0 enables it.
    public static let expansionROM = 0x30
    /// Where the list of capabilities begins.
    public static let capabilities = 0x34
    /// The interrupt line as firmware noted it.
    public static let interruptLine = 0x3C
    /// The interrupt pin: 1 for INTA#, 0 for none.
    public static let interruptPin = 0x3D
    /// The first byte after the header, where capabilities begin.
    public static let headerEnd = 0x40
}

/// Bits of the command register.
public enum PCICommand {
    /// Answers at ports.
    public static let ioSpace: UInt16 = 1 << 0
    /// Answers in memory.
    public static let memorySpace: UInt16 = 1 << 1
    /// May read and write memory.
    public static let busMaster: UInt16 = 1 << 2
    /// May raise SERR#.
    public static let systemErrorEnable: UInt16 = 1 << 8
    /// May not raise its pin.
    public static let interruptDisable: UInt16 = 1 << 10
    static let parityErrorResponse: UInt16 = 1 << 6
    /// What a guest can change.
    static let writable = ioSpace | memorySpace | busMaster | parityErrorResponse | systemErrorEnable | interruptDisable
}

/// Bits of the status register.
public enum PCIStatus {
    /// The pin is raised.
    public static let interrupt: UInt16 = 1 << 3
    /// There is a list of capabilities.
    public static let capabilitiesList: UInt16 = 1 << 4
    /// The error bits, each cleared by writing one.
    static let errors: UInt16 = 0xF900
}

/// Capability identifiers (PCI Code and ID Assignment).
public enum PCICapabilityID {
    /// PCI power management.
    public static let powerManagement: UInt8 = 0x01
    /// Message signalled interrupts.
    public static let msi: UInt8 = 0x05
    /// The vendor's own.
    public static let vendorSpecific: UInt8 = 0x09
    /// PCI Express.
    public static let express: UInt8 = 0x10
    /// MSI-X.
    public static let msix: UInt8 = 0x11
}

/// The fixed part of a function's configuration header.
public struct PCIIdentity: Equatable, Sendable {
    /// Red Hat's and Qumranet's vendor number, under which QEMU's subsystems are registered.
    public static let qumranetVendor: UInt16 = 0x1AF4
    /// The subsystem number QEMU gives to functions that say nothing else.
    public static let defaultSubsystem: UInt16 = 0x1100

    /// Vendor identifier.
    public var vendor: UInt16
    /// Device identifier.
    public var device: UInt16
    /// Revision.
    public var revision: UInt8
    /// Base class in bits 23:16, subclass in 15:8, programming interface in 7:0.
    public var classCode: UInt32
    /// Subsystem's vendor.
    public var subsystemVendor: UInt16
    /// Subsystem's identifier.
    public var subsystem: UInt16
    /// 0 for none, 1...4 for INTA...INTD.
    public var interruptPin: UInt8

    /// An identity; the subsystem is QEMU's where nothing is given.
    public init(
        vendor: UInt16, device: UInt16, revision: UInt8 = 0, classCode: UInt32,
        subsystemVendor: UInt16 = qumranetVendor, subsystem: UInt16 = defaultSubsystem, interruptPin: UInt8 = 0
    ) {
        self.vendor = vendor
        self.device = device
        self.revision = revision
        self.classCode = classCode
        self.subsystemVendor = subsystemVendor
        self.subsystem = subsystem
        self.interruptPin = interruptPin
    }
}
