// SPDX-License-Identifier: Apache-2.0

/// `-device qemu-xhci`, `-device nec-usb-xhci`, `-device piix3-usb-uhci`.
public struct USBControllerSpec: Equatable, Sendable {
    /// QEMU's name: "qemu-xhci".
    public var model: String
    /// Ports of USB 2, 1...15; a UHCI controller has two of USB 1.
    public var usb2Ports = 4
    /// Ports of USB 3, 1...15.
    public var usb3Ports = 4
    /// The bus of the EHCI controller that it is the companion of, and its first port there, from 0; nil for a controller
    /// with a bus of its own.
    public var masterBus: String?
    public var firstPort = 0
    /// A controller of this model with QEMU's defaults.
    public init(model: String) { self.model = model }
}

/// A device on a USB cable.
public struct USBDeviceSpec: Equatable, Sendable {
    /// What it is.
    public enum Kind: Equatable, Sendable {
        case tablet, mouse, keyboard
        case storage(USBStorageSpec)
        /// With so many ports.
        case hub(ports: Int)
    }
    /// What it is, with its own properties.
    public var kind: Kind
    /// The controller's bus: "usb.0"; nil for the first with a free port.
    public var bus: String?
    /// From 1, of the controller and then of hubs, with dots between: "2.1"; nil for the first that is free.
    public var port: String?
    /// `serial=` of a tablet, mouse or keyboard; nil for QEMU's.
    public var serial: String?
    /// `usb_version=`: 1 runs at full speed alone.
    public var version = 2
    /// A device at the first free port.
    public init(_ kind: Kind) { self.kind = kind }
}

/// `-device usb-storage`: a disk, or a CD-ROM drive where its drive has media=cdrom.
public struct USBStorageSpec: Equatable, Sendable {
    /// Identifier of a drive or name of a block node.
    public var drive: String
    /// What INQUIRY and the descriptors say; nil for one of the place.
    public var serial: String?
    /// The disk says that it can be pulled.
    public var isRemovable = false
    /// The place in the boot order; nil for none.
    public var bootIndex: Int?
    /// Another device may use the drive too.
    public var shareReadWrite = false
    /// 512 or 4096; nil for 512.
    public var logicalBlockSize: Int?
    /// `write-cache=`.
    public var writeCache = OnOffAuto.auto
    /// What happens when the host cannot write or read; nil for what the drive says.
    public var writeError: DriveSpec.ErrorAction?
    public var readError: DriveSpec.ErrorAction?
    /// A disk with QEMU's defaults.
    public init(drive: String) { self.drive = drive }
}
