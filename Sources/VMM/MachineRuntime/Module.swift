// SPDX-License-Identifier: Apache-2.0

// MachineRuntime: vCPU threads, life cycle, the clock that stops with the machine.
