// SPDX-License-Identifier: Apache-2.0

// ControlProtocol: QMP commands, errors and events as types.
