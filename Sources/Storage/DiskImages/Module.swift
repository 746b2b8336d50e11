// SPDX-License-Identifier: Apache-2.0

// DiskImages: Format probing and qemu-img's verbs.
