// SPDX-License-Identifier: Apache-2.0

// Virtio: Virtqueues and the PCI and MMIO transports of Virtio 1.2.
