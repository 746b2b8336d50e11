// SPDX-License-Identifier: Apache-2.0

internal import DaemonAssembly
internal import Glibc

// roostd: machines, storage and networks, managed in libvirt's dialect.
exit(DaemonProgram.run(Array(CommandLine.arguments.dropFirst())))
