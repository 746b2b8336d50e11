// SPDX-License-Identifier: Apache-2.0

// PCIBus: PCI configuration space, BARs, capabilities, MSI and MSI-X, host bridges.
