// SPDX-License-Identifier: Apache-2.0

/// A drive that is asked by SCSI commands, whatever cable they come by.
public protocol SCSITarget: AnyObject {
    /// What the commands are about.
    var medium: DriveMedium { get }
    /// Runs a command.
    func execute(_ block: [UInt8]) -> SCSIReply
    /// Takes the parameters that a command asked for.
    func receive(_ parameters: [UInt8], for block: [UInt8]) -> SCSIReply
    /// The medium could not be read or written: the sense data for the host.
    func mediumFailed(_ sense: Sense)
    /// Power-on.
    func reset()
}

extension CDROMCommands: SCSITarget {
    /// A CD-ROM drive takes no parameters.
    public func receive(_ parameters: [UInt8], for block: [UInt8]) -> SCSIReply { .failed(.invalidCommand) }
    public func mediumFailed(_ sense: Sense) { _ = fail(sense) }
}
