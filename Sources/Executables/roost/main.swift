// SPDX-License-Identifier: Apache-2.0

internal import FriendlyCommand
internal import Glibc

// roost: the friendly command over machines, disks and networks.
exit(RoostProgram.run(Array(CommandLine.arguments.dropFirst())))
