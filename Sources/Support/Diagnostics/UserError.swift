// SPDX-License-Identifier: Apache-2.0

public import HostSystem

/// An error written for a person: what failed, on what, why, and what to do, in one line.
public struct UserError: Error, Equatable, Sendable, CustomStringConvertible {
    /// What was being read when it went wrong: "-device virtio-blk-pci,drive=x". May be empty.
    public var place: String
    /// What failed and on what: "cannot open disk image '/srv/a.img'".
    public var what: String
    /// The cause, "Permission denied". May be empty; never repeats `what`.
    public var reason: String
    /// What helps, as a command or a sentence: "did you mean 'virtio-blk-pci'?". May be empty.
    public var remedy: String
    /// The status with which a program that gives up for this error exits.
    public var exitStatus: Int32

    /// The parts of the line; empty ones are left out.
    public init(
        _ what: String, because reason: String = "", remedy: String = "", place: String = "", exitStatus: Int32 = 1
    ) {
        self.what = what
        self.reason = reason
        self.remedy = remedy
        self.place = place
        self.exitStatus = exitStatus
    }

    /// A failed system call: `what` should name the file or device.
    public init(_ what: String, because errno: Errno, remedy: String = "", place: String = "") {
        self.init(what, because: errno.description, remedy: remedy, place: place)
    }

    /// The same error with the place where it was noticed, unless it names one already.
    public func at(_ place: String) -> UserError {
        var copy = self
        if copy.place.isEmpty { copy.place = place }
        return copy
    }

    /// "place: what: reason; remedy", on one line.
    public var description: String {
        var line = [place, what, reason].filter { !$0.isEmpty }.joined(separator: ": ")
        if !remedy.isEmpty { line += "; " + remedy }
        return String(line.map { $0.isNewline ? " " : $0 })
    }
}

/// What a program says with its exit status.
public enum ExitStatus {
    /// It did what was asked.
    public static let success: Int32 = 0
    /// A wrong command line, a missing file, a failed start.
    public static let failure: Int32 = 1

    /// The status for an error that ends the program.
    public static func of(_ error: any Error) -> Int32 { (error as? UserError)?.exitStatus ?? failure }
}
