// SPDX-License-Identifier: Apache-2.0

internal import CLinux
internal import Glibc
internal import HostSystem

/// SIGTERM and SIGINT, taken in one place instead of ending the process anywhere.
struct StopSignals {
    private var set = sigset_t()

    /// Blocks the signals; made before any thread is, so that no thread takes them.
    init() throws(Errno) {
        // The set is this value's own.
        unsafe sigemptyset(&set)
        for signal in [SIGTERM, SIGINT] { unsafe sigaddset(&set, signal) }
        unsafe pthread_sigmask(SIG_BLOCK, &set, nil)
        signal(SIGPIPE, SIG_IGN)
    }

    /// Waits until the process is told to stop.
    func wait() {
        var wanted = set
        var taken: Int32 = 0
        // Both live on this frame.
        while unsafe sigwait(&wanted, &taken) != 0 {}
    }
}
