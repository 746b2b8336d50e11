// SPDX-License-Identifier: Apache-2.0

// QCOW2Image: qcow2, versions 2 and 3.
