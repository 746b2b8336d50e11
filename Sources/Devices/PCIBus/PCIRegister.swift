// SPDX-License-Identifier: Apache-2.0

/// Offsets into a type 0 configuration header (PCI Local Bus 3.0, 6.1).
public enum PCIRegister {
    public static let vendor = 0x00
    public static let device = 0x02
    public static let command = 0x04
    public static let status = 0x06
    public static let revision = 0x08
    public static let programmingInterface = 0x09
    public static let classCode = 0x0A
    public static let cacheLineSize = 0x0C
    public static let headerType = 0x0E
    public static let baseAddress = 0x10
    public static let subsystemVendor = 0x2C
    public static let subsystem = 0x2E
    public static let expansionROM = 0x30
    public static let capabilities = 0x34
    public static let interruptLine = 0x3C
    public static let interruptPin = 0x3D
    /// The first byte after the header, where capabilities begin.
    public static let headerEnd = 0x40
}

/// Bits of the command register.
public enum PCICommand {
    public static let ioSpace: UInt16 = 1 << 0
    public static let memorySpace: UInt16 = 1 << 1
    public static let busMaster: UInt16 = 1 << 2
    public static let systemErrorEnable: UInt16 = 1 << 8
    public static let interruptDisable: UInt16 = 1 << 10
    static let parityErrorResponse: UInt16 = 1 << 6
    /// What a guest can change.
    static let writable = ioSpace | memorySpace | busMaster | parityErrorResponse | systemErrorEnable | interruptDisable
}

/// Bits of the status register.
public enum PCIStatus {
    public static let interrupt: UInt16 = 1 << 3
    public static let capabilitiesList: UInt16 = 1 << 4
    /// The error bits, each cleared by writing one.
    static let errors: UInt16 = 0xF900
}

/// Capability identifiers (PCI Code and ID Assignment).
public enum PCICapabilityID {
    public static let powerManagement: UInt8 = 0x01
    public static let msi: UInt8 = 0x05
    public static let vendorSpecific: UInt8 = 0x09
    public static let express: UInt8 = 0x10
    public static let msix: UInt8 = 0x11
}

/// The fixed part of a function's configuration header.
public struct PCIIdentity: Equatable, Sendable {
    /// Red Hat's and Qumranet's vendor number, under which QEMU's subsystems are registered.
    public static let qumranetVendor: UInt16 = 0x1AF4
    /// The subsystem number QEMU gives to functions that say nothing else.
    public static let defaultSubsystem: UInt16 = 0x1100

    public var vendor: UInt16
    public var device: UInt16
    public var revision: UInt8
    /// Base class in bits 23:16, subclass in 15:8, programming interface in 7:0.
    public var classCode: UInt32
    public var subsystemVendor: UInt16
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
