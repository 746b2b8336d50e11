// SPDX-License-Identifier: Apache-2.0

internal import Diagnostics
internal import Glibc
internal import MachineAssembly

// roost-vmm: one virtual machine, described in QEMU's command-line dialect.
exit(VMMProgram.run(Array(CommandLine.arguments.dropFirst())))
