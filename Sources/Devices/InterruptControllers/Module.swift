// SPDX-License-Identifier: Apache-2.0

// InterruptControllers: 8259A PIC, IOAPIC, local APIC with x2APIC, and MSI routing.
