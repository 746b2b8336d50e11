// SPDX-License-Identifier: Apache-2.0

// MachineSpec: A validated description of one machine, and the reading of it from QEMU's flags.
