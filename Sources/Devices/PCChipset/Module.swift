// SPDX-License-Identifier: Apache-2.0

// PCChipset: PIT, RTC, HPET, ACPI power management, 16550, i8042, fw_cfg, debug ports, q35 and i440FX glue.
