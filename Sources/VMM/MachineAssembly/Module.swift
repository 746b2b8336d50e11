// SPDX-License-Identifier: Apache-2.0

// MachineAssembly: The only place that knows every device: turns a description into a machine.
