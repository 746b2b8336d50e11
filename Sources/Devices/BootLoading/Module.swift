// SPDX-License-Identifier: Apache-2.0

// BootLoading: bzImage, PVH, multiboot and ELF kernels put in memory, and the processor state that starts them.
