// SPDX-License-Identifier: Apache-2.0

/// Devices of a PC beside virtio and the serial ports.
public enum PCDeviceSpec: Equatable, Sendable {
    /// ide-hd, ide-cd: a drive on the board's IDE or SATA controller.
    case drive(DriveDeviceSpec)
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
