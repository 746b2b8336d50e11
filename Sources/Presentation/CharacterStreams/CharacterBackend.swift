// SPDX-License-Identifier: Apache-2.0

/// What happens to a stream beside its bytes.
public enum CharacterEvent: Equatable, Sendable {
    /// Somebody is at the other end: a client connected, a terminal was opened, or the front end was given the focus
    /// of a shared stream for the first time.
    case opened
    /// Nobody is there any more; bytes sent from now on are dropped.
    case closed
    /// A break condition, from a shared terminal's `Ctrl-a b` or a telnet client.
    case breakReceived
    /// Of several front ends on one stream this one now gets the input.
    case focusGained
    /// Another front end gets the input.
    case focusLost
}

/// Who uses a stream: a serial port, a virtio console, a monitor, the debugger's stub.
///
/// All calls come on the event loop's thread, without any lock held; a device takes the machine lock itself.
public protocol CharacterFrontend: AnyObject {
    /// Bytes that `receive` may bring now; 0 stops the input until `CharacterBackend.resumeInput()`.
    var receiveCapacity: Int { get }
    /// Bytes from the other end: 1 ... `receiveCapacity` as it was asked just before.
    func receive(_ bytes: ArraySlice<UInt8>)
    /// Something happened to the stream.
    func handle(_ event: CharacterEvent)
    /// There is room again after `send` took less than it was given.
    func outputIsReady()
}

/// One character device of `-chardev`: a stream of bytes both ways with at most one front end (a `MultiplexedBackend`
/// serves several).
///
/// `send` and `resumeInput` may be called on any thread, also with the machine lock held; they never block. The rest is
/// called on the event loop's thread.
public protocol CharacterBackend: AnyObject, Sendable {
    /// The identifier of -chardev, or the one made for it: "serial0", "compat_monitor0".
    var label: String { get }
    /// What `query-chardev` and `info chardev` call the other end: "stdio", "pty:/dev/pts/3",
    /// "unix:/run/x.sock,server=on", "disconnected:tcp:127.0.0.1:4444,server=on".
    var filename: String { get }
    /// Somebody is at the other end.
    var isOpen: Bool { get }
    /// The front end; setting it tells a new one `.opened` at once if somebody is there. Held weakly.
    var frontend: (any CharacterFrontend)? { get set }
    /// Sends bytes.
    /// - Returns: how many were taken: all while nobody is there (they are dropped), fewer when the other end does not
    ///   read; then `outputIsReady` follows.
    func send(_ bytes: ArraySlice<UInt8>) -> Int
    /// The front end's `receiveCapacity` is more than 0 again.
    func resumeInput()
    /// Ends the stream: closes what it opened, removes sockets and restores terminals. Idempotent.
    func close()
}

extension CharacterBackend {
    /// Sends bytes.
    /// - Returns: how many were taken, as `send(_: ArraySlice<UInt8>)`.
    public func send(_ bytes: [UInt8]) -> Int { send(bytes[...]) }
}

/// A back end that can be taken away from a client: `-chardev socket` for `chardev-send-break`, monitors and gdb.
public protocol DisconnectableBackend: CharacterBackend {
    /// Ends the connection of the client that is there, if any; a server then waits for the next.
    func disconnect()
}

/// A back end that can hand over a file descriptor that came with the bytes (SCM_RIGHTS), for `getfd` and `add-fd`.
public protocol DescriptorPassingBackend: CharacterBackend {
    /// Takes the oldest descriptor that came and was not taken; it then belongs to the caller.
    func takeReceivedDescriptor() -> Int32?
}
