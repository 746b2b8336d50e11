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
    /// A size of the screen, `xres=` and `yres=`.
    public struct Size: Equatable, Sendable {
        /// In pixels.
        public var width: Int
        /// In pixels.
        public var height: Int
        /// A size in pixels.
        public init(width: Int, height: Int) { (self.width, self.height) = (width, height) }
    }
    /// QEMU's defaults.
    public init() {}
}

/// `-device ide-hd`, `-device ide-cd`, and what `-drive if=ide` and `-cdrom` make.
public struct DriveDeviceSpec: Equatable, Sendable {
    /// `ide-cd` instead of `ide-hd`.
    public var isCDROM: Bool
    /// Identifier of a drive or name of a block node; nil for an empty CD-ROM drive.
    public var drive: String?
    /// The channel of an IDE controller or the port of a SATA controller; nil for the first that is free.
    public var bus: Int?
    /// 0 or 1 on an IDE channel; nil for the first that is free.
    public var unit: Int?
    /// `serial=`; nil takes the drive's, or a number made from the place.
    public var serial: String?
    /// `model=`; nil for QEMU's name.
    public var modelName: String?
    /// `ver=`, the firmware's revision; nil for that of the machine type.
    public var version: String?
    /// `wwn=`; nil for none.
    public var worldWideName: UInt64?
    /// Revolutions a minute, 1 for solid state, 0 for not told.
    public var rotationRate: UInt16 = 0
    /// `physical_block_size=` in bytes, a power of two; nil for that of a sector.
    public var physicalBlockSize: Int?
    /// `write-cache=`; `auto` follows the drive's `cache=`.
    public var writeCache = OnOffAuto.auto
    /// `share-rw=`: others may write to the image at the same time.
    public var shareReadWrite = false
    /// `bootindex=`: the lowest is tried first; nil leaves it to the firmware.
    public var bootIndex: Int?
    /// `werror=`; nil takes the drive's.
    public var writeError: DriveSpec.ErrorAction?
    /// `rerror=`; nil takes the drive's.
    public var readError: DriveSpec.ErrorAction?
    /// A drive with QEMU's defaults and no medium yet.
    public init(isCDROM: Bool) { self.isCDROM = isCDROM }
}
