// SPDX-License-Identifier: Apache-2.0

// KVMEngine: The kernel's own virtualization through /dev/kvm.
