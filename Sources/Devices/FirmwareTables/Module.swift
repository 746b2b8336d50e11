// SPDX-License-Identifier: Apache-2.0

// FirmwareTables: ACPI tables, AML and SMBIOS.
