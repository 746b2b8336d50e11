// SPDX-License-Identifier: Apache-2.0

internal import Glibc
package import HostSystem
internal import TransportSecurity

/// Why a connection ends.
package struct VNCFailure: Error, Equatable, CustomStringConvertible {
    /// One line for the log and for clients that can show a reason.
    package let description: String
    /// A reason in one line.
    package init(_ description: String) { self.description = description }
    /// The other side closed it.
    package static let closed = VNCFailure("the connection was closed")
}

/// Bytes to and from a client. One thread receives while another sends; both may wait.
package protocol VNCChannel: AnyObject, Sendable {
    /// At least one byte; 0 at the end of the stream.
    func receive(into buffer: UnsafeMutableRawBufferPointer) throws(VNCFailure) -> Int
    /// All of the bytes.
    func send(_ bytes: UnsafeRawBufferPointer) throws(VNCFailure)
    /// Ends both directions at once, so that waiting threads come back. Callable on any thread.
    func shutDown()
}

extension VNCChannel {
    /// Sends an array.
    func send(_ bytes: [UInt8]) throws(VNCFailure) {
        var failure: VNCFailure?
        // The array's storage lives for the call.
        unsafe bytes.withUnsafeBytes { buffer in
            do throws(VNCFailure) { try unsafe send(buffer) } catch { failure = error }
        }
        if let failure { throw failure }
    }
}

/// A connected, blocking stream socket.
package final class SocketChannel: VNCChannel {
    private let file: FileDescriptor
    /// The number, open as long as this object lives.
    package var number: Int32 { file.number }

    /// Takes over a connected socket in blocking mode; it is closed with this object.
    package init(_ file: consuming FileDescriptor) { self.file = file }

    /// Waits for at least a byte; 0 at the end of the stream.
    package func receive(into buffer: UnsafeMutableRawBufferPointer) throws(VNCFailure) -> Int {
        do throws(Errno) { return try unsafe file.read(into: buffer) } catch { throw VNCFailure(error.description) }
    }

    /// Waits until all has been taken.
    package func send(_ bytes: UnsafeRawBufferPointer) throws(VNCFailure) {
        var done = 0
        while done < bytes.count {
            do throws(Errno) {
                // `done` is below the count; the kernel only reads, during the call.
                done += try retrying {
                    unsafe Glibc.send(
                        file.number, bytes.baseAddress! + done, bytes.count - done, Int32(MSG_NOSIGNAL))
                }
            } catch { throw VNCFailure(error.description) }
        }
    }

    /// Wakes a thread that waits in `receive` or `send`; the socket stays open.
    package func shutDown() { _ = Glibc.shutdown(file.number, Int32(SHUT_RDWR)) }
}

/// TLS over a socket.
final class SecureChannel: VNCChannel {
    private let socket: SocketChannel
    private let session: TLSSession

    init(_ session: TLSSession, over socket: SocketChannel) { (self.session, self.socket) = (session, socket) }

    func receive(into buffer: UnsafeMutableRawBufferPointer) throws(VNCFailure) -> Int {
        do throws(TLSError) { return try unsafe session.receive(into: buffer) } catch {
            throw VNCFailure(error.description)
        }
    }

    func send(_ bytes: UnsafeRawBufferPointer) throws(VNCFailure) {
        // One record's worth at a time.
        let most = 16384
        var done = 0
        while done < bytes.count {
            let part = unsafe UnsafeRawBufferPointer(rebasing: bytes[done..<min(bytes.count, done + most)])
            do throws(TLSError) { done += try unsafe session.send(part) } catch { throw VNCFailure(error.description) }
        }
    }

    func shutDown() { socket.shutDown() }
}
