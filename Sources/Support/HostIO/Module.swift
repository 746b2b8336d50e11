// SPDX-License-Identifier: Apache-2.0

// HostIO: The event loop (epoll), timers, posted work, worker threads and io_uring.
