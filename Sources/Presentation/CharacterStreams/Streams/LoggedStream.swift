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

    public var label: String { stream.label }
    public var filename: String { stream.filename }
    public var isOpen: Bool { stream.isOpen }
    public var frontend: (any CharacterFrontend)? {
        get { stream.frontend }
        set { stream.frontend = newValue }
    }

    public func send(_ bytes: ArraySlice<UInt8>) -> Int {
        let taken = stream.send(bytes)
        // A full disk costs the copy, not the stream.
        try? file.writeAll(Array(bytes.prefix(taken)))
        return taken
    }

    public func resumeInput() { stream.resumeInput() }
    public func close() { stream.close() }
    public func disconnect() { (stream as? any DisconnectableBackend)?.disconnect() }
    public func takeReceivedDescriptor() -> Int32? {
        (stream as? any DescriptorPassingBackend)?.takeReceivedDescriptor()
    }
}
