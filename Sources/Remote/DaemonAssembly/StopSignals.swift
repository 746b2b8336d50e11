// SPDX-License-Identifier: Apache-2.0

internal import CLinux
internal import Glibc
internal import HostSystem

/// SIGTERM, SIGINT and SIGHUP, taken in one place instead of ending the process anywhere.
struct StopSignals {
    /// What the service was told.
    enum Order { case stop, reload }

    private var set = sigset_t()

    /// Blocks the signals; made before any thread is, so that no thread takes them.
    init() throws(Errno) {
        // The set is this value's own.
        unsafe sigemptyset(&set)
        for signal in [SIGTERM, SIGINT, SIGHUP] { unsafe sigaddset(&set, signal) }
        unsafe pthread_sigmask(SIG_BLOCK, &set, nil)
        signal(SIGPIPE, SIG_IGN)
    }

    /// Waits until the process is told something.
    func wait() -> Order {
        var wanted = set
        var taken: Int32 = 0
        // Both live on this frame.
        while unsafe sigwait(&wanted, &taken) != 0 {}
        return taken == SIGHUP ? .reload : .stop
    }
}
