// SPDX-License-Identifier: Apache-2.0

internal import CLinux
internal import Glibc

/// A thread of the host, for work that blocks or computes for long: a vCPU, a disk's queue, an event loop.
@safe
public final class HostThread: @unchecked Sendable {
    private let handle: pthread_t

    private final class Start {
        let name: String
        let body: @Sendable () -> Void
        init(name: String, body: @escaping @Sendable () -> Void) {
            self.name = name
            self.body = body
        }
    }

    /// Starts a thread that runs `body` and ends with it.
    /// - Parameter name: what ps and perf show; the kernel keeps 15 bytes.
    public init(name: String, body: @escaping @Sendable () -> Void) throws(Errno) {
        let start = unsafe Unmanaged.passRetained(Start(name: name, body: body))
        var handle = pthread_t()
        // The new thread takes over the one reference that passRetained made.
        let failure = unsafe pthread_create(
            &handle, nil,
            { argument in
                let start = unsafe Unmanaged<Start>.fromOpaque(argument!).takeRetainedValue()
                unsafe roost_name_thread(String(start.name.prefix(15)))
                start.body()
                return nil
            }, start.toOpaque())
        guard failure == 0 else {
            unsafe start.release()
            throw Errno(failure)
        }
        self.handle = handle
    }

    /// Waits for the thread's end; at most one caller, once.
    public func join() { _ = pthread_join(handle, nil) }

    /// Sends a signal to this thread, which must not have been joined.
    public func send(signal: Int32) { _ = pthread_kill(handle, signal) }
}
