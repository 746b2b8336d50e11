// SPDX-License-Identifier: Apache-2.0

internal import Glibc
public import HostSystem

/// A stream with a copy of all output in a file (`logfile=`, `logappend=`).
public final class LoggedStream: CharacterBackend, DisconnectableBackend, DescriptorPassingBackend, @unchecked Sendable
{
    private let stream: any CharacterBackend
    private let file: FileDescriptor

    /// - Parameter appends: what the file holds stays in front.
    /// - Throws: why the file cannot be written.
    public init(_ stream: any CharacterBackend, path: String, appends: Bool) throws(Errno) {
        self.stream = stream
        file = try FileDescriptor.open(
            path, flags: O_WRONLY | O_CREAT | O_CLOEXEC | (appends ? O_APPEND : O_TRUNC), mode: 0o666)
    }

    /// The logged stream's.
    public var label: String { stream.label }
    /// The logged stream's: the log does not show.
    public var filename: String { stream.filename }
    /// As the logged stream.
    public var isOpen: Bool { stream.isOpen }
    /// Handed on, so that the logged stream calls it directly: input is not logged.
    public var frontend: (any CharacterFrontend)? {
        get { stream.frontend }
        set { stream.frontend = newValue }
    }

    /// Sends, then writes to the log what was taken; a log that cannot be written is passed over.
    public func send(_ bytes: ArraySlice<UInt8>) -> Int {
        let taken = stream.send(bytes)
        // A full disk costs the copy, not the stream.
        try? file.writeAll(Array(bytes.prefix(taken)))
        return taken
    }

    /// Handed on.
    public func resumeInput() { stream.resumeInput() }
    /// Closes the logged stream; the file is closed with this object.
    public func close() { stream.close() }
    /// Nothing for a stream that has no clients.
    public func disconnect() { (stream as? any DisconnectableBackend)?.disconnect() }
    /// Nil for a stream over which no descriptors come.
    public func takeReceivedDescriptor() -> Int32? {
        (stream as? any DescriptorPassingBackend)?.takeReceivedDescriptor()
    }
}
