// SPDX-License-Identifier: Apache-2.0

internal import Glibc

/// Waits on a worker thread.
func sleepMilliseconds(_ count: UInt32) { usleep(count &* 1000) }
