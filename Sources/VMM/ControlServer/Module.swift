// SPDX-License-Identifier: Apache-2.0

// ControlServer: QMP, the human monitor and the GDB stub.
