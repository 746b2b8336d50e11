// SPDX-License-Identifier: Apache-2.0

public import HostSystem
internal import Glibc

/// What went wrong in the block layer: a kind that programs can branch on, an error number for those that report one
/// to a guest, and one line of text for people.
public struct BlockError: Error, Sendable, CustomStringConvertible {
    /// The classes of failure that callers tell apart.
    public enum Kind: Sendable, Hashable {
        /// The file, snapshot or bitmap does not exist.
        case notFound
        /// It exists already.
        case exists
        /// The host refuses access.
        case accessDenied
        /// Another process holds the image.
        case locked
        /// A parameter or option that cannot be.
        case invalidArgument
        /// A thing that this driver does not do.
        case notSupported
        /// The host's file system or device is full.
        case noSpace
        /// Reading or writing failed.
        case inputOutput
        /// The image's own metadata contradicts itself.
        case corrupt
        /// The node was opened for reading.
        case readOnly
        /// The request lies outside the image, or the image outside what the format can hold.
        case outOfRange
        /// The operation was cancelled.
        case cancelled
    }

    /// What a failure is about, for who wants to say more of it.
    public enum Subject: Sendable, Equatable {
        /// A file of the host.
        case file(String)
        /// The name of a format or protocol that nobody knows.
        case format(String)
        /// An option that nobody knows, and those that there are.
        case option(String, known: [String])
        /// What stands before a name's colon and is no protocol.
        case scheme(String)
    }

    /// The class of failure.
    public var kind: Kind
    /// What it is about, where that is one of the things that people mistype or that are in the way.
    public var subject: Subject?
    /// The closest error number of the C library, for guests and exit paths that need one.
    public var errno: Errno
    /// One line without a full stop; it never ends with the cause's own repetition.
    public var message: String
    /// Further lines that qemu-img has as well, or nil.
    public var hint: String?
    /// A line of its own that a lower layer of qemu-img says before, or nil.
    public var earlier: String?
    /// What the person may do about it, said where nobody compares with qemu-img's words; or nil.
    public var advice: String?

    /// An error with its text.
    /// - Parameter errno: derived from the kind when not given.
    public init(
        _ kind: Kind, _ message: String, errno: Errno? = nil, hint: String? = nil, advice: String? = nil
    ) {
        self.advice = advice
        self.kind = kind
        self.errno = errno ?? Self.number(for: kind)
        self.message = message
        self.hint = hint
    }

    /// A failed system call: the text ends with the host's own words for `errno`.
    public init(system errno: Errno, _ what: String, hint: String? = nil) {
        self.init(Self.kind(for: errno), what.isEmpty ? "\(errno)" : "\(what): \(errno)", errno: errno, hint: hint)
    }

    /// A failed system call of which nothing is known but the number.
    public init(system errno: Errno) { self.init(system: errno, "") }

    /// The same error with words in front: `"Could not open 'x': "`.
    public func prefixed(_ text: String) -> BlockError {
        var copy = self
        copy.message = text + message
        return copy
    }

    /// The same error with what it is about.
    public func about(_ subject: Subject) -> BlockError {
        var copy = self
        copy.subject = subject
        return copy
    }

    /// The message alone.
    public var description: String { message }

    private static func number(for kind: Kind) -> Errno {
        switch kind {
        case .notFound: .noEntry
        case .exists: Errno(EEXIST)
        case .accessDenied: .accessDenied
        case .locked: .wouldBlock
        case .invalidArgument, .outOfRange: .invalidArgument
        case .notSupported: Errno(ENOTSUP)
        case .noSpace: .noSpace
        case .inputOutput, .corrupt: .inputOutput
        case .readOnly: Errno(EACCES)
        case .cancelled: Errno(ECANCELED)
        }
    }

    private static func kind(for errno: Errno) -> Kind {
        switch errno.code {
        case ENOENT: .notFound
        case EEXIST: .exists
        case EACCES, EPERM, EROFS: .accessDenied
        case EAGAIN: .locked
        case EINVAL: .invalidArgument
        case ENOTSUP, ENOSYS: .notSupported
        case ENOSPC, EDQUOT: .noSpace
        case EFBIG: .outOfRange
        default: .inputOutput
        }
    }
}
