// SPDX-License-Identifier: Apache-2.0

/// Devices of a PC beside virtio and the serial ports.
public enum PCDeviceSpec: Equatable, Sendable {
    /// ide-hd, ide-cd: a drive on the board's IDE or SATA controller.
    case drive(DriveDeviceSpec)
    /// VGA, secondary-vga.
    case vga(VGASpec)
    case ramFramebuffer
    /// e1000, e1000e and relatives.
    case networkCard(NetworkCardSpec)
    /// qemu-xhci, nec-usb-xhci.
    case usbController(USBControllerSpec)
    /// usb-tablet, usb-mouse, usb-kbd, usb-storage.
    case usbDevice(USBDeviceSpec)
}

/// `-device e1000`, `-device e1000e`.
public struct NetworkCardSpec: Equatable, Sendable {
    /// QEMU's name: "e1000e".
    public var model: String
    /// Identifier of a network back end; nil for an unplugged cable.
    public var network: String?
    /// Six bytes; nil for the next of 52:54:00:12:34:56...
    public var address: [UInt8]?
    /// The place in the boot order; `nil` for none.
    public var bootIndex: Int?
    /// A card of this model with QEMU's defaults.
    public init(model: String) { self.model = model }
}

/// `-device VGA`, `-vga std`.
public struct VGASpec: Equatable, Sendable {
    /// Without the ISA ports and windows of a VGA, and without ROM.
    public var isSecondary = false
    /// Bytes of video memory, a power of two.
    public var memoryBytes: UInt64 = 16 << 20
    /// What EDID calls the best size; nil for the card's own choice.
    public var preferredSize: Size?
    public struct Size: Equatable, Sendable {
        public var width: Int
        public var height: Int
        public init(width: Int, height: Int) { (self.width, self.height) = (width, height) }
    }
    public init() {}
}

/// `-device ide-hd`, `-device ide-cd`, and what `-drive if=ide` and `-cdrom` make.
public struct DriveDeviceSpec: Equatable, Sendable {
    public var isCDROM: Bool
    /// Identifier of a drive or name of a block node; nil for an empty CD-ROM drive.
    public var drive: String?
    /// The channel of an IDE controller or the port of a SATA controller; nil for the first that is free.
    public var bus: Int?
    /// 0 or 1 on an IDE channel; nil for the first that is free.
    public var unit: Int?
    public var serial: String?
    public var modelName: String?
    public var version: String?
    public var worldWideName: UInt64?
    /// Revolutions a minute, 1 for solid state, 0 for not told.
    public var rotationRate: UInt16 = 0
    public var physicalBlockSize: Int?
    public var writeCache = OnOffAuto.auto
    public var shareReadWrite = false
    public var bootIndex: Int?
    public var writeError: DriveSpec.ErrorAction?
    public var readError: DriveSpec.ErrorAction?
    public init(isCDROM: Bool) { self.isCDROM = isCDROM }
}
